#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keys of root and intermediate in a PKCS#11 token: SoftHSM. `pkcs11_test.py` without its packages skips everything."""
import glob
import os
import pwd
import re
import shutil
import signal
import time
import urllib.error
import urllib.request

import tap
from answers import on_terminal, pipes
from network import PATIENCE, Failed, free_port, run, signer_of

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN, SO_PIN = "246813579864", "975312468975"  # also a passphrase, of twelve
TOOLS = ("softhsm2-util", "pkcs11-tool")
IS_THERE = os.path.exists(MODULE) and all(shutil.which(tool) for tool in TOOLS)


def config(net):
    return net.path("den/den.conf")


def uri(name, token="warren", module=MODULE):
    return f"pkcs11:token={token}" + (f";object={name}" if name else "") + f"?module-path={module}"


def new_token(label):
    run(["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", PIN])


def tool(*words, token="warren", pin=PIN, wanted=0):
    return run(["pkcs11-tool", "--module", MODULE, "--token-label", token, "--login", "--pin", pin, *words], wanted=wanted)


def with_pins(argv, *options, pin=PIN, wanted=0):
    fds = pipes(*[pin] * len(options))
    for option, fd in zip(options, fds):
        argv = [*argv, option, str(fd)]
    done = run(argv, wanted=wanted, pass_fds=fds, start_new_session=True)
    for fd in fds:
        os.close(fd)
    return done


def init(net, folder, *words, wanted=0, pin=PIN, options=("--root-passphrase-fd",)):
    return with_pins([net.program("warren-den"), "init", net.path(folder), "--network", net.name, "--router-request",
                      net.path("router/router.request"), *words], *options, wanted=wanted, pin=pin)


def start_den(net, pin=PIN, online=True, prefix=()):
    fd, = pipes(pin)
    den = net.start("warren-den", [*prefix, net.program("warren-den"), "run", "--config", config(net), "--pin-fd", str(fd)], pass_fds=[fd],
                    start_new_session=True)
    os.close(fd)
    if online:
        net.den = den
        den.wait_line(den.err, r"event=online")
    return den


def token_folders(net):
    return f"{net.path('tokens')} {net.path('softhsm2.conf')}"


def make(net):
    if not IS_THERE:
        return
    os.mkdir(net.path("tokens"))
    with open(net.path("softhsm2.conf"), "w", encoding="ascii") as f:
        f.write(f"directories.tokendir = {net.path('tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = net.path("softhsm2.conf")
    new_token("warren")
    run([net.program("warren-router"), "init", net.path("router"), "--host", f"{net.host}:{net.port}"])
    net.root_passphrase = PIN
    net.founded = init(net, "den", "--root-key", uri("root"), "--intermediate-key", uri("intermediate"), "--token-paths",
                       token_folders(net)).stdout
    run([net.program("warren-router"), "accept", net.path("router"), net.path("den/router.answer")])
    with open(net.path("router/router.conf"), "a", encoding="ascii") as f:
        f.write("unlimited_networks = 127.0.0.0/8 ::1\n")
    net.http = free_port()
    with open(config(net), "a", encoding="ascii") as f:
        f.write(f"http = 127.0.0.1:{net.http}\n")
    net.start_router()
    start_den(net)


def test(function):
    def checked(net):
        if not IS_THERE:
            raise tap.Skip("softhsm2 and opensc are not there")
        function(net)
    checked.__name__ = function.__name__
    return tap.test(checked)


def read(path):
    with open(path, "rb") as f:
        return f.read()


@test
def both_keys_are_made_in_the_token_and_stay_there(net):
    tap.check(net.founded.count("made in its token") == 2, net.founded)
    for name in ("root", "intermediate"):
        text = read(net.path(f"den/{name}.key"))
        tap.check(b"pkcs11:token=warren" in text and b"PRIVATE" not in text, text)
        listed = tool("--list-objects", "--type", "privkey", "--label", name).stdout
        tap.check_in("sensitive, always sensitive, never extractable", listed)
    run(["openssl", "verify", "-x509_strict", "-CAfile", net.path("den/root.pem"), net.path("den/intermediate.pem")])
    for option in ("intermediate_key = pkcs11:token=warren", "token_paths = " + net.path("tokens")):
        tap.check_in(option, read(config(net)).decode())


@test
def peers_join_and_link_with_what_the_token_signs(net):
    net.allow("allow from * to * can chat back chat")
    net.join("alice")
    net.join("bob")
    bob = net.wait_chat("bob", "--accept")
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "linked with")
    alice.write("signed by a token\n")
    bob.wait_line(bob.out, "signed by a token")
    alice.stop()
    chain = net.path("chain.pem")
    run([*net.warren("alice", "identity", "export"), "--out", chain], wanted=None)
    listed = run([net.program("warren-den"), "cert", "list", "--json", "--config", config(net)]).stdout
    tap.check_in(net.ids["alice"], listed)


