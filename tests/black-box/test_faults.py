# SPDX-License-Identifier: Apache-2.0
"""Faults: broken files, a reboot, and programs of ours killed at any point. Nothing acknowledged is lost, nothing is left.

NANOTERM_FAULTS is how often the random ones are done (20; a thorough run takes 200).
"""
import json
import os
import pathlib
import random
import signal
import sqlite3
import threading
import time

import pytest

from conftest import cgroups_of, is_alive, leftovers, wait_until

TIMES = int(os.environ.get("NANOTERM_FAULTS", "20"))


def data_of(nanoterm):
    return nanoterm.home / ".nanoterm/server"


def database_of(nanoterm):
    """Root's server keeps it in a folder of its own."""
    [path] = data_of(nanoterm).rglob("nanoterm.db")
    return path


def stop(nanoterm):
    pid = nanoterm.server_pid()
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid), 20, "the server to end")


def record_of(nanoterm, ws):
    [record] = data_of(nanoterm).rglob(f"{ws}/run")
    return record


def rows_of(nanoterm):
    return {row["id"]: row for row in nanoterm.ok("--json", "ws", "list").json}


def no_database(path):
    path.write_bytes(b"this is not a database" * 1000)


def truncated(path):
    os.truncate(path, path.stat().st_size // 2 + 100)


def empty(path):
    os.truncate(path, 0)


def folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("fault", [no_database, truncated, empty, folder])
def test_a_broken_database_is_moved_aside_and_rebuilt(fresh, fault):
    nanoterm = fresh()
    ws = nanoterm.create("--no-internet")
    nanoterm.ok("files", "write", ws, "/workspace/kept", input=b"kept")
    stop(nanoterm)
    database = database_of(nanoterm)
    for extra in database.parent.glob("nanoterm.db-*"):
        extra.unlink()
    fault(database)
    assert rows_of(nanoterm)[ws]["status"] == "running"
    assert nanoterm.ok("exec", ws, "--", "cat", "/workspace/kept").stdout == b"kept"
    assert list(data_of(nanoterm).rglob("nanoterm.db.corrupt-*"))
    nanoterm.ok("ws", "rm", ws)


def test_a_newer_database_is_refused_and_left_alone(fresh):
    nanoterm = fresh()
    ws = nanoterm.create("--no-internet")
    stop(nanoterm)
    database = database_of(nanoterm)
    connection = sqlite3.connect(database)
    schema = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute("PRAGMA user_version = 9999")
    connection.commit()
    connection.close()
    done = nanoterm("--json", "ws", "list")
    assert done.status == 1 and "schema 9999" in done.stderr.decode(), done
    assert not list(data_of(nanoterm).rglob("*corrupt*"))
    connection = sqlite3.connect(database)
    connection.execute(f"PRAGMA user_version = {schema}")
    connection.commit()
    connection.close()
    assert ws in rows_of(nanoterm)


def test_a_broken_config_is_named(fresh):
    nanoterm = fresh()
    (nanoterm.home / ".nanoterm").mkdir(mode=0o700)
    config = nanoterm.home / ".nanoterm/config.json"
    config.write_text("{ not json")
    config.chmod(0o600)
    done = nanoterm("--json", "ws", "list")
    assert done.status == 1 and done.error["kind"] == "config" and "config.json" in done.error["message"], done
    config.unlink()
    nanoterm.ok("ws", "list")


def test_after_a_reboot_workspaces_are_stopped_and_start(fresh):
    """Another boot id in the record: whoever has that process number now is a stranger, and never signalled."""
    nanoterm = fresh()
    ws = nanoterm.create("--no-internet")
    nanoterm.ok("files", "write", ws, "/workspace/kept", input=b"kept")
    record = record_of(nanoterm, ws)
    words = record.read_text().split()
    server, guest = nanoterm.server_pid(), int(words[1])
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: not is_alive(server), 20, "the server to end")
    os.kill(guest, signal.SIGKILL)
    wait_until(lambda: not is_alive(guest), 20, "the guest to end")
    # The stranger is this very test.
    words[0] = "00000000-0000-4000-8000-000000000000"
    words[1] = str(os.getpid())
    words[2] = pathlib.Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]
    record.write_text(" ".join(words) + "\n")
    assert rows_of(nanoterm)[ws]["status"] == "stopped"
    nanoterm.ok("ws", "start", ws)
    assert nanoterm.ok("exec", ws, "--", "cat", "/workspace/kept").stdout == b"kept"
    nanoterm.ok("ws", "rm", ws)  # and we are still here


def test_create_and_kill_cycles_leave_nothing(fresh):
    """The server or the guest is killed at a random point of a create; afterwards rm takes all away."""
    nanoterm = fresh()
    nanoterm.ok("ws", "list")
    seen = set()
    for turn in range(TIMES):
        client = nanoterm.start("--json", "ws", "create", "--no-internet")
        time.sleep(random.random() * 0.05)  # the random point
        pid = nanoterm.server_pid()
        if pid:
            os.kill(pid, signal.SIGKILL)
        out, _ = client.communicate(timeout=120)
        if client.returncode == 0:
            seen.add(json.loads(out)["id"])
        rows = rows_of(nanoterm)
        for ws in set(rows) & seen:
            if rows[ws]["status"] == "running" and random.random() < 0.5:
                os.kill(int(record_of(nanoterm, ws).read_text().split()[1]), signal.SIGKILL)
        assert seen <= set(rows), "what was acknowledged is there"
        for ws in rows:
            wait_until(lambda: nanoterm("ws", "rm", ws).status in (0, 3), 60, f"{ws} to go")
            nanoterm.made.append(ws)
        seen.clear()
    stop(nanoterm)
    assert leftovers(nanoterm.home, nanoterm.made) == []
    assert cgroups_of(nanoterm.made) == []
    assert [path for path in data_of(nanoterm).rglob("ws_*")] == []


def test_the_server_is_killed_while_eight_clients_work(fresh):
    nanoterm = fresh()
    ws = nanoterm.create("--no-internet")
    acknowledged, over, lock = [], threading.Event(), threading.Lock()

    def client(number):
        i = 0
        while not over.is_set():
            i += 1
            path = f"/workspace/{number}-{i}"
            if nanoterm("files", "write", ws, path, input=path.encode()).status == 0:
                with lock:
                    acknowledged.append(path)

    clients = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in clients:
        thread.start()
    try:
        for _ in range(TIMES):
            before = len(acknowledged)
            wait_until(lambda: len(acknowledged) > before and nanoterm.server_pid(), 60, "progress between kills")
            pid = nanoterm.server_pid()
            if pid:
                os.kill(pid, signal.SIGKILL)
    finally:
        over.set()
        for thread in clients:
            thread.join()
    listing = nanoterm.ok("exec", ws, "--", "sh", "-c", "cd /workspace && for f in *; do echo $f $(cat $f); done").text
    there = dict(line.split(" ", 1) for line in listing.splitlines())
    for path in acknowledged:
        assert there[path.rsplit("/", 1)[1]] == path
    nanoterm.ok("ws", "rm", ws)
