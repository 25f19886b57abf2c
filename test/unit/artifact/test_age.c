/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age files: the vectors made for this project (12 good, 40 bad), the worked example's bytes, round
 * trips, faults.
 */
#include "kit/kit.h"

#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/age_priv.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/text.h"
#include "crypto/crypto.h"

/*
 * Files among negative/ that no key of ours opens, and those that are wrong in form: the codes
 * differ.
 */
static const struct {
    const char *name;
    enum mln_code code;
} codes[] = {
    {"wrong_recipient.age", MLN_E_DENIED},
    {"transit_only.age", MLN_E_DENIED},
    {"mac_bit.age", MLN_E_FORGED},
    {"payload_bit.age", MLN_E_FORGED},
    {"truncated_at_chunk_boundary.age", MLN_E_FORGED},
    {"empty_final_after_full.age", MLN_E_FORGED},
    {"swapped_chunks.age", MLN_E_FORGED},
    {"trailing_byte.age", MLN_E_FORGED},
    {"header_only.age", MLN_E_FORGED},
    {"stanza_added_no_mac.age", MLN_E_FORGED},
    {"scrypt_mixed.age", MLN_E_PARSE},
    {"stanza_no_short_line.age", MLN_E_PARSE},
    {"x25519_low_order.age", MLN_E_PARSE},
    {"x25519_fk17.age", MLN_E_PARSE},
    {"x25519_extra_arg.age", MLN_E_PARSE},
    {"share_noncanonical.age", MLN_E_PARSE},
    {"version_v2.age", MLN_E_PARSE},
    {"crlf.age", MLN_E_PARSE},
    {"header_no_newline.age", MLN_E_PARSE},
    {"no_stanza.age", MLN_E_PARSE},
    {"mac_padded.age", MLN_E_PARSE},
    {"body_noncanonical.age", MLN_E_PARSE},
};

static struct mln_bytes read_test(struct mln_cx *cx, const char *name)
{
    char path[KIT_PATH_MAX];
    return kit_read_file(cx, kit_test_file(path, name));
}

static struct mln_age_with with_identity(struct mln_cx *cx)
{
    struct mln_secret keys = {0};
    kit_ok(cx, mln_age_identities_parse(cx, read_test(cx, "vectors/age/identity.txt"), &keys));
    struct mln_age_with with = {.identities = mln_bytes_dup(cx, mln_secret_bytes(&keys))};
    mln_secret_drop(&keys);
    return with;
}