@test
def openssls_engine_signs_with_the_same_key(net):
    """Debian's libengine-pkcs11-openssl finds the key by what the file says, and it is the certificate's."""
    if not glob.glob("/usr/lib/*/engines-3/pkcs11.so"):
        raise tap.Skip("no libengine-pkcs11-openssl")
    at = re.search(r"key = (\S+)\?", read(net.path("den/intermediate.key")).decode()).group(1)
    with open(net.path("engine.cnf"), "w", encoding="ascii") as f:
        f.write(f"openssl_conf = o\n[o]\nengines = e\n[e]\npkcs11 = p\n[p]\nengine_id = pkcs11\nMODULE_PATH = {MODULE}\ninit = 0\n")
    run(["openssl", "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sha256", "-sign", f"{at};type=private;pin-value={PIN}", "-out",
         net.path("sig"), config(net)], env={**os.environ, "OPENSSL_CONF": net.path("engine.cnf")})
    with open(net.path("pub.pem"), "w", encoding="ascii") as f:
        f.write(run(["openssl", "x509", "-in", net.path("den/intermediate.pem"), "-noout", "-pubkey"]).stdout)
    run(["openssl", "dgst", "-sha256", "-verify", net.path("pub.pem"), "-signature", net.path("sig"), config(net)])


@test
def the_signer_is_locked_in_with_the_token_alone(net):
    line = net.den.wait_line(net.den.err, r"event=signer\.sandbox")
    tap.check_in(f'token_paths="{token_folders(net)}"', line)
    tap.check_in("seccomp=on", line)
    tap.check("threads_without_landlock" not in line, line)


@test
def the_pin_is_nowhere(net):
    pids = [net.den.process.pid, signer_of(net.den.process.pid)]
    for pid in pids:
        for name in ("cmdline", "environ"):
            tap.check(PIN.encode() not in read(f"/proc/{pid}/{name}"), f"{name} of {pid}")
    for path in glob.glob(net.path("den/*")):
        tap.check(not os.path.isfile(path) or PIN.encode() not in read(path), path)
    tap.check(PIN not in "\n".join(net.den.err), "the log")


def wait_for(what, test_it):
    until = time.monotonic() + PATIENCE
    while not test_it():
        if time.monotonic() > until:
            raise Failed(what)
        time.sleep(0.1)


def health(net):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{net.http}/health", timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


@test
def a_token_that_goes_away_stops_signing_and_comes_back(net):
    seen, pids = len(net.den.err), (net.den.process.pid, signer_of(net.den.process.pid))
    os.rename(net.path("tokens"), net.path("tokens.away"))
    carol = net.start("carol", net.warren("carol", "join"))
    carol.write(net.token() + "\n")
    carol.end_input()
    lost = net.den.wait_line(net.den.err, r"event=signer\.token\.lost", seen)
    tap.check_in("token=warren again=yes", lost)
    net.den.wait_line(net.den.err, r"event=signer\.refused what=certificate code=busy", seen)
    tap.check_in('token "warren" is away; trying again', carol.wait_line(carol.err, "is away"))
    said = health(net)
    tap.check(said[0] == 503 and "no certificate can be signed" in said[1] and "is away" in said[1], said)
    os.rename(net.path("tokens.away"), net.path("tokens"))
    net.den.wait_line(net.den.err, r"event=signer\.token\.back token=warren", seen)
    tap.check(carol.wait() == 0, "\n".join(carol.err))
    tap.check(pids == (net.den.process.pid, signer_of(net.den.process.pid)), "it was another process")
    net.join("dave")
    tap.check(health(net)[0] == 200, health(net))


