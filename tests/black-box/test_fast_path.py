# SPDX-License-Identifier: Apache-2.0
"""The fast path against the program inside: what the caller's standard streams are must stay out of its reach.

Each test first does what the attack does on the plain machine, where it works: so it is known to be one."""
import fcntl
import os
import pty
import select
import socket
import subprocess
import termios
import threading
import time

import pytest

from conftest import BIN, wait_until

# Writes through the descriptor of standard input, as a read-only file opened anew allows on the plain machine.
REOPEN = 'echo attacked > /proc/self/fd/0; printf "%s" "$(readlink /proc/self/fd/0)"'


def run_with(cli, ws, script, stdin, stdout=subprocess.PIPE, where=None):
    words = ["sh", "-c", script] if where == "outside" else [BIN, "exec", ws, "--", "sh", "-c", script]
    return subprocess.run(words, env=cli.env, cwd=cli.home, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, timeout=60)


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_a_file_for_reading_cannot_be_written(cli, ws, tmp_path, where):
    path = tmp_path / "input"
    path.write_text("as it was\n")
    with open(path) as file:
        done = run_with(cli, ws, REOPEN, file, where=where)
    if where == "outside":
        assert path.read_text() == "attacked\n"
    else:
        assert path.read_text() == "as it was\n"
        assert done.stdout.startswith(b"pipe:")


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_a_folder_is_no_way_out(cli, ws, tmp_path, where):
    (tmp_path / "secret").write_text("outside")
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        done = run_with(cli, ws, "cat /proc/self/fd/0/secret; cd /proc/self/fd/0 && ls", folder, where=where)
    finally:
        os.close(folder)
    assert (b"outside" in done.stdout) == (where == "outside"), done
    assert (b"secret" in done.stdout) == (where == "outside"), done


def test_other_descriptors_of_the_caller_do_not_come(cli, ws, tmp_path):
    """Also not those above the standard streams, and not what the client itself has open."""
    (tmp_path / "secret").write_text("outside")
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    script = 'for fd in /proc/self/fd/* /proc/$PPID/fd/*; do cat $fd/secret; readlink $fd; done 2>/dev/null; true'
    try:
        done = subprocess.run([BIN, "exec", ws, "--", "sh", "-c", script], env=cli.env, cwd=cli.home, stdin=folder,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[folder], timeout=60)
    finally:
        os.close(folder)
    assert done.returncode == 0 and b"outside" not in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith((os.fsencode(tmp_path), b"socket:"))], done.stdout


def test_a_socket_stays_out(cli, ws):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"for the program")
        theirs.shutdown(socket.SHUT_WR)
        done = run_with(cli, ws, "cat; readlink /proc/self/fd/0", ours)
    first, last = done.stdout[:15], done.stdout[15:]
    assert first == b"for the program" and last.startswith(b"pipe:")


def test_a_socket_for_output_gets_the_bytes_only(cli, ws):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = run_with(cli, ws, "readlink /proc/self/fd/1; readlink /proc/self/fd/2 >&1", subprocess.DEVNULL, stdout=ours)
        ours.close()
        got = theirs.makefile("rb").read()
    assert done.returncode == 0 and got.startswith(b"pipe:") and b"socket" not in got


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom"])
def test_a_device_stays_out(cli, ws, device):
    with open(device, "rb") as file:
        done = run_with(cli, ws, "head -c 100000 | wc -c; readlink /proc/self/fd/0", file)
    assert done.stdout.split()[0] == b"100000" and done.stdout.split()[1].startswith(b"pipe:")


