# SPDX-License-Identifier: Apache-2.0
"""Ports that a restricted program may use: network.connect_port (--allow-connect-port) leads to other machines and to
nothing else, open_port_range and listen_port_range hold what they say. The other machine is a network namespace."""
import json
import os
import socket
import subprocess

import pytest

from conftest import BIN
from test_enforce_network import HERE, TRY, Server, attempt, folder, free_port, run, serve  # noqa: F401

PYTHON = "/usr/bin/python3"

# Two machines with a cable between them, each a network namespace: this one gets 10.99.7.1, the other 10.99.7.2. A
# server listens on both, on all addresses. Then argv runs here.
TWO_MACHINES = """
import os, socket, subprocess, sys, threading
def sh(*words): subprocess.run(words, check=True)
def serve(listener):
    while True:
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n")
port = int(sys.argv[1])
def listen():
    listener = socket.create_server(("", port))
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
ready, done = os.pipe(), os.pipe()
other = os.fork()
if other == 0:
    os.close(done[1])
    os.unshare(os.CLONE_NEWNET) if hasattr(os, "unshare") else __import__("ctypes").CDLL(None).unshare(0x40000000)
    listen()
    os.write(ready[1], b"1")
    os.read(done[0], 1)
    os._exit(0)
os.close(done[0])
os.read(ready[0], 1)
status = 77
try:
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "link", "add", "cable0", "type", "veth", "peer", "name", "cable1", "netns", str(other))
    sh("ip", "addr", "add", "10.99.7.1/24", "dev", "cable0")
    sh("ip", "link", "set", "cable0", "up")
    for words in ("addr add 10.99.7.2/24 dev cable1", "link set cable1 up", "link set lo up"):
        sh("nsenter", "-t", str(other), "-n", "ip", *words.split())
    listen()
    status = subprocess.run(sys.argv[2:]).returncode
except (OSError, subprocess.CalledProcessError) as e:
    print(e, file=sys.stderr)
finally:
    os.write(done[1], b"1")
    os.waitpid(other, 0)
os._exit(status)
"""


def alone(*command, **how):
    """In a network of its own."""
    return subprocess.run(["unshare", "-n", *map(os.fspath, command)], capture_output=True, timeout=120, **how)


@pytest.fixture(scope="module")
def has_networks():
    # In a user namespace the plugins would belong to nobody, and none is loaded.
    if os.geteuid() != 0 or alone("true").returncode:
        pytest.skip("a network namespace needs root here")


def test_a_connect_port_leads_to_another_machine_and_not_to_this_one(has_networks, cli, folder):
    port = 8080
    tries = [f"tcp({port}, {host!r})" for host in ("10.99.7.2", "10.99.7.1", "127.0.0.1", "0.0.0.0", "169.254.169.254",
                                                   "10.99.7.255")]
    tries += [f"connect(socket.AF_INET6, ('::ffff:10.99.7.2', {port}))",
              f"connect(socket.AF_INET6, ('::ffff:10.99.7.1', {port}))",
              f"tcp({port + 1}, '10.99.7.2')", f"send(socket.AF_INET, ('10.99.7.2', {port}))",
              "socket.getaddrinfo('other.example', 80)"]
    for options in (["--block-net"], ["--allow-domain", "allowed.example"]):
        done = alone(PYTHON, "-c", TWO_MACHINES, str(port), BIN, "enforce", "run", "-s", "--allow-cwd", *options,
                     "--allow-connect-port", str(port), "--", PYTHON, "-c", TRY, *tries, cwd=folder, env=cli.env)
        if done.returncode == 77:
            pytest.skip(f"no cable between namespaces here: {done.stderr.decode()[-200:]}")
        assert done.returncode == 0, done
        results = json.loads(done.stdout)
        assert results[0] == HERE, results
        assert results[1:6] == ["EACCES"] * 5, results
        assert results[6:9] == [HERE, "EACCES", "EACCES"], results
        assert results[9] in ("EPERM", "EACCES") and results[10] == "no name", results


