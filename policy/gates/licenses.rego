# SPDX-License-Identifier: Apache-2.0
# Licenses of the model and of the data that it was made from. input.card: model-card.yaml.
package merlon.gates.licenses

import data.merlon.params

card := object.get(input, "card", {})

declared contains {"of": "the model", "license": lower(object.get(card, "license", "none"))}

declared contains {"of": sprintf("data set %s", [object.get(d, "name", "?")]), "license": lower(object.get(d, "license", "none"))} if {
	some d in datasets
}

datasets := object.get(card, "datasets", [])

is_internal if object.get(card, "audience", "public") == "internal"

deny contains {"msg": sprintf("the license of %s is %s: not allowed", [d.of, d.license]), "file": "model-card.yaml"} if {
	some d in declared
	not d.license in params.licenses.allowed
	not d.license in params.licenses.internal_only
}

deny contains {"msg": sprintf("the license of %s is %s: for internal use, and the card does not say audience: internal", [d.of, d.license]), "file": "model-card.yaml"} if {
	some d in declared
	d.license in params.licenses.internal_only
	not is_internal
}

warn contains {"msg": "the card names no data sets", "file": "model-card.yaml"} if count(datasets) == 0
