/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: mln_gate_parse, mln_gate_judge, over YAML: a gate, and the same document as evidence. */
#include "fuzz.h"

#include "assure/gate.h"
#include "base/yaml.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)32 << 20, false);
    struct mln_cx cx;
    struct mln_gate gate;
    const struct mln_value *doc = NULL;
    mln_cx_init(&cx, arena);
    struct mln_err err = mln_yaml_parse(&cx, mln_bytes_at(data, size), &doc);
    if (!mln_failed(err)) {
        err = mln_gate_parse(&cx, doc, &gate);
        if (mln_failed(err)) {
            mln_cx_clear(&cx);
            err = mln_gate_parse(&cx, mln_get(doc, "gate"), &gate);
        }
    }
    if (!mln_failed(err)) {
        const struct mln_value *first = NULL;
        const struct mln_value *second = NULL;
        err = mln_gate_judge(&cx, &gate, mln_get(doc, "evidence"), &first);
        MLN_CHECK(mln_failed(err) || first != NULL);
        if (!mln_failed(err)) {
            err = mln_gate_judge(&cx, &gate, mln_get(doc, "evidence"), &second);
            MLN_CHECK(mln_failed(err) || mln_value_eq(first, second));
        }
    }
    mln_arena_free(arena);
    return 0;
}
