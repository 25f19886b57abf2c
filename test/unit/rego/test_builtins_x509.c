/* SPDX-License-Identifier: Apache-2.0 */
/* crypto.x509.* on certificates made for this test: Ed25519, valid for a hundred years from 2026. */
#include "rows.h"

/* clang-format off */
#define CA_PEM \
    "-----BEGIN CERTIFICATE-----\\n" \
    "MIIBPTCB8KADAgECAhRJlBdYr1SUpMVkENhrMIXLecoLmTAFBgMrZXAwHDENMAsG\\n" \
    "A1UECgwEVGVzdDELMAkGA1UEAwwCY2EwIBcNMjYxMTI3MTA0NTU2WhgPMjEyNjEx\\n" \
    "MDMxMDQ1NTZaMBwxDTALBgNVBAoMBFRlc3QxCzAJBgNVBAMMAmNhMCowBQYDK2Vw\\n" \
    "AyEA0NbFdCtu27e7cIBKlo9+DI/of97OHGPXt5P/lArxaDmjQjBAMA8GA1UdEwEB\\n" \
    "/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgIEMB0GA1UdDgQWBBROZBGy0qFsqCWsUOJS\\n" \
    "qsx8aK6xTDAFBgMrZXADQQDqjZ8e0MOKKInfQUZOL8uZW64camXnII454/jSOrZu\\n" \
    "dZpB636UtX3ajZMS2dnbBgy8YyFx9Y+MZV4IgWpMjLcI\\n" \
    "-----END CERTIFICATE-----\\n"
#define LEAF_PEM \
    "-----BEGIN CERTIFICATE-----\\n" \
    "MIIBbzCCASGgAwIBAgIJAQAAAAAAAAABMAUGAytlcDAcMQ0wCwYDVQQKDARUZXN0\\n" \
    "MQswCQYDVQQDDAJjYTAgFw0yNjExMjcxMDQ1NTdaGA8yMTI2MTEwMzEwNDU1N1ow\\n" \
    "DzENMAsGA1UEAwwEbGVhZjAqMAUGAytlcAMhALt/kGL7WcbAMP92Ud/n2NhMhHK3\\n" \
    "vlxRMKzulOTo8/VFo4GKMIGHMDAGA1UdEQQpMCeCDGxlYWYuZXhhbXBsZYYRc3Bp\\n" \
    "ZmZlOi8vdGQveD95PTGHBAoAAAEwEwYDVR0lBAwwCgYIKwYBBQUHAwEwHQYDVR0O\\n" \
    "BBYEFOabpZQW2gU8fVxOQNWym0eu8XX8MB8GA1UdIwQYMBaAFE5kEbLSoWyoJaxQ\\n" \
    "4lKqzHxorrFMMAUGAytlcANBAMFhFjg1w8/zRokh//ZtP6XQUhdGWslqmFiDqpP7\\n" \
    "vzMVpXSjcjfX8hRgfldZ3opkgk4ppiXBw1VJO8ivCf0jYQ8=\\n" \
    "-----END CERTIFICATE-----\\n"
#define LEAF_KEY \
    "-----BEGIN PRIVATE KEY-----\\n" \
    "MC4CAQAwBQYDK2VwBCIEIMLnGKu7zsO34bPVeItz8r2vM7So1eZnChz53+LRo63d\\n" \
    "-----END PRIVATE KEY-----\\n"
#define LEAF_CSR \
    "-----BEGIN CERTIFICATE REQUEST-----\\n" \
    "MIHnMIGaAgEAMA8xDTALBgNVBAMMBGxlYWYwKjAFBgMrZXADIQC7f5Bi+1nGwDD/\\n" \
    "dlHf59jYTIRyt75cUTCs7pTk6PP1RaBYMFYGCSqGSIb3DQEJDjFJMEcwMAYDVR0R\\n" \
    "BCkwJ4IMbGVhZi5leGFtcGxlhhFzcGlmZmU6Ly90ZC94P3k9MYcECgAAATATBgNV\\n" \
    "HSUEDDAKBggrBgEFBQcDATAFBgMrZXADQQCLis798NeG1vOoAszxCDWHNoXoeGHx\\n" \
    "BgVgDEcm+K+6B0r/0LUqURwjdQyyBCB50TzzsgKs1F0qi4PW2GWsXp4M\\n" \
    "-----END CERTIFICATE REQUEST-----\\n"
