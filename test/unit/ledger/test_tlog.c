/* SPDX-License-Identifier: Apache-2.0 */
/* Tree hashing and proofs: known roots, and every proof of every small tree, also with one bit wrong. */
#include "kit/kit.h"

#include "ledger/tlog.h"

#define LEAVES 70u

/* The eight leaves and roots that implementations of RFC 6962 share as test data. */
static const struct {
    const char *leaf, *root;
} known[] = {
    {"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
    {"00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
    {"10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
    {"2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
    {"3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
    {"40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
    {"5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
    {"606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
};

static void known_roots(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_tlog_edge edge = {0};
    struct mln_hash hash;
    mln_tlog_root(&edge, &hash);
    kit_same(cx, mln_bytes_at(hash.b, 32), kit_hex(cx, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    for (size_t i = 0; i < MLN_COUNT(known); i++) {
        mln_tlog_leaf(kit_hex(cx, known[i].leaf), &hash);
        mln_tlog_append(&edge, &hash);
        mln_tlog_root(&edge, &hash);
        kit_same(cx, mln_bytes_at(hash.b, 32), kit_hex(cx, known[i].root));
    }
}

static void long_leaves_hash_the_same_way(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t n = 250; n < 262; n++) { /* around the size that is hashed in one piece */
        uint8_t *all = mln_new(cx, n + 1);
        struct mln_hash leaf;
        uint8_t want[32];
        mln_fill(all + 1, 'x', n);
        mln_sha256(mln_bytes_at(all, n + 1), want);
        mln_tlog_leaf(mln_bytes_at(all + 1, n), &leaf);
        assert_memory_equal(leaf.b, want, 32);
    }
}

/* ---- proofs ---- */

struct tree {
    struct mln_hash leaves[LEAVES], roots[LEAVES + 1];
};

static struct mln_err hash_of(void *arg, struct mln_cx *cx, unsigned level, uint64_t index, struct mln_hash *ret)
{
    const struct tree *t = arg;
    struct mln_tlog_edge edge = {0};
    for (uint64_t i = index << level; i < (index + 1) << level; i++) {
        if (i >= LEAVES) {
            return mln_fail(cx, MLN_E_INTERNAL, "asked for a subtree that is not full");
        }
        mln_tlog_append(&edge, &t->leaves[i]);
    }
    mln_tlog_root(&edge, ret);
    return MLN_OK;
}

static void make(struct tree *t)
{
    struct mln_tlog_edge edge = {0};
    mln_tlog_root(&edge, &t->roots[0]);
    for (unsigned i = 0; i < LEAVES; i++) {
        uint8_t byte = (uint8_t)i;
        mln_tlog_leaf(mln_bytes_at(&byte, 1), &t->leaves[i]);
        mln_tlog_append(&edge, &t->leaves[i]);
        mln_tlog_root(&edge, &t->roots[i + 1]);
    }
}

static void every_inclusion_proof(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static struct tree t;
    struct mln_hash proof[64] = {0};
    size_t n = 0;
    make(&t);
    struct mln_tlog_source src = {hash_of, &t};
    for (uint64_t size = 1; size <= LEAVES; size++) {
        for (uint64_t i = 0; i < size; i++) {
            kit_ok(cx, mln_tlog_prove_inclusion(cx, &src, size, i, proof, &n));
            kit_ok(cx, mln_tlog_check_inclusion(cx, proof, n, size, &t.roots[size], i, &t.leaves[i]));
            kit_refused(cx, mln_tlog_check_inclusion(cx, proof, n + 1, size, &t.roots[size], i, &t.leaves[i]), MLN_E_FORGED);
            kit_refused(cx, mln_tlog_check_inclusion(cx, proof, n, size, &t.roots[size - 1], i, &t.leaves[i]), MLN_E_FORGED);
            for (size_t k = 0; k < n; k++) {
                proof[k].b[k % 32] ^= 1;
                kit_refused(cx, mln_tlog_check_inclusion(cx, proof, n, size, &t.roots[size], i, &t.leaves[i]), MLN_E_FORGED);
                proof[k].b[k % 32] ^= 1;
            }
            if (n > 0) {
                kit_refused(cx, mln_tlog_check_inclusion(cx, proof, n - 1, size, &t.roots[size], i, &t.leaves[i]), MLN_E_FORGED);
            }
        }
        kit_refused(cx, mln_tlog_prove_inclusion(cx, &src, size, size, proof, &n), MLN_E_INVALID);
        kit_refused(cx, mln_tlog_check_inclusion(cx, proof, 0, size, &t.roots[size], size, &t.leaves[0]), MLN_E_INVALID);
    }
    kit_refused(cx, mln_tlog_prove_inclusion(cx, &src, 0, 0, proof, &n), MLN_E_INVALID);
}

static void every_consistency_proof(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static struct tree t;
    struct mln_hash proof[65] = {0};
    size_t n = 0;
    make(&t);
    struct mln_tlog_source src = {hash_of, &t};
    for (uint64_t size = 0; size <= LEAVES; size++) {
        for (uint64_t old = 0; old <= size; old++) {
            const struct mln_hash *from = &t.roots[old];
            const struct mln_hash *to = &t.roots[size];
            kit_ok(cx, mln_tlog_prove_consistency(cx, &src, old, size, proof, &n));
            assert_true((old == 0 || old == size) == (n == 0));
            kit_ok(cx, mln_tlog_check_consistency(cx, proof, n, old, from, size, to));
            kit_refused(cx, mln_tlog_check_consistency(cx, proof, n + 1, old, from, size, to), MLN_E_FORGED);
            for (size_t k = 0; k < n; k++) {
                proof[k].b[k % 32] ^= 0x80;
                kit_refused(cx, mln_tlog_check_consistency(cx, proof, n, old, from, size, to), MLN_E_FORGED);
                proof[k].b[k % 32] ^= 0x80;
            }
            if (n > 0) {
                kit_refused(cx, mln_tlog_check_consistency(cx, proof, n - 1, old, from, size, to), MLN_E_FORGED);
                kit_refused(cx, mln_tlog_check_consistency(cx, proof, n, old, to, size, to), MLN_E_FORGED);
            }
        }
        kit_refused(cx, mln_tlog_prove_consistency(cx, &src, size + 1, size, proof, &n), MLN_E_INVALID);
        kit_refused(cx, mln_tlog_check_consistency(cx, proof, 0, size + 1, &t.roots[0], size, &t.roots[size]), MLN_E_FORGED);
    }
    kit_refused(cx, mln_tlog_check_consistency(cx, proof, 0, 5, &t.roots[4], 5, &t.roots[5]), MLN_E_FORGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(known_roots),
        KIT_TEST(long_leaves_hash_the_same_way),
        KIT_TEST(every_inclusion_proof),
        KIT_TEST(every_consistency_proof),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