def pin_is_low(label="warren"):
    slots = run(["pkcs11-tool", "--module", MODULE, "--list-token-slots"]).stdout
    part = slots.split(f"token label        : {label}")[1].split("token flags")[1].splitlines()[0]
    return "user PIN count low" in part


@test
def a_wrong_pin_is_tried_once(net):
    net.den.stop()
    den = start_den(net, pin="000000", online=False)
    tap.check(den.wait() == 1, "den ran")
    said = "\n".join(den.err)
    tap.check_in('token "warren": the PIN is wrong (CKR_PIN_INCORRECT); it was tried once', said)
    tap.check_in("start den again, with what opens the keys", said)
    tap.check(pin_is_low(), "the token did not notice")
    den = start_den(net, pin=PIN, online=False)  # also the right one: it does not know
    tap.check(den.wait() == 1, "den ran")
    tap.check_in("nothing was tried", "\n".join(den.err))
    by_hand = re.search(r"pkcs11-tool --module (\S+) --token-label '(\S+)' --login --list-objects", "\n".join(den.err))
    tap.check(by_hand, "how it goes on")
    run(["pkcs11-tool", "--module", by_hand.group(1), "--token-label", by_hand.group(2), "--login", "--list-objects", "--pin", PIN])
    start_den(net)


@test
def the_pin_is_asked_for_or_a_credential(net):
    net.den.stop()
    den = run([net.program("warren-den"), "run", "--config", config(net)], wanted=1, start_new_session=True)
    tap.check_in("no terminal to ask for the PIN of the intermediate's token: give it with --pin-fd N", den.stderr)
    folder = net.path("credentials")
    os.mkdir(folder)
    with open(os.path.join(folder, "warren-den.pin"), "w", encoding="ascii") as f:
        f.write(PIN + "\n")
    den = net.start("warren-den", [net.program("warren-den"), "run", "--config", config(net)], start_new_session=True,
                    env={**os.environ, "CREDENTIALS_DIRECTORY": folder})
    den.wait_line(den.err, r"event=online")
    den.stop()
    status, text = on_terminal([net.program("warren-den"), "init", net.path("typed"), "--network", "typed.example", "--router-request",
                                net.path("router/router.request"), "--root-key", uri("typed")], [(b"PIN of the root's token: ", PIN.encode())])
    tap.check(status == 0 and "made in its token" in text, text)
    tap.check(PIN not in text, "the PIN was shown")
    start_den(net)


@test
def mistakes_are_named(net):
    run(["pkcs11-tool", "--module", MODULE, "--token-label", "warren", "--login", "--pin", PIN, "--keypairgen", "--key-type", "rsa:2048",
         "--label", "rsa"])
    for name in ("two", "two"):
        tool("--keypairgen", "--key-type", "EC:secp384r1", "--label", name)
    tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "small", "--id", "77")
    cases = (
        (uri("root", module="/nowhere/x.so"), "/nowhere/x.so: there is no such module"),
        (uri("root", module="/usr/lib/os-release"), "the module cannot be loaded"),
        (uri("root", token="other"), 'there is no token "other"; ' + MODULE + ' has "warren"'),
        (uri("rsa"), "the key is no EC key; P-384 is needed"),
        (uri("small"), "the key is of another curve; P-384 is needed"),
        (uri("two"), 'token "warren" has more than one private key "two": name one by id='),
        ("pkcs11:token=warren;object=root", "it names no module"),
        (f"pkcs11:object=root?module-path={MODULE}", "it names no token"),
        (uri("root") + "&pin-value=1234", "a URI is no place for a PIN"),
        (uri("root").replace("object", "objekt"), "objekt: expected token, serial"),
        (f"pkcs11:token=warren;id=%99?module-path={MODULE}", "add ;object=NAME"),
        ("/some/file", "expected pkcs11:token=NAME"),
    )
    for text, why in cases:
        done = init(net, "wrong", "--root-key", text, wanted=1)
        tap.check_in(why, done.stderr)
        tap.check(not os.path.exists(net.path("wrong")), "it was made")
    done = init(net, "wrong", "--root-key", uri("never"), wanted=1, pin="00000000")
    tap.check_in("CKR_PIN_INCORRECT", done.stderr)
    tool("--list-objects")  # with the right PIN: it forgets
    shutil.copy(MODULE, net.path("module.so"))
    os.chmod(net.path("module.so"), 0o666)
    tap.check_in("somebody else could put another module there", init(net, "wrong", "--root-key", uri("x", module=net.path("module.so")),
                                                                      wanted=1).stderr)


