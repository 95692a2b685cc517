# SPDX-License-Identifier: Apache-2.0
"""Jobs: programs that outlive client and server, their log files, and signs of life; embedded and through TCP."""
import base64
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import BIN, is_alive, wait_until


class Way:
    """The commands on one workspace, on one of the two ways."""

    def __init__(self, cli, ws, env):
        self.cli, self.ws, self.env = cli, ws, env

    def __call__(self, *words, **how):
        return self.cli(*words, env=self.env, **how)

    def ok(self, *words, **how):
        return self.cli.ok(*words, env=self.env, **how)

    def start(self, *words, **how):
        return self.cli.start(*words, env=self.env, **how)

    def sh(self, script, **how):
        return self("exec", self.ws, "--", "sh", "-c", script, **how)

    def detach(self, script, *options):
        return self.ok("exec", self.ws, "--detach", *options, "--", "sh", "-c", script).text.strip()

    def job(self, id):
        return next(row for row in self.ok("--json", "job", "list", self.ws).json if row["id"] == id)


@pytest.fixture(params=["local", "remote"])
def way(request, cli):
    if request.param == "local":
        return Way(cli, request.getfixturevalue("ws"), cli.env)
    env, ws = request.getfixturevalue("remote")
    return Way(cli, ws, env)


def test_detach_prints_the_id_and_the_log_gets_all(way):
    id = way.detach("echo out; echo err >&2; exit 7", "--log", "/tmp/a.log")
    assert re.fullmatch(r"job_[a-z0-9_]{1,36}", id)
    assert way("exec-wait", way.ws, "--log", "/tmp/a.log", "--interval", "50ms").status == 7
    assert sorted(way.sh("cat /tmp/a.log").text.splitlines()) == ["err", "out"]
    assert way.sh("cat /tmp/a.log.exit").text == "7\n"
    row = way.job(id)
    assert (row["running"], row["status"], row["reason"], row["log"]) == (False, 7, "exited", "/tmp/a.log")
    assert (row["stdout_bytes"], row["stderr_bytes"]) == (4, 4)


def test_detach_with_json_is_one_object(way):
    row = way.ok("--json", "exec", way.ws, "--detach", "--log", "j.log", "--", "true").json
    assert sorted(row) == ["id", "log", "pid", "workspace"]
    assert row["workspace"] == way.ws and row["log"] == "j.log" and row["pid"] > 1
    # a relative log lies in /workspace, for both commands
    assert way("exec-wait", way.ws, "--log", "j.log", "--interval", "50ms").status == 0
    assert way.sh("cat /workspace/j.log.exit").text == "0\n"


def test_the_exit_file_of_a_former_run_is_gone_before_the_start(way):
    for status in (3, 4):
        way.detach(f"test -e /tmp/r.log.exit && echo old; exit {status}", "--log", "/tmp/r.log")
        assert way("exec-wait", way.ws, "--log", "/tmp/r.log", "--interval", "50ms").status == status
    assert way.sh("cat /tmp/r.log").text == ""


def test_a_killed_job_leaves_its_status_too(way):
    id = way.detach("echo on; sleep 1000", "--log", "/tmp/k.log")
    way.ok("job", "kill", way.ws, id)
    assert way("exec-wait", way.ws, "--log", "/tmp/k.log", "--interval", "50ms").status == 137
    assert way.job(id)["status"] == 137
    # its own supervisor, killed from inside: the status is not known, and that is said
    id = way.detach("sleep 0.2; kill -9 $PPID; sleep 1000", "--log", "/tmp/s.log")
    assert way("exec-wait", way.ws, "--log", "/tmp/s.log", "--interval", "50ms").status == 137
    assert way.job(id)["reason"] == "lost"


def test_a_job_whose_workspace_is_stopped_has_its_exit_file(cli):
    """Without grace, too: once, with a status that says it was killed."""
    for grace in (["--grace", "0"], ["--grace", "5s"]):
        way = Way(cli, cli.create("--no-internet"), cli.env)
        way.detach("echo on; sleep 1000", "--log", "/workspace/e.log")
        wait_until(lambda: way.sh("cat /workspace/e.log").text == "on\n", 30, "its output")
        way.ok("ws", "stop", way.ws, *grace)
        way.ok("ws", "start", way.ws)
        assert way.sh("cat /workspace/e.log.exit").text in ("137\n", "143\n")
        assert way("exec-wait", way.ws, "--log", "/workspace/e.log", "--interval", "50ms").status in (137, 143)
        assert way.sh("ls -A /workspace").text.split() == ["e.log", "e.log.exit"]


