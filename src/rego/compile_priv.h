/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From trees to programs. Names are resolved in place (resolve.c), bodies are put in an order in which each variable is
 * bound before it is needed while code is made (need.c, gen*.c), and the programs run on registers (vm_priv.h).
 *
 * All rules of one path are a group and become one program. Paths are a tree of nodes below `data`; refs are followed down
 * that tree when the code is made as far as their keys are constant.
 */
#pragma once

#include "rego/ast_priv.h"

struct rg_scope;
struct rg_group;

struct rg_var {
    const struct rg_str *name;
    struct rg_loc loc;
    uint32_t reg;   /* operand that holds it, once bound */
    uint32_t stamp; /* bound in the attempt of this number (need.c) */
    const struct rg_type *type;
    uint16_t depth; /* of the scope that it belongs to */
    bool is_bound;
    bool is_declared;
    bool is_used;
    bool is_wildcard;
    bool is_arg;
    bool is_assigned; /* by ":=" */
    bool is_walked;   /* by "some x in" */
};

struct rg_node {
    const struct rg_str *name;
    struct rg_node *parent;
    struct rg_node **kids;
    uint32_t n, cap;
    struct rg_val names; /* object name -> index of kid, from some kids on */
    struct rg_group *group;
    bool is_rule; /* first part of a rule's name: a global of its package */
    struct rg_val path; /* array of strings below data */
};

enum rg_group_kind { RG_G_COMPLETE, RG_G_FUNCTION, RG_G_SET, RG_G_OBJECT };

struct rg_group {
    uint32_t id;
    uint8_t kind;
    uint8_t mark; /* of the search for cycles */
    bool is_conflict; /* was told */
    struct rg_node *node;
    struct rg_rule **rules;
    uint32_t n, cap;
    struct rg_rule *fallback; /* default */
    uint32_t arity;
    struct rg_proc *proc;
    struct rg_group **needs; /* groups that its rules refer to */
    struct rg_node **trees;  /* whole documents that they refer to */
    uint32_t needs_n, needs_cap, trees_n, trees_cap;
    const char *name; /* "data.a.b" */
    const struct rg_type *type; /* infer.c; NULL: not looked at yet */
};

/* ---- programs ---- */
enum rg_op {
#define RG_OP(name) RG_OP_##name,
#include "rego/op.def"
#undef RG_OP
    RG_OP_COUNT
};

#define RG_CONST 0x8000u /* an operand with this bit is a constant, else a register */
#define RG_NOREG 0x7fffu
#define RG_REGS_MAX 0x7000u
#define RG_ANY_ORDER 2 /* in c of ITER: what is made does not depend on the order */

struct rg_ins {
    uint16_t op;
    uint16_t a, b, c;
    uint32_t d;    /* index of a constant, group, node, with */
    uint32_t fail; /* where to go on when this is undefined or false */
};

struct rg_with_set;
struct rg_proc {
    const char *name;
    struct rg_ins *code;
    struct rg_loc *locs; /* of instructions */
    uint32_t n, cap;
    struct rg_val *consts;
    uint32_t consts_n, consts_cap;
    uint32_t regs;
    const char *const *vars; /* of a query's rows */
    struct rg_with_set **withs;
    uint32_t withs_n, withs_cap;
};

enum rg_with_kind { RG_W_INPUT, RG_W_DATA, RG_W_CALL };
struct rg_with_part {
    uint8_t kind;
    bool is_call; /* the replacement is a function */
    struct rg_val path;            /* below input or data */
    struct rg_node *node;          /* documents that are no longer rules */
    const struct rg_decl *decl;    /* what is replaced */
    struct rg_group *group;
    const struct rg_decl *by_decl; /* by what: a builtin, a function, or a value */
    struct rg_group *by_group;
};
struct rg_with_set {
    struct rg_with_part *parts;
    uint32_t n;
};

struct rg_schema {
    struct rg_schema *next;
    const char *name;
    const struct rg_type *type;
};

struct rg_policy {
    struct rg_heap *heap;
    struct rg_names names;
    struct rg_errors errors;
    struct mln_rego_options options;
    struct rg_module **modules;
    uint32_t modules_n, modules_cap;
    struct rg_node *root;
    struct rg_group **groups;
    uint32_t groups_n, groups_cap;
    struct mln_rego_note *notes; /* with has_notes */
    uint32_t notes_n, notes_cap;
    struct rg_val texts;      /* shared constants: strings */
    uint32_t slots;           /* cached paths */
    rg_builtin_fn *fns;       /* by index of rg_decl_at */
    bool *allowed;            /* builtins that may be called, by index of rg_decl_at; NULL: all */
    const struct rg_type *input_type; /* of a schema; NULL: anything */
    struct rg_schema *schemas;        /* by name */
    bool is_compiled;
};

