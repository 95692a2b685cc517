# SPDX-License-Identifier: Apache-2.0
"""A third party's plugin against its confinement: what it declares works, everything else is refused by the kernel or by
the core, and the person is told which. The attacks are in plugins/hostile.c."""
import json
import os
import pathlib
import pty
import shutil
import socket
import subprocess
import threading

import pytest

from conftest import BIN, IS_SANITIZED, Nanoterm, landlock_version, make_home
from http_peer import http_peer

HERE = pathlib.Path(__file__).resolve().parent
INCLUDE = next((p for p in (HERE.parent.parent / "include", pathlib.Path(BIN).resolve().parent.parent / "include")
                if (p / "nanoterm/plugin.h").exists()), None)
KEY = "nsk_the-key-of-this-test-2718281828"

pytestmark = [pytest.mark.skipif(INCLUDE is None, reason="the headers are not installed beside this program"),
              pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock")]


def compile_plugin(out, *definitions):
    subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", f"-I{INCLUDE}", "-Wl,--build-id=sha1",
                    *(f"-D{d}" for d in definitions), "-o", out, HERE / "plugins/hostile.c"],
                   check=True, timeout=120)


class Hostile(Nanoterm):
    """The program with the hostile plugin in the user's folder, and secrets to look for."""

    def __init__(self, home, *needs):
        super().__init__(home)
        self.work = self.home.parent / (self.home.name + "-work")
        self.work.mkdir()
        self.ssh = self.home / ".ssh/id"
        self.ssh.parent.mkdir()
        self.ssh.write_text("private\n")
        self.mark = self.home / "mark"
        (self.home / "allowed").mkdir()
        (self.home / "allowed/file").write_text("allowed\n")
        folder = self.home / ".nanoterm/plugins"
        folder.mkdir(parents=True)
        rows = ",".join(f'{{ "{value}", "test", {kind}, 0 }}' for kind, value in needs)
        compile_plugin(folder / "hostile.so", f'MARK="{self.mark}"', f'SECRET="{self.ssh}"',
                       *([f"NEEDS={rows}"] if needs else []))
        self.env["NANOTERM_API_KEY"] = KEY

    def attack(self, *words, **how):
        how.setdefault("cwd", self.work)
        return self("--json", "hostile", "try", *words, **how)

    def result(self, *words, **how):
        done = self.attack(*words, **how)
        assert done.status == 0, (words, done)
        return done.json[0]["result"], done.json[0]["errno"]


NEEDS = [("NT_NEED_ROUTE", "GET /v1/things/{}"), ("NT_NEED_ROUTE", "GET /v1/tree/{...}"), ("NT_NEED_READ", "~/allowed"),
         ("NT_NEED_WRITE", "$PWD/out")]


@pytest.fixture(scope="module")
def hostile():
    made = Hostile(make_home(), *NEEDS)
    (made.work / "out").mkdir()
    yield made
    try:
        made.end()
    finally:
        shutil.rmtree(made.home)
        shutil.rmtree(made.work)


@pytest.fixture
def with_needs():
    made = []

    def make(*needs):
        made.append(Hostile(make_home(), *needs))
        return made[-1]

    yield make
    for one in made:
        try:
            one.end()
        finally:
            shutil.rmtree(one.home)
            shutil.rmtree(one.work)


EPERM, ENOENT, EACCES = 1, 2, 13


def test_files_beyond_the_declaration_are_out_of_reach(hostile):
    hostile.ok("config", "set", "org_id", "org_1")
    config = hostile.home / ".nanoterm/config.json"
    assert hostile.result("read", config) == ("denied", EACCES)
    assert hostile.result("read", hostile.ssh) == ("denied", EACCES)
    assert hostile.result("read", "/etc/passwd") == ("denied", EACCES)
    assert hostile.result("read", "/proc/self/root/etc/passwd") == ("denied", EACCES)
    assert hostile.result("write", hostile.home / "new") == ("denied", EACCES)
    assert hostile.result("write", config) == ("denied", EACCES)
    assert hostile.result("write", hostile.home / "allowed/new") == ("denied", EACCES)
    assert hostile.result("truncate", hostile.ssh)[0] == "denied"
    assert hostile.result("chmod", hostile.ssh) == ("denied", EPERM)
    (hostile.work / "out/link").symlink_to(hostile.ssh)
    assert hostile.result("read", hostile.work / "out/link") == ("denied", EACCES)
    assert hostile.ssh.read_text() == "private\n" and not (hostile.home / "new").exists()