def test_a_workspace_that_is_frozen_stops_without_grace(cli):
    ws = cli.create("--no-internet")
    [record] = (cli.home / ".nanoterm/server").rglob(f"{ws}/run")
    guest = int(record.read_text().split()[1])
    os.kill(guest, signal.SIGSTOP)
    cli.ok("ws", "stop", ws, "--grace", "0")
    assert not is_alive(guest)
    cli.ok("ws", "start", ws)


def test_a_job_tells_which_limit_it_has_hit(way):
    fine = way.detach("exit 3")
    assert way("job", "wait", way.ws, fine).status == 3
    assert way.job(fine)["limits_hit"] == []
    id = way.detach("cat /dev/zero > /tmp/a")
    way("job", "wait", way.ws, id, timeout=120)
    done = way("job", "wait", way.ws, id)  # of one that has ended already
    assert done.status == 1 and b"no space left on the disk" in done.stderr, done
    assert way.job(id)["limits_hit"] == ["disk"]
    way.sh("rm /tmp/a")


def test_a_job_that_kills_all_it_can_has_its_exit_file(way):
    """Also the process that writes the log: another takes its place."""
    way.detach("echo before; kill -9 -1; echo never", "--log", "/tmp/all.log")
    assert way("exec-wait", way.ws, "--log", "/tmp/all.log", "--interval", "50ms").status == 137
    assert way.sh("ls -A /tmp | grep nanoterm").stdout == b""


def test_exec_wait_fails_where_nothing_will_come(way):
    done = way("--json", "exec-wait", way.ws, "--log", "/tmp/never.log")
    assert done.status == 3 and done.error["code"] == "not_found", done
    way.detach("sleep 1000", "--log", "/tmp/long.log")
    done = way("--json", "exec-wait", way.ws, "--log", "/tmp/long.log", "--interval", "50ms", "--timeout", "700ms")
    assert done.status == 8 and done.error["code"] == "timeout", done
    done = way("--json", "exec-wait", "ws_nonesuch", "--log", "/tmp/x")
    assert done.status == 3


def test_exec_wait_ends_when_the_workspace_stops(cli):
    ws = cli.create()
    cli.ok("exec", ws, "--detach", "--log", "l.log", "--", "sleep", "1000")
    waiting = cli.start("--json", "exec-wait", ws, "--log", "l.log", "--interval", "50ms")
    cli.ok("ws", "stop", ws)
    out, err = waiting.communicate(timeout=30)
    # 143: it saw the file that the stop leaves; 7: the workspace had stopped before it looked
    assert waiting.returncode in (7, 143), err
    cli.ok("ws", "start", ws)
    assert cli("exec-wait", ws, "--log", "l.log").status == 143  # the end of the workspace wrote it
    cli.ok("ws", "rm", ws)


@pytest.mark.parametrize("path", ["/dev/null", "/nonexistent/x.log", "/tmp", "/tmp/fifo", "/tmp/magic"])
def test_only_a_regular_file_is_a_log(way, path):
    way.sh("mkfifo -m 666 /tmp/fifo; ln -s /proc/self/fd/3 /tmp/magic; true")
    done = way("--json", "exec", way.ws, "--detach", "--log", path, "--", "touch", "/tmp/ran")
    assert done.status != 0 and "log file" in done.error["message"], done
    assert way.sh("test -e /tmp/ran").status == 1


def test_log_without_detach_is_a_mistake(cli, ws):
    done = cli("exec", ws, "--log", "/tmp/x", "--", "true")
    assert done.status == 2 and b"--detach" in done.stderr


def test_logs_keep_the_streams_apart_and_know_offsets(way):
    id = way.detach("printf abc; sleep 0.1; printf DEF >&2; sleep 0.1; printf ghi; exit 4")
    assert way("job", "wait", way.ws, id).status == 4
    done = way.ok("job", "logs", way.ws, id)
    assert (done.stdout, done.stderr) == (b"abcghi", b"DEF")
    done = way.ok("job", "logs", way.ws, id, "--offset", "5")
    assert (done.stdout, done.stderr) == (b"ghi", b"F")
    done = way.ok("job", "logs", way.ws, id, "--follow", "--offset", "9")
    assert (done.stdout, done.stderr) == (b"", b"")
    done = way("--json", "job", "logs", way.ws, "job_nonesuch")
    assert done.status == 3 and done.error["code"] == "not_found"


