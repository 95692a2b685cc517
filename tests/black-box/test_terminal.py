# SPDX-License-Identifier: Apache-2.0
"""shell, attach and exec --tty on a real terminal (pexpect); embedded and through TCP."""
import os
import signal
import subprocess
import termios

import pexpect
import pytest

from conftest import BIN, is_alive, serve_tcp, wait_until

PROMPT = r"agent@ws-[a-z0-9]+:/workspace\$ "


def fresh_mode():
    """The mode of a terminal that nobody has used: once a program runs there it may have changed it already."""
    ends = os.openpty()
    mode = termios.tcgetattr(ends[0])
    for fd in ends:
        os.close(fd)
    return mode


@pytest.fixture
def term(cli):
    """term(*words): the program on a terminal of 91 by 31; all are ended with the test."""
    made = []

    def start(*words, env=None, program=BIN):
        child = pexpect.spawn(program, list(words), env={**(env or cli.env), "TERM": "xterm-256color"}, timeout=30,
                              dimensions=(31, 91))
        child.before_us = fresh_mode()
        made.append(child)
        return child

    yield start
    for child in made:
        child.close(force=True)


class Place:
    """The commands and terminals on one workspace, on one of the two ways."""

    def __init__(self, cli, term, env, ws):
        self.cli, self.env, self.ws, self._term = cli, env, ws, term

    def __call__(self, *words, **how):
        return self.cli(*words, env=self.env, **how)

    def ok(self, *words, **how):
        return self.cli.ok(*words, env=self.env, **how)

    def term(self, *words):
        return self._term(*words, env=self.env)

    def term_of(self, *words):
        """Another program on a terminal, with this way's environment."""
        return self._term(*words[1:], env=self.env, program=words[0])

    def shell(self):
        child = self.term("shell", self.ws)
        child.expect(PROMPT)
        return child

    def sh(self, script):
        return self.ok("exec", self.ws, "--", "sh", "-c", script).stdout

    def guests(self):
        found = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_guest_of(pid, self.ws)]
        assert found
        return found


@pytest.fixture(params=["local", "remote"])
def place(request, cli, term):
    if request.param == "local":
        return Place(cli, term, cli.env, request.getfixturevalue("ws"))
    return Place(cli, term, *request.getfixturevalue("remote"))


class Server:
    """One on TCP that a test may kill: on the same data again, but on another port."""

    def __init__(self, cli, term):
        self.data = cli.home / "killed"
        self.cli = cli
        self._term = term
        self.start()

    def start(self):
        self.process, self.env, _ = serve_tcp(self.cli, self.data)

    def place(self):
        return Place(self.cli, self._term, self.env, self.cli.ok("--json", "ws", "create", env=self.env, timeout=120).json["id"])

    def end(self, signo):
        self.process.send_signal(signo)
        return self.process.wait(60)


@pytest.fixture
def server(fresh, term):
    made = Server(fresh(), term)
    yield made
    for row in made.cli("--json", "ws", "list", env=made.env).json:
        made.cli.ok("ws", "rm", row["id"], env=made.env)
    assert made.end(signal.SIGTERM) == 0


def ended(child):
    child.expect(pexpect.EOF)
    # the terminal's mode is read before the last descriptor of it is closed
    child.mode = termios.tcgetattr(child.child_fd)
    child.close()
    return child.exitstatus


def is_restored(child):
    return child.mode[:4] == child.before_us[:4]


def is_raw(child):
    return termios.tcgetattr(child.child_fd)[:4] != child.before_us[:4]


def test_a_shell_from_prompt_to_status(place):
    child = place.shell()
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


def test_the_escape_is_special_at_the_start_of_a_line_only(place):
    child = place.term("shell", place.ws, "--", "sh", "-c", "echo ready; cat")
    child.expect("ready")
    child.send("a~.b\r~~c\r")
    child.expect("(?s)~c.*~c")  # the echo, and what cat says
    child.send("~?")
    child.expect("leave")
    child.send("\r~.")
    assert ended(child) not in (0, None) and is_restored(child)


