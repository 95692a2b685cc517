# SPDX-License-Identifier: Apache-2.0
"""`serve` with sockets that it was started with, as a manager passes them: LISTEN_PID, LISTEN_FDS, descriptors from 3."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from conftest import BIN

# What a manager does between fork and exec: DESCRIPTORS COUNT PID PROGRAM WORD…
LAUNCHER = """
import fcntl, os, sys
fds, count, pid, *words = sys.argv[1:]
high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in fds.split(",") if fd]
for number in range(3, 100):
    try:
        os.close(number)
    except OSError:
        pass
for number, fd in enumerate(high):
    os.dup2(fd, 3 + number)
    os.close(fd)
os.environ.update(LISTEN_PID=pid or str(os.getpid()), LISTEN_FDS=count, LISTEN_FDNAMES="api")
os.execv(words[0], words)
"""


def server_data(nanoterm):
    return nanoterm.home / "data"


class Server:
    """`serve` on a data folder of its own, started with sockets."""

    def __init__(self, nanoterm, sockets, *options, count=None, pid=""):
        self.data = server_data(nanoterm)
        fds = [each.fileno() for each in sockets]
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, ",".join(map(str, fds)), str(len(fds) if count is None else count), str(pid), BIN,
             "serve", "--data", self.data, *options],
            pass_fds=fds, env=nanoterm.env, cwd=nanoterm.home, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.lines = []

    def wait(self, count):
        """Until it listens at so many places; which ones."""
        for line in self.process.stderr:
            self.lines.append(line)
            places = self.places()
            if len(places) == count:
                threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True).start()
                return places
        raise AssertionError(self.lines)

    def places(self):
        return [found[1] for line in self.lines if (found := re.search(r"Listening on (\S+)", line))]

    @property
    def key(self):
        return (self.data / "owner.key").read_text().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.lines

    def refused(self):
        _, text = self.process.communicate(timeout=60)
        return self.process.returncode, text


@pytest.fixture
def sockets():
    """sockets(FAMILY, ADDRESS) listens."""
    made = []

    def make(family, address, kind=socket.SOCK_STREAM, listens=True):
        made.append(socket.socket(family, kind))
        made[-1].bind(address)
        if listens:
            made[-1].listen(64)
        return made[-1]

    yield make
    for each in made:
        each.close()


def send(connection, key=None, host="localhost"):
    headers = f"Authorization: Bearer {key}\r\n" if key else ""
    connection.sendall(f"GET /v1/sandboxes HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n".encode())


def receive(connection):
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    body = answer.read()
    connection.close()
    return answer.status, json.loads(body)


def connected(address, family=socket.AF_UNIX):
    connection = socket.socket(family)
    connection.settimeout(60)
    connection.connect(address)
    return connection


def test_an_inherited_socket_is_served_with_keys(fresh, sockets):
    nanoterm = fresh()
    tcp = sockets(socket.AF_INET, ("127.0.0.1", 0))
    port = tcp.getsockname()[1]
    with Server(nanoterm, [tcp]) as server:
        assert server.wait(1) == [f"http://127.0.0.1:{port}"]
        for key, status in ((None, 401), ("nt_" + 43 * "x", 401), (server.key, 200)):
            connection = connected(("127.0.0.1", port), socket.AF_INET)
            send(connection, key, host=f"127.0.0.1:{port}")
            assert receive(connection)[0] == status, key
        assert not (nanoterm.runtime / "sock").exists()  # it is not the server of this user's commands


def test_who_comes_while_there_is_no_server_is_served_by_the_next(fresh, sockets):
    nanoterm = fresh()
    path = str(nanoterm.home / "api.sock")
    unix = sockets(socket.AF_UNIX, path)
    inode = os.stat(path).st_ino
    early = connected(path)
    send(early)
    with Server(nanoterm, [unix]) as server:
        assert server.wait(1) == [f"unix:{path}"]
        assert receive(early)[0] == 401
        key = server.key
    assert os.stat(path).st_ino == inode
    waiting = connected(path)
    send(waiting, key)
    with Server(nanoterm, [unix]) as server:
        status, body = receive(waiting)
        assert status == 200 and body["items"] == []
        env = {**nanoterm.env, "NANOTERM_API_KEY": key}
        assert nanoterm.ok("--json", "--api", f"unix:{path}", "ws", "list", env=env).json == []
        server.wait(1)


def test_listen_takes_the_socket_of_its_place(fresh, sockets):
    """So that a unit's command is the same with its socket unit and without."""
    nanoterm = fresh()
    path = str(nanoterm.home / "api.sock")
    tcp, unix = sockets(socket.AF_INET, ("127.0.0.1", 0)), sockets(socket.AF_UNIX, path)
    inode, port = os.stat(path).st_ino, tcp.getsockname()[1]
    options = ["--listen", f"unix:{path}", "--listen", f"localhost:{port}", "--listen", "127.0.0.1:0"]
    with Server(nanoterm, [tcp, unix], *options) as server:
        places = server.wait(3)
        assert f"unix:{path}" in places and any(place.endswith(f":{port}") for place in places)
        assert os.stat(path).st_ino == inode
        for place in places:
            is_unix = place.startswith("unix:")
            address = path if is_unix else ("127.0.0.1", int(place.rsplit(":", 1)[1]))
            connection = connected(address, socket.AF_UNIX if is_unix else socket.AF_INET)
            send(connection, server.key, host="localhost" if is_unix else place.removeprefix("http://"))
            assert receive(connection)[0] == 200, place
    assert len(server.places()) == 3


