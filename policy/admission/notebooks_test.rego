# SPDX-License-Identifier: Apache-2.0
package merlon.admission.notebooks_test

import data.merlon.admission.notebooks

of(kind, object) := {"request": {"operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": kind}, "name": "n", "object": object}}

service(type, labels) := of("Service", {"metadata": {"name": "s"}, "spec": {"type": type, "selector": labels}})

ingress(host, annotations) := of("Ingress", {"metadata": {"name": "i", "annotations": annotations}, "spec": {"rules": [{"host": host}]}})

pod(args) := of("Pod", {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "args": args}]}})

cases := {
	"ClusterIP": {"input": service("ClusterIP", {"notebook-name": "a"}), "n": 0},
	"LoadBalancer": {"input": service("LoadBalancer", {"notebook-name": "a"}), "n": 1},
	"NodePort of JupyterHub": {"input": service("NodePort", {"app": "jupyterhub"}), "n": 1},
	"LoadBalancer of something else": {"input": service("LoadBalancer", {"app": "web"}), "n": 0},
	"no selector": {"input": of("Service", {"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer"}}), "n": 0},
	"an Ingress without login": {"input": ingress("a.notebooks.example.org", {}), "n": 1},
	"an Ingress with one": {"input": ingress("a.notebooks.example.org", {"nginx.ingress.kubernetes.io/auth-url": "https://sso"}), "n": 0},
	"another host": {"input": ingress("www.example.org", {}), "n": 0},
	"an empty token": {"input": pod(["--NotebookApp.token=''"]), "n": 1},
	"no token at all": {"input": pod(["--ServerApp.token="]), "n": 1},
	"in a shell's line": {"input": pod(["-c", "jupyter lab --ServerApp.password='' --port=8888"]), "n": 1},
	"a token": {"input": pod(["--ServerApp.token=$(TOKEN)"]), "n": 0},
	"any origin": {"input": pod(["--ServerApp.allow_origin='*'"]), "n": 1},
}

test_notebooks if {
	every _, case in cases {
		count(notebooks.deny) == case.n with input as case.input
	}
}
