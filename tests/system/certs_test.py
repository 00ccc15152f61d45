# SPDX-License-Identifier: Apache-2.0
"""`warren verify` and the exports, into the programs that they are for."""
import base64
import json
import os
import re
import shutil
import stat
import time

from network import run
from tap import Skip, check, check_in, main, test

PASSPHRASE = "correct horse"


def with_passphrase(argv, passphrase=PASSPHRASE, wanted=0):
    ours, theirs = os.pipe()
    os.write(theirs, passphrase.encode() + b"\n")
    os.close(theirs)
    try:
        return run([*argv, "--passphrase-fd", str(ours)], wanted=wanted, pass_fds=[ours])
    finally:
        os.close(ours)


def tool(net, *argv, wanted=0, **more):
    return run(list(argv), wanted=wanted, cwd=net.folder, **more)


def verify(net, *words, wanted=0):
    return run([net.program("warren"), "verify", *words], wanted=wanted)


def name_of(net, name):
    return f"{net.ids[name]}.{net.name}"


@test
def a_good_chain_is_called_good(net):
    net.join("alice")
    run(net.warren("alice", "export-cert", "--out", net.path("alice.pem")))
    run(net.warren("alice", "export-trust", "--out", net.path("root.pem")))
    words = ["--ca", net.path("root.pem"), "--name", name_of(net, "alice"), net.path("alice.pem")]
    check_in("good: it is for " + name_of(net, "alice"), verify(net, *words).stdout)
    check_in("good", verify(net, "--client", *words).stdout)
    told = json.loads(verify(net, "--json", *words).stdout)
    check(told["result"] == "good" and told["names"] == "DNS:" + name_of(net, "alice"), f"told {told}")
    with open(net.path("alice.pem"), encoding="ascii") as f:
        done = run([net.program("warren"), "verify", "--ca", net.path("root.pem"), "--name", name_of(net, "alice"), "-"], input=f.read())
    check_in("good", done.stdout)


@test
def a_bad_chain_is_called_bad_with_the_reason(net):
    ca, chain, name = net.path("root.pem"), net.path("alice.pem"), name_of(net, "alice")
    then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2 * 86400))
    for words, reason in (
            (["--ca", ca, "--name", f"111111.{net.name}", chain], "bad: name_mismatch: the certificate is for " + name),
            (["--ca", ca, "--name", name, "--at", then, chain], "bad: expired: the certificate expired"),
            (["--ca", ca, "--name", name, "--at", "1000000000", chain], "is not yet valid: it begins in"),
            (["--ca", chain, "--name", name, chain], "bad: bad_certificate: root: "),
            (["--ca", ca, "--name", name, ca], "bad: bad_certificate: the certificate must not be used by a TLS server")):
        check_in(reason, verify(net, *words, wanted=1).stdout)
    told = json.loads(verify(net, "--json", "--ca", ca, "--name", "111111." + net.name, chain, wanted=1).stdout)
    check(told["result"] == "bad" and told["code"] == "name_mismatch", f"told {told}")
    check_in("--ca, --name and a file", verify(net, chain, wanted=2).stderr)
    check_in("no-such: No such file", verify(net, "--ca", ca, "--name", name, "no-such", wanted=3).stderr)
    check_in("--at: expected a day", verify(net, "--ca", ca, "--name", name, "--at", "now", chain, wanted=2).stderr)