def test_logs_follow_until_the_end_and_kill_nothing(way):
    id = way.detach("echo first; until [ -e /tmp/go-follow ]; do sleep 0.05; done; echo last; rm /tmp/go-follow; exit 6")
    for _ in range(2):  # a reader that dies harms nothing
        reader = way.start("job", "logs", way.ws, id, "--follow")
        assert reader.stdout.readline() == b"first\n"
        reader.kill()
        reader.communicate()
    assert way.job(id)["running"]
    reader = way.start("job", "logs", way.ws, id, "--follow")
    assert reader.stdout.readline() == b"first\n"
    waiter = way.start("job", "wait", way.ws, id)
    way.sh("touch /tmp/go-follow")
    assert reader.communicate(timeout=30)[0] == b"last\n" and reader.returncode == 0
    assert waiter.communicate(timeout=30) == (b"", b"") and waiter.returncode == 6


def test_much_output_is_kept_whole(way):
    id = way.detach("head -c 20000001 /dev/zero; head -c 3000001 /dev/zero >&2")
    done = way("job", "logs", way.ws, id, "--follow")
    assert (done.status, len(done.stdout), len(done.stderr)) == (0, 20000001, 3000001)


def test_kill_takes_the_whole_tree(way):
    """Forked twice, in a session of its own, deaf to SIGTERM: gone when the command has ended."""
    id = way.detach("trap '' TERM HUP; (setsid sh -c 'trap \"\" TERM HUP; (sleep 4711 &) ; sleep 4711' &); echo on; sleep 4711")
    way.start("job", "logs", way.ws, id, "--follow", stdout=subprocess.PIPE).stdout.readline()
    way.ok("job", "kill", way.ws, id)
    assert way.sh("pgrep -x sleep -a | grep 4711").stdout == b""


def test_kill_with_a_signal_sends_only_that(way):
    id = way.detach("trap 'exit 9' USR1; echo on; while :; do sleep 0.05; done")
    reader = way.start("job", "logs", way.ws, id, "--follow")
    assert reader.stdout.readline() == b"on\n"
    way.ok("job", "kill", way.ws, id, "--signal", "USR1")
    assert reader.wait(30) == 0
    assert way("job", "wait", way.ws, id).status == 9
    assert way("job", "kill", way.ws, id, "--signal", "NONESUCH").status == 2


def test_a_time_limit_proves_the_tree_gone(way):
    done = way("exec", "--timeout", "2s", way.ws, "--", "sh", "-c",
               "trap '' TERM HUP; (setsid sh -c 'trap \"\" TERM HUP; (sleep 4712 &) ; sleep 4712' &); sleep 4712")
    assert done.status == 8
    assert way.sh("pgrep -x sleep -a | grep 4712").stdout == b""


def test_an_output_that_is_closed_here_is_no_failure(way):
    """Then its bytes come in frames, are counted and dropped, also on the fast path."""
    line = 'exec "$0" exec "$1" -- sh -c "head -c 300000 /dev/zero; exit 3" >&-'
    for _ in range(10):  # what ends the program would be on its way at the same time as its status
        done = subprocess.run(["sh", "-c", line, BIN, way.ws], env=way.env, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=60)
        assert done.returncode == 3, done


def test_on_disconnect_kill_is_the_default(way):
    client = way.start("exec", way.ws, "--", "sh", "-c", "echo on; exec sleep 4713")
    assert client.stdout.readline() == b"on\n"
    client.kill()
    client.communicate()
    wait_until(lambda: way.sh("pgrep -x sleep -a | grep 4713").status == 1, 20, "the program to be killed")


def test_on_disconnect_keep_outlives_the_client(way):
    client = way.start("exec", "--on-disconnect", "keep", way.ws, "--", "sh", "-c",
                       "echo on; until [ -e /tmp/go-keep ]; do sleep 0.05; done; echo off; rm /tmp/go-keep; exit 5")
    assert client.stdout.readline() == b"on\n"
    client.kill()
    client.communicate()
    row = next(row for row in way.ok("--json", "job", "list", way.ws).json if row["running"] and row["kept"]
               and "go-keep" in row["command"])
    way.sh("touch /tmp/go-keep")
    assert way("job", "wait", way.ws, row["id"]).status == 5
    assert way.ok("job", "logs", way.ws, row["id"]).stdout == b"on\noff\n"


