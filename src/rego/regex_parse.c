/* SPDX-License-Identifier: Apache-2.0 */
/* The syntax. Errors have Go's words and show the piece that is wrong. */
#include "rego/regex_priv.h"

#include <stdio.h>

enum { FOLD = 1, DOT_ALL = 2, MULTI = 4, LAZY = 8 };

struct parser {
    struct rg_regex *re;
    struct mln_bytes all;
    size_t at;
    unsigned flags, depth;
    char *why;
    size_t why_max;
    bool has_failed;
    bool is_quoted;
};

static uint32_t refuse(struct parser *p, const char *what, struct mln_bytes piece)
{
    if (!p->has_failed) {
        (void)snprintf(p->why, p->why_max, "error parsing regexp: %s: `%.*s`", what,
                       MLN_FMT(piece));
    }
    p->has_failed = true;
    return 0;
}

static uint32_t no_memory(struct parser *p)
{
    return refuse(p, "expression too large", MLN_BYTES_NONE);
}

static bool more(const struct parser *p)
{
    return p->at < p->all.len && !p->has_failed;
}

static uint8_t peek(const struct parser *p)
{
    return p->at < p->all.len ? p->all.ptr[p->at] : 0;
}

static bool looks_at(const struct parser *p, const char *text)
{
    return mln_bytes_starts(mln_bytes_from(p->all, p->at), mln_bytes_of(text));
}

static struct mln_bytes since(const struct parser *p, size_t from)
{
    return mln_bytes_sub(p->all, from, p->at - from);
}

static uint32_t take_rune(struct parser *p)
{
    size_t len = 0;
    uint32_t c = rx_rune(p->all.ptr + p->at, p->all.len - p->at, &len);
    p->at += len;
    return c;
}

/* ---- nodes ---- */
static uint32_t new_node(struct parser *p, enum rx_node_kind kind)
{
    struct rg_regex *re = p->re;
    if (re->node_n == re->node_cap) {
        uint32_t cap = re->node_cap < 16 ? 16 : re->node_cap * 2;
        void *more_nodes = mln_realloc(re->nodes, re->node_n * sizeof(*re->nodes),
                                       cap * sizeof(*re->nodes), false);
        if (more_nodes == NULL) {
            return no_memory(p);
        }
        re->nodes = more_nodes;
        re->node_cap = cap;
    }
    re->nodes[re->node_n++] = (struct rx_node){.kind = (uint8_t)kind, .reps = 1};
    return re->node_n;
}

static struct rx_node *at(const struct parser *p, uint32_t node)
{
    return &p->re->nodes[node - 1];
}

/* Takes the set over. */
static uint32_t set_node(struct parser *p, struct rx_set *set)
{
    struct rg_regex *re = p->re;
    if (re->set_n == re->set_cap) {
        uint32_t cap = re->set_cap < 16 ? 16 : re->set_cap * 2;
        void *more_sets =
            mln_realloc(re->sets, re->set_n * sizeof(*re->sets), cap * sizeof(*re->sets), false);
        if (more_sets == NULL) {
            rx_set_drop(set);
            return no_memory(p);
        }
        re->sets = more_sets;
        re->set_cap = cap;
    }
    rx_set_tidy(set);
    if (set->is_broken) {
        rx_set_drop(set);
        return no_memory(p);
    }
    uint32_t node = new_node(p, RX_SET), i = 0;
    while (i < re->set_n && !(re->sets[i].n == set->n &&
                              mln_same(re->sets[i].ranges, set->ranges,
                                       set->n * sizeof(*set->ranges)))) {
        i++;
    }
    if (i < re->set_n) {
        rx_set_drop(set);
    } else {
        re->sets[re->set_n++] = *set;
    }
    if (node != 0) {
        at(p, node)->set = i;
    }
    return node;
}

static uint32_t rune_node(struct parser *p, uint32_t c)
{
    struct rx_set set = {0};
    rx_set_add(&set, c, c);
    if ((p->flags & FOLD) != 0) {
        rx_set_fold(&set);
    }
    return set_node(p, &set);
}

static uint32_t assert_node(struct parser *p, enum rx_assert what)
{
    uint32_t node = new_node(p, RX_ASSERT);
    if (node != 0) {
        at(p, node)->assertion = (uint8_t)what;
    }
    return node;
}

