#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program `bao` of OpenBao against Merlon: its commands say the same as against its own server, its agent and its proxy work, and
`merlon migrate` moves between the two servers both ways.

usage: bao_cli.py [MERLON]     `bao` is $MERLON_TEST_BAO, or the one in PATH; without one all is skipped
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from kit import MERLON, TOKEN, Api, Server, case, finish, free_port, run, skip

BAO = os.environ.get("MERLON_TEST_BAO") or shutil.which("bao")

# Run in this order by a shell at both servers; exit code and output must agree. "NAME=$(...)" keeps a value for later lines.
COMMANDS = r"""
bao auth list
bao policy list
bao kv put secret/a x=1 y=two
bao kv get secret/a
bao kv get -field=x secret/a
bao kv get -format=json secret/a
bao kv get -format=yaml secret/a
bao kv get -field=nope secret/a
bao kv get secret/none
bao kv put -mount=secret b/c z=3
bao kv get -mount=secret b/c
bao kv list secret
bao kv list secret/none
bao kv patch secret/a w=4
bao kv patch -method=rw secret/a w=5
bao kv put -cas=1 secret/a x=9
bao kv put -cas=3 secret/a x=9
bao kv metadata put -max-versions=3 -custom-metadata=who=me secret/a
bao kv metadata patch -custom-metadata=k=v secret/a
bao kv metadata get secret/a
bao kv metadata get -format=json secret/a
bao kv delete secret/a
bao kv get secret/a
bao kv undelete -versions=4 secret/a
bao kv get -version=2 secret/a
bao kv rollback -version=2 secret/a
bao kv destroy -versions=1 secret/a
bao kv scan secret
bao scan secret/metadata
bao secrets enable -path=kv1 kv
bao kv put kv1/q a=b
bao kv get kv1/q
bao kv enable-versioning kv1
bao secrets tune -default-lease-ttl=1h -description=hello kv1
bao secrets move kv1 kv3
bao secrets disable kv3
bao secrets enable nosuch
bao secrets enable -path=secret kv
bao read secret/data/a
bao read -field=data secret/data/a
bao read nosuch/path
bao write nosuch/path a=b
bao list nosuch/path
echo 'path "secret/data/*" { capabilities = ["read", "list"] }' | bao policy write dev -
bao policy read dev
bao policy read nosuch
bao token create -policy=dev
bao token create -policy=dev -format=json
bao token create -policy=dev -ttl=1h -display-name=joe -metadata=a=b -use-limit=5 -orphan
bao token create -type=batch -policy=dev
bao token create -period=1h
bao token create -explicit-max-ttl=2h -ttl=1h
bao token create -wrap-ttl=60s -policy=dev
bao token create -role=none
T=$(bao token create -policy=dev -field=token)
BAO_TOKEN=$T bao token lookup
bao token capabilities $T secret/data/a
BAO_TOKEN=$T bao token renew
BAO_TOKEN=$T bao kv put secret/a n=1
BAO_TOKEN=$T bao kv get secret/a
BAO_TOKEN=$T bao secrets list
BAO_TOKEN=$T bao token create -policy=root
bao token revoke $T
BAO_TOKEN=$T bao token lookup
A=$(bao token create -policy=dev -field=token_accessor)
bao token lookup -accessor $A
bao token revoke -accessor $A
bao token revoke -accessor $A
W=$(bao token create -wrap-ttl=5m -policy=dev -field=wrapping_token)
bao unwrap -format=json $W
bao unwrap $W
bao write auth/token/roles/r1 allowed_policies=dev period=1h
bao token create -role=r1
bao version-history
bao operator step-down
timeout 3 bao monitor -log-level=bogus
bao write sys/tools/hash input=YQ==
bao lease lookup nosuch
bao lease renew nosuch
bao lease revoke nosuch
bao namespace list
bao read -output-curl-string secret/data/a
bao read -output-policy secret/data/a
bao print token
bao auth enable userpass
bao auth enable userpass
bao write auth/userpass/users/bob password=pw policies=dev
bao read auth/userpass/users/bob
bao login -method=userpass -no-store username=bob password=pw
bao login -method=userpass -no-store username=bob password=wrong
bao login -no-store badtoken
bao auth enable approle
bao write auth/approle/role/app token_policies=dev token_ttl=1h secret_id_ttl=10m
bao read auth/approle/role/app
R=$(bao read -field=role_id auth/approle/role/app/role-id)
S=$(bao write -f -field=secret_id auth/approle/role/app/secret-id)
bao write auth/approle/login role_id=$R secret_id=$S
bao write auth/approle/login role_id=$R secret_id=bad
bao secrets enable transit
bao write -f transit/keys/k
bao write transit/encrypt/k plaintext=YQ==
C=$(bao write -field=ciphertext transit/encrypt/k plaintext=YQ==)
bao write transit/decrypt/k ciphertext=$C
openssl genrsa 2048 2>/dev/null | openssl pkcs8 -topk8 -nocrypt -outform DER | base64 -w0 >key; bao transit import transit/keys/imp @key type=rsa-2048
bao transit import-version transit/keys/imp @key
bao read -field=type transit/keys/imp
bao secrets enable pki
bao secrets enable -path=pki2 pki
bao secrets tune -max-lease-ttl=87600h pki
I=$(bao write -field=issuer_id pki/root/generate/internal common_name=root ttl=87600h issuer_name=rootx)
bao pki list-intermediates /pki/issuer/rootx
bao write pki/roles/web allowed_domains=x.com allow_subdomains=true max_ttl=72h
bao write pki/issue/web common_name=a.y.com
bao secrets enable ssh
bao write ssh/roles/otp key_type=otp default_user=u cidr_list=127.0.0.0/8
bao write ssh/lookup ip=127.0.0.1
bao write identity/entity name=e1 policies=dev
bao read -field=name identity/entity/name/e1
bao read sys/internal/counters/entities
bao read sys/loggers/core
bao write sys/loggers level=bogus
bao write sys/loggers level=info
bao delete sys/loggers
bao plugin deregister auth foo
bao write sys/decode-token encoded_token=AAAA otp=BB
bao read pki/config/acme
bao pki verify-sign -format=json pki/issuer/rootx pki/issuer/rootx
bao read pki/crl/rotate-delta
bao list sys/namespaces
bao namespace create team | grep -v '^id '
bao secrets enable -ns=team kv
bao kv put -ns=team kv/a x=1
bao kv get -ns=team kv/a
bao secrets disable -ns=team kv
bao namespace lookup nosuch
BAO_TOKEN= bao operator rekey -status
bao token lookup
bao operator seal
bao operator seal
bao kv get secret/a
"""