def rollover(net, step, *words, options=(), wanted=0):
    return with_pins([net.program("warren-den"), "rollover", step, "--config", config(net), *words], "--root-passphrase-fd", *options,
                     wanted=wanted)


def restart(net):
    """Its new key is in the token, too, and the PIN is nobody's to keep."""
    net.den.stop()
    start_den(net)


def until_the_router_has_all(net):
    """Den brings it what is new as soon as both run."""
    until = time.monotonic() + PATIENCE
    while True:
        status = run([net.program("warren-den"), "rollover", "status", "--config", config(net)]).stdout
        if all(has == newest for has, newest in re.findall(r"^router.*has manifest (\d+) of (\d+)", status, re.M)):
            return
        tap.check(time.monotonic() < until, "the router does not take the manifest: " + status)
        time.sleep(0.1)


@test
def a_new_intermediate_is_made_in_the_token(net):
    before = run(["openssl", "x509", "-in", net.path("den/intermediate.pem"), "-noout", "-serial"]).stdout
    rollover(net, "stage", options=("--pin-fd",))
    text = read(net.path("den/intermediate.2.key")).decode()
    tap.check_in("object=intermediate%202;id=", text)
    tap.check_in("never extractable", tool("--list-objects", "--type", "privkey", "--label", "intermediate 2").stdout)
    run(["openssl", "verify", "-x509_strict", "-CAfile", net.path("den/root.pem"), net.path("den/intermediate.2.pem")])
    restart(net)
    until_the_router_has_all(net)
    tap.check_in("start it again with the PIN", rollover(net, "switch").stdout)
    status = run([net.program("warren-den"), "rollover", "status", "--config", config(net)]).stdout
    tap.check_in("waits for a restart, as the intermediate's key is in a token", status)
    tap.check(re.search(r"key +in token +intermediate\.2\.key: pkcs11:token=warren", status), status)
    restart(net)
    net.join("erin")
    rollover(net, "retire", "--anyway")
    seen = len(net.den.err)
    net.den.wait_line(net.den.err, r"event=key\.in_token file=\S*intermediate\.key\.retired .*pkcs11:token=warren")
    tap.check(not os.path.exists(net.path("den/intermediate.key")), "the retired one is still in use")
    tap.check(os.path.exists(net.path("den/intermediate.key.retired")), "where the key is, is lost")
    tap.check(before and seen, "")
    net.join("frank")


@test
def a_new_root_is_made_in_another_token(net):
    new_token("second")
    done = rollover(net, "stage", "--what", "root", "--new-root-key", uri("root 2", token="second").replace(" ", "%20"),
                    options=("--new-root-passphrase-fd", "--pin-fd"))
    tap.check_in("stage root", done.stdout)
    tap.check_in("never extractable", tool("--list-objects", "--type", "privkey", "--label", "root 2", token="second").stdout)
    place, = glob.glob(net.path("den/root.*.key"))
    tap.check_in("token=second;object=root%202", read(place).decode())
    rollover(net, "back")
    restart(net)
    net.join("grace")


