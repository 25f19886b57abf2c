/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH engine: what roles allow and refuse, the certificate's parts in order, one-time passwords. That OpenSSH takes the certificates
 * is test/e2e/ssh.py's.
 */
#include "kit/engine_kit.h"

extern const struct mln_engine mln_engine_ssh;

#define ED     "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAK5Agaeo6EaN0kP3O0noI8FO7SXla/SG3+zGvFHiux1"
#define NOW_S  1795336877
#define BARE   "\"key_type\":\"ca\",\"allow_user_certificates\":true"
#define USERS  BARE ",\"allowed_users\":\"alice,bob\",\"default_user\":\"alice\""

static const char *fill_with;

/* "{{x}}" becomes fill_with; nothing when that is NULL. */
static struct mln_err fill(struct mln_request *rq, struct mln_bytes text, const char **ret)
{
    size_t at = mln_bytes_find_bytes(text, MLN_BYTES("{{x}}"));
    *ret = at == text.len        ? mln_text_dup(rq->cx, text)
           : fill_with == NULL   ? NULL
                                 : mln_text_format(rq->cx, "%.*s%s%.*s", (int)at, (const char *)text.ptr, fill_with,
                                                   (int)(text.len - at - 5), (const char *)text.ptr + at + 5);
    return mln_cx_err(rq->cx);
}

static struct ek *ssh_new(void)
{
    struct ek *k = ek_new();
    k->services.fill = fill;
    fill_with = NULL;
    ek_mount(k, "ssh/", &mln_engine_ssh, "33333333-0000-4000-8000-000000000000");
    return k;
}
#define SSH(name) MLN_AUTO(ek_drop) struct ek *name = ssh_new()

static void with_ca(struct ek *k)
{
    EK_WANT(k, ek_write(k, "ssh/config/ca", "{\"key_type\":\"ed25519\"}"), 200);
}

static int role(struct ek *k, const char *members)
{
    const char *json = mln_text_format(k->cx, "{%s}", members);
    return ek_write(k, "ssh/roles/r", json);
}

static int sign(struct ek *k, const char *members)
{
    const char *json = mln_text_format(k->cx, "{\"public_key\":\"" ED "\"%s%s}", members[0] != 0 ? "," : "", members);
    return ek_write(k, "ssh/sign/r", json);
}

/* ---- reading the certificate of the last answer ---- */

struct seen {
    struct mln_bytes type, key_id, principals, critical, extensions;
    uint64_t serial, after_s, before_s;
    uint32_t kind;
};

static struct mln_bytes part(struct mln_reader *r)
{
    return mln_read_bytes(r, mln_read_u32be(r));
}

static struct seen certificate(struct ek *k)
{
    struct mln_bytes rest, line = mln_get_bytes(mln_get(k->re.data, "signed_key"));
    struct mln_bytes name = mln_bytes_cut(line, ' ', &rest);
    MLN_AUTO(mln_buf_drop) struct mln_buf blob = {0};
    struct seen out;
    kit_ok(k->cx, mln_base64_parse(k->cx, mln_bytes_trim(rest), MLN_B64_STD, &blob));
    struct mln_reader r = mln_reader_of(mln_bytes_dup(k->cx, mln_buf_bytes(&blob)));
    out.type = part(&r);
    assert_true(mln_bytes_eq(out.type, name));
    assert_int_equal(part(&r).len, 32); /* nonce */
    assert_int_equal(part(&r).len, 32); /* Ed25519 */
    out.serial = mln_read_u64be(&r);
    out.kind = mln_read_u32be(&r);
    out.key_id = part(&r);
    out.principals = part(&r);
    out.after_s = mln_read_u64be(&r);
    out.before_s = mln_read_u64be(&r);
    out.critical = part(&r);
    out.extensions = part(&r);
    assert_int_equal(part(&r).len, 0);  /* reserved */
    assert_int_equal(part(&r).len, 51); /* the authority's key */
    assert_int_equal(part(&r).len, 83); /* signature */
    assert_true(!r.is_short && mln_reader_left(&r) == 0);
    return out;
}

