# SPDX-License-Identifier: Apache-2.0
# What a model was made from: base models that are approved, for the use that they are approved for.
package merlon.gates.base_models

import data.merlon.params

card := object.get(input, "card", {})

base := lower(object.get(card, "base_model", "missing"))

deny contains {"msg": "the card does not say base_model (none: trained from nothing)", "file": "model-card.yaml"} if base == "missing"

deny contains {"msg": sprintf("base model %s is not approved", [base]), "file": "model-card.yaml"} if {
	base != "missing"
	not params.base_models[base]
}

deny contains {"msg": sprintf("base model %s is approved for %s, the card says %s", [base, concat(", ", uses), audience]), "file": "model-card.yaml"} if {
	uses := params.base_models[base].uses
	audience := object.get(card, "audience", "public")
	not audience in uses
}

deny contains {"msg": sprintf("base model %s has the license %s, the card says %s", [base, wanted, got]), "file": "model-card.yaml"} if {
	wanted := params.base_models[base].license
	got := lower(object.get(card, "license", "none"))
	not got in {wanted, "apache-2.0", "mit"}
}
