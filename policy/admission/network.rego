# SPDX-License-Identifier: Apache-2.0
# Network policies: workloads only where the namespace denies by default (the inventory says), and no policy that opens everything again.
package merlon.admission.network

import data.merlon.lib.workload

policies := object.get(object.get(object.get(data.inventory, "namespace", {}), input.request.namespace, {}), "networking.k8s.io/v1", {}).NetworkPolicy

denies_by_default(direction) if {
	some policy in policies
	object.get(policy.spec, "podSelector", {}) == {}
	direction in policy.spec.policyTypes
	count(object.get(policy.spec, lower(direction), [])) == 0
}

deny contains sprintf("%s: namespace %s has no NetworkPolicy that denies %s by default", [workload.name, input.request.namespace, direction]) if {
	count(workload.specs) > 0
	some direction in {"Ingress", "Egress"}
	not denies_by_default(direction)
}

# A rule without peers is for everybody.
deny contains sprintf("NetworkPolicy/%s: rule %d of %s is for everybody", [input.request.name, i, direction]) if {
	input.request.kind.kind == "NetworkPolicy"
	input.request.operation in {"CREATE", "UPDATE"}
	some direction, peers in {"ingress": "from", "egress": "to"}
	some i, rule in input.request.object.spec[direction]
	count(object.get(rule, peers, [])) == 0
}

deny contains sprintf("NetworkPolicy/%s: rule %d of %s opens all of %s", [input.request.name, i, direction, block]) if {
	input.request.kind.kind == "NetworkPolicy"
	input.request.operation in {"CREATE", "UPDATE"}
	some direction, peers in {"ingress": "from", "egress": "to"}
	some i, rule in input.request.object.spec[direction]
	some peer in rule[peers]
	block := peer.ipBlock.cidr
	block in {"0.0.0.0/0", "::/0"}
	count(object.get(peer.ipBlock, "except", [])) == 0
}