/* Strings, joined by commas. */
static const char *strings(struct ek *k, struct mln_bytes packed)
{
    struct mln_reader r = mln_reader_of(packed);
    const char *out = "";
    while (mln_reader_left(&r) > 0 && !r.is_short) {
        struct mln_bytes one = part(&r);
        out = mln_text_format(k->cx, "%s%s%.*s", out, out[0] != 0 ? "," : "", MLN_FMT(one));
    }
    assert_false(r.is_short);
    return out;
}

/* Options as name=text, joined by commas. */
static const char *options(struct ek *k, struct mln_bytes packed)
{
    struct mln_reader r = mln_reader_of(packed);
    const char *out = "";
    while (mln_reader_left(&r) > 0 && !r.is_short) {
        struct mln_bytes name = part(&r), data = part(&r);
        struct mln_reader inner = mln_reader_of(data);
        struct mln_bytes text = data.len > 0 ? part(&inner) : MLN_BYTES_NONE;
        assert_true(!inner.is_short && mln_reader_left(&inner) == 0);
        out = mln_text_format(k->cx, "%s%s%.*s=%.*s", out, out[0] != 0 ? "," : "", MLN_FMT(name), MLN_FMT(text));
    }
    assert_false(r.is_short);
    return out;
}

/* ---- the authority ---- */

static void test_authority(void **state)
{
    (void)state;
    SSH(k);
    EK_WANT(k, ek_read(k, "ssh/public_key", NULL), 404);
    EK_REFUSED(k, ek_read(k, "ssh/config/ca", NULL), 400, "keys haven't been configured yet");
    EK_WANT(k, role(k, USERS), 204);
    EK_REFUSED(k, sign(k, ""), 400, "keys haven't been configured yet");
    with_ca(k);
    const char *public = mln_text_dup(k->cx, mln_get_bytes(mln_get(k->re.data, "public_key")));
    char kept[128] = "";
    mln_copy(kept, public, strlen(public));
    assert_int_equal(strncmp(kept, "ssh-ed25519 AAAA", 16), 0);
    EK_REFUSED(k, ek_write(k, "ssh/config/ca", "{}"), 400, "keys are already configured; delete them before reconfiguring");
    EK_WANT(k, ek_read(k, "ssh/public_key", NULL), 200);
    kit_text(k->re.raw, kept);
    EK_WANT(k, ek_read(k, "ssh/config/ca", NULL), 200);
    assert_string_equal(ek_text(k, "public_key"), kept);
    assert_null(mln_get(k->re.data, "private_key"));
    EK_WANT(k, ek_delete(k, "ssh/config/ca"), 204);
    EK_WANT(k, ek_read(k, "ssh/public_key", NULL), 404);
}

static void test_authority_refused(void **state)
{
    (void)state;
    SSH(k);
    static const struct {
        const char *json, *part;
    } t[] = {
        {"{\"key_type\":\"dsa\"}", "unknown ssh key type dsa"},
        {"{\"key_type\":\"ssh-rsa\",\"key_bits\":1024}", "invalid key_bits"},
        {"{\"key_type\":\"ec\",\"key_bits\":255}", "invalid key_bits"},
        {"{\"private_key\":\"x\"}", "must not be set when generate_signing_key is set to true"},
        {"{\"generate_signing_key\":false}", "missing public_key"},
        {"{\"generate_signing_key\":false,\"public_key\":\"" ED "\"}", "missing private_key"},
        {"{\"generate_signing_key\":false,\"public_key\":\"x\",\"private_key\":\"x\"}", "Unable to parse public_key"},
        {"{\"generate_signing_key\":false,\"public_key\":\"" ED "\",\"private_key\":\"x\"}", "no key found"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, "ssh/config/ca", t[i].json), 400, t[i].part);
    }
}

/* ---- roles ---- */

