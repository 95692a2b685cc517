# SPDX-License-Identifier: Apache-2.0
"""The notice of a newer version: daily, detached, never waited for, on a terminal only; and answers that are hostile."""
import ctypes
import json
import os
import pty
import subprocess
import threading
import time

import pytest

from conftest import BIN, wait_until
from http_peer import http_peer

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
DAY_MS = 24 * 3600 * 1000
JSON = {"Content-Type": "application/json"}
OLD, NEW = "0.0.1", "99.1.2"


class Terminal:
    """The program with stderr on a terminal, and its folder of state."""

    def __init__(self, cli, **env):
        self.cli = cli
        self.env = {k: v for k, v in cli.env.items() if k != "NANOTERM_NO_UPDATE_CHECK"} | env
        self.file = cli.home / ".nanoterm/update-check"
        self.program = BIN

    def __call__(self, *words, status=0, **env):
        ours, theirs = pty.openpty()
        process = subprocess.Popen([self.program, *words], env=self.env | env, cwd=self.cli.home, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        out, shown = process.stdout.read(), b""
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # EIO: nobody has the other end any more, the detached process neither
                break
        os.close(ours)
        assert process.wait(60) == status, (out, shown)
        self.out = out
        return shown.decode()

    def state(self):
        """Time of the check, time of the notice, version."""
        mark, checked, shown, version = self.file.read_text().split()
        assert mark == "update-1"
        return int(checked), int(shown), version

    def know(self, version, checked=None, shown=0):
        self.file.parent.mkdir(mode=0o700, exist_ok=True)
        checked = int(time.time() * 1000) if checked is None else checked
        self.file.write_text(f"update-1 {checked} {shown} {version}\n")

    def wait_for_version(self):
        """Until the answer is noted, and its writer, who holds the lock a little longer, has left."""
        wait_until(lambda: self.file.exists() and self.state()[2] != "-", 60, "the answer to be noted")
        self.wait_for_worker()

    def wait_for_worker(self):
        """Until the detached process has ended. Whoever has lost its parent is a child of this process: see the fixture. (In
        /proc one that is on its way into its program cannot be told from others.)"""

        def is_over():
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
                return False
            except ChildProcessError:
                return True

        wait_until(is_over, 90, "the detached process to end")


@pytest.fixture
def terminal(fresh):
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield Terminal(fresh())
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


def answers(version):
    return lambda request: (200, JSON, json.dumps({"version": version}).encode())


def notices(shown):
    return [line for line in shown.splitlines() if "is available" in line]


def test_a_newer_version_is_told_once_a_day(terminal):
    with http_peer(answers(NEW)) as url:
        where = {"NANOTERM_UPDATE_URL": f"{url}/cli/latest.json"}
        assert notices(terminal("config", "list", **where)) == []  # nothing is known yet, and nobody waits
        terminal.wait_for_version()
        shown = terminal("config", "list", **where)
        (line,) = notices(shown)
        assert line.startswith(f"nanoterm {NEW} is available, this is ")
        assert line.endswith("npm install -g @nanoterm/cli@latest")
        assert notices(terminal("config", "list", **where)) == []
        terminal.wait_for_worker()
        assert [(r["method"], r["path"], r["headers"].get("Authorization")) for r in url.requests] == [
            ("GET", "/cli/latest.json", None)]
        # A day later it asks and tells again.
        terminal.know(NEW, checked=int(time.time() * 1000) - DAY_MS, shown=int(time.time() * 1000) - DAY_MS)
        assert len(notices(terminal("config", "list", **where))) == 1
        wait_until(lambda: len(url.requests) == 2, 60, "the second day's question")
        terminal.wait_for_worker()


def test_an_older_version_is_not_told(terminal):
    terminal.know(OLD)
    assert notices(terminal("config", "list")) == []


@pytest.mark.parametrize("words, env", [
    (["config", "list"], {"NANOTERM_NO_UPDATE_CHECK": "1"}),
    (["--json", "config", "list"], {}),
    (["-q", "config", "list"], {}),
    (["--version"], {}),
])
def test_it_can_be_switched_off(terminal, words, env):
    terminal.know(NEW, checked=0)
    before = terminal.file.read_text()
    with http_peer(answers(NEW)) as url:
        assert terminal(*words, NANOTERM_UPDATE_URL=url, **env) == ""
        assert terminal.file.read_text() == before and url.requests == []


def test_a_setting_switches_it_off_and_a_broken_one_asks_for_nothing(terminal):
    terminal.cli.ok("config", "set", "no_update_check", "1")
    with http_peer(answers(NEW)) as url:
        terminal.know(NEW, checked=0)
        assert notices(terminal("config", "list", NANOTERM_UPDATE_URL=url)) == []
        (terminal.cli.home / ".nanoterm/config.json").write_text("{")
        assert notices(terminal("commands", NANOTERM_UPDATE_URL=url)) == []
        assert url.requests == []


def test_without_a_terminal_nothing_happens(terminal):
    with http_peer(answers(NEW)) as url:
        terminal.know(NEW, checked=0)
        done = terminal.cli("config", "list", env=terminal.env | {"NANOTERM_UPDATE_URL": url})
        assert done.stderr == b"" and url.requests == []


def test_npm_is_asked_for_its_registry(terminal, tmp_path):
    npm = tmp_path / "npm"
    npm.write_text(f"""#!/bin/sh
        echo "$PWD $* ${{NANOTERM_API_KEY-none}}" >> {tmp_path}/asked
        case $3 in @nanoterm:registry) echo undefined ;; registry) cat {tmp_path}/registry ;; esac
    """)
    npm.chmod(0o755)

    def answer(request):
        if request["path"] == "/npm/-/package/@nanoterm%2fcli/dist-tags":
            return 404, JSON, b"{}"
        return 200, JSON, json.dumps({"name": "@nanoterm/cli", "dist-tags": {"latest": NEW}, "versions": {}}).encode()

    with http_peer(answer) as url:
        (tmp_path / "registry").write_text(f"{url}/npm/\n")
        terminal("config", "list", PATH=f"{tmp_path}:{terminal.env['PATH']}", NANOTERM_API_KEY="nsk_" + "0" * 32,
                 NANOTERM_API_URL=url)
        terminal.wait_for_version()
        assert [r["path"] for r in url.requests] == ["/npm/-/package/@nanoterm%2fcli/dist-tags", "/npm/@nanoterm%2fcli"]
        assert all("Authorization" not in r["headers"] for r in url.requests)
    # Not in the folder of a project, whose .npmrc is anybody's; and a program of others gets no key.
    assert (tmp_path / "asked").read_text().splitlines() == [
        "/ config get @nanoterm:registry none", "/ config get registry none"]
    assert terminal.state()[2] == NEW


@pytest.mark.parametrize("said", [b"", b"undefined\n", b"\x1b[31mhttps://x\n", b"file:///etc/passwd\n", b"https://\n",
                                  b"http://127.0.0.1:1/" + b"a" * 5000])
def test_an_npm_that_says_nonsense_changes_nothing(terminal, tmp_path, said):
    (tmp_path / "said").write_bytes(said)
    (tmp_path / "npm").write_text(f"#!/bin/sh\ncat {tmp_path}/said\n")
    (tmp_path / "npm").chmod(0o755)
    assert notices(terminal("config", "list", PATH=f"{tmp_path}:{terminal.env['PATH']}")) == []
    terminal.wait_for_worker()
    assert terminal.state()[2] == "-"


HOSTILE = {
    "escapes": {"version": "9.9.9\x1b]0;owned\x07"}, "lines": {"version": "9.9.9\nrm -rf ~"}, "words": {"version": "9.9.9 evil"},
    "long": {"version": "9" * 100000 + ".0.0"}, "number": {"version": 9}, "nested": {"version": {"latest": "9.9.9"}},
    "list": ["9.9.9"], "suffix": {"version": "9.9.9-$(id)"}, "empty": {}, "null": None,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_not_believed(terminal, name):
    with http_peer(lambda request: (200, JSON, json.dumps(HOSTILE[name]).encode())) as url:
        terminal("config", "list", NANOTERM_UPDATE_URL=url)
        wait_until(lambda: url.requests, 60, "the question")
        terminal.wait_for_worker()
        assert terminal.state()[2] == "-"
        assert notices(terminal("config", "list", NANOTERM_UPDATE_URL=url)) == []


def test_an_endless_answer_and_a_redirect_are_left(terminal):
    def endless():
        while True:
            yield b" " * 65536

    with http_peer(lambda request: (200, JSON, endless())) as url:
        terminal("config", "list", NANOTERM_UPDATE_URL=url)
        wait_until(lambda: url.requests, 60, "the question")
        terminal.wait_for_worker()
    with http_peer(answers(NEW)) as other, http_peer(lambda request: (302, {"Location": other}, b"")) as url:
        terminal.know("-", checked=0)
        terminal("config", "list", NANOTERM_UPDATE_URL=url)
        wait_until(lambda: url.requests, 60, "the question")
        terminal.wait_for_worker()
        assert other.requests == [] and terminal.state()[2] == "-"


def test_a_server_that_does_not_answer_is_not_waited_for(terminal):
    asked, answer = threading.Event(), threading.Event()

    def slow(request):
        asked.set()
        answer.wait(60)
        return 200, JSON, b"{}"

    with http_peer(slow) as url:
        terminal("config", "list", NANOTERM_UPDATE_URL=url)  # ends, and lets go of the terminal, while the question is open
        assert not answer.is_set()
        assert asked.wait(60)
        answer.set()
        terminal.wait_for_worker()


@pytest.mark.parametrize("content", ["", "update-1", "update-1 x y z", "update-1 -5 0 9.9.9", "update-2 0 0 99.0.0",
                                     "update-1 99999999999999999999 0 99.0.0", "\0" * 4096, "update-1 1 1 " + "9" * 4096])
def test_a_broken_state_is_begun_anew(terminal, content):
    with http_peer(answers(NEW)) as url:
        terminal.know("-")
        terminal.file.write_text(content)
        assert notices(terminal("config", "list", NANOTERM_UPDATE_URL=url)) == []
        terminal.wait_for_version()
        assert terminal.state()[2] == NEW


def test_a_state_that_is_a_link_is_not_read_and_not_followed(terminal, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text(f"update-1 {int(time.time() * 1000)} 0 {NEW}\n")
    before = victim.read_text()
    terminal.file.parent.mkdir(mode=0o700)
    terminal.file.symlink_to(victim)
    with http_peer(answers(OLD)) as url:
        assert notices(terminal("config", "list", NANOTERM_UPDATE_URL=url)) == []
        terminal.wait_for_worker()
    assert victim.read_text() == before and not terminal.file.is_symlink()


def test_the_other_personality_has_its_own_names(terminal, tmp_path):
    terminal.program = tmp_path / "nono"
    terminal.program.symlink_to(BIN)
    terminal.file = terminal.cli.home / ".nanoterm/update-check-nono"
    with http_peer(answers(NEW)) as url:
        terminal("profile", "list", NONO_UPDATE_URL=url, NONO_NO_UPDATE_CHECK="1")
        terminal("profile", "list", NONO_UPDATE_URL=url, NONO_NO_UPDATE_CHECK="")
        for words in (["run", "--allow-cwd", "--", "true"], ["wrap", "--", "true"], ["-s", "why", "--path", "/etc"],
                      ["completion", "bash"]):
            terminal(*words, NONO_UPDATE_URL=url)  # nothing is said beside a program, nor to who wants silence
        terminal("profile", "list", NANOTERM_UPDATE_URL=url)  # nobody is asked without a URL of its own
        assert url.requests == [] and not terminal.file.exists()
        terminal("profile", "list", NONO_UPDATE_URL=url)
        terminal.wait_for_version()
        (line,) = notices(terminal("profile", "list", NONO_UPDATE_URL=url))
        assert line.startswith(f"nono {NEW} is available")
        terminal.wait_for_worker()


@pytest.mark.parametrize("text", ["[updates]\ncheck = false\n", "[ui]\ntheme = 'latte'\n[ updates ] # y\n  check=false # z\n",
                                  "updates.check = false\n", "updates = { check = false }\n", "[updates]\ncheck = \"no\"\n"])
def test_nono_asks_nobody_when_its_settings_say_so(terminal, tmp_path, text):
    terminal.program = tmp_path / "nono"
    terminal.program.symlink_to(BIN)
    terminal.file = terminal.cli.home / ".nanoterm/update-check-nono"
    settings = terminal.cli.home / ".config/nono/config.toml"
    settings.parent.mkdir(parents=True)
    with http_peer(answers(NEW)) as url:
        settings.write_text(text)
        terminal("profile", "list", NONO_UPDATE_URL=url)
        terminal.wait_for_worker()
        assert url.requests == [] and not terminal.file.exists()
        settings.write_text(text.replace("false", "true").replace('"no"', "true"))
        terminal("profile", "list", NONO_UPDATE_URL=url)
        terminal.wait_for_version()
        terminal.wait_for_worker()
        settings.write_text(text)
        assert notices(terminal("profile", "list", NONO_UPDATE_URL=url)) == []  # also what is known is not told
