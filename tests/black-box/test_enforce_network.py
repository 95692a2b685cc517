# SPDX-License-Identifier: Apache-2.0
"""enforce run: what a program can reach that does not want to be kept in, by TCP, datagrams and local sockets."""
import contextlib
import json
import os
import shutil
import socket
import threading

import pytest

from conftest import BIN

PYTHON = "/usr/bin/python3"


@pytest.fixture
def folder(tmp_path):
    """A short path: names of sockets have room for 107 bytes."""
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture
def run(cli, folder):
    """run(options, program): in the sandbox; what was denied is in .denials."""
    def run(options, *program, **how):
        how.setdefault("cwd", folder)
        done = cli("enforce", "run", "-s", "--json", "--allow-cwd", *options, "--", *program, **how)
        lines = [line for line in done.stderr.decode().splitlines() if line.startswith("{")]
        done.last = json.loads(lines[-1]) if lines else {}
        done.denials = {(row["act"], row["target"]): row for row in done.last.get("denials", [])}
        return done
    return run


class Server:
    """Answers each connection with "here"; counts them."""

    def __init__(self, listener):
        self.listener = listener
        self.count = 0
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            with peer, contextlib.suppress(OSError):
                peer.settimeout(30)
                peer.recv(4096)
                peer.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhere")

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


@pytest.fixture
def serve():
    """serve(path) or serve(): a server outside, on a local socket or on a port of 127.0.0.1."""
    servers = []

    def serve(path=None):
        listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        listener.bind(os.fspath(path) if path else ("127.0.0.1", 0))
        listener.listen(64)
        servers.append(Server(listener))
        return servers[-1]
    yield serve
    for server in servers:
        server.end()


def port_of(server):
    return server.listener.getsockname()[1]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# Tries each of the expressions in argv; prints the errno's name, or what it came to.
TRY = """
import errno, json, socket, struct, sys
def connect(family, address, kind=socket.SOCK_STREAM, protocol=0):
    s = socket.socket(family, kind, protocol)
    s.settimeout(20)
    s.connect(address)
    s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    return s.recv(15).decode()
def send(family, address, kind=socket.SOCK_DGRAM, protocol=0):
    return socket.socket(family, kind, protocol).sendto(b"x" * 8, address)
def tcp(port, host="127.0.0.1"): return connect(socket.AF_INET, (host, port))
def unix(path): return connect(socket.AF_UNIX, path)
def serve(family, address):
    s = socket.socket(family)
    s.bind(address)
    s.listen(1)
    return s.getsockname()
results = []
for text in sys.argv[1:]:
    try: results.append(eval(text))
    except socket.gaierror: results.append("no name")
    except OSError as e: results.append(errno.errorcode[e.errno])
print(json.dumps(results))
"""
HERE = "HTTP/1.0 200 OK"


def attempt(run, options, *expressions):
    done = run(options, PYTHON, "-c", TRY, *expressions)
    assert done.status == 0, done
    done.results = json.loads(done.stdout)
    return done


# --- TCP, and what is not TCP --------------------------------------------------------------------

CLOSED = {"blocked": ["--block-net"], "filtered": ["--allow-domain", "allowed.example"]}


@pytest.mark.parametrize("mode", CLOSED)
def test_a_program_that_ignores_the_proxy_is_refused_at_once_and_told(run, serve, mode):
    server = serve()
    port = port_of(server)
    done = attempt(run, CLOSED[mode], f"tcp({port})", "tcp(443, '192.0.2.7')",  # nobody ever answers there
                   f"connect(socket.AF_INET6, ('::ffff:127.0.0.1', {port}))",
                   f"connect(socket.AF_INET6, ('::1', {port}))")
    assert done.results[:2] == ["EACCES"] * 2 and set(done.results[2:]) <= {"EACCES", "EAFNOSUPPORT"}
    assert server.count == 0
    assert done.denials["connect", f"127.0.0.1:{port}"]["grant"] == f"--open-port {port}"
    row = done.denials["connect", "192.0.2.7:443"]
    assert (row["source"], row["layer"], row["count"]) == ("notified", "notification", 1)
    assert ("connect", f"[::1]:{port}") in done.denials or done.results[3] == "EAFNOSUPPORT"