static void test_roles(void **state)
{
    (void)state;
    SSH(k);
    EK_WANT(k, ek_list(k, "ssh/roles"), 404);
    EK_WANT(k, ek_read(k, "ssh/roles/r", NULL), 404);
    EK_WANT(k, role(k, USERS ",\"ttl\":\"30m\",\"default_extensions\":{\"permit-pty\":\"\"},\"allowed_user_key_lengths\":"
                             "{\"rsa\":[2048,4096],\"ec\":\"256,384\",\"ed25519\":0}"), 204);
    EK_WANT(k, ek_read(k, "ssh/roles/r", NULL), 200);
    EK_DATA(k, "{\"algorithm_signer\":\"default\",\"allow_bare_domains\":false,\"allow_empty_principals\":false,"
               "\"allow_host_certificates\":false,\"allow_subdomains\":false,\"allow_user_certificates\":true,"
               "\"allow_user_key_ids\":false,\"allowed_critical_options\":\"\",\"allowed_domains\":\"\","
               "\"allowed_domains_template\":false,\"allowed_extensions\":\"\",\"allowed_user_key_lengths\":{\"ec\":[256,384],"
               "\"ed25519\":[0],\"rsa\":[2048,4096]},\"allowed_users\":\"alice,bob\",\"allowed_users_template\":false,"
               "\"default_critical_options\":{},\"default_extensions\":{\"permit-pty\":\"\"},\"default_extensions_template\":false,"
               "\"default_user\":\"alice\",\"default_user_template\":false,\"key_id_format\":\"\",\"key_type\":\"ca\",\"max_ttl\":0,"
               "\"not_before_duration\":30,\"ttl\":1800}");
    EK_WANT(k, ek_write(k, "ssh/roles/o", "{\"key_type\":\"otp\",\"default_user\":\"u\",\"cidr_list\":\"10.0.0.0/8\"}"), 204);
    EK_WANT(k, ek_read(k, "ssh/roles/o", NULL), 200);
    EK_DATA(k, "{\"allowed_users\":\"\",\"cidr_list\":\"10.0.0.0/8\",\"default_user\":\"u\",\"exclude_cidr_list\":\"\","
               "\"key_type\":\"otp\",\"port\":22}");
    EK_WANT(k, ek_list(k, "ssh/roles"), 200);
    EK_DATA(k, "{\"key_info\":{\"o\":{\"key_type\":\"otp\"},\"r\":{\"key_type\":\"ca\"}},\"keys\":[\"o\",\"r\"]}");
    /* a write replaces all of it */
    EK_WANT(k, role(k, BARE), 204);
    EK_WANT(k, ek_read(k, "ssh/roles/r", NULL), 200);
    assert_string_equal(ek_text(k, "allowed_users"), "");
    EK_WANT(k, ek_delete(k, "ssh/roles/r"), 204);
    EK_WANT(k, ek_read(k, "ssh/roles/r", NULL), 404);
    EK_REFUSED(k, sign(k, ""), 400, "Unknown role: r");
}

static void test_roles_refused(void **state)
{
    (void)state;
    SSH(k);
    static const struct {
        const char *members, *part;
    } t[] = {
        {"", "missing key type"},
        {"\"key_type\":\"dynamic\"", "invalid key type"},
        {"\"key_type\":\"ca\"", "must be set to 'true'"},
        {BARE ",\"algorithm_signer\":\"ssh-rsa\"", "unknown algorithm signer \"ssh-rsa\""},
        {BARE ",\"ttl\":\"2h\",\"max_ttl\":\"1h\"", "must be less than \"max_ttl\""},
        {BARE ",\"ttl\":-1", "ttl cannot be negative"},
        {BARE ",\"not_before_duration\":-1", "not_before_duration cannot be negative"},
        {BARE ",\"default_extensions\":{\"a\":[1]}", "names with texts"},
        {BARE ",\"default_critical_options\":{\"\":\"x\"}", "names with texts"},
        {BARE ",\"allowed_user_key_lengths\":{\"rsa\":\"many\"}", "sizes are numbers"},
        {BARE ",\"allowed_user_key_lengths\":{\"rsa\":-1}", "sizes are numbers"},
        {BARE ",\"allowed_user_key_lengths\":{\"rsa\":{}}", "sizes are numbers"},
        {"\"key_type\":\"otp\"", "missing default user"},
        {"\"key_type\":\"otp\",\"default_user\":\"u\",\"port\":0", "port must be"},
        {"\"key_type\":\"otp\",\"default_user\":\"u\",\"cidr_list\":\"10.0.0.0/33\"", "failed to validate cidr_list"},
        {"\"key_type\":\"otp\",\"default_user\":\"u\",\"exclude_cidr_list\":\"x\"", "failed to validate exclude_cidr_list"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, role(k, t[i].members), 400, t[i].part);
    }
}

