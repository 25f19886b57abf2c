# SPDX-License-Identifier: Apache-2.0
# What clusters commonly ask of workloads; docs/kyverno.md names the Kyverno policy that each rule stands for.
package merlon.admission.workloads

import data.merlon.lib.workload

# disallow-latest-tag
deny contains sprintf("%s: container %s has no tag or latest", [workload.name, c.name]) if {
	some c in workload.containers
	not regex.match(`(@sha256:|:[^/]+$)`, c.image)
}

deny contains sprintf("%s: container %s has the tag latest", [workload.name, c.name]) if {
	some c in workload.containers
	endswith(c.image, ":latest")
}

# require-pod-requests-limits
deny contains sprintf("%s: container %s says no %s", [workload.name, c.name, what]) if {
	some c in workload.containers
	c.where == "containers"
	some what, path in {"memory limit": ["limits", "memory"], "cpu request": ["requests", "cpu"], "memory request": ["requests", "memory"]}
	object.get(object.get(c, "resources", {}), path, null) == null
}

# require-ro-rootfs
warn contains sprintf("%s: container %s may write to its root file system", [workload.name, c.name]) if {
	some c in workload.containers
	object.get(c, ["securityContext", "readOnlyRootFilesystem"], false) != true
}

# require-probes
warn contains sprintf("%s: container %s has no %s", [workload.name, c.name, probe]) if {
	workload.kind in {"Deployment", "StatefulSet", "DaemonSet"}
	some c in workload.containers
	c.where == "containers"
	some probe in {"livenessProbe", "readinessProbe"}
	object.get(c, probe, null) == null
}

# disallow-default-namespace
deny contains sprintf("%s: not in namespace default", [workload.name]) if {
	count(workload.specs) > 0
	input.request.namespace == "default"
}

# restrict-automount-sa-token
deny contains sprintf("%s: automountServiceAccountToken is not false", [workload.name]) if {
	some spec in workload.specs
	object.get(spec, "automountServiceAccountToken", true) != false
	object.get(spec, "serviceAccountName", "default") == "default"
}

# require-labels
deny contains sprintf("%s: label %s is missing", [workload.name, label]) if {
	count(workload.specs) > 0
	some label in {"app.kubernetes.io/name", "team"}
	object.get(workload.labels, label, "") == ""
}

# disallow-container-sock-mounts
deny contains sprintf("%s: volume %s is a container engine's socket", [workload.name, v.name]) if {
	some spec in workload.specs
	some v in spec.volumes
	regex.match(`/(docker|containerd|crio)(/[a-z]+)?\.sock$`, v.hostPath.path)
}
