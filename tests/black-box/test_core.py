# SPDX-License-Identifier: Apache-2.0
"""What the core does without any server: version, help, catalog, usage errors, exit statuses."""
import json
import re
import subprocess

import pytest

from conftest import BIN


def test_version_is_one_line(cli):
    done = cli.ok("--version")
    assert re.fullmatch(r"nanoterm \d+\.\d+\.\d+\n", done.text)
    assert done.stderr == b""


def test_version_opens_no_plugin_and_no_configuration(cli):
    trace = subprocess.run(["strace", "-f", "-e", "trace=openat,open,connect,socket", BIN, "--version"],
                           env=cli.env, capture_output=True)
    assert trace.returncode == 0
    opened = trace.stderr.decode()
    assert "plugins" not in opened and ".nanoterm" not in opened
    assert "libcurl" not in opened and "socket(" not in opened


def test_the_whole_tree_is_in_the_help(cli):
    text = cli.ok("--help").text
    for path in ("ws create", "ws list", "ws stop", "ws start", "ws rm", "exec", "files cp", "files write",
                 "auth set-key", "auth status", "auth logout", "config list", "plugin list", "commands", "quickstart",
                 "serve"):
        assert path in text or path.split()[-1] in text, path


def test_help_and_catalog_open_no_plugin(cli):
    trace = subprocess.run(["strace", "-f", "-e", "trace=openat", BIN, "commands"], env=cli.env, capture_output=True)
    assert trace.returncode == 0
    opened = [line for line in trace.stderr.decode().splitlines() if ".so" in line and "/plugins/" in line]
    assert opened == []


def catalog(cli):
    commands = json.loads(cli.ok("commands").stdout)
    assert isinstance(commands, list) and commands
    return commands


def test_every_command_has_help_with_an_example(cli):
    for command in catalog(cli):
        done = cli.ok(*command["path"].split(), "--help")
        assert "nanoterm " + command["path"] in done.text, command["path"]
        assert "xample" in done.text, command["path"]
        assert command["examples"], command["path"]


def test_catalog_says_what_the_seed_says(cli):
    commands = {command["path"]: command for command in catalog(cli)}
    create = commands["ws create"]
    options = {option["name"]: option for option in create["options"]}
    for name in ("image", "size", "name", "port", "repo", "branch"):
        assert name in options, name
    assert "hidden" in json.dumps(commands["files cp"])


@pytest.mark.parametrize("words, status", [
    (["no-such-command"], 2),
    (["ws", "no-such"], 2),
    (["ws", "create", "--no-such"], 2),
    (["ws", "create", "--size", "huge"], 2),
    (["exec"], 2),
    (["ws", "rm"], 2),
    (["files", "cp", "a"], 2),
    (["files", "cp", "a", "b"], 2),
    (["auth", "status", "too", "many"], 2),
    (["--timeout", "soon", "ws", "list"], 2),
])
def test_wrong_words_are_a_usage_error(cli, words, status):
    plain = cli(*words)
    assert plain.status == status and plain.stdout == b"" and plain.stderr
    done = cli("--json", *words)
    assert done.status == status and done.stdout == b""
    error = done.error
    assert error["level"] == "error" and error["kind"] == "usage" and error["request_sent"] is False
    for key in ("code", "message", "retryable", "attempt", "status", "upstream", "request_id", "hint"):
        assert key in error


def test_a_typing_mistake_gets_a_suggestion(cli):
    assert "list" in cli("ws", "lsit").stderr.decode()
    assert "--size" in cli("ws", "create", "--siez", "small").stderr.decode()


def test_a_full_disk_is_an_error_and_a_closed_pipe_is_not_a_message(cli):
    with open("/dev/full", "wb") as full:
        done = cli("commands", stdout=full)
    assert done.status == 1 and b"space" in done.stderr
    process = cli.start("commands")
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    process.wait()
    assert b"Traceback" not in error and error.count(b"\n") <= 1


def test_an_unreachable_api_is_a_network_error_that_was_not_sent(cli):
    done = cli("--json", "--api", "http://127.0.0.1:1", "--timeout", "5s", "ws", "list",
               env={**cli.env, "NANOTERM_API_KEY": "nt_x"})
    assert done.status == 1 and done.stdout == b""
    error = done.error
    assert error["kind"] == "network" and error["retryable"] is True and error["request_sent"] is False
    assert error["upstream"] == "ECONNREFUSED"
