# SPDX-License-Identifier: Apache-2.0
package merlon.gates_test

import data.merlon.gates.base_models
import data.merlon.gates.datasets
import data.merlon.gates.licenses

test_licenses if {
	every _, case in {
		"allowed": {"card": {"license": "Apache-2.0"}, "n": 0},
		"none": {"card": {}, "n": 1},
		"unknown": {"card": {"license": "my-own"}, "n": 1},
		"internal, and says so": {"card": {"license": "cc-by-nc-4.0", "audience": "internal"}, "n": 0},
		"internal, for everybody": {"card": {"license": "cc-by-nc-4.0"}, "n": 1},
		"of a data set": {"card": {"license": "mit", "datasets": [{"name": "d", "license": "proprietary"}]}, "n": 1},
	} {
		count(licenses.deny) == case.n with input as {"card": case.card}
	}
}

test_no_card if count(licenses.deny) == 1 with input as {}

test_base_models if {
	every _, case in {
		"from nothing": {"card": {"base_model": "none"}, "n": 0},
		"not said": {"card": {}, "n": 1},
		"approved": {"card": {"base_model": "mistral-7b-v0.3", "license": "apache-2.0"}, "n": 0},
		"not approved": {"card": {"base_model": "wild-13b"}, "n": 1},
		"for another use": {"card": {"base_model": "llama-3.1-8b", "license": "llama3.1"}, "n": 1},
		"for its use": {"card": {"base_model": "llama-3.1-8b", "license": "llama3.1", "audience": "internal"}, "n": 0},
	} {
		count(base_models.deny) == case.n with input as {"card": case.card}
	}
}

test_datasets if {
	every _, case in {
		"none": {"datasets": [], "n": 0},
		"no class": {"datasets": [{"name": "a"}], "n": 1},
		"public": {"datasets": [{"name": "a", "class": "public"}], "n": 0},
		"confidential, somewhere": {"datasets": [{"name": "a", "class": "confidential"}], "n": 1},
		"confidential, where it may be": {"datasets": [{"name": "a", "class": "confidential", "region": "eu-west-1"}], "n": 0},
		"restricted, not approved": {"datasets": [{"name": "a", "class": "restricted", "region": "eu-central-1"}], "n": 1},
	} {
		count(datasets.deny) == case.n with input as {"card": {"datasets": case.datasets}}
	}
}
