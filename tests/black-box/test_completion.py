# SPDX-License-Identifier: Apache-2.0
"""What could stand at the cursor, as the shells ask for it; and the pages and scripts that are installed."""
import json
import pathlib
import shutil
import subprocess

import pytest

from conftest import BIN

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
