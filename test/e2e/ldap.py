#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""People of a real directory (Debian's slapd, started here on a free port) log in; hostile names and passwords stay outside.

usage: ldap.py [MERLON]     Skips, and says why, where slapd or openssl is missing.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from kit import Server, case, finish, free_port, skip

try:
    import hvac
except ImportError:
    hvac = None

BASE = "dc=example,dc=org"
LDIF = """dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: uid=alice,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: A
userPassword: wonder land

dn: uid=bob,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: B
userPassword: builder

dn: uid=a*b(c)\\2Cd,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: a*b(c),d
cn: Odd
sn: O
userPassword: odd

dn: cn=admins,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: admins
member: uid=alice,ou=people,dc=example,dc=org

dn: cn=staff,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: staff
member: uid=alice,ou=people,dc=example,dc=org
member: uid=bob,ou=people,dc=example,dc=org
"""


class Directory:
    def __init__(self, folder):
        self.port, self.tls_port = free_port(), free_port()
        self.certificate(folder)
        (folder / "db").mkdir()
        conf = folder / "slapd.conf"
        conf.write_text("\n".join((
            "include /etc/ldap/schema/core.schema", "include /etc/ldap/schema/cosine.schema", "include /etc/ldap/schema/inetorgperson.schema",
            "modulepath /usr/lib/ldap", "moduleload back_mdb", "pidfile %s/pid" % folder,
            "TLSCertificateFile %s/leaf.pem" % folder, "TLSCertificateKeyFile %s/leaf.key" % folder,
            "database mdb", "suffix %s" % BASE, "rootdn cn=admin,%s" % BASE, "rootpw secret", "directory %s/db" % folder,
            "access to attrs=userPassword by anonymous auth by * none", "access to * by users read by anonymous auth", "")))
        (folder / "data.ldif").write_text(LDIF)
        subprocess.run(["/usr/sbin/slapadd", "-f", str(conf), "-l", str(folder / "data.ldif")], check=True, stderr=subprocess.DEVNULL)
        urls = "ldap://127.0.0.1:%d ldaps://127.0.0.1:%d" % (self.port, self.tls_port)
        self.child = subprocess.Popen(["/usr/sbin/slapd", "-f", str(conf), "-h", urls, "-d", "0"], stderr=subprocess.DEVNULL)
        self.strict = self.start_strict(folder, conf.read_text())
        time.sleep(1)

    def start_strict(self, folder, conf):
        """A second one with the same people, which takes only connections that show a certificate of its authority."""
        port, other = free_port(), folder / "strict.conf"
        (folder / "db2").mkdir()
        conf = conf.replace("%s/db" % folder, "%s/db2" % folder).replace("%s/pid" % folder, "%s/pid2" % folder)
        other.write_text("TLSCACertificateFile %s/ca.pem\nTLSVerifyClient demand\n%s" % (folder, conf))
        subprocess.run(["/usr/sbin/slapadd", "-f", str(other), "-l", str(folder / "data.ldif")], check=True, stderr=subprocess.DEVNULL)
        self.strict_url = "ldaps://127.0.0.1:%d" % port
        return subprocess.Popen(["/usr/sbin/slapd", "-f", str(other), "-h", self.strict_url, "-d", "0"], stderr=subprocess.DEVNULL)

    def certificate(self, folder):
        def openssl(*args):
            subprocess.run(["openssl", *args], check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=localhost")
        (folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "leaf.pem", "-days", "2",
                "-extfile", "ext")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "other.key", "-out", "other.pem", "-days", "2", "-subj", "/CN=other")
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", "ec.key")
        openssl("req", "-new", "-key", "ec.key", "-out", "ec.csr", "-subj", "/CN=merlon")
        openssl("x509", "-req", "-in", "ec.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "ec.pem", "-days", "2")
        def pair(name):
            return (folder / (name + ".pem")).read_text(), (folder / (name + ".key")).read_text()
        self.pairs, self.stranger = {"rsa": pair("leaf"), "ec": pair("ec")}, pair("other")
        self.other = (folder / "other.pem").read_text()
        self.ca = (folder / "ca.pem").read_text()

    def stop(self):
        for child in (self.child, self.strict):
            child.terminate()
            child.wait(10)


def login(api, name, password):
    return api("POST", "auth/ldap/login/" + name, {"password": password}, {"X-Vault-Token": ""})


def policies(answer):
    return answer.json["auth"]["policies"] if answer.code == 200 else None


def logins(api, how):
    good = login(api, "alice", "wonder land")
    case("%s: alice logs in with her groups' policies" % how, policies(good) == ["adm", "all", "default", "own"], good)
    case("%s: bob has his" % how, policies(login(api, "bob", "builder")) == ["all", "default"])
    case("%s: case of a name does not matter" % how, policies(login(api, "BOB", "builder")) == ["all", "default"])
    odd = login(api, "a*b(c),d", "odd")
    case("%s: a name with filter characters" % how, policies(odd) == ["default"], odd)
    for name, password in (("alice", "wrong"), ("alice", "builder"), ("alice", "Wonder land"), ("*", "builder"), ("bo*", "builder"), ("nobody", "x"),
                           ("bob)(uid=*", "builder"), ("bob,ou=people,%s" % BASE, "builder"), ("bob\\", "builder"), ("al%00ice", "wonder land")):
        answer = login(api, name, password)
        case("%s: %r with %r is refused" % (how, name, password), answer.code in (400, 404), answer)
    for password in ("", None):
        answer = login(api, "alice", password)
        case("%s: password %r is refused" % (how, password), answer.code == 400 and "zero length" in str(answer.errors), answer)


def mutual(api, directory, tls):
    """A directory that asks for certificates, on a port of its own."""
    strict = {"url": directory.strict_url}
    answer = api("POST", "auth/ldap/config", strict) and login(api, "bob", "builder")
    case("a directory that wants a certificate gets none", answer.code == 502, answer)
    for kind in ("rsa", "ec"):
        pem, key = directory.pairs[kind]
        made = api("POST", "auth/ldap/config", {"client_tls_cert": pem, "client_tls_key": key})
        answer = login(api, "bob", "builder")
        case("it is shown one (%s)" % kind, made.code == 204 and policies(answer) == ["all", "default"], answer)
    shown = api("GET", "auth/ldap/config").body.decode()
    case("neither key nor certificate is shown", "PRIVATE" not in shown and "client_tls" not in shown)
    api("POST", "auth/ldap/config", {"client_tls_cert": directory.stranger[0], "client_tls_key": directory.stranger[1]})
    answer = login(api, "bob", "builder")
    case("a stranger's certificate does not do", answer.code == 502, answer)
    api("POST", "auth/ldap/config", {"client_tls_cert": "", "client_tls_key": "", "url": tls, "tls_min_version": "tls13", "tls_max_version": "tls13"})
    answer = login(api, "bob", "builder")
    case("TLS 1.3 at least", policies(answer) == ["all", "default"], answer)


def body():
    if not os.access("/usr/sbin/slapd", os.X_OK) or shutil.which("openssl") is None:
        skip("logins at a directory", "slapd or openssl is not installed")
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="merlon-ldap-"))
    directory = Directory(folder)
    try:
        with Server() as server:
            api = server.api
            api("POST", "sys/auth/ldap", {"type": "ldap"})
            api("POST", "auth/ldap/groups/admins", {"policies": "adm"})
            api("POST", "auth/ldap/groups/staff", {"policies": "all"})
            api("POST", "auth/ldap/users/alice", {"policies": "own"})
            people = {"userdn": "ou=people," + BASE, "userattr": "uid", "groupdn": "ou=groups," + BASE}
            plain, tls = "ldap://127.0.0.1:%d" % directory.port, "ldaps://127.0.0.1:%d" % directory.tls_port
            made = api("POST", "auth/ldap/config", {"url": plain, **people})
            case("config", made.code == 204, made)
            logins(api, "bind by name")
            api("POST", "auth/ldap/config", {"binddn": "cn=admin," + BASE, "bindpass": "secret"})
            logins(api, "searched for")
            first = login(api, "alice", "wonder land")
            renewed = api("POST", "auth/token/renew-self", {}, {"X-Vault-Token": first.json["auth"]["client_token"]})
            case("her token is renewed", renewed.code == 200, renewed)
            api("POST", "auth/ldap/config", {"url": tls})
            answer = login(api, "bob", "builder")
            case("a certificate of an unknown authority is refused", answer.code in (400, 502), answer)
            api("POST", "auth/ldap/config", {"url": tls, "certificate": directory.ca})
            api("POST", "auth/ldap/config", {"url": tls, "certificate": directory.other})
            answer = login(api, "bob", "builder")
            case("a certificate of another authority than the given is refused", answer.code in (400, 502), answer)
            api("POST", "auth/ldap/config", {"url": tls, "certificate": directory.other + directory.ca})
            case("over TLS, by the second of two authorities", policies(login(api, "bob", "builder")) == ["all", "default"])
            api("POST", "auth/ldap/config", {"url": tls.replace("127.0.0.1", "localhost"), "certificate": directory.ca})
            # libldap takes "localhost" for the name of this machine, which is not in the certificate.
            case("a certificate for another name is refused", login(api, "bob", "builder").code in (400, 502))
            api("POST", "auth/ldap/config", {"url": tls, "certificate": directory.ca})
            answer = login(api, "bob", "builder")
            case("over TLS", policies(answer) == ["all", "default"], answer)
            mutual(api, directory, tls)
            api("POST", "auth/ldap/config", {"url": plain, "starttls": True})
            case("with STARTTLS", policies(login(api, "bob", "builder")) == ["all", "default"], login(api, "bob", "builder"))
            api("POST", "auth/ldap/config", {"url": "ldap://127.0.0.1:%d,%s" % (free_port(), plain), "starttls": False})
            case("the second of two servers", policies(login(api, "bob", "builder")) == ["all", "default"])
            if hvac is None:
                skip("hvac logs in", "hvac is not installed")
            else:
                done = hvac.Client(url="http://127.0.0.1:%d" % api.port).auth.ldap.login("bob", "builder")
                case("hvac logs in", done["auth"]["policies"] == ["all", "default"], done)
            shown = api("GET", "auth/ldap/config")
            case("the searcher's password is not shown", "secret" not in shown.body.decode() and shown.data["binddn"] == "cn=admin," + BASE, shown)
            directory.stop()
            answer = login(api, "bob", "builder")
            case("no directory, no login", answer.code == 502, answer)
    finally:
        if directory.child.poll() is None:
            directory.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    finish(body, "logins at a directory")