@test
def what_cannot_be_read_is_not_called_bad(net):
    """Exit status 3: nothing was judged. A malformed certificate in a chain is the chain's own fault."""
    ca, chain, name = net.path("root.pem"), net.path("alice.pem"), name_of(net, "alice")
    for file, content in (("empty", ""), ("words", "hello\n"), ("zeros", "000\n"),
                          ("cut", "-----BEGIN CERTIFICATE-----\nMIIB"), ("junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")):
        with open(net.path(file), "w", encoding="ascii") as f:
            f.write(content)
    os.mkdir(net.path("folder"))
    for words, part in (
            (["--ca", ca, "--name", name, net.path("no-such")], "no-such: No such file"),
            (["--ca", net.path("no-such"), "--name", name, chain], "no-such: No such file"),
            (["--ca", ca, "--name", name, net.path("folder")], "folder: Is a directory"),
            (["--ca", ca, "--name", name, net.path("empty")], "not judged: chain: no CERTIFICATE in it"),
            (["--ca", ca, "--name", name, net.path("words")], "not judged: chain: no CERTIFICATE in it"),
            (["--ca", ca, "--name", name, net.path("zeros")], "not judged: chain: "),
            (["--ca", ca, "--name", name, net.path("cut")], "not judged: chain: "),
            (["--ca", net.path("words"), "--name", name, chain], "not judged: root: no CERTIFICATE in it"),
            (["--ca", net.path("junk"), "--name", name, chain], "not judged: root: "),
            (["--ca", ca, "--crl", net.path("words"), "--name", name, chain], "not judged: revocation list: no X509 CRL in it"),
            (["--ca", ca, "--crl", chain, "--name", name, chain], "not judged: revocation list: no X509 CRL in it"),
            (["--ca", ca, "--name", "alice", chain], "not judged: alice: expected a name in a network")):
        done = verify(net, *words, wanted=3)
        check_in(part, done.stderr)
        check(not done.stdout and ("what to do: " in done.stderr or "not judged" not in part), done.stdout + done.stderr)
    told = json.loads(verify(net, "--json", "--ca", ca, "--name", name, net.path("words"), wanted=3).stdout)
    check(told["result"] == "not_judged" and "no CERTIFICATE" in told["reason"], f"told {told}")
    check_in("bad: bad_certificate", verify(net, "--ca", ca, "--name", name, net.path("junk"), wanted=1).stdout)


@test
def a_day_and_every_form_of_rfc_3339_are_times(net):
    ca, chain, name = net.path("root.pem"), net.path("alice.pem"), name_of(net, "alice")
    now = time.time()

    def text(form, ahead=0):
        return time.strftime(form, time.gmtime(now + ahead))

    day = int(now) // 86400 * 86400
    for at, wanted in (
            (text("%Y-%m-%dT%H:%M:%SZ"), 0), (text("%Y-%m-%dt%H:%M:%S.123456z"), 0), (text("%Y-%m-%d %H:%M:%SZ"), 0),
            (text("%Y-%m-%dT%H:%M:%S+05:30", 19800), 0), (text("%Y-%m-%dT%H:%M:%S-11:00", -39600), 0),
            (text("%Y-%m-%dT%H:%M:%S+11:00", -39600), 1), (text("%Y-%m-%dT%H:%M:%S-12:00", 86400), 1),
            (str(int(now)), 0), (text("%Y-%m-%d", 2 * 86400), 1), ("2001-02-28", 1)):
        check(verify(net, "--ca", ca, "--name", name, "--at", at, chain, wanted=None).returncode == wanted, at)
    told = verify(net, "--ca", ca, "--name", name, "--at", text("%Y-%m-%d", 3 * 86400), chain, wanted=1).stdout  # at its first moment, in UTC
    check_in("expired", told)
    midnight = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(day))
    same = [verify(net, "--ca", ca, "--name", name, "--at", at, chain, wanted=None) for at in (text("%Y-%m-%d"), midnight, str(day))]
    check(len({(done.returncode, done.stdout) for done in same}) == 1, str([done.stdout for done in same]))
    for at in ("2027-02-29", "2027-13-01", "2027-00-10", "2027-1-31", "27-01-31", "2027-01-31T", "2027-01-31T12:00", "2027-01-31T12:00:00", "2027-01-31T24:00:00Z",
               "2027-01-31T12:00:00.Z", "2027-01-31T12:00:00+1:00", "2027-01-31T12:00:00Zx", "1969-12-31", "", "0", "12x", "99999999999999"):
        check_in("--at: expected a day such as 2027-01-31", verify(net, "--ca", ca, "--name", name, "--at", at, chain, wanted=2).stderr)


@test
def a_list_counts(net):
    den = [net.program("warren-den")]
    config = ["--config", net.path("den/den.conf")]
    ca, chain, name = net.path("root.pem"), net.path("alice.pem"), name_of(net, "alice")
    crl = net.path("alice/crl.der")
    check_in("good", verify(net, "--ca", ca, "--crl", crl, "--name", name, chain).stdout)
    then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400 - 120))
    net.join("bob")
    run(net.warren("bob", "export-cert", "--out", net.path("bob.pem")))
    serial = json.loads(run([*den, "cert", "list", "--json", "--id", net.ids["alice"], *config]).stdout)[0]["serial"]
    run([*den, "cert", "revoke", serial, *config])
    net.den.wait_line(net.den.err, r"event=revocations\.taken")
    net.join("carol")  # comes with the new list
    check_in("bad: revoked: the certificate " + serial, verify(net, "--ca", ca, "--crl", net.path("carol/crl.der"), "--name", name, chain,
                                                               wanted=1).stdout)
    check_in("good", verify(net, "--ca", ca, "--crl", net.path("carol/crl.der"), "--name", name_of(net, "bob"), "--at", then,
                            net.path("bob.pem")).stdout)