# The same at a server with shares, from its first minute on.
SHARES = r"""
bao operator init -status
bao operator init -key-shares=3 -key-threshold=5
bao operator init -key-shares=3 -key-threshold=2 -format=json >init.json
bao operator init
BAO_TOKEN=$(python3 -c "import json; print(json.load(open('init.json'))['root_token'])")
K1=$(python3 -c "import json; print(json.load(open('init.json'))['unseal_keys_b64'][0])")
K2=$(python3 -c "import json; print(json.load(open('init.json'))['unseal_keys_hex'][1])")
bao secrets list
bao operator unseal $K1
bao operator unseal $K1
bao operator unseal -reset
bao operator unseal -reset
bao operator unseal $K1
bao operator unseal $K2
sleep 5; bao status
bao operator raft autopilot get-config
bao operator raft autopilot set-config -min-quorum=3
bao operator raft autopilot get-config
bao operator raft remove-peer nosuch
bao operator raft demote nosuch
bao operator rotate
bao operator rekey -status
bao operator rekey -init -key-shares=1 -key-threshold=1
bao operator rotate-keys -status
bao operator rotate-keys -init -key-shares=3 -key-threshold=2
bao operator rotate-keys -cancel
bao operator rotate-keys -init -key-shares=3 -key-threshold=2 -verify | grep -v Nonce
N=$(bao operator rotate-keys -status -format=json | python3 -c "import json,sys; print(json.load(sys.stdin)['nonce'])")
bao operator rotate-keys -nonce=$N $K1
bao operator rotate-keys -nonce=$N -format=json $K2 >new.json
V=$(python3 -c "import json; print(json.load(open('new.json'))['verification_nonce'])")
N1=$(python3 -c "import json; print(json.load(open('new.json'))['keys'][0])")
N2=$(python3 -c "import json; print(json.load(open('new.json'))['keys_base64'][1])")
bao operator rotate-keys -verify -nonce=$V $N1
bao operator rotate-keys -verify -nonce=$V $N2
O=$(bao operator generate-root -generate-otp)
bao operator generate-root -init -otp=short
bao operator generate-root -init -otp=$O -format=json | grep '"otp"'
G=$(bao operator generate-root -status -format=json | python3 -c "import json,sys; print(json.load(sys.stdin)['nonce'])")
bao operator generate-root -nonce=$G $N1
E=$(bao operator generate-root -nonce=$G -format=json $N2 | python3 -c "import json,sys; print(json.load(sys.stdin)['encoded_token'])")
R=$(bao operator generate-root -decode=$E -otp=$O)
BAO_TOKEN=$R bao token lookup
bao secrets enable -version=2 -path=secret kv
sleep 1; bao kv put secret/a x=1
bao operator raft snapshot save s.snap
bao kv put secret/a x=2
bao operator raft snapshot restore s.snap
sleep 5; bao kv get -field=x secret/a
bao operator step-down
sleep 6; bao operator seal
bao operator seal
bao operator unseal $N1
bao operator unseal $N2
sleep 5; bao kv get -field=x secret/a
"""
SHARED = """
storage "raft" { path = "%(dir)s/data" node_id = "merlon" }
listener "tcp" { address = "127.0.0.1:%(port)d" tls_disable = true }
api_addr = "http://127.0.0.1:%(port)d"
cluster_addr = "https://127.0.0.1:%(cluster)d"
disable_mlock = true
"""