/* ---- escapes and classes ---- */
static int hex(uint8_t c)
{
    uint8_t l = c | 0x20;
    return c >= '0' && c <= '9' ? c - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

static bool read_hex(struct parser *p, uint32_t *ret)
{
    bool braces = peek(p) == '{';
    size_t n = 0;
    uint32_t c = 0;
    p->at += braces;
    while (more(p) && hex(peek(p)) >= 0 && (braces || n < 2) && c <= RX_RUNE_MAX) {
        c = c << 4 | (uint32_t)hex(peek(p));
        p->at++;
        n++;
    }
    bool ok = braces ? n > 0 && peek(p) == '}' : n == 2;
    p->at += braces && ok;
    *ret = c;
    return ok && c <= RX_RUNE_MAX;
}

/* Behind the backslash: a single code point. */
static bool read_escape(struct parser *p, size_t from, uint32_t *ret)
{
    static const char names[] = "aftnrv", codes[] = "\a\f\t\n\r\v";
    if (p->at >= p->all.len) {
        (void)refuse(p, "trailing backslash at end of expression", MLN_BYTES_NONE);
        return false;
    }
    uint32_t c = take_rune(p);
    const char *name = c < 128 && c != 0 ? strchr(names, (int)c) : NULL;
    if (name != NULL) {
        *ret = (uint8_t)codes[name - names];
        return true;
    }
    if (c == '0' || (c >= '1' && c <= '7' && peek(p) >= '0' && peek(p) <= '7')) {
        *ret = c - '0';
        for (int i = 0; i < 2 && peek(p) >= '0' && peek(p) <= '7'; i++) {
            *ret = *ret * 8 + (uint32_t)(p->all.ptr[p->at++] - '0');
        }
        return true;
    }
    bool ok = c == 'x' && read_hex(p, ret);
    if (!ok && c < 128 && c != 'x' && !(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z')) {
        *ret = c;
        ok = true;
    }
    if (!ok) {
        (void)refuse(p, "invalid escape sequence", since(p, from));
    }
    return ok;
}

static void add_part(struct parser *p, struct rx_set *to, struct rx_set *part, bool negate)
{
    if ((p->flags & FOLD) != 0) {
        rx_set_fold(part);
    }
    if (negate) {
        rx_set_not(part);
    }
    rx_set_add_set(to, part);
    rx_set_drop(part);
}

/* \d \pL \p{Greek} \P{^Lu}: true when it was one. */
static bool read_class_escape(struct parser *p, struct rx_set *to)
{
    size_t from = p->at;
    uint8_t c = p->at + 1 < p->all.len ? p->all.ptr[p->at + 1] : 0;
    struct rx_set part = {0};
    if (peek(p) != '\\') {
        return false;
    }
    if (rx_set_perl(&part, c | 0x20)) {
        p->at += 2;
        add_part(p, to, &part, (c & 0x20) == 0);
        return true;
    }
    if (c != 'p' && c != 'P') {
        return false;
    }
    p->at += 2;
    bool negate = c == 'P';
    size_t name_at = p->at;
    if (peek(p) == '{') {
        name_at++;
        while (more(p) && peek(p) != '}') {
            p->at++;
        }
    } else if (more(p)) {
        (void)take_rune(p);
    }
    struct mln_bytes name = since(p, name_at);
    bool closed = name_at == from + 2 || peek(p) == '}';
    p->at += name_at != from + 2 && closed;
    if (name.len > 0 && name.ptr[0] == '^') {
        negate = !negate;
        name = mln_bytes_from(name, 1);
    }
    if (!closed || !rx_set_named(&part, name)) {
        (void)refuse(p, "invalid character class range", since(p, from));
    }
    add_part(p, to, &part, negate);
    return true;
}

/* [:alpha:] [:^alpha:] inside brackets. */
static bool read_posix(struct parser *p, struct rx_set *to)
{
    struct mln_bytes rest = mln_bytes_from(p->all, p->at);
    size_t end = mln_bytes_find_bytes(rest, MLN_BYTES(":]"));
    struct rx_set part = {0};
    if (!looks_at(p, "[:") || end >= rest.len || end < 2) {
        return false;
    }
    struct mln_bytes name = mln_bytes_sub(rest, 2, end - 2);
    bool negate = name.len > 0 && name.ptr[0] == '^';
    p->at += end + 2;
    if (!rx_set_posix(&part, mln_bytes_from(name, negate))) {
        (void)refuse(p, "invalid character class range", mln_bytes_sub(rest, 0, end + 2));
    }
    add_part(p, to, &part, negate);
    return true;
}

static bool class_rune(struct parser *p, size_t class_at, uint32_t *ret)
{
    if (!more(p)) {
        (void)refuse(p, "missing closing ]", mln_bytes_from(p->all, class_at));
        return false;
    }
    size_t from = p->at;
    if (peek(p) == '\\') {
        p->at++;
        return read_escape(p, from, ret);
    }
    *ret = take_rune(p);
    return true;
}

static void read_range(struct parser *p, size_t class_at, struct rx_set *to)
{
    size_t from = p->at;
    struct rx_set part = {0};
    uint32_t lo = 0, hi = 0;
    if (!class_rune(p, class_at, &lo)) {
        return;
    }
    hi = lo;
    if (peek(p) == '-' && p->at + 1 < p->all.len && p->all.ptr[p->at + 1] != ']') {
        p->at++;
        if (!class_rune(p, class_at, &hi)) {
            return;
        }
        if (hi < lo) {
            (void)refuse(p, "invalid character class range", since(p, from));
            return;
        }
    }
    rx_set_add(&part, lo, hi);
    add_part(p, to, &part, false);
}

static uint32_t read_class(struct parser *p)
{
    size_t class_at = p->at++;
    struct rx_set set = {0};
    bool negate = peek(p) == '^', first = true;
    p->at += negate;
    while (!p->has_failed && (first || peek(p) != ']' || !more(p))) {
        if (!more(p)) {
            (void)refuse(p, "missing closing ]", mln_bytes_from(p->all, class_at));
            break;
        }
        if (!read_posix(p, &set) && !read_class_escape(p, &set)) {
            read_range(p, class_at, &set);
        }
        first = false;
    }
    p->at++;
    if (negate) {
        rx_set_not(&set);
    }
    if (p->has_failed) {
        rx_set_drop(&set);
        return 0;
    }
    return set_node(p, &set);
}

/* ---- repetition ---- */
static bool read_count(struct parser *p, int32_t *ret)
{
    size_t from = p->at;
    int32_t n = 0;
    while (peek(p) >= '0' && peek(p) <= '9') {
        n = n > RX_REPEAT_MAX ? n : n * 10 + (peek(p) - '0');
        p->at++;
    }
    *ret = n;
    return p->at > from && !(p->all.ptr[from] == '0' && p->at > from + 1);
}

/* {n} {n,} {n,m}: false and nothing taken when it is plain text. */
static bool read_braces(struct parser *p, int32_t *min, int32_t *max)
{
    size_t from = p->at++;
    bool ok = read_count(p, min);
    *max = *min;
    if (ok && peek(p) == ',') {
        p->at++;
        if (peek(p) == '}') {
            *max = -1;
        } else {
            ok = read_count(p, max);
        }
    }
    if (!ok || peek(p) != '}') {
        p->at = from;
        return false;
    }
    p->at++;
    if (*min > RX_REPEAT_MAX || *max > RX_REPEAT_MAX || (*max >= 0 && *min > *max)) {
        (void)refuse(p, "invalid repeat count", since(p, from));
    }
    return true;
}

static bool read_operator(struct parser *p, int32_t *min, int32_t *max)
{
    switch (peek(p)) {
    case '*':
    case '+':
        *min = peek(p) == '+';
        *max = -1;
        p->at++;
        return true;
    case '?':
        *min = 0;
        *max = 1;
        p->at++;
        return true;
    case '{':
        return read_braces(p, min, max);
    default:
        return false;
    }
}

static uint32_t read_repeats(struct parser *p, uint32_t node)
{
    int32_t min = 0, max = 0;
    size_t before = 0;
    bool again = false;
    while (node != 0 && more(p)) {
        size_t from = p->at;
        if (!read_operator(p, &min, &max) || p->has_failed) {
            break;
        }
        bool lazy = peek(p) == '?';
        p->at += lazy;
        if (again) {
            return refuse(p, "invalid nested repetition operator", since(p, before));
        }
        before = from;
        again = true;
        uint32_t r = new_node(p, RX_REPEAT);
        if (r == 0) {
            return 0;
        }
        int32_t times = max > 0 ? max : max < 0 ? min : 0, inner = at(p, node)->reps;
        at(p, r)->min = min;
        at(p, r)->max = max;
        at(p, r)->first = node;
        at(p, r)->is_lazy = lazy != ((p->flags & LAZY) != 0);
        at(p, r)->reps = times > 1 ? times * inner : inner;
        if (at(p, r)->reps > RX_REPEAT_MAX) {
            return refuse(p, "invalid repeat count", since(p, from));
        }
        node = r;
    }
    return node;
}

/* ---- groups ---- */
static uint32_t read_alternatives(struct parser *p);

static bool is_name(struct mln_bytes t)
{
    for (size_t i = 0; i < t.len; i++) {
        uint8_t c = t.ptr[i], l = c | 0x20;
        if (c != '_' && !(c >= '0' && c <= '9') && !(l >= 'a' && l <= 'z')) {
            return false;
        }
    }
    return t.len > 0;
}

static bool add_group(struct parser *p, struct mln_bytes name, uint32_t *ret)
{
    struct rg_regex *re = p->re;
    for (uint32_t i = 1; name.len > 0 && i < re->groups; i++) {
        if (re->names[i] != NULL && mln_bytes_is(name, re->names[i])) {
            (void)refuse(p, "duplicate capture group name", name);
            return false;
        }
    }
    char **names = mln_realloc(re->names, re->groups * sizeof(*names),
                               (re->groups + 1) * sizeof(*names), false);
    if (names == NULL) {
        (void)no_memory(p);
        return false;
    }
    re->names = names;
    names[re->groups] = name.len == 0 ? NULL : mln_alloc(name.len + 1);
    if (names[re->groups] != NULL) {
        mln_copy(names[re->groups], name.ptr, name.len);
    }
    *ret = re->groups++;
    return true;
}

static bool read_name(struct parser *p, size_t from, uint32_t *group)
{
    p->at = from + (looks_at(p, "(?P<") ? 4 : 3);
    size_t name_at = p->at;
    while (more(p) && peek(p) != '>') {
        p->at++;
    }
    struct mln_bytes name = since(p, name_at);
    if (!more(p)) {
        (void)refuse(p, "invalid named capture", mln_bytes_from(p->all, from));
        return false;
    }
    p->at++;
    if (!is_name(name)) {
        (void)refuse(p, "invalid named capture", since(p, from));
        return false;
    }
    return add_group(p, name, group);
}

/* (?flags) and (?flags: : *opens tells that a group begins. */
static bool read_flags(struct parser *p, size_t from, bool *opens)
{
    unsigned flags = p->flags;
    bool minus = false, any = false;
    p->at = from + 2;
    while (more(p)) {
        uint8_t c = p->all.ptr[p->at++];
        unsigned bit = c == 'i' ? FOLD : c == 's' ? DOT_ALL : c == 'm' ? MULTI : c == 'U' ? LAZY : 0;
        if (bit != 0) {
            flags = minus ? flags & ~bit : flags | bit;
            any = true;
        } else if (c == '-' && !minus) {
            minus = true;
            any = false;
        } else if ((c == ':' || c == ')') && (!minus || any)) {
            p->flags = flags;
            *opens = c == ':';
            return true;
        } else {
            break;
        }
    }
    (void)(p->at >= p->all.len ? refuse(p, "missing closing )", p->all)
                               : refuse(p, "invalid or unsupported Perl syntax", since(p, from)));
    return false;
}

static uint32_t read_group(struct parser *p)
{
    size_t from = p->at;
    unsigned flags = p->flags;
    uint32_t group = 0;
    bool opens = true, named = looks_at(p, "(?P<") || looks_at(p, "(?<");
    if (looks_at(p, "(?<=") || looks_at(p, "(?<!")) {
        p->at += 4;
        return refuse(p, "invalid or unsupported Perl syntax", since(p, from));
    }
    if (named ? !read_name(p, from, &group)
        : looks_at(p, "(?") ? !read_flags(p, from, &opens)
                            : (p->at++, !add_group(p, MLN_BYTES_NONE, &group))) {
        return 0;
    }
    if (!opens) {
        return new_node(p, RX_EMPTY);
    }
    if (++p->depth > RX_NEST_MAX) {
        return refuse(p, "expression nests too deeply", p->all);
    }
    uint32_t inner = read_alternatives(p), node = new_node(p, RX_GROUP);
    p->depth--;
    if (inner == 0 || node == 0) {
        return 0;
    }
    if (peek(p) != ')') {
        return refuse(p, "missing closing )", p->all);
    }
    p->at++;
    p->flags = flags;
    at(p, node)->first = inner;
    at(p, node)->group = group;
    at(p, node)->reps = at(p, inner)->reps;
    return node;
}

/* ---- the rest ---- */
static uint32_t read_backslash(struct parser *p)
{
    static const char letters[] = "AzbB";
    static const uint8_t asserts[] = {RX_TEXT_BEGIN, RX_TEXT_END, RX_WORD, RX_NO_WORD};
    size_t from = p->at;
    struct rx_set set = {0};
    uint32_t c = 0;
    uint8_t letter = p->at + 1 < p->all.len ? p->all.ptr[p->at + 1] : 0;
    const char *found = letter == 0 ? NULL : strchr(letters, letter);
    if (found != NULL) {
        p->at += 2;
        return assert_node(p, asserts[found - letters]);
    }
    if (read_class_escape(p, &set)) {
        if (!p->has_failed) {
            return set_node(p, &set);
        }
        rx_set_drop(&set);
        return 0;
    }
    p->at++;
    return read_escape(p, from, &c) ? rune_node(p, c) : 0;
}

/* \Q...\E: text as it stands. Operators behind \E are for its last letter. */
static uint32_t read_quoted(struct parser *p)
{
    p->is_quoted = true;
    if (!more(p) || looks_at(p, "\\E")) {
        p->at += looks_at(p, "\\E") ? 2 : 0;
        p->is_quoted = false;
        return new_node(p, RX_EMPTY);
    }
    uint32_t node = rune_node(p, take_rune(p));
    if (looks_at(p, "\\E")) {
        p->at += 2;
        p->is_quoted = false;
    }
    return node;
}

static uint32_t read_dot(struct parser *p)
{
    struct rx_set set = {0};
    p->at++;
    if ((p->flags & DOT_ALL) == 0) {
        rx_set_add(&set, '\n', '\n');
    }
    rx_set_not(&set);
    return set_node(p, &set);
}

static uint32_t read_atom(struct parser *p)
{
    bool multi = (p->flags & MULTI) != 0;
    int32_t min = 0, max = 0;
    size_t from = p->at;
    if (p->is_quoted || looks_at(p, "\\Q")) {
        p->at += p->is_quoted ? 0 : 2;
        return read_quoted(p);
    }
    switch (peek(p)) {
    case '(':
        return read_group(p);
    case '[':
        return read_class(p);
    case '.':
        return read_dot(p);
    case '^':
        p->at++;
        return assert_node(p, multi ? RX_LINE_BEGIN : RX_TEXT_BEGIN);
    case '$':
        p->at++;
        return assert_node(p, multi ? RX_LINE_END : RX_TEXT_END);
    case '\\':
        return read_backslash(p);
    default:
        break;
    }
    if (read_operator(p, &min, &max)) {
        return refuse(p, "missing argument to repetition operator", since(p, from));
    }
    return rune_node(p, take_rune(p));
}

static uint32_t read_sequence(struct parser *p)
{
    uint32_t cat = new_node(p, RX_CAT), last = 0;
    while (cat != 0 && more(p) && (p->is_quoted || (peek(p) != '|' && peek(p) != ')'))) {
        uint32_t node = read_atom(p);
        node = p->is_quoted ? node : read_repeats(p, node);
        if (node == 0) {
            return 0;
        }
        if (at(p, node)->reps > at(p, cat)->reps) {
            at(p, cat)->reps = at(p, node)->reps;
        }
        *(last == 0 ? &at(p, cat)->first : &at(p, last)->next) = node;
        last = node;
    }
    return p->has_failed ? 0 : cat;
}

static uint32_t read_alternatives(struct parser *p)
{
    uint32_t alt = new_node(p, RX_ALT), last = 0;
    while (alt != 0) {
        uint32_t node = read_sequence(p);
        if (node == 0) {
            return 0;
        }
        if (at(p, node)->reps > at(p, alt)->reps) {
            at(p, alt)->reps = at(p, node)->reps;
        }
        *(last == 0 ? &at(p, alt)->first : &at(p, last)->next) = node;
        last = node;
        if (peek(p) != '|') {
            break;
        }
        p->at++;
    }
    return alt;
}

bool rx_parse(struct rg_regex *re, struct mln_bytes pattern, uint32_t *ret_root, char *why,
              size_t why_max)
{
    struct parser p = {.re = re, .all = pattern, .why_max = why_max};
    p.why = why;
    uint32_t group = 0;
    if (!add_group(&p, MLN_BYTES_NONE, &group)) {
        return false;
    }
    *ret_root = read_alternatives(&p);
    if (!p.has_failed && p.at < pattern.len) {
        (void)refuse(&p, "unexpected )", pattern);
    }
    return !p.has_failed && *ret_root != 0;
}
