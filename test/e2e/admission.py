#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kubernetes admission over TLS, as an API server asks: AdmissionReview v1 documents of all operations, dry run, sub-resources, custom
resources, Gatekeeper's templates and constraints, patches, time-outs, lookups of releases, and what the ledger keeps.

usage: admission.py [MERLON]
"""
import base64
import copy
import http.client
import json
import pathlib
import ssl
import tempfile
import uuid

from kit import ROOT, TOKEN, Api, Server, case, finish, run

REVIEWS = ROOT / "test" / "vectors" / "admission"

IMAGES = """package merlon.admission.images

deny contains {"msg": sprintf("%s: image %s is not named by its digest", [c.name, c.image]), "container": c.name} if {
    input.request.kind.kind == "Pod"
    some c in input.request.object.spec.containers
    not contains(c.image, "@sha256:")
}

warn contains "no resource limits" if {
    input.request.kind.kind == "Pod"
    some c in input.request.object.spec.containers
    not c.resources.limits
}

annotations["images"] := concat(",", [c.image | some c in input.request.object.spec.containers]) if input.request.kind.kind == "Pod"
"""
LABELS = """package merlon.admission.labels

patch contains [{"op": "add", "path": "/metadata/labels", "value": {}}, {"op": "add", "path": "/metadata/labels/team", "value": "ml"}] if {
    input.request.operation == "CREATE"
    not input.request.object.metadata.labels
}
"""
MODELS = """package merlon.admission.models

root := input.request.object.metadata.annotations["merlon.dev/model"]

deny contains sprintf("model %s is not released", [root]) if not released

released if merlon.model.verdict(root).state == "released"
released if not root
"""
SLOW = """package merlon.admission.slow

deny contains "never" if {
    input.request.name == "slow"
    some x in numbers.range(1, 30000)
    some y in numbers.range(1, 30000)
    x * y == -1
}
"""
REQUIRED = {
    "apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate", "metadata": {"name": "k8srequiredlabels"},
    "spec": {"crd": {"spec": {"names": {"kind": "K8sRequiredLabels"}}}, "targets": [{
        "target": "admission.k8s.gatekeeper.sh",
        "rego": """package k8srequiredlabels
import data.lib.helpers
violation[{"msg": msg, "details": {"missing_labels": missing}}] {
  provided := {label | input.review.object.metadata.labels[label]}
  required := {label | label := input.parameters.labels[_]}
  missing := required - provided
  count(missing) > 0
  msg := sprintf("you must provide labels: %v", [helpers.sorted(missing)])
}
""",
        "libs": ["package lib.helpers\nsorted(x) = sort(x) { true }\n"]}]}}
UNIQUE = {
    "apiVersion": "templates.gatekeeper.sh/v1beta1", "kind": "ConstraintTemplate", "metadata": {"name": "k8suniquehost"},
    "spec": {"crd": {"spec": {"names": {"kind": "K8sUniqueHost"}}}, "targets": [{
        "target": "admission.k8s.gatekeeper.sh",
        "rego": """package k8suniquehost
