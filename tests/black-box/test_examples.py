# SPDX-License-Identifier: Apache-2.0
"""Every example of every help text runs as it stands: ids are replaced by real ones, nothing else."""
import json
import os
import shlex
import subprocess

import pytest

from conftest import BIN

CATALOG = json.loads(subprocess.run([BIN, "commands"], capture_output=True, check=True).stdout)
EXAMPLES = [(command["path"], example["command"]) for command in CATALOG for example in command["examples"]]

# They do not end, or need what a test must not touch; each has a test of its own elsewhere.
ELSEWHERE = {"serve"}


@pytest.fixture
def folder(cli, tmp_path):
    """What the examples expect to find in the current folder."""
    (tmp_path / "key.txt").write_text("nsk_0123456789abcdef0123456789abcdef\n")
    (tmp_path / "script.sh").write_text("#!/bin/sh\n")
    (tmp_path / "hello.c").write_text("int main(void) { return 0; }\n")
    (tmp_path / "Makefile").write_text("hello: hello.c\n\tcc -o $@ $<\ntest:\n\ttrue\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, check=True)
    return tmp_path


@pytest.mark.parametrize("path, line", EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_example(cli, fresh, folder, path, line):
    if path in ELSEWHERE:
        pytest.skip("has a test of its own")
    if path.split()[0] in ("auth", "config"):
        cli = fresh()  # they change settings; no server is started for them
    words = shlex.split(line)
    assert words[:len(path.split())] == path.split() or path.split()[-1] in words
    if "ws_a1b2c3d4" in line:
        ws = cli.create("--no-internet")
        cli.ok("files", "write", ws, "/workspace/out.txt", input=b"out\n")
        cli.ok("exec", ws, "--", "sh", "-c", "mkdir /workspace/api; printf 'test:\\n\\ttrue\\n' > /workspace/Makefile")
        if path == "ws start":
            cli.ok("ws", "stop", ws)
        words = [word.replace("ws_a1b2c3d4", ws) for word in words]
    # The one piece of shell that examples use: a file as standard input.
    sources = [word[1:] for word in words if word.startswith("<")]
    words = [word for word in words if not word.startswith("<")]
    with open(folder / sources[0] if sources else os.devnull, "rb") as stdin:
        done = cli(*words, cwd=folder, timeout=120, stdin=stdin)
    # `auth status` of an API without a key is told by its status, and is not a mistake of the example.
    assert done.status == 0 or (path == "auth status" and done.status == 4), done
