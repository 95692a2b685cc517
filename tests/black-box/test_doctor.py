# SPDX-License-Identifier: Apache-2.0
"""doctor does what a user would do, and says what is missing and what helps."""
import json
import os
import subprocess

import pytest

from conftest import BIN

KERNEL = {"user namespaces", "overlayfs", "idmapped mounts", "landlock", "seccomp notify", "control groups"}
STEPS = ["server", "create a workspace", "run a program", "write a file", "read a file", "remove the workspace"]


def rows_of(done):
    rows = {row["check"]: row for row in done.json}
    for row in rows.values():
        assert row["status"] in ("ok", "warn", "fail")
        assert row["status"] == "ok" or row["remedy"], row  # whoever hears of a problem hears what helps
    return rows


def test_it_performs_the_operation_and_leaves_nothing(cli):
    done = cli.ok("--json", "doctor", timeout=180)
    rows = rows_of(done)
    assert KERNEL <= set(rows)
    assert [rows[step]["status"] for step in STEPS[1:]] == ["ok"] * 5
    assert all(rows[step]["ms"] >= 0 for step in STEPS)
    assert rows["user namespaces"]["status"] == "ok" and rows["overlayfs"]["status"] == "ok"
    assert cli.ok("--json", "ws", "list").json == []


def test_looking_makes_nothing(fresh):
    nanoterm = fresh()
    rows = rows_of(nanoterm.ok("--json", "doctor", "--look-only"))
    assert KERNEL <= set(rows) and "server" not in rows
    assert not (nanoterm.home / ".nanoterm/server").exists()


def test_an_operation_that_fails_is_its_exit_status(fresh):
    nanoterm = fresh()
    (nanoterm.home / "state").write_text("not a folder")
    nanoterm.env["XDG_STATE_HOME"] = str(nanoterm.home / "state")
    done = nanoterm("--json", "doctor", timeout=120)
    assert done.status == 1
    row = rows_of(done)["server"]
    assert row["status"] == "fail" and row["detail"] and row["remedy"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a chroot")
def test_it_says_that_a_chroot_refuses_user_namespaces(fresh):
    nanoterm = fresh()
    root = nanoterm.home / "root"
    root.mkdir()
    # The mounts are those of the child's own namespace and go with it.
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", 'mount --rbind / "$1" && exec chroot "$1" "$2" --json doctor --look-only', "sh",
         str(root), BIN], env=nanoterm.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == 0, done
    row = next(row for row in json.loads(done.stdout) if row["check"] == "user namespaces")
    assert row["status"] == "warn" and "chroot" in row["detail"] and row["remedy"], row
