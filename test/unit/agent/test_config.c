/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's configuration: what is taken from HCL and YAML, and by which name the rest is refused. */
#include "kit/kit.h"

#include <signal.h>

#include "agent/agent.h"

#define AUTH "auto_auth { method \"token_file\" { config = { token_file_path = \"/t\" } } }\n"

#define PROGRAM                                                                                    \
    "env_template \"A_1\" { contents = \"x\" error_on_missing_key = true }\n"                       \
    "env_template \"B\" { source = \"/b.tpl\" }\n"                                                \
    "exec { command = [\"/bin/app\", \"x y\"] restart_on_secret_changes = \"never\" "              \
    "restart_stop_signal = \"SIGINT\" }\n"

static const char full[] =
    "vault { address = \"https://v:8200\" ca_cert = \"/ca\" retry { num_retries = 5 } }\n"
    "auto_auth {\n"
    "  method \"approle\" {\n    mount_path = \"auth/other\"\n    config = { role_id_file_path = "
    "\"/r\" secret_id_file_path = \"/s\"\n"
    "      remove_secret_id_file_after_reading = false }\n    min_backoff = \"2s\"\n  }\n"
    "  sink \"file\" { config = { path = \"/a\" mode = 0640 } }\n  sink \"file\" { config = { path "
    "= \"/b\" } }\n}\n"
    "template { source = \"/x.tpl\" destination = \"/x\" perms = \"0644\" command = \"reload it\" "
    "}\n"
    "template { contents = \"y\" destination = \"/y\" exec { command = [\"/bin/true\", \"a b\"] "
    "timeout = \"5s\" }\n"
    "  notify { pid_file = \"/p\" signal = \"SIGUSR1\" } error_on_missing_key = true "
    "create_dest_dirs = false }\n"
    "template_config { static_secret_render_interval = \"1m\" exit_on_retry_failure = true }\n"
    "cache {}\napi_proxy { use_auto_auth_token = \"force\" }\n"
    "listener \"unix\" { address = \"/s.sock\" socket_mode = \"0660\" }\n"
    "listener \"tcp\" { address = \"127.0.0.1:8100\" tls_disable = true require_request_header = "
    "true }\n"
    "exit_after_auth = true\npid_file = \"/pid\"\n";

static void test_full(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *warnings = mln_array(cx);
    struct mln_agent_config c;
    kit_ok(cx, mln_agent_config_parse(cx, mln_bytes_of(full), false, &c, warnings));
    assert_string_equal(c.server.address, "https://v:8200");
    assert_int_equal(c.auth.method, MLN_AGENT_APPROLE);
    assert_string_equal(c.auth.mount, "auth/other");
    assert_true(!c.auth.removes && c.auth.min_backoff_s == 2 && c.auth.max_backoff_s == 300);
    assert_true(c.n_sinks == 2 && c.sinks[0].mode == 0640 && c.sinks[1].mode == 0600);
    assert_true(c.n_templates == 2 && c.templates[0].mode == 0644 && c.templates[0].makes_dirs);
    assert_string_equal(c.templates[0].command[0], "/bin/sh");
    assert_string_equal(c.templates[0].command[2], "reload it");
    assert_string_equal(c.templates[1].command[1], "a b");
    assert_null(c.templates[1].command[2]);
    assert_true(c.templates[1].signal == SIGUSR1 && c.templates[1].command_timeout_s == 5 &&
                !c.templates[1].makes_dirs);
    assert_true(c.templates[1].fails_on_missing && c.interval_s == 60 && c.exits_on_failure &&
                c.proxy == MLN_AGENT_FORCE);
    assert_true(c.n_listeners == 2 && c.listeners[0].is_unix && c.listeners[0].mode == 0660 &&
                c.listeners[1].needs_header);
    assert_true(c.exits_after_auth && c.caches && c.exec.command == NULL);
    assert_int_equal(mln_len(warnings), 1); /* retry */
}

static void test_yaml(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *warnings = mln_array(cx);
    struct mln_agent_config c;
    kit_ok(cx,
           mln_agent_config_parse(
               cx,
               mln_bytes_of("auto_auth:\n  method:\n    type: kubernetes\n    config: {role: app}\n"
                            "  sinks:\n    - {type: file, config: {path: /a}}\n"
                            "templates:\n  - {contents: x, destination: /x}\n"),
               true, &c, warnings));
    assert_int_equal(c.auth.method, MLN_AGENT_KUBERNETES);
    assert_string_equal(c.auth.mount, "auth/kubernetes");
    assert_string_equal(c.auth.file, "/var/run/secrets/kubernetes.io/serviceaccount/token");
    assert_true(c.n_sinks == 1 && c.n_templates == 1 && c.proxy == MLN_AGENT_PASS &&
                c.interval_s == 300);
}

static void test_program(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_agent_config c;
    kit_ok(cx, mln_agent_config_parse(cx, MLN_BYTES(AUTH PROGRAM), false, &c, mln_array(cx)));
    assert_true(c.n_templates == 2 && c.exec.stays && c.exec.stop_signal == SIGINT && !c.caches);
    assert_string_equal(c.templates[0].env, "A_1");
    assert_string_equal(c.templates[1].env, "B");
    assert_null(c.templates[0].destination);
    assert_string_equal(c.exec.command[1], "x y");
    assert_null(c.exec.command[2]);
}

