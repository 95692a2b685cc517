# SPDX-License-Identifier: Apache-2.0
"""The unmodified client over https: a server with a certificate of an authority that only the ordinary variables name."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from conftest import Server

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(not OPENSSL, reason="openssl is not installed: no certificates")

USE_SDK = """
import sys
from nullspace import Sandbox
made = Sandbox.create()
try:
    done = made.commands.run("cat /workspace/x 2>/dev/null; exit 3", shell=True)
    assert done.exit_code == 3, done
    data = bytes(range(256)) * 4096
    made.files.write("/workspace/x", data)
    assert made.files.read("/workspace/x", format="bytes") == data
    handle = made.commands.run("echo live; exit 2", shell=True, background=True)
    print("sdk:", handle.pid)
finally:
    made.kill()
"""


def openssl(folder, *words):
    done = subprocess.run([OPENSSL, *words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def secure():
    folder = Path(tempfile.mkdtemp(prefix="nt-conf-tls-"))
    try:
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl(folder, "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
        openssl(folder, "req", *curve, "-keyout", "own.key", "-out", "own.csr", "-subj", "/CN=server")
        openssl(folder, "x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile",
                "names", "-out", "own.pem", "-days", "2")
        running = Server(folder, "--tls-cert", folder / "own.pem", "--tls-key", folder / "own.key")
        assert running.url.startswith("https://")
        running.authority = folder / "ca.pem"
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def env(secure, tmp_path):
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "NULLSPACE_API_URL": secure.url,
            "NULLSPACE_API_KEY": secure.key, "SSL_CERT_FILE": str(secure.authority)}


def run(env, *words, **how):
    return subprocess.run([str(word) for word in words], env=env, cwd=env["HOME"], capture_output=True, text=True, timeout=120, **how)


def test_the_sdk(env):
    done = run(env, sys.executable, "-c", USE_SDK)
    assert done.returncode == 0 and "sdk:" in done.stdout, done.stderr


def test_the_command_line(env):
    nullspace = Path(sys.prefix) / "bin/nullspace"
    made = run(env, nullspace, "sandbox", "create")
    assert made.returncode == 0, made.stderr
    name = re.search(r"\bws_[a-z0-9]+", made.stdout).group(0)
    try:
        done = run(env, nullspace, "sandbox", "exec", name, "--shell", "echo hello; exit 6")
        assert done.returncode == 6 and "hello" in done.stdout, done.stderr
        streamed = run(env, nullspace, "sandbox", "process", "stream", name, "--shell", "echo live; exit 2")  # a WebSocket
        assert streamed.returncode == 2 and "live" in streamed.stdout, streamed.stderr
        assert name in run(env, nullspace, "sandbox", "list", "--json").stdout
    finally:
        assert run(env, nullspace, "sandbox", "kill", name).returncode == 0


def test_without_the_authority_nothing_is_sent(env):
    del env["SSL_CERT_FILE"]
    done = run(env, Path(sys.prefix) / "bin/nullspace", "sandbox", "list", "--json")
    assert done.returncode != 0 and "certificate" in (done.stdout + done.stderr).lower()