/* ---- certificates ---- */

static void test_certificate(void **state)
{
    (void)state;
    SSH(k);
    with_ca(k);
    EK_WANT(k, role(k, USERS ",\"ttl\":\"30m\",\"max_ttl\":\"1h\",\"default_extensions\":{\"permit-pty\":\"\"},"
                             "\"allowed_extensions\":\"permit-pty,login@x\",\"allow_user_key_ids\":true"), 204);
    EK_WANT(k, sign(k, ""), 200);
    struct seen c = certificate(k);
    kit_text(c.type, "ssh-ed25519-cert-v01@openssh.com");
    assert_int_equal(c.kind, 1);
    assert_true(mln_bytes_starts(c.key_id, MLN_BYTES("vault-root-")));
    assert_int_equal(c.key_id.len, 11 + 64);
    assert_string_equal(strings(k, c.principals), "alice");
    assert_int_equal(c.after_s, NOW_S - 30);
    assert_int_equal(c.before_s, NOW_S + 1800);
    assert_string_equal(options(k, c.extensions), "permit-pty=");
    assert_int_equal(c.critical.len, 0);
    assert_string_equal(ek_text(k, "serial_number"), mln_text_format(k->cx, "%llx", (unsigned long long)c.serial));
    EK_WANT(k, sign(k, "\"valid_principals\":\"bob,alice,bob\",\"ttl\":\"1h\",\"key_id\":\"mine\",\"extensions\":{\"permit-pty\":"
                       "\"\",\"login@x\":\"bob\"},\"critical_options\":{\"source-address\":\"::1\",\"force-command\":\"ls\"}"), 200);
    c = certificate(k);
    kit_text(c.key_id, "mine");
    assert_string_equal(strings(k, c.principals), "bob,alice");
    assert_int_equal(c.before_s, NOW_S + 3600);
    assert_string_equal(options(k, c.extensions), "login@x=bob,permit-pty=");
    assert_string_equal(options(k, c.critical), "force-command=ls,source-address=::1");
    EK_VALUE(k, mln_get(k->detail, "valid_principals"), "[\"bob\",\"alice\"]");
}

static void test_key_ids(void **state)
{
    (void)state;
    SSH(k);
    with_ca(k);
    EK_WANT(k, role(k, USERS ",\"key_id_format\":\"{{role_name}}/{{token_display_name}}/{{else}}{{\""), 204);
    EK_WANT(k, sign(k, ""), 200);
    kit_text(certificate(k).key_id, "r/root/{{else}}{{");
    k->actor.display_name = "a\nb";
    EK_REFUSED(k, sign(k, ""), 400, "control characters");
    k->actor.display_name = "";
    EK_WANT(k, role(k, USERS), 204);
    EK_WANT(k, sign(k, ""), 200);
    assert_int_equal(certificate(k).key_id.len, 6 + 64);
    EK_REFUSED(k, sign(k, "\"key_id\":\"mine\""), 400, "setting key_id is not allowed by role");
}

