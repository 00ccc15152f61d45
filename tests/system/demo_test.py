#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo runs, and what it says of itself is true: every certificate and signature is checked again with OpenSSL alone."""
import json
import os
import subprocess
import tempfile

import tap
from network import ROOT, Failed, run

FACTS = {}


def in_file(folder, name, content):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(content)
    return path


def pem_of(der_hex):
    return subprocess.run(["openssl", "x509", "-inform", "DER"], input=bytes.fromhex(der_hex), capture_output=True, check=True).stdout


def fields(statement_hex, word):
    """The fields of a signed statement, strictly."""
    data = bytes.fromhex(statement_hex)
    head = b"warren/1 " + word.encode() + b"\0"
    tap.check(data.startswith(head), f"not a {word}")
    at, n, out = len(head) + 1, data[len(head)], []
    for _ in range(n):
        size = int.from_bytes(data[at:at + 4], "big")
        out.append(data[at + 4:at + 4 + size])
        at += 4 + size
    tap.check(at == len(data), f"{word}: bytes left over")
    return out


@tap.test
def the_demo_ends_well(net):
    path = net.path("facts.json")
    done = subprocess.run(["/usr/bin/env", "python3", os.path.join(ROOT, "scripts/demo.py"), "--build", tap.build_dir(), "--json", path],
                          capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Failed(done.stdout[-6000:] + done.stderr)
    with open(path, encoding="utf-8") as f:
        FACTS.update(json.load(f))
    tap.check(FACTS["ok"] is True, "not ok")
    tap.check(len(FACTS["lines"]) >= 4, "too few lines")
    tap.check([r["case"] for r in FACTS["refusals"]] == ["self_signed", "wrong_id", "denied"], "refusals")


@tap.test
def both_chains_hold_for_openssl(_net):
    with tempfile.TemporaryDirectory() as folder:
        root = in_file(folder, "root.pem", FACTS["root"].encode())
        for peer in FACTS["peers"]:
            chain = in_file(folder, "chain.pem", b"".join(pem_of(der) for der in peer["chain"]))
            leaf = in_file(folder, "leaf.pem", pem_of(peer["certificate"]))
            name = f"{peer['id']}.{FACTS['network']}"
            for purpose in ("sslserver", "sslclient"):
                run(["openssl", "verify", "-x509_strict", "-auth_level", "2", "-purpose", purpose, "-verify_hostname", name,
                     "-CAfile", root, "-untrusted", chain, leaf])
            run(["openssl", "verify", "-x509_strict", "-verify_hostname", "000000." + FACTS["network"], "-CAfile", root,
                 "-untrusted", chain, leaf], wanted=2)


@tap.test
def the_statements_are_signed_by_who_says_them(_net):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("grant", "dial", "accept"):
            s = FACTS[name]
            der = bytes.fromhex("302a300506032b6570032100" + s["public_key"])
            key = in_file(folder, "key.der", der)
            pem = subprocess.run(["openssl", "pkey", "-pubin", "-inform", "DER", "-in", key], capture_output=True, check=True).stdout
            argv = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", in_file(folder, "key.pem", pem), "-rawin", "-in",
                    in_file(folder, "bytes", bytes.fromhex(s["bytes"])), "-sigfile",
                    in_file(folder, "signature", bytes.fromhex(s["signature"]))]
            run(argv)
            in_file(folder, "bytes", bytes.fromhex(s["bytes"]) + b"x")
            run(argv, wanted=1)
        tap.check(FACTS["dial"]["public_key"] == FACTS["peers"][0]["identity_pk"], "the dial is not alice's")
        tap.check(FACTS["accept"]["public_key"] == FACTS["peers"][1]["identity_pk"], "the accept is not bob's")


@tap.test
def the_manifest_is_signed_by_the_root_and_lists_dens_key(_net):
    m = FACTS["manifest"]
    with tempfile.TemporaryDirectory() as folder:
        for signature, signer in zip(m["signatures"], m["signers"], strict=True):
            public = run(["openssl", "x509", "-pubkey", "-noout", "-in", in_file(folder, "s.pem", signer.encode())]).stdout
            run(["openssl", "dgst", "-sha384", "-verify", in_file(folder, "p.pem", public.encode()), "-signature",
                 in_file(folder, "sig", bytes.fromhex(signature)), in_file(folder, "m", bytes.fromhex(m["bytes"]))])
    keys = fields(m["bytes"], "manifest")[6]
    den_sign = [keys[at + 5:at + 37].hex() for at in range(2, len(keys), 53) if keys[at + 4] == 2]
    tap.check(FACTS["grant"]["public_key"] in den_sign, f"the grant's key is not among {den_sign}")


@tap.test
def the_grant_binds_both_ends(_net):
    grant, dial, accept = (fields(FACTS[w]["bytes"], w) for w in ("grant", "dial", "accept"))
    a, b = FACTS["peers"]
    tap.check(grant[1] == dial[1] == accept[1] and len(grant[1]) == 16, "three session numbers")
    tap.check(grant[2].decode() == a["id"] and grant[3].hex() == a["identity_pk"], "caller")
    tap.check(grant[4].decode() == b["id"] and grant[5].hex() == b["identity_pk"], "callee")
    tap.check(FACTS["tls"]["version"] == "TLS1.3" or FACTS["tls"]["version"] == "TLSv1.3", FACTS["tls"]["version"])
    tap.check(FACTS["tls"]["alpn"] == "warren-link/1", FACTS["tls"]["alpn"])
    tap.check(FACTS["tls"]["verified"] == f"{b['id']}.{FACTS['network']}", FACTS["tls"]["verified"])


tap.main(make=False)
