# SPDX-License-Identifier: Apache-2.0
# Data sets: who works with data says of which class it is, and runs where that class may be.
package merlon.admission.residency

import data.merlon.lib.workload
import data.merlon.params

class := workload.annotation("data.merlon.dev/class")

# Claims for data, and workloads that name a data set.
needs_class if input.request.kind.kind == "PersistentVolumeClaim"

needs_class if workload.annotation("data.merlon.dev/dataset")

deny contains sprintf("%s: the annotation data.merlon.dev/class is missing", [workload.name]) if {
	workload.is_change
	needs_class
	not class
}

deny contains sprintf("%s: data.merlon.dev/class is %s, none of %s", [workload.name, class, concat(", ", params.datasets.classes)]) if {
	workload.is_change
	not class in params.datasets.classes
}

regions(spec) := {spec.nodeSelector["topology.kubernetes.io/region"]} if spec.nodeSelector["topology.kubernetes.io/region"]

else := {value |
	some term in spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms
	some e in term.matchExpressions
	e.key == "topology.kubernetes.io/region"
	e.operator == "In"
	some value in e.values
}

deny contains sprintf("%s: data of class %s is kept in %s, and nothing says that the pods run there", [workload.name, class, concat(", ", params.datasets.regions[class])]) if {
	some spec in workload.specs
	params.datasets.regions[class]
	count(regions(spec)) == 0
}

deny contains sprintf("%s: data of class %s may not be in %s", [workload.name, class, region]) if {
	some spec in workload.specs
	some region in regions(spec)
	not region in params.datasets.regions[class]
	params.datasets.regions[class]
}

deny contains sprintf("%s: work on data of class %s names its approval in data.merlon.dev/approval", [workload.name, class]) if {
	count(workload.specs) > 0
	class in params.datasets.needs_approval
	not workload.annotation("data.merlon.dev/approval")
}
