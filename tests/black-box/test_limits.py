# SPDX-License-Identifier: Apache-2.0
"""Limits hold as firmly as they are reported to: memory and processes, without the host or other programs suffering."""


def test_what_takes_too_much_memory_is_killed(cli, ws):
    limits = cli.ok("--json", "ws", "list").json[0]["limits"]
    assert limits["memory"] in ("hard", "soft")
    keeper = cli.start("exec", ws, "--", "sh", "-c", "echo ready; read line; echo $line", stdin=-1)
    assert keeper.stdout.readline() == b"ready\n"
    done = cli("--json", "exec", ws, "--", "tail", "/dev/zero", timeout=120)  # takes all that there is
    # 8: the guest knows that it was for memory. 137: killed, and the cgroup that did it cannot be seen from inside.
    assert done.status in (8, 137), done
    if done.status == 8:
        assert "memory" in done.error["message"]
    out, _ = keeper.communicate(b"lives\n", timeout=20)
    assert out == b"lives\n"


def test_files_in_memory_end_before_the_memory_does(cli, ws):
    """/tmp and /dev/shm are memory that no process holds: full, they are an error and not a death."""
    done = cli("exec", ws, "--", "sh", "-c", "cat /dev/zero > /tmp/a; cat /dev/zero > /dev/shm/b; echo alive", timeout=120)
    assert done.stdout == b"alive\n" and done.stderr.count(b"No space left") == 2
    assert cli.ok("exec", ws, "--", "sh", "-c", "rm /tmp/a /dev/shm/b; echo fine").stdout == b"fine\n"


def test_a_fork_bomb_stays_inside(cli, ws):
    done = cli("exec", ws, "--", "dash", "-c",
               "i=0; while [ $i -lt 1200 ]; do sleep 1000 </dev/null >/dev/null 2>&1 & i=$((i + 1)); done", timeout=120)
    assert done.status == 2 and b"fork" in done.stderr.lower(), done
    cli.ok("ws", "rm", ws)  # full of processes, it still goes
