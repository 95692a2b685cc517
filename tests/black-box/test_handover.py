# SPDX-License-Identifier: Apache-2.0
"""Two versions of the program and one server: a newer command lets the server become its own version, and an older one works on.

NANOTERM_OLDER_BIN is this program, built as an older version (tests/older.cmake).
"""
import copy
import hashlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import threading

import pytest

from conftest import is_alive, wait_until

OLDER = os.environ.get("NANOTERM_OLDER_BIN")
pytestmark = pytest.mark.skipif(not OLDER, reason="NANOTERM_OLDER_BIN names no older program")

ECHO = """
import socket, threading
s = socket.socket(); s.bind(("127.0.0.1", 3000)); s.listen(); print("ready", flush=True)
def serve(c):
    while piece := c.recv(65536): c.sendall(piece)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


@pytest.fixture
def pair(fresh):
    """(older, newer): both programs with one home."""
    newer = fresh()
    older = copy.copy(newer)
    older.program = OLDER
    return older, newer


def version_of(nanoterm):
    return nanoterm.ok("--json", "--version").json["version"]


def build_of(nanoterm):
    """The version of the server that runs; None: it is between two."""
    try:
        return nanoterm.api("GET", "/healthz")[1]["build"]
    except OSError:
        return None


def wait_for_build(nanoterm, version):
    wait_until(lambda: build_of(nanoterm) == version, 30, f"the server to be {version}")


def take_over(older, newer):
    """A server of the older version becomes one of the newer: its process, the same one."""
    assert build_of(older) == version_of(older) != version_of(newer)
    pid = older.server_pid()
    newer.ok("ws", "list")
    wait_for_build(newer, version_of(newer))
    assert newer.server_pid() == pid and is_alive(pid)


def database_of(nanoterm):
    [path] = (nanoterm.home / ".nanoterm/server").rglob("nanoterm.db")
    return path


class Writer(threading.Thread):
    """Writes files with commands of one program, one after another, until it is ended."""

    def __init__(self, nanoterm, ws):
        super().__init__(daemon=True)
        self.nanoterm, self.ws, self.written, self.failed, self.is_over = nanoterm, ws, 0, [], threading.Event()

    def run(self):
        while not self.is_over.is_set() and not self.failed:
            done = self.nanoterm("files", "write", self.ws, f"/workspace/{self.written}", input=b"%d" % self.written)
            if done.status == 0:
                self.written += 1
            else:
                self.failed.append(done)


def test_what_runs_and_what_was_acknowledged_goes_on(pair):
    older, newer = pair
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    ws = older.create("--name", "kept-name", "-p", f"{port}:3000")
    [row] = older.ok("--json", "ws", "list").json
    program = older.start("exec", ws, "--", "python3", "-c", ECHO)
    assert program.stdout.readline() == b"ready\n"
    keeper = older.start("exec", ws, "--", "sh", "-c", "echo ready; read line; echo got $line", stdin=-1)
    assert keeper.stdout.readline() == b"ready\n"
    job = older.ok("exec", ws, "--detach", "--log", "/tmp/job.log", "--", "sh", "-c",
                   "echo before; until [ -e /workspace/go ]; do sleep 0.05; done; echo after; exit 5").text.strip()
    wait_until(lambda: older("exec", ws, "--", "cat", "/tmp/job.log").stdout == b"before\n", 20, "the job's first line")
    writer = Writer(older, ws)
    writer.start()
    wait_until(lambda: writer.written >= 3 or writer.failed, 30, "the first files")

    with socket.create_connection(("127.0.0.1", port), 20) as through:
        through.sendall(b"before")
        assert through.recv(6, socket.MSG_WAITALL) == b"before"
        take_over(older, newer)
        through.sendall(b"after")
        assert through.recv(5, socket.MSG_WAITALL) == b"after"

    seen = writer.written
    wait_until(lambda: writer.written >= seen + 3 or writer.failed, 30, "files that the newer server took")
    writer.is_over.set()
    writer.join(60)
    assert not writer.failed, writer.failed
    names = [f"/workspace/{n}" for n in range(writer.written)]
    assert newer.ok("exec", ws, "--", "cat", *names).text == "".join(map(str, range(writer.written)))
    assert newer.ok("--json", "ws", "list").json == [row]
    with socket.create_connection(("127.0.0.1", port), 20) as anew:
        anew.sendall(b"anew")
        assert anew.recv(4, socket.MSG_WAITALL) == b"anew"
    assert keeper.communicate(b"hello\n", timeout=20)[0] == b"got hello\n"
    assert [(r["id"], r["running"]) for r in newer.ok("--json", "job", "list", ws).json if r["id"] == job] == [(job, True)]
    newer.ok("exec", ws, "--", "touch", "/workspace/go")
    assert newer("exec-wait", ws, "--log", "/tmp/job.log", "--interval", "50ms").status == 5
    assert newer.ok("exec", ws, "--", "cat", "/tmp/job.log").stdout == b"before\nafter\n"
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=20)


def test_a_newer_command_is_served_to_its_end(pair):
    """An exec that begins at the older server and ends at the newer one."""
    older, newer = pair
    ws = older.create("--no-internet")
    program = newer.start("exec", ws, "--", "sh", "-c", "echo ready; read line; echo got $line; exit 3", stdin=-1)
    assert program.stdout.readline() == b"ready\n"
    take_over(older, newer)
    assert program.communicate(b"hello\n", timeout=20)[0] == b"got hello\n" and program.returncode == 3


def test_many_newer_commands_at_once_make_one_server(pair):
    older, newer = pair
    ws = older.create("--no-internet")
    pid = older.server_pid()
    programs = [newer.start("--json", "ws", "list") for _ in range(8)]
    done = [(*program.communicate(timeout=60), program.returncode) for program in programs]
    assert all(status == 0 and [row["id"] for row in json.loads(out)] == [ws] for out, _, status in done), done
    wait_for_build(newer, version_of(newer))
    assert newer.server_pid() == pid


def test_an_older_command_works_with_the_newer_server(pair):
    older, newer = pair
    ws = older.create("--no-internet")
    take_over(older, newer)
    pid = newer.server_pid()
    other = older.create("--no-internet", "--name", "by-the-older")
    older.ok("files", "write", other, "/workspace/f", input=b"text")
    assert older.ok("exec", other, "--", "cat", "/workspace/f").stdout == b"text"
    assert {row["id"] for row in older.ok("--json", "ws", "list").json} == {ws, other}
    older.ok("ws", "rm", other)
    # it asks for no hand-over to itself
    assert (build_of(newer), newer.server_pid()) == (version_of(newer), pid)


def test_an_older_program_leaves_a_newer_database_alone(pair):
    older, newer = pair
    ws = newer.create("--no-internet", "--name", "of-the-newer")
    pid = newer.server_pid()
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid), 20, "the server to end")
    # What a version with one more step of the schema leaves.
    database = database_of(newer)
    connection = sqlite3.connect(database)
    schema = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute(f"PRAGMA user_version = {schema + 1}")
    connection.commit()
    connection.close()
    before = hashlib.sha256(database.read_bytes()).digest()
    done = older("--json", "ws", "list")
    assert done.status == 1 and done.stdout == b"", done
    assert done.error["code"] == "config_invalid" and done.error["retryable"] is False, done.error
    assert f"schema {schema + 1}" in done.error["message"] and "newer nanoterm" in done.error["hint"], done.error
    assert hashlib.sha256(database.read_bytes()).digest() == before
    assert not list(database.parent.rglob("*corrupt*")) and older.server_pid() is None
    connection = sqlite3.connect(database)
    connection.execute(f"PRAGMA user_version = {schema}")
    connection.commit()
    connection.close()
    assert [(row["id"], row["name"]) for row in newer.ok("--json", "ws", "list").json] == [(ws, "of-the-newer")]


def test_a_newer_program_that_fails_costs_a_start(pair):
    older, newer = pair
    ws = older.create("--no-internet")
    older.ok("files", "write", ws, "/workspace/kept", input=b"kept")
    pid = older.server_pid()
    broken = newer.home / "nanoterm"
    shutil.copy(shutil.which("false"), broken)
    broken.chmod(0o755)
    assert older.api("POST", "/v1/local/handover", {"binary": str(broken)})[0] == 202
    wait_until(lambda: not is_alive(pid), 20, "the server to end as that program")
    assert newer.ok("exec", ws, "--", "cat", "/workspace/kept").stdout == b"kept"
    assert build_of(newer) == version_of(newer)


def others_can_write(path):
    path.parent.chmod(0o777)


def the_group_can_write(path):
    path.parent.chmod(0o775)


def others_can_add(path):
    path.parent.chmod(0o1777)


def others_can_write_above(path):
    path.parent.parent.chmod(0o777)


def others_can_write_the_file(path):
    path.chmod(0o757)


def it_is_a_link(path):
    path.rename(path.parent / "elsewhere")
    path.symlink_to("elsewhere")


def the_way_is_a_link_that_others_placed(path):
    path.parent.rename(path.parent.parent / "elsewhere")
    path.parent.symlink_to("elsewhere")
    os.chown(path.parent, 4242, 4242, follow_symlinks=False)


def another_owns_the_folder(path):
    os.chown(path.parent, 4242, 4242)


def another_owns_a_folder_above(path):
    os.chown(path.parent.parent, 4242, 4242)


def another_owns_the_file(path):
    os.chown(path, 4242, 4242)


@pytest.mark.parametrize("attack", [others_can_write, the_group_can_write, others_can_add, others_can_write_above, others_can_write_the_file,
                                    it_is_a_link, the_way_is_a_link_that_others_placed, another_owns_the_folder,
                                    another_owns_a_folder_above, another_owns_the_file], ids=lambda attack: attack.__name__)
def test_what_others_could_have_put_there_is_not_executed(cli, attack):
    if "chown" in attack.__code__.co_names and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    cli.ok("ws", "list")
    pid = cli.server_pid()
    folder = cli.home / attack.__name__ / "bin"
    folder.mkdir(parents=True)
    program = folder / "nanoterm"
    shutil.copy(shutil.which("false"), program)
    for path in (folder.parent, folder, program):
        path.chmod(0o755)
    attack(program)
    code, answer = cli.api("POST", "/v1/local/handover", {"binary": str(program)})
    assert code == 403 and "the program to go on with" in json.dumps(answer), (code, answer)
    assert cli.server_pid() == pid and is_alive(pid)
    cli.ok("ws", "list")
