/* SPDX-License-Identifier: Apache-2.0 */
/*
 * numpy types, and the arrays that joblib puts between the opcodes of a pickle: behind the state of a NumpyArrayWrapper lie a byte
 * that counts padding, the padding (newer versions), then the array's bytes, or a whole pickle when the array holds objects.
 * Source: joblib/numpy_pickle.py, numpy's descriptor.c.
 */
#include "artifact/pickle_priv.h"

#define PROBE_STACK 16u
#define PROBE_OPS   2000u /* opcodes of an array's bytes: numbers give up at once */

/* ---- types ---- */

static uint64_t unit_bytes(uint8_t kind)
{
    return kind == 'U' ? 4 : 1;
}

void pk_dtype_made(struct pk_node *object, const struct pk_value *args)
{
    struct mln_bytes text = args->type == PK_TUPLE && args->node->kept > 0
                                ? pk_text(&args->node->items[0])
                                : MLN_BYTES_NONE;
    if (text.len > 0 &&
        (text.ptr[0] == '<' || text.ptr[0] == '>' || text.ptr[0] == '|' || text.ptr[0] == '=')) {
        text = mln_bytes_from(text, 1);
    }
    if (text.len == 0) {
        return;
    }
    uint64_t n = 0;
    object->has_object = text.ptr[0] == 'O';
    for (size_t i = 1; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9' && n < UINT32_MAX;
         i++) {
        n = n * 10 + (text.ptr[i] - (uint64_t)'0');
    }
    object->item_bytes = n * unit_bytes(text.ptr[0]);
}

static bool is_object_dtype(const struct pk_value *v)
{
    return v->type == PK_OBJECT && v->node->callable != NULL &&
           v->node->callable->rule == PK_RULE_DTYPE && v->node->has_object;
}

/* Any field whose type holds objects; fields are {name: (dtype, offset)}. */
static bool has_object_field(const struct pk_value *fields)
{
    for (uint32_t i = 1; fields->type == PK_DICT && i < fields->node->kept; i += 2) {
        const struct pk_value *field = &fields->node->items[i];
        if (field->type == PK_TUPLE && field->node->kept > 0 &&
            is_object_dtype(&field->node->items[0])) {
            return true;
        }
    }
    return fields->type == PK_DICT && fields->node->n > fields->node->kept;
}

/* (version, order, subarray, names, fields, item size, alignment, flags) */
void pk_dtype_state(struct pk *pk, struct pk_node *object, const struct pk_value *state)
{
    (void)pk;
    if (state->type != PK_TUPLE || state->node->kept < 8) {
        return;
    }
    const struct pk_value *items = state->node->items;
    if (items[5].type == PK_INT && items[5].number > 0) {
        object->item_bytes = (uint64_t)items[5].number;
    }
    bool is_flagged = items[7].type == PK_INT && (items[7].number & 1) != 0;
    object->has_object |= is_flagged || has_object_field(&items[4]);
}

/* ---- joblib's arrays ---- */

static bool count_items(const struct pk_value *shape, uint64_t *ret)
{
    uint64_t n = 1;
    if (shape == NULL || shape->type != PK_TUPLE || shape->node->n != shape->node->kept) {
        return false;
    }
    for (uint32_t i = 0; i < shape->node->kept; i++) {
        const struct pk_value *v = &shape->node->items[i];
        if (v->type != PK_INT || v->number < 0 ||
            __builtin_mul_overflow(n, (uint64_t)v->number, &n)) {
            return false;
        }
    }
    *ret = n;
    return true;
}

static void lost(struct pk *pk, const char *text)
{
    if (!pk->is_dead) {
        pk->is_dead = true;
        mln_scan_find_call(pk->report, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_HIGH, "joblib-array",
                           pk->input->base + pk->op_at, pk->op, NULL, "%s", text);
    }
}

/* A pickle in the place of an array's bytes, read with a machine of its own. */
static void object_array(struct pk *pk)
{
    if (pk->depth + 1 >= PK_NEST_MAX) {
        lost(pk, "arrays of objects nest too deep to be read");
        return;
    }
    struct pk inner = {.cx = pk->cx,
                       .input = pk->input,
                       .report = pk->report,
                       .map = pk->map,
                       .at = pk->at,
                       .allow_persid = pk->allow_persid,
                       .depth = pk->depth + 1};
    struct mln_err err = pk_run(&inner);
    pk->at = inner.at;
    pk->is_dead = !inner.has_stopped || mln_failed(err);
    pk_drop(&inner);
}

static void skip_bytes(struct pk *pk, uint64_t n, const char *what)
{
    if (n > pk->map.len - pk->at) {
        pk_die(pk, "joblib-array", "an array is longer than what is left of the file");
        return;
    }
    if (n > 0 && what != NULL) {
        mln_scan_skip(pk->report, what, pk->input->base + pk->at, n);
    }
    pk->at += (size_t)n;
}

/*
 * Who reads the file with pickle alone takes the array's bytes for opcodes: do they do something? Numbers give up within a few bytes.
 */
static void probe_as_opcodes(struct pk *pk)
{
    struct mln_scan_report scratch = {
        .cx = pk->cx, .findings = mln_array(pk->cx), .unread = mln_array(pk->cx)};
    struct pk inner = {.cx = pk->cx,
                       .input = pk->input,
                       .report = &scratch,
                       .map = pk->map,
                       .at = pk->at,
                       .max_ops = PROBE_OPS,
                       .depth = pk->depth + 1};
    for (unsigned i = 0; i < PROBE_STACK; i++) {
        pk_push(&inner, (struct pk_value){.type = PK_UNKNOWN}); /* what lies there at this point */
    }
    struct mln_err err = pk_run(&inner);
    pk_drop(&inner);
    bool is_code = false;
    for (size_t i = 0; i < mln_len(scratch.findings); i++) {
        is_code |= mln_is_text(mln_get(mln_item(scratch.findings, i), "rule"), "pickle-import");
    }
    if (!mln_failed(err) && is_code) {
        mln_scan_find(pk->report, MLN_VERDICT_MALICIOUS, MLN_SEVERITY_CRITICAL, "joblib-array-code",
                      pk->input->base + pk->at, "an array's bytes are opcodes that call something");
    }
}

void pk_wrapper_data(struct pk *pk, const struct pk_value *state)
{
    const struct pk_value *dtype = pk_dict_get(state, "dtype");
    const struct pk_value *pad = pk_dict_get(state, "numpy_array_alignment_bytes");
    uint64_t bytes = 0;
    if (pk->at < pk->frame_end) {
        lost(pk, "an array inside of a frame, which loaders read in different ways");
        return;
    }
    bool is_known = dtype != NULL && dtype->type == PK_OBJECT &&
                    count_items(pk_dict_get(state, "shape"), &bytes);
    if (!is_known) {
        lost(pk, "an array whose size is not written plainly");
        return;
    }
    if (dtype->node->has_object) {
        object_array(pk);
        return;
    }
    if (dtype->node->item_bytes == 0 ||
        __builtin_mul_overflow(bytes, dtype->node->item_bytes, &bytes)) {
        lost(pk, "an array whose size is not written plainly");
        return;
    }
    if (pk->depth == 0) {
        probe_as_opcodes(pk);
    }
    if (pad != NULL && pad->type == PK_INT) {
        if (pk->at >= pk->map.len) {
            pk_die(pk, "joblib-array", "the file ends before an array");
            return;
        }
        skip_bytes(pk, (uint64_t)pk->map.ptr[pk->at] + 1, NULL);
    }
    if (!pk->is_dead) {
        skip_bytes(pk, bytes, "array data");
    }
}