violation[{"msg": msg}] {
  host := input.review.object.spec.rules[_].host
  other := data.inventory.namespace[ns][_]["Ingress"][name]
  other.spec.rules[_].host == host
  not same(ns, name)
  msg := sprintf("host %v is taken by %v/%v", [host, ns, name])
}
same(ns, name) { ns == input.review.namespace; name == input.review.object.metadata.name }
"""}]}}


def constraint(kind, name, match, action=None, **parameters):
    spec = {"match": match, "parameters": parameters}
    if action:
        spec["enforcementAction"] = action
    return {"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def document(name):
    return json.loads((REVIEWS / (name + ".json")).read_text())


class Webhook:
    """Posts reviews as an API server does: its own TLS connection, its headers, the timeout in the query."""

    def __init__(self, port, token=None):
        self.port, self.token = port, token

    def raw(self, what, body, timeout=10):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        link = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)
        headers = {"Accept": "application/json, */*", "Content-Type": "application/json", "User-Agent": "kube-apiserver-admission"}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        link.request("POST", "/v1/admission/%s?timeout=%ds" % (what, timeout), body, headers)
        answer = link.getresponse()
        text = answer.read()
        link.close()
        return answer.status, text

    def __call__(self, what, review):
        status, text = self.raw(what, json.dumps(review))
        answer = json.loads(text)
        response = answer.get("response") or {}
        fits = (status == 200 and answer["apiVersion"] == "admission.k8s.io/v1" and answer["kind"] == "AdmissionReview"
                and response["uid"] == review["request"]["uid"] and isinstance(response["allowed"], bool))
        return {**response, "fits": fits, "status_code": status, "whole": answer}


def message(response):
    return (response.get("status") or {}).get("message", "")


def patch_of(response):
    return json.loads(base64.b64decode(response["patch"], validate=True)) if "patch" in response else None


def fresh(which, **changes):
    review = document(which)
    review["request"]["uid"] = str(uuid.uuid4())
    for key, value in changes.items():
        review["request"][key] = value
    return review


def callers(api, port):
    hook = Webhook(port)
    status, _ = hook.raw("validate", json.dumps(fresh("pod-create")))
    case("without a token: 403", status == 403, status)
    case("auth none", api("POST", "admission/config", {"auth": "none"}).code == 204)
    answer = hook("validate", fresh("pod-create"))
    case("no policies: all is allowed", answer["fits"] and answer["allowed"], answer)
    case("auth token again", api("POST", "admission/config", {"auth": "token"}).code == 204)
    api("PUT", "sys/policies/acl/webhook", {"policy": 'path "admission/+" { capabilities = ["update"] }'})
    token = api("POST", "auth/token/create", {"policies": ["webhook"]}).json["auth"]["client_token"]
    answer = Webhook(port, token)("validate", fresh("pod-create"))
    case("with a bearer token", answer["fits"] and answer["allowed"], answer)
    weak = api("POST", "auth/token/create", {"policies": ["default"]}).json["auth"]["client_token"]
    status, _ = Webhook(port, weak).raw("validate", json.dumps(fresh("pod-create")))
    case("a token without the right: 403", status == 403, status)
    return Webhook(port, token)


def policies(api, hook):
    case("a policy", api("PUT", "admission/policies/images", {"policy": IMAGES}).code == 204)
    broken = api("PUT", "admission/policies/broken", {"policy": "package merlon.admission.broken\ndeny if"})
    case("one that does not compile is refused, with its place", broken.code == 400 and "broken:2" in broken.errors[0], broken)
    absent = api("GET", "admission/policies/broken")
    case("and is not there", absent.code == 404, absent)
    answer = hook("validate", fresh("pod-create"))
    case("denied: 403, Forbidden, which policy", answer["fits"] and not answer["allowed"] and answer["status"]["code"] == 403
         and answer["status"]["reason"] == "Forbidden" and message(answer).startswith("[images] app: image"), answer)
    case("annotations", answer["auditAnnotations"]["images.images"].startswith("registry"), answer)
    good = fresh("pod-create")
    good["request"]["object"]["spec"]["containers"][0]["image"] = "registry.example.org/app@sha256:" + "0" * 64
    answer = hook("validate", good)
    case("allowed, with a warning", answer["allowed"] and answer["warnings"] == ["[images] no resource limits"], answer)
    return good


def operations(hook):
    for name in ("pod-create", "deployment-update", "configmap-delete", "pod-exec-connect", "pod-status-update", "pod-ephemeral-update",
                 "custom-create", "namespace-create", "node-create-cluster", "deployment-scale-update", "service-create", "secret-create"):
        answer = hook("validate", fresh(name))
        wanted = name not in ("pod-create", "pod-ephemeral-update", "pod-status-update")
        case("%s: %s" % (name, "allowed" if wanted else "denied"), answer["fits"] and answer["allowed"] == wanted, answer)
    for name, change in (("another API version", lambda r: r.update(apiVersion="admission.k8s.io/v1beta1")),
                         ("another kind", lambda r: r.update(kind="Pod")), ("no request", lambda r: r.pop("request")),
                         ("no uid", lambda r: r["request"].pop("uid")), ("a long uid", lambda r: r["request"].update(uid="x" * 200)),
                         ("another operation", lambda r: r["request"].update(operation="PATCH")),
                         ("an object that is a list", lambda r: r["request"].update(object=[])),
                         ("dryRun is a text", lambda r: r["request"].update(dryRun="yes"))):
        review = fresh("pod-create")
        change(review)
        status, text = hook.raw("validate", json.dumps(review))
        case("refused: " + name, status == 400 and b"errors" in text, (status, text[:200]))
    for name, text in (("no JSON", "{"), ("a key twice", '{"kind":"a","kind":"b"}'), ("too deep", '{"a":' * 100 + "1" + "}" * 100)):
        status, _ = hook.raw("validate", text)
        case("refused: " + name, status == 400, status)


def patches(api, hook):
    case("a policy that patches", api("PUT", "admission/policies/labels", {"policy": LABELS}).code == 204)
    answer = hook("mutate", fresh("pod-create"))
    operations_ = patch_of(answer)
    case("a JSON patch in base64", answer["allowed"] and answer["patchType"] == "JSONPatch"
         and operations_ == [{"op": "add", "path": "/metadata/labels", "value": {}},
                             {"op": "add", "path": "/metadata/labels/team", "value": "ml"}], answer)
    labelled = fresh("pod-create")
    labelled["request"]["object"]["metadata"]["labels"] = {"team": "x"}
    answer = hook("mutate", labelled)
    case("nothing to patch", answer["allowed"] and "patch" not in answer and "patchType" not in answer, answer)
    api("PUT", "admission/policies/labels", {"policy": 'package merlon.admission.labels\npatch contains {"op": "fly", "path": "/a"}'})
    answer = hook("mutate", fresh("pod-create"))
    case("no operation: fails closed", not answer["allowed"] and answer["status"]["code"] == 500, answer)
    api("DELETE", "admission/policies/labels")


def gatekeeper(api, hook, good):
    case("a template", api("POST", "admission/templates", {"manifest": REQUIRED}).code == 204)
    match = {"kinds": [{"apiGroups": [""], "kinds": ["Pod", "Namespace"]}], "excludedNamespaces": ["kube-*"]}
    early = api("POST", "admission/constraints", {"manifest": constraint("K8sOther", "x", {})})
    case("a constraint without a template is refused", early.code == 400 and "has no template" in early.errors[0], early)
    case("a constraint", api("POST", "admission/constraints", {"manifest": constraint("K8sRequiredLabels", "owner", match, labels=["owner", "app"])}).code == 204)
    answer = hook("validate", good)
    case("a constraint denies, with its library", not answer["allowed"] and message(answer) == '[owner] you must provide labels: ["app", "owner"]', answer)
    away = copy.deepcopy(good)
    away["request"]["namespace"] = away["request"]["object"]["metadata"]["namespace"] = "kube-system"
    case("an excluded namespace", hook("validate", away)["allowed"])
    case("a kind that it is not for", hook("validate", fresh("deployment-update"))["allowed"])
    for action, allowed in (("warn", True), ("dryrun", True), ("deny", False)):
        api("POST", "admission/constraints", {"manifest": constraint("K8sRequiredLabels", "owner", match, action, labels=["owner"])})
        answer = hook("validate", good)
        warned = any("[owner]" in w for w in answer.get("warnings", []))
        case("enforcementAction %s" % action, answer["allowed"] == allowed and warned == (action == "warn"), answer)
    selector = {"kinds": match["kinds"], "namespaceSelector": {"matchLabels": {"tier": "prod"}}}
    api("POST", "admission/constraints", {"manifest": constraint("K8sRequiredLabels", "owner", selector, labels=["owner"])})
    answer = hook("validate", good)
    case("a namespaceSelector without the namespace fails closed", not answer["allowed"] and "not in the inventory" in message(answer), answer)
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a", "labels": {"tier": "test"}}}
    api("POST", "admission/inventory", {"objects": [space]})
    case("a namespaceSelector that does not fit", hook("validate", good)["allowed"])
    space["metadata"]["labels"]["tier"] = "prod"
    api("POST", "admission/inventory", {"objects": [space]})
    case("a namespaceSelector that fits", not hook("validate", good)["allowed"])
    odd = api("POST", "admission/constraints", {"manifest": constraint("K8sRequiredLabels", "odd", {"weather": "fine"})})
    case("a condition that is not known is refused", odd.code == 400 and "spec.match.weather" in odd.errors[0], odd)
    cel = copy.deepcopy(REQUIRED)
    cel["spec"]["targets"][0] = {"target": "admission.k8s.gatekeeper.sh", "code": [{"engine": "K8sNativeValidation", "source": {}}]}
    odd = api("POST", "admission/templates", {"manifest": cel})
    case("a template without Rego is refused", odd.code == 400 and "other engines" in odd.errors[0], odd)
    gone = api("DELETE", "admission/templates/k8srequiredlabels")
    case("a template that is used stays", gone.code == 400, gone)
    api("DELETE", "admission/constraints/K8sRequiredLabels/owner")
    case("one that is not goes", api("DELETE", "admission/templates/k8srequiredlabels").code == 204)


def inventory(api, hook):
    api("POST", "admission/templates", {"manifest": UNIQUE})
    api("POST", "admission/constraints", {"manifest": constraint("K8sUniqueHost", "hosts", {"kinds": [{"apiGroups": ["networking.k8s.io"], "kinds": ["Ingress"]}]})})
    review = fresh("ingress-create")
    case("nobody has the host", hook("validate", review)["allowed"])
    other = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "other", "namespace": "team-b"},
             "spec": review["request"]["object"]["spec"]}
    api("POST", "admission/inventory", {"objects": [other]})
    answer = hook("validate", review)
    case("data.inventory: the host is taken", not answer["allowed"] and "taken by team-b/other" in message(answer), answer)
    api("POST", "admission/inventory", {"remove": [other]})
    case("and free again", hook("validate", review)["allowed"])
    secret = api("POST", "admission/inventory", {"objects": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}]})
    case("Secrets are not taken", secret.code == 400 and "Secrets are not kept" in secret.errors[0], secret)
    api("DELETE", "admission/constraints/K8sUniqueHost/hosts")


def budgets(api, hook):
    api("PUT", "admission/policies/slow", {"policy": SLOW})
    api("POST", "admission/config", {"time_ms": 100})
    review = fresh("pod-create", name="slow", operation="CREATE")
    answer = hook("validate", review)
    case("out of time: fails closed, and says so", not answer["allowed"] and answer["status"]["code"] == 500 and "eval_cancel_error" in message(answer), answer)
    api("POST", "admission/config", {"on_error": "allow"})
    answer = hook("validate", review)
    case("on_error allow: with a warning", answer["allowed"] and "could not judge" in answer["warnings"][0], answer)
    bad = api("POST", "admission/config", {"time_ms": 60000})
    case("more time than API servers wait is refused", bad.code == 400, bad)
    api("POST", "admission/config", {"on_error": "deny", "time_ms": 2000, "exempt_namespaces": ["kube-*"]})
    api("DELETE", "admission/policies/slow")
    exempt = fresh("pod-create", namespace="kube-system")
    case("an exempt namespace", hook("validate", exempt)["allowed"])


def lookups(api, hook, good):
    api("PUT", "admission/policies/models", {"policy": MODELS})
    review = copy.deepcopy(good)
    review["request"]["object"]["metadata"]["annotations"] = {"merlon.dev/model": "ab" * 32}
    answer = hook("validate", review)
    case("a model that nobody released", not answer["allowed"] and "is not released" in message(answer), answer)
    api("POST", "sys/auth/userpass", {"type": "userpass"})
    api("PUT", "sys/policies/acl/author", {"policy": 'path "release/*" { capabilities = ["create", "read", "update", "list"] }'})
    api("POST", "auth/userpass/users/alice", {"password": "alice-alice", "token_policies": "author"})
    alice = Api(api.port, api("POST", "auth/userpass/login/alice", {"password": "alice-alice"}).json["auth"]["client_token"], tls=True)
    gate = {"model": "m", "scan": "skip", "signature": "skip", "approvals": {"count": 0}}
    api("POST", "admission/config", {"cache_ms": 0})
    made = alice("POST", "release/open", {"gate": gate, "root": "ab" * 32, "files": 1, "bytes": 1})
    case("open is not released", made.code == 200 and not hook("validate", review)["allowed"], made)
    done = alice("POST", "release/%s/gate" % made.data["id"], {})
    answer = hook("validate", review)
    case("released: allowed", done.data.get("state") == "released" and answer["allowed"], (done, answer))
    api("POST", "admission/config", {"release_mount": "nowhere/"})
    answer = hook("validate", review)
    case("no releases to ask: fails closed", not answer["allowed"] and "eval_lookup_error" in message(answer), answer)
    api("POST", "admission/config", {"on_lookup": "allow"})
    answer = hook("validate", review)
    case("on_lookup allow", answer["allowed"] and answer["warnings"], answer)
    api("POST", "admission/config", {"release_mount": "release/", "on_lookup": "deny"})


def replays(api, hook, work):
    before = set(api("LIST", "decision").data.get("keys", []))
    secret = fresh("secret-create")
    api("PUT", "admission/policies/nosecrets", {"policy": 'package merlon.admission.nosecrets\ndeny contains "no" if input.request.kind.kind == "Secret"'})
    answer = hook("validate", fresh("secret-create", dryRun=True))
    case("a dry run keeps no decision", not answer["allowed"] and set(api("LIST", "decision").data.get("keys", [])) == before, answer)
    answer = hook("validate", secret)
    new = set(api("LIST", "decision").data["keys"]) - before
    case("what is denied is kept", not answer["allowed"] and len(new) == 1, new)
    decision = api("GET", "decision/" + new.pop()).data
    text = json.dumps(decision)
    case("what a Secret holds is not", "c2VjcmV0" not in text and "(masked)" in text, text[:300])
    (work / "d.json").write_text(text)
    done = run("decision", "replay", work / "d.json", "--format", "json")
    case("its replay: equal", done.returncode == 0 and json.loads(done.stdout)["outcome"] == "equal", done)
    forged = copy.deepcopy(decision)
    forged["said"] = []
    refused = api("POST", "decision/keep", {"decision": forged})
    case("a decision with digests of something else is not kept", refused.code == 400 and "digests" in refused.errors[0], refused)
    api("DELETE", "admission/policies/nosecrets")


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="merlon-admission-"))
    server = Server("--dev-tls")
    try:
        api = server.api
        case("mounted", api("POST", "sys/mounts/admission", {"type": "admission"}).code == 204)
        hook = callers(api, server.port)
        good = policies(api, hook)
        operations(hook)
        patches(api, hook)
        gatekeeper(api, hook, good)
        inventory(api, hook)
        budgets(api, hook)
        lookups(api, hook, good)
        replays(api, hook, work)
    finally:
        server.stop()


finish(main, "admission")
