# SPDX-License-Identifier: Apache-2.0
"""A sandbox is not the outermost thing: it works in a workspace and in another sandbox, with what is left there."""
import os
import pathlib

import pytest

from conftest import BIN, IS_SANITIZED

pytestmark = pytest.mark.skipif(IS_SANITIZED, reason="the sanitizers' shadow memory is more than a workspace has")
PREFIX = pathlib.Path(os.path.realpath(BIN)).parent.parent
INNER = "/workspace/nt/bin/nanoterm"


@pytest.fixture
def nanoterm(fresh):
    return fresh()


def copy_program(nanoterm, ws):
    nanoterm.ok("exec", ws, "--", "mkdir", "-p", "/workspace/nt/bin", "/workspace/nt/lib/nanoterm", "/workspace/nt/libexec")
    nanoterm.ok("files", "cp", BIN, f"{ws}:{INNER}", timeout=120)
    nanoterm.ok("files", "cp", PREFIX / "lib/nanoterm/plugins", f"{ws}:/workspace/nt/lib/nanoterm/plugins", timeout=120)
    nanoterm.ok("files", "cp", PREFIX / "libexec/nanoterm", f"{ws}:/workspace/nt/libexec/nanoterm", timeout=120)


def test_in_a_workspace(nanoterm):
    made = nanoterm("--json", "ws", "create", "--no-internet", timeout=120)
    # The server of root is a user of its own, which a namespace with one user does not have.
    is_alone = sum(int(line.split()[2]) for line in pathlib.Path("/proc/self/uid_map").read_text().splitlines()) == 1
    if made.status != 0 and (made.error["code"] == "sandbox_unavailable" or is_alone):
        pytest.skip(f"no workspaces here: {made.error['message']}")
    assert made.status == 0, made
    ws = made.json["id"]
    nanoterm.made.append(ws)
    copy_program(nanoterm, ws)
    nanoterm.ok("exec", ws, "--", "sh", "-c", "mkdir -p /workspace/project && echo secret > /workspace/secret")
    run = ("exec", ws, "--cwd", "/workspace/project", "--", INNER, "enforce", "run", "-s", "--allow", ".")
    assert nanoterm.ok(*run, "--", "sh", "-c", "echo made > made && cat made").stdout == b"made\n"
    assert nanoterm(*run, "--", "cat", "/workspace/secret").status == 1
    assert nanoterm(*run, "--", "sh", "-c", "echo x > /workspace/secret").status != 0
    assert nanoterm.ok("exec", ws, "--", "cat", "/workspace/secret").stdout == b"secret\n"
    # What is not there is refused, or done by another layer; a connection is denied in any case.
    done = nanoterm(*run, "--block-net", "--", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9")
    assert done.status == 1 and b"Permission denied" in done.stderr, done
    report = nanoterm.ok("exec", ws, "--", INNER, "enforce", "setup", "--check-only", "--json").json
    assert report["usable"] is True


def test_in_a_sandbox(nanoterm):
    project = nanoterm.home / "project"
    project.mkdir()
    (nanoterm.home / "secret").write_text("secret")
    nanoterm.ok("config", "set", "output.color", "auto")  # so that there is a folder which is closed inside
    outer = ("enforce", "run", "-s", "--allow", project, "--read", PREFIX, "--", BIN)
    inner = ("enforce", "run", "-s", "--allow", ".", "--")
    assert nanoterm.ok(*outer, *inner, "sh", "-c", "echo made > made && cat made", cwd=project).stdout == b"made\n"
    assert nanoterm(*outer, *inner, "cat", "../secret", cwd=project).status == 1
    refused = nanoterm(*outer, "enforce", "run", "-s", "--allow", nanoterm.home, "--", "cat", nanoterm.home / "secret", cwd=project)
    assert refused.status != 0 and b"secret" != refused.stdout
