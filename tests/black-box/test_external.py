# SPDX-License-Identifier: Apache-2.0
"""External commands: programs `nanoterm-NAME` with a manifest beside them, run with what it declares and no credential."""
import json
import os
import signal
import subprocess

import pytest

from conftest import BIN, landlock_version

pytestmark = pytest.mark.skipif(landlock_version() < 6, reason="this kernel's Landlock has no scopes (Linux 6.12)")

SHOW = """#!/bin/sh
printf '%s\\n' "words:" "$@"
printf 'env: %s %s %s\\n' "$NANOTERM_COMMAND" "${NANOTERM_JSON-none}" "${NANOTERM_API_KEY-none}${GITHUB_TOKEN-none}"
if read -r line < "$HOME/.ssh/id"; then echo "secret: $line"; fi
if read -r line < "$HOME/allowed"; then echo "allowed: $line"; fi
if echo x > "$HOME/.nanoterm/planted"; then echo planted; fi
if /bin/ls / > /dev/null; then echo ran; fi
if kill -0 "$PPID"; then echo signalled; fi
exit 7
"""


def put(cli, name, text, manifest, folder=None):
    folder = folder or cli.home / ".nanoterm/external"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"nanoterm-{name}"
    program.write_text(text)
    program.chmod(0o755)
    (folder / f"nanoterm-{name}.json").write_text(json.dumps(manifest))
    return program


def manifest(name, **more):
    return {"external": 1, "name": name, "version": "1.0", "summary": "Show what there is", **more}


@pytest.fixture
def own(fresh):
    cli = fresh()
    (cli.home / ".ssh").mkdir()
    (cli.home / ".ssh/id").write_text("private\n")
    (cli.home / "allowed").write_text("yes\n")
    return cli


def state(cli, name):
    rows = [row for row in cli.ok("--json", "plugin", "list").json if row["name"] == name]
    assert len(rows) == 1
    return rows[0]


def test_a_program_runs_with_what_it_declares(own):
    put(own, "show", SHOW, manifest("show", needs=[{"kind": "read", "value": "~/allowed", "why": "to show it"}]))
    env = {**own.env, "NANOTERM_API_KEY": "nsk_secret", "GITHUB_TOKEN": "ghp_secret"}
    done = own("show", "one", "--json", "-x", "--", "", "two words", env=env)
    assert done.status == 7
    assert done.text.splitlines() == ["words:", "one", "--json", "-x", "--", "", "two words", "env: show none nonenone",
                                      "allowed: yes"]
    assert not (own.home / ".nanoterm/planted").exists()
    done = own("--json", "show", "--", "--help")
    assert done.text.splitlines()[:3] == ["words:", "--help", "env: show 1 nonenone"]
    info = own.ok("--json", "plugin", "info", "show").json
    assert info["confined"] is True and info["needs"][0]["value"] == "~/allowed"


def test_it_is_a_command_like_any_other(own):
    put(own, "deploy", SHOW, manifest("deploy", commands=[
        {"path": "deploy now", "summary": "Bring it out at once"},
        {"path": "deploy later", "summary": "Bring it out then",
         "examples": [{"command": "deploy later --at noon", "note": "At noon"}]}]))
    assert own("deploy", "now", "fast").text.splitlines()[:3] == ["words:", "now", "fast"]
    assert "Bring it out then" in own.ok("--help").text
    assert "deploy later --at noon" in own.ok("deploy", "later", "--help").text
    commands = {row["path"]: row for row in json.loads(own.ok("commands").stdout)}
    assert commands["deploy now"]["summary"] == "Bring it out at once"
    offered = subprocess.run([BIN, "--internal-complete", "words", "deploy", ""], env=own.env, capture_output=True)
    assert {line.split("\t")[0] for line in offered.stdout.decode().splitlines()} >= {"now", "later"}
    assert own("deploy", "never").status == 2


def test_a_compiled_program_and_one_in_another_folder(own, tmp_path):
    source = tmp_path / "main.c"
    source.write_text("#include <errno.h>\n#include <stdio.h>\n#include <sys/socket.h>\n#include <unistd.h>\n"
                      "int main(void) { int fd = socket(AF_INET, SOCK_STREAM, 0); int sys = errno;\n"
                      "printf(\"%d %d %d\\n\", fd, sys, access(\"/proc/self/fd/3\", F_OK)); return 0; }\n")
    folder = own.home / "tools"
    program = put(own, "net", "", manifest("net"), folder)
    subprocess.run(["cc", "-o", program, source], check=True, timeout=60)
    assert own("net").status == 2
    done = own.ok("net", env={**own.env, "NANOTERM_EXTERNAL_PATH": f"/nonexistent:{folder}"})
    assert done.text == "-1 1 -1\n"


def test_declared_programs_run(own):
    put(own, "lister", "#!/bin/sh\nls /usr/share > /dev/null && echo listed\ncat /dev/null || echo refused\n",
        manifest("lister", needs=[{"kind": "program", "value": "ls", "why": "to list"}]))
    assert own.ok("lister").text == "listed\nrefused\n"


@pytest.mark.parametrize("name, change, why", [
    ("exec", {}, "reserved"),
    ("bad", {"external": 2}, "format"),
    ("bad", {"name": "other"}, "names 'other'"),
    ("bad", {"summary": None}, "summary is missing"),
    ("bad", {"commands": [{"path": "ws steal", "summary": "x"}]}, "begins with 'bad'"),
    ("bad", {"needs": [{"kind": "host", "value": "a.example:1", "why": "x"}]}, "neither API nor network"),
    ("bad", {"needs": [{"kind": "read", "value": "../x", "why": "x"}]}, "not a path"),
    ("bad", {"needs": [{"kind": "all", "value": "x", "why": "x"}]}, "not of kind"),
])
def test_bad_manifests_are_not_used(own, name, change, why):
    put(own, name, "#!/bin/sh\necho run\n", {**manifest(name), **change})
    row = state_of_external(own, name)
    assert row["state"] == "skipped" and why in row["reason"], row


def state_of_external(cli, name):
    rows = [row for row in cli.ok("--json", "plugin", "list").json
            if row["name"] == name and str(cli.home) in (row["file"] or "")]
    assert len(rows) == 1
    return rows[0]


def test_files_that_others_could_have_written_are_not_run(own):
    program = put(own, "show", SHOW, manifest("show"))
    program.chmod(0o777)
    assert "others can write" in state(own, "show")["reason"]
    program.chmod(0o644)
    assert "not executable" in state(own, "show")["reason"]
    program.unlink()
    assert "not there" in state(own, "show")["reason"]
    program.symlink_to("/bin/true")
    assert "symbolic link" in state(own, "show")["reason"]


def test_signals_and_the_deadline_reach_it(own):
    put(own, "waits", "#!/bin/sh\ntrap 'echo told; exit 5' TERM\necho ready\nwhile :; do read -r x || :; done\n",
        manifest("waits"))
    reader, writer = os.pipe()
    with own.start("waits", stdin=reader) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        os.close(writer)  # the shell's read ends, so that its trap runs
        os.close(reader)
        assert process.wait(30) == 5 and b"told" in process.stdout.read()
    put(own, "hangs", "#!/bin/sh\nwhile :; do :; done\n", manifest("hangs"))
    done = own("--json", "--timeout", "1s", "hangs")
    assert done.status == 8 and done.error["code"] == "timeout"
