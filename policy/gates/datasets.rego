# SPDX-License-Identifier: Apache-2.0
# Data sets in the model card: class, and where it lies.
package merlon.gates.datasets

import data.merlon.params

datasets := object.get(object.get(input, "card", {}), "datasets", [])

name(d) := object.get(d, "name", "?")

deny contains {"msg": sprintf("data set %s: class is none of %s", [name(d), concat(", ", params.datasets.classes)]), "file": "model-card.yaml"} if {
	some d in datasets
	not object.get(d, "class", "") in params.datasets.classes
}

deny contains {"msg": sprintf("data set %s of class %s lies in %s", [name(d), d.class, region]), "file": "model-card.yaml"} if {
	some d in datasets
	allowed := params.datasets.regions[d.class]
	region := object.get(d, "region", "an unknown region")
	not region in allowed
}

deny contains {"msg": sprintf("data set %s of class %s has no approval", [name(d), d.class]), "file": "model-card.yaml"} if {
	some d in datasets
	d.class in params.datasets.needs_approval
	object.get(d, "approval", "") == ""
}
