/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's log on stderr: text for a person, JSON lines for machines. Libraries return errors, programs log: rooms from
 * base to engine do not log above debug. Never pass a secret: there is no format for one.
 */
#pragma once

#include "base/value.h"

enum mln_log_level { MLN_LOG_ERROR, MLN_LOG_WARN, MLN_LOG_INFO, MLN_LOG_DEBUG };
enum mln_log_form { MLN_LOG_TEXT, MLN_LOG_JSON };
void mln_log_setup(const char *process, enum mln_log_level level, enum mln_log_form form); /* process: borrowed, "core" */
enum mln_log_level mln_log_level_now(void);
enum mln_log_level mln_log_level_first(void);          /* of the setup */
void mln_log_level_set(enum mln_log_level level);      /* until the process ends, any thread */
const char *mln_log_level_name(enum mln_log_level level);
bool mln_log_level_parse(struct mln_bytes text, enum mln_log_level *ret);
/* One line; new lines and control characters in arguments are escaped. `room` like "ledger". */
void mln_log(enum mln_log_level level, const char *room, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The fault of cx with its note, file and line. */
void mln_log_fault(enum mln_log_level level, const char *room, const struct mln_cx *cx, const char *what);
