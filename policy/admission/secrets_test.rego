# SPDX-License-Identifier: Apache-2.0
package merlon.admission.secrets_test

import data.merlon.admission.secrets

pod(container) := {"request": {
	"operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "name": "p",
	"object": {"metadata": {"name": "p"}, "spec": {"containers": [object.union({"name": "c", "image": "i"}, container)]}},
}}

env(name, value) := pod({"env": [{"name": name, "value": value}]})

key := concat("", ["AK", "IA", "ABCDEFGHIJKLMNOP"])

cases := {
	"a mode": {"input": env("MODE", "fast"), "n": 0},
	"a password": {"input": env("DB_PASSWORD", "hunter2"), "n": 1},
	"an empty one": {"input": env("DB_PASSWORD", ""), "n": 0},
	"a reference to another variable": {"input": env("DB_PASSWORD", "$(FROM_SECRET)"), "n": 0},
	"from a Secret": {"input": pod({"env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}), "n": 0},
	"the path of one": {"input": env("TOKEN_FILE", "/run/token"), "n": 0},
	"a key by its shape": {"input": env("REGION", key), "n": 1},
	"a password in a URL": {"input": env("DB", "postgres://me:hunter2@db/x"), "n": 1},
	"a URL without one": {"input": env("DB", "postgres://db/x"), "n": 0},
	"a URL with a variable in it": {"input": env("DB", "postgres://me:$(PASS)@db/x"), "n": 0},
	"an argument": {"input": pod({"args": ["--key", key]}), "n": 1},
	"an init container": {"input": {"request": {"operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "object": {"metadata": {"name": "p"}, "spec": {"initContainers": [{"name": "c", "image": "i", "env": [{"name": "API_KEY", "value": "x"}]}]}}}}, "n": 1},
	"a ConfigMap": {"input": {"request": {"operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "ConfigMap"}, "name": "m", "object": {"data": {"a": key}}}}, "n": 1},
}

test_secrets if {
	every _, case in cases {
		count(secrets.deny) == case.n with input as case.input
	}
}

test_values_are_not_told if {
	every message in secrets.deny {
		not contains(message, "hunter2")
	} with input as env("DB_PASSWORD", "hunter2")
}
