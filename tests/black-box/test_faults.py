# SPDX-License-Identifier: Apache-2.0
"""Faults: broken files, a reboot, and programs of ours killed at any point. Nothing acknowledged is lost, nothing is left.

How often the server is killed while clients work is NANOTERM_KILLS, how often something is made and killed NANOTERM_CYCLES
(20 each; tests/stress/run takes 100 and 200).
"""
import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

from conftest import cgroups_of, is_alive, leftovers, wait_until

KILLS = int(os.environ.get("NANOTERM_KILLS", "20"))
CYCLES = int(os.environ.get("NANOTERM_CYCLES", "20"))


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


def told(nanoterm, ws):
    """All that the server says of a workspace, but for what it counts or measures."""
    status, row = nanoterm.api("GET", f"/v1/sandboxes/{ws}")
    assert status == 200
    for name in ("notice", "started_at", "timeout_at", "expires_at", "remaining_ms", "uptime_ms"):
        row.pop(name, None)
    return row


def test_a_rebuilt_database_knows_all_it_knew(fresh):
    """Name, image, size, organisation, ports, environment: from the record beside each workspace."""
    nanoterm = fresh()
    nanoterm.ok("ws", "list")  # the server runs
    status, made = nanoterm.api("POST", "/v1/sandboxes", {
        "name": "the-first", "size": "medium", "internet_access": False, "ports": [{"port": 8080}], "metadata": {"a": ["b"]},
        "envs": {"GREETING": "hello"}, "cwd": "/tmp"})
    assert status in (200, 201), made
    runs = made["id"]
    nanoterm.made.append(runs)
    stopped = nanoterm.create("--name", "the-second", "-p", "9090")
    later = nanoterm.api("POST", f"/v1/sandboxes/{runs}/ports", {"port": 8081})[1]["host_port"]
    gone = nanoterm.api("POST", f"/v1/sandboxes/{runs}/ports", {"port": 8082})[1]["host_port"]
    assert nanoterm.api("DELETE", f"/v1/sandboxes/{runs}/ports/{gone}")[0] == 204
    assert nanoterm.api("POST", f"/v1/sandboxes/{runs}/timeout", {"timeout_ms": 7200000})[0] == 200
    nanoterm.ok("ws", "stop", stopped, "--grace", "0")
    before = {ws: told(nanoterm, ws) for ws in (runs, stopped)}
    ports = {ws: [port for port in nanoterm.ok("--json", "ws", "ports", ws).json if port["kind"] == "mapped"]
             for ws in (runs, stopped)}
    assert {port["port"] for port in ports[runs]} == {8080, 8081} and later in [port["host_port"] for port in ports[runs]]
    assert [port["port"] for port in ports[stopped]] == [9090]
    stop(nanoterm)
    database = database_of(nanoterm)

    def organisations():
        connection = sqlite3.connect(database)
        rows = connection.execute("SELECT id, org_id FROM workspaces ORDER BY id").fetchall()
        rows += connection.execute("SELECT value FROM meta WHERE key = 'owner_org'").fetchall()
        connection.close()
        return rows

    owners = organisations()
    for extra in database.parent.glob("nanoterm.db-*"):
        extra.unlink()
    no_database(database)
    assert rows_of(nanoterm)[runs]["name"] == "the-first"
    for ws in (runs, stopped):
        assert told(nanoterm, ws) == before[ws]
        assert [port for port in nanoterm.ok("--json", "ws", "ports", ws).json if port["kind"] == "mapped"] == ports[ws]
    nanoterm.ok("ws", "start", "the-second")
    assert nanoterm.ok("exec", "the-first", "--", "printenv", "GREETING").text == "hello\n"
    stop(nanoterm)
    assert organisations() == owners
    for ws in (runs, stopped):
        nanoterm.ok("ws", "rm", ws)


def test_a_damaged_record_costs_only_the_settings(fresh):
    nanoterm = fresh()
    ws = nanoterm.create("--no-internet", "--name", "once")
    stop(nanoterm)
    database = database_of(nanoterm)
    for extra in database.parent.glob("nanoterm.db-*"):
        extra.unlink()
    no_database(database)
    record_of(nanoterm, ws).with_name("record.json").write_text('{"id": "ws_other", "name": "../../etc"')
    row = rows_of(nanoterm)[ws]
    assert row["status"] == "running" and row["name"] == ws.replace("_", "-"), row
    assert "lost" in row["notice"]
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