@test
def a_chain_of_another_ca_is_judged_by_the_general_rules(net):
    tool(net, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=other ca",
         "-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", "other.key", "-out",
         "other.pem")
    tool(net, "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=www.other.example", "-keyout",
         "www.key", "-out", "www.csr")
    with open(net.path("www.ext"), "w", encoding="ascii") as f:
        f.write("basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
                "subjectAltName=DNS:www.other.example\nauthorityKeyIdentifier=keyid\n")
    tool(net, "openssl", "x509", "-req", "-in", "www.csr", "-CA", "other.pem", "-CAkey", "other.key", "-days", "1", "-extfile", "www.ext",
         "-out", "www.pem")
    words = ["--ca", net.path("other.pem"), "--name", "www.other.example", net.path("www.pem")]
    check_in("bad: bad_certificate", verify(net, *words, wanted=1).stdout)
    check_in("good", verify(net, "--general", *words).stdout)
    check_in("bad: name_mismatch", verify(net, "--general", "--ca", net.path("other.pem"), "--name", "other.example", net.path("www.pem"),
                                          wanted=1).stdout)


@test
def exports_are_private_and_overwrite_nothing(net):
    check(stat.S_IMODE(os.stat(net.path("alice.pem")).st_mode) == 0o600, "others can read the key")
    check_in("already_exists", run(net.warren("alice", "export-cert", "--out", net.path("alice.pem")), wanted=1).stderr)
    check_in("a passphrase is needed", run(net.warren("alice", "export-cert", "--pkcs12", "--out", net.path("x")), wanted=2).stderr)
    check_in("needs at least 12", with_passphrase(net.warren("alice", "export-cert", "--pkcs12", "--out", net.path("x")), "short",
                                                  wanted=1).stderr)
    check_in("at least 6 characters", with_passphrase(net.warren("alice", "export-trust", "--pkcs12", "--out", net.path("x")), "short",
                                                      wanted=1).stderr)
    check_in("not_joined", run(net.warren("nobody", "export-cert", "--out", net.path("x")), wanted=1).stderr)
    check(not os.path.exists(net.path("x")), "something was written")
    with_passphrase(net.warren("bob", "export-cert", "--out", net.path("bob-sealed.pem")))
    tool(net, "openssl", "pkey", "-in", "bob-sealed.pem", "-passin", "pass:" + PASSPHRASE, "-noout", "-check")
    tool(net, "openssl", "pkey", "-in", "bob-sealed.pem", "-passin", "pass:wrong", "-noout", wanted=1)


@test
def openssl_and_gnutls_read_the_pkcs12(net):
    with_passphrase(net.warren("bob", "export-cert", "--pkcs12", "--out", net.path("bob.p12")))
    with_passphrase(net.warren("bob", "export-trust", "--pkcs12", "--out", net.path("root.p12")))
    done = tool(net, "openssl", "pkcs12", "-in", "bob.p12", "-passin", "pass:" + PASSPHRASE, "-nodes", "-info")
    check(done.stdout.count("BEGIN CERTIFICATE") == 2 and done.stdout.count("BEGIN PRIVATE KEY") == 1, done.stdout)
    check_in("AES-256-CBC", done.stderr)
    check_in("MAC: sha256", done.stderr)
    done = tool(net, "certtool", "--p12-info", "--inder", "--infile", "bob.p12", "--password", PASSPHRASE)
    check(done.stdout.count("BEGIN CERTIFICATE") == 2, done.stdout)
    done = tool(net, "certtool", "--p12-info", "--inder", "--infile", "root.p12", "--password", PASSPHRASE)
    check(done.stdout.count("BEGIN CERTIFICATE") == 1, done.stdout)
    tool(net, "openssl", "pkcs12", "-in", "bob.p12", "-passin", "pass:wrong", "-nodes", wanted=1)


