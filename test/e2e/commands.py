#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands that talk to a server, each on a live one: what they answer, and what they refuse with which exit code.

usage: commands.py [MERLON]
"""
import base64
import json
import pathlib
import re
import subprocess
import tempfile

from kit import Server, case, finish, free_port, run

DATA = bytes(range(256)) * 7


class Cli:
    def __init__(self, environment):
        self.env = {**environment, "HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent", "XDG_STATE_HOME": "/nonexistent"}

    def __call__(self, *args, want=0, name=None, stdin=None, token=None):
        """Output of a command that must end with `want`; a case of its own."""
        env = dict(self.env, **({"MERLON_TOKEN": token} if token is not None else {}))
        done = run(*args, env=env, stdin=stdin)
        words = " ".join(str(a) for a in args if not str(a).startswith("/"))
        case("%s: exit %d" % (name or words[:70], want), done.returncode == want,
             "exit %d %s %s" % (done.returncode, done.stdout[:300], done.stderr[:300]))
        if done.returncode and args[0] != "status" and want not in (5, 8):
            said = b'{"error":' if "json" in args else b"merlon: error: "
            lines = [line for line in done.stderr.splitlines() if not line.startswith(b"merlon: warning: ")]
            case("%s: stderr says why" % (name or words[:70]), bool(lines) and lines[0].startswith(said), done.stderr)
        return done.stdout

    def json(self, *args, **more):
        out = self(*args, "--format", "json", **more)
        try:
            return json.loads(out)
        except ValueError:
            case("%s: JSON" % " ".join(args), False, out[:200])
            return {}


def transit(cli, tmp):
    plain, box, sig = tmp / "plain", tmp / "box", tmp / "sig"
    plain.write_bytes(DATA)
    cli("transit", "create", "k")
    cli("transit", "create", "s", "--type", "ecdsa-p256")
    cli("transit", "create", "x", "--type", "nosuch", want=1)
    case("transit list", {"k", "s"} <= set(re.findall(r"\w+", cli("transit", "list").decode())))
    case("transit show", "aes256-gcm96" in json.dumps(cli.json("transit", "show", "k")))
    cli("transit", "show", "none", want=3)
    box.write_bytes(cli("transit", "encrypt", "k", "@%s" % plain))
    case("ciphertext of version 1", box.read_bytes().startswith(b"vault:v1:"))
    case("transit decrypt", cli("transit", "decrypt", "k", "@%s" % box) == DATA)
    cli("transit", "rotate", "k")
    box.write_bytes(cli("transit", "rewrap", "k", "@%s" % box))
    case("rewrapped to version 2", box.read_bytes().startswith(b"vault:v2:"))
    case("and decrypts", cli("transit", "decrypt", "k", stdin=box.read_bytes(), name="transit decrypt from stdin") == DATA)
    bound = cli("transit", "encrypt", "k", "--aad", "run-17", "@%s" % plain)
    cli("transit", "decrypt", "k", "-", "--aad", "run-18", stdin=bound, want=1, name="transit decrypt with other aad")
    cli("transit", "decrypt", "k", "vault:v9:AAAA", want=1)
    sig.write_bytes(cli("transit", "sign", "s", "@%s" % plain))
    cli("transit", "verify", "s", "--signature", "@%s" % sig, "@%s" % plain)
    plain.write_bytes(DATA[:-1])
    cli("transit", "verify", "s", "--signature", "@%s" % sig, "@%s" % plain, want=5)
    cli("transit", "sign", "none", "@%s" % plain, want=1)


def plain(cli, server):
    """Mounts of version 1: the same commands, where they have a meaning."""
    server.api("POST", "sys/mounts/plain", {"type": "kv"})
    cli("kv", "put", "plain/a/b", "x=1", "y=2")
    case("kv get of version 1", cli("kv", "get", "--field", "y", "plain/a/b").decode().strip() == "2")
    case("kv list of version 1", cli("kv", "list", "plain/a").decode().split() == ["b"])
    cli("kv", "get", "--version", "1", "plain/a/b", want=8)
    cli("kv", "put", "--cas", "1", "plain/a/b", "x=1", want=8)
    cli("kv", "undelete", "--versions", "1", "plain/a/b", want=8)
    cli("kv", "delete", "plain/a/b")
    cli("kv", "get", "plain/a/b", want=3, name="kv get of version 1, deleted")


def policies(cli, tmp):
    text = 'path "secret/data/team/*" { capabilities = ["read", "list"] }\n'
    (tmp / "p.hcl").write_text(text)
    cli("policy", "write", "team", tmp / "p.hcl")
    case("policy read", cli("policy", "read", "team").decode().strip() == text.strip())
    case("policy list", "team" in cli("policy", "list").decode())
    cli("policy", "write", "bad", "-", stdin=b'path "a" {', want=1)
    cli("policy", "read", "none", want=3)
    cli("policy", "delete", "root", "--yes", want=1)


def tokens(cli, tmp):
    made = cli("token", "create", "--policy", "team", "--ttl", "1h", "--field", "token").decode().strip()
    case("a token", re.fullmatch(r"hvs\.[A-Za-z0-9]{24}", made) is not None, made)
    shown = cli.json("token", "show", token=made)
    case("token show hides the token", made not in json.dumps(shown) and "team" in json.dumps(shown), shown)
    case("token show --reveal", made in cli("token", "show", "--reveal", "--format", "json", token=made).decode())
    cli("token", "renew", token=made)
    case("token capabilities", "read" in cli("token", "capabilities", "secret/data/team/a", token=made).decode())
    case("token capabilities: deny", "deny" in cli("token", "capabilities", "secret/data/other", token=made).decode())
    (tmp / "token").write_text(made)
    (tmp / "token").chmod(0o600)
    case("token show of another", "team" in json.dumps(cli.json("token", "show", "@%s" % (tmp / "token"))))
    cli("kv", "put", "secret/other", "a=b", want=4, token=made, name="kv put with the wrong policy")
    cli("token", "revoke", "@%s" % (tmp / "token"), want=2, name="token revoke without --yes, no terminal")
    cli("token", "revoke", "@%s" % (tmp / "token"), "--yes")
    cli("token", "show", token=made, want=4, name="token show of a revoked one")
    cli("token", "show", token="hvs.AAAAAAAAAAAAAAAAAAAAAAAA", want=4, name="token show of none")


def users(cli, server, tmp):
    (tmp / "pw").write_text("a long enough password")
    server.api("POST", "sys/auth/userpass", {"type": "userpass"})
    cli("user", "create", "alice", "--policy", "team", "--password", "@%s" % (tmp / "pw"))
    case("user list", "alice" in cli("user", "list").decode())
    shown = cli.json("user", "show", "alice")
    case("user show", "team" in json.dumps(shown) and "long enough" not in json.dumps(shown), shown)
    cli("user", "show", "nobody", want=3)
    (tmp / "pw").write_text("another long password")
    cli("user", "password", "alice", "--password", "@%s" % (tmp / "pw"))
    cli("user", "delete", "alice")
    cli("user", "show", "alice", want=3)


def any_path(cli, tmp):
    """What vault's command has: read, write, list, delete of any path, mounts, logins."""
    case("version reads as Vault's", re.match(rb"Vault v1\.(1[6-9]|[2-9]\d)\.\d", run("-version").stdout) is not None)
    cli("secrets", "enable", "-path=v1", "-version=1", "kv")
    cli("secrets", "enable", "-path=v1", "kv", want=1, name="secrets enable where one is")
    cli("secrets", "enable", "nosuch", want=1)
    case("secrets list", b"v1/" in cli("secrets", "list") and "v1/" in cli.json("secrets", "list"))
    cli("kv", "put", "v1/a", "x=1", "y=@%s" % (tmp / "p.hcl"))
    case("kv get of version 1", cli("kv", "get", "-field=x", "v1/a") == b"1")
    case("kv list of version 1", cli("kv", "list", "v1/").split() == [b"a"])
    cli("kv", "destroy", "-versions=1", "v1/a", want=8)
    cli("kv", "enable-versioning", "v1")
    case("kv get after the upgrade", cli("kv", "get", "-field=x", "v1/a") == b"1")
    cli("kv", "put", "v1/a", "x=2")
    cli("kv", "rollback", "-version=1", "v1/a")
    case("kv rollback", cli("kv", "get", "-field=x", "v1/a") == b"1")
    cli("kv", "metadata", "patch", "-max-versions=5", "v1/a")
    case("kv metadata patch", cli.json("kv", "metadata", "get", "v1/a").get("max_versions") == 5)
    cli("secrets", "tune", "-max-lease-ttl=24h", "v1/")
    case("secrets tune", cli("secrets", "tune", "-field=max_lease_ttl", "v1").strip() == b"86400")
    cli("secrets", "move", "v1", "moved")
    case("kv get after the move", cli("kv", "get", "-field=x", "moved/a") == b"1")
    cli("write", "moved/data/b", "-", stdin=b'{"data":{"k":"v"}}', name="write from stdin")
    case("read", cli.json("read", "moved/data/b").get("data", {}).get("data") == {"k": "v"})
    case("read with a query", cli("read", "-field=metadata.version", "moved/data/b", "version=1").strip() == b"1")
    case("list", cli("list", "moved/metadata").split() == [b"a", b"b"])
    cli("delete", "moved/data/b")
    cli("read", "moved/data/b", want=3)
    cli("write", "transit/keys/w", want=2, name="write of nothing")
    cli("write", "-f", "transit/keys/w")
    case("path-help", b"keys/{name}" in cli("path-help", "transit", "--no-color"))
    wrapped = cli("kv", "get", "-wrap-ttl=60s", "-field=wrapping_token", "moved/a", name="kv get, wrapped")
    case("unwrap", json.loads(cli("unwrap", "-", "--format", "json", stdin=wrapped))["data"]["data"]["x"] == "1")
    cli("unwrap", "-", stdin=wrapped, want=1, name="unwrap again")
    cli("secrets", "enable", "ssh")
    cli("write", "ssh/roles/otp", "key_type=otp", "default_user=ubuntu", "cidr_list=10.0.0.0/8")
    lease = cli("write", "-field=lease_id", "ssh/creds/otp", "ip=10.1.2.3").decode()
    case("lease lookup", cli.json("lease", "lookup", lease).get("data", {}).get("id") == lease)
    cli("lease", "revoke", lease)
    cli("lease", "lookup", lease, want=1)
    cli("lease", "renew", lease, want=1)
    cli("lease", "revoke", "-prefix", "ssh/creds", want=2, name="lease revoke -prefix without --yes")
    cli("lease", "revoke", "-prefix", "-yes", "ssh/creds")
    cli("secrets", "disable", "ssh")
    cli("audit", "enable", "file", "file_path=%s" % (tmp / "audit.log"))
    case("audit list", "file/" in cli.json("audit", "list"))
    cli("audit", "disable", "file")
    cli("secrets", "disable", "moved")
    cli("read", "moved/data/a", want=3)
    cli("auth", "enable", "-path=people", "userpass")
    (tmp / "pw").write_text("a long enough password")
    cli("write", "auth/people/users/bob", "password=@%s" % (tmp / "pw"), "token_policies=default", "token_policies=team")
    case("a key twice is a list", cli.json("read", "auth/people/users/bob")["data"]["token_policies"] == ["default", "team"])
    token = cli("login", "-no-store", "-method=userpass", "-path=people", "username=bob", "password=@%s" % (tmp / "pw"))
    case("login", token.startswith(b"hvs."), token)
    cli("login", "-no-store", "-method=userpass", "-path=people", "username=bob", "password=in-argv", want=2)
    case("auth list", "people/" in cli.json("auth", "list"))
    cli("auth", "tune", "-default-lease-ttl=1h", "people")
    cli("auth", "move", "people", "persons")
    cli("auth", "disable", "persons")
    cli("operator", "step-down")
    case("operator members", "hostname" in json.dumps(cli.json("operator", "members")))
    otp = cli("operator", "generate-root", "-generate-otp").strip()
    case("a one-time pad", re.fullmatch(rb"[A-Za-z0-9]{28}", otp) is not None, otp)
    pad, want = b"A" * 28, b"hvs.abcdefghijklmnopqrstuvwx"
    encoded = base64.b64encode(bytes(a ^ b for a, b in zip(pad, want))).rstrip(b"=").decode()
    case("generate-root -decode", cli("operator", "generate-root", "-decode", encoded, "-otp", pad.decode()).strip() == want)
    cli("operator", "generate-root", "-decode", encoded, "-otp", "short", want=1)


