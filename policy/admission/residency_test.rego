# SPDX-License-Identifier: Apache-2.0
package merlon.admission.residency_test

import data.merlon.admission.residency

pod(annotations, spec) := {"request": {
	"operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "name": "p",
	"object": {"metadata": {"name": "p", "annotations": annotations}, "spec": object.union({"containers": []}, spec)},
}}

in_region(r) := {"nodeSelector": {"topology.kubernetes.io/region": r}}

by_affinity(values) := {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "topology.kubernetes.io/region", "operator": "In", "values": values}]}]}}}}

cases := {
	"no data": {"input": pod({}, {}), "n": 0},
	"a data set without a class": {"input": pod({"data.merlon.dev/dataset": "patients"}, {}), "n": 1},
	"public, anywhere": {"input": pod({"data.merlon.dev/dataset": "iris", "data.merlon.dev/class": "public"}, {}), "n": 0},
	"a class that is none": {"input": pod({"data.merlon.dev/class": "secret"}, {}), "n": 1},
	"confidential, no region": {"input": pod({"data.merlon.dev/class": "confidential"}, {}), "n": 1},
	"confidential, where it may be": {"input": pod({"data.merlon.dev/class": "confidential"}, in_region("eu-west-1")), "n": 0},
	"confidential, where it may not": {"input": pod({"data.merlon.dev/class": "confidential"}, in_region("us-east-1")), "n": 1},
	"one of two regions is wrong": {"input": pod({"data.merlon.dev/class": "confidential"}, by_affinity(["eu-west-1", "us-east-1"])), "n": 1},
	"restricted, without approval": {"input": pod({"data.merlon.dev/class": "restricted"}, in_region("eu-central-1")), "n": 1},
	"restricted, with it": {"input": pod({"data.merlon.dev/class": "restricted", "data.merlon.dev/approval": "DPO-7"}, in_region("eu-central-1")), "n": 0},
	"a claim without a class": {"input": {"request": {"operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "PersistentVolumeClaim"}, "name": "c", "object": {"metadata": {"name": "c"}, "spec": {}}}}, "n": 1},
}

test_residency if {
	every _, case in cases {
		count(residency.deny) == case.n with input as case.input
	}
}
