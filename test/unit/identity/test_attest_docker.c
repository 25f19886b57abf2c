/* SPDX-License-Identifier: Apache-2.0 */
/* What dockerd says of a container, and what the attestor makes of containers that are not its. */
#include "kit/kit.h"

#include "base/json.h"
#include "identity/attest_priv.h"

#define ID    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SAID  "{\"Id\":\"" ID "\",\"Image\":\"sha256:aa\",\"Config\":"

extern const struct mln_attestor mln_attestor_docker;

static const char *join(struct mln_cx *cx, const struct mln_value *all)
{
    const char *text = "";
    for (size_t i = 0; i < mln_len(all); i++) {
        text = mln_text_format(cx, "%s%s%.*s", text, i > 0 ? " " : "",
                               MLN_FMT(mln_get_bytes(mln_item(all, i))));
    }
    return text;
}

static const struct {
    const char *name, *json;
    enum mln_code code;
    const char *want;
} rows[] = {
    {"a container",
     SAID "{\"Image\":\"nginx:1\",\"Labels\":{\"b\":\"2\",\"a.b\":\"x:y\"},\"Env\":[\"P=s\"]}}",
     MLN_E_OK,
     "docker:image_config_digest:sha256:aa docker:image_id:nginx:1 docker:label:a.b:x:y "
     "docker:label:b:2"},
    {"without labels", SAID "{\"Image\":\"nginx:1\",\"Labels\":null}}", MLN_E_OK,
     "docker:image_config_digest:sha256:aa docker:image_id:nginx:1"},
    {"labels of no text", SAID "{\"Labels\":{\"a\":7,\"b\":null,\"c\":[\"x\"],\"\":\"x\"}}}",
     MLN_E_OK, "docker:image_config_digest:sha256:aa"},
    {"labels with lines", SAID "{\"Labels\":{\"a\":\"b\\nc\",\"d\\u0000e\":\"f\"}}}", MLN_E_OK,
     "docker:image_config_digest:sha256:aa"},
    {"labels as a list", SAID "{\"Labels\":[\"a\"]}}", MLN_E_OK,
     "docker:image_config_digest:sha256:aa"},
    {"another container", "{\"Id\":\"" OTHER "\",\"Config\":{}}", MLN_E_PARSE, ""},
    {"a beginning of it", "{\"Id\":\"0123456789ab\",\"Config\":{}}", MLN_E_PARSE, ""},
    {"no id", "{\"Config\":{}}", MLN_E_PARSE, ""},
    {"no config", "{\"Id\":\"" ID "\"}", MLN_E_PARSE, ""},
    {"config as a text", SAID "\"x\"}", MLN_E_PARSE, ""},
    {"a key twice", SAID "{},\"Config\":{}}", MLN_E_PARSE, ""},
    {"half of it", SAID "{", MLN_E_PARSE, ""},
    {"nothing", "", MLN_E_PARSE, ""},
};

static void test_rows(void **state)
{
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_cx *cx = kit_cx(state);
        struct mln_value *all = mln_set(cx);
        kit_expect(cx, rows[i].name,
                   mln_attest_docker_parse(cx, mln_bytes_of(rows[i].json), ID, all), rows[i].code);
        if (!mln_bytes_is(mln_bytes_of(join(cx, all)), rows[i].want)) {
            fail_msg("%s: %s", rows[i].name, join(cx, all));
        }
    }
}

static void test_many_labels(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *all = mln_set(cx);
    const char *labels = "";
    for (int i = 0; i < 300; i++) {
        labels = mln_text_format(cx, "%s%s\"l%d\":\"x\"", labels, i > 0 ? "," : "", i);
    }
    kit_ok(cx,
           mln_attest_docker_parse(
               cx, mln_bytes_of(mln_text_format(cx, SAID "{\"Labels\":{%s}}}", labels)), ID, all));
    assert_int_equal(mln_len(all), 101);
}

/* ---- the attestor ---- */

static enum mln_code answer_with;

static struct mln_err answer(void *arg, struct mln_cx *cx, const char *container,
                             const struct mln_value **ret)
{
    struct mln_value *found = mln_array(cx);
    (void)arg;
    assert_string_equal(container, ID);
    mln_push_text(cx, found, "docker:label:a:b");
    *ret = found;
    return answer_with == MLN_E_OK ? MLN_OK : mln_fail(cx, answer_with, "as the test wants it");
}

static const struct {
    const char *name, *cgroup;
    enum mln_code said, want;
    const char *selectors;
} looks[] = {
    {"dockerd's", "0::/docker/" ID "\n", MLN_E_OK, MLN_E_OK, "docker:label:a:b"},
    {"dockerd's by systemd", "0::/system.slice/docker-" ID ".scope\n", MLN_E_OK, MLN_E_OK,
     "docker:label:a:b"},
    {"dockerd's that it does not know", "0::/docker/" ID "\n", MLN_E_NOT_FOUND, MLN_E_UNREACHABLE,
     ""},
    {"dockerd does not answer", "0::/docker/" ID "\n", MLN_E_UNREACHABLE, MLN_E_UNREACHABLE, ""},
    {"dockerd says nonsense", "0::/docker/" ID "\n", MLN_E_PARSE, MLN_E_UNREACHABLE, ""},
    {"nobody's that it knows", "0::/" ID "\n", MLN_E_OK, MLN_E_OK, "docker:label:a:b"},
    {"nobody's that it does not know", "0::/" ID "\n", MLN_E_NOT_FOUND, MLN_E_NOT_FOUND, ""},
    {"podman's", "0::/libpod-" ID ".scope\n", MLN_E_OK, MLN_E_OK, ""},
    {"a pod's", "0::/kubepods/podc2f1b2ce-0d4a-4c53-9d27-1f2b6a0e3b77/" ID "\n", MLN_E_OK, MLN_E_OK,
     ""},
    {"no container", "0::/system.slice/a.service\n", MLN_E_OK, MLN_E_NOT_FOUND, ""},
};

static void test_looks(void **state)
{
    struct mln_attest_config config = {.docker = answer};
    struct mln_attest_target target = {.config = &config};
    for (size_t i = 0; i < MLN_COUNT(looks); i++) {
        struct mln_cx *cx = kit_cx(state);
        struct mln_value *all = mln_set(cx);
        answer_with = looks[i].said;
        target.cgroup = mln_bytes_of(looks[i].cgroup);
        kit_expect(cx, looks[i].name, mln_attestor_docker.look(cx, &target, all), looks[i].want);
        if (!mln_bytes_is(mln_bytes_of(join(cx, all)), looks[i].selectors)) {
            fail_msg("%s: %s", looks[i].name, join(cx, all));
        }
    }
}

static const struct {
    const char *json;
    bool ok;
} settings[] = {
    {"{\"docker\":{}}", true},
    {"{\"docker\":{\"socket\":\"/run/docker.sock\"}}", true},
    {"{\"docker\":{\"socket\":\"tcp://127.0.0.1:2375\"}}", false},
    {"{\"docker\":{\"socket\":\"\"}}", false},
    {"{\"docker\":{\"socket\":7}}", false},
    {"{\"docker\":{\"sockets\":\"/x\"}}", false},
};

static void test_settings(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(settings); i++) {
        const struct mln_value *v = NULL;
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(settings[i].json), &v));
        kit_expect(cx, settings[i].json, mln_attest_check(cx, v),
                   settings[i].ok ? MLN_E_OK : MLN_E_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_rows), KIT_TEST(test_many_labels),
                                       KIT_TEST(test_looks), KIT_TEST(test_settings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