def operator(cli, server):
    for n in range(4):
        cli("kv", "put", "secret/n", "n=%d" % n)
    before = cli.json("operator", "key-status")
    cli("operator", "rotate")
    after = cli.json("operator", "key-status")
    case("a new term", int(after.get("term", 0)) == int(before.get("term", 0)) + 1, (before, after))
    cli("operator", "prune", "--before", "5", want=2, name="operator prune without --yes, no terminal")
    cli("operator", "prune", "--before", "5", "--yes")
    cli("operator", "verify-store")
    cli("operator", "seal")
    cli("status", want=2, name="status of a sealed server")
    cli("kv", "get", "secret/n", want=6, name="kv get while sealed")
    server.stop()
    cli("status", want=7, name="status of no server")


def rekey(cli, token, keys):
    """Three of four new shares instead of three of five."""
    cli("operator", "rekey", "--init", "--key-shares", "4", "--key-threshold", "3", token=token)
    cli("operator", "rekey", "--init", token=token, want=1, name="operator rekey --init, while one runs")
    for n, key in enumerate(keys[:3]):
        out = cli("operator", "rekey", "-", "--format", "json", stdin=key.encode(), token=token, name="operator rekey %d" % (n + 1))
    fresh = json.loads(out).get("keys_base64", [])
    case("four new shares", len(fresh) == 4, out)
    return fresh


