# SPDX-License-Identifier: Apache-2.0
"""shell, attach and exec --tty on a real terminal (pexpect)."""
import os
import signal
import subprocess
import termios

import pexpect
import pytest

from conftest import BIN, wait_until

PROMPT = r"agent@ws-[a-z0-9]+:/workspace\$ "


@pytest.fixture
def term(cli):
    """term(*words): the program on a terminal of 91 by 31; all are ended with the test."""
    made = []

    def start(*words, env=None):
        child = pexpect.spawn(BIN, list(words), env={**(env or cli.env), "TERM": "xterm-256color"}, timeout=30,
                              dimensions=(31, 91))
        child.before_us = termios.tcgetattr(child.child_fd)
        made.append(child)
        return child

    yield start
    for child in made:
        child.close(force=True)


def ended(child):
    child.expect(pexpect.EOF)
    # the terminal's mode is read before the last descriptor of it is closed
    child.mode = termios.tcgetattr(child.child_fd)
    child.close()
    return child.exitstatus


def is_restored(child):
    return child.mode[:4] == child.before_us[:4]


def test_a_shell_from_prompt_to_status(term, ws):
    child = term("shell", ws)
    child.expect(PROMPT)
    child.sendline("stty size; echo T=$TERM; tput setaf 1 | od -An -c")
    child.expect("31 91\r\n")
    child.expect("T=xterm-256color")
    child.expect(r"033\s+\[\s+3\s+1\s+m")
    child.setwinsize(40, 100)
    wait_until(lambda: size_of(child) == b"40 100", 20, "the new size")
    child.sendline("sleep 50")
    child.expect("sleep 50")
    child.send("\x1a")
    child.expect("Stopped")
    child.sendline("fg")
    child.expect("sleep 50")
    child.send("\x03")
    child.sendline("(exit 9)")
    child.expect(PROMPT)
    child.send("\x04")
    assert ended(child) == 9 and is_restored(child)


def size_of(child):
    child.sendline("stty size")
    child.expect(r"(\d+ \d+)\r\n")
    return child.match.group(1)


def test_the_escape_is_special_at_the_start_of_a_line_only(term, ws):
    child = term("shell", ws, "--", "sh", "-c", "echo ready; cat")
    child.expect("ready")
    child.send("a~.b\r~~c\r")
    child.expect("(?s)~c.*~c")  # the echo, and what cat says
    child.send("~?")
    child.expect("leave")
    child.send("\r~.")
    assert ended(child) not in (0, None) and is_restored(child)


def test_an_agent_is_left_and_taken_again(term, cli, ws):
    nobody = cli("attach", ws)
    assert nobody.status == 3 and b"exec --foreground" in nobody.stderr
    assert cli("exec", "--foreground", ws, "--", "bash", "-c",
               "while read a; do stty size; echo got=$a; done; exit 6").status == 0
    one, two, look = term("attach", ws), term("attach", ws), term("attach", "--read-only", ws)
    one.sendline("first")
    for child in (one, two, look):
        child.expect("got=first")
    look.sendline("never")
    two.setwinsize(20, 70)
    two.sendline("second")
    one.expect("20 70")
    one.expect("got=second")
    one.send("\r~.")
    assert ended(one) == 0 and is_restored(one)
    again = term("attach", ws)
    again.expect("got=second")
    again.send("\x04")
    for child in (again, two, look):
        assert ended(child) == 6 and b"never" not in child.before


def test_leaving_a_workspace_that_is_stopped(term, cli, ws):
    child = term("shell", ws)
    child.expect(PROMPT)
    guest = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_guest_of(pid, ws, cli)]
    assert guest
    for pid in guest:
        os.kill(pid, signal.SIGSTOP)
    try:
        child.send("typed for nobody\r~.")
        assert ended(child) not in (0, None) and is_restored(child)
    finally:
        for pid in guest:
            os.kill(pid, signal.SIGCONT)


