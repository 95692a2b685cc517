# SPDX-License-Identifier: Apache-2.0
"""Published ports: held by the guest, so that they outlive the server; and nothing of the host leaks through them."""
import os
import signal
import socket
import threading

import pytest

from conftest import is_alive, wait_until

# Answers each connection with what it has got when the peer has sent all; also tells who listens where.
ECHO = """
import socket, sys, threading
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); print("ready", flush=True)
def serve(c):
    data = b""
    while piece := c.recv(65536): data += piece
    c.sendall(data); c.close()
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


ECHO_V6 = ECHO.replace("socket.socket()", "socket.socket(socket.AF_INET6)").replace(
    's.bind(("127.0.0.1"', 's.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1); s.bind(("::1"')


def echo(nanoterm, ws, port=3000):
    program = nanoterm.start("exec", ws, "--", "python3", "-c", ECHO, str(port))
    assert program.stdout.readline() == b"ready\n"
    return program


def end(program):
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=20)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(port, data=b"hello"):
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        got = b""
        while piece := s.recv(65536):
            got += piece
        return got


def rows(nanoterm, ws, kind):
    return [row for row in nanoterm.ok("--json", "ws", "ports", ws).json if row["kind"] == kind]


def test_a_published_port_outlives_the_server(fresh):
    nanoterm = fresh()
    port = free_port()
    ws = nanoterm.create("-p", f"{port}:3000", "-p", "3001")
    program = echo(nanoterm, ws)
    data = os.urandom(3_000_000)
    assert ask(port, data) == data
    mapped = rows(nanoterm, ws, "mapped")
    assert [(row["port"], row["address"]) for row in mapped] == [(3000, "127.0.0.1"), (3001, "127.0.0.1")]
    assert mapped[0]["host_port"] == port and mapped[0]["url"] == f"http://localhost:{port}" and mapped[1]["host_port"]
    listeners = rows(nanoterm, ws, "listener")
    assert [(row["port"], row["process"]) for row in listeners] == [(3000, "python3")]
    assert listeners[0]["since"].endswith("Z")

    pid = nanoterm.server_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), 20, "the server to end")
    assert ask(port) == b"hello"
    assert rows(nanoterm, ws, "mapped") == mapped  # a new server; the port is still the guest's
    assert ask(port) == b"hello"
    end(program)
    with pytest.raises(ConnectionResetError):  # nothing listens inside any more
        ask(port)


def test_an_open_connection_outlives_the_idle_server(fresh):
    """The server is not in its path: it may leave, and the next one finds the connection as it was."""
    nanoterm = fresh()
    nanoterm.ok("config", "set", "server.idle_ms", "300")
    port = free_port()
    ws = nanoterm.create("--no-internet", "-p", f"{port}:3000")
    job = nanoterm.ok("--json", "exec", ws, "--detach", "--", "python3", "-c", ECHO, "3000").json
    wait_until(lambda: rows(nanoterm, ws, "listener"), 60, "the program to listen")
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        s.sendall(b"first ")
        pid = nanoterm.server_pid()
        wait_until(lambda: not pid or not is_alive(pid), 60, "the idle server to leave")
        s.sendall(b"second ")
        assert nanoterm.ok("--json", "job", "list", ws).json[0]["id"] == job["id"]  # a new server
        s.sendall(b"third")
        s.shutdown(socket.SHUT_WR)
        got = b""
        while piece := s.recv(65536):
            got += piece
    assert got == b"first second third"


def low_port():
    """A port below 1024 that nobody has; 0 for a user who may not have one."""
    for port in range(1023, 512, -1):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except PermissionError:
                return 0
            except OSError:
                continue
    raise AssertionError("no port below 1024 is free")


def test_a_low_port_is_for_who_may_have_it(fresh):
    """Also where the part of root's server that talks to clients has given its privilege up."""
    nanoterm = fresh()
    port = low_port()
    if not port:
        done = nanoterm("--json", "ws", "create", "--no-internet", "-p", "1023:3000")
        assert done.status == 5 and done.error["code"] == "forbidden" and "1024" in done.error["hint"], done
        assert nanoterm.ok("--json", "ws", "list").json == []
        return
    ws = nanoterm.create("--no-internet", "-p", f"{port}:3000")
    program = echo(nanoterm, ws)
    assert ask(port) == b"hello"
    done = nanoterm("--json", "ws", "create", "--no-internet", "-p", f"{port}:3000")
    assert done.status == 7 and done.error["code"] == "port_taken", done
    pid = nanoterm.server_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), 20, "the server to end")
    assert ask(port) == b"hello"
    end(program)
    nanoterm.ok("ws", "stop", ws)
    with pytest.raises(ConnectionRefusedError):
        ask(port)
    nanoterm.ok("ws", "start", ws)  # a new server makes the socket again
    row = rows(nanoterm, ws, "mapped")[0]
    assert (row["host_port"], row["address"], row["notice"]) == (port, "127.0.0.1", None)
    program = echo(nanoterm, ws)
    assert ask(port) == b"hello"
    end(program)


