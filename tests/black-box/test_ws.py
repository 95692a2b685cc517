# SPDX-License-Identifier: Apache-2.0
"""Workspaces: create, list, stop, start, remove."""
import re


def rows(cli):
    return {row["id"]: row for row in cli.ok("--json", "ws", "list").json}


def test_create_list_stop_start_rm(cli):
    ws = cli.create("--name", "round-trip")
    assert re.fullmatch(r"ws_[a-z0-9]{8}", ws)
    assert rows(cli)[ws]["status"] == "running" and rows(cli)[ws]["name"] == "round-trip"
    cli.ok("exec", ws, "--", "sh", "-c", "echo kept > /workspace/kept; echo too > /etc/kept; mkdir /usr/kept")
    cli.ok("ws", "stop", ws)
    assert rows(cli)[ws]["status"] == "stopped"
    refused = cli("--json", "exec", ws, "--", "true")
    assert refused.status == 7 and refused.error["code"] == "sandbox_not_ready"
    cli.ok("ws", "start", ws)
    done = cli.ok("exec", ws, "--", "sh", "-c", "cat /workspace/kept /etc/kept && test -d /usr/kept")
    assert done.stdout == b"kept\ntoo\n"
    cli.ok("ws", "rm", ws)
    assert ws not in rows(cli)
    gone = cli("--json", "ws", "rm", ws)
    assert gone.status == 3 and gone.error["code"] == "sandbox_not_found"


def test_the_table_is_that_of_the_seed(cli):
    ws = cli.create("--name", "in-the-table")
    lines = cli.ok("ws", "ls").text.splitlines()
    assert lines[0].split() == ["ID", "NAME", "STATUS", "IMAGE"]
    assert [ws, "in-the-table", "running", "host"] in [line.split() for line in lines[1:]]
    assert cli.ok("--fields", "name,id", "--json", "ws", "list").json[0].keys() == {"name", "id"}
    cli.ok("ws", "rm", "in-the-table")


def test_a_name_is_taken_once(cli):
    ws = cli.create("--name", "once")
    again = cli("--json", "ws", "create", "--name", "once")
    assert again.status == 7
    cli.ok("ws", "rm", ws)


def test_an_unknown_workspace_is_not_found(cli):
    for words in (["ws", "stop", "ws_nothere0"], ["ws", "start", "ws_nothere0"], ["ws", "rm", "ws_nothere0"],
                  ["exec", "ws_nothere0", "--", "true"], ["files", "cp", "ws_nothere0:/etc/hostname", "out"],
                  ["ws", "rm", "../../etc"], ["ws", "rm", "a%2Fb"]):
        done = cli("--json", *words)
        assert done.status in (2, 3), (words, done)
        assert done.stdout == b""


def test_an_unknown_image_says_so(cli):
    done = cli("--json", "ws", "create", "--image", "no/such:image")
    assert done.status == 3 and "no/such" in done.error["message"]


def test_stop_and_start_are_idempotent(cli):
    ws = cli.create()
    for verb in ("stop", "stop", "start", "start"):
        cli.ok("ws", verb, ws)
    cli.ok("ws", "rm", ws)


def test_limits_are_reported(cli):
    ws = cli.create("--size", "medium")
    row = cli.ok("--json", "ws", "list").json[0]
    assert row["memory_mb"] == 4096 and row["vcpus"] == 4
    assert set(row["limits"]) == {"cpu", "memory", "pids", "disk"}
    assert set(row["limits"].values()) <= {"hard", "soft", "none"}
    cli.ok("ws", "rm", ws)


def test_rm_kills_what_runs(cli):
    ws = cli.create()
    process = cli.start("exec", ws, "--", "sleep", "1000")
    cli.ok("exec", ws, "--", "sh", "-c", "until pgrep -x sleep; do :; done")
    cli.ok("ws", "rm", ws)
    _, error = process.communicate(timeout=20)
    assert process.returncode != 0, error
