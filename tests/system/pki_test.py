# SPDX-License-Identifier: Apache-2.0
"""den's plain HTTP, as other people's programs see it: the list, the authorities, OCSP; and the verbs about certificates."""
import base64
import json
import os
import re
import subprocess
import time
import urllib.parse

from network import PATIENCE, Failed, free_port, run
from tap import check, check_in, main, test

HTTP = free_port()
URL = f"http://127.0.0.1:{HTTP}"


def den(net, *words, wanted=0):
    return run([net.program("warren-den"), *words, "--config", net.path("den/den.conf")], wanted=wanted)


def fetch(net, path, name, *words):
    """By curl, into a file; returns the status and the type."""
    done = run(["curl", "-sS", "-o", net.path(name), "-w", "%{http_code} %{content_type}", *words, URL + path])
    return done.stdout


def openssl(net, *words, wanted=0):
    return run(["openssl", *words], wanted=wanted, cwd=net.folder)


def listed(net, *words):
    return json.loads(den(net, "cert", "list", "--json", *words).stdout)


def pem_of(net, serial, name):
    with open(net.path(name), "w", encoding="ascii") as f:
        f.write(den(net, "cert", "show", serial, "--pem").stdout)


def until(what, holds):
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise Failed(f"waited for: {what}")
        time.sleep(0.1)


def ocsp(net, cert, *words):
    """What `openssl ocsp` says, verified below the root."""
    done = openssl(net, "ocsp", "-issuer", "ca.pem", "-cert", cert, "-url", URL + "/ocsp", "-CAfile", "root.pem", *words)
    check_in("Response verify OK", done.stderr)
    return done.stdout


def list_text(net, issuer="ca.pem"):
    fetch(net, "/crl", "list.der")
    done = openssl(net, "crl", "-inform", "DER", "-in", "list.der", "-noout", "-text", "-CAfile", issuer)
    check_in("verify OK", done.stderr)
    return done.stdout


def serial_in(text, serial):
    return serial.upper() in text.replace(":", "")


@test
def everything_is_served_with_its_type(net):
    for path, name, kind in (("/root", "root.der", "application/pkix-cert"), ("/ca", "ca.der", "application/pkix-cert"),
                             ("/crl", "list.der", "application/pkix-crl")):
        check(fetch(net, path, name) == f"200 {kind}", f"{path}: not 200 {kind}")
    for name in ("root", "ca"):
        openssl(net, "x509", "-inform", "DER", "-in", f"{name}.der", "-out", f"{name}.pem")
    openssl(net, "verify", "-x509_strict", "-CAfile", "root.pem", "ca.pem")
    with open(net.path("ca.pem"), "rb") as ours, open(net.path("den/intermediate.pem"), "rb") as theirs:
        check(ours.read() == theirs.read(), "/ca is not the intermediate")
    check(fetch(net, "/den.db", "none").startswith("404 "), "something else is served")
    check(fetch(net, "/../den/sign.key", "none", "--path-as-is").startswith("404 "), "a path led out")
    check(fetch(net, "/ocsp", "none").startswith("405 "), "GET /ocsp without a request")
    check(fetch(net, "/crl", "none", "-X", "DELETE").startswith("405 "), "DELETE was taken")
    check(fetch(net, "/crl", "none", "--data", "x").startswith("405 "), "POST to the list was taken")


@test
def a_leaf_names_the_urls(net):
    net.join("alice")
    found = listed(net, "--id", net.ids["alice"])
    check(len(found) == 1 and found[0]["state"] == "valid", f"found {found}")
    pem_of(net, found[0]["serial"], "alice.pem")
    text = openssl(net, "x509", "-in", "alice.pem", "-noout", "-text").stdout
    digits = re.search(r"Authority Key Identifier: *\n *([0-9A-F:]+)", text).group(1).replace(":", "").lower()[:16]
    for part in (f"OCSP - URI:{URL}/ocsp\n", f"CA Issuers - URI:{URL}/ca/{digits}\n", f"URI:{URL}/crl/{digits}\n"):
        check_in(part, text)
    for path, as_ever in ((f"/crl/{digits}", "/crl"), (f"/ca/{digits}", "/ca")):
        fetch(net, path, "own")
        fetch(net, as_ever, "any")
        with open(net.path("own"), "rb") as own, open(net.path("any"), "rb") as other:
            check(own.read() == other.read(), f"{path} is not {as_ever}")
    check(fetch(net, "/crl/" + "0" * 16, "none").startswith("404 "), "the list of nobody")
    check(fetch(net, "/ca/" + "0" * 16, "none").startswith("404 "), "nobody's certificate")
    downloaded(net, "alice.pem", "ca.pem")
    openssl(net, "verify", "-x509_strict", "-auth_level", "2", "-purpose", "sslserver", "-CAfile", "root.pem", "-untrusted", "ca.pem",
            "-crl_check", "-CRLfile", crl_pem(net), "alice.pem")


def downloaded(net, cert, issuer, wanted=0):
    """As software does it that knows nothing of manifests: from the list whose address is in the certificate."""
    return openssl(net, "verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", issuer, "-crl_check", "-crl_download", cert,
                   wanted=wanted).stderr


