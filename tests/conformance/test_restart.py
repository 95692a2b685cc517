# SPDX-License-Identifier: Apache-2.0
"""Background processes of the unmodified client, when the server is killed and started again under it."""
import shutil
import tempfile
from pathlib import Path

import pytest
from nullspace import Sandbox

from conftest import Server


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
