# SPDX-License-Identifier: Apache-2.0
"""Every example of every help text runs as it stands: ids are replaced by real ones, nothing else."""
import json
import os
import pathlib
import shlex
import shutil
import subprocess

import pytest

from conftest import BIN

CATALOG = json.loads(subprocess.run([BIN, "commands"], capture_output=True, check=True).stdout)
# Commands of a later version refuse to run, and that is all that they can end with.
LATER = {command["path"] for command in CATALOG if [row["code"] for row in command["errors"]] == ["enforce.not_built"]}
EXAMPLES = [(command["path"], example["command"]) for command in CATALOG if command["path"] not in LATER
            for example in command["examples"]]

# They do not end, or need what a test must not touch; each has a test of its own elsewhere.
ELSEWHERE = {"auth login", "serve", "proxy"}


@pytest.fixture
def folder(cli, tmp_path):
    """What the examples expect to find in the current folder."""
    (tmp_path / "key.txt").write_text("nsk_0123456789abcdef0123456789abcdef\n")
    (tmp_path / "script.sh").write_text("#!/bin/sh\n")
    (tmp_path / "hello.c").write_text("int main(void) { return 0; }\n")
    (tmp_path / "Makefile").write_text("hello: hello.c\n\tcc -o $@ $<\ntest:\n\ttrue\n")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("<p>hello</p>\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, check=True)
    return tmp_path


HELLO = """#include "nanoterm/plugin.h"
static int run(struct nt_call *call, struct nt_error *reterr) { (void)call, (void)reterr; return 0; }
static const struct nt_example examples[] = { { "hello", "Say nothing" } };
static const struct nt_command commands[] = {
    { .path = "hello", .summary = "Say nothing", .run = run, .examples = NT_TABLE(examples) } };
static const struct nt_plugin plugin = { NT_PLUGIN_HEAD, .name = "hello", .version = "1", .summary = "Nothing",
                                         .commands = NT_TABLE(commands) };
NT_PLUGIN(plugin);
"""


def add_plugin(cli, folder, path):
    """What the examples of `plugin` expect: one that was just built, or was installed before."""
    plugins = folder / "build/lib/nanoterm/plugins"
    plugins.mkdir(parents=True)
    (folder / "plugin.c").write_text(HELLO)
    include = pathlib.Path(__file__).resolve().parents[2] / "include"
    subprocess.run(["cc", "-shared", "-fPIC", "-I", include, "-o", plugins / "hello.so", folder / "plugin.c"], check=True)
    shutil.copy(plugins / "hello.so", folder)
    if path == "plugin remove":
        cli.ok("plugin", "install", plugins)


@pytest.mark.parametrize("path, line", EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_example(cli, fresh, folder, path, line):
    if path in ELSEWHERE:
        pytest.skip("has a test of its own")
    if path.split()[0] in ("auth", "config", "plugin"):
        cli = fresh()  # they change settings; no server is started for them
    if path.split()[0] == "plugin":
        add_plugin(cli, folder, path)
    words = [word.replace("~", str(cli.home)) if word.startswith("~/") else word for word in shlex.split(line)]
    assert words[:len(path.split())] == path.split() or path.split()[-1] in words
    if "ws_a1b2c3d4" in line:
        ws = cli.create("--no-internet")
        cli.ok("files", "write", ws, "/workspace/out.txt", input=b"out\n")
        cli.ok("files", "write", ws, "/workspace/build.log", input=b"built\n")
        cli.ok("exec", ws, "--", "sh", "-c", "mkdir /workspace/api; printf 'test:\\n\\ttrue\\n' > /workspace/Makefile")
        if path == "attach":
            cli.ok("exec", "--foreground", ws, "--", "sleep", "10")
        if path == "ws start":
            cli.ok("ws", "stop", ws)
        if path == "exec-wait" or path.startswith("job "):
            program = ["sleep", "1000"] if path == "job kill" else ["true"]
            job = cli.ok("exec", ws, "--detach", "--log", "/tmp/build.log", "--", *program).text.strip()
            words = [word.replace("job_a1b2", job) for word in words]
        words = [word.replace("ws_a1b2c3d4", ws) for word in words]
    if "key_a1b2c3d4" in line:
        words = [word.replace("key_a1b2c3d4", cli.ok("--json", "keys", "create").json["id"]) for word in words]
    # The one piece of shell that examples use: a file as standard input.
    sources = [word[1:] for word in words if word.startswith("<")]
    words = [word for word in words if not word.startswith("<")]
    with open(folder / sources[0] if sources else os.devnull, "rb") as stdin:
        done = cli(*words, cwd=folder, timeout=120, stdin=stdin)
    # `auth status` of an API without a key is told by its status, and is not a mistake of the example.
    assert done.status == 0 or (path == "auth status" and done.status == 4), done