def test_an_address_without_a_way_is_the_kernels_to_refuse(has_networks, cli, folder):
    done = alone(BIN, "enforce", "run", "-s", "--json", "--allow-cwd", "--block-net", "--allow-connect-port", "22", "--",
                 PYTHON, "-c", TRY, "tcp(22, '192.0.2.1')", "tcp(23, '192.0.2.1')", cwd=folder, env=cli.env)
    assert json.loads(done.stdout) == ["ENETUNREACH", "EACCES"], done


@pytest.mark.parametrize("mode", [["--block-net"], ["--allow-domain", "allowed.example"]])
def test_a_connect_port_is_none_of_this_machine(run, serve, mode):
    server = serve()
    port = server.listener.getsockname()[1]
    done = attempt(run, [*mode, "--allow-connect-port", str(port)], f"tcp({port})", f"tcp({port}, '0.0.0.0')",
                   f"connect(socket.AF_INET6, ('::1', {port}))",
                   f"connect(socket.AF_INET6, ('::ffff:127.0.0.1', {port}))", f"serve(socket.AF_INET, ('', {port}))")
    assert done.results == ["EACCES"] * 5 and server.count == 0
    assert done.denials["connect", f"127.0.0.1:{port}"]["grant"] == f"--open-port {port}"
    opened = attempt(run, [*mode, "--allow-connect-port", str(port), "--open-port", str(port)], f"tcp({port})")
    assert opened.results == [HERE]


def test_what_a_connect_port_opens_is_told(run, cli, folder):
    options = ["--block-net", "--allow-connect-port", "22"]
    shown = cli.ok("--json", "enforce", "run", "--allow-cwd", "--dry-run", *options, "--", "true", cwd=folder).json
    assert any("only addresses of other machines" in row["rule"] for row in shown["enforcement"])
    person = cli("enforce", "run", "--allow-cwd", "--dry-run", *options, "--", "true", cwd=folder)
    assert b"ports of other machines 22" in person.stderr

    def why(host, port, *more):
        return cli.ok("--json", "enforce", "why", "--host", host, "--port", str(port), *options, *more).json
    assert why("192.0.2.1", 22)["status"] == "allowed"
    for host in ("127.0.0.1", "169.254.169.254", "0xa9fea9fe", "localhost"):
        assert why(host, 22)["status"] == "denied", host
    assert why("192.0.2.1", 23)["status"] == "denied"
    assert "by address alone" in why("other.example", 22)["message"]
    inside = run([*options, "--read", os.path.dirname(os.path.dirname(os.path.realpath(BIN)))], BIN, "--json", "enforce",
                 "why", "--self", "--host", "192.0.2.1", "--port", "22")
    assert json.loads(inside.stdout)["status"] == "allowed", inside
    wrapped = cli("enforce", "wrap", "--allow-cwd", *options, "--", "true", cwd=folder)
    assert wrapped.status == 2 and b"use run" in wrapped.stderr
    opened = cli("enforce", "run", "--allow-cwd", "--dry-run", "--allow-connect-port", "22", "--", "true", cwd=folder)
    assert opened.status == 0 and b"close none" in opened.stderr


def test_ranges_of_ports_hold_what_they_say(run, serve, folder):
    server = serve()
    port, mine = server.listener.getsockname()[1], free_port()
    profile = folder / "ranges.json"

    def with_ranges(opened, listening):
        profile.write_text(json.dumps({"meta": {"name": "ranges"}, "network": {
            "block": True, "open_port_range": opened, "listen_port_range": listening}}))
        return attempt(run, ["--profile", profile], f"tcp({port})", f"serve(socket.AF_INET, ('', {mine}))").results
    served = ["0.0.0.0", mine]
    assert with_ranges([[max(port - 1, 1), port]], [[mine, mine]]) == [HERE, served]
    assert with_ranges([[1, 65535]], [[1, 65535]]) == [HERE, served]
    assert with_ranges([[1, port - 1], [min(port + 1, 65535), 65535]], []) == ["EACCES", ["127.0.0.1", mine]]
    assert with_ranges([], [[port, port]]) == ["EACCES"] * 2
    assert server.count == 2
