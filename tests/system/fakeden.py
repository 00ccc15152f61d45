# SPDX-License-Identifier: Apache-2.0
"""A den that somebody took over, as its signer meets it: what it can send, byte by byte."""
import os
import secrets
import socket
import struct
import time

from nacl.signing import SigningKey

HELLO, STATEMENTS, CLAIM, MOVE, RE_ENROL, APPLY, ISSUE, LIST, LIST_PART, LIST_SIGN, OCSP_KEY, OCSP = range(1, 13)
WORDS = {"manifest": 0, "admission": 4, "grant": 7, "heartbeat": 9, "time": 10, "revoke": 11, "name": 13, "rekey": 14}


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


class HungUp(Exception):
    pass


def item(data):
    return struct.pack(">I", len(data)) + data


def items(*all_of_them):
    return b"".join(map(item, all_of_them))


def u64(n):
    return struct.pack(">Q", n)


def now():
    return int(time.time() * 1000)


def statement(word, *fields):
    return b"warren/1 " + word.encode() + b"\0" + bytes([len(fields)]) + items(*fields)


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, n):
        out, self.data = self.data[:n], self.data[n:]
        if len(out) < n:
            raise HungUp("a short answer")
        return out

    def bytes(self):
        return self.take(struct.unpack(">I", self.take(4))[0])

    def yes(self):
        if self.take(1) == b"\0":
            return self
        code = self.bytes().decode()
        raise Refused(code, self.bytes().decode())


class FakeDen:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        hello = self.ask(HELLO, b"\x04")
        self.sign_pk, self.cert, self.netid, self.report = (hello.bytes() for _ in range(4))
        self.hb_no, self.crl_no, self.crl_at, self.n_revoked = struct.unpack(">QQQQ", hello.take(32))

    def close(self):
        self.socket.close()

    def raw(self, data):
        """Sends bytes as they are; what comes back until the signer hangs up or 5 s passed."""
        self.socket.sendall(data)
        self.socket.settimeout(5)
        try:
            return self.socket.recv(65536)
        except (socket.timeout, ConnectionResetError):
            return b""

    def exactly(self, n):
        out = b""
        while len(out) < n:
            more = self.socket.recv(n - len(out))
            if not more:
                raise HungUp("the signer hung up")
            out += more
        return out

    def ask(self, kind, content):
        frame = bytes([kind]) + content
        try:
            self.socket.sendall(item(frame))
            return Reader(self.exactly(struct.unpack(">I", self.exactly(4))[0])).yes()
        except (BrokenPipeError, ConnectionResetError) as e:
            raise HungUp(str(e)) from e

    def sign(self, word, *fields):
        """den-sign's signature under one statement."""
        return self.ask(STATEMENTS, b"\0\x01" + bytes([WORDS[word]]) + item(statement(word, *fields))).yes().bytes()

    def claim(self, peer_id, pk):
        return self.ask(CLAIM, items(peer_id.encode(), pk)).take(1)[0]

    def heartbeat(self, beacon, crl=(0, bytes(32)), manifest_no=1, policy_no=1, audit_no=1, hb_no=None):
        self.hb_no = hb_no if hb_no is not None else self.hb_no + 1
        return self.sign("heartbeat", self.netid, u64(self.hb_no), u64(now()), u64(30000), u64(600000), beacon, u64(crl[0]), crl[1], u64(0),
                         bytes(32), u64(manifest_no), u64(policy_no), u64(audit_no), bytes([7]) * 32)

    def admission(self, peer_id, pk, network):
        return self.sign("admission", self.netid, network, peer_id.encode(), pk, b"peer", u64(1), u64(now()), u64(now() + 86400000), b"")

    def certificate(self, peer_id, csr, identity, beacon, claimed=None, sig=None):
        """A certificate on a peer's request; `identity` signs it, `claimed` is whose key den says that it is."""
        body = b"\x81\xa3csr" + b"\xc5" + struct.pack(">H", len(csr)) + csr
        request = statement("request", self.netid, self.sign_pk, peer_id.encode(), b"den.ca.sign", beacon, secrets.token_bytes(16), sha256(body))
        sig = identity.sign(request).signature if sig is None else sig
        pk = bytes((claimed or identity).verify_key)
        self.serial = self.apply(b"\0" + items(peer_id.encode(), b"", body, request, sig, pk))
        return self.certify(self.serial)

    def apply(self, application):
        return self.ask(APPLY, b"\0\x01" + application).yes().bytes()

    def certify(self, serial):
        return self.ask(ISSUE, items(b"", b"", b"") + b"\0\x01" + item(serial) + u64(now()) + u64(86400000)).yes().bytes()

    def router_certificate(self, csr):
        return self.certify(self.apply(b"\x01" + items(b"router", csr, b"", b"", b"", b"")))

    def revocation_list(self, number, at):
        self.ask(LIST, u64(number) + u64(at) + u64(at + 86400000) + u64(0))
        signed = self.ask(LIST_SIGN, b"")
        return signed.bytes() + signed.bytes()

    def rekey(self, peer_id, old, new, token):
        """A re-enrolment without anybody's order: the token is den's own."""
        k = statement("rekey", self.netid, peer_id.encode(), bytes(old.verify_key), bytes(new.verify_key), u64(1), u64(now()), b"operator")
        e = statement("enrol", self.netid, self.network, bytes(new.verify_key), self.beacon, secrets.token_bytes(16), bytes(token.verify_key), b"h")
        return self.ask(RE_ENROL, items(k, e, new.sign(e).signature, token.sign(e).signature)).bytes()