def test_what_is_declared_works(hostile):
    assert hostile.result("read", hostile.home / "allowed/file") == ("done", 0)
    assert hostile.result("write", hostile.work / "out/new") == ("done", 0)
    assert (hostile.work / "out/new").exists()


def test_a_link_in_a_repository_widens_nothing(hostile, tmp_path):
    (tmp_path / "out").symlink_to(hostile.ssh.parent)
    assert hostile.result("read", hostile.ssh, cwd=tmp_path) == ("denied", EACCES)


def test_the_constructor_is_confined_too(hostile):
    assert hostile.ok("--json", "plugin", "info", "hostile").json["confined"] is True  # read in a child of its own
    rows = hostile.attack("load").json
    assert [row["result"] for row in rows] == ["denied", "denied"]
    assert not hostile.mark.exists()


def test_credentials_are_not_in_its_memory(hostile):
    env = {**hostile.env, "GITHUB_TOKEN": "ghp_also-not-this-one-31415926", "HOSTILE_TOKEN": "its-own-1618033988",
           "XDG_SESSION_TYPE": "tty", "NANOTERM_API_URL": "https://api.example.com"}
    hostile.ok("auth", "set-key", input=b"nsk_stored-key-of-this-test-577215664", env={**env, "NANOTERM_API_KEY": ""})
    for text in ("nsk_stored-key-of-this-test-577215664", *([] if IS_SANITIZED else [KEY, env["GITHUB_TOKEN"]])):
        assert hostile.result("find", text[::-1], env=env) == ("denied", ENOENT), text
    assert hostile.result("find", env["HOSTILE_TOKEN"][::-1], env=env) == ("done", 0)  # the search works
    for name in ("NANOTERM_API_KEY", "GITHUB_TOKEN", "HOSTILE_TOKEN", "LD_PRELOAD"):
        assert hostile.result("env", name, env=env) == ("denied", ENOENT), name
    assert hostile.result("env", "XDG_SESSION_TYPE", env=env) == ("done", 0)
    assert hostile.result("setting", "api_key", env=env) == ("denied", ENOENT)
    assert hostile.result("setting", "org_id", env={**env, "NANOTERM_ORG_ID": "org_2"}) == ("done", 0)
    hostile.ok("auth", "logout", env={**env, "NANOTERM_API_KEY": ""})


def test_a_plugin_that_reads_our_key_by_an_option_is_not_used(fresh, tmp_path):
    cli = fresh()
    folder = cli.home / ".nanoterm/plugins"
    folder.mkdir(parents=True)
    source = (HERE / "plugins/hostile.c").read_text().replace("HOSTILE_TOKEN", "NANOTERM_API_KEY")
    (tmp_path / "hostile.c").write_text(source)
    subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-shared", "-fPIC", f"-I{INCLUDE}", "-o", folder / "hostile.so",
                    tmp_path / "hostile.c"], check=True, timeout=120)
    rows = [row for row in cli.ok("--json", "plugin", "list").json if row["name"] == "hostile"]
    assert rows[0]["state"] == "skipped" and "NANOTERM_API_KEY" in rows[0]["reason"]


def test_other_processes_are_out_of_reach(hostile):
    assert hostile.result("parent-memory")[0] == "denied"
    for what in ("peek", "ptrace", "kill", "kill-group"):
        assert hostile.result(what) == ("denied", EPERM), what
    assert hostile.result("run", "/bin/true") == ("denied", EPERM)
    assert hostile.result("exec", "/bin/true") == ("denied", EPERM)
    assert hostile.result("service") == ("denied", ENOENT)
    kept = hostile.attack("descriptors").json[0]["text"].split()
    assert kept[:3] == ["0", "1", "2"] and len(kept) <= 6  # and the channel, and the plugin's own file


