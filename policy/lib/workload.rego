# SPDX-License-Identifier: Apache-2.0
# What runs pods, as one: the pod template of whatever the review is about, and its containers.
package merlon.lib.workload

request := input.request

kind := request.kind.kind

group := request.kind.group

# A change of the status or the scale is no change of what runs.
is_change if {
	request.operation in {"CREATE", "UPDATE"}
	object.get(request, "subResource", "") in {"", "ephemeralcontainers"}
}

name := sprintf("%s/%s", [kind, object.get(object.get(request.object, "metadata", {}), "name", object.get(request, "name", "?"))])

# Where the pod template stands, and the labels and annotations of its pods.
templates contains {"metadata": request.object.metadata, "spec": request.object.spec} if {
	is_change
	kind == "Pod"
	group == ""
}

templates contains request.object.spec.template if {
	is_change
	kind in {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "Notebook"}
}

templates contains request.object.spec.jobTemplate.spec.template if {
	is_change
	kind == "CronJob"
}

# Kubeflow's training jobs: spec.pytorchReplicaSpecs.Worker.template and the like.
templates contains replica.template if {
	is_change
	group == "kubeflow.org"
	endswith(kind, "Job")
	some key, replicas in request.object.spec
	endswith(key, "ReplicaSpecs")
	some replica in replicas
}

# KServe: a predictor is a pod spec with a model beside it.
templates contains {"metadata": request.object.metadata, "spec": part} if {
	is_change
	group == "serving.kserve.io"
	kind == "InferenceService"
	some section in {"predictor", "transformer", "explainer"}
	part := request.object.spec[section]
}

specs contains template.spec if some template in templates

containers contains object.union(c, {"where": list}) if {
	some spec in specs
	some list in {"containers", "initContainers", "ephemeralContainers"}
	some c in object.get(spec, list, [])
}

containers contains object.union({"name": section}, object.union(spec[section], {"where": section})) if {
	some spec in specs
	some section in {"model", "sklearn", "pytorch", "triton", "huggingface"}
	is_object(spec[section])
}

annotations := object.get(object.get(request.object, "metadata", {}), "annotations", {})

labels := object.get(object.get(request.object, "metadata", {}), "labels", {})

# Annotations of the object and of its pods.
annotation(key) := value if {
	value := annotations[key]
} else := value if {
	some template in templates
	value := template.metadata.annotations[key]
}

# Kubernetes' quantities, as far as counts go: "2", 2, "500m", "1k".
count_of(v) := v if is_number(v)

count_of(v) := to_number(v) if regex.match(`^[0-9]+$`, v)

count_of(v) := to_number(trim_suffix(v, "k")) * 1000 if regex.match(`^[0-9]+k$`, v)

count_of(v) := to_number(trim_suffix(v, "m")) / 1000 if regex.match(`^[0-9]+m$`, v)