def test_an_agent_is_left_and_taken_again(place):
    nobody = place("attach", place.ws)
    assert nobody.status == 3 and b"exec --foreground" in nobody.stderr
    place.ok("exec", "--foreground", place.ws, "--", "bash", "-c", "while read a; do stty size; echo got=$a; done; exit 6")
    one, two, look = (place.term("attach", *how, place.ws) for how in ([], [], ["--read-only"]))
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
    again = place.term("attach", place.ws)
    again.expect("got=second")
    again.send("\x04")
    for child in (again, two, look):
        assert ended(child) == 6 and b"never" not in child.before


def test_leaving_a_workspace_that_is_stopped(place):
    child = place.shell()
    guests = place.guests()
    for pid in guests:
        os.kill(pid, signal.SIGSTOP)
    try:
        child.send("typed for nobody\r~.")
        assert ended(child) not in (0, None) and is_restored(child)
    finally:
        for pid in guests:
            os.kill(pid, signal.SIGCONT)


def test_a_frozen_workspace_is_told_to_a_person_and_ends_a_script(term, cli, remote, tmp_path):
    """Slow: it waits for the real 30 s, on both ways at once. An idle shell beside them is never suspected."""
    idle = term("shell", cli.create())
    idle.expect(PROMPT)
    places = [Place(cli, term, cli.env, cli.create()), Place(cli, term, *remote)]
    people, scripts, guests = [], [], []
    for place in places:
        people.append(place.shell())
        with open(tmp_path / place.ws, "wb") as file:
            scripts.append(cli.start("--json", "exec", "-t", place.ws, "--", "sh", "-c", "echo on; sleep 1000",
                                     env=place.env, stdin=subprocess.PIPE, stderr=file))
        assert scripts[-1].stdout.readline() == b"on\r\n"
        guests += place.guests()
    for pid in guests:
        os.kill(pid, signal.SIGSTOP)
    try:
        for place, child, script in zip(places, people, scripts):
            child.expect_exact(f"[no sign of life from {place.ws} for 30 s; ~. leaves]", timeout=90)
            assert script.wait(timeout=90) == 8
            err = (tmp_path / place.ws).read_bytes()
            assert b"nanoterm.unreachable" in err and place.ws.encode() in err
    finally:
        for pid in guests:
            os.kill(pid, signal.SIGCONT)
        for script in scripts:
            script.stdin.close()
            script.stdout.close()
    for place, child in zip(places, people):
        child.expect_exact(f"[{place.ws} is back]")
        assert b"no sign of life" not in child.before
        child.sendline("echo still-$((40+2)); exit 3")
        child.expect("still-42")
        assert ended(child) == 3 and is_restored(child)
    idle.sendline("exit 4")
    assert ended(idle) == 4 and b"sign of life" not in idle.before


def is_guest_of(pid, ws):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return False
    return b"nanoterm-guest" in words[0] and ws.encode() in words


def test_a_killed_client_leaves_no_raw_terminal_and_is_hung_up(place):
    child = place.shell()
    child.sendline("trap 'echo hung-up >/tmp/hup' EXIT; setsid sleep 77.7 & echo set-$((1+1))")
    child.expect("set-2")
    assert is_raw(child)
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: not is_raw(child), 20, "the terminal's own mode")
    wait_until(lambda: place.sh("cat /tmp/hup; ps ax | grep -c '[s]leep 77.7'; true") == b"hung-up\n0\n", 30, "the hang-up")
    place.sh("rm /tmp/hup")


PAINTER = """
trap 'printf "\\033[2J\\033[Hpainted-$((n+=1))-$(stty size)."' WINCH
printf '\\033[?1049h\\033[?2004h\\033[?25ldrawn'
while :; do sleep 0.05; done
"""


