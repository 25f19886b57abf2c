# SPDX-License-Identifier: Apache-2.0
package merlon.admission.defaults_test

import data.merlon.admission.defaults

pod(labels, spec) := {"request": {
	"operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "name": "p",
	"object": {"metadata": {"name": "p", "labels": labels}, "spec": object.union({"containers": []}, spec)},
}}

paths := {o.path | some list in defaults.patch; some o in list}

test_defaults if {
	every _, case in {
		"nothing set": {"labels": {}, "spec": {}, "want": {"/spec/securityContext"}},
		"an empty context": {"labels": {}, "spec": {"securityContext": {}}, "want": {"/spec/securityContext/seccompProfile"}},
		"all set": {"labels": {}, "spec": {"securityContext": {"seccompProfile": {"type": "Localhost"}}}, "want": set()},
		"a notebook": {"labels": {"notebook-name": "n"}, "spec": {"securityContext": {"seccompProfile": {}}}, "want": {"/spec/automountServiceAccountToken"}},
		"a notebook that says so": {"labels": {"notebook-name": "n"}, "spec": {"automountServiceAccountToken": true, "securityContext": {"seccompProfile": {}}}, "want": set()},
	} {
		paths == case.want with input as pod(case.labels, case.spec)
	}
}
