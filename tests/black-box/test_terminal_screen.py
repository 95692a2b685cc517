# SPDX-License-Identifier: Apache-2.0
"""The screen after re-attachment, in a terminal emulator (pyte), and terminals that are attacked; embedded and through TCP."""
import json
import os

import pexpect
import pyte
import pytest

from conftest import BIN, wait_until

COLS, ROWS = 91, 31
TOP, BOTTOM = 3, ROWS - 2  # of the scroll region
LINES = 9000               # more than the 256 kB that are kept


@pytest.fixture
def term():
    """term(env, *words): a program on a terminal; all are ended with the test."""
    made = []

    def start(env, *words):
        made.append(pexpect.spawn(words[0], list(words[1:]), env={**env, "TERM": "xterm-256color"}, timeout=30,
                                  dimensions=(ROWS, COLS)))
        return made[-1]

    yield start
    for child in made:
        child.close(force=True)


class Place:
    """One workspace on one of the two ways."""

    def __init__(self, cli, env, ws):
        self.cli, self.env, self.ws = cli, env, ws

    def sh(self, script, input=None):
        return self.cli.ok("exec", self.ws, "--", "sh", "-c", script, env=self.env, input=input).stdout


@pytest.fixture(params=["local", "remote"])
def place(request, cli):
    if request.param == "local":
        return Place(cli, cli.env, request.getfixturevalue("ws"))
    return Place(cli, *request.getfixturevalue("remote"))


# --- the screen

# A title and a status line around a region that scrolls, each line in its colour, on the other screen. PAINTS: it draws
# all of it when the size changes, as an editor does; otherwise it writes each byte once.
PAINTER = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
paints, lines = sys.argv[1] == "paints", int(sys.argv[2])
def write(text):
    data = text.encode()
    while data:
        data = data[os.write(1, data):]
def line(n):
    return f"\\033[1;3{n % 8}mline {n} \u00e4\u00f6\u00fc \u250c\u2500\u2510\\033[0m"
def frame():
    rows = os.get_terminal_size().lines
    write(f"\\033[?1049h\\033[?25l\\033[?2004h\\033[r\\033[2J\\033[1;1H\\033[44mTITLE\\033[0m"
          f"\\033[{rows};1H\\033[7mSTATUS of {rows}\\033[0m\\033[3;{rows - 2}r\\033[{rows - 2};1H")
    return rows
frame()
for n in range(lines):
    write("\\n\\r" + line(n))
while True:
    if paints:
        signal.sigwait([signal.SIGWINCH])
        rows = frame()
        for row in range(3, rows - 1):
            write(f"\\033[{row};1H" + line(lines - (rows - 1 - row)))
    elif not sys.stdin.readline():
        break
    else:
        write("\\n\\r" + line(lines))
        lines += 1
"""


class Emulator:
    """What a person sees."""

    def __init__(self, child):
        self.child = child
        self.screen = pyte.Screen(COLS, ROWS)
        self._stream = pyte.ByteStream(self.screen)

    def row(self, y):
        """The text of a row, from 1, and the colours, weights and inversions in it."""
        row = self.screen.buffer[y - 1]
        used = [row[x] for x in range(COLS) if row[x].data != " "]
        return self.screen.display[y - 1].rstrip(), {(c.fg, c.bg, c.bold, c.reverse) for c in used}

    def until(self, shows, what):
        def look():
            came = b""  # all that is there, before it is looked at: that takes long, and who does not read misses some
            try:
                while True:
                    came += self.child.read_nonblocking(65536, timeout=0.1)
            except pexpect.TIMEOUT:
                self._stream.feed(came)
            return shows(self)

        wait_until(look, 60, what)

    def has_mode(self, number):
        return number << 5 in self.screen.mode  # of a private one, in pyte


COLOURS = ["black", "red", "green", "brown", "blue", "magenta", "cyan", "white"]


def region(last):
    """What stands in the region when the last line is that one."""
    return [(f"line {n} äöü ┌─┐", {(COLOURS[n % 8], "default", True, False)}) for n in range(last - (BOTTOM - TOP), last + 1)]


def shows_region(last):
    return lambda emulator: [emulator.row(y) for y in range(TOP, BOTTOM + 1)] == region(last)


def agent(place, term, *words):
    """A watched agent with that painter, and its workspace's way in."""
    place.sh("cat >/tmp/painter.py", PAINTER.encode())
    child = term(place.env, BIN, "exec", "--foreground", place.ws, "--", "python3", "/tmp/painter.py", *words)
    first = Emulator(child)
    first.until(shows_region(LINES - 1), "the first screen")
    return first