@pytest.mark.parametrize("mode", CLOSED)
def test_what_is_not_tcp_gets_nothing(run, mode):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        outside.bind(("127.0.0.1", 0))
        outside.setblocking(False)
        port = outside.getsockname()[1]
        done = attempt(run, CLOSED[mode],
                       f"send(socket.AF_INET, ('127.0.0.1', {port}))",
                       f"send(socket.AF_INET6, ('::ffff:127.0.0.1', {port}))",
                       "send(socket.AF_INET, ('192.0.2.7', 53))",
                       "send(socket.AF_INET, ('192.0.2.7', 0), socket.SOCK_RAW, socket.IPPROTO_ICMP)",
                       "send(socket.AF_INET, ('192.0.2.7', 0), socket.SOCK_DGRAM, socket.IPPROTO_ICMP)",
                       "socket.socket(socket.AF_PACKET, socket.SOCK_RAW).fileno()",
                       f"connect(socket.AF_INET, ('127.0.0.1', {port}), socket.SOCK_STREAM, 262)",  # MPTCP
                       "socket.getaddrinfo('leak.example', 80) and 'a name'")
        assert set(done.results[:-1]) <= {"EPERM", "EACCES", "EPROTONOSUPPORT", "EAFNOSUPPORT"}
        assert done.results[-1] == "no name"
        with pytest.raises(BlockingIOError):
            outside.recv(1)


def test_an_open_port_goes_both_ways_and_to_this_machine_only(run, cli, folder, serve):
    server = serve()
    port = port_of(server)
    done = attempt(run, ["--block-net", "--open-port", str(port)], f"tcp({port})", f"tcp({port}, '0.0.0.0')",
                   f"tcp({port}, '192.0.2.7')", f"tcp({port + 1})")
    assert done.results == [HERE, HERE, "EACCES", "EACCES"]
    assert server.count == 2
    mine = free_port()
    answer = """
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", int(sys.argv[1])))
s.listen()
print(s.getsockname()[0], flush=True)
peer, _ = s.accept()
peer.sendall(b"inside")
"""
    for option, address in (("--open-port", "127.0.0.1"), ("--listen-port", "0.0.0.0")):
        inside = cli.start("enforce", "run", "-s", "--block-net", "--allow-cwd", option, str(mine), "--", PYTHON, "-c",
                           answer, str(mine), cwd=folder)
        assert inside.stdout.readline().decode().strip() == address
        with socket.create_connection(("127.0.0.1", mine), 30) as s:
            assert s.recv(16) == b"inside"
        assert inside.wait(30) == 0
        inside.stdout.close()
        inside.stderr.close()


def test_ports_that_were_not_granted_are_not_listened_on(run):
    done = attempt(run, ["--block-net"], "serve(socket.AF_INET, ('', 18081))", "serve(socket.AF_INET, ('', 0))",
                   "socket.socket().listen(1)")
    assert done.results == ["EACCES"] * 3
    assert done.denials["bind", "0.0.0.0:18081"]["grant"] == "--listen-port 18081"


CLIENTS = {
    "curl": ["curl", "-sS", "--noproxy", "*", "http://127.0.0.1:{port}/"],
    "node": ["node", "-e", "require('http').get('http://127.0.0.1:{port}/', r => r.pipe(process.stdout))"
                           ".on('error', e => { console.error(e.code); process.exitCode = 7 })"],
    "python": [PYTHON, "-c", "import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/').read().decode())"],
    "asyncio": [PYTHON, "-c", """
import asyncio
async def main():
    reader, writer = await asyncio.open_connection('127.0.0.1', {port})
    writer.write(b'GET / HTTP/1.0\\r\\n\\r\\n')
    print((await reader.read()).decode())
asyncio.run(main())
"""],
}