static void test_signing_refused(void **state)
{
    (void)state;
    SSH(k);
    static const struct {
        const char *role, *request, *part;
    } t[] = {
        {USERS, "\"valid_principals\":\"carol\"", "carol is not a valid value for valid_principals"},
        {USERS, "\"valid_principals\":\"alice,carol\"", "carol is not a valid value"},
        {USERS, "\"valid_principals\":\"*\"", "* is not a valid value"},
        {BARE ",\"allowed_users\":\"alice\"", "\"valid_principals\":\"\"", "refusing to issue unsafe"},
        {BARE, "", "refusing to issue unsafe"},
        {BARE ",\"default_user\":\"alice\"", "", "role is not configured to allow any principals"},
        {BARE ",\"default_user\":\"x{{x}}\",\"default_user_template\":true,\"allowed_users\":\"*\"", "", "could not be rendered"},
        {BARE ",\"allowed_users\":\"*\"", "\"valid_principals\":\"a\\nb\"", "is not a valid value"},
        {USERS, "\"cert_type\":\"host\"", "cert_type 'host' is not allowed by role"},
        {USERS, "\"cert_type\":\"both\"", "cert_type must be either 'user' or 'host'"},
        {"\"key_type\":\"ca\",\"allow_host_certificates\":true", "", "cert_type 'user' is not allowed by role"},
        {USERS ",\"max_ttl\":60", "\"ttl\":61", "ttl is larger than maximum allowed 60"},
        {USERS, "\"ttl\":2764801", "ttl is larger than maximum allowed 2764800"},
        {USERS, "\"ttl\":-1", "ttl cannot be negative"},
        {USERS, "\"extensions\":{\"permit-pty\":\"\"}", "extensions [permit-pty] are not on allowed list"},
        {USERS ",\"allowed_extensions\":\"permit-pty\"", "\"extensions\":{\"permit-pty\":\"\",\"x\":\"\"}",
         "extensions [x] are not on allowed list"},
        {USERS ",\"allowed_critical_options\":\"force-command\"", "\"critical_options\":{\"source-address\":\"::1\"}",
         "critical options not on allowed list: [source-address]"},
        {USERS, "\"critical_options\":{\"a\":{}}", "names with texts"},
        {USERS ",\"allowed_user_key_lengths\":{\"rsa\":2048}", "", "key of type ssh-ed25519 is not allowed"},
        {"\"key_type\":\"otp\",\"default_user\":\"u\"", "", "role key type 'otp' not allowed"},
    };
    with_ca(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, role(k, t[i].role), 204);
        EK_REFUSED(k, sign(k, t[i].request), 400, t[i].part);
    }
    EK_WANT(k, role(k, USERS), 204);
    EK_REFUSED(k, ek_write(k, "ssh/sign/r", "{}"), 400, "missing public_key");
    EK_REFUSED(k, ek_write(k, "ssh/sign/r", "{\"public_key\":\"ssh-dss AAAAB3NzaC1kc3M=\"}"), 400, "failed to parse public_key");
}

static void test_principals_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *role, *request, *fill, *want;
    } t[] = {
        {BARE ",\"allowed_users\":\"*\"", "\"valid_principals\":\"any,one\"", NULL, "any,one"},
        {BARE ",\"allowed_users\":\"*\"", "", NULL, ""},
        {USERS, "\"valid_principals\":\"\"", NULL, "alice"},
        {BARE ",\"allow_empty_principals\":true", "", NULL, ""},
        {BARE ",\"allowed_users\":\"u-{{x}}\",\"allowed_users_template\":true", "\"valid_principals\":\"u-me\"", "me", "u-me"},
        {BARE ",\"allowed_users\":\"u-{{x}}\"", "\"valid_principals\":\"u-{{x}}\"", "me", "u-{{x}}"},
        {BARE ",\"allowed_users\":\"me\",\"default_user\":\"{{x}}\",\"default_user_template\":true", "", "me", "me"},
    };
    SSH(k);
    with_ca(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, role(k, t[i].role), 204);
        fill_with = t[i].fill;
        EK_WANT(k, sign(k, t[i].request), 200);
        assert_string_equal(strings(k, certificate(k).principals), t[i].want);
    }
    /* what a template becomes is one name, whatever is in it */
    EK_WANT(k, role(k, BARE ",\"allowed_users\":\"{{x}}\",\"allowed_users_template\":true"), 204);
    fill_with = "me,root";
    EK_REFUSED(k, sign(k, "\"valid_principals\":\"root\""), 400, "root is not a valid value");
    fill_with = NULL;
    EK_REFUSED(k, sign(k, "\"valid_principals\":\"me\""), 400, "me is not a valid value");
}

