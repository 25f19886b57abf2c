# SPDX-License-Identifier: Apache-2.0
# GPU quotas: of one container, and of all pods of a namespace that the inventory knows.
package merlon.admission.gpu

import data.merlon.lib.workload
import data.merlon.params

asked(c, resource) := n if {
	n := workload.count_of(c.resources.limits[resource])
} else := 0

deny contains sprintf("%s: container %s asks for %v of %s, %d at most", [workload.name, c.name, n, resource, params.gpu.per_container]) if {
	some c in workload.containers
	some resource in params.gpu.resources
	n := asked(c, resource)
	n > params.gpu.per_container
}

# GPUs cannot be shared: requests without limits, or others than the limits, are refused by the scheduler later and less clearly.
deny contains sprintf("%s: container %s requests %s without the same limit", [workload.name, c.name, resource]) if {
	some c in workload.containers
	some resource in params.gpu.resources
	requested := c.resources.requests[resource]
	workload.count_of(requested) != asked(c, resource)
}

most := object.get(params.gpu.per_namespace, input.request.namespace, object.get(params.gpu.per_namespace, "*", 0))

used[resource] := sum([n |
	some name, pod in data.inventory.namespace[input.request.namespace].v1.Pod
	name != object.get(input.request, "name", "")
	object.get(object.get(pod, "status", {}), "phase", "") in {"", "Pending", "Running"}
	some c in pod.spec.containers
	n := asked(c, resource)
]) if {
	some resource in params.gpu.resources
}

deny contains sprintf("namespace %s has %v of %d %s in use and cannot give %v more", [input.request.namespace, used[resource], most, resource, wanted]) if {
	input.request.kind.kind == "Pod"
	input.request.operation == "CREATE"
	some resource in params.gpu.resources
	wanted := sum([n | some c in workload.containers; c.where == "containers"; n := asked(c, resource)])
	wanted > 0
	object.get(used, resource, 0) + wanted > most
}
