# SPDX-License-Identifier: Apache-2.0
# What is missing is set, not refused: a mutating webhook asks this one.
package merlon.admission.defaults

is_pod if {
	input.request.kind.kind == "Pod"
	input.request.operation == "CREATE"
}

patch contains [{"op": "add", "path": "/spec/securityContext", "value": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}}] if {
	is_pod
	not input.request.object.spec.securityContext
}

patch contains [{"op": "add", "path": "/spec/securityContext/seccompProfile", "value": {"type": "RuntimeDefault"}}] if {
	is_pod
	input.request.object.spec.securityContext
	not input.request.object.spec.securityContext.seccompProfile
}

patch contains [{"op": "add", "path": "/spec/automountServiceAccountToken", "value": false}] if {
	is_pod
	input.request.object.metadata.labels["notebook-name"]
	not has_key(input.request.object.spec, "automountServiceAccountToken")
}

has_key(o, key) if key in object.keys(o)