@pytest.mark.parametrize("name", CLIENTS)
def test_clients_of_all_kinds_connect_and_are_refused(run, serve, name):
    program = shutil.which(CLIENTS[name][0])
    if not program:
        pytest.skip(f"{CLIENTS[name][0]} is not installed")
    server = serve()
    port = port_of(server)
    words = [program] + [word.replace("{port}", str(port)) for word in CLIENTS[name][1:]]
    for options in ([], ["--block-net", "--open-port", str(port)]):
        done = run(options, *words)
        assert done.status == 0 and b"here" in done.stdout, (options, done)
        assert done.denials == {}
    done = run(["--block-net"], *words)
    assert done.status != 0 and b"here" not in done.stdout
    assert done.denials["connect", f"127.0.0.1:{port}"]["count"] >= 1
    assert server.count == 2


# --- local sockets -------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", ["open", "blocked"])
def test_a_socket_like_that_of_docker_needs_a_grant_of_its_own(run, folder, serve, mode):
    path = folder / "docker.sock"
    server = serve(path)
    net = ["--block-net"] if mode == "blocked" else []
    denied = attempt(run, net, f"unix({str(path)!r})", "unix('docker.sock')", f"unix('/proc/self/cwd/docker.sock')")
    assert denied.results[:2] == ["EACCES"] * 2 and denied.results[2] != HERE
    assert server.count == 0
    row = denied.denials["unix-connect", f"unix:{path}"]
    assert row["grant"] == f"--allow-unix-socket {path}" and row["count"] == 2
    done = attempt(run, [*net, "--allow-unix-socket", path], f"unix({str(path)!r})", "unix('docker.sock')",
                   f"serve(socket.AF_UNIX, {str(folder / 'mine')!r})")
    assert done.results == [HERE, HERE, "EACCES"]


def test_a_folder_that_may_be_written_covers_its_sockets_only_while_the_network_is_open(run, folder, serve):
    path = folder / "agent.sock"
    serve(path)
    assert attempt(run, ["--allow", folder], "unix('agent.sock')").results == [HERE]
    assert attempt(run, ["--allow", folder, "--block-net"], "unix('agent.sock')").results == ["EACCES"]


@pytest.mark.parametrize("command", ["run", "wrap"])
def test_an_open_network_is_that_of_ip(cli, folder, command):
    """Sockets of vsock lead to the machine that this one runs in, those of other families into rarely used parts of the kernel."""
    tries = [f"socket.socket({family}, {kind})" for family, kind in ((40, 1), (40, 2), (38, 5), (17, 3), (30, 2))]
    fine = ["socket.socket(socket.AF_INET).close()", "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()",
            "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()"]
    done = cli("enforce", command, "-s", "--allow-cwd", "--", PYTHON, "-c", TRY, *tries, *fine, cwd=folder)
    assert done.status == 0 and json.loads(done.stdout)[:5] == ["EPERM"] * 5, done
    assert json.loads(done.stdout)[5:] in ([None] * 3, [None, "EAFNOSUPPORT", None]), done


@pytest.mark.parametrize("options", [[], ["--block-net"]])
def test_abstract_sockets_are_out_of_reach(run, serve, options):
    name = f"\0nt-test-{os.getpid()}-{len(options)}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    listener.listen()
    listener.setblocking(False)
    with listener:
        done = attempt(run, options, f"unix({name!r})", f"serve(socket.AF_UNIX, {name + 'x'!r})")
        assert set(done.results) <= {"EACCES", "EPERM"}
        assert ("unix-connect", f"unix:@{name[1:]}") in done.denials
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_granted_folder_of_sockets_is_not_what_lies_deeper(run, folder, serve):
    (folder / "in" / "deeper").mkdir(parents=True)
    serve(folder / "in" / "direct")
    deeper = serve(folder / "in" / "deeper" / "other")
    (folder / "in" / "link").symlink_to("deeper/other")
    done = attempt(run, ["--block-net", "--allow-unix-socket-dir", folder / "in"], "unix('in/direct')",
                   "unix('in/deeper/other')", "unix('in/link')", "serve(socket.AF_UNIX, 'in/mine')")
    assert done.results == [HERE, "EACCES", "EACCES", "EACCES"]
    assert deeper.count == 0