static void test_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *more, *name;
        int status;
    } t[] = {
        {"\"allow_subdomains\":true", "a.example.com", 200},
        {"\"allow_subdomains\":true", "a.b.example.com", 200},
        {"\"allow_subdomains\":true", "example.com", 400},
        {"\"allow_subdomains\":true", ".example.com", 400},
        {"\"allow_subdomains\":true", "aexample.com", 400},
        {"\"allow_bare_domains\":true", "example.com", 200},
        {"\"allow_bare_domains\":true", "a.example.com", 400},
        {"\"port\":22", "example.com", 400},
        {"\"allow_subdomains\":true", "", 400},
    };
    SSH(k);
    with_ca(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char json[256];
        struct mln_bytes text = mln_bytes_format(k->cx, "\"key_type\":\"ca\",\"allow_host_certificates\":true,\"allowed_domains\":"
                                                        "\"example.com,example.org\",\"default_user\":\"u\",%s", t[i].more);
        mln_copy(json, text.ptr, text.len + 1);
        EK_WANT(k, role(k, json), 204);
        text = mln_bytes_format(k->cx, "\"cert_type\":\"host\",\"valid_principals\":\"%s\"", t[i].name);
        mln_copy(json, text.ptr, text.len + 1);
        EK_WANT(k, sign(k, json), t[i].status);
        if (t[i].status == 200) {
            struct seen c = certificate(k);
            assert_int_equal(c.kind, 2);
            assert_string_equal(strings(k, c.principals), t[i].name);
        }
    }
}

static void test_default_extension_templates(void **state)
{
    (void)state;
    SSH(k);
    with_ca(k);
    EK_WANT(k, role(k, USERS ",\"default_extensions\":{\"login@x\":\"{{x}}\",\"permit-pty\":\"\"},\"default_extensions_template\":"
                             "true"), 204);
    fill_with = "me";
    EK_WANT(k, sign(k, ""), 200);
    assert_string_equal(options(k, certificate(k).extensions), "login@x=me,permit-pty=");
    assert_null(k->re.warnings);
    fill_with = NULL;
    EK_WANT(k, sign(k, ""), 200);
    assert_string_equal(options(k, certificate(k).extensions), "permit-pty=");
    assert_int_equal(mln_len(k->re.warnings), 1);
}

static void test_issue(void **state)
{
    (void)state;
    SSH(k);
    with_ca(k);
    EK_WANT(k, role(k, USERS ",\"allowed_user_key_lengths\":{\"ed25519\":0,\"ecdsa-sha2-nistp384\":0,\"ec\":256}"), 204);
    EK_WANT(k, ek_write(k, "ssh/issue/r", "{\"key_type\":\"ed25519\"}"), 200);
    assert_string_equal(ek_text(k, "private_key_type"), "ed25519");
    assert_true((mln_get(k->re.data, "private_key")->flags & MLN_VALUE_SECRET) != 0);
    assert_string_equal(strings(k, certificate(k).principals), "alice");
    EK_WANT(k, ek_write(k, "ssh/issue/r", "{\"key_type\":\"ec\"}"), 200);
    EK_WANT(k, ek_write(k, "ssh/issue/r", "{\"key_type\":\"ecdsa-sha2-nistp384\"}"), 200);
    EK_REFUSED(k, ek_write(k, "ssh/issue/r", "{\"key_type\":\"ec\",\"key_bits\":521}"), 400, "invalid size: 521");
    EK_REFUSED(k, ek_write(k, "ssh/issue/r", "{}"), 400, "key of type ssh-rsa is not allowed");
    EK_REFUSED(k, ek_write(k, "ssh/issue/none", "{}"), 400, "Unknown role: none");
}

