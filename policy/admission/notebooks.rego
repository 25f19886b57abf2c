# SPDX-License-Identifier: Apache-2.0
# Notebooks run what people type, with their data: not open to the network, not without a password.
package merlon.admission.notebooks

import data.merlon.lib.workload
import data.merlon.params

is_notebook(labels) if labels["notebook-name"]

is_notebook(labels) if labels.app in {"jupyter", "jupyterhub", "jupyterlab", "rstudio", "code-server"}

is_notebook(labels) if labels["app.kubernetes.io/name"] in {"jupyter", "jupyterhub", "jupyterlab", "rstudio", "code-server"}

deny contains sprintf("%s: a notebook's Service is %s, ClusterIP is wanted", [workload.name, type]) if {
	input.request.operation in {"CREATE", "UPDATE"}
	input.request.kind.kind == "Service"
	is_notebook(input.request.object.spec.selector)
	type := input.request.object.spec.type
	type in {"LoadBalancer", "NodePort"}
}

deny contains sprintf("%s: a notebook's Service has external addresses", [workload.name]) if {
	input.request.operation in {"CREATE", "UPDATE"}
	input.request.kind.kind == "Service"
	is_notebook(input.request.object.spec.selector)
	count(input.request.object.spec.externalIPs) > 0
}

deny contains sprintf("%s: host %s is a notebook's, and the annotation %s is missing", [workload.name, rule.host, params.notebook.auth_annotation]) if {
	input.request.operation in {"CREATE", "UPDATE"}
	input.request.kind.kind == "Ingress"
	some rule in input.request.object.spec.rules
	some pattern in params.notebook.hosts
	glob.match(pattern, [], rule.host)
	not workload.annotations[params.notebook.auth_annotation]
}

# Jupyter's switches that turn its own login off.
open_switch(arg) if regex.match(`^--(NotebookApp|ServerApp|IdentityProvider|PasswordIdentityProvider)\.(token|password|hashed_password)=('{2}|"{2})?$`, arg)

open_switch(arg) if regex.match(`^--(NotebookApp|ServerApp)\.(disable_check_xsrf|allow_remote_access|allow_root)=(?i:true)$`, arg)

open_switch(arg) if regex.match(`^--ServerApp\.allow_origin='?\*'?$`, arg)

deny contains sprintf("%s: container %s starts with %s", [workload.name, c.name, word]) if {
	some c in workload.containers
	some arg in array.concat(object.get(c, "command", []), object.get(c, "args", []))
	some word in split(arg, " ")
	open_switch(word)
}