@test
def nss_takes_them(net):
    os.mkdir(net.path("nss"))
    tool(net, "certutil", "-N", "-d", "sql:nss", "--empty-password")
    tool(net, "pk12util", "-i", "bob.p12", "-d", "sql:nss", "-W", PASSPHRASE)
    tool(net, "certutil", "-A", "-d", "sql:nss", "-n", "root", "-t", "CT,C,", "-a", "-i", "root.pem")
    listed = tool(net, "certutil", "-L", "-d", "sql:nss").stdout
    check_in("u,u,u", listed)
    tool(net, "certutil", "-V", "-d", "sql:nss", "-n", next(line.split("  ")[0] for line in listed.splitlines() if "u,u,u" in line), "-u", "V")
    check_in("warren", tool(net, "certutil", "-K", "-d", "sql:nss").stdout)
    with open(net.path("bob.pem"), encoding="ascii") as f:
        blocks = re.findall(r"-----BEGIN CERTIFICATE-----(.*?)-----END", f.read(), re.S)
    for n, block in enumerate(blocks):
        with open(net.path(f"bob{n}.der"), "wb") as f:
            f.write(base64.b64decode(block))
    chain = [f"bob{n}.der" for n in range(len(blocks))]
    for usage in ("0", "1"):  # a TLS client, a TLS server
        done = tool(net, "vfychain", "-d", "sql:nss", "-pp", "-u", usage, *chain)
        check_in("Chain is good", done.stdout + done.stderr)
    os.mkdir(net.path("nss-trust"))
    tool(net, "certutil", "-N", "-d", "sql:nss-trust", "--empty-password")
    done = tool(net, "vfychain", "-d", "sql:nss-trust", "-pp", "-u", "1", *chain, wanted=None)  # not by itself
    check("Chain is good" not in done.stdout + done.stderr, "good without a root")
    tool(net, "pk12util", "-i", "root.p12", "-d", "sql:nss-trust", "-W", PASSPHRASE)
    tool(net, "certutil", "-M", "-d", "sql:nss-trust", "-n", "warren root", "-t", "CT,C,")
    done = tool(net, "vfychain", "-d", "sql:nss-trust", "-pp", "-u", "1", *chain)
    check_in("Chain is good", done.stdout + done.stderr)


@test
def gnutls_takes_them(net):
    words = ["certtool", "--verify", "--load-ca-certificate", "root.pem", "--infile", "bob.pem"]
    check_in("The certificate is trusted", tool(net, *words, "--verify-hostname", name_of(net, "bob")).stdout)
    check(tool(net, *words, "--verify-hostname", "111111." + net.name, wanted=None).returncode != 0, "any name will do")
    check_in("PRIVATE KEY", tool(net, "certtool", "--key-info", "--infile", "bob.pem").stdout)


@test
def java_takes_them(net):
    if not shutil.which("keytool"):
        raise Skip("keytool is not installed (package default-jre-headless)")
    words = ["-storetype", "PKCS12", "-storepass", PASSPHRASE, "-list"]
    done = tool(net, "keytool", "-keystore", "bob.p12", *words)
    check_in("PrivateKeyEntry", done.stdout)
    done = tool(net, "keytool", "-keystore", "root.p12", *words)
    check_in("trustedCertEntry", done.stdout)
    check_in("Your keystore contains 1 entry", done.stdout)
    words = ["-noprompt", "-destkeystore", "java.p12", "-deststorepass", PASSPHRASE]
    tool(net, "keytool", "-importkeystore", "-srckeystore", "bob.p12", "-srcstorepass", PASSPHRASE, *words)
    tool(net, "keytool", "-importkeystore", "-srckeystore", "root.p12", "-srcstorepass", PASSPHRASE, *words)
    tool(net, "keytool", "-importcert", "-noprompt", "-file", "root.pem", "-alias", "pem", "-keystore", "java.p12", "-storepass", PASSPHRASE)
    done = tool(net, "keytool", "-list", "-keystore", "java.p12", "-storepass", PASSPHRASE)
    check_in("Your keystore contains 3 entries", done.stdout)
    request = tool(net, "keytool", "-certreq", "-alias", "warren", "-keystore", "java.p12", "-storepass", PASSPHRASE, "-file", "java.csr")
    check(request.returncode == 0, request.stdout)
    done = tool(net, "openssl", "req", "-in", "java.csr", "-verify", "-noout", "-pubkey")  # Java signs with the key
    with open(net.path("bob.pem"), encoding="ascii") as f:
        check(done.stdout == tool(net, "openssl", "x509", "-noout", "-pubkey", input=f.read()).stdout, "another key")


if __name__ == "__main__":
    main()