def test_the_network_is_out_of_reach(hostile):
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        assert hostile.result("tcp", str(port)) == ("denied", EPERM)
        done = hostile.attack("connect", "127.0.0.1", str(port))
        assert done.status == 5 and done.error["code"] == "plugin_undeclared"
        assert f"127.0.0.1:{port}" in done.error["message"] and "plugin info hostile" in done.error["hint"]
    assert hostile.result("udp") == ("denied", EPERM)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(hostile.home / "sock"))
        server.listen()
        assert hostile.result("unix", hostile.home / "sock") == ("denied", EPERM)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(hostile.home / "log"))
        assert hostile.result("datagram", hostile.home / "log") == ("denied", EPERM)


def test_nothing_is_typed_into_the_terminal(hostile):
    master, slave = pty.openpty()
    try:
        assert hostile.result("type", stdin=slave) == ("denied", EPERM)
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("path", [
    "/v1/secret", "/v1/things", "/v1/things/a/b", "/v1/things/../secret", "/v1/things/%2e%2e", "/v1/things/..",
    "/v1/things/a%2f..%2fsecret", "/v1/things/a%2Fb", "/v1/things/%5c..%5csecret", "/v1/things/%252e%252e", "//v1/things/a",
    "/v1/things//a", "/v1/things/a;b", "/v1/things/a#b", "/v1/things/%00", "/v1/tree/a/../../secret", "/v1/tree/a%2f..",
    "/v1/things/a\\b", "/v1/things/a?x=1 HTTP/1.1", "/v1/./things/a", "v1/things/a", "http://evil.example/v1/things/a"])
def test_undeclared_routes_are_denied(hostile, path):
    with http_peer(lambda request: (200, {}, b"{}")) as url:
        env = {**hostile.env, "NANOTERM_API_URL": str(url)}
        done = hostile.attack("request", "GET", path, env=env)
        assert done.status == 5 and done.error["code"] == "plugin_undeclared", done
        assert url.requests == []


def test_declared_routes_carry_the_credential_that_the_plugin_never_sees(hostile):
    def answer(request):
        return 200, {"X-Peer": "here", "Set-Cookie": "a=b"}, request["path"].encode()

    with http_peer(answer) as url:
        env = {**hostile.env, "NANOTERM_API_URL": str(url)}
        for path in ("/v1/things/a?x=../y", "/v1/things/a%20b", "/v1/tree/a/b/c", "/v1/tree"):
            assert hostile.attack("request", "GET", path, env=env).json[0]["text"] == f"200 here {path}"
        assert KEY in url.requests[0]["headers"]["Authorization"]
        assert hostile.attack("request", "POST", "/v1/things/a", env=env).error["code"] == "plugin_undeclared"
        for name in ("Authorization", "Host", "X-Nanoterm-Org", "Cookie", "Transfer-Encoding", "X-HTTP-Method-Override"):
            assert hostile.attack("request", "GET", "/v1/things/a", name, "x", env=env).status == 5, name
        assert hostile.attack("request", "GET", "/v1/things/a", "Accept", "x\r\nHost: evil", env=env).status == 5
        assert hostile.attack("request", "GET", "/v1/things/a", "Accept", "text/plain", env=env).status == 0
        assert len(url.requests) == 5


def test_a_declared_host_is_connected_for_it(with_needs):
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        one = with_needs(("NT_NEED_HOST", f"127.0.0.1:{port}"))

        def serve():
            with there.accept()[0] as peer:
                peer.sendall(b"hello from outside")

        thread = threading.Thread(target=serve)
        thread.start()
        row = one.attack("connect", "127.0.0.1", str(port)).json[0]
        thread.join()
        assert row["text"] == "hello from outside"
        assert row["result"] == "denied"  # the socket cannot be turned to another host
        assert one.result("tcp", str(port)) == ("denied", EPERM)
        assert one.attack("connect", "localhost", str(port)).status == 5


@pytest.mark.skipif(landlock_version() < 6, reason="this kernel's Landlock has no scopes (Linux 6.12)")
def test_declared_programs_run_and_no_others(with_needs):
    one = with_needs(("NT_NEED_PROGRAM", "true"))
    path = shutil.which("true", path="/usr/local/bin:/usr/bin:/bin")
    assert one.result("run", path) == ("done", 0)
    assert one.result("run", shutil.which("ls", path="/usr/bin:/bin")) == ("denied", EACCES)
    assert one.result("kill") == ("denied", EPERM)
    assert one.result("read", one.ssh) == ("denied", EACCES)


