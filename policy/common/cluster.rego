# SPDX-License-Identifier: Apache-2.0
# What clusters commonly ask of everything else; docs/kyverno.md.
package merlon.admission.cluster

changes if input.request.operation in {"CREATE", "UPDATE"}

# restrict-nodeport
deny contains sprintf("Service/%s: NodePort", [input.request.name]) if {
	changes
	input.request.kind.kind == "Service"
	input.request.object.spec.type == "NodePort"
}

# restrict-external-ips
deny contains sprintf("Service/%s: externalIPs", [input.request.name]) if {
	changes
	input.request.kind.kind == "Service"
	count(input.request.object.spec.externalIPs) > 0
}

# restrict-wildcard-verbs, restrict-wildcard-resources
deny contains sprintf("%s/%s: %s of a rule are *", [input.request.kind.kind, input.request.name, part]) if {
	changes
	input.request.kind.kind in {"Role", "ClusterRole"}
	some rule in input.request.object.rules
	some part in {"verbs", "resources"}
	"*" in rule[part]
}

# restrict-clusterrole-binding to cluster-admin
deny contains sprintf("%s/%s binds cluster-admin", [input.request.kind.kind, input.request.name]) if {
	changes
	input.request.kind.kind in {"RoleBinding", "ClusterRoleBinding"}
	input.request.object.roleRef.name == "cluster-admin"
}

# block-pod-exec-by-namespace
deny contains sprintf("no %s into pods of %s", [input.request.subResource, input.request.namespace]) if {
	input.request.operation == "CONNECT"
	input.request.kind.kind in {"PodExecOptions", "PodAttachOptions", "PodPortForwardOptions"}
	startswith(input.request.namespace, "prod")
	not "break-glass" in object.get(input.request.userInfo, "groups", [])
}

# block-ephemeral-containers
deny contains sprintf("Pod/%s: ephemeral containers", [input.request.name]) if {
	input.request.kind.kind == "Pod"
	count(object.get(input.request.object.spec, "ephemeralContainers", [])) > count(object.get(object.get(object.get(input.request, "oldObject", {}), "spec", {}), "ephemeralContainers", []))
}

# block-deletes of what is protected
deny contains sprintf("%s/%s is protected: remove the label protected first", [input.request.kind.kind, input.request.name]) if {
	input.request.operation == "DELETE"
	input.request.oldObject.metadata.labels.protected == "true"
}

# restrict-ingress-wildcard, and each host only once
deny contains sprintf("Ingress/%s: host %s is a wildcard", [input.request.name, rule.host]) if {
	changes
	input.request.kind.kind == "Ingress"
	some rule in input.request.object.spec.rules
	startswith(rule.host, "*")
}

# unique-ingress-host: needs the inventory
deny contains sprintf("Ingress/%s: host %s is taken by %s/%s", [input.request.name, rule.host, ns, name]) if {
	changes
	input.request.kind.kind == "Ingress"
	some rule in input.request.object.spec.rules
	some ns, kinds in data.inventory.namespace
	some name, other in kinds["networking.k8s.io/v1"].Ingress
	[ns, name] != [input.request.namespace, input.request.name]
	some taken in other.spec.rules
	taken.host == rule.host
}

# add-labels, as a patch
patch contains [{"op": "add", "path": "/metadata/labels/created-by", "value": replace(input.request.userInfo.username, ":", ".")}] if {
	input.request.operation == "CREATE"
	input.request.kind.kind == "Namespace"
	input.request.object.metadata.labels
	not input.request.object.metadata.labels["created-by"]
}