/* clang-format on */
#define LEAF "crypto.x509.parse_certificates(\"" LEAF_PEM "\")[0]"
#define PAIR "crypto.x509.parse_keypair(\"" LEAF_PEM "\", \"" LEAF_KEY "\")"
#define CHAIN(options) "crypto.x509.parse_and_verify_certificates_with_options(\"" CA_PEM LEAF_PEM "\", " options ")"

static void test_fields(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {LEAF ".Subject.CommonName", "\"leaf\""},
        {LEAF ".Subject.Organization", "null"},
        {LEAF ".Issuer.Organization", "[\"Test\"]"},
        {LEAF ".Issuer.Names[0]", "{\"Type\":[2,5,4,10],\"Value\":\"Test\"}"},
        {LEAF ".SerialNumber", "18446744073709551617"},
        {LEAF ".DNSNames", "[\"leaf.example\"]"},
        {LEAF ".IPAddresses", "[\"10.0.0.1\"]"},
        {LEAF ".URIStrings", "[\"spiffe://td/x?y=1\"]"},
        {"{k: v | some k in [\"Scheme\", \"Host\", \"Path\", \"RawQuery\"]; v := " LEAF ".URIs[0][k]}",
         "{\"Host\":\"td\",\"Path\":\"/x\",\"RawQuery\":\"y=1\",\"Scheme\":\"spiffe\"}"},
        {LEAF ".ExtKeyUsage", "[1]"},
        {LEAF ".PublicKeyAlgorithm", "4"},
        {LEAF ".SignatureAlgorithm", "16"},
        {LEAF ".Version", "3"},
        {LEAF ".IsCA", "false"},
        {LEAF ".EmailAddresses", "null"},
        {"count(" LEAF ")", "53"},
        {"crypto.x509.parse_certificate_request(\"" LEAF_CSR "\").DNSNames", "[\"leaf.example\"]"},
        {"count(" PAIR ".Certificate)", "1"},
        {PAIR ".Leaf.Subject.CommonName", "\"leaf\""},
        {"count(crypto.parse_private_keys(\"" LEAF_KEY "\"))", "1"},
        {"crypto.x509.parse_rsa_private_key(\"" LEAF_KEY "\").crv", "\"Ed25519\""},
        {"crypto.x509.parse_keypair(\"" CA_PEM "\", \"" LEAF_KEY "\")", "!private key does not match public key"},
        {"crypto.x509.parse_certificates(\"" LEAF_KEY "\")", "!PEM block type is 'PRIVATE KEY', expected CERTIFICATE"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

#define AT "1900000000000000000" /* within the years of both */

static void test_chains(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {CHAIN("{\"CurrentTime\": " AT "}") "[0]", "true"},
        {"[c.Subject.CommonName | some c in " CHAIN("{\"CurrentTime\": " AT "}") "[1]]", "[\"leaf\",\"ca\"]"},
        {CHAIN("{\"CurrentTime\": " AT ", \"DNSName\": \"leaf.example\"}") "[0]", "true"},
        {CHAIN("{\"CurrentTime\": " AT ", \"DNSName\": \"other.example\"}"), "[false,[]]"},
        {CHAIN("{\"CurrentTime\": " AT ", \"KeyUsages\": [\"KeyUsageClientAuth\"]}"), "[false,[]]"},
        {CHAIN("{\"CurrentTime\": " AT ", \"KeyUsages\": {\"KeyUsageAny\"}}") "[0]", "true"},
        {CHAIN("{\"CurrentTime\": 1000000000000000000}"), "[false,[]]"}, /* 2001 */
        {CHAIN("{\"KeyUsages\": [\"Nope\"]}"), "!invalid entries for 'KeyUsages' found: [Nope]"},
        {CHAIN("{\"Nope\": 1}"), "!invalid key option"},
        {CHAIN("{\"DNSName\": 1}"), "!'DNSName' should be a string"},
        {"crypto.x509.parse_and_verify_certificates(\"" LEAF_PEM "\")", "[false,[]]"}, /* alone */
        {"crypto.x509.parse_and_verify_certificates(\"" LEAF_PEM CA_PEM "\")", "[false,[]]"}, /* the wrong way round */
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fields), cmocka_unit_test(test_chains)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