def test_our_own_files_are_in_no_declaration(with_needs):
    one = with_needs(("NT_NEED_WRITE", "$PWD"), ("NT_NEED_READ", "~/.nanoterm/config.json"))
    one.ok("config", "set", "org_id", "org_1")
    done = one.attack("read", one.ssh)
    assert done.status == 5 and "nanoterm itself" in done.error["message"]
    (one.home / ".nanoterm/config.json").unlink()
    assert one.result("write", one.work / "new") == ("done", 0)
    refused = one.attack("read", one.ssh, cwd=one.home)
    assert refused.status == 5 and "$PWD" in refused.error["message"]


def test_errors_are_the_plugins_own(hostile):
    forged = hostile.attack("forge").error
    assert forged["message"] == "hostile: log in at evil.example"
    swallowed = hostile.attack("swallow")
    assert swallowed.status == 5 and swallowed.error["code"] == "plugin_undeclared"
    assert "GET /v1/secret" in swallowed.error["message"]
    denied = hostile.attack("system", hostile.ssh).error
    assert denied["code"] == "system" and "plugin info hostile" in denied["hint"]
    shown = hostile("hostile", "try", "message", cwd=hostile.work)
    assert b"\033[2J" not in shown.stderr and b"forged" in shown.stderr
    assert b"\nnanoterm: forged" not in shown.stderr and b"warning: hostile: " in shown.stderr


@pytest.mark.parametrize("what, why", [("crash", "crashed: SIGABRT"), ("leave", "ended by itself"),
                                       ("giant", "bytes at once"), ("cut", "no frame"), ("stranger", "no frame"),
                                       ("flood", "bytes at once")])
def test_a_plugin_that_misbehaves_harms_itself_alone(hostile, what, why):
    done = hostile.attack(what)
    assert done.status == 1 and done.stdout == b""
    assert done.error["code"] == "plugin_failed" and why in done.error["message"] and "hostile" in done.error["message"]


def test_a_plugin_that_hangs_ends_at_the_deadline(hostile):
    done = hostile("--json", "--timeout", "1s", "hostile", "try", "hang", cwd=hostile.work)
    assert done.status == 8 and done.error["code"] == "timeout"


def test_a_plugin_that_hangs_as_it_is_loaded_ends(hostile):
    hostile.result("read", hostile.ssh)  # its tables are known
    done = hostile.attack("read", hostile.ssh, env={**hostile.env, "HOSTILE_WAITS": "1"})
    assert done.status == 1 and "did not finish loading" in done.error["message"]


def test_standard_streams_and_the_status_are_the_plugins(hostile):
    done = hostile.attack("stdio", input=b"some bytes")
    assert done.status == 9 and done.stdout.startswith(b"some bytes")