def crl_pem(net):
    fetch(net, "/crl", "list.der")
    openssl(net, "crl", "-inform", "DER", "-in", "list.der", "-out", "list.pem")
    return net.path("list.pem")


@test
def openssl_asks_by_post(net):
    check_in("alice.pem: good", ocsp(net, "alice.pem"))
    check_in("alice.pem: good", ocsp(net, "alice.pem", "-no_nonce"))
    check_in("0x0102030405060708: unknown", openssl(net, "ocsp", "-issuer", "ca.pem", "-serial", "0x0102030405060708", "-url",
                                                    URL + "/ocsp", "-CAfile", "root.pem").stdout)
    done = openssl(net, "ocsp", "-issuer", "ca.pem", "-cert", "alice.pem", "-url", URL + "/ocsp", "-CAfile", "root.pem",
                   "-resp_text").stdout
    check_in("OCSP No Check", done)
    check_in("OCSP Signing", done)


@test
def gnutls_asks_too(net):
    done = run(["ocsptool", f"--ask={URL}/ocsp", "--nonce", f"--load-issuer={net.path('ca.pem')}",
                f"--load-cert={net.path('alice.pem')}", f"--load-trust={net.path('ca.pem')}"])
    check(re.search(r"Certificate Status: good", done.stdout), done.stdout)
    check(re.search(r"Verifying OCSP Response: Success", done.stdout), done.stdout)


@test
def curl_asks_by_get(net):
    openssl(net, "ocsp", "-issuer", "ca.pem", "-cert", "alice.pem", "-no_nonce", "-reqout", "request.der")
    with open(net.path("request.der"), "rb") as f:
        text = base64.b64encode(f.read()).decode()
    for path in (urllib.parse.quote(text, safe=""), text):
        check(fetch(net, "/ocsp/" + path, "response.der") == "200 application/ocsp-response", "GET")
        done = openssl(net, "ocsp", "-respin", "response.der", "-issuer", "ca.pem", "-cert", "alice.pem", "-CAfile", "root.pem")
        check_in("alice.pem: good", done.stdout)
    fetch(net, "/ocsp/nonsense", "response.der")
    done = openssl(net, "ocsp", "-respin", "response.der", "-issuer", "ca.pem", "-cert", "alice.pem", "-CAfile", "root.pem", wanted=None)
    check_in("malformedrequest", (done.stdout + done.stderr).lower())


@test
def a_body_is_bounded(net):
    with open(net.path("large"), "wb") as f:
        f.write(b"x" * 100000)
    status = fetch(net, "/ocsp", "none", "--data-binary", "@" + net.path("large"), "-H", "Expect:")
    check(status.startswith("413 "), f"100 kB were answered with {status}")
    check(fetch(net, "/ocsp", "none", "-H", "Transfer-Encoding: chunked", "--data", "x").startswith("411 "), "no length")
    check_in("alice.pem: good", ocsp(net, "alice.pem"))


@test
def a_revoked_certificate_shows_at_once(net):
    serial = listed(net, "--id", net.ids["alice"])[0]["serial"]
    check(not serial_in(list_text(net), serial), "it is on the list before")
    done = den(net, "cert", "revoke", serial, "--reason", "keyCompromise")
    check_in("revoked by serial", done.stdout)
    check_in("alice.pem: revoked", ocsp(net, "alice.pem"))
    check_in("Reason: keyCompromise", ocsp(net, "alice.pem"))
    until("the list has it", lambda: serial_in(list_text(net), serial))
    check_in("Key Compromise", list_text(net))
    done = openssl(net, "verify", "-CAfile", "root.pem", "-untrusted", "ca.pem", "-crl_check", "-CRLfile", crl_pem(net), "alice.pem",
                   wanted=2)
    check_in("certificate revoked", done.stderr)
    check_in("was revoked before", den(net, "cert", "revoke", serial).stdout)
    check_in("nobody has the ID 999999", den(net, "revoke", "--id", "999999", wanted=1).stderr)
    check_in("expected one of id, serial and key", den(net, "revoke", wanted=2).stderr)
    check_in("reason: certificateHold is for what comes back", den(net, "cert", "revoke", serial, "--reason", "certificateHold", wanted=2).stderr)
    check_in("reason: expected unspecified, key-compromise", den(net, "cert", "revoke", serial, "--reason", "x", wanted=2).stderr)


@test
def an_identity_is_revoked_with_its_certificates(net):
    net.join("bob")
    serial = listed(net, "--id", net.ids["bob"])[0]["serial"]
    pem_of(net, serial, "bob.pem")
    check_in("bob.pem: good", ocsp(net, "bob.pem"))
    before = int(re.search(r"CRL Number: *\n? *(\S+)", list_text(net)).group(1), 0)
    check_in("revoked by identity", den(net, "revoke", "--id", net.ids["bob"]).stdout)
    check_in("bob.pem: revoked", ocsp(net, "bob.pem"))
    until("the list has it", lambda: serial_in(list_text(net), serial))
    after = int(re.search(r"CRL Number: *\n? *(\S+)", list_text(net)).group(1), 0)
    check(after > before, f"the list's number went from {before} to {after}")
    states = {c["serial"]: c["state"] for c in listed(net)}
    check(states[serial] == "revoked", f"it is {states[serial]}")