def test_a_program_that_paints_is_seen_whole_again(place, term):
    first = agent(place, term, "paints", str(LINES))
    second = Emulator(term(place.env, BIN, "attach", place.ws))
    for emulator in (second, first):  # it painted for both
        emulator.until(lambda e: shows_region(LINES - 1)(e) and e.row(1) == ("TITLE", {("default", "blue", False, False)})
                       and e.row(ROWS) == (f"STATUS of {ROWS}", {("default", "default", False, True)}), "the whole screen")
        assert [emulator.row(y)[0] for y in (2, ROWS - 1)] == ["", ""]
        assert emulator.screen.margins == (TOP - 1, BOTTOM - 1) and emulator.screen.cursor.hidden
        assert emulator.has_mode(1049) and emulator.has_mode(2004)
    second.child.send("\x03")
    for emulator in (first, second):
        emulator.child.expect(pexpect.EOF)


def test_a_program_that_only_writes_goes_on_where_it_was(place, term):
    """Its title was written before what is kept; region, modes, colours and all that scrolled are as they were."""
    first = agent(place, term, "writes", str(LINES))
    assert first.row(1)[0] == "TITLE"
    second = Emulator(term(place.env, BIN, "attach", place.ws))
    second.until(shows_region(LINES - 1), "the region")
    assert second.screen.margins == (TOP - 1, BOTTOM - 1) and second.screen.cursor.hidden
    assert second.has_mode(1049) and second.has_mode(2004)
    assert [second.row(y)[0] for y in (1, 2, ROWS - 1, ROWS)] == ["", "", "", ""]
    second.child.send("\x04")  # the painter's end, after it was seen that the line discipline is its own
    for emulator in (first, second):
        emulator.child.expect(pexpect.EOF)
        assert b"\x1b[?1049l" in emulator.child.before and b"\x1b[?2004l" in emulator.child.before


def test_a_shell_is_seen_as_it_was(place, term):
    first = Emulator(term(place.env, BIN, "exec", "--foreground", place.ws, "--", "bash", "--norc"))
    first.child.sendline("PS1='> '; seq 60000; printf '\\033[32mgreen\\033[0m\\n'")
    is_there = lambda e: e.row(ROWS)[0] == ">" and e.row(ROWS - 1) == ("green", {("green", "default", False, False)})
    first.until(is_there, "the prompt")
    second = Emulator(term(place.env, BIN, "attach", place.ws))
    second.until(is_there, "the prompt again")
    assert second.screen.display[:-1] == first.screen.display[:-1]
    assert second.screen.display[0].rstrip() == str(60000 - (ROWS - 3))
    assert (second.screen.cursor.x, second.screen.cursor.y) == (2, ROWS - 1)
    second.child.sendline("exit")
    for emulator in (first, second):
        emulator.child.expect(pexpect.EOF)


# --- attacks

# Holds all that it can open of terminals, and goes for them when its caller has left.
LURKER = """
import fcntl, os, signal, time
for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):
    signal.signal(number, signal.SIG_IGN)
fds = [0, 1, 2]
for name in ["/dev/tty", "/dev/console"] + ["/dev/pts/" + name for name in os.listdir("/dev/pts")]:
    try: fds.append(os.open(name, os.O_RDWR | os.O_NOCTTY))
    except OSError: pass
os.write(1, b"lurks-" + str(len(fds)).encode() + b"-done")
heard, left = b"", 30
while left:
    time.sleep(0.01)
    if not os.path.exists("/tmp/left"): continue
    left -= 1
    for fd in fds:
        try: os.set_blocking(fd, False); heard += os.read(fd, 1000)
        except OSError: pass
        try: os.write(fd, b"EVIL")
        except OSError: pass
        for request in (0x5412, 0x541C, 0x540E):  # TIOCSTI, TIOCLINUX, TIOCSCTTY
            try: fcntl.ioctl(fd, request, b"e")
            except OSError: pass
with open("/tmp/heard.new", "wb") as file: file.write(heard)
os.rename("/tmp/heard.new", "/tmp/heard")
"""