def state_of(pid):
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rsplit(b")", 1)[1].split()[0]


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGSTOP])
def test_a_client_that_is_stopped_and_continued(place, number):
    """SIGTSTP gives the terminal back first; after either the modes are on again, and the program draws."""
    child = place.term("exec", "-t", place.ws, "--", "sh", "-c", PAINTER)
    child.expect("drawn")
    assert is_raw(child)
    os.kill(child.pid, number)
    wait_until(lambda: state_of(child.pid) == b"T", 20, "the stop")
    if number == signal.SIGTSTP:
        assert not is_raw(child)
        for mode in (r"\?25h", r"\?2004l", r"\?1049l"):  # in the order of term_modes.c
            child.expect(mode)
    termios.tcsetattr(child.child_fd, termios.TCSANOW, child.before_us)  # a shell does so in any case
    os.kill(child.pid, signal.SIGCONT)
    for mode in (r"\?1049h", r"\?25l", r"\?2004h"):
        child.expect(mode)
    child.expect(r"painted-\d+-31 91\.")
    wait_until(lambda: is_raw(child), 20, "raw mode")
    child.send("\x03")
    assert ended(child) == 130 and is_restored(child)


def test_a_job_of_a_shell_is_stopped_and_taken_back(place):
    """The client under a shell with job control: kill -TSTP, bg (which must not touch the terminal), fg."""
    child = place.term_of("bash", "--norc", "--noprofile", "-i")
    child.sendline("PS1='outer'; PS1=$PS1'> '; stty -g >$HOME/mode; echo set-$((1+1))")
    child.expect("set-2.*outer> ")
    child.sendline(f"{BIN} exec -t {place.ws} -- sh -c 'echo $$-in; read a; echo got=$a; exit 4'")
    child.expect(r"\d+-in")
    client = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and has_words(pid, b"exec", b"-t", place.ws.encode())
              and int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1]) == child.pid]
    assert len(client) == 1
    os.kill(client[0], signal.SIGTSTP)
    child.expect("Stopped.*outer> ")
    child.sendline("[ $(stty -g) = $(cat $HOME/mode) ] && echo same-$((1+1))")
    child.expect("same-2.*outer> ")
    child.sendline("bg; echo bg-$((1+1))")
    child.expect("bg-2")
    wait_until(lambda: state_of(client[0]) == b"T", 20, "the stop in the background")
    child.sendline("fg")
    wait_until(lambda: state_of(client[0]) != b"T" and is_raw_of(child), 20, "the foreground")
    child.sendline("typed")
    child.expect("got=typed")
    child.expect("outer> ")
    child.sendline("echo status=$?; [ $(stty -g) = $(cat $HOME/mode) ] && echo same-$((2+1))")
    child.expect("status=4")
    child.expect("same-3")
    child.sendline("exit")
    assert ended(child) == 0


def is_raw_of(child):
    return not termios.tcgetattr(child.child_fd)[3] & termios.ICANON


def has_words(pid, *wanted):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return False
    return all(word in words for word in wanted)


def test_a_shell_outlives_the_server_on_tcp(server):
    """The client's terminal is sane again, it knows the way back, and nothing of the shell is lost."""
    place = server.place()
    child = place.shell()
    child.sendline("X=kept; printf '\\033[?1049h\\033[?2004h'; echo a-$((1+1))")
    child.expect("a-2\r\n")
    assert server.end(signal.SIGKILL) == -signal.SIGKILL
    child.expect(r"nanoterm attach (ws_\w+) --job (\w+)")
    assert child.match.group(1).decode() == place.ws
    job = child.match.group(2).decode()
    for mode in (b"\x1b[?1049l", b"\x1b[?2004l"):
        assert mode in child.before
    assert b"connection" in child.before
    assert ended(child) == 1 and is_restored(child)
    server.start()
    place.env = server.env
    again = place.term("attach", place.ws, "--job", job)
    again.expect("a-2")
    again.sendline("echo b-$X")
    again.expect("b-kept")
    again.sendline("exit 5")
    assert ended(again) == 5 and is_restored(again)
    # a server that is stopped in order leaves as much
    child = place.shell()
    assert server.end(signal.SIGTERM) == 0
    child.expect(r"nanoterm attach ws_\w+ --job (\w+)")
    job = child.match.group(1).decode()
    assert ended(child) == 1 and is_restored(child)
    server.start()
    place.env = server.env
    again = place.term("attach", place.ws, "--job", job)
    again.expect(PROMPT)
    again.send("\r~.")
    assert ended(again) == 0
    rows = place.ok("--json", "job", "list", place.ws).json
    assert [row["id"] for row in rows if row["running"]] == [job]