def test_a_granted_subtree_of_sockets_is_what_lies_deeper_and_nothing_else(run, folder, serve):
    deep = folder / "in" / "deeper"
    (deep / "closed").mkdir(parents=True)
    (folder / "in-not").mkdir()
    for path in (folder / "in" / "direct", deep / "other"):
        serve(path)
    others = [serve(path) for path in (folder / "out", folder / "in-not" / "out", deep / "closed" / "out")]
    (deep / "link").symlink_to(folder / "out")
    (deep / "ring").symlink_to(folder)
    profile = folder / "tree.json"
    profile.write_text(json.dumps({
        "meta": {"name": "tree"}, "network": {"block": True},
        "filesystem": {"unix_socket_subtree": ["$WORKDIR/in"], "deny": ["$WORKDIR/in/deeper/closed"]}}))
    tries = ["unix('in/direct')", "unix('in/deeper/other')", "unix('in/deeper/../deeper/other')", "unix('out')",
             "unix('in/deeper/link')", "unix('in/deeper/ring/out')", "unix('in-not/out')", "unix('in/../out')",
             "unix('in/deeper/closed/out')", "serve(socket.AF_UNIX, 'in/deeper/mine')"]
    done = attempt(run, ["--profile", profile], *tries)
    assert done.results[:3] == [HERE] * 3
    assert set(done.results[3:]) <= {"EACCES", "ENOENT", "EROFS"}, done.results
    done = attempt(run, ["--block-net", "--allow-unix-socket-subtree-bind", folder / "in"], *tries)
    assert done.results[:3] == [HERE] * 3 and done.results[3:8] == ["EACCES"] * 5
    assert done.results[9] == "in/deeper/mine"
    assert [server.count for server in others[:2]] == [0, 0]
    why = run(["--profile", profile, "--read", os.path.dirname(os.path.dirname(os.path.realpath(BIN)))], BIN, "--json",
              "enforce", "why", "--self", "--unix-socket", folder / "in" / "deeper" / "other")
    assert json.loads(why.stdout)["status"] == "allowed", why


MOVES = {
    "the name": (["--allow-unix-socket-bind", "in/s"], "os.rename('out/s', 'in/s')", "in/s"),
    "a link": (["--allow-unix-socket-bind", "in/s"], "os.link('out/s', 'in/s')", "in/s"),
    "into a folder": (["--allow-unix-socket-dir-bind", "in"], "os.rename('out/s', 'in/s')", "in/s"),
    "up in a folder": (["--allow-unix-socket-dir-bind", "in"], "os.rename('in/deeper/s', 'in/s')", "in/s"),
    "the folder": (["--allow-unix-socket-dir", "in"], "os.rename('in', 'was'), os.rename('out', 'in')", "in/s"),
    "into a tree": (["--allow-unix-socket-subtree", "in"], "os.rename('out', 'in/new')", "in/new/s"),
    "the top of a tree": (["--allow-unix-socket-subtree-bind", "in"], "os.rename('in', 'was'), os.rename('out', 'in')", "in/s"),
}


@pytest.mark.parametrize("how", MOVES)
def test_a_socket_that_the_program_moves_to_a_granted_name_is_not_granted(run, folder, serve, how):
    options, move, path = MOVES[how]
    (folder / "in/deeper").mkdir(parents=True)
    (folder / "out").mkdir()
    servers = [serve(folder / "out/s"), serve(folder / "in/deeper/s")]
    grants = [folder / word if not word.startswith("-") else word for word in options]
    tried = f"({move}) and 0", f"unix({path!r})"
    done = run(["--block-net", "--allow", folder, *grants], PYTHON, "-c", "import os\n" + TRY, *tried)
    assert done.status == 0, done
    assert json.loads(done.stdout)[1] in ("EACCES", "ENOENT"), done
    assert sum(server.count for server in servers) == 0