/* Each allocation of a request that is not allowed fails once: it is refused every time. */
static void test_no_memory_allows_nothing(void **state)
{
    (void)state;
    SSH(k);
    with_ca(k);
    EK_WANT(k, role(k, USERS ",\"allowed_extensions\":\"a\",\"allowed_critical_options\":\"a\""), 204);
    static const char *const bad[] = {"\"extensions\":{\"b\":\"\"}", "\"critical_options\":{\"b\":\"\"}",
                                      "\"extensions\":{\"\":\"\"}", "\"valid_principals\":\"carol\""};
    for (size_t i = 0; i < MLN_COUNT(bad); i++) {
        struct mln_request rq;
        for (uint64_t n = 1; n < 60; n++) {
            const struct mln_value *data = NULL, *fields = NULL;
            struct mln_reply re = {0};
            ek_begin(k, &rq);
            kit_ok(k->cx, mln_json_parse(k->cx, mln_bytes_format(k->cx, "{\"public_key\":\"" ED "\",%s}", bad[i]), &data));
            mln_handler handler = NULL;
            rq.op = MLN_OP_WRITE;
            rq.data = data;
            rq.path = MLN_BYTES("ssh/sign/r");
            kit_ok(k->cx, ek_route(k, &rq, &handler));
            fields = rq.fields;
            mln_fault_arm(MLN_FAULT_ALLOC, n, false);
            struct mln_err err = handler(&rq, &re);
            mln_fault_arm(MLN_FAULT_ALLOC, 0, false);
            assert_true(mln_failed(err) && fields == rq.fields && re.data == NULL);
            ek_end(k, err);
        }
    }
}

/* ---- one-time passwords ---- */

static void otp_role(struct ek *k)
{
    EK_WANT(k, ek_write(k, "ssh/roles/o", "{\"key_type\":\"otp\",\"default_user\":\"u\",\"allowed_users\":\"v,w\",\"port\":2222,"
                                          "\"cidr_list\":\"10.0.0.0/8,2001:db8::/32\",\"exclude_cidr_list\":\"10.9.0.0/16\"}"), 204);
}

static int verify(struct ek *k, const char *otp)
{
    return ek_write(k, "ssh/verify", mln_text_format(k->cx, "{\"otp\":\"%s\"}", otp));
}

static void test_otp(void **state)
{
    (void)state;
    SSH(k);
    char otp[40] = "";
    otp_role(k);
    EK_WANT(k, ek_write(k, "ssh/creds/o", "{\"ip\":\"10.1.2.3\"}"), 200);
    mln_copy(otp, ek_text(k, "key"), 36);
    assert_string_equal(ek_text(k, "username"), "u");
    assert_int_equal(mln_get_int(mln_get(k->re.data, "port"), 0), 2222);
    assert_true((mln_get(k->re.data, "key")->flags & MLN_VALUE_SECRET) != 0);
    assert_non_null(k->re.lease);
    assert_false(k->re.lease->is_renewable);
    assert_int_equal(k->re.lease->ttl_s, 2764800);
    EK_WANT(k, verify(k, otp), 200);
    EK_DATA(k, "{\"ip\":\"10.1.2.3\",\"role_name\":\"o\",\"username\":\"u\"}");
    EK_REFUSED(k, verify(k, otp), 400, "OTP not found");
    EK_REFUSED(k, verify(k, ""), 400, "OTP not found");
    EK_WANT(k, verify(k, "verify-echo-request"), 200);
    EK_DATA(k, "{\"message\":\"verify-echo-response\"}");
    /* it dies with its lease, and by itself */
    EK_WANT(k, ek_write(k, "ssh/creds/o", "{\"ip\":\"2001:db8::1\",\"username\":\"w\"}"), 200);
    mln_copy(otp, ek_text(k, "key"), 36);
    MLN_AUTO(kit_cx_drop) struct mln_cx *kept = kit_cx_new();
    const struct mln_value *internal = mln_value_dup(kept, k->re.lease->internal);
    for (int i = 0; i < 2; i++) {
        struct mln_request rq;
        ek_begin(k, &rq);
        rq.mount = &k->mounts[0];
        kit_ok(k->cx, mln_engine_ssh.revoke(&rq, internal));
        ek_end(k, MLN_OK);
    }
    EK_REFUSED(k, verify(k, otp), 400, "OTP not found");
    EK_WANT(k, ek_write(k, "ssh/creds/o", "{\"ip\":\"10.1.2.3\"}"), 200);
    mln_copy(otp, ek_text(k, "key"), 36);
    k->now_ns += (int64_t)2764800 * 1000000000;
    EK_REFUSED(k, verify(k, otp), 400, "OTP not found");
}