def test_a_local_shell_does_not_notice_that_the_server_is_killed(fresh, term):
    cli = fresh()
    place = Place(cli, term, cli.env, cli.create())
    child = place.shell()
    pid = cli.server_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), 20, "the server to be gone")
    child.sendline("echo on-$((40+2))")
    child.expect("on-42")
    assert [row["terminal"] for row in place.ok("--json", "job", "list", place.ws).json] == [True]  # by another server
    child.sendline("exit 4")
    assert ended(child) == 4 and is_restored(child)


def test_what_was_left_on_is_undone(place):
    child = place.term("exec", "-t", place.ws, "--", "printf", r"\033[?1049h\033[?1000h\033[?2004h\033[?25lend")
    child.expect("end")
    assert ended(child) == 0
    for mode in (b"\x1b[?1049l", b"\x1b[?1000l", b"\x1b[?2004l", b"\x1b[?25h"):
        assert mode in child.before


def test_nothing_is_typed_on_the_callers_terminal(place):
    """TIOCSTI and TIOCLINUX are refused on every descriptor, and the terminal inside is another."""
    attack = ("import fcntl, os, array\n"
              "fds = [0, 1, 2, os.open('/dev/tty', os.O_RDWR)]\n"
              "for fd in fds:\n"
              "    for request in (0x5412, 0x541C):\n"
              "        try: fcntl.ioctl(fd, request, b'X'); print('ALLOWED')\n"
              "        except OSError as e: print('refused', e.errno)\n"
              "print(os.ttyname(0))")
    child = place.term("exec", "-t", place.ws, "--", "python3", "-c", attack)
    child.expect("refused 1")
    child.expect(r"/dev/pts/\d")
    assert b"ALLOWED" not in child.before
    assert ended(child) == 0


def test_errors_carry_no_escapes(place):
    done = place("exec", "-t", place.ws, "--", "/no/\x1b]0;evil\x07")
    assert done.status == 127 and b"\x1b" not in done.stderr and b"\x07" not in done.stderr


def test_an_input_that_is_no_terminal_is_typed(place):
    done = place("shell", place.ws, input=b"echo $((40+2)); tty; exit 4\n")
    assert done.status == 4 and b"42" in done.stdout and b"/dev/pts/" in done.stdout
    assert place("exec", "-t", place.ws, "--", "cat", input=b"no newline").stdout.count(b"no newline") == 2


def test_an_input_that_has_ended_stays_ended(place):
    """A program that empties its input as it starts, or reads it again, sees the end, too."""
    for command in ("cat; cat; cat; echo done", "read -r line; stty sane; sleep 0.3; stty -echo; cat; cat; echo $line done"):
        done = place("exec", "-t", place.ws, "--", "sh", "-c", command, input=b"typed\n")
        assert done.status == 0 and done.stdout.endswith(b"done\r\n"), done


def test_one_that_goes_on_alone(place):
    made = place.ok("--json", "shell", place.ws, "--detach", "--log", "/tmp/term.log", "--", "sh", "-c", "tty; exit 3").json
    assert made["id"] and made["pid"] > 0
    wait_until(lambda: place("exec", place.ws, "--", "cat", "/tmp/term.log.exit").stdout == b"3\n", 30, "its status")
    assert b"/dev/pts/" in place.sh("cat /tmp/term.log")
