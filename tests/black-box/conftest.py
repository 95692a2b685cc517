# SPDX-License-Identifier: Apache-2.0
"""What every black-box test uses: the installed program in a home of its own, and a check that nothing is left behind.

The program is NANOTERM_BIN. `cli` has a home for the whole file with one embedded server; `fresh` makes another home.
"""
import ctypes
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import pytest

BIN = os.environ["NANOTERM_BIN"]
# A sanitizer's runtime keeps what was freed and a copy of the environment: such builds say nothing about memory.
IS_SANITIZED = any(name in pathlib.Path(BIN).read_bytes() for name in (b"__asan_init", b"__tsan_init"))


class Done:
    """How one invocation ended."""

    def __init__(self, process):
        self.status = process.returncode
        self.stdout = process.stdout
        self.stderr = process.stderr

    @property
    def text(self):
        return self.stdout.decode()

    @property
    def json(self):
        return json.loads(self.stdout)

    @property
    def error(self):
        """The one JSON line on stderr of an invocation with --json that failed."""
        lines = [line for line in self.stderr.decode().splitlines() if line.startswith("{")]
        assert len(lines) == 1, self.stderr
        return json.loads(lines[0])

    def __repr__(self):
        return f"Done(status={self.status}, stdout={self.stdout[-2000:]!r}, stderr={self.stderr[-2000:]!r})"


class Nanoterm:
    """The program with a home of its own. Call it with words."""

    def __init__(self, home):
        self.home = pathlib.Path(home)
        self.program = BIN
        self.made = []  # ids of workspaces
        self.env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "NANOTERM_NO_UPDATE_CHECK": "1",
        }
        for name in os.environ:
            if name.startswith(("ASAN_", "UBSAN_", "LSAN_", "TSAN_")):
                self.env[name] = os.environ[name]

    def start(self, *words, **how):
        how.setdefault("env", self.env)
        how.setdefault("cwd", self.home)
        how.setdefault("stdin", subprocess.DEVNULL)
        how.setdefault("stdout", subprocess.PIPE)
        how.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([self.program, *map(os.fspath, words)], **how)

    def __call__(self, *words, input=None, timeout=60, **how):
        if input is not None:
            how["stdin"] = subprocess.PIPE
        process = self.start(*words, **how)
        try:
            out, err = process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{words} did not end in {timeout} s; {out[-2000:]!r} {err[-2000:]!r}")
        process.stdout, process.stderr = out or b"", err or b""
        return Done(process)

    def ok(self, *words, **how):
        done = self(*words, **how)
        assert done.status == 0, (words, done)
        return done

    def create(self, *words):
        """Makes a workspace and returns its id."""
        self.made.append(self.ok("--json", "ws", "create", *words, timeout=120).json["id"])
        return self.made[-1]

    def ask(self, method, path, body=None):
        """One request to the embedded server, as a client that knows the token: its answer and the body."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(str(self.runtime / "sock"))
        connection.request(method, path, None if body is None else json.dumps(body), {
            "X-Nanoterm-Local-Token": (self.runtime / "token").read_text().strip(), "X-Nanoterm-Wire": "1",
            "Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data

    def api(self, method, path, body=None):
        """The same for JSON: its status and what it holds."""
        answer, data = self.ask(method, path, body)
        return answer.status, json.loads(data) if data else None

    @property
    def runtime(self):
        return self.home / ".nanoterm/server/run"

    def server_pid(self):
        """The embedded server, asked of the kernel; None: there is none."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            try:
                s.connect(str(self.runtime / "sock"))
            except (FileNotFoundError, ConnectionRefusedError):
                return None
            return struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

    def end(self):
        """Removes every workspace, ends the server and checks that nothing of this home is left."""
        if self.made or self.server_pid():
            listed = self("--json", "ws", "list")
            for row in listed.json if listed.status == 0 else []:
                self("ws", "rm", row["id"])
        # One that has left for want of work may have been followed by another.
        while pid := self.server_pid():
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
            wait_until(lambda: not is_alive(pid), 60, f"the server {pid} to end")
        try:
            wait_until(lambda: leftovers(self.home, self.made) == [], 20, "what is left to go")
        except AssertionError:
            assert leftovers(self.home, self.made) == []
            raise


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rsplit(b")", 1)[1].split()[0] not in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def with_mark(mark):
    """What runs with these letters in its words: (pid, words)."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in command and is_alive(int(pid)):
            found.append((pid, command))
    return found


def wait_until(condition, seconds, what):
    """Polls a condition that no event tells us of; fails when the time is over."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def cgroups_of(ids):
    """Folders of workspaces below /sys/fs/cgroup; those of others are none of our business."""
    return [os.path.join(folder, name) for folder, names, _ in os.walk("/sys/fs/cgroup") for name in names if name in ids]


