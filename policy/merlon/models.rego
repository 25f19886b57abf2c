# SPDX-License-Identifier: Apache-2.0
# Model provenance: what serves a model names its root digest, and Merlon knows that model as scanned, signed, approved and released.
# Needs merlon.* and so does not run under OPA.
package merlon.admission.models

import data.merlon.lib.workload

root := workload.annotation("merlon.dev/model")

serves_model if {
	workload.group == "serving.kserve.io"
	workload.kind == "InferenceService"
}

serves_model if workload.labels["merlon.dev/serves"] == "model"

deny contains sprintf("%s serves a model and does not name its root digest in merlon.dev/model", [workload.name]) if {
	workload.is_change
	serves_model
	not root
}

deny contains sprintf("%s: model %s is not known, or not released", [workload.name, root]) if {
	workload.is_change
	root
	not is_released
}

# A rule of its own: what is not known makes it undefined, and `not` of that holds.
is_released if merlon.model.verdict(root).state == "released"

deny contains sprintf("%s: model %s was released without %s", [workload.name, root, check]) if {
	workload.is_change
	some check in {"scan", "signature"}
	merlon.model.verdict(root).checks[check] != true
}

deny contains sprintf("%s: the scan of model %s says %s", [workload.name, root, verdict]) if {
	workload.is_change
	verdict := merlon.evidence(root, "scan").verdict
	verdict != "clean"
}

deny contains sprintf("%s: model %s has no approval of a second person", [workload.name, root]) if {
	workload.is_change
	merlon.approval(root).count == 0
}