@pytest.fixture
def small_disk(fresh):
    """A program whose home is a disk of 48 MiB; only root can mount one."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    nanoterm = fresh()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=700", "nt-small", nanoterm.home], check=True)
    yield nanoterm
    for row in nanoterm("--json", "ws", "list").json:
        nanoterm("ws", "rm", row["id"])
    stop(nanoterm)
    subprocess.run(["umount", nanoterm.home], check=True)


def test_a_full_disk_is_named_and_loses_nothing(small_disk):
    nanoterm = small_disk
    ws = nanoterm.create("--no-internet", "--name", "kept")
    nanoterm.ok("files", "write", ws, "/workspace/kept", input=b"kept")
    stopped = nanoterm.create("--no-internet")
    nanoterm.ok("ws", "stop", stopped)
    server = nanoterm.server_pid()
    fill = nanoterm.home / "fill"
    with pytest.raises(OSError, match="No space left"), open(fill, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    for words in (["ws", "create"], ["ws", "stop", ws], ["ws", "rm", stopped]):
        done = nanoterm("--json", *words)
        assert done.status == 1 and done.error["code"] == "disk_full" and done.error["status"] == 507, done
        assert "disk" in done.error["hint"]
    done = nanoterm("--json", "files", "write", ws, "/workspace/lost", input=bytes(100000))
    assert done.status == 2 and "No space left" in done.error["message"], done
    done = nanoterm("exec", ws, "--", "sh", "-c", "echo more > /workspace/more")
    assert done.status != 0 and b"no space left on the disk" in done.stderr, done
    assert rows_of(nanoterm)[ws]["status"] == "running"
    assert rows_of(nanoterm)[stopped]["status"] == "stopped"
    assert nanoterm.ok("exec", ws, "--", "cat", "/workspace/kept").stdout == b"kept"
    fill.unlink()
    assert nanoterm.server_pid() == server
    assert set(rows_of(nanoterm)) == {ws, stopped}
    nanoterm.ok("ws", "start", stopped)
    nanoterm.ok("files", "write", ws, "/workspace/more", input=b"more")
    nanoterm.ok("ws", "rm", nanoterm.create("--no-internet"))
    assert nanoterm.ok("exec", ws, "--", "cat", "/workspace/kept", "/workspace/more").stdout == b"keptmore"


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
    for _ in range(CYCLES):
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
        for _ in range(KILLS):
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


def launcher_of(nanoterm):
    """The launcher that is at work for this home's server; None: there is none now."""
    program = b"nanoterm-launch"
    home = os.fsencode(str(nanoterm.home))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            parent = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
            environ = pathlib.Path(f"/proc/{parent}/environ").read_bytes()
        except OSError:
            continue
        if program in command.split(b"\0")[0] and b"HOME=" + home in environ.split(b"\0"):
            return int(pid)
    return None


def test_the_launcher_is_killed_while_it_creates(fresh):
    """A create then fails with a type, or succeeds; the same request again makes it, once, and nothing is left."""
    nanoterm = fresh()
    nanoterm.ok("ws", "list")
    hits = 0
    for i in range(40):
        if hits == 5:
            break
        words = ("--json", "api", "POST", "/v1/sandboxes", "-F", "internet_access=false", "-H", f"Idempotency-Key: create-{i}")
        client = nanoterm.start(*words)
        while client.poll() is None:
            pid = launcher_of(nanoterm)
            if pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                    hits += 1
                except ProcessLookupError:
                    pass
                break
        out, err = client.communicate(timeout=120)
        if client.returncode:
            error = json.loads(err.decode().splitlines()[-1])
            assert error["code"] and error["kind"] != "internal", error
            assert len(rows_of(nanoterm)) == 0, "what has failed is not there"
        made = nanoterm.ok(*words, timeout=120).json["body"]
        assert set(rows_of(nanoterm)) == {made["id"]}, "one, whatever happened to the first attempt"
        nanoterm.made.append(made["id"])
        nanoterm.ok("exec", made["id"], "--", "true")
        nanoterm.ok("ws", "rm", made["id"])
    assert hits, "no launcher was met"
    stop(nanoterm)
    assert leftovers(nanoterm.home, nanoterm.made) == []
    assert [path for path in data_of(nanoterm).rglob("ws_*")] == []
