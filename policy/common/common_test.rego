# SPDX-License-Identifier: Apache-2.0
package merlon.admission.common_test

import data.merlon.admission.cluster
import data.merlon.admission.workloads

of(op, group, kind, more) := {"request": object.union({"operation": op, "kind": {"group": group, "version": "v1", "kind": kind}, "name": "n", "namespace": "a", "userInfo": {"username": "system:alice", "groups": ["dev"]}}, more)}

create(group, kind, object) := of("CREATE", group, kind, {"object": object})

good := {"name": "c", "image": "i:1", "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}, "securityContext": {"readOnlyRootFilesystem": true}}

pod(container, spec) := create("", "Pod", {
	"metadata": {"name": "n", "labels": {"app.kubernetes.io/name": "n", "team": "t"}},
	"spec": object.union({"automountServiceAccountToken": false, "containers": [object.union(good, container)]}, spec),
})

test_workloads if {
	every _, case in {
		"good": {"input": pod({}, {}), "n": 0},
		"latest": {"input": pod({"image": "i:latest"}, {}), "n": 1},
		"no tag": {"input": pod({"image": "r.example.org:5000/i"}, {}), "n": 1},
		"a digest": {"input": pod({"image": "i@sha256:00"}, {}), "n": 0},
		"no limits": {"input": pod({"resources": {"limits": null, "requests": null}}, {}), "n": 3},
		"a token": {"input": pod({}, {"automountServiceAccountToken": true}), "n": 1},
		"a token of an account of its own": {"input": pod({}, {"automountServiceAccountToken": true, "serviceAccountName": "own"}), "n": 0},
		"no labels": {"input": create("", "Pod", {"metadata": {"name": "n"}, "spec": {"automountServiceAccountToken": false, "containers": [good]}}), "n": 2},
		"in default": {"input": object.union(pod({}, {}), {"request": {"namespace": "default"}}), "n": 1},
		"the engine's socket": {"input": pod({}, {"volumes": [{"name": "v", "hostPath": {"path": "/run/containerd/containerd.sock"}}]}), "n": 1},
	} {
		count(workloads.deny) == case.n with input as case.input
	}
}

test_warnings if {
	deployment := create("apps", "Deployment", {"metadata": {"name": "n"}, "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i:1"}]}}}})
	count(workloads.warn) == 3 with input as deployment
}

test_cluster if {
	every _, case in {
		"NodePort": {"input": create("", "Service", {"spec": {"type": "NodePort"}}), "n": 1},
		"ClusterIP": {"input": create("", "Service", {"spec": {"type": "ClusterIP"}}), "n": 0},
		"external addresses": {"input": create("", "Service", {"spec": {"externalIPs": ["1.2.3.4"]}}), "n": 1},
		"all verbs": {"input": create("rbac.authorization.k8s.io", "ClusterRole", {"rules": [{"verbs": ["*"], "resources": ["pods"]}]}), "n": 1},
		"cluster-admin": {"input": create("rbac.authorization.k8s.io", "ClusterRoleBinding", {"roleRef": {"name": "cluster-admin"}}), "n": 1},
		"exec in production": {"input": of("CONNECT", "", "PodExecOptions", {"subResource": "exec", "namespace": "prod-1", "object": {}}), "n": 1},
		"exec elsewhere": {"input": of("CONNECT", "", "PodExecOptions", {"subResource": "exec", "object": {}}), "n": 0},
		"exec with the glass broken": {"input": of("CONNECT", "", "PodExecOptions", {"subResource": "exec", "namespace": "prod-1", "object": {}, "userInfo": {"groups": ["break-glass"]}}), "n": 0},
		"an ephemeral container": {"input": of("UPDATE", "", "Pod", {"object": {"spec": {"ephemeralContainers": [{}]}}, "oldObject": {"spec": {}}}), "n": 1},
		"one that is there already": {"input": of("UPDATE", "", "Pod", {"object": {"spec": {"ephemeralContainers": [{}]}}, "oldObject": {"spec": {"ephemeralContainers": [{}]}}}), "n": 0},
		"delete what is protected": {"input": of("DELETE", "", "PersistentVolumeClaim", {"oldObject": {"metadata": {"labels": {"protected": "true"}}}}), "n": 1},
		"delete what is not": {"input": of("DELETE", "", "PersistentVolumeClaim", {"oldObject": {"metadata": {}}}), "n": 0},
		"a wildcard host": {"input": create("networking.k8s.io", "Ingress", {"spec": {"rules": [{"host": "*.example.org"}]}}), "n": 1},
		"a host that is taken": {"input": create("networking.k8s.io", "Ingress", {"spec": {"rules": [{"host": "taken.example.org"}]}}), "n": 1},
		"a free host": {"input": create("networking.k8s.io", "Ingress", {"spec": {"rules": [{"host": "free.example.org"}]}}), "n": 0},
	} {
		count(cluster.deny) == case.n with input as case.input
			with data.inventory as {"namespace": {"b": {"networking.k8s.io/v1": {"Ingress": {"other": {"spec": {"rules": [{"host": "taken.example.org"}]}}}}}}}
	}
}

test_patch if {
	cluster.patch == {[{"op": "add", "path": "/metadata/labels/created-by", "value": "system.alice"}]} with input as create("", "Namespace", {"metadata": {"name": "n", "labels": {}}})
	count(cluster.patch) == 0 with input as create("", "Namespace", {"metadata": {"name": "n"}})
}