def generate_root(cli, token, keys):
    begun = cli.json("operator", "generate-root", "--init", token=token)
    for n, key in enumerate(keys[:3]):
        out = cli("operator", "generate-root", "-", "--format", "json", stdin=key.encode(), token=token, name="generate-root %d" % (n + 1))
    encoded = json.loads(out).get("encoded_token", "")
    made = cli("operator", "generate-root", "--decode", encoded, "--otp", "-", stdin=begun.get("otp", "").encode(), name="generate-root --decode")
    case("a new root token", "root" in json.dumps(cli.json("token", "show", token=made.decode().strip())))


def shamir(tmp):
    """init, three of five shares, a wrong one."""
    port = free_port()
    (tmp / "merlon.yaml").write_text("data: %s\nlisteners:\n  - address: 127.0.0.1:%d\n    tls_disable: true\nseal:\n  type: shamir\n" %
                                     (tmp / "data", port))
    server = Server(config=tmp / "merlon.yaml", port=port, data=tmp, wait=False)
    try:
        server.wait(codes=(501,))
        cli = Cli({"MERLON_ADDR": "http://127.0.0.1:%d" % port, "MERLON_TOKEN": ""})
        made = cli.json("operator", "init")
        keys = made.get("keys_base64") or made.get("keys") or made.get("unseal_keys_b64") or []
        case("five shares and a root token", len(keys) == 5 and str(made.get("root_token", "")).startswith("hvs."), list(made))
        cli("operator", "init", want=1, name="operator init again")
        for n, key in enumerate(keys[:3]):
            cli("operator", "unseal", "-", stdin=key.encode() + b"\n", name="operator unseal %d" % (n + 1))
            case("sealed until the third", server.api("GET", "sys/seal-status").json["sealed"] == (n < 2))
        cli("token", "show", token=made.get("root_token", ""))
        keys = rekey(cli, made.get("root_token", ""), keys)
        generate_root(cli, made.get("root_token", ""), keys)
        cli("operator", "seal", token=made.get("root_token", ""))
        for key in (keys[0], keys[1]):
            cli("operator", "unseal", "-", stdin=key.encode(), name="operator unseal")
        wrong = ("A" if keys[2][0] != "A" else "B") + keys[2][1:]
        done = run("operator", "unseal", "-", stdin=wrong.encode(), env=cli.env)
        case("a wrong share is noticed", done.returncode in (1, 5), (done.returncode, done.stderr))
        case("and it stays sealed, from the beginning", server.api("GET", "sys/seal-status").json["progress"] == 0)
    finally:
        server.end()
        server.out.close()