@test
def numbers_rise_over_a_restored_store(net):
    folder = net.path("den")
    number = int(re.search(r"CRL Number: *\n? *(\S+)", list_text(net)).group(1), 0)
    with open(os.path.join(folder, "crl.number"), encoding="ascii") as f:
        kept = int(f.read().split()[0])
    check(kept == number, f"kept beside the store is {kept}, the list says {number}")


@test
def the_inventory_is_searched(net):
    everything = listed(net)
    ids = {c["id"] for c in everything}
    check({"router", "ocsp", net.ids["alice"], net.ids["bob"]} <= ids, f"the inventory has {ids}")
    check({c["state"] for c in listed(net, "--state", "revoked")} == {"revoked"}, "--state")
    check(all(c["id"] == "router" for c in listed(net, "--id", "router")), "--id")
    soon, later = listed(net, "--expires-before", "1h"), listed(net, "--expires-before", "60d")
    check(soon == [] and len(later) >= 2, f"--expires-before: {len(soon)}, {len(later)}")
    one = listed(net, "--serial", everything[0]["serial"])
    check(one == everything[:1], "--serial")
    colons = ":".join(re.findall("..", everything[0]["serial"].upper()))
    check_in("BEGIN CERTIFICATE", den(net, "cert", "show", colons).stdout)
    check_in("no certificate has the serial number 11", den(net, "cert", "show", "11", wanted=1).stderr)
    check_in("--expires-before: expected a duration", den(net, "cert", "list", "--expires-before", "soon", wanted=2).stderr)
    lines = den(net, "cert", "list").stdout.splitlines()
    check(len(lines) == len(everything), "the table has another length")


def roll_over(net, step):
    net.with_passphrase([net.program("warren-den"), "rollover", step, "--config", net.path("den/den.conf"), "--anyway"])
    until(f"the network at {step}", lambda: (lambda s: s["den"] == s["router"] == s["manifest"])
          (json.loads(den(net, "rollover", "status", "--json").stdout)))


@test
def an_earlier_intermediate_is_answered_for_until_it_is_retired(net):
    net.join("carol")
    serial = listed(net, "--id", net.ids["carol"])[0]["serial"]
    pem_of(net, serial, "carol.pem")
    for step in ("stage", "switch"):
        roll_over(net, step)
    fetch(net, "/ca", "new.der")
    openssl(net, "x509", "-inform", "DER", "-in", "new.der", "-out", "new.pem")
    with open(net.path("ca.pem"), "rb") as old, open(net.path("new.pem"), "rb") as new:
        check(old.read() != new.read(), "/ca is the intermediate in use")
    check_in("carol.pem: good", ocsp(net, "carol.pem"))
    done = run(["ocsptool", f"--ask={URL}/ocsp", "--nonce", f"--load-issuer={net.path('ca.pem')}",
                f"--load-cert={net.path('carol.pem')}", f"--load-trust={net.path('ca.pem')}"])
    check(re.search(r"Certificate Status: good", done.stdout) and re.search(r"Verifying OCSP Response: Success", done.stdout), done.stdout)
    check_in("bob.pem: revoked", ocsp(net, "bob.pem"))
    done = openssl(net, "ocsp", "-issuer", "new.pem", "-serial", "0x0102", "-url", URL + "/ocsp", "-CAfile", "root.pem")
    check_in("Response verify OK", done.stderr)
    check_in("0x0102: unknown", done.stdout)
    downloaded(net, "carol.pem", "ca.pem")
    check_in("certificate revoked", downloaded(net, "bob.pem", "ca.pem", wanted=2))
    net.join("dave")
    pem_of(net, listed(net, "--id", net.ids["dave"])[0]["serial"], "dave.pem")
    downloaded(net, "dave.pem", "new.pem")
    den(net, "cert", "revoke", serial)
    until("both lists have it", lambda: "certificate revoked" in downloaded(net, "carol.pem", "ca.pem", wanted=None))
    check(serial_in(list_text(net, "new.pem"), serial), "the list of the intermediate in use has not")
    roll_over(net, "retire")
    until("the retired one's list is gone", lambda: "unable to get certificate CRL" in downloaded(net, "carol.pem", "ca.pem", wanted=2))
    downloaded(net, "dave.pem", "new.pem")
    done = openssl(net, "ocsp", "-issuer", "ca.pem", "-cert", "carol.pem", "-url", URL + "/ocsp", "-CAfile", "root.pem", wanted=None)
    check_in("unauthorized (6)", done.stdout + done.stderr)


def configure(net):
    net.init()
    with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
        f.write(f"http = 127.0.0.1:{HTTP}\nocsp_url = {URL}/ocsp\nca_url = {URL}/ca\ncrl_url = {URL}/crl\n")
    net.start_router()
    net.start_den()


if __name__ == "__main__":
    main(make=configure)
