/* SPDX-License-Identifier: Apache-2.0 */
/* Keyrings by themselves: growing, rows as docs/format-barrier.md says, damage behind a right seal, allocation faults. */
#include "kit/kit.h"

#include "barrier/keyring_priv.h"

static const uint8_t root_bytes[32] = {7};
static struct mln_secret root_key(void)
{
    static uint8_t copy[32];
    mln_copy(copy, root_bytes, 32);
    return (struct mln_secret){copy, 32};
}
#define NS MLN_BYTES("team")

static struct keyring *ring_of(struct mln_cx *cx, uint32_t n)
{
    struct keyring *ring = NULL;
    for (uint32_t i = 0; i < n; i++) {
        struct keyring *next = NULL;
        kit_ok(cx, keyring_grow(cx, NS, ring, &next));
        keyring_free(ring);
        ring = next;
    }
    return ring;
}

static void test_grow(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(keyring_drop) struct keyring *ring = ring_of(cx, 3);
    assert_int_equal(ring->n, 3);
    assert_int_equal(ring->keys.len, 96);
    kit_text(ring->ns, "team");
    MLN_AUTO(keyring_drop) struct keyring *more = NULL;
    ring->row_version = 42;
    ring->seals = 9;
    kit_ok(cx, keyring_grow(cx, NS, ring, &more));
    assert_int_equal(more->row_version, 42);
    assert_int_equal(more->seals, 0); /* of the new key */
    assert_memory_equal(more->keys.ptr, ring->keys.ptr, 96);
    for (uint32_t i = 0; i < 4; i++) { /* no two keys alike, none zero */
        for (uint32_t j = 0; j < i; j++) {
            assert_memory_not_equal(more->keys.ptr + 32 * i, more->keys.ptr + 32 * j, 32);
        }
        assert_true(more->made_ns[i] > 0 && (i == 0 || more->made_ns[i] >= more->made_ns[i - 1]));
    }
    struct keyring full = {.n = KEYRING_KEYS_MAX};
    kit_refused(cx, keyring_grow(cx, NS, &full, &more), MLN_E_LIMIT);
    keyring_free(NULL);
}

static void test_rows(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_secret root = root_key();
    static const uint32_t sizes[] = {1, 2, 7};
    for (size_t i = 0; i < MLN_COUNT(sizes); i++) {
        MLN_AUTO(keyring_drop) struct keyring *ring = ring_of(cx, sizes[i]);
        MLN_AUTO(keyring_drop) struct keyring *again = NULL;
        struct mln_bytes row, other;
        kit_ok(cx, keyring_seal(cx, ring, &root, &row));
        kit_ok(cx, keyring_seal(cx, ring, &root, &other));
        assert_int_equal(row.len, ROW_OVERHEAD + 5 + 44 * sizes[i]);
        assert_false(mln_bytes_eq(row, other)); /* a fresh nonce */
        kit_ok(cx, keyring_open(cx, NS, &root, row, &again));
        assert_int_equal(again->n, ring->n);
        assert_memory_equal(again->keys.ptr, ring->keys.ptr, ring->keys.len);
        assert_memory_equal(again->made_ns, ring->made_ns, ring->n * sizeof(int64_t));
        struct keyring *none = NULL;
        kit_refused(cx, keyring_open(cx, MLN_BYTES("tean"), &root, row, &none), MLN_E_FORGED);
        kit_refused(cx, keyring_open(cx, MLN_BYTES_NONE, &root, row, &none), MLN_E_FORGED);
        root.ptr[31] ^= 1;
        kit_refused(cx, keyring_open(cx, NS, &root, row, &none), MLN_E_FORGED);
        root.ptr[31] ^= 1;
        assert_null(none);
    }
}

