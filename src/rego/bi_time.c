/* SPDX-License-Identifier: Apache-2.0 */
/* time.*: nanoseconds since 1970, in UTC or a named zone. */
#include "rego/builtin_priv.h"
#include "rego/gotime.h"

static const int zone_kind = 0;

static const struct {
    const char *name, *layout;
} layouts[] = {
    {"ANSIC", "Mon Jan _2 15:04:05 2006"},
    {"UnixDate", "Mon Jan _2 15:04:05 MST 2006"},
    {"RubyDate", "Mon Jan 02 15:04:05 -0700 2006"},
    {"RFC822", "02 Jan 06 15:04 MST"},
    {"RFC822Z", "02 Jan 06 15:04 -0700"},
    {"RFC850", "Monday, 02-Jan-06 15:04:05 MST"},
    {"RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"},
    {"RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"},
    {"RFC3339", "2006-01-02T15:04:05Z07:00"},
    {"RFC3339Nano", "2006-01-02T15:04:05.999999999Z07:00"},
};

static struct mln_bytes layout_of(struct mln_bytes name)
{
    for (size_t i = 0; i < MLN_COUNT(layouts); i++) {
        if (mln_bytes_is(name, layouts[i].name)) {
            return mln_bytes_of(layouts[i].layout);
        }
    }
    return name;
}

static const struct rg_zone *zone_of(struct rg_call *call, struct rg_val name)
{
    struct rg_zone *z = rg_cache_get(call->vm, &zone_kind, name);
    if (z == NULL) {
        z = rg_zone_new(rg_zones(call->vm), rg_bytes(name));
        if (z == NULL) {
            (void)rg_fail(call, "unknown time zone %.*s", MLN_FMT(rg_bytes(name)));
            return NULL;
        }
        rg_cache_put(call->vm, &zone_kind, name, z, rg_zone_free);
    }
    return z;
}

/* ns, [ns, zone] or [ns, zone, layout]. */
static bool time_arg(struct rg_call *call, uint32_t pos, int64_t *ret, const struct rg_zone **zone,
                     struct mln_bytes *layout)
{
    struct rg_val v = call->args[pos - 1], ns = v;
    *zone = NULL;
    if (v.tag == RG_ARRAY) {
        uint32_t n = v.arr->len;
        if (n < 1 || n > 3) {
            return rg_fail_operand(call, pos, "must be array of 2 or 3 elements");
        }
        ns = v.arr->items[0];
        for (uint32_t i = 1; i < n; i++) {
            if (v.arr->items[i].tag != RG_STR) {
                return rg_fail_operand(call, pos, "must be string but got %s",
                                       rg_type_name(v.arr->items[i]));
            }
        }
        if (n > 1 && (*zone = zone_of(call, v.arr->items[1])) == NULL) {
            return false;
        }
        if (n > 2 && layout != NULL) {
            *layout = layout_of(rg_bytes(v.arr->items[2]));
        }
    }
    if (!rg_is_number(ns)) {
        return rg_fail_operand(call, pos, "must be %s but got %s",
                               v.tag == RG_ARRAY ? "number" : "one of {number, array}",
                               rg_type_name(ns));
    }
    if (!rg_num_int(ns, ret)) {
        return rg_num_is_int(ns) ? rg_fail(call, "timestamp too big")
                                 : rg_fail_operand(call, pos, "must be integer number but got "
                                                              "floating-point number");
    }
    return true;
}

static bool civil_arg(struct rg_call *call, uint32_t pos, struct rg_civil *ret)
{
    int64_t ns = 0;
    const struct rg_zone *zone = NULL;
    if (!time_arg(call, pos, &ns, &zone, NULL)) {
        return false;
    }
    rg_civil_of(ns, zone, ret);
    return true;
}

static bool numbers(struct rg_call *call, const int64_t *from, size_t n)
{
    struct rg_val out = rg_array(call->heap, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        rg_push(call->heap, out, rg_int(from[i]));
    }
    return rg_return(call, out);
}

static bool clock(struct rg_call *call)
{
    struct rg_civil c;
    return civil_arg(call, 1, &c) &&
           numbers(call, (int64_t[]){c.hour, c.minute, c.second}, 3);
}