def leftovers(home, ids=()):
    """Processes, mounts and sockets that belong to a home, and cgroups of its workspaces."""
    found = []
    home = os.fsencode(str(home))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            environ = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            command = environ = b""
        is_ours = b"HOME=" + home in environ.split(b"\0")
        if (is_ours or home in command) and is_alive(int(pid)) and b"nanoterm" in command:
            found.append((pid, command))
    with open("/proc/self/mountinfo", "rb") as mounts:
        found += [line for line in mounts if home in line]
    with open("/proc/net/unix", "rb") as sockets:
        found += [line for line in sockets if home in line]
    return found + (cgroups_of(ids) if ids else [])


def landlock_version():
    """What the kernel says of itself; 0: it has none."""
    return max(0, ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1))


def make_home():
    # A short path: it becomes part of socket names, although any length works.
    return tempfile.mkdtemp(prefix="nt-", dir="/tmp")


@pytest.fixture
def fresh():
    """A program in a new home of its own."""
    made = []

    def make():
        made.append(Nanoterm(make_home()))
        return made[-1]

    yield make
    for nanoterm in made:
        try:
            nanoterm.end()
        finally:
            shutil.rmtree(nanoterm.home)


@pytest.fixture(scope="module")
def cli():
    nanoterm = Nanoterm(make_home())
    yield nanoterm
    try:
        nanoterm.end()
    finally:
        shutil.rmtree(nanoterm.home)


@pytest.fixture(scope="module")
def ws(cli):
    """One workspace for the tests of a file that leave it as it was."""
    return cli.create("--name", "shared")


def serve_tcp(cli, data, *words):
    """Starts a server: its process, the environment that leads to it, and its URL."""
    server = cli.start("serve", "--listen", "127.0.0.1:0", "--data", data, *words)
    url = None
    for line in server.stderr:
        match = re.search(rb"http://127\.0\.0\.1:\d+", line)
        if match:
            url = match.group().decode()
            break
    assert url, "the server did not say where it listens"
    threading.Thread(target=server.stderr.read, daemon=True).start()
    return server, {**cli.env, "NANOTERM_API_URL": url, "NANOTERM_API_KEY": (data / "owner.key").read_text().strip()}, url


@pytest.fixture(scope="module")
def remote(cli):
    """The same workspaces through a TCP listener: the environment that makes the client go there."""
    server, env, _ = serve_tcp(cli, cli.home / "remote")
    try:
        ws = cli.ok("--json", "ws", "create", env=env, timeout=120).json["id"]
        cli.remote_pid = server.pid
        yield env, ws
        cli.ok("ws", "rm", ws, env=env)
    finally:  # also when it was not to be had
        server.send_signal(signal.SIGTERM)
        status = server.wait(30)
    assert status == 0


@pytest.fixture(params=["local", "remote"])
def run(request, cli):
    """run(*command, …): an exec with that command on either way."""
    if request.param == "local":
        ws, env = request.getfixturevalue("ws"), cli.env
    else:
        env, ws = request.getfixturevalue("remote")

    def run(*command, options=(), **how):
        return cli("exec", *options, ws, "--", *command, env=env, **how)

    run.ws, run.env = ws, env
    return run