def test_a_socket_of_somebody_else_is_not_moved_to_where_all_are_granted(cli, run, folder, serve):
    """What every program may write, as /tmp, holds sockets that run commands for whoever reaches them."""
    (folder / "granted").mkdir()
    (folder / "out").mkdir()
    server = serve(folder / "out/s")
    own = "(b := socket.socket(socket.AF_UNIX), b.bind('mine'), b.listen(1), os.rename('mine', 'moved'), unix_to('moved'))[4]"
    code = ("import os\n" + TRY).replace("results = []", "def unix_to(path): return socket.socket(socket.AF_UNIX).connect(path)\nresults = []")
    done = run(["--allow", folder / "granted"], PYTHON, "-c", code, "unix('out/s')", "os.rename('out', 'granted/out')",
               "unix('granted/out/s')", "unix('out/s')", own, env={**cli.env, "TMPDIR": str(folder)})
    assert done.status == 0, done
    results = json.loads(done.stdout)
    assert results[0] == "EACCES" and results[2] in ("EACCES", "ENOENT") and results[4] is None, done
    assert server.count == 0


def test_sockets_where_the_program_may_write_are_those_that_were_there_and_its_own(run, folder, serve):
    for name in ("dir", "tree"):
        (folder / name).mkdir()
    paths = [folder / name for name in ("alone", "dir/there", "tree/there")]
    for path in paths:
        serve(path)
    own = ("def own(path):\n    s = socket.socket(socket.AF_UNIX)\n    s.bind(path + '.new')\n    s.listen(1)\n"
           "    os.link(path + '.new', path)\n    os.unlink(path + '.new')\n    os.chmod(path, 0o600)\n"
           "    c = socket.socket(socket.AF_UNIX)\n    c.connect(path)\n    return c.getpeername() and 'own'\nresults = []")
    done = run(["--block-net", "--allow", folder, "--allow-unix-socket", paths[0], "--allow-unix-socket-dir-bind", folder / "dir",
                "--allow-unix-socket-subtree-bind", folder / "tree"], PYTHON, "-c",
               ("import os\n" + TRY).replace("results = []", own), *(f"unix({os.fspath(path)!r})" for path in paths),
               "own('dir/mine')", "own('tree/mine')")
    assert done.status == 0 and json.loads(done.stdout) == [HERE] * 3 + ["own"] * 2, done


def test_local_sockets_by_path_need_their_own_grant_when_the_profile_says_so(run, folder, serve):
    server = serve(folder / "agent.sock")
    profile = folder / "mediated.json"
    says = {"meta": {"name": "mediated"}, "filesystem": {"allow": ["$WORKDIR"]}}
    tries = ["unix('agent.sock')", "serve(socket.AF_UNIX, 'mine')"]
    profile.write_text(json.dumps({**says, "linux": {"af_unix_mediation": "off"}}))
    assert attempt(run, ["--profile", profile], *tries).results == [HERE, "mine"]
    (folder / "mine").unlink()
    profile.write_text(json.dumps({**says, "linux": {"af_unix_mediation": "pathname"}}))
    assert attempt(run, ["--profile", profile], *tries).results == ["EACCES"] * 2
    assert attempt(run, ["--profile", profile, "--allow-unix-socket", folder / "agent.sock"],
                   tries[0]).results == [HERE]
    assert server.count == 2


def test_a_program_serves_its_own_sockets_under_the_names_that_it_gave(run, folder):
    """A manager passes on what getsockname tells."""
    home = folder / "s"
    home.mkdir()
    done = run(["--block-net", "--allow", home, "--allow-unix-socket-dir-bind", home], PYTHON, "-c", """
import multiprocessing.managers, sys
m = multiprocessing.managers.SyncManager(address=sys.argv[1])
m.start()
assert m.address == sys.argv[1], m.address
d = m.dict()
d["one"] = 1
print(dict(d))
m.shutdown()
""", home / "manager")
    assert done.status == 0 and done.stdout == b"{'one': 1}\n", done