def test_variables_of_another_process_are_not_meant(fresh, sockets):
    nanoterm = fresh()
    tcp = sockets(socket.AF_INET, ("127.0.0.1", 0))
    for pid in (1, os.getpid(), "0", "-1", "x", "99999999999999999999"):
        with Server(nanoterm, [tcp], "--listen", "127.0.0.1:0", pid=pid) as server:
            [place] = server.wait(1)
            assert not place.endswith(f":{tcp.getsockname()[1]}"), pid
        assert len(server.places()) == 1


def test_what_is_no_listening_stream_socket_is_refused(fresh, sockets, tmp_path):
    nanoterm = fresh()
    tcp = sockets(socket.AF_INET, ("127.0.0.1", 0))
    with open(tmp_path / "file", "wb") as file:
        pair = socket.socketpair()
        for wrong in (file, sockets(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM, False),
                      sockets(socket.AF_INET, ("127.0.0.1", 0), listens=False),
                      sockets(socket.AF_UNIX, f"\0nt-{os.getpid()}-{tmp_path.name}"),
                      sockets(socket.AF_UNIX, str(tmp_path / "seqpacket"), socket.SOCK_SEQPACKET), pair[0]):
            status, text = Server(nanoterm, [tcp, wrong]).refused()
            assert status == 1 and "descriptor 4 of LISTEN_FDS" in text, (wrong, text)
        for end in pair:
            end.close()
    for count in ("2", "0", "17", "-1", "x", "", "99999999999999999999"):
        status, text = Server(nanoterm, [tcp], count=count).refused()
        assert status == 1 and "LISTEN_FDS" in text, (count, text)
    assert not server_data(nanoterm).exists()  # it did not begin


def test_beyond_this_machine_is_refused_without_tls(fresh, sockets):
    nanoterm = fresh()
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        if family == socket.AF_INET6 and not socket.has_dualstack_ipv6():
            continue
        everywhere = sockets(family, (address, 0))
        status, text = Server(nanoterm, [everywhere]).refused()
        assert status == 5 and "is not encrypted" in text
    with Server(nanoterm, [sockets(socket.AF_INET, ("0.0.0.0", 0))], "--insecure-listen") as server:
        server.wait(1)


def holders(inode):
    """Pids of all processes, as far as this user may look, that have a socket."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]":
                    found.add(int(pid))
        except OSError:
            pass
    return found


def command_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as command:
        return command.read()


def children(pid):
    found = set()
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as names:
            found.update(map(int, names.read().split()))
    return found


def test_a_workspace_gets_nothing_of_it(fresh, sockets):
    """Neither the socket, on which it could answer in the server's place, nor the variables."""
    nanoterm = fresh()
    path = str(nanoterm.home / "api.sock")
    unix = sockets(socket.AF_UNIX, path)
    inode = os.fstat(unix.fileno()).st_ino
    with Server(nanoterm, [unix]) as server:
        server.wait(1)
        env = {**nanoterm.env, "NANOTERM_API_KEY": server.key, "NANOTERM_API_URL": f"unix:{path}"}
        ws = nanoterm.ok("--json", "ws", "create", "--no-internet", env=env, timeout=120).json["id"]
        try:
            pid = server.process.pid
            beside = {child for child in children(pid) if b"--api-process" in command_of(child)}
            assert holders(inode) <= {os.getpid(), pid} | beside
            if os.geteuid() == 0:  # who may look at all of them
                assert holders(inode) & ({pid} | beside)
            seen = nanoterm("exec", ws, "--", "sh", "-c", "ls -l /proc/[0-9]*/fd", env=env).text
            assert "->" in seen and f"socket:[{inode}]" not in seen
            for child in beside:
                with open(f"/proc/{child}/environ", "rb") as environment:
                    assert b"LISTEN_" not in environment.read()
            assert "LISTEN_" not in nanoterm.ok("exec", ws, "--", "env", env=env).text
        finally:
            nanoterm.ok("ws", "rm", ws, env=env)