static void test_otp_refused(void **state)
{
    (void)state;
    SSH(k);
    static const struct {
        const char *path, *json, *part;
    } t[] = {
        {"ssh/creds/none", "{\"ip\":\"10.1.2.3\"}", "Role \"none\" not found"},
        {"ssh/creds/r", "{\"ip\":\"10.1.2.3\"}", "role key type unknown"},
        {"ssh/creds/o", "{}", "Missing ip"},
        {"ssh/creds/o", "{\"ip\":\"10.1.2\"}", "Invalid ip"},
        {"ssh/creds/o", "{\"ip\":\"10.1.2.3/32\"}", "Invalid ip"},
        {"ssh/creds/o", "{\"ip\":\"11.1.2.3\"}", "IP does not belong to role"},
        {"ssh/creds/o", "{\"ip\":\"10.9.2.3\"}", "IP does not belong to role"},
        {"ssh/creds/o", "{\"ip\":\"10.1.2.3\",\"username\":\"root\"}", "allowed users list"},
        {"ssh/lookup", "{}", "Missing ip"},
        {"ssh/lookup", "{\"ip\":\"x\"}", "Invalid ip"},
        {"ssh/config/zeroaddress", "{}", "Missing roles"},
        {"ssh/config/zeroaddress", "{\"roles\":\"o,none\"}", "Role \"none\" not found"},
    };
    otp_role(k);
    EK_WANT(k, role(k, USERS), 204);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, t[i].path, t[i].json), 400, t[i].part);
    }
}

static void test_lookup_and_any_address(void **state)
{
    (void)state;
    SSH(k);
    otp_role(k);
    EK_WANT(k, role(k, USERS), 204);
    EK_WANT(k, ek_write(k, "ssh/lookup", "{\"ip\":\"10.1.2.3\"}"), 200);
    EK_DATA(k, "{\"roles\":[\"o\"]}");
    EK_WANT(k, ek_write(k, "ssh/lookup", "{\"ip\":\"11.1.2.3\"}"), 200);
    EK_DATA(k, "{\"roles\":[]}");
    EK_WANT(k, ek_read(k, "ssh/config/zeroaddress", NULL), 404);
    EK_WANT(k, ek_write(k, "ssh/config/zeroaddress", "{\"roles\":\"o\"}"), 204);
    EK_WANT(k, ek_read(k, "ssh/config/zeroaddress", NULL), 200);
    EK_DATA(k, "{\"roles\":[\"o\"]}");
    EK_WANT(k, ek_write(k, "ssh/lookup", "{\"ip\":\"11.1.2.3\"}"), 200);
    EK_DATA(k, "{\"roles\":[\"o\"]}");
    EK_WANT(k, ek_write(k, "ssh/creds/o", "{\"ip\":\"11.1.2.3\"}"), 200);
    EK_WANT(k, ek_delete(k, "ssh/config/zeroaddress"), 204);
    EK_REFUSED(k, ek_write(k, "ssh/creds/o", "{\"ip\":\"11.1.2.3\"}"), 400, "IP does not belong to role");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_authority),        cmocka_unit_test(test_authority_refused),
        cmocka_unit_test(test_roles),            cmocka_unit_test(test_roles_refused),
        cmocka_unit_test(test_certificate),      cmocka_unit_test(test_key_ids),
        cmocka_unit_test(test_signing_refused),  cmocka_unit_test(test_principals_allowed),
        cmocka_unit_test(test_hosts),            cmocka_unit_test(test_default_extension_templates),
        cmocka_unit_test(test_issue),            cmocka_unit_test(test_otp),
        cmocka_unit_test(test_no_memory_allows_nothing),
        cmocka_unit_test(test_otp_refused),      cmocka_unit_test(test_lookup_and_any_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