def sha256(data):
    import hashlib
    return hashlib.sha256(data).digest()


def refused(code, act, *words):
    """None when it was refused with that code; else what happened."""
    try:
        act(*words)
    except Refused as e:
        return None if e.code == code else f"refused otherwise: {e}"
    except HungUp as e:
        return f"it hung up: {e}"
    return "it was done"


def attacks(den, csr, network):
    """What a den that was taken over tries on a known ID. Yields (what, None or what went wrong)."""
    alice, mallory, token = SigningKey.generate(), SigningKey.generate(), SigningKey.generate()
    peer_id = "4" + str(secrets.randbelow(10**8)).zfill(8)
    den.network, den.beacon = network, os.urandom(16)
    number, at = max(den.crl_no, int(time.time())) + 1, max(den.crl_at, now())
    crl = (number, sha256(den.revocation_list(number, at)))
    high = {"crl": crl, "manifest_no": 1000, "policy_no": 1000, "audit_no": 10**6}
    den.heartbeat(den.beacon, **high)
    den.admission(peer_id, bytes(alice.verify_key), network)
    den.certificate(peer_id, csr, alice, den.beacon)  # what is right is done
    evil = bytes(mallory.verify_key)
    yield "admission of another key for a known ID", refused("wrong_key", den.admission, peer_id, evil, network)
    yield "certificate for a known ID, by another key", refused("wrong_key", den.certificate, peer_id, csr, mallory, den.beacon)
    yield "certificate without the peer's signature", refused("bad_signature", lambda: den.certificate(peer_id, csr, alice, den.beacon, sig=bytes(64)))
    yield "certificate with another one's signature", refused(
        "bad_signature", lambda: den.certificate(peer_id, csr, mallory, den.beacon, claimed=alice))
    yield "certificate on an old request", refused("stale", den.certificate, peer_id, csr, alice, os.urandom(16))
    yield "certificate with a serial number of its own", refused("busy", den.certify, b"\x01" + secrets.token_bytes(16))
    yield "a second certificate with one serial number", refused("busy", den.certify, den.serial)
    yield "certificate of the router for a key of its own", refused("not_authorized", den.router_certificate, csr)
    yield "claim of a known ID", None if den.claim(peer_id, evil) == 1 else "it was done"
    yield "name statement with another key", refused("wrong_key", den.sign, "name", den.netid, b"alice", peer_id.encode(), evil, u64(1), u64(now() + 3600000))
    yield "new key on its own token", refused("not_authorized", den.rekey, peer_id, alice, mallory, token)
    yield "a manifest", refused("not_authorized", den.sign, "manifest", b"")
    yield "a rekey statement", refused("not_authorized", den.sign, "rekey", b"")
    yield "a heartbeat number that fell", refused("stale", lambda: den.heartbeat(os.urandom(16), hb_no=den.hb_no - 1, **high))
    den.hb_no += 1
    yield "a manifest number that fell", refused("stale", lambda: den.heartbeat(os.urandom(16), **{**high, "manifest_no": 999}))
    yield "a heartbeat about another list", refused("bad_statement", lambda: den.heartbeat(os.urandom(16), **{**high, "crl": (number, bytes(32))}))
    yield "a time of tomorrow", refused("expired", den.sign, "time", den.netid, bytes(16), u64(now() + 86400000))
    yield "a list number that fell", refused("stale", den.revocation_list, number, at)
    yield "a revocation out of its order", refused("bad_statement", den.sign, "revoke", den.netid, u64(den.n_revoked + 9), bytes(32), b"\x03",
                                                   peer_id.encode(), evil, b"\0", u64(now()))
