# SPDX-License-Identifier: Apache-2.0
"""files tail: the last lines, what is added, files that are cut short, replaced, late or gone, and the end of the workspace."""
import os
import signal
import subprocess
import threading

import pytest

from conftest import IS_SANITIZED, wait_until

FAST = ("--interval", "50ms")


class Tail:
    """A running tail and all that it has printed."""

    def __init__(self, cli, *words):
        self.process = cli.start("files", "tail", *FAST, *words)
        self.out, self.err = b"", b""
        self.threads = [threading.Thread(target=self.read, args=pair)
                        for pair in (("out", self.process.stdout), ("err", self.process.stderr))]
        for thread in self.threads:
            thread.start()

    def read(self, name, file):
        while data := os.read(file.fileno(), 65536):
            setattr(self, name, getattr(self, name) + data)

    def wait_for(self, text):
        wait_until(lambda: self.out.endswith(text) or self.process.poll() is not None, 30, f"{text} after {self.out[-200:]}")
        assert self.out.endswith(text), (self.out[-200:], self.err)

    def end(self, number=signal.SIGINT):
        """Its status as a shell has it: between two waits a signal does what it does to any program."""
        self.process.send_signal(number)
        status = self.process.wait(30)
        for thread in self.threads:
            thread.join(30)
        self.process.stdout.close()
        self.process.stderr.close()
        return status if status >= 0 else 128 - status


def write(cli, ws, path, data):
    cli.ok("exec", ws, "--", "sh", "-c", f"cat > {path}", input=data, timeout=60)


def append(cli, ws, path, text):
    cli.ok("exec", ws, "--", "sh", "-c", f"printf %s '{text}' >> {path}")


@pytest.mark.parametrize("content, lines, shown", [
    (b"", 10, b""),
    (b"one\n", 10, b"one\n"),
    (b"a\nb\nc\n", 2, b"b\nc\n"),
    (b"a\nb\nc", 2, b"b\nc"),
    (b"a\nb\nc\n", 0, b""),
    (b"\n\n\n", 2, b"\n\n"),
    (b"".join(b"%d\n" % i for i in range(400000)), 300000, b"".join(b"%d\n" % i for i in range(100000, 400000))),
    (b"x" * 3_000_000 + b"\nlast\n", 2, b"x" * 3_000_000 + b"\nlast\n"),
])
def test_the_last_lines(cli, ws, content, lines, shown):
    write(cli, ws, "/workspace/lines", content)
    assert cli.ok("files", "tail", "--once", "-n", str(lines), ws, "/workspace/lines").stdout == shown


def test_what_is_added_cut_short_and_replaced(cli, ws):
    write(cli, ws, "/workspace/log", b"old 1\nold 2\n")
    tail = Tail(cli, "-n", "1", ws, "/workspace/log")
    tail.wait_for(b"old 2\n")
    append(cli, ws, "/workspace/log", "added\n")
    tail.wait_for(b"old 2\nadded\n")
    write(cli, ws, "/workspace/log", b"cut\n")
    tail.wait_for(b"added\ncut\n")
    cli.ok("exec", ws, "--", "sh", "-c", "cd /workspace; mv log log.1; echo 'a longer line in the next file' > log")
    tail.wait_for(b"cut\na longer line in the next file\n")
    cli.ok("exec", ws, "--", "rm", "/workspace/log")
    write(cli, ws, "/workspace/log", b"again\n")
    tail.wait_for(b"again\n")
    assert tail.end() == 130
    assert b"replaced" in tail.err and b"cut short" in tail.err


def test_a_file_that_is_not_there(cli, ws):
    assert cli("--json", "files", "tail", ws, "/workspace/no-such").error["code"] == "file_not_found"
    assert cli("files", "tail", "--once", "--retry", ws, "/workspace/no-such").status == 2
    tail = Tail(cli, "--retry", ws, "/workspace/late")
    cli.ok("files", "write", ws, "/workspace/late", input=b"here\n")
    tail.wait_for(b"here\n")
    assert tail.end() == 130
    assert cli("files", "tail", "--once", ws, "/workspace").status != 0
    assert cli("tail", "--once", ws, "/workspace/late").stdout == b"here\n"


def test_it_ends_with_the_workspace(cli):
    ws = cli.create()
    write(cli, ws, "/workspace/log", b"line\n")
    tail = Tail(cli, ws, "/workspace/log")
    tail.wait_for(b"line\n")
    cli.ok("ws", "rm", ws)
    assert tail.process.wait(30) == 3
    tail.end()
    assert tail.err


def peak_of(pid):
    """The most memory that a process has had, in KiB."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def with_children(pid):
    """A process and its children: root's server is two."""
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [pid, *map(int, children.read().split())]


@pytest.mark.skipif(IS_SANITIZED, reason="a sanitizer's runtime keeps what was freed")
@pytest.mark.parametrize("way", ["local", "tcp"])
def test_memory_does_not_grow_with_the_file(cli, request, way):
    """Every byte is read twice, to find the lines and to print them, and none of it is kept: not here, not in the server,
    not in the guest."""
    env, ws = (cli.env, request.getfixturevalue("ws")) if way == "local" else request.getfixturevalue("remote")
    cli.ok("exec", ws, "--", "true", env=env)
    data = cli.home / (".nanoterm/server" if way == "local" else "remote")
    [record] = data.rglob(f"{ws}/run")
    pids = with_children(cli.server_pid() if way == "local" else cli.remote_pid) + [int(record.read_text().split()[1])]
    size, grown = 72 * 1024 * 1024, 8 * 1024 * 1024
    fill = f"yes {'x' * 95} | head -c"
    cli.ok("exec", ws, "--", "sh", "-c", f"{fill} {size} > /workspace/large", env=env)
    before = [peak_of(pid) for pid in pids]
    process = cli.start("files", "tail", *FAST, "-n", str(size // 96), ws, "/workspace/large", stderr=subprocess.DEVNULL, env=env)
    printed = 0
    while printed < size and (data := os.read(process.stdout.fileno(), 1024 * 1024)):
        printed += len(data)
    growing = cli.start("exec", ws, "--", "sh", "-c", f"{fill} {grown} >> /workspace/large", env=env)
    while printed < size + grown and (data := os.read(process.stdout.fileno(), 1024 * 1024)):
        printed += len(data)
    peak = peak_of(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    growing.communicate(timeout=30)
    cli.ok("exec", ws, "--", "rm", "/workspace/large", env=env)
    assert process.returncode in (130, -signal.SIGINT) and printed == size + grown
    assert peak < 32 * 1024, f"{peak} KiB"
    after = [peak_of(pid) for pid in pids]
    assert all(new - old < 16 * 1024 for new, old in zip(after, before)), (before, after)


def test_a_link_is_followed(cli, ws):
    write(cli, ws, "/workspace/target", b"one\ntwo\nthree\n")
    cli.ok("exec", ws, "--", "ln", "-sf", "target", "/workspace/link")
    assert cli.ok("files", "tail", "--once", "-n", "2", ws, "/workspace/link").stdout == b"two\nthree\n"


def test_a_reader_that_goes_ends_it(cli, ws):
    write(cli, ws, "/workspace/long", b"line\n" * 100000)
    process = cli.start("files", "tail", *FAST, "-n", "100000", ws, "/workspace/long", stderr=subprocess.DEVNULL)
    process.stdout.read(10)
    process.stdout.close()
    append(cli, ws, "/workspace/long", "more\n")
    assert process.wait(30) != 0
