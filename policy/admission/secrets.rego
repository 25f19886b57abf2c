# SPDX-License-Identifier: Apache-2.0
# No plain secrets in the environment or in arguments: they are in every `kubectl get -o yaml`, in etcd, in crash reports. Messages never say
# the value.
package merlon.admission.secrets

import data.merlon.lib.workload

name_says := `(?i)(passw(or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|credential|connection[_-]?string)`

harmless := `(?i)(_file|_path|_name|_ttl|_url|_endpoint|_type|_length|_issuer|_header)$`

# Values that are secrets whatever they are called.
value_says := [
	`-----BEGIN [A-Z ]*PRIVATE KEY-----`,
	`\b(AKIA|ASIA)[0-9A-Z]{16}\b`,
	`\bgh[pousr]_[0-9A-Za-z]{36}`,
	`\bglpat-[0-9A-Za-z_-]{20}`,
	`\bhf_[0-9A-Za-z]{30,}`,
	`\bsk-[0-9A-Za-z_-]{20,}`,
	`\bxox[baprs]-[0-9A-Za-z-]{10,}`,
	`\bhvs\.[0-9A-Za-z_-]{20,}`,
	`\bey[JK][0-9A-Za-z_-]{10,}\.ey[JK][0-9A-Za-z_-]{10,}\.`,
	`://[^/\s:@]+:[^/\s:@$]+@`,
]

is_secret(value) if {
	some pattern in value_says
	regex.match(pattern, value)
}

deny contains sprintf("%s: container %s has %s as plain text: use valueFrom.secretKeyRef", [workload.name, c.name, e.name]) if {
	some c in workload.containers
	some e in c.env
	e.value != ""
	regex.match(name_says, e.name)
	not regex.match(harmless, e.name)
	not regex.match(`^\$\([A-Za-z0-9_]+\)$`, e.value)
}

deny contains sprintf("%s: the value of %s in container %s looks like a secret", [workload.name, e.name, c.name]) if {
	some c in workload.containers
	some e in c.env
	is_secret(e.value)
}

deny contains sprintf("%s: an argument of container %s looks like a secret", [workload.name, c.name]) if {
	some c in workload.containers
	some arg in array.concat(object.get(c, "command", []), object.get(c, "args", []))
	is_secret(arg)
}

deny contains sprintf("ConfigMap/%s: the value of %s looks like a secret", [input.request.name, key]) if {
	input.request.kind.kind == "ConfigMap"
	input.request.operation in {"CREATE", "UPDATE"}
	some key, value in input.request.object.data
	is_secret(value)
}
