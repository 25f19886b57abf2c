/* SPDX-License-Identifier: Apache-2.0 */
/* What every version of HTTP shares. */
#include "net/http.h"

/* clang-format off */
static const struct { int status; const char *text; } reasons[] = {
    {200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"},
    {206, "Partial Content"}, {304, "Not Modified"}, {307, "Temporary Redirect"},
    {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
    {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"},
    {412, "Precondition Failed"}, {413, "Content Too Large"}, {414, "URI Too Long"},
    {415, "Unsupported Media Type"}, {417, "Expectation Failed"}, {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"}, {472, "Disaster Recovery Secondary"},
    {473, "Performance Standby"}, {499, "Client Closed Request"}, {500, "Internal Server Error"},
    {501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
    {504, "Gateway Timeout"}, {507, "Insufficient Storage"},
};
/* clang-format on */

const char *mln_http_reason(int status)
{
    for (size_t i = 0; i < MLN_COUNT(reasons); i++) {
        if (reasons[i].status == status) {
            return reasons[i].text;
        }
    }
    return "Unknown";
}

struct mln_bytes mln_http_header(const struct mln_http_request *http, const char *name)
{
    size_t n = mln_bytes_of(name).len;
    for (size_t i = 0; i < http->n_headers; i++) {
        if (http->headers[i].name.len == n && mln_bytes_is_nocase(http->headers[i].name, name)) {
            return http->headers[i].value;
        }
    }
    return MLN_BYTES_NONE;
}
