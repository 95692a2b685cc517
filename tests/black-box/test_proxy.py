# SPDX-License-Identifier: Apache-2.0
"""`proxy`: embedded (straight to the guest) and through a server on TCP (a WebSocket per connection)."""
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import BIN, Nanoterm, wait_until
from test_ports import ECHO, ask, echo, end, free_port


class Remote(Nanoterm):
    """A client of a server on TCP with a home of its own."""

    def __init__(self, home):
        super().__init__(home)
        self.serve = subprocess.Popen(
            [BIN, "serve", "--listen", "127.0.0.1:0", "--data", str(self.home / "data")], env=self.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        url = None
        for line in self.serve.stderr:
            if found := re.search(r"(http://127\.0\.0\.1:\d+)", line):
                url = found.group(1)
                break
        self.drain = threading.Thread(target=self.serve.stderr.read, daemon=True)
        self.drain.start()
        self.env["NANOTERM_API_URL"] = url
        self.env["NANOTERM_API_KEY"] = (self.home / "data/owner.key").read_text().strip()

    def end(self):
        for row in self("--json", "ws", "list").json:
            self("ws", "rm", row["id"])
        self.serve.send_signal(signal.SIGTERM)
        assert self.serve.wait(30) == 0
        self.drain.join(10)


@pytest.fixture(params=["embedded", "tcp"])
def nanoterm(request, cli, tmp_path):
    if request.param == "embedded":
        yield cli
        return
    remote = Remote(tmp_path)
    try:
        yield remote
    finally:
        remote.end()


def proxy(nanoterm, ws, port=3000, *words, **how):
    local = free_port()
    program = nanoterm.start("--json", "proxy", ws, str(port), "--port", str(local), *words, **how)
    line = program.stdout.readline()
    assert b'"url"' in line, (line, program.communicate(timeout=20))
    return program, local


def test_bytes_and_half_close(nanoterm):
    ws = nanoterm.create()
    inside = echo(nanoterm, ws)
    program, port = proxy(nanoterm, ws)
    data = os.urandom(3_000_001)
    assert ask(port, data) == data
    assert ask(port, b"") == b""
    answers = []
    threads = [threading.Thread(target=lambda i=i: answers.append(ask(port, b"%d" % i) == b"%d" % i)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 20
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=20)
    assert program.returncode == 130
    with pytest.raises(ConnectionRefusedError):
        ask(port)
    end(inside)


def test_a_thousand_one_after_the_other_and_a_hundred_at_once(nanoterm):
    ws = nanoterm.create()
    inside = echo(nanoterm, ws)
    program, port = proxy(nanoterm, ws)
    for i in range(1000):
        assert ask(port, b"%d" % i) == b"%d" % i
    held = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(100)]
    for i, s in enumerate(held):  # all are open when the first is answered
        s.sendall(b"%d" % i)
    for s in held:
        s.shutdown(socket.SHUT_WR)
    for i, s in enumerate(held):
        s.settimeout(60)
        got = b""
        while piece := s.recv(65536):
            got += piece
        assert got == b"%d" % i
        s.close()
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=20)
    assert program.returncode in (130, -signal.SIGINT)
    end(inside)


# Listens, with room for one that is not accepted; answers everybody once it has read a line.
DEAF = ECHO.replace("s.listen()", "s.listen(0)").replace("while True:", "sys.stdin.readline(); s.listen(512)\nwhile True:")


def test_slow_dials_hold_up_nobody(nanoterm):
    """The first connection (the pre-flight) fills the backlog: the guest gives each further one ten seconds."""
    assert DEAF.count("listen(0)") == DEAF.count("readline") == 1
    ws = nanoterm.create()
    inside = nanoterm.start("exec", ws, "--", "python3", "-c", DEAF, "3000", stdin=subprocess.PIPE)
    assert inside.stdout.readline() == b"ready\n"
    program, port = proxy(nanoterm, ws)
    held = [socket.create_connection(("127.0.0.1", port), 120) for _ in range(60)]
    begin = time.monotonic()
    for s in held:
        with pytest.raises(ConnectionResetError):
            s.recv(1)
        s.close()
    assert time.monotonic() - begin < 120  # one after the other they are ten minutes

    slow = [socket.create_connection(("127.0.0.1", port), 120) for _ in range(10)]
    inside.stdin.write(b"now\n")
    inside.stdin.flush()
    held = [socket.create_connection(("127.0.0.1", port), 120) for _ in range(200)]
    for i, s in enumerate(held + slow):
        s.sendall(b"%d" % i)
        s.shutdown(socket.SHUT_WR)
    for i, s in enumerate(held + slow):
        got = b""
        while piece := s.recv(65536):
            got += piece
        assert got == b"%d" % i
        s.close()
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=20)
    end(inside)