/* One compilation: of a policy, or of a query, which has a heap of its own. */
struct rg_compiler {
    struct rg_policy *policy;
    struct rg_heap *heap;
    struct rg_errors *errors;
    struct rg_errors *soft; /* what does not stop the search for more; NULL: errors */
    struct rg_errors *late; /* told when all else is right; NULL: errors */
    struct rg_names *names;
    struct rg_module *module; /* of the rule at hand */
    struct rg_node *package;
    struct rg_scope *scope;
    struct rg_group *group;   /* whose rules are resolved */
    const struct rg_rule *rule;
    struct rg_loc at;         /* of the expression whose names are resolved */
    uint32_t rule_errors;     /* errors before the rule at hand */
    uint32_t stamp;
    uint32_t slots;           /* of cached paths, given out so far */
    uint32_t all_but_print;   /* prints wait: they bind nothing */
    uint32_t depth;           /* of the scope whose code is made */
    struct rg_var **trail;    /* marked in this attempt */
    uint32_t trail_n, trail_cap;
};

#define RG_GROW(heap, list, n, cap)                                                                \
    do {                                                                                           \
        if ((n) == (cap)) {                                                                        \
            uint32_t more_ = (cap) == 0 ? 4 : (cap) * 2;                                           \
            void *p_ = rg_try((heap), more_ * sizeof(*(list)));                                    \
            MLN_CHECK(p_ != NULL);                                                                 \
            mln_copy(p_, (list), (n) * sizeof(*(list)));                                           \
            (list) = p_;                                                                           \
            (cap) = more_;                                                                         \
        }                                                                                          \
    } while (0)

/* ---- tree.c ---- */
struct rg_node *rg_node_kid(const struct rg_node *node, struct rg_val name); /* NULL: none */
struct rg_node *rg_node_make(struct rg_policy *policy, struct rg_node *node, const struct rg_str *name);
struct rg_node *rg_node_package(struct rg_policy *policy, const struct rg_term *package, bool make);
void rg_tree_build(struct rg_compiler *c); /* groups of all modules; reports conflicts of heads */
void rg_tree_cycles(struct rg_compiler *c);

/* ---- notes.c ---- */
struct rg_val rg_notes_rule(const struct rg_compiler *c); /* of the rule at hand */
struct rg_val rg_notes_chain(const struct rg_compiler *c);

/* ---- check.c ---- */
void rg_check_unused(struct rg_compiler *c);  /* strict: after all names are resolved */
void rg_check_modules(struct rg_compiler *c); /* imports and other rules that need no names */

/* ---- infer.c: types, when all else is right ---- */
void rg_infer_policy(struct rg_compiler *c);
void rg_infer_query(struct rg_compiler *c, struct rg_body *body);

/* ---- resolve*.c ---- */
void rg_enter_rule(struct rg_compiler *c, struct rg_rule *rule); /* it is the rule at hand */
void rg_resolve_rule(struct rg_compiler *c, struct rg_rule *rule);
void rg_resolve_policy(struct rg_compiler *c);
void rg_resolve_query(struct rg_compiler *c, struct rg_body *body);
struct rg_scope {
    struct rg_scope *up;
    struct rg_var **vars;
    uint32_t n, cap;
    const struct rg_str **pending; /* names that this body declares and has not yet declared */
    uint32_t pending_n, pending_cap;
    uint16_t depth;
};
/* Calls `see` for each variable that stands directly in a body: not in comprehensions and other closures. */
typedef void (*rg_see_fn)(void *with, struct rg_term *var);
void rg_walk_term(struct rg_term *t, rg_see_fn see, void *with);
void rg_walk_expr(struct rg_expr *e, rg_see_fn see, void *with);
void rg_walk_all(struct rg_term *t, rg_see_fn see, void *with);       /* closures too */
void rg_walk_body_all(struct rg_body *body, rg_see_fn see, void *with);
void rg_walk_expr_all(struct rg_expr *e, rg_see_fn see, void *with);

/* ---- need.c: can it be evaluated with what is bound? Binds for the attempt c->stamp. ---- */
void rg_attempt(struct rg_compiler *c); /* begin a new attempt */
bool rg_can_eval(struct rg_compiler *c, struct rg_term *t);
bool rg_can_match(struct rg_compiler *c, struct rg_term *t); /* as a pattern */
bool rg_can_unify(struct rg_compiler *c, struct rg_term *a, struct rg_term *b);
bool rg_can_run(struct rg_compiler *c, struct rg_expr *e);
bool rg_expr_ready(struct rg_compiler *c, struct rg_expr *e); /* rg_can_run as a new attempt */
bool rg_is_bound(const struct rg_compiler *c, const struct rg_var *v);
/* " in rule p" where the place alone does not tell which rule is meant; else "". */
const char *rg_in_rule(const struct rg_compiler *c);
void rg_report_unsafe(struct rg_compiler *c, struct rg_expr *const *exprs, uint32_t n);

/* What a call calls; all NULL: nothing that is known. */
struct rg_callee {
    const struct rg_decl *decl;
    struct rg_group *group;
    uint32_t arity;
};
struct rg_callee rg_callee_of(const struct rg_compiler *c, const struct rg_term *op);
/* The node that a ref reaches with constant keys; *ret_used keys of it are used up. NULL: nothing virtual there. */
struct rg_node *rg_ref_node(const struct rg_compiler *c, const struct rg_term *ref, uint32_t *ret_used);
bool rg_is_root(const struct rg_term *t, const char *name); /* the document "data" or "input" */

/* ---- gen*.c ---- */
void rg_gen_group(struct rg_compiler *c, struct rg_group *group);
struct rg_proc *rg_gen_query(struct rg_compiler *c, struct rg_body *body);
