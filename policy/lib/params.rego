# SPDX-License-Identifier: Apache-2.0
# What differs from one platform to another. Put your own module of this package in its place.
package merlon.params

registries := ["registry.example.org/", "registry.k8s.io/"]

gpu := {
	"resources": ["nvidia.com/gpu", "amd.com/gpu", "habana.ai/gaudi"],
	"per_container": 8,
	"per_namespace": {"*": 8, "team-train": 64},
}

notebook := {"hosts": ["*.notebooks.example.org"], "auth_annotation": "nginx.ingress.kubernetes.io/auth-url"}

datasets := {
	"classes": ["public", "internal", "confidential", "restricted"],
	"regions": {"restricted": ["eu-central-1"], "confidential": ["eu-central-1", "eu-west-1"]},
	"needs_approval": ["restricted"],
}

base_models := {
	"mistral-7b-v0.3": {"license": "apache-2.0"},
	"llama-3.1-8b": {"license": "llama3.1", "uses": ["internal"]},
	"none": {},
}

licenses := {
	"allowed": ["apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0"],
	"internal_only": ["cc-by-nc-4.0", "llama3.1"],
}