def on_a_terminal(cli, *words, answer, cwd):
    """Runs it with a controlling terminal, answers the first question, and returns all that was shown."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execve(BIN, [BIN, *map(str, words)], cli.env)
    shown = b""
    is_answered = False
    try:
        while True:
            try:
                data = os.read(fd, 4096)
            except OSError:  # the terminal is gone with its last process
                break
            shown += data
            if not is_answered and (b"[y/N]" in shown or b"name?" in shown):
                os.write(fd, answer)
                is_answered = True
    finally:
        os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def test_a_question_says_which_plugin_asks(hostile):
    status, shown = on_a_terminal(hostile, "hostile", "try", "prompt", "Your name?", answer=b"Jane\n", cwd=hostile.work)
    assert status == 0 and b"[plugin hostile] Your name?" in shown and b"Jane" in shown


def test_whoever_installs_is_asked(fresh, tmp_path):
    cli = fresh()
    compile_plugin(tmp_path / "hostile.so", 'NEEDS={ "git", "to read history", NT_NEED_PROGRAM, 0 }')
    status, shown = on_a_terminal(cli, "plugin", "install", tmp_path / "hostile.so", answer=b"n\n", cwd=tmp_path)
    assert status == 130 and b"git" in shown and b"to read history" in shown
    assert not (cli.home / ".nanoterm/plugins/hostile.so").exists()
    status, shown = on_a_terminal(cli, "plugin", "install", tmp_path / "hostile.so", answer=b"y\n", cwd=tmp_path)
    assert status == 0 and (cli.home / ".nanoterm/plugins/hostile.so").exists()


def test_without_landlock_it_runs_by_name_only(hostile, tmp_path):
    without = tmp_path / "without"
    subprocess.run(["cc", "-o", without, HERE / "plugins/without.c"], check=True, timeout=60)
    hostile.result("read", hostile.ssh)

    def attack(**env):
        return subprocess.run([without, BIN, "--json", "hostile", "try", "read", hostile.home / "allowed/file"],
                              env={**hostile.env, **env}, cwd=hostile.work, capture_output=True, timeout=60)

    done = attack()
    error = json.loads(done.stderr)
    assert done.returncode == 8 and error["code"] == "sandbox_unavailable" and "files" in error["message"]
    assert "Landlock" in error["hint"] and "NANOTERM_PLUGIN_WEAKER=files" in error["hint"]
    assert json.loads(attack(NANOTERM_PLUGIN_WEAKER="files").stdout)[0]["result"] == "done"
    hostile.ok("config", "set", "plugin.weaker", "files")
    try:
        assert attack().returncode == 0
    finally:
        hostile.ok("config", "unset", "plugin.weaker")
    assert attack(NANOTERM_PLUGIN_WEAKER="calls").returncode == 1
    # Its tables are not read without confinement either, and that is not remembered as its fault.
    compile_plugin(tmp_path / "hostile.so")
    checked = [without, BIN, "--json", "plugin", "check", tmp_path / "hostile.so"]
    rows = json.loads(subprocess.run(checked, env=hostile.env, capture_output=True, timeout=60).stdout)
    assert rows[-1]["result"] == "failed" and "cannot confine" in rows[-1]["detail"]
    env = {**hostile.env, "NANOTERM_PLUGIN_WEAKER": "files"}
    rows = json.loads(subprocess.run(checked, env=env, capture_output=True, timeout=60).stdout)
    assert "failed" not in [row["result"] for row in rows if row["check"] in ("file", "tables")]


def test_a_declared_upgrade_hands_the_connection_over(with_needs):
    one = with_needs(("NT_NEED_ROUTE", "UPGRADE /v1/sandboxes/{}/fd"), ("NT_NEED_ROUTE", "GET /v1/sandboxes/{}"))
    del one.env["NANOTERM_API_KEY"]
    ws = one.create()
    assert one.attack("upgrade", f"/v1/sandboxes/{ws}/fd").json[0]["result"] == "done"
    assert f'"{ws}"' in one.attack("request", "GET", f"/v1/sandboxes/{ws}").json[0]["text"]
    assert one.attack("upgrade", f"/v1/sandboxes/{ws}").error["code"] == "plugin_undeclared"
    assert one.attack("request", "GET", f"/v1/sandboxes/{ws}/fd").error["code"] == "plugin_undeclared"


def test_the_declaration_is_shown_and_asked_for_once(hostile, fresh, tmp_path):
    cli = fresh()
    compile_plugin(tmp_path / "hostile.so", 'NEEDS={ "git", "to read history", NT_NEED_PROGRAM, 0 }')
    checked = {row["check"]: row["detail"] for row in cli.ok("--json", "plugin", "check", tmp_path / "hostile.so").json}
    assert checked["need"] == "program git"
    refused = cli("--json", "plugin", "install", tmp_path / "hostile.so")
    assert refused.status == 2 and "--yes" in refused.error["hint"]
    assert not (cli.home / ".nanoterm/plugins/hostile.so").exists()
    cli.ok("plugin", "install", tmp_path / "hostile.so", "--yes")
    info = cli.ok("--json", "plugin", "info", "hostile").json
    assert {"kind": "program", "value": "git", "why": "to read history"} in info["needs"]
    assert {"kind": "variable", "value": "HOSTILE_TOKEN", "why": "Its own secret"} in info["needs"]
    cli.ok("plugin", "install", tmp_path / "hostile.so")  # the same again: it was asked already
    compile_plugin(tmp_path / "hostile.so", 'NEEDS={ "ls", "more", NT_NEED_PROGRAM, 0 }')
    assert cli("plugin", "install", tmp_path / "hostile.so").status == 2
    assert cli.ok("--json", "plugin", "info", "plugin").json["confined"] is False
