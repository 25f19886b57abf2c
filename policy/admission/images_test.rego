# SPDX-License-Identifier: Apache-2.0
package merlon.admission.images_test

import data.merlon.admission.images

digest := concat("", ["@sha256:", concat("", ["ab" | some _ in numbers.range(1, 32)])])

pod(image) := {"request": {
	"operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "name": "p",
	"object": {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": image}]}},
}}

cases := {
	"by digest, approved": {"image": concat("", ["registry.example.org/a", digest]), "n": 0},
	"by tag": {"image": "registry.example.org/a:1", "n": 1},
	"by digest, from elsewhere": {"image": concat("", ["docker.io/a", digest]), "n": 1},
	"a registry whose name only begins so": {"image": concat("", ["registry.example.org.evil/a", digest]), "n": 1},
	"neither": {"image": "a", "n": 2},
	"a digest in the middle": {"image": concat("", ["registry.example.org/a", digest, "x"]), "n": 1},
}

test_images if {
	every _, case in cases {
		count(images.deny) == case.n with input as pod(case.image)
	}
}

test_init_and_ephemeral_containers if {
	review := {"request": {
		"operation": "UPDATE", "subResource": "ephemeralcontainers", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "name": "p",
		"object": {"metadata": {"name": "p"}, "spec": {
			"initContainers": [{"name": "i", "image": "registry.example.org/a:1"}],
			"ephemeralContainers": [{"name": "e", "image": "registry.example.org/a:2"}],
		}},
	}}
	count(images.deny) == 2 with input as review
}

test_every_workload if {
	template := {"spec": {"containers": [{"name": "c", "image": "registry.example.org/a:1"}]}}
	every _, review in {
		"Deployment": {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}, "object": {"spec": {"template": template}}},
		"CronJob": {"kind": {"group": "batch", "version": "v1", "kind": "CronJob"}, "object": {"spec": {"jobTemplate": {"spec": {"template": template}}}}},
		"Notebook": {"kind": {"group": "kubeflow.org", "version": "v1", "kind": "Notebook"}, "object": {"spec": {"template": template}}},
		"PyTorchJob": {"kind": {"group": "kubeflow.org", "version": "v1", "kind": "PyTorchJob"}, "object": {"spec": {"pytorchReplicaSpecs": {"Worker": {"template": template}}}}},
		"InferenceService": {"kind": {"group": "serving.kserve.io", "version": "v1beta1", "kind": "InferenceService"}, "object": {"metadata": {"name": "i"}, "spec": {"predictor": template.spec}}},
	} {
		count(images.deny) == 1 with input as {"request": object.union(review, {"operation": "CREATE", "name": "x"})}
	}
}

test_nothing_of_a_status if {
	review := {"request": {"operation": "UPDATE", "subResource": "status", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "object": {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a"}]}}}}
	count(images.deny) == 0 with input as review
}
