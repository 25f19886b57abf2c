/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What front and core say to each other over the rings: a kind in the ring head, a CBOR value as
 * message (docs/format-wire.md).
 *
 * REQUEST  {"op":"read|list|write|patch|delete|help", "path":text, "data":object|null,
 *           "token":secret text|absent, "ns":text, "from":"addr", "port":int,
 *           "head":bool (HTTP HEAD), "wrap":text|absent,
 *           "headers":{lower-case name: text} (only those the API knows)|absent,
 *           "certs":array of bytes|absent (the client's certificates, DER, leaf first; TLS
 *           proved that it holds the leaf's key, core judges the chain),
 *           "raw":bytes|absent (a body that is not JSON), "ct":text|absent,
 *           "origin":text|absent (of a web page), "preflight":bool|absent (OPTIONS),
 *           "peer":int|absent (number of a connection to the workload socket)}
 * ANSWER   {"status":int, "request_id":text, "data":value|absent, "bare":value|absent,
 *           "top":object|absent, "raw":bytes|absent, "ct":text|absent, "immutable":bool,
 *           "auth":object|absent, "wrap_info":object|absent, "lease_id":text, "renewable":bool,
 *           "lease_duration":int, "warnings":array|absent, "errors":array|absent,
 *           "grpc":int|absent (status of gRPC, when it failed),
 *           "ledger":int|absent, "topic":text|absent, "topic_version":int,
 *           "hold":int|absent (seconds: nothing to say yet. HTTP/1.1 answers 204 when the topic moves or the time
 *           is over, others at once),
 *           "retry_after":int|absent, "rate":{"limit","remaining","reset": int}|absent,
 *           "cors":{"origin":text, "methods", "headers": text|absent}|absent}
 * SIGN     {"v":13, "hash":bytes(32|48)} or {"v":12, "tbs":bytes}, "how":"ecdsa|pss|pkcs1", "key":int (which listener's);
 *          TLS server handshakes only (net/tls_sign.h)
 * SIGNED   {"sig":bytes}, or {} when core refused
 * CERT     {}: the SVID to show in this handshake, from a listener that shows one
 * CERTED   {"chain":bytes (DER after DER, leaf first), "key":int (for SIGN)}, or {} when there is none
 * TOPIC    core to front: {"topic":text, "version":int, "value":value}
 */
#pragma once

#include "base/value.h"
#include "net/ring.h"

enum mln_wire_kind {
    MLN_WIRE_REQUEST = 1,
    MLN_WIRE_ANSWER = 2,
    MLN_WIRE_SIGN = 3,
    MLN_WIRE_SIGNED = 4,
    MLN_WIRE_TOPIC = 5,
    MLN_WIRE_CERT = 6,
    MLN_WIRE_CERTED = 7,
};
