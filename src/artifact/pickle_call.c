/* SPDX-License-Identifier: Apache-2.0 */
/* Names that a pickle imports and what it calls: the only ways by which one does anything. */
#include "artifact/pickle_priv.h"

/* "os.system" in the arena, cut to a line. */
static const char *full_name(struct pk *pk, const struct pk_node *global)
{
    if (mln_len(pk->report->findings) >= MLN_SCAN_FINDINGS_MAX) {
        return ""; /* only counted from here on */
    }
    struct mln_bytes module = mln_bytes_sub(global->module, 0, PK_NAME_MAX);
    struct mln_bytes name = mln_bytes_sub(global->name, 0, PK_NAME_MAX);
    return mln_text_format(pk->cx, "%.*s.%.*s", MLN_FMT(module), MLN_FMT(name));
}

static void find(struct pk *pk, enum mln_verdict verdict, const char *rule, const char *callable,
                 const char *text)
{
    /* The call itself is what a person wants to see first. */
    bool is_import = mln_bytes_is(mln_bytes_of(rule), "pickle-import");
    bool is_worst = verdict == MLN_VERDICT_MALICIOUS && !is_import;
    enum mln_severity severity = is_worst ? MLN_SEVERITY_CRITICAL : MLN_SEVERITY_HIGH;
    mln_scan_find_call(pk->report, verdict, severity, rule, pk->input->base + pk->op_at, pk->op,
                       callable, "%s%s%s", text, callable != NULL ? " " : "",
                       callable != NULL ? callable : "");
}

/* ---- imports ---- */

static void judge_import(struct pk *pk, const struct pk_node *global)
{
    if (global->rating == PK_ALLOWED) {
        return;
    }
    if (global->rating == PK_DANGEROUS) {
        pk->has_called = true;
        find(pk, MLN_VERDICT_MALICIOUS, "pickle-import", full_name(pk, global), "imports");
    } else {
        find(pk, MLN_VERDICT_SUSPICIOUS, "pickle-import-unknown", full_name(pk, global),
             "imports a name that is on no list:");
    }
}

/* TorchScript's classes: their code lies in the archive and is read there; Python has no such module. */
static bool is_script_class(struct mln_bytes module)
{
    return mln_bytes_is(module, "__torch__") || mln_bytes_starts(module, MLN_BYTES("__torch__."));
}

void pk_import(struct pk *pk, struct pk_value module, struct pk_value name)
{
    if (pk->is_dead) {
        return;
    }
    if (module.type != PK_STR || name.type != PK_STR) {
        pk->has_called = true;
        find(pk, MLN_VERDICT_MALICIOUS, "pickle-import-computed", NULL,
             "imports a name that is computed while loading");
        pk_push(pk, (struct pk_value){.type = PK_UNKNOWN});
        return;
    }
    struct pk_node *global = pk_node(pk);
    if (global == NULL) {
        return;
    }
    global->module = pk_text(&module);
    global->name = pk_text(&name);
    global->rating = pk_rate(global->module, global->name, &global->rule);
    if (pk->allow_persid && is_script_class(global->module)) {
        global->rating = PK_ALLOWED;
    }
    judge_import(pk, global);
    pk_push(pk, (struct pk_value){.type = PK_GLOBAL, .node = global});
}

void pk_extension(struct pk *pk, uint64_t code)
{
    if (pk->is_dead) {
        return;
    }
    mln_scan_find_call(pk->report, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_HIGH, "pickle-extension",
                       pk->input->base + pk->op_at, pk->op, NULL,
                       "imports whatever is registered under number %llu where it is loaded",
                       (unsigned long long)code);
    pk_push(pk, (struct pk_value){.type = PK_UNKNOWN});
}

void pk_persistent(struct pk *pk, struct pk_value id)
{
    if (pk->is_dead) {
        return;
    }
    if (!pk->allow_persid) {
        find(pk, MLN_VERDICT_SUSPICIOUS, "pickle-persistent", NULL,
             "asks its loader for an object by name, outside of a torch file");
    }
    struct pk_node *node = pk_node(pk);
    if (node != NULL) {
        node->id = id;
        pk->torch.n_storages++;
        pk_push(pk, (struct pk_value){.type = PK_PERSID, .node = node});
    }
}

/* ---- arguments of listed callables ---- */

static const struct pk_value *arg(const struct pk_value *args, uint32_t i)
{
    return args->type == PK_TUPLE && i < args->node->kept ? &args->node->items[i] : NULL;
}

/* Protocols below 3 write bytes as _codecs.encode(text, 'latin1'). Other codecs are tools to build names with. */
static void check_codec(struct pk *pk, const struct pk_value *args)
{
    static const char *const plain[] = {"latin1", "latin-1", "iso-8859-1",
                                        "utf-8",  "utf8",    "ascii"};
    struct mln_bytes codec = pk_text(arg(args, 1));
    for (size_t i = 0; i < MLN_COUNT(plain); i++) {
        if (mln_bytes_is_nocase(codec, plain[i])) {
            return;
        }
    }
    find(pk, MLN_VERDICT_SUSPICIOUS, "pickle-codec", "_codecs.encode",
         "turns text by a codec that is not latin1:");
}