@test
def a_root_elsewhere_signs_a_request(net):
    request, answer = net.path("request"), net.path("answer")
    run([net.program("warren-den"), "rollover", "renew", "--config", config(net), "--request", request])
    words = [net.program("warren-den"), "root", "sign", request, "--root-key", uri("root"), "-o", answer, "--yes"]
    tap.check_in("--record FILE is missing", with_pins(words, "--root-passphrase-fd", wanted=2).stderr)
    with_pins([*words, "--record", net.path("record")], "--root-passphrase-fd")
    run([net.program("warren-den"), "rollover", "renew", "--config", config(net), "--response", answer])
    done = with_pins([*words[:3], request, "--root-key", uri("small"), "-o", answer + "2", "--yes", "--again", "--record", net.path("record")],
                     "--root-passphrase-fd", wanted=1)
    tap.check_in("P-384 is needed", done.stderr)


@test
def two_tokens_on_two_machines_found_a_network(net):
    """The root's is on another one from the first day; here there is never a key but den's three."""
    new_token("away")
    folder, request, answer = net.path("two"), net.path("two.req"), net.path("two.resp")
    asked = with_pins([net.program("warren-den"), "init", folder, "--network", "two.example", "--router-request",
                       net.path("router/router.request"), "--root-request", request, "--intermediate-key", uri("two-intermediate"),
                       "--token-paths", token_folders(net)], "--pin-fd")
    tap.check_in("It asks for the intermediate's PIN again", asked.stdout)
    tap.check("PRIVATE" not in read(request).decode(), "the request holds a key")
    signed = with_pins([net.program("warren-den"), "root", "sign", request, "--root-key", uri("root", token="away"), "--record",
                        net.path("two.record"), "-o", answer, "--yes"], "--root-passphrase-fd").stdout
    finish = [net.program("warren-den"), "init", folder, "--root-response", answer]
    tap.check_in("give it with --pin-fd N", run(finish, wanted=1, start_new_session=True).stderr)
    tap.check(not os.path.exists(folder), "made without its PIN")
    made = with_pins(finish, "--pin-fd").stdout
    sha = re.search(r"SHA-256 is ([0-9a-f]{64})", signed)[1]
    tap.check_in(sha, made)
    tap.check_in("token=warren;object=two-intermediate", read(os.path.join(folder, "intermediate.key")).decode())
    tap.check("root.key" not in os.listdir(folder), os.listdir(folder))
    run(["openssl", "verify", "-x509_strict", "-CAfile", os.path.join(folder, "root.pem"), os.path.join(folder, "intermediate.pem")])
    for token, label in (("warren", "two-intermediate"), ("away", "root")):
        tap.check_in("never extractable", tool("--list-objects", "--type", "privkey", "--label", label, token=token).stdout)
    pin, = pipes(PIN)
    den = net.start("two", [net.program("warren-den"), "run", "--config", os.path.join(folder, "den.conf"), "--pin-fd", str(pin)],
                    pass_fds=[pin], start_new_session=True)
    os.close(pin)
    den.wait_line(den.err, r"event=started network=two\.example manifest=1")
    den.stop()


@test
def a_backup_has_no_key_and_says_so(net):
    backup = net.path("backup")
    done = run([net.program("warren-den"), "backup", backup, "--config", config(net), "--plain"])
    tap.check(re.search(r"root\.key +in: the key itself is in a token", done.stdout), done.stdout)
    done = run([net.program("warren-den"), "restore", backup, net.path("restored")])
    tap.check(re.search(r"intermediate\.\d+\.key +the key is in a token: .*token=warren", done.stdout), done.stdout)


@test
def a_passphrase_is_for_the_keys_in_files(net):
    net.den.stop()
    done = with_pins([net.program("warren-den"), "passphrase", "--config", config(net)], "--new-passphrase-fd")
    tap.check_in("in a token: its PIN is changed with pkcs11-tool --change-pin", done.stdout)
    fds = pipes(PIN, PIN)
    den = net.start("warren-den", [net.program("warren-den"), "run", "--config", config(net), "--passphrase-fd", str(fds[0]), "--pin-fd",
                                   str(fds[1])], pass_fds=fds)
    den.wait_line(den.err, r"event=online")
    den.stop()
    with_pins([net.program("warren-den"), "passphrase", "--config", config(net), "--remove"], "--passphrase-fd")
    start_den(net)


