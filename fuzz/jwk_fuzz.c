/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: io.jwt.* with keys and tokens of strangers, crypto.x509.*, crypto.parse_private_keys: a token, NUL, a key or certificate. */
#include "rego_call.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    rego_call("x = io.jwt.decode(input.a)", data, size);
    rego_call("x = [io.jwt.verify_rs256(input.a, input.b), io.jwt.verify_es256(input.a, input.b)]",
              data, size);
    rego_call("x = io.jwt.decode_verify(input.a, {\"cert\": input.b})", data, size);
    rego_call("x = crypto.x509.parse_certificates(input.b)", data, size);
    rego_call("x = crypto.x509.parse_and_verify_certificates(input.b)", data, size);
    rego_call("x = crypto.x509.parse_certificate_request(input.b)", data, size);
    rego_call("x = crypto.x509.parse_keypair(input.b, input.a)", data, size);
    rego_call(
        "x = [crypto.parse_private_keys(input.a), crypto.x509.parse_rsa_private_key(input.a)]",
        data, size);
    return 0;
}