def test_a_fifo_opened_both_ways_stays_out(cli, ws, tmp_path):
    """As it is, the program could read what it wrote and take what is for others."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    try:
        os.write(both, b"line\n")
        done = run_with(cli, ws, f"head -n 1; readlink /proc/self/fd/0; ls {path}", both)
    finally:
        os.close(both)
    lines = done.stdout.splitlines()
    assert lines[0] == b"line" and lines[1].startswith(b"pipe:") and len(lines) == 2


class Terminal:
    """A terminal with a session of its own, as a person's shell has one."""

    def __init__(self, cli, script):
        self.out = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cli.home)
            os.execve("/bin/sh", ["sh", "-c", script], cli.env)

    def read_until(self, wanted, seconds=60):
        end = time.monotonic() + seconds
        while wanted not in self.out:
            assert time.monotonic() < end, self.out
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.out += os.read(self.fd, 65536)
                except OSError:
                    break
        assert wanted in self.out, self.out

    def end(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def test_a_terminal_can_be_left_to_a_background_program_outside(cli):
    terminal = Terminal(cli, "sh -c '(read -r line; echo stolen: $line) <&3 & echo started' 3<&0; exec sleep 60")
    try:
        terminal.read_until(b"started")
        os.write(terminal.fd, b"for the shell\n")
        terminal.read_until(b"stolen: for the shell")
    finally:
        os.kill(terminal.pid, 9)
        terminal.end()


def test_a_terminal_is_not_left_to_a_background_program(cli, ws):
    """What is typed after the exec has ended is for the caller's shell, not for a program that stayed behind."""
    stays = 'while read -r line; do echo "$line" >> /workspace/stolen; done'
    terminal = Terminal(cli, f"{BIN} exec {ws} -- sh -c 'exec 3<&0; setsid sh -c '\\''{stays}'\\'' <&3 >/dev/null 2>&1 & echo started'; "
                             'echo ready; for i in 1 2 3 4 5; do read -r line; echo "shell got: $line"; done; exec sleep 60')
    try:
        terminal.read_until(b"ready")
        for turn in range(1, 6):
            os.write(terminal.fd, b"line %d\n" % turn)
            terminal.read_until(b"shell got: line %d" % turn)
        assert b"started" in terminal.out
        assert cli("exec", ws, "--", "cat", "/workspace/stolen").status != 0
    finally:
        os.kill(terminal.pid, 9)
        terminal.end()


@pytest.mark.parametrize("way", ["local", "remote"])
def test_the_terminal_is_left_as_it_was(cli, request, way):
    """Also while it runs: the flags of an open file are shared, and a shell that reads after us would get EAGAIN."""
    if way == "local":
        env, ws = cli.env, request.getfixturevalue("ws")
    else:
        env, ws = request.getfixturevalue("remote")
    ours, theirs = pty.openpty()
    with subprocess.Popen([BIN, "exec", ws, "--", "sh", "-c", "echo up; read -r line; echo $line"], env=env, cwd=cli.home,
                          stdin=theirs, stdout=theirs, stderr=theirs) as process:
        out = b""
        while b"up" not in out:
            out += os.read(ours, 1000)
        flags = fcntl.fcntl(theirs, fcntl.F_GETFL)
        os.write(ours, b"down\n")
        while b"down\r\ndown" not in out:
            out += os.read(ours, 1000)
        assert process.wait(60) == 0
    assert not flags & os.O_NONBLOCK and not fcntl.fcntl(theirs, fcntl.F_GETFL) & os.O_NONBLOCK
    os.close(ours)
    os.close(theirs)


def test_a_terminal_stays_out(cli, ws):
    terminal = Terminal(cli, f"{BIN} exec {ws} -- sh -c 'readlink /proc/self/fd/0; readlink /proc/self/fd/1; "
                             "tty; (exec 9<>/dev/tty) 2>/dev/null && echo has-tty; echo over'")
    try:
        terminal.read_until(b"over")
        lines = [line.strip() for line in terminal.out.splitlines()]
        assert [line[:5] for line in lines[:2]] == [b"pipe:", b"pipe:"], lines
        assert b"not a tty" in lines and b"has-tty" not in lines
    finally:
        terminal.end()


def test_the_modes_of_the_terminal_cannot_be_changed(cli, ws):
    terminal = Terminal(cli, f"{BIN} exec {ws} -- sh -c 'stty -echo raw; stty -F /proc/self/fd/1 raw; echo over'; exec sleep 60")
    try:
        before = termios.tcgetattr(terminal.fd)
        terminal.read_until(b"over")
        assert termios.tcgetattr(terminal.fd) == before
    finally:
        os.kill(terminal.pid, 9)
        terminal.end()


def test_a_client_that_is_killed_takes_its_program_and_pipes_with_it(cli, ws):
    """At any moment of its work: connecting, handing over, running, ending."""
    marker = "86731"
    for turn in range(40):
        read, write = os.pipe()
        process = subprocess.Popen([BIN, "exec", ws, "--", "sleep", marker], env=cli.env, cwd=cli.home, stdin=subprocess.DEVNULL,
                                   stdout=write, stderr=subprocess.DEVNULL)
        os.close(write)
        threading.Event().wait(turn * 0.0005)  # another moment each time; none of them matters
        process.kill()
        process.wait()
        assert select.select([read], [], [], 30)[0], "somebody kept the caller's pipe"
        assert os.read(read, 1) == b""
        os.close(read)
    wait_until(lambda: marker not in cli("exec", ws, "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").text, 20,
               "the programs to end")
