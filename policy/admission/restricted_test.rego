# SPDX-License-Identifier: Apache-2.0
package merlon.admission.restricted_test

import data.merlon.admission.restricted

good := {"allowPrivilegeEscalation": false, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}, "capabilities": {"drop": ["ALL"]}}

pod(spec, container) := {"request": {
	"operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "name": "p",
	"object": {"metadata": {"name": "p"}, "spec": object.union({"containers": [object.union({"name": "c", "image": "i"}, container)]}, spec)},
}}

secured(more) := pod({}, {"securityContext": object.union(good, more)})

cases := {
	"restricted": {"input": secured({}), "n": 0},
	"nothing set": {"input": pod({}, {}), "n": 4},
	"set for the pod": {"input": pod({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "Localhost", "localhostProfile": "x"}}}, {"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}), "n": 0},
	"the container's counts before the pod's": {"input": pod({"securityContext": {"runAsNonRoot": true}}, {"securityContext": object.union(good, {"runAsNonRoot": false})}), "n": 1},
	"privileged": {"input": secured({"privileged": true}), "n": 1},
	"root": {"input": secured({"runAsUser": 0}), "n": 1},
	"unconfined": {"input": secured({"seccompProfile": {"type": "Unconfined"}}), "n": 1},
	"a capability that may be added": {"input": secured({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}), "n": 0},
	"one that may not": {"input": secured({"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}), "n": 1},
	"drops something else": {"input": secured({"capabilities": {"drop": ["NET_RAW"]}}), "n": 1},
	"the node's network": {"input": pod({"hostNetwork": true}, {"securityContext": good}), "n": 1},
	"a path of the node": {"input": pod({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, {"securityContext": good}), "n": 1},
	"a volume of data": {"input": pod({"volumes": [{"name": "v", "emptyDir": {}}]}, {"securityContext": good}), "n": 0},
	"a port of the node": {"input": pod({}, {"securityContext": good, "ports": [{"hostPort": 80}]}), "n": 1},
	"a sysctl": {"input": pod({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, {"securityContext": good}), "n": 1},
	"a safe sysctl": {"input": pod({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}, {"securityContext": good}), "n": 0},
	"proc": {"input": secured({"procMount": "Unmasked"}), "n": 1},
	"AppArmor off": {"input": secured({"appArmorProfile": {"type": "Unconfined"}}), "n": 1},
	"an SELinux type": {"input": secured({"seLinuxOptions": {"type": "spc_t"}}), "n": 1},
	"a Windows host process": {"input": secured({"windowsOptions": {"hostProcess": true}}), "n": 1},
}

test_restricted if {
	every _, case in cases {
		count(restricted.deny) == case.n with input as case.input
	}
}