def test_a_workspace_that_goes_ends_an_idle_proxy(nanoterm):
    """Nobody connects and nothing is asked again and again: the server tells."""
    ws = nanoterm.create()
    inside = echo(nanoterm, ws)
    program, port = proxy(nanoterm, ws, 3000, env={**nanoterm.env, "NANOTERM_DEBUG": "1"})
    assert ask(port) == b"hello"
    nanoterm.ok("ws", "rm", ws)
    _, err = program.communicate(timeout=30)
    assert program.returncode == 3 and b"nanoterm.workspace_gone" in err
    assert b"path=/v1/sandboxes/" + ws.encode() + b"/state" in err
    assert b"?fields=" not in err, err  # it has never asked
    inside.communicate(timeout=20)


def test_what_goes_on_is_told(nanoterm):
    ws = nanoterm.create()
    inside = echo(nanoterm, ws)
    port = free_port()
    program = nanoterm.start("proxy", ws, "3000", "--port", str(port))
    assert b"Forwarding" in program.stderr.readline()
    nanoterm.ok("ws", "stop", ws)
    assert b"does not run" in program.stderr.readline()
    inside.communicate(timeout=20)
    nanoterm.ok("ws", "start", ws)
    assert b"runs again" in program.stderr.readline()
    inside = echo(nanoterm, ws)
    assert ask(port) == b"hello"
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=20)
    end(inside)


def test_it_outlives_the_server(fresh):
    """The embedded server is killed; the next one, which it starts, tells of the end."""
    nanoterm = fresh()
    ws = nanoterm.create()
    job = nanoterm.ok("--json", "exec", "--detach", ws, "--", "python3", "-c", ECHO, "3000").json["id"]
    wait_until(lambda: b"ready" in nanoterm.ok("job", "logs", ws, job).stdout, 60, "the program to listen")
    program, port = proxy(nanoterm, ws)
    pid = nanoterm.server_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: nanoterm.server_pid() not in (None, pid), 30, "the proxy to start a server")
    assert ask(port) == b"hello"
    nanoterm.ok("ws", "rm", ws)
    _, err = program.communicate(timeout=30)
    assert program.returncode == 3 and b"nanoterm.workspace_gone" in err


def test_it_goes_on_after_stop_and_start_and_ends_with_the_workspace(nanoterm):
    ws = nanoterm.create()
    inside = echo(nanoterm, ws)
    program, port = proxy(nanoterm, ws)
    assert ask(port) == b"hello"
    nanoterm.ok("ws", "stop", ws)
    inside.communicate(timeout=20)
    with pytest.raises(ConnectionResetError):
        ask(port)
    nanoterm.ok("ws", "start", ws)
    inside = echo(nanoterm, ws)
    assert ask(port) == b"hello"
    nanoterm.ok("ws", "rm", ws)
    inside.communicate(timeout=20)
    _, err = program.communicate(timeout=30)
    assert program.returncode == 3 and b"nanoterm.workspace_gone" in err


def test_nothing_listens_when_the_pre_flight_fails(nanoterm):
    ws = nanoterm.create()
    local = free_port()

    def fails(status, code, *words, **how):
        done = nanoterm("--json", "proxy", *words, "--port", str(local), **how)
        assert done.status == status and done.stdout == b"" and done.error["code"] == code, done
        with pytest.raises(ConnectionRefusedError):
            ask(local)

    fails(8, "nanoterm.port_unreachable", ws, "3999")
    fails(3, "sandbox_not_found", "ws_doesnotexist", "3000")
    nanoterm.ok("ws", "stop", ws)
    done = nanoterm("--json", "proxy", ws, "3000")
    assert done.status == 7, done
    if "NANOTERM_API_URL" in nanoterm.env:
        done = nanoterm("--json", "proxy", ws, "3000", env={**nanoterm.env, "NANOTERM_API_KEY": "nsk_" + "0" * 32})
        assert done.status == 4 and done.stdout == b"", done


def test_a_port_that_is_taken(cli):
    ws = cli.create()
    inside = echo(cli, ws)
    program, port = proxy(cli, ws)
    done = cli("--json", "proxy", ws, "3000", "--port", str(port))
    assert done.status == 7 and done.error["code"] == "nanoterm.port_taken"
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=20)
    end(inside)
