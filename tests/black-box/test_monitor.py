# SPDX-License-Identifier: Apache-2.0
"""The server of root is two processes: a monitor, and an API process that reads the network as nobody."""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from conftest import BIN, is_alive, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server is two processes")


def api_of(nanoterm):
    """The API process beside the server: its child."""
    monitor = nanoterm.server_pid()
    with open(f"/proc/{monitor}/task/{monitor}/children") as children:
        pids = [int(pid) for pid in children.read().split()]
    [api] = [pid for pid in pids if b"--api-process" in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")]
    return monitor, api


def status_of(pid):
    with open(f"/proc/{pid}/status") as status:
        return dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)


def test_the_api_process_is_nobody(fresh):
    nanoterm = fresh()
    nanoterm.ok("ws", "list")
    monitor, api = api_of(nanoterm)
    status = status_of(api)
    for kind in ("Uid", "Gid"):
        ids = set(status[kind].split())
        assert len(ids) == 1 and ids != {"0"}, status[kind]
    assert status["Groups"].strip() == ""
    assert {int(status[name], 16) for name in status if re.fullmatch("Cap...", name)} == {0}
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert status["Name"] == "nanoterm-api" and status_of(monitor)["Name"] == "nanoterm-engine"
    for pid in (monitor, api):
        with open(f"/proc/{pid}/limits") as limits:
            [core] = [line.split() for line in limits if line.startswith("Max core file size")]
        assert core[4:6] == ["0", "0"]


def test_the_api_process_holds_nothing_of_roots(fresh):
    nanoterm = fresh()
    ws = nanoterm.create()
    nanoterm.ok("exec", ws, "--", "true")
    _, api = api_of(nanoterm)
    data = nanoterm.home / ".nanoterm/server"
    for fd in os.listdir(f"/proc/{api}/fd"):
        try:
            target = os.readlink(f"/proc/{api}/fd/{fd}")
        except FileNotFoundError:
            continue  # a connection that has just ended
        assert (re.match(r"(socket|pipe|anon_inode):", target) or target == "/dev/null" or target.endswith("/serve.so")
                or target in (f"{data}/store", f"{data}/store/uploads", f"{data}/server.log")
                or target.startswith(f"{data}/store/nanoterm.db")), target
    with open(f"/proc/{api}/environ", "rb") as environ:
        names = {entry.split(b"=")[0] for entry in environ.read().split(b"\0") if entry}
    assert not {name for name in names if b"KEY" in name or b"TOKEN" in name}


def test_its_uid_opens_no_door(fresh):
    """What somebody in the API process's place could reach by its uid: the database, and nothing else of this home."""
    nanoterm = fresh()
    ws = nanoterm.create()
    _, api = api_of(nanoterm)
    uid = status_of(api)["Uid"].split()[0]
    data = nanoterm.home / ".nanoterm/server"
    os.chmod(nanoterm.home, 0o755)  # the folders below must hold on their own
    os.chmod(nanoterm.home / ".nanoterm", 0o755)

    def can(*words):
        done = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs",
                               "--bounding-set=-all", "--inh-caps=-all", *map(str, words)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return done.returncode == 0

    assert can("true")
    assert not can("cat", "/etc/shadow")
    for path in (data / "owner.key", data / "lock", nanoterm.runtime / "token", nanoterm.runtime / "server.lock"):
        assert path.exists() and not can("cat", path)
    assert not can("ls", data) and not can("ls", nanoterm.runtime)
    [folder] = data.glob(f"engine-native/ws/{ws}")
    assert not can("ls", folder) and not can("touch", data / "engine-native/ws/new")
    assert not can("kill", nanoterm.server_pid())
    store = (data / "store").stat()
    assert store.st_uid == int(uid) and store.st_mode & 0o777 == 0o700
    assert {path.stat().st_uid for path in data.iterdir() if path.name != "store"} == {0}