static size_t each_vector(struct mln_cx *cx, const char *folder,
                          void (*each)(struct mln_cx *cx, const char *name, struct mln_bytes file))
{
    char path[KIT_PATH_MAX];
    const struct mln_value *names = NULL;
    kit_test_file(path, mln_text_format(cx, "vectors/age/%s", folder));
    kit_ok(cx, mln_dir_list(cx, path, &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_get_text(cx, mln_item(names, i), "");
        each(cx, name, read_test(cx, mln_text_format(cx, "vectors/age/%s/%s", folder, name)));
    }
    return mln_len(names);
}

static void accept(struct mln_cx *cx, const char *name, struct mln_bytes file)
{
    struct mln_age_with with = with_identity(cx);
    struct mln_buf plain = {0};
    struct mln_err err = mln_age_decrypt_bytes(cx, file, &with, &plain);
    kit_expect(cx, name, err, MLN_E_OK);
    size_t want = mln_bytes_is(mln_bytes_of(name), "empty.age")        ? 0
                  : mln_bytes_is(mln_bytes_of(name), "exact_64k.age")  ? 65536
                  : mln_bytes_is(mln_bytes_of(name), "64k_plus_1.age") ? 65537
                                                                       : 13;
    assert_int_equal(plain.len, want);
    if (want == 13) {
        kit_text(mln_buf_bytes(&plain), "hello, model\n");
    }
    mln_buf_drop(&plain);
}

static void refuse(struct mln_cx *cx, const char *name, struct mln_bytes file)
{
    struct mln_age_with with = with_identity(cx);
    struct mln_buf plain = {0};
    struct mln_err err = mln_age_decrypt_bytes(cx, file, &with, &plain);
    assert_true(mln_failed(err));
    assert_int_equal(plain.len, 0);
    for (size_t i = 0; i < MLN_COUNT(codes); i++) {
        if (mln_bytes_is(mln_bytes_of(name), codes[i].name)) {
            kit_expect(cx, name, err, codes[i].code);
        }
    }
    mln_cx_clear(cx);
    mln_buf_drop(&plain);
}

static void test_vectors(void **state)
{
    assert_int_equal(each_vector(kit_cx(state), "ok", accept), 12);
    assert_int_equal(each_vector(kit_cx(state), "negative", refuse), 40);
}

/* The same verdicts through files; nothing is left beside them. */
static char dir[KIT_PATH_MAX];

static void refuse_file(struct mln_cx *cx, const char *name, struct mln_bytes file)
{
    char in[KIT_PATH_MAX];
    char out[KIT_PATH_MAX];
    struct mln_age_with with = with_identity(cx);
    const struct mln_age_options options = {0};
    const struct mln_value *left = NULL;
    kit_write_file(kit_path(in, dir, "in.age"), file);
    struct mln_err err = mln_age_decrypt_file(cx, in, kit_path(out, dir, "out"), &with, &options);
    if (!mln_failed(err)) {
        fail_msg("%s was accepted", name);
    }
    mln_cx_clear(cx);
    kit_ok(cx, mln_dir_list(cx, dir, &left));
    assert_int_equal(mln_len(left), 1);
}

static void test_vector_files(void **state)
{
    kit_tmpdir(dir);
    each_vector(kit_cx(state), "negative", refuse_file);
    kit_rmtree(dir);
}

/* The intermediate values that AGE.md prints. */
static void test_worked_example(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes file = read_test(cx, "vectors/age/ok/small.age");
    struct mln_age_with with = with_identity(cx);
    struct mln_age_header header;
    uint8_t file_key[16], key[32], mac[32];
    kit_same(cx, with.identities,
             kit_hex(cx, "77d9af1225649220c7c8d45868533eea9a9ce0f918c3ed30f047bd94b7febf7b"));
    kit_ok(cx, mln_age_header_parse(cx, file, &header));
    assert_int_equal(header.n_stanzas, 1);
    assert_int_equal(header.stanzas[0].n_args, 2);
    kit_ok(cx, mln_age_unwrap(cx, &header, &with, file_key));
    kit_same(cx, mln_bytes_at(file_key, 16), kit_hex(cx, "065d0cf7490bb9ecd14a36328492e9ca"));
    age_payload_key(file_key, file.ptr + header.len, key);
    kit_same(cx, mln_bytes_at(key, 32),
             kit_hex(cx, "bfea4c8f9e09a7dcd55576a7936a101afad30ca5a834bab012401b804759992a"));
    age_mac(file_key, header.maced, mac);
    kit_same(cx, mln_bytes_at(mac, 32), mln_bytes_at(header.mac, 32));
    uint8_t public_key[32];
    struct mln_buf text = {0};
    mln_x25519_public(with.identities.ptr, public_key);
    mln_age_recipient_print(&text, public_key);
    kit_text(mln_buf_bytes(&text),
             "age1q9ayrchc4vn348r884rrszky3uyj6hv62n7geqrc9vdfpm4894ksk2jlec");
    mln_buf_clear(&text);
    mln_age_identity_print(&text, with.identities.ptr);
    kit_text(mln_buf_bytes(&text),
             "AGE-SECRET-KEY-1WLV67Y39VJFZP37G63VXS5E7A2DFEC8ERRP76V8SG77EFDL7HAASQEGFHY");
    mln_buf_drop(&text);
}

/* Printing what was parsed gives the same bytes, for every header that is good. */
static void reprint(struct mln_cx *cx, const char *name, struct mln_bytes file)
{
    struct mln_age_with with = with_identity(cx);
    struct mln_age_header header;
    uint8_t file_key[16];
    struct mln_buf out = {0};
    (void)name;
    kit_ok(cx, mln_age_header_parse(cx, file, &header));
    kit_ok(cx, mln_age_unwrap(cx, &header, &with, file_key));
    kit_ok(cx, mln_age_header_print(cx, header.stanzas, header.n_stanzas, file_key, &out));
    kit_same(cx, mln_buf_bytes(&out), mln_bytes_sub(file, 0, header.len));
    mln_buf_drop(&out);
}

static void test_header_round_trip(void **state)
{
    each_vector(kit_cx(state), "ok", reprint);
}

/* ---- round trips ---- */

static struct mln_age_recipient self(struct mln_cx *cx)
{
    struct mln_age_recipient to;
    kit_ok(cx, mln_age_recipient_parse(
                   cx, MLN_BYTES("age1q9ayrchc4vn348r884rrszky3uyj6hv62n7geqrc9vdfpm4894ksk2jlec"),
                   &to));
    return to;
}

static struct mln_bytes some_bytes(struct mln_cx *cx, size_t n)
{
    struct mln_prng g;
    uint8_t *p = mln_new(cx, n + 8);
    assert_non_null(p);
    mln_prng_seed(&g, n);
    for (size_t i = 0; i < n; i += 8) {
        mln_put_u64le(p + i, mln_prng_u64(&g));
    }
    return mln_bytes_at(p, n);
}

static const size_t sizes[] = {0,      1,         65535,         65536,  65537,
                               131072, 8 * 65536, 8 * 65536 + 1, 3000000};

static void test_sizes(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_age_recipient recipient = self(cx);
    struct mln_age_to to = {.recipients = &recipient, .n_recipients = 1};
    struct mln_age_with with = with_identity(cx);
    const struct mln_age_options options = {.threads = 3};
    char plain[KIT_PATH_MAX], sealed[KIT_PATH_MAX], back[KIT_PATH_MAX];
    kit_tmpdir(dir);
    kit_path(plain, dir, "plain");
    kit_path(sealed, dir, "sealed.age");
    kit_path(back, dir, "back");
    for (size_t i = 0; i < MLN_COUNT(sizes); i++) {
        struct mln_bytes content = some_bytes(cx, sizes[i]);
        kit_write_file(plain, content);
        kit_ok(cx, mln_age_encrypt_file(cx, plain, sealed, &to, &options));
        kit_ok(cx, mln_age_decrypt_file(cx, sealed, back, &with, &options));
        assert_true(mln_bytes_eq(kit_read_file(cx, back), content));
        struct mln_buf out = {0};
        kit_ok(cx, mln_age_decrypt_bytes(cx, kit_read_file(cx, sealed), &with, &out));
        assert_true(mln_bytes_eq(mln_buf_bytes(&out), content));
        struct mln_buf again = {0};
        kit_ok(cx, mln_age_encrypt_bytes(cx, content, &to, &again));
        kit_write_file(sealed, mln_buf_bytes(&again));
        kit_ok(cx, mln_age_decrypt_file(cx, sealed, back, &with, &options));
        assert_true(mln_bytes_eq(kit_read_file(cx, back), content));
        mln_buf_drop(&out);
        mln_buf_drop(&again);
    }
    struct stat st;
    assert_int_equal(stat(back, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    kit_rmtree(dir);
}

/* Cut an encrypted file anywhere, or change any byte of it: never accepted, nothing left. */
static void test_every_cut_and_bit(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes file = read_test(cx, "vectors/age/ok/small.age");
    struct mln_age_with with = with_identity(cx);
    struct mln_buf out = {0};
    uint8_t *copy = mln_new(cx, file.len);
    struct mln_arena *arena = mln_arena_new((size_t)1 << 20, false);
    struct mln_cx own;
    mln_cx_init(&own, arena);
    for (size_t n = 0; n < file.len; n++) {
        mln_arena_reset(arena);
        mln_cx_clear(&own);
        assert_true(
            mln_failed(mln_age_decrypt_bytes(&own, mln_bytes_sub(file, 0, n), &with, &out)));
        mln_cx_clear(&own);
        mln_copy(copy, file.ptr, file.len);
        copy[n] ^= 1;
        assert_true(
            mln_failed(mln_age_decrypt_bytes(&own, mln_bytes_at(copy, file.len), &with, &out)));
        assert_int_equal(out.len, 0);
    }
    mln_arena_free(arena);
    mln_buf_drop(&out);
}

/* ---- transit ---- */

struct server {
    unsigned wraps, unwraps;
    enum mln_code answer;
};

/* A stand-in for the server: "wrapping" is xor, good enough to see what goes where. */
static struct mln_err wrap(void *arg, struct mln_cx *cx, const char *key,
                           const uint8_t file_key[16], struct mln_buf *wrapped,
                           uint32_t *ret_version)
{
    struct server *server = arg;
    server->wraps++;
    if (server->answer != MLN_E_OK) {
        return mln_fail(cx, server->answer, "the server says no");
    }
    assert_string_equal(key, "transit/models");
    mln_buf_add_text(wrapped, "vault:v3:");
    for (size_t i = 0; i < 16; i++) {
        mln_buf_add_byte(wrapped, file_key[i] ^ 0x5a);
    }
    *ret_version = 3;
    return MLN_OK;
}

static struct mln_err unwrap(void *arg, struct mln_cx *cx, const char *key, uint32_t version,
                             struct mln_bytes wrapped, uint8_t file_key[16])
{
    struct server *server = arg;
    server->unwraps++;
    if (server->answer != MLN_E_OK) {
        return mln_fail(cx, server->answer, "the server says no");
    }
    assert_string_equal(key, "transit/models");
    assert_int_equal(version, 3);
    assert_int_equal(wrapped.len, 9 + 16);
    for (size_t i = 0; i < 16; i++) {
        file_key[i] = wrapped.ptr[9 + i] ^ 0x5a;
    }
    return MLN_OK;
}

static void test_transit(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct server server = {0};
    struct mln_age_recipient recipient = self(cx);
    struct mln_age_transit transit = {wrap, unwrap, &server};
    struct mln_age_to to = {.transit_key = "transit/models", .transit = transit};
    struct mln_age_with with = {.transit = &transit};
    struct mln_buf file = {0}, out = {0};
    kit_ok(cx, mln_age_encrypt_bytes(cx, MLN_BYTES("weights"), &to, &file));
    assert_true(mln_bytes_find_bytes(mln_buf_bytes(&file),
                                     MLN_BYTES("\n-> merlon.dev/transit transit/models 3\n")) <
                file.len);
    kit_ok(cx, mln_age_decrypt_bytes(cx, mln_buf_bytes(&file), &with, &out));
    kit_text(mln_buf_bytes(&out), "weights");
    assert_int_equal(server.wraps + server.unwraps, 2);
    mln_buf_clear(&out);

    struct mln_age_with none = with_identity(cx);
    kit_refused(cx, mln_age_decrypt_bytes(cx, mln_buf_bytes(&file), &none, &out), MLN_E_DENIED);
    server.answer = MLN_E_NOT_FOUND; /* another server's key: not ours */
    kit_refused_with(cx, mln_age_decrypt_bytes(cx, mln_buf_bytes(&file), &with, &out), MLN_E_DENIED,
                     "no identity");
    server.answer = MLN_E_DENIED; /* ours, but not for us */
    kit_refused_with(cx, mln_age_decrypt_bytes(cx, mln_buf_bytes(&file), &with, &out), MLN_E_DENIED,
                     "says no");
    server.answer = MLN_E_UNREACHABLE;
    kit_refused(cx, mln_age_decrypt_bytes(cx, mln_buf_bytes(&file), &with, &out),
                MLN_E_UNREACHABLE);
    mln_buf_clear(&file);
    kit_refused(cx, mln_age_encrypt_bytes(cx, MLN_BYTES("weights"), &to, &file), MLN_E_UNREACHABLE);

    /* Both kinds of recipient: either opens it. */
    server.answer = MLN_E_OK;
    to.recipients = &recipient;
    to.n_recipients = 1;
    mln_buf_clear(&file);
    kit_ok(cx, mln_age_encrypt_bytes(cx, MLN_BYTES("weights"), &to, &file));
    kit_ok(cx, mln_age_decrypt_bytes(cx, mln_buf_bytes(&file), &with, &out));
    mln_buf_clear(&out);
    kit_ok(cx, mln_age_decrypt_bytes(cx, mln_buf_bytes(&file), &none, &out));
    kit_text(mln_buf_bytes(&out), "weights");
    mln_buf_drop(&file);
    mln_buf_drop(&out);
}

/* ---- passphrases ---- */

static struct mln_err say(void *arg, struct mln_cx *cx, struct mln_buf *to)
{
    mln_buf_add_text(to, arg);
    return mln_buf_ok(cx, to);
}

/* `age -p` needs a terminal, so the file is put together here from the specification. */
static void scrypt_file(struct mln_cx *cx, const char *log2_n, unsigned real, struct mln_buf *file)
{
    uint8_t salted[28 + 16] = "age-encryption.org/v1/scryptSSSSSSSSSSSSSSS";
    uint8_t key[32], body[32];
    const uint8_t file_key[16] = "0123456789abcde", zero[12] = {0}, nonce[16] = {7};
    salted[43] = 'S';
    assert_int_equal(crypto_pwhash_scryptsalsa208sha256_ll((const uint8_t *)"open sesame", 11,
                                                           salted, sizeof(salted),
                                                           (uint64_t)1 << real, 8, 1, key, 32),
                     0);
    kit_ok(cx, mln_chacha_seal(cx, key, zero, MLN_BYTES_NONE, mln_bytes_at(file_key, 16), body));
    struct mln_age_stanza stanza = {.n_args = 3, .body = mln_bytes_at(body, 32)};
    stanza.args[0] = MLN_BYTES("scrypt");
    stanza.args[1] =
        mln_bytes_of(mln_base64_text(cx, mln_bytes_at(salted + 28, 16), MLN_B64_STD_RAW));
    stanza.args[2] = mln_bytes_of(log2_n);
    mln_buf_clear(file);
    kit_ok(cx, mln_age_header_print(cx, &stanza, 1, file_key, file));
    mln_buf_add(file, nonce, sizeof(nonce));
    age_payload_key(file_key, nonce, key);
    uint8_t box[6 + 16];
    kit_ok(cx, age_seal_chunk(cx, key, 0, true, MLN_BYTES("secret"), box));
    mln_buf_add(file, box, sizeof(box));
}

static void test_passphrase(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_buf file = {0}, out = {0};
    char right[] = "open sesame", wrong[] = "open barley";
    struct mln_age_with with = {.passphrase = say, .passphrase_arg = right};
    scrypt_file(cx, "10", 10, &file);
    kit_ok(cx, mln_age_decrypt_bytes(cx, mln_buf_bytes(&file), &with, &out));
    kit_text(mln_buf_bytes(&out), "secret");
    mln_buf_clear(&out);
    with.passphrase_arg = wrong;
    kit_refused_with(cx, mln_age_decrypt_bytes(cx, mln_buf_bytes(&file), &with, &out), MLN_E_DENIED,
                     "passphrase is wrong");
    with.passphrase = NULL;
    kit_refused(cx, mln_age_decrypt_bytes(cx, mln_buf_bytes(&file), &with, &out),
                MLN_E_UNSUPPORTED);
    with.passphrase = say;
    static const struct {
        const char *log2_n;
        enum mln_code code;
    } bad[] = {{"19", MLN_E_UNSUPPORTED},
               {"64", MLN_E_UNSUPPORTED},
               {"0", MLN_E_PARSE},
               {"010", MLN_E_PARSE},
               {"+1", MLN_E_PARSE},
               {"1e1", MLN_E_PARSE},
               {"99999999999999999999", MLN_E_PARSE}};
    for (size_t i = 0; i < MLN_COUNT(bad); i++) {
        scrypt_file(cx, bad[i].log2_n, 10, &file);
        kit_expect(cx, bad[i].log2_n, mln_age_decrypt_bytes(cx, mln_buf_bytes(&file), &with, &out),
                   bad[i].code);
    }
    mln_buf_drop(&file);
    mln_buf_drop(&out);
}

/* ---- keys ---- */

static const struct {
    const char *name, *text;
    enum mln_code code;
    const char *part;
} identity_files[] = {
    {"empty", "", MLN_E_INVALID, "no age identity"},
    {"only comments", "# a\n\n#b", MLN_E_INVALID, "no age identity"},
    {"a recipient", "age1q9ayrchc4vn348r884rrszky3uyj6hv62n7geqrc9vdfpm4894ksk2jlec\n", MLN_E_PARSE,
     "line 1"},
    {"lower case", "age-secret-key-1wlv67y39vjfzp37g63vxs5e7a2dfec8errp76v8sg77efdl7haasqegfhy",
     MLN_E_PARSE, "line 1"},
    {"a bad second line",
     "# "
     "x\nAGE-SECRET-KEY-1WLV67Y39VJFZP37G63VXS5E7A2DFEC8ERRP76V8SG77EFDL7HAASQEGFHY\nAGE-SECRET-"
     "KEY-1W\n",
     MLN_E_PARSE, "line 3"},
    {"rubbish behind",
     "AGE-SECRET-KEY-1WLV67Y39VJFZP37G63VXS5E7A2DFEC8ERRP76V8SG77EFDL7HAASQEGFHY x", MLN_E_PARSE,
     "line 1"},
    {"good, CRLF",
     "# k\r\nAGE-SECRET-KEY-1WLV67Y39VJFZP37G63VXS5E7A2DFEC8ERRP76V8SG77EFDL7HAASQEGFHY\r\n",
     MLN_E_OK, NULL},
};

static void test_identity_files(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(identity_files); i++) {
        struct mln_secret keys = {0};
        struct mln_err err =
            mln_age_identities_parse(cx, mln_bytes_of(identity_files[i].text), &keys);
        assert_null(strstr(cx->text, "WLV67"));
        kit_expect_at(cx, err, identity_files[i].code, identity_files[i].part,
                      identity_files[i].name, __FILE__, __LINE__);
        assert_int_equal(keys.len, identity_files[i].code == MLN_E_OK ? 32 : 0);
        mln_secret_drop(&keys);
    }
    struct mln_age_recipient to;
    kit_refused(cx, mln_age_recipient_parse(cx, MLN_BYTES("age1"), &to), MLN_E_PARSE);
    kit_refused(
        cx,
        mln_age_recipient_parse(
            cx, MLN_BYTES("AGE1Q9AYRCHC4VN348R884RRSZKY3UYJ6HV62N7GEQRC9VDFPM4894KSK2JLEC"), &to),
        MLN_E_PARSE);
}

static void test_no_recipient(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_buf out = {0};
    const struct mln_age_to nobody = {0};
    struct mln_age_recipient zero = {{0}};
    const struct mln_age_to low = {.recipients = &zero, .n_recipients = 1};
    kit_refused(cx, mln_age_encrypt_bytes(cx, MLN_BYTES("x"), &nobody, &out), MLN_E_INVALID);
    kit_refused(cx, mln_age_encrypt_bytes(cx, MLN_BYTES("x"), &low, &out), MLN_E_INVALID);
    mln_buf_drop(&out);
}

/* ---- faults: whatever fails, there is no output file and the error says so ---- */

struct files {
    char plain[KIT_PATH_MAX], sealed[KIT_PATH_MAX], out[KIT_PATH_MAX];
    struct mln_age_to to;
    struct mln_age_with with;
};

static struct mln_err encrypt_body(struct mln_cx *cx, void *arg)
{
    struct files *files = arg;
    const struct mln_age_options options = {.threads = 1, .durable = true};
    struct mln_err err = mln_age_encrypt_file(cx, files->plain, files->out, &files->to, &options);
    bool is_there = access(files->out, F_OK) == 0;
    assert_int_equal(is_there, !mln_failed(err));
    unlink(files->out);
    return err;
}

static struct mln_err decrypt_body(struct mln_cx *cx, void *arg)
{
    struct files *files = arg;
    const struct mln_age_options options = {.threads = 1, .durable = true};
    struct mln_err err =
        mln_age_decrypt_file(cx, files->sealed, files->out, &files->with, &options);
    bool is_there = access(files->out, F_OK) == 0;
    assert_int_equal(is_there, !mln_failed(err));
    unlink(files->out);
    return err;
}

static void test_faults(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct files files;
    struct mln_age_recipient recipient = self(cx);
    const struct mln_age_options options = {0};
    const struct mln_value *left = NULL;
    kit_tmpdir(dir);
    files.to = (struct mln_age_to){.recipients = &recipient, .n_recipients = 1};
    files.with = with_identity(cx);
    kit_path(files.plain, dir, "plain");
    kit_path(files.sealed, dir, "sealed");
    kit_path(files.out, dir, "out");
    kit_write_file(files.plain, some_bytes(cx, 1500000));
    kit_ok(cx, mln_age_encrypt_file(cx, files.plain, files.sealed, &files.to, &options));
    static const enum mln_fault_kind kinds[] = {MLN_FAULT_ALLOC, MLN_FAULT_READ, MLN_FAULT_WRITE,
                                                MLN_FAULT_SYNC};
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        assert_true(mln_each_fault_loose(kinds[i], encrypt_body, &files) > 0);
        assert_true(mln_each_fault_loose(kinds[i], decrypt_body, &files) > 0);
    }
    kit_ok(cx, mln_dir_list(cx, dir, &left));
    assert_int_equal(mln_len(left), 2);
    kit_rmtree(dir);
}

static void test_places(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_age_recipient recipient = self(cx);
    struct mln_age_to to = {.recipients = &recipient, .n_recipients = 1};
    const struct mln_age_options options = {0};
    char path[KIT_PATH_MAX];
    kit_tmpdir(dir);
    kit_refused(cx, mln_age_encrypt_file(cx, kit_path(path, dir, "none"), path, &to, &options),
                MLN_E_NOT_FOUND);
    kit_refused(cx, mln_age_encrypt_file(cx, dir, kit_path(path, dir, "x"), &to, &options),
                MLN_E_INVALID);
    kit_refused(cx, mln_age_encrypt_file(cx, "/dev/null", kit_path(path, dir, "x"), &to, &options),
                MLN_E_INVALID);
    kit_refused(cx, mln_age_encrypt_file(cx, "/dev/null", "/nowhere/at/all", &to, &options),
                MLN_E_NOT_FOUND);
    kit_rmtree(dir);
}

int main(void)
{
    mln_secret_allow_unlocked(true);
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_vectors),        KIT_TEST(test_vector_files),
        KIT_TEST(test_worked_example), KIT_TEST(test_header_round_trip),
        KIT_TEST(test_sizes),          KIT_TEST(test_every_cut_and_bit),
        KIT_TEST(test_transit),        KIT_TEST(test_passphrase),
        KIT_TEST(test_identity_files), KIT_TEST(test_no_recipient),
        KIT_TEST(test_faults),         KIT_TEST(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