static bool date(struct rg_call *call)
{
    struct rg_civil c;
    return civil_arg(call, 1, &c) && numbers(call, (int64_t[]){c.year, c.month, c.day}, 3);
}

static bool weekday(struct rg_call *call)
{
    static const char *const names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
    struct rg_civil c;
    return civil_arg(call, 1, &c) && rg_return(call, rg_text(call->heap, names[c.weekday]));
}

static bool format(struct rg_call *call)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_bytes layout = layout_of(MLN_BYTES("RFC3339Nano"));
    const struct rg_zone *zone = NULL;
    struct rg_civil c;
    int64_t ns = 0;
    if (!time_arg(call, 1, &ns, &zone, &layout)) {
        return false;
    }
    rg_civil_of(ns, zone, &c);
    rg_time_format(&out, &c, layout);
    return rg_return(call, rg_string_buf(call->heap, &out));
}

static bool parse_as(struct rg_call *call, struct mln_bytes layout, struct mln_bytes value)
{
    char why[1024];
    int64_t ns = 0;
    switch (rg_time_parse(layout, value, &ns, why, sizeof(why))) {
    case RG_TIME_OK:
        return rg_return(call, rg_int(ns));
    case RG_TIME_RANGE:
        return rg_fail(call, "time outside of valid range");
    case RG_TIME_BAD:
        break;
    }
    return rg_fail(call, "%s", why);
}

static bool parse_ns(struct rg_call *call)
{
    struct mln_bytes layout, value;
    return rg_arg_string(call, 1, &layout) && rg_arg_string(call, 2, &value) &&
           parse_as(call, layout_of(layout), value);
}

static bool parse_rfc3339(struct rg_call *call)
{
    struct mln_bytes value;
    return rg_arg_string(call, 1, &value) &&
           parse_as(call, layout_of(MLN_BYTES("RFC3339")), value);
}

static bool add_date(struct rg_call *call)
{
    int64_t ns = 0, add[3];
    struct rg_civil c;
    const struct rg_zone *zone = NULL;
    if (!time_arg(call, 1, &ns, &zone, NULL)) {
        return false;
    }
    for (uint32_t i = 0; i < 3; i++) {
        if (!rg_arg_int(call, i + 2, &add[i])) {
            return false;
        }
        if (add[i] > 1000000000 || add[i] < -1000000000) {
            return rg_fail(call, "time outside of valid range");
        }
    }
    rg_civil_of(ns, zone, &c);
    int64_t day = rg_days(c.year + add[0], c.month + add[1], c.day + add[2]);
    int64_t s = day * 86400 + c.hour * 3600 + c.minute * 60 + c.second;
    struct rg_civil there;
    rg_wide sum = (rg_wide)(s - c.offset) * 1000000000 + c.ns;
    if (sum > INT64_MAX || sum < INT64_MIN) {
        return rg_fail(call, "time outside of valid range");
    }
    rg_civil_of((int64_t)sum, zone, &there); /* the zone may have another offset on that day */
    sum = (rg_wide)(s - there.offset) * 1000000000 + c.ns;
    if (sum > INT64_MAX || sum < INT64_MIN) {
        return rg_fail(call, "time outside of valid range");
    }
    return rg_return(call, rg_int((int64_t)sum));
}

/* Years, months, days, hours, minutes, seconds between two times, both in the zone of the first. */
static bool diff(struct rg_call *call)
{
    int64_t a = 0, b = 0;
    const struct rg_zone *zone = NULL, *other = NULL;
    struct rg_civil x, y;
    if (!time_arg(call, 1, &a, &zone, NULL) || !time_arg(call, 2, &b, &other, NULL)) {
        return false;
    }
    rg_civil_of(a < b ? a : b, zone, &x);
    rg_civil_of(a < b ? b : a, zone, &y);
    int64_t d[6] = {y.year - x.year,     y.month - x.month,     y.day - x.day,
                    y.hour - x.hour,     y.minute - x.minute,   y.second - x.second};
    const int64_t month = rg_days(x.year, x.month + 1, 1) - rg_days(x.year, x.month, 1);
    const int64_t carry[6] = {0, 12, month, 24, 60, 60};
    for (int i = 5; i > 0; i--) {
        if (d[i] < 0) {
            d[i] += carry[i];
            d[i - 1]--;
        }
    }
    return numbers(call, d, 6);
}

