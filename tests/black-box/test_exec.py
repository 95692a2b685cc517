# SPDX-License-Identifier: Apache-2.0
"""exec: every byte and every status, on the local fast path and through a server on TCP."""
import hashlib
import json
import os
import signal
import subprocess

import pytest

from conftest import BIN, wait_until


@pytest.mark.parametrize("status", [0, 1, 2, 125, 126, 127, 137, 255])
def test_the_status_is_the_programs(run, status):
    assert run("sh", "-c", f"exit {status}").status == status


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV"])
def test_a_signal_is_128_and_its_number(run, name):
    assert run("sh", "-c", f"kill -{name} $$").status == 128 + getattr(signal, "SIG" + name)


def test_what_cannot_be_started(run):
    missing = run("no-such-program")
    assert missing.status == 127 and b"no-such-program" in missing.stderr
    assert run("/etc/hostname").status == 126
    assert run("true", options=("--cwd", "/no/such/folder")).status in (126, 127)


def test_arguments_arrive_as_they_are(run):
    words = ["a b", "", "'", '"', "new\nline", "*", "$HOME", "-x", "--", "ü€😀", "\\"]
    done = run("sh", "-c", 'for word; do printf "%s\\0" "$word"; done', "sh", *words)
    assert done.status == 0
    assert done.stdout.decode().split("\0")[:-1] == words


def test_streams_are_separate(run):
    done = run("sh", "-c", "echo out; echo err >&2; echo out2")
    assert (done.stdout, done.stderr) == (b"out\nout2\n", b"err\n")


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65535, 65536, 65537, 1048577, 16 * 1024 * 1024])
def test_output_is_exact(run, size):
    done = run("head", "-c", str(size), "/dev/zero")
    assert done.status == 0 and len(done.stdout) == size and done.stdout.count(0) == size


def test_input_is_exact_and_ends(run):
    data = os.urandom(8 * 1024 * 1024 + 3)
    done = run("sha256sum", input=data, timeout=120)
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_an_input_file_is_copied_and_never_handed_over(run, tmp_path):
    path = tmp_path / "input"
    path.write_bytes(b"from a file\n" * 10000)
    with open(path, "rb") as file:
        done = run("sh", "-c", "cat; readlink /proc/self/fd/0", stdin=file)
    assert done.stdout.startswith(b"from a file\n" * 10000)
    assert b"pipe:" in done.stdout.splitlines()[-1]


def test_output_into_a_file_and_both_in_one_order(run, tmp_path):
    path = tmp_path / "log"
    with open(path, "wb") as log:
        assert run("sh", "-c", "for i in 1 2 3; do echo out$i; echo err$i >&2; done", stdout=log,
                   stderr=subprocess.STDOUT).status == 0
    text = path.read_text()
    assert sorted(text.split()) == ["err1", "err2", "err3", "out1", "out2", "out3"]
    assert [w for w in text.split() if w[0] == "o"] == ["out1", "out2", "out3"]


def test_without_input_the_program_sees_the_end(run):
    assert run("cat").stdout == b""
    assert run("cat", stdin=None, close_fds=True).status == 0


def test_the_working_directory(run):
    assert run("pwd").stdout == b"/workspace\n"
    assert run("pwd", options=("--cwd", "/usr/lib")).stdout == b"/usr/lib\n"


def test_the_four_spellings(cli, ws):
    for words in (["exec", ws, "--cwd", "/usr", "--", "pwd"], ["exec", "--cwd", "/usr", ws, "--", "pwd"],
                  ["exec", "--cwd=/usr", ws, "--", "pwd"], ["exec", ws, "--cwd=/usr", "--", "pwd"]):
        assert cli.ok(*words).stdout == b"/usr\n"


def test_a_signal_reaches_the_program(run, cli):
    process = cli.start("exec", run.ws, "--", "sh", "-c",
                        'trap "echo caught; exit 7" INT; echo ready; while :; do sleep 0.05; done', env=run.env)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert out == b"caught\n" and process.returncode == 7


def count(run, marker):
    out = run("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").text
    return out.count(marker)