@pytest.mark.parametrize("agent", [False, True], ids=["left-behind", "detached"])
def test_who_stays_behind_cannot_reach_the_callers_terminal(place, term, agent):
    """Neither a process that a shell left in the background nor an agent that goes on reads, writes or types there."""
    place.sh("rm -f /tmp/left /tmp/heard; cat >/tmp/lurker.py", LURKER.encode())
    outer = term(place.env, "bash", "--norc", "--noprofile", "-i")
    outer.sendline("PS1='outer'; PS1=$PS1'> '")
    outer.expect("outer> ")
    if agent:
        outer.sendline(f"{BIN} exec --foreground {place.ws} -- python3 /tmp/lurker.py")
        outer.expect(r"lurks-([4-9]|\d\d)-done")
        mine = terminals_of(place)
        outer.send("\r~.")
        outer.expect("goes on.*outer> ")
    else:
        outer.sendline(f"{BIN} shell {place.ws} -- bash -c 'python3 /tmp/lurker.py & read a'")
        outer.expect(r"lurks-([4-9]|\d\d)-done")
        mine = terminals_of(place)
        outer.sendline("")
        outer.expect("outer> ")
    assert mine and not mine & {terminal(f"/proc/{outer.pid}/fd/{fd}") for fd in (0, 1, 2)}
    place.sh("touch /tmp/left")
    said = b""
    for n in range(200, 1000):
        outer.sendline(f"echo typed-$(({n}+1))")
        outer.expect(f"typed-{n + 1}\r\n.*outer> ")
        said += outer.before + outer.after
        if place.sh("cat /tmp/heard 2>/dev/null && echo; true"):
            break
    heard = place.sh("cat /tmp/heard")
    assert b"typed" not in heard and b"EVIL" not in said
    outer.sendline("exit")
    outer.expect(pexpect.EOF)
    assert b"EVIL" not in outer.before


def terminal(path):
    """Which terminal of which devpts that is."""
    found = os.stat(path)
    return found.st_dev, found.st_rdev


def terminals_of(place):
    """The terminals that the lurker holds, as the host sees them."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read() != b"python3\0/tmp/lurker.py\0":
                    continue
            found |= {terminal(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        except OSError:
            continue
    return found


# --- what starts in a terminal

def test_the_agent_of_a_new_workspace(place, term):
    made = place.cli.ok("--json", "ws", "create", "--cmd", "test -t 0 && stty size; read a; echo got=$a; exit 6", env=place.env,
                        timeout=120).json["id"]
    child = term(place.env, BIN, "attach", made)
    child.expect(r"\d+ \d+\r\n")
    child.sendline("typed")
    child.expect("got=typed")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6
    place.cli.ok("ws", "rm", made, env=place.env)


@pytest.mark.parametrize("words, status, by", [
    (["sh", "-c", "'exit 7'"], 7, "program"),
    (["sh", "-c", "'kill -TERM $$'"], 143, "program"),
    (["/no/such/program"], 127, "runtime"),
])
def test_whose_status_it_is_in_a_terminal(place, term, tmp_path, words, status, by):
    os.chmod(tmp_path, 0o755)
    child = term(place.env, "bash", "-c", f"{BIN} --status-fd 9 exec -t {place.ws} -- {' '.join(words)} 9>{tmp_path}/status")
    child.expect(pexpect.EOF)
    child.close()
    told = json.loads((tmp_path / "status").read_text())
    assert child.exitstatus == status and (told["status"], told["by"]) == (status, by)
