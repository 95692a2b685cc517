# SPDX-License-Identifier: Apache-2.0
"""Background processes and terminals of the unmodified client, when the server is killed and started again under it."""
import shutil
import tempfile
from pathlib import Path

import pytest
from nullspace import Sandbox
from nullspace.errors import SandboxError

from conftest import Server
from test_pty import Screen


@pytest.fixture
def own(monkeypatch):
    """A server that this test may kill."""
    folder = Path(tempfile.mkdtemp(prefix="nt-conf-"))
    running = Server(folder)

    def tell():
        monkeypatch.setenv("NULLSPACE_API_URL", running.url)
        monkeypatch.setenv("NULLSPACE_API_KEY", running.key)

    tell()
    running.tell = tell
    try:
        yield running
        running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_background_processes_outlive_the_server(environment, own):
    sandbox = Sandbox.create()
    ended = sandbox.commands.run("echo out; echo err >&2; exit 5", shell=True, background=True)
    assert ended.wait().exit_code == 5
    runs = sandbox.commands.run("echo before; read x; echo got $x; exit 4", shell=True, background=True)
    own.crash()
    own.start()
    own.tell()
    again = Sandbox.connect(sandbox.id)
    rows = {row.pid: row for row in again.commands.list()}
    assert rows[runs.pid].running and not rows[ended.pid].running
    logs = again.commands.get_logs(ended.pid)
    assert (logs.exit_code, logs.stdout, logs.stderr) == (5, "out\n", "err\n")
    assert again.commands.get_logs(runs.pid).stdout == "before\n"
    got = []
    live = again.commands.connect(runs.pid, on_stdout=got.append)
    again.commands.send_stdin(runs.pid, "input\n")
    assert live.wait().exit_code == 4
    assert "".join(got) == "before\ngot input\n"
    logs = again.commands.get_logs(runs.pid)
    assert (logs.exit_code, logs.stdout) == (4, "before\ngot input\n")
    again.kill()
    again.close()
    sandbox.close()


def test_terminals_outlive_the_server(environment, own):
    sandbox = Sandbox.create()
    session = sandbox.pty.create_session(cols=90, rows=31)
    name, pid = session.session_id, session.pid
    screen = Screen(session)
    session.send_input("X=kept; echo one-$((1+1))\n")
    screen.until(b"one-2")

    def written():
        _, rows = own.json("GET", f"/v1/sandboxes/{sandbox.id}/jobs", headers={"X-Nanoterm-Wire": "1"})
        return next(row["stdout_bytes"] for row in rows["items"] if row["id"] == name)

    before = written()
    assert before >= len(screen.bytes) > 0
    own.crash()
    assert isinstance(screen.end(), SandboxError)  # told, and not left waiting
    own.start()
    own.tell()
    again = Sandbox.connect(sandbox.id)
    assert [(row.session_id, row.pid, row.cols, row.rows) for row in again.pty.list_sessions()] == [(name, pid, 90, 31)]
    assert written() >= before  # the count of its output goes on
    session = again.pty.connect(session_id=name)
    screen = Screen(session)
    screen.until(b"one-2")  # what the clients of the former server saw comes first
    session.send_input("echo two-$X; stty size\n")
    screen.until(b"two-kept")
    screen.until(b"31 90")
    assert screen.bytes.index(b"one-2") < screen.bytes.index(b"two-kept")
    assert written() > before
    session.send_input("exit 3\n")
    assert screen.end().exit_code == 3
    assert again.pty.list_sessions() == []
    again.kill()
    again.close()
    sandbox.close()
