# SPDX-License-Identifier: Apache-2.0
package merlon.admission.network_test

import data.merlon.admission.network

pod := {"request": {
	"operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "name": "p", "namespace": "a",
	"object": {"metadata": {"name": "p"}, "spec": {"containers": []}},
}}

with_policies(specs) := {"namespace": {"a": {"networking.k8s.io/v1": {"NetworkPolicy": {sprintf("p%d", [i]): {"spec": spec} | some i, spec in specs}}}}}

test_workloads if {
	every _, case in {
		"no policy": {"specs": [], "n": 2},
		"both denied": {"specs": [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}], "n": 0},
		"in two policies": {"specs": [{"podSelector": {}, "policyTypes": ["Ingress"]}, {"podSelector": {}, "policyTypes": ["Egress"]}], "n": 0},
		"only ingress": {"specs": [{"podSelector": {}, "policyTypes": ["Ingress"]}], "n": 1},
		"of some pods only": {"specs": [{"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress", "Egress"]}], "n": 2},
		"one that lets something in": {"specs": [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}]}], "n": 1},
	} {
		count(network.deny) == case.n with input as pod with data.inventory as with_policies(case.specs)
	}
}

test_an_empty_inventory if count(network.deny) == 2 with input as pod with data.inventory as {}

policy(spec) := {"request": {
	"operation": "CREATE", "kind": {"group": "networking.k8s.io", "version": "v1", "kind": "NetworkPolicy"}, "name": "np", "namespace": "a",
	"object": {"metadata": {"name": "np"}, "spec": spec},
}}

test_policies if {
	every _, case in {
		"from one pod": {"spec": {"ingress": [{"from": [{"podSelector": {}}]}]}, "n": 0},
		"from everybody": {"spec": {"ingress": [{}]}, "n": 1},
		"to everybody": {"spec": {"egress": [{"ports": [{"port": 443}]}]}, "n": 1},
		"to the whole world": {"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}, "n": 1},
		"to the world but the cluster": {"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}]}, "n": 0},
	} {
		count(network.deny) == case.n with input as policy(case.spec) with data.inventory as {}
	}
}
