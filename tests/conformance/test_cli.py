# SPDX-License-Identifier: Apache-2.0
"""What a person does with the unmodified command line."""
import json
import re


def test_doctor(cli):
    done = cli("doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_the_life_of_a_sandbox(cli):
    made = cli("sandbox", "create")
    assert made.returncode == 0, made.stdout + made.stderr
    name = re.search(r"\bws_[a-z0-9]+", made.stdout).group(0)
    try:
        rows = json.loads(cli("sandbox", "list", "--json").stdout)
        rows = rows["items"] if isinstance(rows, dict) else rows
        assert name in [row["id"] for row in rows]
        got = json.loads(cli("sandbox", "get", name, "--json").stdout)
        assert got["id"] == name and got["status"] == "running"

        done = cli("sandbox", "exec", name, "--shell", "echo hello; exit 6")
        assert done.returncode == 6 and "hello" in done.stdout
        done = cli("sandbox", "process", "stream", name, "--shell", "echo live; exit 2")
        assert done.returncode == 2 and "live" in done.stdout

        started = cli("sandbox", "exec", name, "--background", "--json", "--shell", "echo log; cat")
        pid = str(json.loads(started.stdout)["pid"])
        rows = json.loads(cli("sandbox", "process", "list", name, "--json").stdout)
        rows = rows if isinstance(rows, list) else rows["processes"]
        assert {"pid": int(pid), "running": True} in [{"pid": row["pid"], "running": row["running"]} for row in rows]
        assert cli("sandbox", "process", "stdin", name, pid, input="typed").returncode == 0
        assert cli("sandbox", "process", "kill", name, pid).returncode == 0
        logs = json.loads(cli("sandbox", "process", "logs", name, pid, "--json").stdout)
        assert logs["stdout"].startswith("log\n") and logs["exit_code"] == 137

        done = cli("sandbox", "file", "write", name, "/workspace/x", input="content")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "content" in cli("sandbox", "file", "read", name, "/workspace/x").stdout
        assert cli("sandbox", "file", "read", name, "/workspace/none").returncode == 3
    finally:
        killed = cli("sandbox", "kill", name)
    assert killed.returncode == 0, killed.stdout + killed.stderr
    assert cli("sandbox", "get", "ws_doesnotexist").returncode == 3


def test_a_wrong_key_is_unauthorized(cli, monkeypatch):
    monkeypatch.setenv("NULLSPACE_API_KEY", "ns_live_wrong")
    assert cli("sandbox", "list").returncode == 4


def test_quickstart(cli):
    done = cli("quickstart", input="\n")
    assert done.returncode == 0, done.stdout + done.stderr
