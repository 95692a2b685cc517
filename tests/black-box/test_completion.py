# SPDX-License-Identifier: Apache-2.0
"""What could stand at the cursor, as the shells ask for it; and the pages and scripts that are installed."""
import json
import os
import pathlib
import shutil
import subprocess
import threading

import pytest

from conftest import BIN
from http_peer import http_peer

CATALOG = json.loads(subprocess.run([BIN, "commands"], capture_output=True, check=True).stdout)
PREFIX = pathlib.Path(BIN).resolve().parent.parent
# Installed they are in one folder; in a build tree each package has its own.
PAGES = sorted(PREFIX.glob("share/man/man1/nanoterm*.1")) or sorted(PREFIX.glob("generated/*/man/man1/nanoterm*.1"))


def offered(cli, *words):
    out = cli.ok("--internal-complete", "words", *words).text
    return [line.split("\t")[0] for line in out.splitlines()]


@pytest.mark.parametrize("words, some, none", [
    (["ws", ""], ["create", "list", "rm"], ["ws", "exec"]),
    (["ex"], ["exec"], ["ws"]),
    (["--json", "ws", "cr"], ["create"], ["list"]),
    (["--org", "ws", "ws", "cr"], ["create"], []),
    (["ws", "create", "--si"], ["--size"], ["--name"]),
    (["ws", "create", "--size", ""], ["small", "medium", "large"], ["--name"]),
    (["ws", "create", "--size=m"], ["--size=medium"], ["--size=small"]),
    (["ws", "create", "-s", "l"], ["large"], ["small"]),
    (["plugin", "info", "plug"], ["plugin"], ["ws"]),
    (["config", "get", "output."], ["output.color"], ["api_url"]),
    (["exec", "x", "--", "--cw"], [], ["--cwd"]),
    (["nothing", ""], [], ["ws"]),
])
def test_words_and_values(cli, words, some, none):
    got = offered(cli, *words)
    assert set(some) <= set(got) and not set(none) & set(got), got


def test_paths_are_left_to_the_shell(cli):
    assert offered(cli, "plugin", "install", "") == [":files"]


def test_ids_come_from_the_server_when_one_runs(fresh):
    idle = fresh()
    assert offered(idle, "ws", "rm", "") == []
    assert idle.server_pid() is None  # a key that is pressed starts nothing
    ws = idle.create("--no-internet", "--name", "completed")
    assert set(offered(idle, "ws", "rm", "")) == {ws, "completed"}
    assert offered(idle, "ws", "rm", "comp") == ["completed"]


def test_jobs_are_those_of_the_workspace_that_was_typed(cli, ws):
    job = cli.ok("exec", ws, "--detach", "--log", "/tmp/log", "--", "sleep", "1000").text.strip()
    assert offered(cli, "job", "wait", "--timeout", "5s", ws, "job_") == [job]
    assert offered(cli, "job", "logs", "shared", "") == [job]
    assert offered(cli, "attach", ws, "--job", "") == [job]
    assert offered(cli, "job", "kill", "nothing", "") == offered(cli, "job", "kill", "../../x", "") == []
    cli.ok("job", "kill", ws, job)


def test_an_api_that_lies_or_is_slow_does_no_harm(fresh):
    evil = "job_\x1b]0;owned\x07\nsecond"
    idle = fresh()
    body = json.dumps({"items": [{"id": evil, "command": "\x1b[31m\ttab"}, {"id": 5}, None, []]}).encode()
    with http_peer(lambda request: (200, {"Content-Type": "application/json"}, body)) as url:
        idle.env |= {"NANOTERM_API_URL": url, "NANOTERM_API_KEY": "nsk_" + "0" * 32}
        out = idle.ok("--internal-complete", "words", "job", "wait", "ws_1", "").text
        assert len(out.splitlines()) == 1 and "\x1b" not in out and "\x07" not in out
    answer = threading.Event()
    with http_peer(lambda request: (answer.wait(60), (200, {}, b""))[1]) as url:
        idle.env["NANOTERM_API_URL"] = url
        assert offered(idle, "ws", "rm", "") == []  # before anything has answered
        answer.set()


def test_it_opens_no_plugin(cli, ws):
    if not shutil.which("strace") or subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode:
        pytest.skip("no strace here")
    trace = cli.home / "trace"
    done = subprocess.run(["strace", "-f", "-o", trace, "-e", "trace=openat,execve", BIN, "--internal-complete", "words", "ws",
                           "rm", ""], env=cli.env, capture_output=True, timeout=60)
    assert ws in done.stdout.decode()
    opened = [line for line in trace.read_text().splitlines() if "ENOENT" not in line]
    assert [line for line in opened if "/plugins/" in line and ".so" in line] == []
    assert sum("execve(" in line for line in opened) == 1


@pytest.mark.parametrize("line, some", [
    ("nanoterm ws cr", ["create"]),
    ("nanoterm ws create --size=m", ["medium"]),  # bash begins a word behind '='
    ("nanoterm ws create --size ", ["small", "medium", "large"]),
    ("nanoterm 'ws' cr", ["create"]),
])
def test_bash_asks_and_understands(cli, tmp_path, line, some):
    script = tmp_path / "complete.bash"
    script.write_text(cli.ok("completion", "bash").text)
    ask = f"""
        source {script}
        COMP_LINE={json.dumps(line)} COMP_POINT=${{#COMP_LINE}}
        read -ra words <<<"${{COMP_LINE//=/ = }}"
        [[ $COMP_LINE == *' ' ]] && words+=("")
        COMP_WORDS=("${{words[@]}}") COMP_CWORD=$((${{#words[@]}} - 1))
        _nanoterm {BIN}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", ask], capture_output=True, env=cli.env, timeout=30)
    assert done.stdout.decode().split() == some, done
    assert done.stderr == b""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_of_their_shells(cli, shell, tmp_path):
    script = cli.ok("completion", shell).text
    assert "--internal-complete" in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([shell, "-n", tmp_path / "script"], check=True, timeout=30)
    assert cli("completion", "csh").status == 2


@pytest.mark.skipif(not PAGES, reason="no pages were generated beside this program")
def test_every_command_has_a_page():
    wanted = {"nanoterm-" + command["path"].replace(" ", "-") + ".1" for command in CATALOG if not command.get("hidden")}
    assert wanted | {"nanoterm.1"} == {page.name for page in PAGES}
    for page in PAGES:
        text = page.read_text()
        assert text.startswith(".TH ") and ".SH NAME\n" in text
        if shutil.which("groff"):
            done = subprocess.run(["groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-z", page], capture_output=True, timeout=30)
            assert done.stderr == b"", (page.name, done.stderr)