def test_on_disconnect_keep_is_an_ordinary_exec(way):
    done = way("exec", "--on-disconnect", "keep", way.ws, "--", "sh", "-c", "cat; echo e >&2; exit 3", input=b"in" * 1000000)
    assert (done.status, len(done.stdout), done.stderr) == (3, 2000000, b"e\n")


def test_jobs_survive_the_server(fresh):
    cli = fresh()
    ws = cli.create()
    id = cli.ok("exec", ws, "--detach", "--log", "/tmp/v.log", "--", "sh", "-c",
                "echo before; until [ -e /tmp/go ]; do sleep 0.05; done; echo after; exit 8").text.strip()
    ended = cli.ok("exec", ws, "--detach", "--", "sh", "-c", "echo done; exit 2").text.strip()
    assert cli("job", "wait", ws, ended).status == 2
    keeper = cli.start("exec", "--on-disconnect", "keep", ws, "--", "sh", "-c", "echo on; sleep 1000")
    assert keeper.stdout.readline() == b"on\n"
    pid = cli.server_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), 20, "the server to be gone")
    err = keeper.communicate(timeout=30)[1]
    kept = re.search(rb"job_[a-z0-9_]+", err).group().decode()  # told to the one who lost it
    assert keeper.returncode == 1 and b"goes on" in err
    # the next command starts another server
    rows = {row["id"]: row for row in cli.ok("--json", "job", "list", ws).json}
    assert rows[id]["running"] and rows[kept]["running"] and rows[ended]["status"] == 2
    assert cli.ok("job", "logs", ws, ended).stdout == b"done\n"
    cli.ok("exec", ws, "--", "touch", "/tmp/go")
    assert cli("exec-wait", ws, "--log", "/tmp/v.log", "--interval", "50ms").status == 8
    assert cli.ok("job", "logs", ws, id).stdout == b"before\nafter\n"
    cli.ok("job", "kill", ws, kept)
    cli.ok("ws", "rm", ws)


@pytest.mark.parametrize("words, hinted", [
    (["ls -la | head"], True),
    (["nosuchprogram", "|", "head"], True),
    (["nosuchprogram", "&&", "true"], True),
    (["nosuchprogram", "$(date)"], True),
    (["sh", "-c", "exit 127", ">", "x"], True),
    (["nosuchprogram", "plain"], False),
    (["sh", "-c", "nosuchprogram | cat; exit 127"], False),
])
def test_what_looks_like_a_shell_line_is_hinted_at(way, words, hinted):
    done = way("exec", way.ws, "--", *words)
    lines = [line for line in done.stderr.splitlines() if b"nanoterm shell" in line]
    assert done.status == 127 and len(lines) == (1 if hinted else 0), done
    assert all(b"-- bash -lc" in line for line in lines)


def test_the_api_pages_through_logs(cli, ws):
    id = cli.ok("exec", ws, "--detach", "--", "sh", "-c", "head -c 2500000 /dev/zero; printf end >&2").text.strip()
    assert cli("job", "wait", ws, id).status == 0
    offset, got = 0, {"stdout": b"", "stderr": b""}
    while True:
        status, page = cli.api("GET", f"/v1/sandboxes/{ws}/jobs/{id}/logs?offset={offset}&limit=700001")
        assert status == 200
        size = 0
        for piece in page["pieces"]:
            data = base64.b64decode(piece["data"], validate=True)
            got[piece["stream"]] += data
            size += len(data)
        assert page["next_offset"] == offset + size and size <= 700001
        offset = page["next_offset"]
        if not size:
            break
    assert (len(got["stdout"]), got["stderr"], offset) == (2500000, b"end", 2500003)
    for path in ("job_nonesuch", "Not-An-Id"):
        assert cli.api("GET", f"/v1/sandboxes/{ws}/jobs/{path}")[0] == 404
        assert cli.api("POST", f"/v1/sandboxes/{ws}/jobs/{path}/kill", {})[0] == 404
    assert cli.api("GET", f"/v1/sandboxes/{ws}/jobs/{id}/logs?offset=-1")[0] == 400
    assert cli.api("POST", f"/v1/sandboxes/{ws}/jobs/{id}/kill", {"signal": 99})[0] == 400


