# SPDX-License-Identifier: Apache-2.0
package merlon.admission.gpu_test

import data.merlon.admission.gpu

pod(resources) := {"request": {
	"operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "name": "p", "namespace": "team-a",
	"object": {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}},
}}

running(n, phase) := {"namespace": {"team-a": {"v1": {"Pod": {"other": {
	"spec": {"containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": n}}}]},
	"status": {"phase": phase},
}}}}}}

cases := {
	"none": {"resources": {}, "n": 0},
	"as many as may be": {"resources": {"limits": {"nvidia.com/gpu": "8"}}, "n": 0},
	"too many of one container": {"resources": {"limits": {"nvidia.com/gpu": 9}}, "n": 2},
	"a request without a limit": {"resources": {"requests": {"nvidia.com/gpu": 1}}, "n": 1},
	"a request that is the limit": {"resources": {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": 1}}, "n": 0},
	"another resource": {"resources": {"limits": {"cpu": "900"}}, "n": 0},
}

test_gpu if {
	every _, case in cases {
		count(gpu.deny) == case.n with input as pod(case.resources) with data.inventory as {}
	}
}

test_namespace if {
	every _, case in {
		"room left": {"n": 4, "phase": "Running", "want": 0},
		"no room": {"n": 5, "phase": "Running", "want": 1},
		"what is over does not count": {"n": 5, "phase": "Succeeded", "want": 0},
	} {
		count(gpu.deny) == case.want with input as pod({"limits": {"nvidia.com/gpu": 4}}) with data.inventory as running(case.n, case.phase)
	}
}
