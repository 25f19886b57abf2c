/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names a pickle may import. What is on no list is unknown, and unknown is never clean: the list of what is allowed decides,
 * the lists of what is dangerous only tell bad from odd.
 */
#include "artifact/pickle_priv.h"

struct allowed {
    const char *module;
    const char *names; /* one blank between two */
    enum pk_rule rule;
};

struct named {
    const char *module, *name;
};

#define PK_ALLOW(module, rule, names) {module, names, PK_RULE_##rule},
static const struct allowed allowed[] = {
#include "artifact/pickle_allow.def"
};
#undef PK_ALLOW

#define PK_DANGER_MODULE(module) module,
static const char *const danger_modules[] = {
#include "artifact/pickle_danger.def"
};
#undef PK_DANGER_MODULE

#define PK_DANGER_NAME(module, name) {module, name},
static const struct named danger_names[] = {
#include "artifact/pickle_danger.def"
};
#undef PK_DANGER_NAME

#define PK_DANGER_VERB(name) name,
static const char *const danger_verbs[] = {
#include "artifact/pickle_danger.def"
};
#undef PK_DANGER_VERB

static bool has_name(const char *names, struct mln_bytes name)
{
    struct mln_bytes rest = mln_bytes_of(names);
    while (rest.len > 0) {
        if (mln_bytes_eq(mln_bytes_cut(rest, ' ', &rest), name)) {
            return true;
        }
    }
    return false;
}

/* The first row of the module, or where it would stand. */
static size_t first_row(struct mln_bytes module)
{
    size_t low = 0;
    size_t high = MLN_COUNT(allowed);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (mln_bytes_cmp(mln_bytes_of(allowed[mid].module), module) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static const struct allowed *find_allowed(struct mln_bytes module, struct mln_bytes name)
{
    for (size_t i = first_row(module); i < MLN_COUNT(allowed); i++) {
        if (!mln_bytes_is(module, allowed[i].module)) {
            break;
        }
        if (has_name(allowed[i].names, name)) {
            return &allowed[i];
        }
    }
    return NULL;
}

static bool find_word(const char *const *words, size_t n, struct mln_bytes word)
{
    size_t low = 0;
    while (low < n) {
        size_t mid = low + (n - low) / 2;
        int order = mln_bytes_cmp(word, mln_bytes_of(words[mid]));
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            n = mid;
        } else {
            low = mid + 1;
        }
    }
    return false;
}

/* Is it, or a package that holds it, on the list? */
static bool is_danger_module(struct mln_bytes module)
{
    for (size_t i = 0; i <= module.len; i++) {
        if ((i == module.len || module.ptr[i] == '.') &&
            find_word(danger_modules, MLN_COUNT(danger_modules), mln_bytes_sub(module, 0, i))) {
            return true;
        }
    }
    return false;
}

static bool is_danger_name(struct mln_bytes module, struct mln_bytes name)
{
    for (size_t i = 0; i < MLN_COUNT(danger_names); i++) {
        if (mln_bytes_is(module, danger_names[i].module) &&
            mln_bytes_is(name, danger_names[i].name)) {
            return true;
        }
    }
    return false;
}

static bool is_dunder(struct mln_bytes part)
{
    return part.len > 4 && mln_bytes_starts(part, MLN_BYTES("__")) &&
           mln_bytes_ends(part, MLN_BYTES("__"));
}

/* "path.os.system": Python takes the attributes one after the other, so that each part may lead elsewhere. */
static bool is_danger_path(struct mln_bytes module, struct mln_bytes name)
{
    struct mln_bytes rest = name;
    bool is_dotted = mln_bytes_find(name, '.') < name.len;
    for (bool is_last = false; !is_last;) {
        is_last = mln_bytes_find(rest, '.') == rest.len;
        struct mln_bytes part = mln_bytes_cut(rest, '.', &rest);
        bool is_bad = is_dunder(part) || find_word(danger_verbs, MLN_COUNT(danger_verbs), part) ||
                      is_danger_name(module, part);
        if (is_bad || (is_dotted && find_word(danger_modules, MLN_COUNT(danger_modules), part))) {
            return true;
        }
    }
    return false;
}

/* Plain functions of Python that do nothing by themselves: odd in a model, no more. */
static bool is_mild_builtin(struct mln_bytes module, struct mln_bytes name)
{
    static const char *const mild[] = {
        "abs",          "all",       "any",      "ascii",      "bin",      "bool",  "chr",
        "divmod",       "enumerate", "format",   "hash",       "hex",      "id",    "isinstance",
        "issubclass",   "len",       "max",      "memoryview", "min",      "oct",   "ord",
        "pow",          "print",     "property", "repr",       "reversed", "round", "sorted",
        "staticmethod", "sum",       "super",    "zip"};
    return (mln_bytes_is(module, "builtins") || mln_bytes_is(module, "__builtin__")) &&
           (find_word(mild, MLN_COUNT(mild), name) || mln_bytes_ends(name, MLN_BYTES("Error")) ||
            mln_bytes_ends(name, MLN_BYTES("Warning")));
}

enum pk_rating pk_rate(struct mln_bytes module, struct mln_bytes name, enum pk_rule *ret_rule)
{
    const struct allowed *entry = find_allowed(module, name);
    *ret_rule = entry != NULL ? entry->rule : PK_RULE_NONE;
    if (entry != NULL) {
        return PK_ALLOWED;
    }
    if (is_mild_builtin(module, name)) {
        return PK_UNLISTED;
    }
    return is_danger_module(module) || is_danger_path(module, name) ? PK_DANGEROUS : PK_UNLISTED;
}

static bool words_sorted(const char *const *words, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (mln_bytes_cmp(mln_bytes_of(words[i - 1]), mln_bytes_of(words[i])) >= 0) {
            return false;
        }
    }
    return true;
}

bool pk_allow_sorted(void)
{
    for (size_t i = 1; i < MLN_COUNT(allowed); i++) {
        if (mln_bytes_cmp(mln_bytes_of(allowed[i - 1].module), mln_bytes_of(allowed[i].module)) >
            0) {
            return false;
        }
    }
    return words_sorted(danger_modules, MLN_COUNT(danger_modules)) &&
           words_sorted(danger_verbs, MLN_COUNT(danger_verbs));
}