def test_a_frozen_workspace_is_told_to_a_person_and_ends_a_script(term, cli, remote, tmp_path):
    """Slow: it waits for the real 30 s, on both ways at once. An idle shell beside them is never suspected."""
    idle = term("shell", cli.create())
    idle.expect(PROMPT)
    remote_env, remote_ws = remote
    ways = [(cli.create(), cli.env), (remote_ws, remote_env)]
    people, scripts, guests = [], [], []
    for ws, env in ways:
        people.append(term("shell", ws, env=env))
        people[-1].expect(PROMPT)
        with open(tmp_path / ws, "wb") as file:
            scripts.append(cli.start("--json", "exec", "-t", ws, "--", "sh", "-c", "echo on; sleep 1000", env=env,
                                     stdin=subprocess.PIPE, stderr=file))
        assert scripts[-1].stdout.readline() == b"on\r\n"
        guests += [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_guest_of(pid, ws, cli)]
    assert len(guests) >= 2
    for pid in guests:
        os.kill(pid, signal.SIGSTOP)
    try:
        for (ws, _), child, script in zip(ways, people, scripts):
            child.expect_exact(f"[no sign of life from {ws} for 30 s; ~. leaves]", timeout=90)
            assert script.wait(timeout=90) == 8
            err = (tmp_path / ws).read_bytes()
            assert b"nanoterm.unreachable" in err and ws.encode() in err
    finally:
        for pid in guests:
            os.kill(pid, signal.SIGCONT)
        for script in scripts:
            script.stdin.close()
            script.stdout.close()
    for (ws, _), child in zip(ways, people):
        child.expect_exact(f"[{ws} is back]")
        assert b"no sign of life" not in child.before
        child.sendline("echo still-$((40+2)); exit 3")
        child.expect("still-42")
        assert ended(child) == 3 and is_restored(child)
    idle.sendline("exit 4")
    assert ended(idle) == 4 and b"sign of life" not in idle.before


def is_guest_of(pid, ws, cli):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return False
    return b"nanoterm-guest" in words[0] and ws.encode() in words


def test_a_killed_client_leaves_no_raw_terminal(term, ws):
    child = term("shell", ws)
    child.expect(PROMPT)
    assert termios.tcgetattr(child.child_fd)[:4] != child.before_us[:4]
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: termios.tcgetattr(child.child_fd)[:4] == child.before_us[:4], 20, "the terminal's own mode")


def test_what_was_left_on_is_undone(term, ws):
    child = term("exec", "-t", ws, "--", "printf", r"\033[?1049h\033[?1000h\033[?2004h\033[?25lend")
    child.expect("end")
    assert ended(child) == 0
    for mode in (b"\x1b[?1049l", b"\x1b[?1000l", b"\x1b[?2004l", b"\x1b[?25h"):
        assert mode in child.before


def test_nothing_is_typed_on_the_callers_terminal(term, ws):
    """TIOCSTI and TIOCLINUX are refused on every descriptor, and the terminal inside is another."""
    attack = ("import fcntl, os, array\n"
              "fds = [0, 1, 2, os.open('/dev/tty', os.O_RDWR)]\n"
              "for fd in fds:\n"
              "    for request in (0x5412, 0x541C):\n"
              "        try: fcntl.ioctl(fd, request, b'X'); print('ALLOWED')\n"
              "        except OSError as e: print('refused', e.errno)\n"
              "print(os.ttyname(0))")
    child = term("exec", "-t", ws, "--", "python3", "-c", attack)
    child.expect("refused 1")
    child.expect(r"/dev/pts/\d")
    assert b"ALLOWED" not in child.before
    assert ended(child) == 0


def test_errors_carry_no_escapes(cli, ws):
    done = cli("exec", "-t", ws, "--", "/no/\x1b]0;evil\x07")
    assert done.status == 127 and b"\x1b" not in done.stderr and b"\x07" not in done.stderr


def test_an_input_that_is_no_terminal_is_typed(cli, ws):
    done = cli("shell", ws, input=b"echo $((40+2)); tty; exit 4\n")
    assert done.status == 4 and b"42" in done.stdout and b"/dev/pts/" in done.stdout
    assert cli("exec", "-t", ws, "--", "cat", input=b"no newline").stdout.count(b"no newline") == 2


def test_an_input_that_has_ended_stays_ended(cli, ws):
    """A program that empties its input as it starts, or reads it again, sees the end, too."""
    for command in ("cat; cat; cat; echo done", "read -r line; stty sane; sleep 0.3; stty -echo; cat; cat; echo $line done"):
        done = cli("exec", "-t", ws, "--", "sh", "-c", command, input=b"typed\n")
        assert done.status == 0 and done.stdout.endswith(b"done\r\n"), done


def test_one_that_goes_on_alone(cli, ws):
    made = cli.ok("--json", "shell", ws, "--detach", "--log", "/tmp/term.log", "--", "sh", "-c", "tty; exit 3").json
    assert made["id"] and made["pid"] > 0
    wait_until(lambda: cli("exec", ws, "--", "cat", "/tmp/term.log.exit").stdout == b"3\n", 30, "its status")
    assert b"/dev/pts/" in cli.ok("exec", ws, "--", "cat", "/tmp/term.log").stdout