def test_datagrams_of_local_sockets_need_a_grant(run, folder):
    path, other = folder / "log", folder / "other"
    sockets = []
    for name in (path, other):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(os.fspath(name))
        s.settimeout(30)
        sockets.append(s)
    send = f"send(socket.AF_UNIX, {str(path)!r})", f"send(socket.AF_UNIX, {str(other)!r})"
    try:
        refused = attempt(run, ["--block-net"], *send)
        assert set(refused.results) <= {"EPERM", "EACCES"}
        done = attempt(run, ["--block-net", "--allow-unix-socket", path], *send)
        assert done.results == [8, "EACCES"]
        assert sockets[0].recv(16) == b"x" * 8
        sockets[1].setblocking(False)
        with pytest.raises(BlockingIOError):
            sockets[1].recv(16)
    finally:
        for s in sockets:
            s.close()


# --- a sandbox in a sandbox ----------------------------------------------------------------------

def test_a_sandbox_inside_goes_on_without_a_listener_or_says_what_needs_one(run, folder):
    program = os.path.dirname(os.path.dirname(os.path.realpath(BIN)))
    inner = [BIN, "enforce", "run", "-s", "--json", "--allow-cwd"]
    outer = ["--read", program, "--allow", folder]
    done = run(outer, *inner, "--", "/bin/echo", "inner")
    assert done.status == 0 and done.stdout == b"inner\n", done
    (folder / "sock").touch()
    refused = run(outer, *inner, "--block-net", "--allow-unix-socket-dir", folder, "--", "/bin/echo", "never")
    assert refused.status != 0 and refused.stdout == b"", refused
    assert b"listener" in refused.stderr and b"--accept-weaker notification" in refused.stderr


# --- patterns ------------------------------------------------------------------------------------

def test_a_pattern_is_held_or_refused(run, cli, folder):
    (folder / "deep").mkdir()
    (folder / ".env").write_text("secret-1")
    (folder / "deep" / ".env").write_text("secret-2")
    (folder / "plain").write_text("plain")
    profile = folder / "p.json"
    profile.write_text(json.dumps({"meta": {"name": "p"}, "filesystem": {"deny": ["**/.env"]}}))
    for more in ([], ["--dry-run"]):
        done = cli("--json", "enforce", "run", "-s", "--allow-cwd", "-p", profile, *more, "--", "/bin/cat", "plain",
                   cwd=folder)
        assert done.status != 0 and done.stdout == b""
        assert "**/.env" in done.error["message"] and "patterns" in done.error["hint"]
    words = ["-p", profile, "--accept-weaker", "patterns"]
    done = run(words, "/bin/sh", "-c", "cat plain; cat .env deep/.env; ln -s .env to; cat to")
    if b"layer namespaces" in done.stderr:
        assert done.stdout == b""
        pytest.skip("without a mount namespace it is refused")
    assert done.stdout == b"plain" and b"secret" not in done.stderr
    rows = cli("enforce", "run", "-s", "--json", "--dry-run", "--allow-cwd", *words, "--", "/bin/true",
               cwd=folder).json["enforcement"]
    assert {"act": "open a file to come that a pattern denies", "layer": "none",
            "rule": "accepted: --accept-weaker patterns"} in rows


STUCK = """import fcntl, os, signal, socket, sys, time
s = socket.socket(socket.AF_UNIX)
flipping = [os.fork() for _ in range(2)]
if 0 in flipping or not all(flipping):
    while True:
        fcntl.fcntl(s, fcntl.F_SETFL, 0)
signal.signal(signal.SIGALRM, lambda *_: None)
for _ in range(40):
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        s.connect(sys.argv[1])
    except OSError:
        pass
"""


def test_a_connect_that_is_made_to_wait_does_not_hold_up_the_end(run, folder):
    """Others who have the socket take its O_NONBLOCK away again and again, so that whoever connects it for them gets stuck: with a
    server outside that never accepts, for ever."""
    path = str(folder / "full")
    waiting = []
    with socket.socket(socket.AF_UNIX) as full:
        full.bind(path)
        full.listen(0)
        try:
            while True:
                waiting.append(socket.socket(socket.AF_UNIX))
                waiting[-1].setblocking(False)
                waiting[-1].connect(path)
        except BlockingIOError:
            pass
        try:
            run(["--allow-unix-socket", path], "timeout", "-s", "KILL", "5", "/usr/bin/python3", "-c", STUCK, path, timeout=60)
        finally:
            for s in waiting:
                s.close()
