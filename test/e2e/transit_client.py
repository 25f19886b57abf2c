#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The transit engine through hvac on a live server, with Python's cryptography as the second opinion: what the engine made opens and
verifies there, what was made there opens and verifies in the engine.

usage: transit_client.py [MERLON]
"""
import base64
import hmac
import os

from kit import TOKEN, Server, case, finish, skip

try:
    import hvac
    import hvac.exceptions as errors
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
except ImportError:
    hvac = None

RAW = {} if hvac is None else {"encoding": serialization.Encoding.Raw, "format": serialization.PublicFormat.Raw}
PEM = {} if hvac is None else {"encoding": serialization.Encoding.PEM, "format": serialization.PublicFormat.SubjectPublicKeyInfo}
HASHES = {} if hvac is None else {"sha2-256": hashes.SHA256(), "sha2-512": hashes.SHA512(), "sha3-384": hashes.SHA3_384()}
CIPHERS = ("aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305")
SIGNERS = ("ed25519", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "rsa-3072", "rsa-4096")


def b64(data):
    return base64.b64encode(data).decode()


def raw(text):
    return base64.b64decode(text)


def payload(text, is_url=False):
    text = text.split(":", 2)[2]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if is_url else raw(text)


def refused(call, words):
    try:
        call()
    except errors.InvalidRequest as error:
        return words in str(error)
    return False


def aead(kind, key):
    return AESGCM(key) if kind.startswith("aes") else ChaCha20Poly1305(key) if kind.startswith("chacha") else None


def make(client, name, **settings):
    return client.write_data("transit/keys/" + name, data=dict(settings, exportable=True, allow_plaintext_backup=True))["data"]


def exported(client, kind, name, version="1"):
    return client.secrets.transit.export_key(name, kind, version=version)["data"]["keys"][version]


def ciphers(client):
    t = client.secrets.transit
    for kind in CIPHERS:
        make(client, kind, type=kind)
        box = payload(t.encrypt_data(kind, plaintext=b64(b"hello"), associated_data=b64(b"bound"))["data"]["ciphertext"])
        key, foreign = raw(exported(client, "encryption-key", kind)), None
        if aead(kind, key) is not None:
            foreign = b"n" * 12 + aead(kind, key).encrypt(b"n" * 12, b"from outside", b"bound")
            case("%s: opened outside" % kind, aead(kind, key).decrypt(box[:12], box[12:], b"bound") == b"hello")
        if foreign is not None:
            back = t.decrypt_data(kind, ciphertext="vault:v1:" + b64(foreign), associated_data=b64(b"bound"))["data"]["plaintext"]
            case("%s: opens what was made outside" % kind, raw(back) == b"from outside")
        t.rotate_key(kind)
        old = t.encrypt_data(kind, plaintext=b64(b"hello"), key_version=1)["data"]["ciphertext"]
        new = t.rewrap_data(kind, ciphertext=old)["data"]["ciphertext"]
        case("%s: rewrap" % kind, new.startswith("vault:v2:") and raw(t.decrypt_data(kind, ciphertext=new)["data"]["plaintext"]) == b"hello", new)
        data = t.generate_data_key(kind, key_type="plaintext", bits=512)["data"]
        case("%s: data key" % kind, t.decrypt_data(kind, ciphertext=data["ciphertext"])["data"]["plaintext"] == data["plaintext"])


def contexts(client):
    t = client.secrets.transit
    for kind in CIPHERS:
        name = "conv-" + kind
        make(client, name, type=kind, derived=True, convergent_encryption=True)
        one, two, other = (t.encrypt_data(name, plaintext=b64(b"pt"), context=b64(c))["data"]["ciphertext"] for c in (b"ctx", b"ctx", b"cty"))
        case("%s: convergent" % kind, one == two != other, (one, two, other))
        key = raw(exported(client, "encryption-key", name))
        derived = HKDF(hashes.SHA256(), len(key) + 32, None, b"ctx").derive(key)
        box, n = payload(one), 24 if kind.startswith("x") else 12
        case("%s: nonce" % kind, box[:n] == hmac.new(derived[len(key):], b"pt", "sha256").digest()[:n])
        if aead(kind, derived[:len(key)]) is not None:
            case("%s: derived, opened outside" % kind, aead(kind, derived[:len(key)]).decrypt(box[:12], box[12:], None) == b"pt")
        case("%s: other context" % kind, refused(lambda n=name, c=one: t.decrypt_data(n, ciphertext=c, context=b64(b"cty")), "authentication failed"))
        case("%s: no context" % kind, refused(lambda n=name: t.encrypt_data(n, plaintext=b64(b"pt")), "missing 'context' for key derivation"))
    make(client, "ded", type="ed25519", derived=True)
    secret = ed25519.Ed25519PrivateKey.from_private_bytes(HKDF(hashes.SHA256(), 32, None, b"c").derive(raw(exported(client, "signing-key", "ded"))[:32]))
    signed = client.write_data("transit/sign/ded", data={"input": b64(b"m"), "context": b64(b"c")})["data"]
    case("derived ed25519: signature", payload(signed["signature"]) == secret.sign(b"m"))
    case("derived ed25519: public key", raw(signed["public_key"]) == secret.public_key().public_bytes(**RAW))


def check(kind, public, signature, is_url, is_pss, algorithm):
    """Raises when the signature over b"msg" is wrong."""
    bytes_ = payload(signature, is_url)
    if kind == "ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(raw(public)).verify(bytes_, b"msg")
    key = serialization.load_pem_public_key(public.encode())
    if kind.startswith("rsa"):
        pad = padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO) if is_pss else padding.PKCS1v15()
        return key.verify(bytes_, b"msg", pad, algorithm)
    if is_url:
        half = len(bytes_) // 2
        bytes_ = utils.encode_dss_signature(int.from_bytes(bytes_[:half], "big"), int.from_bytes(bytes_[half:], "big"))
    return key.verify(bytes_, b"msg", ec.ECDSA(algorithm))


def signatures(client):
    for kind in SIGNERS:
        public = make(client, kind, type=kind)["keys"]["1"]["public_key"]
        good = bad = True
        for name, algorithm in HASHES.items():
            for is_url in (False, True):
                for is_pss in (False, True):
                    body = {"input": b64(b"msg"), "hash_algorithm": name, "marshaling_algorithm": "jws" if is_url else "asn1",
                            "signature_algorithm": "pss" if is_pss else "pkcs1v15"}
                    signature = client.write_data("transit/sign/" + kind, data=body)["data"]["signature"]
                    check(kind, public, signature, is_url, is_pss, algorithm)
                    good = good and client.write_data("transit/verify/" + kind, data=dict(body, signature=signature))["data"]["valid"]
                    bad = bad and not client.write_data("transit/verify/" + kind, data=dict(body, signature=signature, input=b64(b"x")))["data"]["valid"]
        case("%s: signatures in all forms verify outside and inside" % kind, good)
        case("%s: of another text they do not" % kind, bad)
        if kind != "ed25519":
            private = serialization.load_pem_private_key(exported(client, "signing-key", kind).encode(), None)
            case("%s: exported" % kind, private.public_key().public_bytes(**PEM).decode() == public)
    make(client, "hm", type="hmac", key_size=64)
    key = raw(exported(client, "hmac-key", "hm"))
    text = client.write_data("transit/hmac/hm/sha2-512", data={"input": b64(b"x")})["data"]["hmac"]
    case("hmac", len(key) == 64 and payload(text) == hmac.new(key, b"x", "sha512").digest())


def imports(client):
    t = client.secrets.transit
    under = serialization.load_pem_public_key(client.read("transit/wrapping_key")["data"]["public_key"].encode())

    def wrap(key, algorithm):
        kek = os.urandom(32)
        return b64(under.encrypt(kek, padding.OAEP(padding.MGF1(algorithm), algorithm, None)) + aes_key_wrap_with_padding(kek, key))

    for name, algorithm in (("SHA1", hashes.SHA1()), ("SHA256", hashes.SHA256()), ("SHA512", hashes.SHA512())):
        key = os.urandom(32)
        client.write_data("transit/keys/in-%s/import" % name, data={"ciphertext": wrap(key, algorithm), "hash_function": name, "exportable": True})
        case("import with %s" % name, raw(exported(client, "encryption-key", "in-" + name)) == key)
    for kind, key in (("rsa-2048", rsa.generate_private_key(65537, 2048)), ("ecdsa-p384", ec.generate_private_key(ec.SECP384R1())),
                      ("ed25519", ed25519.Ed25519PrivateKey.generate())):
        der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        client.write_data("transit/keys/in-%s/import" % kind, data={"ciphertext": wrap(der, hashes.SHA256()), "type": kind})
        public = t.read_key("in-" + kind)["data"]["keys"]["1"]["public_key"]
        same = key.public_key().public_bytes(**PEM).decode() == public if kind != "ed25519" else key.public_key().public_bytes(**RAW) == raw(public)
        case("import of %s" % kind, same)
        case("%s does not rotate" % kind, refused(lambda n="in-" + kind: t.rotate_key(n), "does not allow rotation"))


def life(client):
    t = client.secrets.transit
    for kind in ("aes256-gcm96", "ed25519", "rsa-2048"):
        backup = t.backup_key(kind)["data"]["backup"]
        case("%s: is there" % kind, refused(lambda b=backup: t.restore_key(backup=b), "already exists"))
        t.restore_key(backup=backup, name="again-" + kind)
        one, two = (t.read_key(n)["data"] for n in (kind, "again-" + kind))
        case("%s: restored" % kind, {**one, "name": ""} == {**two, "name": ""}, (one, two))
    client.write_data("transit/keys/aes256-gcm96/soft-delete", data={})
    case("soft deleted", refused(lambda: t.encrypt_data("aes256-gcm96", plaintext=b64(b"x")), "soft deleted"))
    client.write_data("transit/keys/aes256-gcm96/soft-delete-restore", data={})
    case("and back", t.encrypt_data("aes256-gcm96", plaintext=b64(b"x"))["data"]["ciphertext"].startswith("vault:v2:"))
    client.write_data("transit/config/keys", data={"disable_upsert": True})
    case("no upsert", refused(lambda: t.encrypt_data("new", plaintext=b64(b"x")), "encryption key not found"))
    results = t.encrypt_data("aes256-gcm96", plaintext="", batch_input=[{"plaintext": b64(b"1"), "reference": "a"}, {"plaintext": b64(b"2")}])["data"]["batch_results"]
    case("references", [r["reference"] for r in results] == ["a", ""], results)
    case("random", len(raw(t.generate_random_bytes(n_bytes=40)["data"]["random_bytes"])) == 40)
    case("hash", t.hash_data(b64(b"a"))["data"]["sum"].startswith("ca978112ca1bbdca"))


def body():
    if hvac is None:
        return skip("transit", os.environ.get("MERLON_NO_PACKAGES") or "the packages hvac and cryptography are not installed")
    for name in ("VAULT_ADDR", "VAULT_TOKEN", "VAULT_NAMESPACE"):
        os.environ.pop(name, None)
    with Server() as server:
        client = hvac.Client(url="http://127.0.0.1:%d" % server.port, token=TOKEN)
        client.sys.enable_secrets_engine("transit")
        for part in (ciphers, contexts, signatures, imports, life):
            part(client)
    return None


if __name__ == "__main__":
    finish(body, "transit")
