/* SPDX-License-Identifier: Apache-2.0 */
/* Target: mln_agent_config_parse, as HCL and as YAML. What is taken keeps its promises: counts, modes, times in their limits. */
#include "fuzz.h"

#include "agent/agent.h"

static void check(const struct mln_agent_config *c)
{
    MLN_CHECK(c->n_sinks <= MLN_AGENT_SINKS_MAX && c->n_templates <= MLN_AGENT_TEMPLATES_MAX &&
              c->n_listeners <= MLN_AGENT_LISTENERS_MAX);
    MLN_CHECK(c->auth.method != MLN_AGENT_NONE ||
              (c->n_listeners > 0 && c->n_templates == 0 && c->proxy == MLN_AGENT_PASS));
    MLN_CHECK(c->auth.min_backoff_s > 0 && c->auth.min_backoff_s <= c->auth.max_backoff_s &&
              c->interval_s > 0);
    for (size_t i = 0; i < c->n_templates; i++) {
        const struct mln_agent_template *t = &c->templates[i];
        MLN_CHECK((t->destination != NULL) == (t->env == NULL) && (t->source != NULL) == (t->contents.len == 0) &&
                  t->mode <= 0777);
        MLN_CHECK(t->command == NULL || t->command[0] != NULL);
    }
    MLN_CHECK((c->exec.command != NULL) == (c->n_templates > 0 && c->templates[0].env != NULL));
    for (size_t i = 0; i < c->n_sinks; i++) {
        MLN_CHECK(c->sinks[i].path != NULL && c->sinks[i].mode <= 0777);
    }
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    struct mln_cx cx;
    for (int is_yaml = 0; is_yaml < 2; is_yaml++) {
        struct mln_agent_config config;
        mln_cx_init(&cx, arena);
        struct mln_value *warnings = mln_array(&cx);
        if (!mln_failed(mln_agent_config_parse(&cx, mln_bytes_at(data, size), is_yaml == 1, &config,
                                               warnings))) {
            check(&config);
        } else {
            MLN_CHECK(cx.text[0] != '\0');
        }
        mln_arena_reset(arena);
    }
    mln_arena_free(arena);
    return 0;
}