/* Behind a right seal: what an older or newer program, or a mistake, may have written. */
static const struct {
    const char *name;
    size_t cut, add; /* bytes off or on at the end */
    size_t at;       /* byte to change ... */
    uint8_t to;      /* ... to this; at = 0 with to = 1 changes nothing */
    enum mln_code want;
} plains[] = {
    {"as it should be", 0, 0, 0, 1, MLN_E_OK},
    {"newer format", 0, 0, 0, 2, MLN_E_CORRUPT},
    {"no format", 0, 0, 0, 0, MLN_E_CORRUPT},
    {"fewer keys than said", 0, 0, 4, 3, MLN_E_CORRUPT},
    {"more keys than said", 0, 0, 4, 1, MLN_E_CORRUPT},
    {"no keys", 0, 0, 4, 0, MLN_E_CORRUPT},
    {"a huge number of keys", 0, 0, 1, 255, MLN_E_CORRUPT},
    {"cut short", 1, 0, 0, 1, MLN_E_CORRUPT},
    {"a byte behind", 0, 1, 0, 1, MLN_E_CORRUPT},
    {"first id wrong", 0, 0, 8, 2, MLN_E_CORRUPT},
    {"second id wrong", 0, 0, 52, 1, MLN_E_CORRUPT},
    {"empty", 93, 0, 0, 1, MLN_E_CORRUPT},
};

static void test_plains(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_secret root = root_key();
    struct mln_bytes where;
    struct mln_bytes row;
    kit_ok(cx, keyring_key(cx, NS, &where));
    kit_text(where, "core/keyring/team");
    for (size_t i = 0; i < MLN_COUNT(plains); i++) {
        uint8_t plain[94] = {1, 0, 0, 0, 2, 0, 0, 0, 1};
        plain[52] = 2; /* 5 + 44 + 3 */
        plain[plains[i].at] = plains[i].to;
        struct keyring *ring = NULL;
        struct mln_bytes view = mln_bytes_at(plain, 93 - plains[i].cut + plains[i].add);
        kit_ok(cx, row_seal(cx, root.ptr, MLN_BYTES("merlon keyring 1\0"), where, view, &row));
        kit_expect(cx, plains[i].name, keyring_open(cx, NS, &root, row, &ring), plains[i].want);
        assert_int_equal(ring != NULL, plains[i].want == MLN_E_OK);
        keyring_free(ring);
    }
}

static void test_labels(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes row;
    MLN_AUTO(mln_secret_drop) struct mln_secret plain = {0};
    kit_ok(cx,
           row_seal(cx, root_bytes, MLN_BYTES("one"), MLN_BYTES("where"), MLN_BYTES("text"), &row));
    kit_ok(cx, row_open(cx, root_bytes, MLN_BYTES("one"), MLN_BYTES("where"), row, &plain));
    kit_text(mln_secret_bytes(&plain), "text");
    struct mln_secret none = {0};
    kit_refused(cx, row_open(cx, root_bytes, MLN_BYTES("two"), MLN_BYTES("where"), row, &none),
                MLN_E_FORGED);
    kit_refused(cx, row_open(cx, root_bytes, MLN_BYTES("one"), MLN_BYTES("there"), row, &none),
                MLN_E_FORGED);
    for (size_t n = 0; n < row.len; n++) {
        struct mln_bytes cut = mln_bytes_sub(row, 0, n);
        kit_refused(cx, row_open(cx, root_bytes, MLN_BYTES("one"), MLN_BYTES("where"), cut, &none),
                    MLN_E_FORGED);
    }
    assert_null(none.ptr);
}

static struct mln_err seal_and_open(struct mln_cx *cx, void *arg)
{
    struct mln_secret root = root_key();
    struct keyring *ring = arg;
    MLN_AUTO(keyring_drop) struct keyring *more = NULL;
    MLN_AUTO(keyring_drop) struct keyring *again = NULL;
    struct mln_bytes row = MLN_BYTES_NONE;
    MLN_TRY(keyring_grow(cx, NS, ring, &more));
    MLN_TRY(keyring_seal(cx, more, &root, &row));
    MLN_TRY(keyring_open(cx, NS, &root, row, &again));
    return again->n == ring->n + 1 ? MLN_OK : mln_fail(cx, MLN_E_INTERNAL, "lost a key");
}

static void test_faults(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(keyring_drop) struct keyring *ring = ring_of(cx, 2);
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, seal_and_open, ring) > 5);
    kit_ok(cx, seal_and_open(cx, ring));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_grow),   KIT_TEST(test_rows),   KIT_TEST(test_plains),
        KIT_TEST(test_labels), KIT_TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