# What is another at each server, or each time, is replaced by what it is.
NORMAL = ((r"\x1b\[[0-9;]*m", ""), (r"127\.0\.0\.1:\d+", "ADDRESS"), (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
          (r"\b(hvs|hvb|s|b)\.[A-Za-z0-9_-]{15,}", "TOKEN"), (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d{4} UTC|Z)?", "TIME"),
          (r"\b1[6-9]\d{8}\b", "UNIX"), (r"(\w+)_[0-9a-f]{8}\b", r"\1_ACCESSOR"), (r"\b[A-Za-z0-9]{24}\b", "ACCESSOR"),
          (r"vault:v\d+:[A-Za-z0-9+/=]+", "CIPHER"), (r"\b\d+h\d+m\d+s\b", "DURATION"), (r"\b2764[78]\d\d\b", "TTL"), (r"\b7[56]\dh\b", "DURATION"),
          (r"(?s)-----BEGIN.*?-----END [A-Z ]+-----", "PEM"), (r"v?\d+\.\d+\.\d+(\+(builtin|merlon)\S*)?", "VERSION"), (r"-{3,}", "---"),
          (r"(?m)^(release|spiffe)/ .*\n", ""), (r"(?m)^(Storage Type|HA Enabled|HA Cluster|HA Mode|Active Since|Raft .* Index|Cluster Name|Cluster ID) .*\n", ""),
          (r"\bOTP Length +2[68]", "OTP"), (r"Waiting for terminal status .*\n", ""), (r"[ \t]+", " "))


def normal(text):
    for pattern, to in NORMAL:
        text = re.sub(pattern, to, text)
    return [line.rstrip() for line in text.split("\n")]


class Bao:
    """`bao server -dev` with what Server has of attributes."""

    def __init__(self):
        self.port, self.home = free_port(), tempfile.mkdtemp(prefix="merlon-bao-")
        self.child = subprocess.Popen([BAO, "server", "-dev", "-dev-listen-address=127.0.0.1:%d" % self.port, "-dev-root-token-id=" + TOKEN],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": self.home})
        self.api = Api(self.port)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:  # the mount "secret" comes last
                if self.api.once("GET", "sys/mounts").code == 200 and self.api.once("GET", "secret/config").code == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise RuntimeError("bao server -dev is not ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.api.close()
        self.child.terminate()
        self.child.wait(30)
        shutil.rmtree(self.home, ignore_errors=True)


def shell(line, server, folder, kept):
    env = {"PATH": os.path.dirname(BAO) + ":" + os.environ["PATH"], "HOME": str(folder), "BAO_ADDR": "http://127.0.0.1:%d" % server.port,
           "BAO_TOKEN": TOKEN, **kept}
    return subprocess.run(["/bin/bash", "-c", re.sub(r"\bbao (?=[a-z-])", BAO + " ", line, 1)], cwd=folder, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, universal_newlines=True)


def compare(lines, sides):
    for line in lines.strip().split("\n"):
        keeps = re.fullmatch(r"(\w+)=\$\((.*)\)", line)
        done = [shell(keeps.group(2) if keeps else line, *side) for side in sides]
        if keeps:
            for (_, _, kept), one in zip(sides, done):
                kept[keeps.group(1)] = one.stdout.strip()
            case(line, all(one.returncode == 0 and one.stdout.strip() for one in done), done[1].stderr)
            continue
        want, got = ((one.returncode, normal(one.stdout), " ".join(normal(one.stderr)).split()) for one in done)
        case(line, want == got, "%s, not %s" % (got, want))


def commands():
    with Bao() as theirs, Server() as ours, tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        compare(COMMANDS, ((theirs, pathlib.Path(a), {}), (ours, pathlib.Path(b), {})))


class Shared:
    """A server with shares, of either program, by the same kind of configuration."""

    def __init__(self, program):
        self.port, self.folder = free_port(), pathlib.Path(tempfile.mkdtemp(prefix="merlon-bao-"))
        (self.folder / "data").mkdir()
        (self.folder / "c.hcl").write_text(SHARED % {"dir": self.folder, "port": self.port, "cluster": free_port()})
        with open(self.folder / "log", "wb") as log:
            self.child = subprocess.Popen([program, "server", "-config" if program == BAO else "--config", str(self.folder / "c.hcl")],
                                          stdout=log, stderr=log)
        if not until(lambda: Api(self.port, None).once("GET", "sys/init").code == 200):
            raise RuntimeError("no server: " + (self.folder / "log").read_text()[-1500:])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def shares():
    with Shared(BAO) as theirs, Shared(MERLON) as ours:
        compare(SHARES, ((theirs, theirs.folder, {}), (ours, ours.folder, {})))


AGENT = """
vault { address = "http://127.0.0.1:%(port)d" }
auto_auth {
  method "approle" { config = { role_id_file_path = "%(dir)s/role" secret_id_file_path = "%(dir)s/sec" remove_secret_id_file_after_reading = false } }
  sink "file" { config = { path = "%(dir)s/token" } }
  sink "file" { wrap_ttl = "5m" config = { path = "%(dir)s/wrapped" } }
}
template_config { static_secret_render_interval = "1s" }
template { contents = "{{ with secret \\"secret/data/app\\" }}{{ .Data.data.pw }}{{ end }}" destination = "%(dir)s/out" }
template { contents = "{{ with pkiCert \\"pki/issue/web\\" \\"common_name=c.d\\" \\"ttl=30s\\" }}{{ .Cert }}{{ .Key }}{{ end }}" destination = "%(dir)s/cert" }
template { contents = "{{ with secret \\"ssh/creds/otp\\" \\"ip=10.0.0.1\\" }}{{ .Data.key }}{{ end }}" destination = "%(dir)s/otp" }
cache { }
api_proxy { use_auto_auth_token = true }
listener "unix" { address = "%(dir)s/s.sock" tls_disable = true }
listener "tcp" { address = "127.0.0.1:%(tcp)d" tls_disable = true }
"""
EXEC = """
env_template "PW" { contents = "{{ with secret \\"secret/data/app\\" }}{{ .Data.data.pw }}{{ end }}" error_on_missing_key = true }
exec { command = ["/bin/sh", "-c", "echo got $PW; exit 3"] restart_on_secret_changes = "always" restart_stop_signal = "SIGTERM" }
"""


def until(holds, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if holds():
                return True
        except OSError:
            pass
        time.sleep(0.1)
    return False


def prepare(api, folder):
    rules = ("secret/*", "pki/*", "ssh/*", "auth/token/create")
    policy = " ".join('path "%s" { capabilities = ["read", "create", "update"] }' % path for path in rules)
    for path, body in (("sys/policies/acl/app", {"policy": policy}), ("sys/auth/approle", {"type": "approle"}),
                       ("auth/approle/role/app", {"token_policies": "app", "token_ttl": "4s", "token_max_ttl": "10s"}),
                       ("secret/data/app", {"data": {"pw": "first"}}), ("sys/mounts/pki", {"type": "pki"}),
                       ("pki/root/generate/internal", {"common_name": "root"}), ("pki/roles/web", {"allow_any_name": True, "max_ttl": "1h"}),
                       ("sys/mounts/ssh", {"type": "ssh"}), ("ssh/roles/otp", {"key_type": "otp", "default_user": "u", "cidr_list": "0.0.0.0/0"})):
        answer = api("POST", path, body)
        if answer.code >= 300:
            case("prepare " + path, False, answer)
    (folder / "role").write_text(api("GET", "auth/approle/role/app/role-id").data["role_id"])
    (folder / "sec").write_text(api("POST", "auth/approle/role/app/secret-id", {}).data["secret_id"])


def start(folder, kind, config):
    (folder / "agent.hcl").write_text(config)
    with open(folder / "log", "ab") as log:
        return subprocess.Popen([BAO, kind, "-config", str(folder / "agent.hcl")], stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)})


def watch_agent(folder, server, tcp):
    read = lambda name: (folder / name).read_text() if (folder / name).exists() else ""
    case("agent: a template", until(lambda: read("out") == "first"), read("log")[-2000:])
    server.api("POST", "secret/data/app", {"data": {"pw": "second"}})
    case("agent: again after a change", until(lambda: read("out") == "second"), read("out"))
    case("agent: a certificate", until(lambda: read("cert").startswith("-----BEGIN CERTIFICATE")), read("log")[-2000:])
    case("agent: a leased secret", until(lambda: re.fullmatch("[0-9a-f-]{36}", read("otp"))), read("otp"))
    proxy = Api(tcp, None)
    seen = [proxy("POST", "auth/token/create", {"policies": ["app"], "ttl": "10s"}) for _ in range(2)]
    case("agent: its cache holds a token", [a.headers.get("X-Cache") for a in seen] == ["MISS", "HIT"], seen)
    case("agent: its proxy", proxy("GET", "secret/data/app").data.get("data") == {"pw": "second"})
    wrapped = json.loads(read("wrapped") or "{}").get("token")
    opened = server.api("POST", "sys/wrapping/unwrap", {"token": wrapped})
    case("agent: a wrapped sink", opened.code == 200 and opened.data.get("token", "").startswith("hvs."), opened)
    first = read("token")
    case("agent: a new login at the token's end", until(lambda: read("token") not in ("", first)), read("log")[-2000:])
    proxy.close()


def agents():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="merlon-bao-"))
    try:
        with Server() as server:
            prepare(server.api, folder)
            values = {"dir": folder, "port": server.port, "tcp": free_port()}
            child = start(folder, "agent", AGENT % values)
            try:
                watch_agent(folder, server, values["tcp"])
            finally:
                child.send_signal(signal.SIGTERM)
                case("agent: ends", child.wait(30) == 0)
            head = AGENT.split("template_config", 1)[0] % values
            child = start(folder, "agent", re.sub(r"(?m)^  sink .*\n", "", head) + EXEC)
            case("agent: exec", child.wait(30) == 3 and "got second" in (folder / "log").read_text(), (folder / "log").read_text()[-1500:])
            proxy = re.sub(r"(?m)^template.*\n", "", AGENT) % values
            child = start(folder, "proxy", re.sub(r"(?m)^  sink .*\n", "", proxy))
            try:
                asked = Api(values["tcp"], None)
                case("proxy: adds its token", until(lambda: asked("GET", "secret/data/app").code == 200), (folder / "log").read_text()[-1500:])
                asked.close()
            finally:
                child.send_signal(signal.SIGTERM)
                case("proxy: ends", child.wait(30) == 0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move(a, b, name):
    env = {"MERLON_FROM_TOKEN": TOKEN, "MERLON_TO_TOKEN": TOKEN, "HOME": "/nonexistent"}
    done = run("migrate", "--from", "http://127.0.0.1:%d" % a.port, "--to", "http://127.0.0.1:%d" % b.port, "--format", "json", env=env, timeout=120)
    report = json.loads(done.stdout or "{}")
    kept = [row for row in report["objects"] if "the target holds otherwise" in row.get("reason", "") and "/roles/" in row["path"]]
    case("migrate %s: roles are the same" % name, not kept, kept)
    case("migrate %s: nothing failed" % name, done.returncode in (0, 8) and report["counts"]["failed"] == 0, "%d %s" % (done.returncode, done.stdout[-1500:]))


def migrations():
    with Bao() as first, Server() as middle, Bao() as last:
        for path, body in (("sys/policies/acl/dev", {"policy": 'path "secret/*" { capabilities = ["read"] }'}),
                           ("sys/mounts/old", {"type": "kv"}), ("old/a/b", {"x": "y"}), ("sys/auth/approle", {"type": "approle"}),
                           ("auth/approle/role/app", {"token_policies": ["dev"], "token_ttl": "1h"}),
                           ("auth/token/roles/r", {"allowed_policies": ["dev"], "token_period": "2h"}),
                           ("sys/mounts/ssh", {"type": "ssh"}), ("ssh/roles/r", {"key_type": "otp", "default_user": "u", "cidr_list": "0.0.0.0/0"}),
                           ("sys/mounts/pki", {"type": "pki"}), ("pki/roles/web", {"allowed_domains": ["x.org"]}),
                           ("secret/data/app", {"data": {"n": 1}}), ("secret/data/app", {"data": {"n": 2}}),
                           ("secret/metadata/app", {"custom_metadata": {"who": "ann"}}), ("identity/entity", {"name": "ann", "policies": ["dev"]})):
            first.api("POST", path, body)
        move(first, middle, "from bao")
        move(middle, last, "to bao")
        for name, server in (("from bao", middle), ("to bao", last)):
            got = server.api("GET", "secret/data/app")
            case("migrate %s: the newest version" % name, got.data.get("data") == {"n": 2} and got.data["metadata"]["version"] == 2, got)
            case("migrate %s: an older version" % name, server.api("GET", "secret/data/app?version=1").data.get("data") == {"n": 1})
            case("migrate %s: metadata" % name, server.api("GET", "secret/metadata/app").data.get("custom_metadata") == {"who": "ann"})
            case("migrate %s: version 1" % name, server.api("GET", "old/a/b").data == {"x": "y"})
            case("migrate %s: a role" % name, server.api("GET", "auth/approle/role/app").data.get("token_ttl") == 3600)
            case("migrate %s: a policy" % name, "secret/*" in server.api("GET", "sys/policies/acl/dev").data.get("policy", ""))
            case("migrate %s: a token's role" % name, server.api("GET", "auth/token/roles/r").data.get("token_period") == 7200)
            case("migrate %s: an entity" % name, server.api("GET", "identity/entity/name/ann").data.get("policies") == ["dev"])


def body():
    if not BAO:
        return skip("bao", "no program `bao` in PATH nor in MERLON_TEST_BAO")
    commands()
    shares()
    agents()
    return migrations()


if __name__ == "__main__":
    finish(body, "bao_cli")
