# SPDX-License-Identifier: Apache-2.0
"""The embedded server: one of it, whatever races; and what it holds outlives it."""
import os
import signal
import stat
import threading
import time

from conftest import cgroups_of, is_alive, wait_until


def servers_of(nanoterm):
    """Servers of a home; as root each has an API process beside it, which is not counted."""
    found = []
    home = os.fsencode(f"HOME={nanoterm.home}")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            with open(f"/proc/{pid}/environ", "rb") as f:
                environ = f.read().split(b"\0")
        except OSError:
            continue
        if b"serve" in words and b"--api-process" not in words and home in environ and is_alive(int(pid)):
            found.append(int(pid))
    return found


def stop(nanoterm):
    pid = nanoterm.server_pid()
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid), 20, "the server to end")


def test_eight_clients_at_once_make_one_server(fresh):
    nanoterm = fresh()
    for _ in range(25):
        clients = [nanoterm.start("--json", "ws", "list") for _ in range(8)]
        for client in clients:
            out, err = client.communicate(timeout=60)
            assert client.returncode == 0, err
        assert len(servers_of(nanoterm)) == 1
        stop(nanoterm)


def test_the_runtime_folder_is_the_users_alone(fresh):
    nanoterm = fresh()
    nanoterm.ok("ws", "list")
    assert stat.S_IMODE(nanoterm.runtime.stat().st_mode) == 0o700
    assert stat.S_IMODE((nanoterm.runtime / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE((nanoterm.runtime / "sock").stat().st_mode) & 0o077 == 0


def test_the_socket_needs_the_token(fresh):
    """Another program of the same user that has no token is no client."""
    import http.client
    import socket
    nanoterm = fresh()
    nanoterm.ok("ws", "list")

    def ask(headers):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(nanoterm.runtime / "sock"))
        connection.request("GET", "/v1/sandboxes", headers=headers)
        return connection.getresponse().status

    token = (nanoterm.runtime / "token").read_text().strip()
    assert ask({}) == 401
    assert ask({"X-Nanoterm-Local-Token": "0" * len(token)}) == 401
    assert ask({"X-Nanoterm-Local-Token": token}) == 200


def test_a_server_that_is_killed_loses_nothing(fresh):
    """SIGKILL of the server 20 times while clients work: what was acknowledged is there, and programs run on."""
    nanoterm = fresh()
    ws = nanoterm.create()
    keeper = nanoterm.start("exec", ws, "--", "sh", "-c", "echo ready; read line; echo got $line", stdin=-1)
    assert keeper.stdout.readline() == b"ready\n"
    acknowledged, over = [], threading.Event()
    lock = threading.Lock()

    def client(number):
        i = 0
        while not over.is_set():
            i += 1
            path = f"/workspace/{number}-{i}"
            if nanoterm("files", "write", ws, path, input=path.encode()).status == 0:
                with lock:
                    acknowledged.append(path)

    clients = [threading.Thread(target=client, args=(n,)) for n in range(3)]
    for thread in clients:
        thread.start()
    try:
        for kill in range(20):
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
    # The exec on the fast path has no server in its way: it lived through all of it.
    out, _ = keeper.communicate(b"hello\n", timeout=20)
    assert out == b"got hello\n" and keeper.returncode == 0


def test_a_workspace_lives_on_without_the_server(fresh):
    nanoterm = fresh()
    ws = nanoterm.create("--no-internet")
    nanoterm.ok("exec", ws, "--", "sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 &")
    stop(nanoterm)
    assert nanoterm.ok("exec", ws, "--", "pgrep", "-x", "sleep").status == 0
    assert [row["status"] for row in nanoterm.ok("--json", "ws", "list").json] == ["running"]


def test_a_broken_database_is_rebuilt_from_the_folders(fresh):
    nanoterm = fresh()
    ws = nanoterm.create()
    nanoterm.ok("exec", ws, "--", "sh", "-c", "echo kept > /workspace/kept")
    stop(nanoterm)
    data = nanoterm.home / ".nanoterm/server"
    # As root it has a folder of its own, that of the API process's user.
    [database] = [*data.glob("nanoterm.db"), *data.glob("store/nanoterm.db")]
    for extra in database.parent.glob(database.name + "-*"):
        extra.unlink()
    with open(database, "r+b") as file:  # whose it is stays
        file.write(b"this is not a database" * 1000)
    assert ws in [row["id"] for row in nanoterm.ok("--json", "ws", "list").json]
    assert nanoterm.ok("exec", ws, "--", "cat", "/workspace/kept").stdout == b"kept\n"
    assert list(database.parent.glob("*corrupt*"))


def test_create_and_remove_leaves_nothing(fresh):
    nanoterm = fresh()
    for _ in range(10):
        nanoterm.ok("ws", "rm", nanoterm.create())
    folder = nanoterm.home / ".nanoterm/server"
    left = [path for path in folder.rglob("ws_*")]
    assert left == []
    assert cgroups_of(nanoterm.made) == []


def guest_of(nanoterm, ws):
    """The process that is PID 1 of a workspace; the engine writes it down."""
    [record] = (nanoterm.home / ".nanoterm/server").rglob(f"{ws}/run")
    return int(record.read_text().split()[1])


def row_of(nanoterm, ws):
    return next((row for row in nanoterm.ok("--json", "ws", "list").json if row["id"] == ws), None)


def test_the_end_of_its_time_removes_or_stops(fresh):
    """The guest ends by itself; the server does what the owner asked for, and nothing is left."""
    nanoterm = fresh()
    nanoterm.ok("ws", "list")
    for action, status in (("destroy", None), ("hibernate", "stopped")):
        code, made = nanoterm.api("POST", "/v1/sandboxes", {"timeout_ms": 600000, "timeout_action": action})
        assert code == 201, made
        ws = made["id"]
        nanoterm.made.append(ws)
        nanoterm.ok("files", "write", ws, "/workspace/kept", input=b"kept")
        guest = guest_of(nanoterm, ws)
        code, answer = nanoterm.api("POST", f"/v1/sandboxes/{ws}/timeout", {"timeout_ms": 1000, "timeout_action": action})
        assert code == 200, answer
        wait_until(lambda: not is_alive(guest), 60, "the guest to end")
        wait_until(lambda: (row_of(nanoterm, ws) or {}).get("status") == status, 60, f"{ws} to become {status}")
        wait_until(lambda: cgroups_of([ws]) == [], 60, "its cgroups to go")
        if status:
            nanoterm.ok("ws", "start", ws)
            assert nanoterm.ok("exec", ws, "--", "cat", "/workspace/kept").stdout == b"kept"


def test_a_guest_that_is_killed_is_a_stopped_workspace(fresh):
    """Also one with a time limit that has not passed: its files are kept, and its row says what happened."""
    nanoterm = fresh()
    nanoterm.ok("ws", "list")
    code, made = nanoterm.api("POST", "/v1/sandboxes", {"timeout_ms": 600000, "timeout_action": "destroy"})
    assert code == 201, made
    ws = made["id"]
    nanoterm.made.append(ws)
    os.kill(guest_of(nanoterm, ws), signal.SIGKILL)
    wait_until(lambda: row_of(nanoterm, ws)["status"] == "stopped", 10, "the row to say so")
    assert "by itself" in row_of(nanoterm, ws)["notice"]
    wait_until(lambda: cgroups_of([ws]) == [], 5, "its cgroups to go")
    nanoterm.ok("ws", "start", ws)


def test_start_notices_that_the_guest_was_killed(fresh):
    """Whatever the row still says: after `ws start` has answered, the workspace runs. Without it, commands say that it
    does not."""
    nanoterm = fresh()
    ws = nanoterm.create("--no-internet")
    nanoterm.ok("files", "write", ws, "/workspace/kept", input=b"kept")
    for _ in range(5):
        guest = guest_of(nanoterm, ws)
        os.kill(guest, signal.SIGKILL)
        assert nanoterm.ok("--json", "ws", "start", ws).json["status"] == "running"
        assert guest_of(nanoterm, ws) != guest
        assert nanoterm.ok("exec", ws, "--", "cat", "/workspace/kept").stdout == b"kept"
    for words in (("exec", ws, "--", "true"), ("files", "write", ws, "/workspace/b"), ("job", "list", ws)):
        guest = guest_of(nanoterm, ws)
        os.kill(guest, signal.SIGKILL)
        wait_until(lambda: not is_alive(guest), 10, "the guest to end")
        done = nanoterm("--json", *words, input=b"")
        assert done.status == 7 and done.error["code"] == "sandbox_not_ready", done.error
        nanoterm.ok("ws", "start", ws)
        nanoterm.ok(*words, input=b"")


def test_start_of_a_frozen_workspace_says_that_it_is_unreachable(fresh):
    nanoterm = fresh()
    ws = nanoterm.create("--no-internet")
    guest = guest_of(nanoterm, ws)
    os.kill(guest, signal.SIGSTOP)
    try:
        started = nanoterm.ok("--json", "ws", "start", ws).json
        assert started["status"] == "running" and started["unreachable"] is True
    finally:
        os.kill(guest, signal.SIGCONT)
    assert guest_of(nanoterm, ws) == guest
    nanoterm.ok("exec", ws, "--", "true")


def test_a_new_server_knows_how_firmly_limits_hold(fresh):
    nanoterm = fresh()
    ws = nanoterm.create()
    before = row_of(nanoterm, ws)["limits"]
    assert before["pids"] != "none"
    os.kill(nanoterm.server_pid(), signal.SIGKILL)
    assert row_of(nanoterm, ws)["limits"] == before


def test_a_server_that_is_asked_now_and_then_is_not_idle(fresh):
    """Its timer comes four times in that time, and hardly ever meets a request that takes a millisecond."""
    nanoterm = fresh()
    nanoterm.ok("config", "set", "server.idle_ms", "3000")
    nanoterm.ok("ws", "list")
    first = nanoterm.server_pid()
    begin = last = time.monotonic()
    give_up = begin + 60
    while last - begin < 7:
        time.sleep(0.1)
        status = nanoterm.api("GET", "/v1/sandboxes")[0]
        now = time.monotonic()
        if now - last > 1.5 and now < give_up:  # the machine stood still: from here on, then
            begin, first = now, nanoterm.server_pid()
        last = now
        assert status == 200
    assert nanoterm.server_pid() == first


def test_an_idle_server_leaves_and_the_next_command_starts_another(fresh):
    nanoterm = fresh()
    nanoterm.ok("config", "set", "server.idle_ms", "300")
    ws = nanoterm.create("--no-internet")
    first = nanoterm.server_pid()
    wait_until(lambda: not is_alive(first), 30, "the idle server to leave")
    assert not (nanoterm.runtime / "sock").exists()
    assert nanoterm.ok("exec", ws, "--", "echo", "here").stdout == b"here\n"
    assert nanoterm.server_pid() != first
