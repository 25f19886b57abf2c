/* SPDX-License-Identifier: Apache-2.0 */
/* Signed notes: the example key of another implementation, round trip, other people's lines, and everything that is refused. */
#include "kit/kit.h"

#include "base/text.h"
#include "ledger/tlog.h"

#include <string.h>

static const uint8_t seed[32] = {1, 2, 3, 4, 5, 6, 7, 8};

static struct mln_bytes make_vkey(struct mln_cx *cx, const char *origin)
{
    uint8_t key[32];
    const char *vkey = NULL;
    mln_ed25519_public(seed, key);
    kit_ok(cx, mln_vkey_make(cx, origin, key, &vkey));
    return mln_bytes_of(vkey);
}

static struct mln_bytes make_note(struct mln_cx *cx, const char *origin, uint64_t size)
{
    struct mln_checkpoint c = {mln_bytes_of(origin), size, {{0xaa, 0xbb}}};
    MLN_AUTO(mln_buf_drop) struct mln_buf note = {0};
    kit_ok(cx, mln_checkpoint_sign(cx, &c, seed, &note));
    return mln_bytes_dup(cx, mln_buf_bytes(&note));
}

/* `text` with its first `from` replaced by `to`. */
static struct mln_bytes edit(struct mln_cx *cx, struct mln_bytes text, const char *from, const char *to)
{
    size_t at = mln_bytes_find_bytes(text, mln_bytes_of(from));
    assert_true(at < text.len);
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_buf_add_bytes(&out, mln_bytes_sub(text, 0, at));
    mln_buf_add_text(&out, to);
    mln_buf_add_bytes(&out, mln_bytes_from(text, at + strlen(from)));
    return mln_bytes_dup(cx, mln_buf_bytes(&out));
}

static void round_trip(void **state)
{
    static const uint64_t sizes[] = {0, 1, 255, 70000, INT64_MAX};
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes vkey = make_vkey(cx, "merlon.test/ledger");
    for (size_t i = 0; i < MLN_COUNT(sizes); i++) {
        struct mln_checkpoint c = {0};
        kit_ok(cx, mln_checkpoint_open(cx, make_note(cx, "merlon.test/ledger", sizes[i]), vkey, &c));
        assert_true(c.size == sizes[i] && c.root.b[0] == 0xaa && c.root.b[1] == 0xbb);
        kit_text(c.origin, "merlon.test/ledger");
    }
}

/* The documentation of Go's note package signs "If you think cryptography is the answer..." with this key. */
static void foreign_key_parses(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_checkpoint c = {0};
    struct mln_bytes vkey = MLN_BYTES("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    kit_refused_with(cx, mln_checkpoint_open(cx, make_note(cx, "x", 1), vkey, &c), MLN_E_FORGED, "not signed by this key");
    struct mln_bytes note = MLN_BYTES(
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
        "\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n");
    /* The signature is right: what is refused is that the text is no checkpoint. */
    kit_refused_with(cx, mln_checkpoint_open(cx, note, vkey, &c), MLN_E_PARSE, "origin or size");
    kit_refused_with(cx, mln_checkpoint_open(cx, edit(cx, note, "think", "thinK"), vkey, &c), MLN_E_FORGED, "signature");
}

static void lines_of_others_are_ignored(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_checkpoint c = {0};
    struct mln_bytes vkey = make_vkey(cx, "merlon.test/ledger");
    struct mln_bytes note = make_note(cx, "merlon.test/ledger", 12);
    struct mln_bytes other = edit(cx, note, "\n\n", "\n\n\xe2\x80\x94 witness.example AAAAAAAAAAAAAAAA\n");
    kit_ok(cx, mln_checkpoint_open(cx, other, vkey, &c));
    assert_int_equal(c.size, 12);
}

static void refused_notes(void **state)
{
    static const struct {
        const char *name, *from, *to;
        enum mln_code want;
    } t[] = {
        {"other size", "\n12\n", "\n13\n", MLN_E_FORGED},
        {"other origin", "merlon.test/ledger\n12", "merlon.test/ledgex\n12", MLN_E_FORGED},
        {"extra line", "\n12\n", "\n12\nx\n", MLN_E_FORGED},
        {"no blank line", "\n\n", "\n", MLN_E_PARSE},
        {"no dash", "\xe2\x80\x94 ", "- ", MLN_E_PARSE},
        {"name of another", "\xe2\x80\x94 merlon.test", "\xe2\x80\x94 mallory.test", MLN_E_FORGED},
        {"name with a plus", "\xe2\x80\x94 merlon.test", "\xe2\x80\x94 mer+lon.test", MLN_E_PARSE},
        {"bad utf-8", "\n12\n", "\n12\xff\n", MLN_E_PARSE},
    };
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes vkey = make_vkey(cx, "merlon.test/ledger");
    struct mln_bytes note = make_note(cx, "merlon.test/ledger", 12);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_checkpoint c = {.size = 77};
        kit_expect(cx, t[i].name, mln_checkpoint_open(cx, edit(cx, note, t[i].from, t[i].to), vkey, &c), t[i].want);
        assert_int_equal(c.size, 77);
    }
    for (size_t n = 0; n < note.len; n++) { /* cut anywhere; a flip anywhere */
        struct mln_checkpoint c = {0};
        struct mln_bytes copy = mln_bytes_dup(cx, note);
        assert_true(mln_failed(mln_checkpoint_open(cx, mln_bytes_sub(note, 0, n), vkey, &c)));
        mln_cx_clear(cx);
        *(uint8_t *)(uintptr_t)(copy.ptr + n) ^= 1;
        assert_true(mln_failed(mln_checkpoint_open(cx, copy, vkey, &c)));
        mln_cx_clear(cx);
    }
}

static void refused_keys(void **state)
{
    static const char *const t[] = {
        "",
        "x",
        "x+y",
        "merlon+00000000+",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumanN+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T=",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20zz+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    };
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes note = make_note(cx, "merlon.test/ledger", 12);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_checkpoint c = {0};
        kit_expect(cx, t[i], mln_checkpoint_open(cx, note, mln_bytes_of(t[i]), &c), MLN_E_PARSE);
    }
}

static void refused_origins(void **state)
{
    static const char *const t[] = {"", "a b", "a+b", "a\nb", "a\tb", "\xff"};
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_checkpoint c = {mln_bytes_of(t[i]), 1, {{0}}};
        MLN_AUTO(mln_buf_drop) struct mln_buf note = {0};
        const char *vkey = NULL;
        kit_refused(cx, mln_checkpoint_sign(cx, &c, seed, &note), MLN_E_INVALID);
        kit_refused(cx, mln_vkey_make(cx, t[i], seed, &vkey), MLN_E_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(round_trip),         KIT_TEST(foreign_key_parses), KIT_TEST(lines_of_others_are_ignored),
        KIT_TEST(refused_notes),      KIT_TEST(refused_keys),       KIT_TEST(refused_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