def test_stop_and_start_publish_again(fresh):
    nanoterm = fresh()
    port = free_port()
    ws = nanoterm.create("-p", f"{port}:3000")
    nanoterm.ok("ws", "stop", ws)
    with pytest.raises(ConnectionRefusedError):
        ask(port)
    nanoterm.ok("ws", "start", ws)
    program = echo(nanoterm, ws)
    assert ask(port) == b"hello"
    end(program)
    nanoterm.ok("ws", "stop", ws)
    with socket.socket() as other:  # somebody else has it by now
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        nanoterm.ok("ws", "start", ws)
        row = rows(nanoterm, ws, "mapped")[0]
        assert row["host_port"] == port and "in use" in row["notice"]
    nanoterm.ok("ws", "stop", ws)
    nanoterm.ok("ws", "start", ws)
    assert rows(nanoterm, ws, "mapped")[0]["notice"] is None
    nanoterm.ok("ws", "rm", ws)
    with pytest.raises(ConnectionRefusedError):
        ask(port)


def test_a_port_that_is_taken_makes_nothing(cli):
    before = cli.ok("--json", "ws", "list").json
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = cli("--json", "ws", "create", "-n", "taken", "-p", f"{port}:80")
    assert done.status == 7 and done.error["kind"] == "api" and str(port) in done.error["message"]
    assert done.error["hint"]
    assert cli.ok("--json", "ws", "list").json == before
    cli.create("-n", "taken", "-p", f"{port}:80")  # the name is free, and so is the port now


@pytest.mark.parametrize("mapping", ["0", "70000", "a:b", "1:2:3:4", "host:1:2", "3128", ""])
def test_a_mapping_that_is_none(cli, mapping):
    assert cli("--json", "ws", "create", "-p", mapping).status == 2


def test_publish_later_and_take_away(cli, ws):
    program = echo(cli, ws, 4000)
    row = cli.ok("--json", "ws", "publish", ws, "4000").json
    assert row["port"] == 4000 and ask(row["host_port"]) == b"hello"
    with socket.create_connection(("127.0.0.1", row["host_port"]), 10) as held:
        held.sendall(b"x")
        cli.ok("ws", "unpublish", ws, str(row["host_port"]))
        with pytest.raises(ConnectionResetError):  # what is no longer published is no longer reached
            held.recv(1)
    with pytest.raises(ConnectionRefusedError):
        ask(row["host_port"])
    assert rows(cli, ws, "mapped") == []
    end(program)


def test_many_that_ask_for_a_host_at_once_get_the_same(cli, ws):
    program = echo(cli, ws, 4100)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(cli.api("POST", f"/v1/sandboxes/{ws}/host", {"port": 4100})))
               for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [mapped] = rows(cli, ws, "mapped")
    assert [status for status, _ in answers] == [200] * 16
    assert {answer["url"] for _, answer in answers} == {f"http://127.0.0.1:{mapped['host_port']}"}
    assert ask(mapped["host_port"]) == b"hello"
    cli.ok("ws", "unpublish", ws, str(mapped["host_port"]))
    end(program)


def test_a_program_that_listens_on_ipv6_only(cli, ws):
    program = cli.start("exec", ws, "--", "python3", "-c", ECHO_V6, "4200")
    assert program.stdout.readline() == b"ready\n"
    row = cli.ok("--json", "ws", "publish", ws, "4200").json
    assert ask(row["host_port"]) == b"hello"
    local = free_port()
    proxy = cli.start("--json", "proxy", ws, "4200", "--port", str(local))
    assert b'"url"' in proxy.stdout.readline()
    assert ask(local) == b"hello"
    end(proxy)
    cli.ok("ws", "unpublish", ws, str(row["host_port"]))
    end(program)


ATTACK = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
own = os.readlink("/proc/self/ns/net")
got = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if int(pid) == 1: got.append(("listed", pid, fd))
    except OSError: pass
fd = libc.syscall(434, 1, 0)  # pidfd_open
for n in range(0, 200):
    taken = libc.syscall(438, fd, n, 0)  # pidfd_getfd
    if taken >= 0: got.append(("taken", n))
for fd in range(3, 256):
    try: os.fstat(fd)
    except OSError: continue
    if "socket" in os.readlink(f"/proc/self/fd/{fd}"): got.append(("inherited", fd))
if libc.ptrace(16, 1, 0, 0) == 0: got.append("traced")  # PTRACE_ATTACH
try: os.readlink("/proc/1/ns/net") and got.append("looked")
except OSError: pass
print(got)
"""


def test_programs_inside_cannot_reach_the_hosts_sockets(cli):
    """The guest holds sockets of the host's network: none of them may be had from inside."""
    port = free_port()
    ws = cli.create("-p", f"{port}:3000")
    program = echo(cli, ws)
    with socket.create_connection(("127.0.0.1", port), 10) as held:
        held.sendall(b"held")
        assert cli.ok("exec", ws, "--", "python3", "-c", ATTACK).stdout == b"[]\n"
        # nor is the port of the host anything to a program inside
        done = cli("exec", ws, "--", "python3", "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}), 3)")
        assert done.status == 1 and b"ConnectionRefused" in done.stderr
    end(program)