static void test_refused(void **state)
{
    static const struct {
        const char *in, *says;
    } rows[] = {
        {"", "nothing to do"},
        {"vault {", ""},
        {"nosuch = 1", "'nosuch'"},
        {"vault { adress = \"x\" }", "'adress'"},
        {"vault { address = \"\" }", "'address'"},
        {"vault { tls_skip_verify = \"maybe\" }", "'tls_skip_verify'"},
        {"auto_auth {}", "no method"},
        {"auto_auth { method \"ldap\" {} }", "\"ldap\" is not supported"},
        {"auto_auth { method \"approle\" {} }", "'role_id_file_path' is missing"},
        {"auto_auth { method \"jwt\" { config = { path = \"/j\" } } }", "'role' is missing"},
        {"auto_auth { method \"cert\" {} }", "needs 'client_cert'"},
        {"auto_auth { method \"approle\" { config = { role_id = \"inline\" } } }", "'role_id'"},
        {"auto_auth { method \"token_file\" { wrap_ttl = \"5m\" config = { token_file_path = "
         "\"/t\" } } }",
         "'wrap_ttl'"},
        {"auto_auth { method \"token_file\" { min_backoff = \"10m\" config = { token_file_path = "
         "\"/t\" } } }",
         "above"},
        {"auto_auth { method \"token_file\" { config = { token_file_path = \"/t\" } } sink "
         "\"file\" { wrap_ttl = \"5m\" config = { path = \"/a\" } } }",
         "'wrap_ttl'"},
        {"auto_auth { method \"token_file\" { config = { token_file_path = \"/t\" } } sink "
         "\"file\" { config = { path = \"/a\" mode = \"rw\" } } }",
         "'mode'"},
        {AUTH "template { destination = \"/x\" }", "either 'source' or 'contents'"},
        {AUTH "template { contents = \"x\" source = \"/y\" destination = \"/x\" }",
         "either 'source' or 'contents'"},
        {AUTH "template { contents = \"x\" }", "'destination' is missing"},
        {AUTH "template { contents = \"x\" destination = \"/x\" perms = \"0999\" }", "'perms'"},
        {AUTH "template { contents = \"x\" destination = \"/x\" command = [] }", "'command'"},
        {AUTH "template { contents = \"x\" destination = \"/x\" command = [1] }", "'command'"},
        {AUTH "template { contents = \"x\" destination = \"/x\" backup = true }",
         "'template.backup'"},
        {AUTH "template { contents = \"x\" destination = \"/x\" left_delimiter = \"<<\" }",
         "delimiters"},
        {AUTH "template { contents = \"x\" destination = \"/x\" notify { pid_file = \"/p\" signal "
              "= \"WHAT\" } }",
         "'signal'"},
        {AUTH "template_config { static_secret_render_interval = \"0s\" }",
         "'static_secret_render_interval'"},
        {"template { contents = \"x\" destination = \"/x\" }\nlistener \"unix\" { address = \"/s\" "
         "}",
         "'template' needs 'auto_auth'"},
        {"api_proxy { use_auto_auth_token = true }\nlistener \"unix\" { address = \"/s\" }",
         "needs 'auto_auth'"},
        {AUTH "listener \"tcp\" { address = \"127.0.0.1:1\" }", "tls_disable"},
        {AUTH "listener \"tcp\" { address = \"0.0.0.0:1\" tls_disable = true }", "of this machine"},
        {AUTH "listener \"udp\" { address = \"x\" }", "\"unix\" or \"tcp\""},
        {AUTH "listener \"unix\" { address = \"/s\" role = \"metrics_only\" }", "'listener.role'"},
        {AUTH "exec { command = [\"a\"] }", "'env_template' and 'exec' need each other"},
        {AUTH "env_template \"A\" { contents = \"x\" }", "'env_template' and 'exec' need each other"},
        {AUTH "env_template \"A=B\" { contents = \"x\" }", "needs the name of a variable"},
        {AUTH "env_template \"1A\" { contents = \"x\" }", "needs the name of a variable"},
        {AUTH "env_template \"A\" { }", "either 'source' or 'contents'"},
        {AUTH "env_template \"A\" { contents = \"x\" destination = \"/x\" }", "'destination'"},
        {AUTH PROGRAM "template { contents = \"x\" destination = \"/x\" }", "exclude each other"},
        {AUTH "env_template \"A\" { contents = \"x\" }\nexec { }", "needs a 'command'"},
        {AUTH "env_template \"A\" { contents = \"x\" }\nexec { command = \"a\" restart_on_secret_changes = \"no\" }",
         "\"always\" or \"never\""},
        {AUTH "env_template \"A\" { contents = \"x\" }\nexec { command = \"a\" restart_stop_signal = \"STOP\" }",
         "'restart_stop_signal'"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_agent_config c;
        struct mln_err err =
            mln_agent_config_parse(cx, mln_bytes_of(rows[i].in), false, &c, mln_array(cx));
        if (!mln_failed(err)) {
            fail_msg("%s: taken", rows[i].in);
        }
        kit_expect_at(cx, err, (enum mln_code)err.code, rows[i].says, rows[i].in, __FILE__,
                      __LINE__);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_full), KIT_TEST(test_yaml), KIT_TEST(test_program),
                                       KIT_TEST(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
