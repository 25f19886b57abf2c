# SPDX-License-Identifier: Apache-2.0
package merlon.admission.models_test

import data.merlon.admission.models

service(annotations) := {"request": {
	"operation": "CREATE", "kind": {"group": "serving.kserve.io", "version": "v1beta1", "kind": "InferenceService"}, "name": "m",
	"object": {"metadata": {"name": "m", "annotations": annotations}, "spec": {"predictor": {"model": {"storageUri": "s3://x"}}}},
}}

named := service({"merlon.dev/model": "abc"})

known(state, checks) := {"state": state, "checks": checks}

good := {"scan": true, "signature": true}

test_no_name if count(models.deny) == 1 with input as service({})

test_another_workload if {
	pod := {"request": {"operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "object": {"metadata": {"name": "p"}, "spec": {}}}}
	count(models.deny) == 0 with input as pod
}

test_released if {
	count(models.deny) == 0 with input as named
		with merlon.model.verdict as known("released", good)
		with merlon.evidence as {"verdict": "clean"}
		with merlon.approval as {"count": 1}
}

test_waiting if {
	count(models.deny) == 1 with input as named
		with merlon.model.verdict as known("waiting", good)
		with merlon.evidence as {"verdict": "clean"}
		with merlon.approval as {"count": 1}
}

test_found_bad_later if {
	count(models.deny) == 2 with input as named
		with merlon.model.verdict as known("released", {"scan": false, "signature": true})
		with merlon.evidence as {"verdict": "malicious"}
		with merlon.approval as {"count": 1}
}

test_alone if {
	count(models.deny) == 1 with input as named
		with merlon.model.verdict as known("released", good)
		with merlon.evidence as {"verdict": "clean"}
		with merlon.approval as {"count": 0}
}