def local(cli, tmp):
    for shell in ("bash", "zsh", "fish"):
        script = cli("completion", shell)
        case("completion %s knows the commands" % shell, b"transit" in script and b"verify" in script)
        if shell == "bash":
            (tmp / "c.sh").write_bytes(script)
            done = subprocess.run(["bash", "-n", str(tmp / "c.sh")], stderr=subprocess.PIPE)
            case("bash can read it", done.returncode == 0, done.stderr)
    cli("completion", "csh", want=2)
    cli("man", tmp / "man")
    case("manual pages", len(list((tmp / "man").rglob("merlon*.[158]"))) >= 10)
    case("man --page", b".TH" in cli("man", "--page", "merlon-kv"))
    cli("nosuch", want=2)
    cli("kv", "nosuch", want=2)
    cli("kv", "get", want=2)
    cli("kv", "get", "a", "--nosuch", want=2)


def scans(cli, tmp):
    (tmp / "bad.pkl").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    (tmp / "good.json").write_text('{"a": 1}')
    (tmp / "what.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    done = run("model", "scan", tmp / "bad.pkl", tmp / "good.json", "--format", "json", env=cli.env)
    report = json.loads(done.stdout or b"{}")
    found = {pathlib.Path(f["path"]).name: f["verdict"] for f in report.get("files", [])}
    case("model scan finds what would run", done.returncode == 5 and found == {"bad.pkl": "malicious", "good.json": "clean"}, found)
    cli("model", "scan", tmp / "good.json")
    cli("model", "scan", tmp / "what.h5", want=8)
    cli("model", "scan", tmp / "none", want=3)


def body():
    with tempfile.TemporaryDirectory(prefix="merlon-commands-") as tmp:
        tmp = pathlib.Path(tmp)
        server = Server()
        try:
            cli = Cli(server.environment)
            local(cli, tmp)
            scans(cli, tmp)
            transit(cli, tmp)
            plain(cli, server)
            policies(cli, tmp)
            tokens(cli, tmp)
            users(cli, server, tmp)
            any_path(cli, tmp)
            operator(cli, server)
        finally:
            if server.child.poll() is None:
                server.stop()
        shamir(tmp)


if __name__ == "__main__":
    finish(body, "commands")
