# SPDX-License-Identifier: Apache-2.0
"""A router by itself, with a realm for everybody and an open door for figures."""
import http.client
import os
import re
import shutil

from network import PATIENCE, free_port

REALM = "app.test"
REALMS = f"[realm {REALM}]\nmethods = anonymous\n"


def write(home, name, text, mode=0o644):
    path = os.path.join(home, name)
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    os.chmod(path, mode)


class Home(str):
    """The folder of a router; `.metrics` is the port of its figures."""


def prepare(net, folder, more="", realms=REALMS):
    """A copy of the network's router folder, with this in its files."""
    home = Home(net.path(folder))
    home.metrics = free_port()
    shutil.copytree(net.path("router"), home)
    conf = os.path.join(home, "router.conf")
    with open(conf, encoding="ascii") as f:
        text = re.sub(r"(?m)^listen = .*$", "listen = 127.0.0.1:0", f.read())
    for key in re.findall(r"(?m)^(\w+) =", more):
        text = re.sub(rf"(?m)^{key} = .*\n", "", text)
    with open(conf, "w", encoding="ascii") as f:
        f.write(text + f"realms = realms.conf\nmetrics = 127.0.0.1:{home.metrics}\n{more}")
    write(home, "realms.conf", realms)
    return home


def start(net, folder, more="", realms=REALMS, **how):
    """A router of its own in a copy of the network's, with this in its files; `.port`, `.metrics` of the process."""
    home = prepare(net, folder, more, realms)
    process = net.start("warren-router", [net.program("warren-router"), "--config", os.path.join(home, "router.conf")], **how)
    line = process.wait_line(process.err, r"listening[\" ]")
    process.port, process.metrics, process.home = int(re.search(r"port\W+(\d+)", line).group(1)), home.metrics, home
    process.wait_line(process.err, r"listening_metrics")
    return process


def get(router, path, method="GET", body=None):
    """(status, headers, body)"""
    conn = http.client.HTTPConnection("127.0.0.1", router.metrics, timeout=PATIENCE)
    conn.request(method, path, body)
    answer = conn.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    conn.close()
    return found


def figure(router, series):
    """The value of one series, or None."""
    for line in get(router, "/metrics")[2].splitlines():
        if line.startswith(series + " "):
            return float(line.rsplit(" ", 1)[1])
    return None
