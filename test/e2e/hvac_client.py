#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyPI's hvac, a client that knows nothing of Merlon, does its everyday work on a live server: KV 1 and 2, TOTP, SSH, transit, tokens, policies, userpass,
approle, audit devices.

usage: hvac_client.py [MERLON]
"""
import base64
import os

from kit import TOKEN, Server, case, finish, skip

try:
    import hvac
    import hvac.exceptions as errors
except ImportError:
    hvac = None

SECRET = {"user": "svc", "password": "p\u00e4ss \U0001F511", "port": 5432, "nested": {"list": [1, 2.5, None, True]}}


def refused(kind, call, *words):
    """Does the call raise this error, with these words?"""
    try:
        call()
    except kind as error:
        text = str(error)
        return all(word in text for word in words)
    return False


def system(client):
    case("sys: initialised, unsealed", client.sys.is_initialized() and not client.sys.is_sealed())
    case("sys: health", client.sys.read_health_status(method="GET")["initialized"])
    case("sys: seal status", client.sys.read_seal_status()["sealed"] is False)
    mounts = client.sys.list_mounted_secrets_engines()["data"]
    case("sys: secret/ is kv 2", mounts["secret/"]["type"] == "kv" and mounts["secret/"]["options"]["version"] == "2", mounts)
    case("sys: auth/token is there", "token/" in client.sys.list_auth_methods()["data"])
    case("authenticated", client.is_authenticated())
    client.sys.enable_secrets_engine("kv", path="other", options={"version": "2"}, description="second")
    case("sys: enable", client.sys.list_mounted_secrets_engines()["data"]["other/"]["description"] == "second")
    case("sys: path in use", refused(errors.InvalidRequest, lambda: client.sys.enable_secrets_engine("kv", path="other"), "path is already in use"))
    client.sys.tune_mount_configuration("other", max_lease_ttl="24h")
    case("sys: tune", client.sys.read_mount_configuration("other")["data"]["max_lease_ttl"] == 86400)
    client.secrets.kv.v2.create_or_update_secret("a", {"k": "v"}, mount_point="other")
    client.sys.disable_secrets_engine("other")
    case("sys: disable", "other/" not in client.sys.list_mounted_secrets_engines()["data"])
    case("sys: its secrets are gone", refused(errors.InvalidPath, lambda: client.secrets.kv.v2.read_secret_version(
        "a", mount_point="other", raise_on_deleted_version=True), "no handler for route"))


def kv_versions(kv):
    first = kv.create_or_update_secret("app/db", SECRET)["data"]
    case("kv: write is version 1", first["version"] == 1 and first["destroyed"] is False, first)
    read = kv.read_secret_version("app/db", raise_on_deleted_version=True)["data"]
    case("kv: read gives what was written", read["data"] == SECRET and read["metadata"]["version"] == 1, read)
    case("kv: cas of the past is refused", refused(errors.InvalidRequest, lambda: kv.create_or_update_secret("app/db", {"a": 1}, cas=0), "check-and-set"))
    case("kv: cas of now", kv.create_or_update_secret("app/db", {"a": "2"}, cas=1)["data"]["version"] == 2)
    case("kv: patch", kv.patch("app/db", {"b": "3"})["data"]["version"] == 3)
    case("kv: patch merges", kv.read_secret("app/db", raise_on_deleted_version=True)["data"]["data"] == {"a": "2", "b": "3"})
    case("kv: an old version", kv.read_secret_version("app/db", version=1, raise_on_deleted_version=True)["data"]["data"] == SECRET)
    kv.create_or_update_secret("app/cache/one", {"x": "y"})
    case("kv: list", kv.list_secrets("app")["data"]["keys"] == ["cache/", "db"])
    case("kv: list of nothing", refused(errors.InvalidPath, lambda: kv.list_secrets("nothing")))
    case("kv: read of nothing", refused(errors.InvalidPath, lambda: kv.read_secret_version("no/such", raise_on_deleted_version=True)))


def kv_deletion(kv):
    kv.delete_latest_version_of_secret("app/db")
    case("kv: deleted", refused(errors.InvalidPath, lambda: kv.read_secret_version("app/db", raise_on_deleted_version=True)))
    soft = kv.read_secret_version("app/db", raise_on_deleted_version=False)["data"]
    case("kv: deleted, with its metadata", soft["data"] is None and soft["metadata"]["deletion_time"] != "", soft)
    kv.undelete_secret_versions("app/db", [3])
    case("kv: undeleted", kv.read_secret_version("app/db", raise_on_deleted_version=True)["data"]["data"]["b"] == "3")
    kv.delete_secret_versions("app/db", [2])
    kv.destroy_secret_versions("app/db", [1])
    meta = kv.read_secret_metadata("app/db")["data"]
    case("kv: metadata of versions", meta["versions"]["1"]["destroyed"] and meta["versions"]["2"]["deletion_time"] != ""
         and not meta["versions"]["3"]["destroyed"] and meta["current_version"] == 3, meta)
    kv.update_metadata("app/db", max_versions=2, cas_required=True, custom_metadata={"team": "ml"})
    meta = kv.read_secret_metadata("app/db")["data"]
    case("kv: metadata is kept", meta["max_versions"] == 2 and meta["cas_required"] and meta["custom_metadata"] == {"team": "ml"}, meta)
    case("kv: cas is required now", refused(errors.InvalidRequest, lambda: kv.create_or_update_secret("app/db", {"a": 1}), "check-and-set"))
    kv.delete_metadata_and_all_versions("app/db")
    case("kv: all gone", refused(errors.InvalidPath, lambda: kv.read_secret_metadata("app/db")))
    kv.configure(max_versions=7, cas_required=False)
    case("kv: configuration", kv.read_configuration()["data"]["max_versions"] == 7)


def kv_plain(client):
    kv = client.secrets.kv.v1
    client.sys.enable_secrets_engine("kv", path="plain")
    kv.create_or_update_secret("app/db", {**SECRET, "ttl": "30m"}, mount_point="plain")
    read = kv.read_secret("app/db", mount_point="plain")
    case("kv 1: read gives what was written", read["data"] == {**SECRET, "ttl": "30m"} and read["lease_duration"] == 1800, read)
    case("kv 1: list", kv.list_secrets("", mount_point="plain")["data"]["keys"] == ["app/"])
    kv.create_or_update_secret("app/gone", {"a": "b"}, mount_point="plain")
    kv.delete_secret("app/gone", mount_point="plain")
    case("kv 1: deleted", refused(errors.InvalidPath, lambda: kv.read_secret("app/gone", mount_point="plain")))
    client.sys.tune_mount_configuration("plain", options={"version": "2"})
    read = client.secrets.kv.v2.read_secret_version("app/db", mount_point="plain", raise_on_deleted_version=True)["data"]
    case("kv 1: upgraded to 2", read["data"]["user"] == SECRET["user"] and read["metadata"]["version"] == 1, read)
    client.sys.disable_secrets_engine("plain")


def codes(client):
    client.sys.enable_secrets_engine("totp")
    made = client.write("totp/keys/a", generate=True, issuer="I", account_name="a@x")["data"]
    case("totp: made", made["url"].startswith("otpauth://totp/I:a@x?") and base64.b64decode(made["barcode"]).startswith(b"\x89PNG"), made)
    code = client.read("totp/code/a")["data"]["code"]
    case("totp: a code", client.write("totp/code/a", code=code)["data"]["valid"] is True)
    case("totp: once", refused(errors.InvalidRequest, lambda: client.write("totp/code/a", code=code), "already used"))
    case("totp: no code", client.write("totp/code/a", code="x")["data"]["valid"] is False)


def ssh(client):
    client.sys.enable_secrets_engine("ssh")
    s = client.secrets.ssh
    s.submit_ca_information(key_type="ed25519")
    s.create_role("r", key_type="ca", default_user="u", allowed_users="u", allow_user_certificates=True)
    public = s.read_public_key()["data"]["public_key"]
    signed = s.sign_ssh_key("r", public_key=public)["data"]
    case("ssh: signed", signed["signed_key"].startswith("ssh-ed25519-cert-v01@openssh.com "), signed)
    case("ssh: roles", s.list_roles()["data"]["keys"] == ["r"] and s.read_role("r")["data"]["default_user"] == "u")


def b64(data):
    return base64.b64encode(data).decode()


def transit_cipher(client):
    client.sys.enable_secrets_engine("transit")
    t = client.secrets.transit
    t.create_key("k")
    case("transit: key", t.read_key("k")["data"]["type"] == "aes256-gcm96" and t.list_keys()["data"]["keys"] == ["k"])
    old = t.encrypt_data("k", plaintext=b64(b"hello"))["data"]["ciphertext"]
    case("transit: encrypt", old.startswith("vault:v1:"), old)
    case("transit: decrypt", t.decrypt_data("k", ciphertext=old)["data"]["plaintext"] == b64(b"hello"))
    t.rotate_key("k")
    new = t.rewrap_data("k", ciphertext=old)["data"]["ciphertext"]
    case("transit: rotate and rewrap", new.startswith("vault:v2:") and t.decrypt_data("k", ciphertext=new)["data"]["plaintext"] == b64(b"hello"), new)
    batch = t.encrypt_data("k", plaintext="", batch_input=[{"plaintext": b64(b"%d" % n)} for n in range(5)])["data"]["batch_results"]
    back = t.decrypt_data("k", ciphertext="", batch_input=[{"ciphertext": row["ciphertext"]} for row in batch])["data"]["batch_results"]
    case("transit: batch", [row["plaintext"] for row in back] == [b64(b"%d" % n) for n in range(5)], back)
    changed = new[:-6] + ("A" if new[-6] != "A" else "B") + new[-5:]
    case("transit: changed ciphertext", refused(errors.InvalidRequest, lambda: t.decrypt_data("k", ciphertext=changed)))
    case("transit: no such key", refused(errors.InvalidRequest, lambda: t.decrypt_data("none", ciphertext=new), "encryption key not found"))
    data = t.generate_data_key("k", key_type="plaintext")["data"]
    case("transit: data key", len(base64.b64decode(data["plaintext"])) == 32
         and t.decrypt_data("k", ciphertext=data["ciphertext"])["data"]["plaintext"] == data["plaintext"])
    t.update_key_configuration("k", min_decryption_version=2, deletion_allowed=True)
    case("transit: too old", refused(errors.InvalidRequest, lambda: t.decrypt_data("k", ciphertext=old), "too old"))
    case("transit: does not leave", refused(errors.InvalidRequest, lambda: t.export_key("k", key_type="encryption-key"), "not exportable"))
    t.delete_key("k")
    case("transit: deleted", refused(errors.InvalidPath, lambda: t.read_key("k")))


def transit_sign(t):
    for kind in ("ecdsa-p256", "ed25519"):
        t.create_key(kind, key_type=kind)
        signed = t.sign_data(kind, hash_input=b64(b"a model"))["data"]["signature"]
        good = t.verify_signed_data(kind, hash_input=b64(b"a model"), signature=signed)["data"]["valid"]
        bad = t.verify_signed_data(kind, hash_input=b64(b"another"), signature=signed)["data"]["valid"]
        case("transit: %s signs and verifies" % kind, good and not bad, (good, bad))
        case("transit: %s public key" % kind, bool(t.read_key(kind)["data"]["keys"]["1"]["public_key"]))
    case("transit: wrong kind of key", refused(errors.InvalidRequest, lambda: t.encrypt_data("ed25519", plaintext=b64(b"x"))))


def tokens(client, url):
    token = client.auth.token
    made = token.create(policies=["default"], ttl="1h", meta={"who": "test"})["auth"]
    case("token: made", made["client_token"].startswith("hvs.") and "default" in made["policies"], made)
    child = hvac.Client(url=url, token=made["client_token"])
    own = child.auth.token.lookup_self()["data"]
    case("token: looks itself up", own["accessor"] == made["accessor"] and 0 < own["ttl"] <= 3600 and own["meta"] == {"who": "test"}, own)
    case("token: renews itself", child.auth.token.renew_self(increment="30m")["auth"]["lease_duration"] <= 3600)
    case("token: may not read secrets", refused(errors.Forbidden, lambda: child.secrets.kv.v2.read_secret_version(
        "app/cache/one", raise_on_deleted_version=True), "permission denied"))
    case("token: may not make mounts", refused(errors.Forbidden, lambda: child.sys.enable_secrets_engine("kv", path="x")))
    child.auth.token.revoke_self()
    case("token: revoked", refused(errors.Forbidden, child.auth.token.lookup_self, "permission denied"))
    wrong = hvac.Client(url=url, token="hvs.AAAAAAAAAAAAAAAAAAAAAAAA")
    case("token: a made-up one", not wrong.is_authenticated())
    nobody = hvac.Client(url=url)
    nobody.token = None
    case("token: none", refused(errors.Forbidden, lambda: nobody.secrets.kv.v2.read_secret_version("a", raise_on_deleted_version=True)))


def policies(client, url):
    text = 'path "secret/data/team/*" { capabilities = ["create", "update", "read"] }\npath "secret/data/team/hidden" { capabilities = ["deny"] }'
    client.sys.create_or_update_policy("team", text)
    case("policy: kept", client.sys.read_policy("team")["data"]["rules"] == text and "team" in client.sys.list_policies()["data"]["policies"])
    case("policy: broken", refused(errors.InvalidRequest, lambda: client.sys.create_or_update_policy("bad", 'path "a" {'), "failed to parse policy"))
    case("policy: root stays", refused(errors.InvalidRequest, lambda: client.sys.delete_policy("root"), "cannot delete"))
    made = hvac.Client(url=url, token=client.auth.token.create(policies=["team"])["auth"]["client_token"])
    kv = made.secrets.kv.v2
    case("policy: allows", kv.create_or_update_secret("team/a", {"x": "1"})["data"]["version"] == 1
         and kv.read_secret_version("team/a", raise_on_deleted_version=True)["data"]["data"] == {"x": "1"})
    case("policy: deny wins", refused(errors.Forbidden, lambda: kv.create_or_update_secret("team/hidden", {"x": "1"})))
    case("policy: nothing else", refused(errors.Forbidden, lambda: kv.create_or_update_secret("other", {"x": "1"})))
    case("policy: no delete", refused(errors.Forbidden, lambda: kv.delete_latest_version_of_secret("team/a")))
    can = made.sys.get_capabilities(["secret/data/team/a", "secret/data/team/hidden"])
    can = can.get("data", can)
    case("policy: capabilities-self", sorted(can["secret/data/team/a"]) == ["create", "read", "update"] and can["secret/data/team/hidden"] == ["deny"], can)
    client.sys.delete_policy("team")
    case("policy: a deleted one allows nothing", refused(errors.Forbidden, lambda: kv.read_secret_version("team/a", raise_on_deleted_version=True)))


def userpass(client, url):
    client.sys.enable_auth_method("userpass")
    client.sys.create_or_update_policy("reader", 'path "secret/data/app/*" { capabilities = ["read"] }')
    client.auth.userpass.create_or_update_user("alice", password="a long enough password", policies="reader")
    case("userpass: user", client.auth.userpass.list_user()["data"]["keys"] == ["alice"]
         and "reader" in client.auth.userpass.read_user("alice")["data"]["token_policies"])
    person = hvac.Client(url=url)
    auth = person.auth.userpass.login("alice", "a long enough password")["auth"]
    case("userpass: login", auth["entity_id"] != "" and "reader" in auth["policies"] and auth["metadata"] == {"username": "alice"}, auth)
    case("userpass: reads", person.secrets.kv.v2.read_secret_version("app/cache/one", raise_on_deleted_version=True)["data"]["data"] == {"x": "y"})
    case("userpass: wrong password", refused(errors.InvalidRequest, lambda: hvac.Client(url=url).auth.userpass.login("alice", "wrong"),
                                             "invalid username or password"))
    case("userpass: no such user, the same words", refused(errors.InvalidRequest, lambda: hvac.Client(url=url).auth.userpass.login("bob", "wrong"),
                                                           "invalid username or password"))
    client.auth.userpass.update_password_on_user("alice", "another long password")
    case("userpass: new password", hvac.Client(url=url).auth.userpass.login("alice", "another long password")["auth"]["client_token"].startswith("hvs."))
    again = person.auth.userpass.login("alice", "another long password")["auth"]
    case("userpass: the same entity", again["entity_id"] == auth["entity_id"])
    client.auth.userpass.delete_user("alice")
    case("userpass: deleted", refused(errors.InvalidRequest, lambda: hvac.Client(url=url).auth.userpass.login("alice", "another long password")))


def approle(client, url):
    client.sys.enable_auth_method("approle")
    role = client.auth.approle
    role.create_or_update_approle("job", token_policies=["reader"], token_ttl="10m", secret_id_num_uses=2, secret_id_ttl="1h")
    read = role.read_role("job")["data"]
    case("approle: role", read["token_policies"] == ["reader"] and read["token_ttl"] == 600 and read["secret_id_ttl"] == 3600
         and role.list_roles()["data"]["keys"] == ["job"], read)
    role_id = role.read_role_id("job")["data"]["role_id"]
    made = role.generate_secret_id("job", metadata={"build": "7"})["data"]
    case("approle: secret id by accessor", role.read_secret_id_accessor("job", made["secret_id_accessor"])["data"]["metadata"] == {"build": "7"})
    job = hvac.Client(url=url)
    auth = job.auth.approle.login(role_id, made["secret_id"])["auth"]
    case("approle: login", auth["metadata"] == {"role_name": "job", "build": "7"} and auth["lease_duration"] == 600, auth)
    case("approle: one use is spent", role.read_secret_id("job", made["secret_id"])["data"]["secret_id_num_uses"] == 1)
    case("approle: a wrong secret id", refused(errors.InvalidRequest, lambda: hvac.Client(url=url).auth.approle.login(role_id, "wrong"),
                                               "invalid role or secret ID"))
    role.destroy_secret_id("job", made["secret_id"])
    case("approle: destroyed", refused(errors.InvalidRequest, lambda: hvac.Client(url=url).auth.approle.login(role_id, made["secret_id"])))
    custom = role.create_custom_secret_id("job", "my-own-secret-id")["data"]
    case("approle: custom secret id", job.auth.approle.login(role_id, "my-own-secret-id")["auth"]["accessor"] != ""
         and role.list_secret_id_accessors("job")["data"]["keys"] == [custom["secret_id_accessor"]])
    role.update_role_id("job", "chosen")
    case("approle: chosen role id", role.read_role_id("job")["data"]["role_id"] == "chosen")
    role.delete_role("job")
    case("approle: gone", refused(errors.InvalidPath, lambda: role.read_role("job")))
    client.sys.disable_auth_method("approle")


def audit(client, server):
    path = server.data.parent / ("merlon-audit-%d.log" % server.port)
    client.sys.enable_audit_device("file", description="lines", options={"file_path": str(path)}, path="lines")
    case("audit: listed", client.sys.list_enabled_audit_devices()["data"]["lines/"]["type"] == "file")
    client.secrets.kv.v2.create_or_update_secret("audited", {"password": "hunter2"})
    hashed = client.sys.calculate_hash("lines", "hunter2")["data"]["hash"]
    text = path.read_text()
    case("audit: hashed, not told", hashed in text and "hunter2" not in text and '"path":"secret/data/audited"' in text)
    client.sys.disable_audit_device("lines")
    case("audit: disabled", client.sys.list_enabled_audit_devices()["data"] == {})
    path.unlink()


def sealing(client):
    client.sys.seal()
    case("sealed", client.sys.is_sealed())
    case("sealed: reads", refused(errors.VaultDown, lambda: client.secrets.kv.v2.read_secret_version("a", raise_on_deleted_version=True), "sealed"))


def body():
    if hvac is None:
        return skip("hvac", os.environ.get("MERLON_NO_PACKAGES") or "the package hvac is not installed")
    for name in ("VAULT_ADDR", "VAULT_TOKEN", "VAULT_NAMESPACE"):
        os.environ.pop(name, None)
    with Server() as server:
        url = "http://127.0.0.1:%d" % server.port
        client = hvac.Client(url=url, token=TOKEN)
        for part in (lambda: system(client), lambda: kv_versions(client.secrets.kv.v2), lambda: kv_deletion(client.secrets.kv.v2),
                     lambda: kv_plain(client), lambda: codes(client), lambda: ssh(client),
                     lambda: transit_cipher(client), lambda: transit_sign(client.secrets.transit), lambda: tokens(client, url),
                     lambda: policies(client, url), lambda: userpass(client, url),
                     lambda: approle(client, url), lambda: audit(client, server), lambda: sealing(client)):
            try:
                part()
            except errors.VaultError as error:
                case("a call that should work", False, "%s %s" % (type(error).__name__, error))
    return None


if __name__ == "__main__":
    finish(body, "hvac")