/* Bytes that are loaded as a model of their own. */
static void check_nested(struct pk *pk, const struct pk_value *args, const struct pk_node *callable)
{
    const struct pk_value *bytes = arg(args, 0);
    if (bytes == NULL || bytes->type != PK_BYTES) {
        find(pk, MLN_VERDICT_SUSPICIOUS, "pickle-nested", full_name(pk, callable),
             "loads a model from bytes that are computed:");
        return;
    }
    if (pk->depth + pk->input->depth >= MLN_SCAN_DEPTH_MAX) {
        find(pk, MLN_VERDICT_SUSPICIOUS, "pickle-depth", full_name(pk, callable),
             "models nest too deep to be read:");
        return;
    }
    const char *format = pk->report->format;
    uint64_t bytes_read = pk->report->bytes_read;
    struct mln_scan_input inner = {.path = mln_text_format(pk->cx, "%s!bytes", pk->input->path),
                                   .map = pk_text(bytes),
                                   .depth = pk->input->depth + 1};
    bool is_view = inner.map.ptr >= pk->map.ptr && inner.map.ptr < pk->map.ptr + pk->map.len;
    inner.base = is_view ? pk->input->base + (uint64_t)(inner.map.ptr - pk->map.ptr) : 0;
    if (mln_failed(mln_scan_bytes(pk->cx, &inner, pk->report))) {
        pk->is_dead = true;
    }
    pk->report->format = format;
    pk->report->bytes_read = bytes_read; /* they are this pickle's bytes already */
}

static void check_args(struct pk *pk, const struct pk_node *callable, const struct pk_value *args,
                       struct pk_node *object)
{
    switch (callable->rule) {
    case PK_RULE_CODEC:
        check_codec(pk, args);
        break;
    case PK_RULE_NESTED:
        check_nested(pk, args, callable);
        break;
    case PK_RULE_DTYPE:
        pk_dtype_made(object, args);
        break;
    case PK_RULE_OTHER:
        find(pk, MLN_VERDICT_SUSPICIOUS, "pickle-other-file", full_name(pk, callable),
             "loads another file that lies beside it:");
        break;
    case PK_RULE_NONE:
    case PK_RULE_WRAPPER:
        break;
    }
}

/* ---- calls ---- */

static void judge_call(struct pk *pk, const struct pk_value *callable)
{
    if (callable->type != PK_GLOBAL) {
        find(pk, MLN_VERDICT_SUSPICIOUS, "pickle-call-computed", NULL,
             "calls something that is computed while loading");
        return;
    }
    const struct pk_node *global = callable->node;
    if (global->rating == PK_DANGEROUS) {
        find(pk, MLN_VERDICT_MALICIOUS, "pickle-call", full_name(pk, global), "calls");
    } else if (global->rating == PK_UNLISTED) {
        find(pk, MLN_VERDICT_SUSPICIOUS, "pickle-call-unknown", full_name(pk, global),
             "calls a name that is on no list:");
    }
}

void pk_call(struct pk *pk, struct pk_value callable, struct pk_value args, struct pk_value kwargs)
{
    if (pk->is_dead) {
        return;
    }
    pk->has_called = true;
    judge_call(pk, &callable);
    if (args.type != PK_TUPLE) {
        pk_wrong(pk, "pickle-arguments", "the arguments of a call are no tuple");
    }
    if (kwargs.type != PK_NONE && kwargs.type != PK_DICT) {
        pk_wrong(pk, "pickle-arguments", "the named arguments of a call are no dict");
    }
    struct pk_node *object = pk_node(pk);
    if (object == NULL) {
        return;
    }
    object->callable = callable.type == PK_GLOBAL ? callable.node : NULL;
    if (callable.type == PK_GLOBAL && callable.node->rating == PK_ALLOWED && !pk->is_dry) {
        check_args(pk, callable.node, &args, object);
    }
    pk_push(pk, (struct pk_value){.type = PK_OBJECT, .node = object});
}

/* ---- writing into objects ---- */

void pk_touch(struct pk *pk, const struct pk_value *target)
{
    switch (target->type) {
    case PK_OBJECT:  /* a method of a class that was judged when it was imported */
    case PK_UNKNOWN: /* there is a finding already */
        return;
    case PK_GLOBAL:
        find(pk, MLN_VERDICT_MALICIOUS, "pickle-change", full_name(pk, target->node), "changes");
        return;
    default:
        pk_wrong(pk, "pickle-type", "items are added to something that is no container");
        return;
    }
}

static void build_object(struct pk *pk, struct pk_node *object, const struct pk_value *state)
{
    const struct pk_node *callable = object->callable;
    if (callable == NULL || callable->rating != PK_ALLOWED) {
        return;
    }
    if (callable->rule == PK_RULE_DTYPE) {
        pk_dtype_state(pk, object, state);
    } else if (callable->rule == PK_RULE_WRAPPER) {
        pk_wrapper_data(pk, state);
    }
}

void pk_build(struct pk *pk, struct pk_value *inst, struct pk_value state)
{
    pk->has_called = true;
    switch (inst->type) {
    case PK_OBJECT:
        build_object(pk, inst->node, &state);
        return;
    case PK_UNKNOWN:
        return;
    case PK_GLOBAL:
        find(pk, MLN_VERDICT_MALICIOUS, "pickle-change", full_name(pk, inst->node),
             "sets attributes of");
        return;
    case PK_PERSID:
        find(pk, MLN_VERDICT_SUSPICIOUS, "pickle-change", NULL,
             "sets attributes of a stored object");
        return;
    default:
        pk_wrong(pk, "pickle-type", "state for something that has none");
        return;
    }
}
