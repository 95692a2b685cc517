# SPDX-License-Identifier: Apache-2.0
"""Terminals with the unmodified SDK."""
import threading

import pytest
from nullspace import Sandbox
from nullspace.errors import SandboxError

DEADLINE_S = 60


class Screen:
    """Collects the output of a session on a thread of its own, and waits for a text in it."""

    def __init__(self, session):
        self.session = session
        self.bytes = b""
        self.result = None
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self.result = self.session.wait(on_data=self._add)
        except SandboxError as error:
            self.result = error

    def _add(self, data):
        with self._came:
            self.bytes += data
            self._came.notify_all()

    def until(self, text):
        with self._came:
            assert self._came.wait_for(lambda: text in self.bytes, DEADLINE_S), (text, self.bytes[-2000:])

    def end(self):
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        return self.result


def test_a_session_from_start_to_end(sandbox):
    session = sandbox.pty.create_session(cols=90, rows=31)
    assert session.session_id.startswith("pty_") and session.pid > 0
    info = sandbox.pty.get_session_info(session.session_id)
    assert (info.cols, info.rows, info.pid) == (90, 31, session.pid)
    screen = Screen(session)
    session.send_input("stty size; echo [$A] $((40+2))\n")
    screen.until(b"31 90")
    screen.until(b"[] 42")
    session.resize(101, 41)
    session.send_input(b"stty size\n")
    screen.until(b"41 101")
    session.send_input("exit 7\n")
    assert screen.end().exit_code == 7


def test_environment_and_folder(sandbox):
    session = sandbox.pty.create_session(cwd="/tmp", envs={"A": "x y"})
    screen = Screen(session)
    session.send_input("echo \"<$A>\" $PWD; exit\n")
    screen.until(b"<x y> /tmp")
    assert screen.end().exit_code == 0


def test_it_is_listed_resized_and_killed_over_rest(sandbox):
    assert sandbox.pty.list_sessions() == []
    session = sandbox.pty.create_session(cols=80, rows=24)
    name = session.session_id
    assert [row.session_id for row in sandbox.pty.list_sessions()] == [name]
    sandbox.pty.resize_session(name, 70, 20)
    info = sandbox.pty.get_session_info(name)
    assert (info.cols, info.rows, info.pid) == (70, 20, session.pid)
    screen = Screen(session)
    sandbox.pty.kill_session(name)
    assert screen.end().exit_code == 137
    assert sandbox.pty.list_sessions() == []
    with pytest.raises(SandboxError):
        sandbox.pty.get_session_info(name)


def test_it_survives_its_socket(sandbox):
    session = sandbox.pty.create_session()
    name, pid = session.session_id, session.pid
    first = Screen(session)
    session.send_input("echo one-$((1+1)); X=kept\n")
    first.until(b"one-2")
    session.disconnect()
    again = sandbox.pty.connect(session_id=name)
    screen = Screen(again)
    screen.until(b"one-2")  # what was before comes first
    again.send_input("echo two-$X\n")
    screen.until(b"two-kept")
    by_pid = sandbox.pty.connect(pid=pid)
    other = Screen(by_pid)
    by_pid.send_input("echo three-$X\n")
    screen.until(b"three-kept")
    other.until(b"three-kept")
    again.kill()
    assert screen.end().exit_code == 137
    assert other.end().exit_code == 137


def test_a_session_that_is_not_there(sandbox):
    for where in ({"session_id": "pty_nothere"}, {"pid": 999999}):
        with pytest.raises(SandboxError):
            sandbox.pty.connect(**where)


def test_the_clients_command_line(cli, sandbox):
    made = cli("sandbox", "pty", "create", sandbox.id)
    assert made.returncode == 0, made.stderr
    rows = sandbox.pty.list_sessions()
    assert len(rows) == 1
    done = cli("sandbox", "pty", "connect", sandbox.id, "--session-id", rows[0].session_id, input="echo hi-$((2+3)); exit 5\n")
    assert "hi-5" in done.stdout
    assert done.returncode == 5