@test
def a_signer_that_ends_takes_den_along(net):
    os.kill(signer_of(net.den.process.pid), signal.SIGKILL)
    tap.check(net.den.wait() == 1, "den went on")
    tap.check_in("its keys are in a token with a PIN", "\n".join(net.den.err))


@test
def it_has_no_network_with_a_token_either(net):
    folder = net.path("bin")
    os.mkdir(folder)
    shutil.copy(net.program("warren-den"), folder)
    shutil.copy(os.path.join(net.build, "den/warren-den-signer-trial"), os.path.join(folder, "warren-den-signer"))
    fd, = pipes(PIN)
    den = net.start("warren-den", [os.path.join(folder, "warren-den"), "run", "--config", config(net), "--pin-fd", str(fd)], pass_fds=[fd])
    os.close(fd)
    den.wait_line(den.err, r"event=online")
    os.kill(signer_of(den.process.pid), signal.SIGUSR1)
    tap.check_in("SIGSYS", den.wait_line(den.err, r"event=signer\.lost"))
    den.wait()


@test
def root_loads_no_module_of_another_user(net):
    """den.conf is den's user's, and root runs the rollover: the module has to be root's."""
    if os.getuid() != 0:
        raise tap.Skip("not root")
    uid = pwd.getpwnam("nobody").pw_uid
    home, module = net.path("theirs"), net.path("theirs/module.so")
    os.chmod(net.folder, 0o711)
    run(["cp", "-a", net.path("den"), home])
    shutil.copy(MODULE, module)
    with open(os.path.join(home, "den.conf"), encoding="ascii") as f:
        text = f.read().replace(MODULE, module)
    with open(os.path.join(home, "den.conf"), "w", encoding="ascii") as f:
        f.write(text)
    run(["chown", "-R", "nobody", home])
    done = with_pins([net.program("warren-den"), "rollover", "stage", "--config", os.path.join(home, "den.conf")], "--root-passphrase-fd",
                     "--pin-fd", wanted=1)
    tap.check_in("somebody else could put another module there", done.stderr)
    tap.check(os.stat(module).st_uid == uid, "whose module it is")


@test
def the_module_may_run_in_a_process_of_its_own(net):
    client = glob.glob("/usr/lib/*/pkcs11/p11-kit-client.so")
    if not client or not shutil.which("p11-kit"):
        raise tap.Skip("no p11-kit")

    def serve():
        if os.path.exists(net.path("p11")):
            os.unlink(net.path("p11"))
        server = net.start("p11-kit", ["p11-kit", "server", "--foreground", "--name", net.path("p11"), "--provider", MODULE, "pkcs11:token=warren"])
        server.wait_line(server.out, "P11_KIT_SERVER_ADDRESS")
        return server
    server, key = serve(), net.path("den/intermediate.2.key")
    with open(key, encoding="ascii") as f:
        before = f.read()
    with open(key, "w", encoding="ascii") as f:
        f.write(re.sub(r"paths = .*\n", "", before).replace(MODULE, client[0]))
    os.environ["P11_KIT_SERVER_ADDRESS"] = "unix:path=" + net.path("p11")
    start_den(net)
    tap.check_in("token_paths=none", net.den.wait_line(net.den.err, r"event=signer\.sandbox"))
    net.join("ivan")
    net.den.stop()
    server.stop()
    del os.environ["P11_KIT_SERVER_ADDRESS"]
    with open(key, "w", encoding="ascii") as f:
        f.write(before)


@test
def a_signer_of_its_own_has_the_token(net):
    folder = net.path("signer")
    run([net.program("warren-den"), "signer", "split", folder, "--config", config(net), "--socket", net.path("socket")])
    fd, = pipes(PIN)
    signer = net.start("signer", [net.program("warren-den-signer"), "run", "--folder", folder, "--socket", net.path("socket"), "--peer",
                                  str(os.getuid()), "--pin-fd", str(fd)], pass_fds=[fd])
    os.close(fd)
    tap.check_in("token_paths=", signer.wait_line(signer.err, r"event=signer\.sandbox"))
    net.start_den()
    net.join("heidi")


tap.main(make=make)
