# SPDX-License-Identifier: Apache-2.0
"""What a program does with the unmodified SDK."""
import gzip
import os
import threading
import time

import pytest
from nullspace import Sandbox
from nullspace.errors import NotFoundError, SandboxError


def test_create_list_get_kill(server):
    made = Sandbox.create(metadata={"test": "life"})
    try:
        assert made.is_running()
        rows = [row for row in Sandbox.list() if row.id == made.id]
        assert len(rows) == 1 and rows[0].metadata["test"] == "life"
        assert Sandbox.get_info_by_id(made.id).id == made.id
    finally:
        made.kill()
    assert made.id not in [row.id for row in Sandbox.list() if row.status.value in ("running", "paused")]
    with pytest.raises(SandboxError):
        Sandbox.connect(made.id)


def test_a_command_gives_output_and_status(sandbox):
    done = sandbox.commands.run("echo out; echo err >&2; exit 3", shell=True)
    assert (done.exit_code, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_arguments_are_not_words_of_a_shell(sandbox):
    done = sandbox.commands.run("printf", ["%s|", "a b", "$HOME", "*", "", "ü"])
    assert done.stdout == "a b|$HOME|*||ü|"


def test_environment_and_folder_of_one_command(sandbox):
    done = sandbox.commands.run("echo $A; pwd", shell=True, envs={"A": "x=y z"}, cwd="/tmp")
    assert done.stdout == "x=y z\n/tmp\n"
    assert sandbox.commands.run("echo [$A]", shell=True).stdout == "[]\n"


@pytest.mark.parametrize("line,status", [("kill -TERM $$", 143), ("kill -9 $$", 137), ("exit 255", 255)])
def test_a_signal_is_128_plus_its_number(sandbox, line, status):
    assert sandbox.commands.run(line, shell=True).exit_code == status


def test_a_program_that_is_not_there_is_127(sandbox):
    done = sandbox.commands.run("no-such-program-here")
    assert done.exit_code == 127 and "no-such-program-here" in done.stderr
    sandbox.files.write("/workspace/plain", "text")
    assert sandbox.commands.run("/workspace/plain").exit_code == 126


def test_the_time_limit_is_124_and_ends_the_tree(sandbox):
    done = sandbox.commands.run("sleep 321 & sleep 321; echo not here", shell=True, timeout=1)
    assert done.exit_code == 124 and "not here" not in done.stdout
    assert "sleep 321" not in sandbox.commands.run("ps ax -o args 2>/dev/null || cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
                                                   shell=True).stdout.replace("sleep 321' ", "")


def test_a_long_command_answers_before_the_client_gives_up(server):
    made = Sandbox.create(request_timeout=6)
    try:
        done = made.commands.run("sleep 8; echo late", shell=True)
        assert (done.exit_code, done.stdout) == (0, "late\n")
    finally:
        made.kill()


def test_output_that_is_not_text(sandbox):
    done = sandbox.commands.run(r"printf 'a\377b\303\274\342\202'", shell=True)
    assert done.stdout == "a\ufffdbü\ufffd"


def test_much_output(sandbox):
    done = sandbox.commands.run("yes 0123456 | head -c 4000000; head -c 2000000 /dev/zero | tr '\\0' e >&2", shell=True)
    assert len(done.stdout) == 4000000 and done.stderr == "e" * 2000000


def test_two_commands_at_once(sandbox):
    done = []
    threads = [threading.Thread(target=lambda n=n: done.append(sandbox.commands.run(f"echo {n}", shell=True).stdout))
               for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == sorted(f"{n}\n" for n in range(8))


def test_files_text_and_bytes(sandbox):
    sandbox.files.write("/workspace/a/b/hällo.txt", "grüß\n")
    assert sandbox.files.read("/workspace/a/b/hällo.txt") == "grüß\n"
    raw = bytes(range(256)) * 1000
    info = sandbox.files.write("/workspace/raw", raw)
    assert info.size == len(raw)
    assert sandbox.files.read("/workspace/raw", format="bytes") == raw
    with pytest.raises(SandboxError):
        sandbox.files.read("/workspace/raw")
    sandbox.files.write("/workspace/raw", "")
    assert sandbox.files.read("/workspace/raw") == "" and sandbox.files.read("/workspace/raw", format="bytes") == b""


def test_files_streamed_from_an_iterable(sandbox):
    pieces = [os.urandom(100_000) for _ in range(50)]
    info = sandbox.files.write("/workspace/stream", iter(pieces))
    assert info.size == 5_000_000
    assert sandbox.files.read("/workspace/stream", format="bytes") == b"".join(pieces)


def test_a_packed_file_stays_packed(sandbox):
    packed = gzip.compress(b"x" * 1000)
    sandbox.files.write("/workspace/x.gz", packed)
    assert sandbox.files.read("/workspace/x.gz", format="bytes") == packed


def test_files_info_list_move_remove(sandbox):
    sandbox.files.make_dir("/workspace/d/e")
    sandbox.files.write("/workspace/d/f", "12345")
    sandbox.commands.run("ln -s f /workspace/d/l; chmod 640 /workspace/d/f", shell=True)
    rows = {row.name: row for row in sandbox.files.list("/workspace/d")}
    assert set(rows) == {"e", "f", "l"}
    assert rows["e"].is_dir and not rows["l"].is_dir and rows["l"].symlink_target == "f"
    assert rows["f"].size == 5 and rows["f"].permissions == "0640" and rows["f"].path == "/workspace/d/f"
    assert sandbox.files.rename("/workspace/d/f", "/workspace/d/g").path == "/workspace/d/g"
    assert not sandbox.files.exists("/workspace/d/f") and sandbox.files.exists("/workspace/d/g")
    assert not sandbox.files.exists("/workspace/d/g/x")
    assert sandbox.files.info("d/g").size == 5
    sandbox.files.remove("/workspace/d")
    assert not sandbox.files.exists("/workspace/d")
    for call in (sandbox.files.read, sandbox.files.info, sandbox.files.remove):
        with pytest.raises(NotFoundError):
            call("/workspace/d")


def test_a_background_process(sandbox):
    job = sandbox.commands.run("echo one; touch /tmp/said; cat; exit 7", shell=True, background=True)
    rows = [row for row in sandbox.commands.list() if row.pid == job.pid]
    assert len(rows) == 1 and rows[0].running
    sandbox.commands.send_stdin(job.pid, "two\n")
    end = time.monotonic() + 30
    while not sandbox.files.exists("/tmp/said"):
        assert time.monotonic() < end
    sandbox.commands.kill(job.pid)
    done = job.wait()
    assert done.exit_code == 137 and done.stdout.startswith("one\n")


def test_logs_stay_after_the_end(sandbox):
    job = sandbox.commands.run("echo out; echo err >&2; exit 5", shell=True, background=True)
    done = job.wait()
    assert (done.exit_code, done.stdout, done.stderr) == (5, "out\n", "err\n")
    logs = sandbox.commands.get_logs(job.pid)
    assert (logs.exit_code, logs.stdout, logs.stderr) == (5, "out\n", "err\n")
    assert sorted(logs.output.splitlines()) == ["err", "out"]
    with pytest.raises(NotFoundError):
        sandbox.commands.get_logs(123456)


def test_streaming(sandbox):
    seen = []
    done = sandbox.commands.run("printf 'ü€'; echo err >&2; head -c 3000000 /dev/zero | tr '\\0' x; exit 9", shell=True,
                                on_stdout=seen.append, on_stderr=lambda text: None)
    assert done.exit_code == 9 and done.stderr == "err\n"
    assert done.stdout == "ü€" + "x" * 3000000 and "".join(seen) == done.stdout


def test_streaming_not_found_is_127(sandbox):
    done = sandbox.commands.run("no-such-program-here", on_stdout=lambda text: None)
    assert done.exit_code == 127


def test_background_with_callbacks_and_connect(sandbox):
    got = []
    job = sandbox.commands.run("echo begin; read x; echo got $x; exit 4", shell=True, background=True,
                               on_stdout=got.append)
    again = []
    other = sandbox.commands.connect(job.pid, on_stdout=again.append)
    sandbox.commands.send_stdin(job.pid, "input\n")
    done = job.wait()
    assert done.exit_code == 4 and done.stdout == "begin\ngot input\n"
    assert other.wait().exit_code == 4
    assert "".join(again) == "begin\ngot input\n"


def test_two_users_do_not_exist(sandbox):
    with pytest.raises(SandboxError):
        sandbox.files.write("/workspace/x", "x", user="root")


def test_an_unknown_sandbox_is_not_found(server):
    with pytest.raises(NotFoundError):
        Sandbox.get_info_by_id("ws_doesnotexist")


def test_run_once(server):
    done = Sandbox.run_once("false")
    assert done.exit_code == 1
    assert [row.id for row in Sandbox.list() if row.status.value == "running"] == []


def test_the_asynchronous_client(server):
    import asyncio

    from nullspace import AsyncSandbox

    async def use():
        made = await AsyncSandbox.create()
        try:
            results = await asyncio.gather(*(made.commands.run(f"echo {n}", shell=True) for n in range(4)))
            assert [done.stdout for done in results] == [f"{n}\n" for n in range(4)]
            seen = []
            done = await made.commands.run("echo live; exit 5", shell=True, on_stdout=seen.append)
            assert done.exit_code == 5 and "".join(seen) == "live\n"

            async def pieces():
                for _ in range(3):
                    yield b"x" * 100_000

            info = await made.files.write("/workspace/s", pieces())
            assert info.size == 300_000
        finally:
            await made.kill()

    asyncio.run(use())