@pytest.mark.parametrize("victim", ["monitor", "api"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_one_ends_with_the_other(fresh, victim, number):
    nanoterm = fresh()
    ws = nanoterm.create()
    nanoterm.ok("files", "write", ws, "/workspace/kept", input=b"kept")
    monitor, api = api_of(nanoterm)
    os.kill(monitor if victim == "monitor" else api, number)
    wait_until(lambda: not is_alive(monitor) and not is_alive(api), 20, "both to end")
    assert nanoterm.ok("exec", ws, "--", "cat", "/workspace/kept").stdout == b"kept"
    assert api_of(nanoterm)[0] != monitor


def test_a_database_of_an_older_version_is_moved(fresh):
    nanoterm = fresh()
    ws = nanoterm.create("--name", "kept-name")
    monitor, api = api_of(nanoterm)
    uid = int(status_of(api)["Uid"].split()[0])
    os.kill(monitor, signal.SIGKILL)  # a journal stays, too
    wait_until(lambda: not is_alive(monitor) and not is_alive(api), 20, "both to end")
    data = nanoterm.home / ".nanoterm/server"
    for path in (data / "store").iterdir():
        os.chown(path, 0, 0)
        path.rename(data / path.name)
    (data / "store").rmdir()
    assert [(row["id"], row["name"]) for row in nanoterm.ok("--json", "ws", "list").json] == [(ws, "kept-name")]
    assert not list(data.glob("nanoterm.db*"))
    assert {path.stat().st_uid for path in [data / "store", *(data / "store").iterdir()]} == {uid}


def test_a_store_that_was_tampered_with_gives_nothing_away(fresh):
    """Handed from one uid to another, a file with a second name and a link stay whose they are."""
    nanoterm = fresh()
    nanoterm.ok("ws", "list")
    monitor, api = api_of(nanoterm)
    uid = int(status_of(api)["Uid"].split()[0])
    os.kill(monitor, signal.SIGTERM)
    wait_until(lambda: not is_alive(monitor), 20, "the server to end")
    store = nanoterm.home / ".nanoterm/server/store"
    for path in [store, *store.iterdir()]:
        os.chown(path, 4242, 4242)
    secret = nanoterm.home / "secret"
    secret.write_text("root's")
    os.link(secret, store / "hard")
    os.symlink(secret, store / "soft")
    nanoterm.ok("ws", "list")
    assert secret.stat().st_uid == 0 and (store / "nanoterm.db").stat().st_uid == uid
    assert (store / "uploads").stat().st_uid == uid  # a new one: what others have written is not taken up


def test_a_hand_over_keeps_workspaces_and_what_runs(fresh):
    nanoterm = fresh()
    ws = nanoterm.create()
    keeper = nanoterm.start("exec", ws, "--", "sh", "-c", "echo ready; read line; echo got $line", stdin=-1)
    assert keeper.stdout.readline() == b"ready\n"
    monitor, api = api_of(nanoterm)
    code, _ = nanoterm.api("POST", "/v1/local/handover", {"binary": os.path.realpath(BIN)})
    assert code == 202
    wait_until(lambda: not is_alive(api), 20, "the API process to leave")
    assert [row["status"] for row in nanoterm.ok("--json", "ws", "list").json] == ["running"]
    after, other = api_of(nanoterm)
    assert after == monitor and other != api
    out, _ = keeper.communicate(b"hello\n", timeout=20)
    assert out == b"got hello\n"


def test_no_other_program_is_handed_over_to(fresh):
    nanoterm = fresh()
    nanoterm.ok("ws", "list")
    own = nanoterm.home / "nanoterm"
    shutil.copy(BIN, own)
    os.chown(own, 4242, 4242)
    for program in ("/bin/true", "/usr/bin/env", str(own), "nanoterm", "/nowhere/nanoterm"):
        code, _ = nanoterm.api("POST", "/v1/local/handover", {"binary": program})
        assert 400 <= code < 500 or (code == 500 and program.startswith("/nowhere")), (program, code)
    monitor, api = api_of(nanoterm)
    assert is_alive(monitor) and is_alive(api)


def test_the_foreground_server_of_root_says_the_same(fresh):
    """--listen: root binds, nobody serves; the owner's key is a file of root's."""
    nanoterm = fresh()
    data = nanoterm.home / "data"
    process = nanoterm.start("serve", "--listen", "127.0.0.1:0", "--data", data)
    try:
        lines = [process.stderr.readline().decode()]
        while "http://" not in lines[-1]:
            lines.append(process.stderr.readline().decode())
            assert lines[-1], lines
        assert f"{data}/owner.key (new)" in lines[0], lines
        [port] = re.findall(r"http://127\.0\.0\.1:(\d+)", lines[-1])
        assert (data / "owner.key").stat().st_uid == 0 and (data / "owner.key").stat().st_mode & 0o777 == 0o600
        env = {**nanoterm.env, "NANOTERM_API_URL": f"http://127.0.0.1:{port}",
               "NANOTERM_API_KEY": (data / "owner.key").read_text().strip()}
        made = nanoterm.ok("--json", "ws", "create", "--no-internet", env=env, timeout=120).json["id"]
        assert nanoterm.ok("exec", made, "--", "echo", "here", env=env).stdout == b"here\n"
        nanoterm.ok("ws", "rm", made, env=env)
    finally:
        process.terminate()
        assert process.wait(30) == 0, process.stderr.read()
        process.stdout.close()
        process.stderr.close()


def test_a_root_without_other_users_is_told(fresh):
    """In a user namespace with one user there is nobody whom the API process could be."""
    alone = fresh()
    if subprocess.run(["unshare", "--map-root-user", "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    done = subprocess.run(["unshare", "--map-root-user", BIN, "--json", "ws", "list"], env=alone.env, cwd=alone.home, timeout=120,
                          stdin=subprocess.DEVNULL, capture_output=True)
    error = json.loads(done.stderr.splitlines()[-1])
    assert done.returncode != 0 and error["code"] == "sandbox_unavailable" and "is not mapped" in error["message"], done
    assert "not root" in error["hint"]