def test_a_lost_client_takes_the_whole_tree_with_it(run, cli):
    marker = "7654.25"
    process = cli.start("exec", run.ws, "--", "bash", "-c",
                        f"setsid bash -c 'sleep {marker} & sleep {marker}' & echo ready; sleep {marker}", env=run.env)
    assert process.stdout.readline() == b"ready\n"
    wait_until(lambda: count(run, "sleep " + marker) >= 3, 20, "the tree to be there")
    process.kill()
    process.communicate()
    wait_until(lambda: count(run, "sleep " + marker) == 0, 20, "the tree to be gone")


def test_the_deadline_kills_the_tree(run, cli):
    marker = "8765.25"
    done = cli("--json", "--timeout", "1s", "exec", run.ws, "--", "bash", "-c", f"setsid sleep {marker} & sleep {marker}",
               env=run.env)
    assert done.status == 8 and done.error["kind"] == "timeout"
    wait_until(lambda: count(run, "sleep " + marker) == 0, 20, "the tree to be gone")


def test_a_daemon_does_not_hold_the_exec(run, tmp_path):
    """Into a file: a pipe of the caller's would be handed to the daemon, as any shell does it."""
    with open(tmp_path / "out", "wb") as out:
        assert run("sh", "-c", "sleep 300 & echo started", timeout=20, stdout=out, stderr=out).status == 0
    assert (tmp_path / "out").read_bytes() == b"started\n"
    assert run("pkill", "-x", "sleep").status == 0


def test_status_fd_says_whose_status_it_is(cli, ws):
    def ask(*words):
        read, write = os.pipe()
        done = cli(f"--status-fd={write}", *words, pass_fds=(write,))
        os.close(write)
        with os.fdopen(read) as pipe:
            lines = pipe.read().splitlines()
        assert len(lines) == 1
        answer = json.loads(lines[0])
        assert answer["status"] == done.status
        return answer["by"], answer["limits_hit"]

    assert ask("exec", ws, "--", "sh", "-c", "exit 3") == ("program", [])
    assert ask("exec", "ws_nothere0", "--", "true") == ("tool", [])
    assert ask("exec", ws, "--", "no-such-program") == ("runtime", [])
    full = "cat /dev/zero > /tmp/a"
    assert ask("exec", ws, "--", "sh", "-c", full) == ("program", ["disk"])
    id = cli.ok("--json", "exec", ws, "--detach", "--", "sh", "-c", full).json["id"]
    for _ in range(2):  # one that runs, and one that has ended
        assert ask("job", "wait", ws, id) == ("program", ["disk"])
    cli.ok("exec", ws, "--", "rm", "/tmp/a")


def test_a_closed_reader_ends_the_program(run, cli):
    process = cli.start("exec", run.ws, "--", "yes", env=run.env)
    assert process.stdout.read(4) == b"y\ny\n"
    process.stdout.close()
    process.wait(20)
    process.stderr.close()
    wait_until(lambda: count(run, "yes ") == 0, 20, "the program to be gone")


def test_many_at_once(run, cli):
    processes = [cli.start("exec", run.ws, "--", "sh", "-c", f"echo {i}; exit {i}", env=run.env) for i in range(20)]
    for i, process in enumerate(processes):
        out, err = process.communicate(timeout=60)
        assert (out, process.returncode) == (f"{i}\n".encode(), i), err


def test_nothing_of_the_caller_goes_in(cli, ws):
    """Every descriptor inside is a pipe or /dev/null, whatever the caller has open (DESIGN 9)."""
    folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    with open("/etc/hostname", "rb") as file:
        done = subprocess.run([BIN, "exec", ws, "--", "sh", "-c", "readlink /proc/$$/fd/*; true"], env=cli.env, stdin=file,
                              capture_output=True, pass_fds=(file.fileno(), folder), timeout=60)
    os.close(folder)
    kinds = done.stdout.decode().split()
    assert done.returncode == 0 and kinds
    assert all(kind.startswith(("pipe:", "/dev/null", "/proc/")) for kind in kinds), kinds