/* ---- durations: "1h15m30.5s" ---- */
static int64_t unit_ns(struct mln_bytes t)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {{"ns", 1},        {"us", 1000},       {"\xc2\xb5s", 1000},    {"\xce\xbcs", 1000},
                 {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000},
                 {"d", 86400000000000}, {"w", 604800000000000}, {"y", 31536000000000000}};
    for (size_t i = 0; i < MLN_COUNT(units); i++) {
        if (mln_bytes_is(t, units[i].name)) {
            return units[i].ns;
        }
    }
    return 0;
}

static bool is_number_byte(uint8_t c)
{
    return c == '.' || (c >= '0' && c <= '9');
}

/* One "15.5m"; the sum in *ret, -1 beyond what fits. */
static const char *add_duration(struct mln_bytes *t, rg_wide *ret, struct mln_bytes *ret_unit)
{
    rg_wide whole = 0, part = 0, scale = 1;
    size_t n = 0, end = 0;
    bool point = false, any = false;
    for (; n < t->len && is_number_byte(t->ptr[n]) && !(point && t->ptr[n] == '.'); n++) {
        if (t->ptr[n] == '.') {
            point = true;
            continue;
        }
        any = true;
        if (!point && whole < INT64_MAX) {
            whole = whole * 10 + (t->ptr[n] - '0');
        } else if (point && scale < 1000000000000000) {
            part = part * 10 + (t->ptr[n] - '0');
            scale *= 10;
        }
    }
    end = n;
    while (end < t->len && !is_number_byte(t->ptr[end])) {
        end++;
    }
    *ret_unit = mln_bytes_sub(*t, n, end - n);
    if (!any) {
        return "invalid duration";
    }
    if (ret_unit->len == 0) {
        return "missing unit in duration";
    }
    int64_t ns = unit_ns(*ret_unit);
    if (ns == 0) {
        return "unknown unit";
    }
    *ret += whole * ns + part * ns / scale;
    *t = mln_bytes_from(*t, end);
    return *ret > INT64_MAX ? "invalid duration" : NULL;
}

bool rg_duration_parse(struct mln_bytes text, int64_t *ret_ns)
{
    struct mln_bytes unit, t = text;
    rg_wide sum = 0;
    bool minus = t.len > 0 && t.ptr[0] == '-';
    t = mln_bytes_from(t, minus || (t.len > 0 && t.ptr[0] == '+'));
    bool ok = t.len > 0;
    while (ok && t.len > 0 && !mln_bytes_is(t, "0")) {
        ok = add_duration(&t, &sum, &unit) == NULL;
    }
    *ret_ns = (int64_t)(minus ? -sum : sum);
    return ok;
}

static bool parse_duration(struct rg_call *call)
{
    struct mln_bytes all, unit = MLN_BYTES_NONE;
    rg_wide sum = 0;
    if (!rg_arg_string(call, 1, &all)) {
        return false;
    }
    bool minus = all.len > 0 && all.ptr[0] == '-', sign = minus || (all.len > 0 && all.ptr[0] == '+');
    struct mln_bytes t = mln_bytes_from(all, sign);
    if (mln_bytes_is(t, "0")) {
        return rg_return(call, rg_int(0));
    }
    const char *why = t.len == 0 ? "invalid duration" : NULL;
    while (why == NULL && t.len > 0) {
        why = add_duration(&t, &sum, &unit);
    }
    if (why != NULL && why[0] == 'u') {
        return rg_fail(call, "time: unknown unit \"%.*s\" in duration \"%.*s\"", MLN_FMT(unit),
                       MLN_FMT(all));
    }
    if (why != NULL) {
        return rg_fail(call, "time: %s \"%.*s\"", why, MLN_FMT(all));
    }
    return rg_return(call, rg_int((int64_t)(minus ? -sum : sum)));
}

const struct rg_builtin rg_builtins_time[] = {{"time.clock", clock},
                                              {"time.date", date},
                                              {"time.weekday", weekday},
                                              {"time.format", format},
                                              {"time.parse_ns", parse_ns},
                                              {"time.parse_rfc3339_ns", parse_rfc3339},
                                              {"time.parse_duration_ns", parse_duration},
                                              {"time.add_date", add_date},
                                              {"time.diff", diff},
                                              {NULL, NULL}};