def forward(source, sink, change):
    """One direction of a middlebox."""
    try:
        while data := source.recv(65536):
            sink.sendall(change(data))
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_output_that_a_middlebox_shortens_is_an_error(cli, remote):
    """It takes a whole WebSocket message of output away, and the rest is well-formed."""
    env, ws = remote
    port = int(env["NANOTERM_API_URL"].rsplit(":", 1)[1])
    listener = socket.create_server(("127.0.0.1", 0))
    text = b"\x01lost on the way\n"
    message = bytes([0x82, len(text)]) + text  # of a server: not masked

    def to_server(data):  # the server checks for whom it was meant
        return data.replace(b"Host: 127.0.0.1:%d" % listener.getsockname()[1], b"Host: 127.0.0.1:%d" % port)

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=forward, args=(client, server, to_server), daemon=True).start()
            threading.Thread(target=forward, args=(server, client, lambda data: data.replace(message, b"")),
                             daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    env = {**env, "NANOTERM_API_URL": f"http://127.0.0.1:{listener.getsockname()[1]}"}
    whole = cli("exec", ws, "--", "sh", "-c", "echo all of it", env=env)
    assert (whole.status, whole.stdout) == (0, b"all of it\n"), whole
    done = cli("--json", "exec", ws, "--", "sh", "-c", "echo lost on the way; sleep 0.3; echo rest", env=env)
    assert done.error["code"] == "invalid_response" and done.status == 2 and done.stdout == b"rest\n", done
    id = cli.ok("exec", ws, "--detach", "--", "sh", "-c", "echo lost on the way; sleep 0.3; echo rest", env=env).text.strip()
    done = cli("--json", "job", "logs", ws, id, "--follow", env=env)
    assert done.error["code"] == "invalid_response", done
    listener.close()


def guest_of(cli, ws):
    """The guest of a workspace, asked of the kernel by its command line."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
            status = open(f"/proc/{pid}/status").read()
        except OSError:
            continue
        if ws.encode() in words and re.search(r"^NSpid:\s+\d+\s+1$", status, re.M):
            return int(pid)
    return None


def test_a_frozen_guest_is_an_unreachable_workspace(cli, tmp_path):
    """Slow: it waits for the real 30 s, on three streams at once."""
    ws = cli.create()
    id = cli.ok("exec", ws, "--detach", "--", "sh", "-c", "echo on; sleep 1000").text.strip()
    words = [["exec", ws, "--", "sh", "-c", "echo on; sleep 1000"],
             ["exec", "--on-disconnect", "keep", ws, "--", "sh", "-c", "echo on; sleep 1000"],
             ["job", "logs", ws, id, "--follow"]]
    streams = []
    for i, line in enumerate(words):
        # errors go to a file: a pipe would be the program's, too, and it is frozen with its guest
        with open(tmp_path / str(i), "wb") as file:
            streams.append(cli.start("--json", *line, stderr=file))
        assert streams[i].stdout.readline() == b"on\n"
    pid = guest_of(cli, ws)
    assert pid, "no guest was found"
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        for i, stream in enumerate(streams):
            stream.wait(timeout=90)
            stream.stdout.close()
            err = (tmp_path / str(i)).read_bytes()
            assert stream.returncode == 8 and b"nanoterm.unreachable" in err and ws.encode() in err, err
            assert b'"retryable":true' not in err.replace(b" ", b"")
        assert time.monotonic() - began > 15
    finally:
        os.kill(pid, signal.SIGCONT)
    cli.ok("ws", "rm", ws)


def test_a_client_that_was_stopped_is_not_fooled(cli, ws):
    """Signs of life that came while it was stopped are read before it judges."""
    client = cli.start("exec", ws, "--", "sh", "-c", "echo on; cat; echo off", stdin=subprocess.PIPE)
    assert client.stdout.readline() == b"on\n"
    client.send_signal(signal.SIGSTOP)
    wait_until(lambda: open(f"/proc/{client.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T", 10, "it to be stopped")
    client.send_signal(signal.SIGCONT)
    out, _ = client.communicate(b"", timeout=30)
    assert out == b"off\n" and client.returncode == 0
