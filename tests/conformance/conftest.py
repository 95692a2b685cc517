# SPDX-License-Identifier: Apache-2.0
"""One server for all tests of this folder, and clients that know nothing but its address and a key."""
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

import pytest

BIN = os.environ.get("NANOTERM_BIN") or str(Path(sys.prefix).parent / "bin/nanoterm")
START_S = 30


class Server:
    """`nanoterm serve` on a port that the kernel picks."""

    def __init__(self, folder, *options):
        self.options = [str(option) for option in options]
        self.authority = None  # of a server with TLS
        self.home = folder / "home"
        self.data = folder / "data"
        self.home.mkdir()
        self.log = []
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.start()

    def start(self):
        """Again after a crash: on the same data, and on another port."""
        self.url = None
        self._ready = threading.Event()
        self.process = subprocess.Popen(
            [BIN, "serve", "--listen", "127.0.0.1:0", "--data", str(self.data), *self.options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=self.env)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._ready.wait(START_S)
        if not self.url:
            self.process.kill()
            self.process.wait()
            raise RuntimeError("the server did not start:\n" + "".join(self.log))
        self.key = (self.data / "owner.key").read_text().strip()

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"(?i)listening on (https?://127\.0\.0\.1:\d+)", line)
            if found:
                self.url = found.group(1)
                self._ready.set()
        self._ready.set()

    def request(self, method, path, body=None, headers=()):
        """(status, headers, bytes) of one plain request."""
        request = urllib.request.Request(self.url + path, method=method, data=body,
                                         headers={"Authorization": f"Bearer {self.key}", **dict(headers)})
        context = ssl.create_default_context(cafile=self.authority) if self.authority else None
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def json(self, method, path, body=None, headers=()):
        data = None if body is None else json.dumps(body).encode()
        status, _, text = self.request(method, path, data, headers)
        return status, json.loads(text) if text.strip() else None

    def crash(self):
        self.process.kill()
        self.process.wait(30)
        self._reader.join(30)

    def _remove_all(self):
        """Ids of the workspaces that a test has left; they go."""
        status, left = self.json("GET", "/v1/sandboxes")
        assert status == 200, f"the server does not list what is left: {status} {left}"
        rows = left["items"] if isinstance(left, dict) else left
        names = [row["id"] for row in rows if row["status"] != "destroyed"]
        for name in names:
            self.request("DELETE", f"/v1/sandboxes/{name}")
        return names

    def _end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._reader.join(10)
        return status

    def stop(self):
        try:
            names = self._remove_all()
        finally:  # it ends whatever it answers
            status = self._end()
        assert names == [], f"a test left {names} behind"
        assert status == 0, f"the server ended with {status}:\n" + "".join(self.log[-40:])
        for line in self.log:
            assert "Sanitizer" not in line, "".join(self.log[-80:])


@pytest.fixture(scope="session")
def server():
    folder = Path(tempfile.mkdtemp(prefix="nt-conf-"))
    try:
        running = Server(folder)
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def environment(server, monkeypatch, tmp_path):
    """The SDK finds address and key where its users put them; it sees no other configuration."""
    for name in list(os.environ):
        if name.startswith(("NULLSPACE_", "NANOTERM_", "XDG_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(server.home))
    monkeypatch.setenv("NULLSPACE_API_URL", server.url)
    monkeypatch.setenv("NULLSPACE_API_KEY", server.key)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sandbox(server, environment):
    from nullspace import Sandbox

    made = Sandbox.create()
    try:
        yield made
    finally:
        made.kill()
        made.close()


@pytest.fixture
def cli(server, environment):
    """Runs the client's own command line; gives its finished process."""

    def run(*args, input=None):
        return subprocess.run([str(Path(sys.executable).parent / "nullspace"), *args], input=input, text=True,
                              capture_output=True, timeout=120)

    return run
