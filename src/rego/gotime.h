/* SPDX-License-Identifier: Apache-2.0 */
/* Civil time, zones of the system's tzdata, and layouts of times as Go writes them ("Mon Jan 2 15:04:05 2006"). */
#pragma once

#include "base/buf.h"

__extension__ typedef __int128 rg_wide; /* nanoseconds of any year fit */

struct rg_zone; /* read only once made */
struct mln_rego_zones;

/*
 * "" and "UTC" are UTC, "Local" the system's zone. NULL: no such zone. Every result is freed by rg_zone_free.
 * zones   those read before; NULL: the system's file is read
 */
struct rg_zone *rg_zone_new(const struct mln_rego_zones *zones, struct mln_bytes name);
void rg_zone_free(void *zone);
/* Seconds east of Greenwich at an instant, and how the zone is called then (NULL zone: UTC). */
int32_t rg_zone_at(const struct rg_zone *zone, int64_t unix_s, char abbreviation[8]);

struct rg_civil {
    int64_t year;
    int month, day, hour, minute, second, ns, weekday, yearday; /* from 1 but hour..weekday; Sunday 0 */
    int32_t offset;
    char zone[8];
};

int64_t rg_days(int64_t year, int64_t month, int64_t day); /* since 1970; months and days may be beyond their range */
void rg_civil_of(int64_t ns, const struct rg_zone *zone, struct rg_civil *ret);
void rg_time_format(struct mln_buf *out, const struct rg_civil *t, struct mln_bytes layout);
enum rg_time_read { RG_TIME_OK, RG_TIME_BAD, RG_TIME_RANGE };
/* RG_TIME_BAD: `why` has Go's text; RG_TIME_RANGE: no int64 of nanoseconds. */
enum rg_time_read rg_time_parse(struct mln_bytes layout, struct mln_bytes value, int64_t *ret_ns, char *why, size_t why_max);
bool rg_duration_parse(struct mln_bytes text, int64_t *ret_ns); /* Go's: "1h30m", "-1.5s" (bi_time.c) */
