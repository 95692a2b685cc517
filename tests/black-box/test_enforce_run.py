# SPDX-License-Identifier: Apache-2.0
"""enforce run, shell and wrap: options, exit statuses, signals, terminal, environment, and that nothing is left."""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time

import pexpect
import pytest

from conftest import BIN, wait_until, with_mark

# Every flag of nono's reference, by command.
GRANTS = """-a --allow -r --read -w --write --allow-file --read-file --write-file --allow-unix-socket
--allow-unix-socket-bind --allow-unix-socket-dir --allow-unix-socket-dir-bind --block-net --allow-net --network-profile
--allow-domain --credential --allow-endpoint --upstream-proxy --upstream-bypass --proxy-port --listen-port --open-port
--allow-command --block-command --bypass-protection --env-credential --env-credential-map -p --profile --workdir
--allow-cwd --allow-launch-services --allow-gpu --dry-run -v --verbose --trust-override -c --config""".split()
SESSION = """--name --rollback --no-rollback-prompt --no-rollback --no-audit --audit-integrity --no-audit-integrity
--audit-sign-key --rollback-exclude --rollback-include --rollback-all --skip-dir --no-diagnostics
--capability-elevation""".split()
FLAGS = {
    "run": GRANTS + SESSION + ["--detached"],
    "shell": GRANTS + SESSION + ["--shell"],
    "wrap": GRANTS,
    "trust init": "-r --recursive --exclude-dirs --key --keyref --force".split(),
    "trust sign": "--all --key --keyref --keyless --policy".split(),
    "trust sign-policy": "--user --key --keyref".split(),
    "trust verify": "--all --policy".split(),
    "trust list": [],
    "trust keygen": "--id --keyref --force".split(),
    "trust export-key": "--id --keyref --pem".split(),
    "ps": [], "attach": [], "stop": [], "logs": [], "inspect": [],
    "audit verify": ["--public-key-file"],
}
CATALOG = {command["path"]: command
           for command in json.loads(subprocess.run([BIN, "commands"], capture_output=True, check=True).stdout)}
MANY = ["--allow", "--read", "--write", "--allow-file", "--read-file", "--write-file", "--allow-domain", "--credential",
        "--allow-endpoint", "--upstream-bypass", "--listen-port", "--open-port", "--allow-command", "--block-command",
        "--bypass-protection", "--env-credential-map", "--verbose", "--skip-dir", "--rollback-exclude",
        "--rollback-include"]


@pytest.fixture
def folder(tmp_path):
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture
def run(cli, folder):
    """run(*program): in the sandbox, with the folder shared for reading."""
    def run(*program, options=("--allow-cwd",), command="run", **how):
        how.setdefault("cwd", folder)
        return cli("enforce", command, "-s", *options, "--", *program, **how)
    return run


def test_the_long_name_of_the_group_is_the_same_group():
    texts = {subprocess.run([BIN, name, "--help"], capture_output=True, check=True).stdout for name in ("enforce", "sandbox-enforce")}
    assert len(texts) == 1 and b"enforce run " in texts.pop()


@pytest.mark.parametrize("path", FLAGS)
def test_every_flag_of_the_reference_is_there(path):
    options = CATALOG[f"enforce {path}"]["options"]
    known = {f"--{o['name']}" for o in options} | {f"-{o['letter']}" for o in options if o.get("letter")}
    assert set(FLAGS[path]) - known == set()
    if path in ("run", "shell"):
        assert [f"--{o['name']}" for o in options if f"--{o['name']}" in MANY and not o["multiple"]] == []


@pytest.mark.parametrize("path", [p for p in CATALOG if [e["code"] for e in CATALOG[p]["errors"]] == ["enforce.not_built"]])
def test_commands_of_a_later_version_refuse(cli, path):
    words = ["x"] if any(a["required"] for a in CATALOG[path]["arguments"]) else []
    done = cli("--json", *path.split(), *words)
    assert done.status == 1 and done.error["code"] == "enforce.not_built"


@pytest.mark.parametrize("flags", [["--detached"], ["--name", "x"], ["--rollback"], ["--rollback-all"],
                                   ["--rollback-exclude", "x"], ["--rollback-include", "x"], ["--audit-integrity"],
                                   ["--no-audit-integrity"], ["--audit-sign-key", "x"], ["--capability-elevation"]],
                         ids=lambda flags: flags[0])
def test_flags_of_a_later_version_refuse(cli, folder, flags):
    done = cli("--json", "enforce", "run", "--allow-cwd", *flags, "--", "touch", "ran", cwd=folder)
    assert done.status == 1 and done.error["code"] == "enforce.not_built"


def test_flags_that_ask_for_nothing_are_accepted(run):
    done = run("true", options=["--allow-cwd", "--no-audit", "--no-rollback", "--no-rollback-prompt", "--no-diagnostics",
                                "--skip-dir", "x", "--trust-override"])
    assert done.status == 0 and done.stderr == b""


@pytest.mark.parametrize("a, b", [
    (["--block-net"], ["--allow-net"]), (["--allow-net"], ["--network-profile", "minimal"]),
    (["--allow-net"], ["--allow-domain", "a.example"]), (["--allow-net"], ["--credential", "openai"]),
    (["--allow-net"], ["--upstream-proxy", "a.example:1"]), (["--block-net"], ["--network-profile", "minimal"]),
    (["--block-net"], ["--allow-domain", "a.example"]), (["--block-net"], ["--credential", "openai"]),
    (["--rollback"], ["--no-rollback"]), (["--rollback-all"], ["--rollback-include", "x"]),
    (["--no-audit"], ["--audit-integrity"]), (["--no-audit"], ["--no-audit-integrity"]), (["--no-audit"], ["--rollback"]),
    (["--no-audit"], ["--audit-sign-key", "x"]), (["--no-audit-integrity"], ["--audit-integrity"]),
    (["--no-audit-integrity"], ["--rollback"]), (["--no-audit-integrity"], ["--audit-sign-key", "x"]),
    (["--upstream-bypass", "a.example"], []), (["--allow-endpoint", "openai:GET:/"], []),
], ids=lambda words: " ".join(words))
def test_what_excludes_each_other(run, a, b):
    done = run("touch", "ran", options=["--allow", ".", *a, *b])
    assert done.status == 2 and b"--" in done.stderr


def test_older_spellings_work_and_say_so(cli, folder):
    done = cli("enforce", "run", "--allow-cwd", "--net-block", "--dry-run", "--json", "--", "true", cwd=folder)
    assert done.status == 0 and done.json["network"] == "blocked"
    assert done.stderr.count(b"--net-block is an older name of --block-net") == 1


# --- exit statuses -----------------------------------------------------------------------------

@pytest.mark.parametrize("command", ["run", "wrap"])
@pytest.mark.parametrize("script, status", [("exit 0", 0), ("exit 1", 1), ("exit 42", 42), ("exit 255", 255)])
def test_the_status_is_the_programs(run, command, script, status):
    assert run("sh", "-c", script, command=command).status == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGINT])
def test_a_signal_is_128_and_its_number(run, number):
    assert run("sh", "-c", f"kill -{int(number)} $$").status == 128 + number


def test_a_program_that_is_not_there(run, folder):
    assert run("nothing-of-this-name").status == 127
    assert run("./nothing").status == 127
    (folder / "text").write_text("no program\n")
    assert run("./text").status == 126
    assert run("/").status == 126


@pytest.mark.parametrize("command", ["run", "wrap"])
def test_what_cannot_be_executed_says_why(run, folder, command):
    """As a shell has it: 127 for what is not there, also for what would run it; 126 for what is no program."""
    def put(name, content, mode=0o755):
        (folder / name).write_bytes(content)
        (folder / name).chmod(mode)
    (folder / "folder").mkdir()
    put("plain", b"echo hello\n"), put("empty", b""), put("text", b"#!/bin/sh\n", 0o644), put("broken", b"\x7fELFnothing")
    put("orphan", b"#!/nowhere/interpreter -x\n"), put("second", f"#!{folder}/orphan\n".encode())
    true = pathlib.Path("/bin/true").read_bytes()
    [loader] = set(re.findall(rb"/lib[^\0]*/ld[^\0]*\0", true))
    put("unlinked", true.replace(loader, b"/nowhere/ld".ljust(len(loader), b"\0")))
    for name, status, words in (("missing", 127, "is not there"), ("folder", 126, "is not executable"),
                                ("text", 126, "is not executable"), ("plain", 126, "#!/bin/sh"), ("empty", 126, "#!/bin/sh"),
                                ("broken", 126, "#!/bin/sh"), ("orphan", 127, "/nowhere/interpreter, which runs it, is not there"),
                                ("second", 127, "/nowhere/interpreter, which runs it, is not there"),
                                ("unlinked", 127, "/nowhere/ld, which runs it, is not there")):
        done = run(f"./{name}", command=command)
        assert (done.status, done.stdout) == (status, b"") and words in done.stderr.decode(), (name, done)
    done = run("missing-program", command=command)
    assert done.status == 127 and "'missing-program' is not there" in done.stderr.decode()


def test_a_program_that_may_not_be_read_is_not_started(run, folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    elsewhere.chmod(0o755)
    shutil.copy("/bin/true", elsewhere / "mine")
    done = run(elsewhere / "mine")
    assert done.status == 126 and b"is not granted" in done.stderr
    assert run(elsewhere / "mine", options=["--allow-cwd", "--read-file", str(elsewhere / "mine")]).status == 0


def test_names_on_the_list_are_not_started(run, folder):
    (folder / "a").write_text("")
    for words in (["rm", "a"], ["/bin/rm", "a"], ["sudo", "true"]):
        assert run(*words, options=["--allow", "."]).status == 126
    assert (folder / "a").exists()
    assert run("rm", "a", options=["--allow", ".", "--allow-command", "rm"]).status == 0
    assert run("true", options=["--allow-cwd", "--block-command", "true"]).status == 126


# --- what it gets ------------------------------------------------------------------------------

def test_the_standard_streams_are_the_callers(run):
    done = run("sh", "-c", "cat; echo err >&2", input=b"in\n")
    assert done.stdout == b"in\n" and done.stderr == b"err\n"


def test_descriptors_of_the_caller_are_closed(cli, folder, tmp_path_factory):
    secret = tmp_path_factory.mktemp("secret") / "file"
    secret.write_text("secret\n")
    for command in ("run", "wrap"):
        with open(secret) as file:
            os.dup2(file.fileno(), 77)
            try:
                done = cli("enforce", command, "-s", "--allow-cwd", "--", "python3", "-c",
                           "import os\ntry: print(os.read(77, 100))\nexcept OSError as e: print(e.errno)", cwd=folder,
                           pass_fds=[77])
            finally:
                os.close(77)
        assert done.status == 0 and done.text == "9\n", (command, done)


def test_a_folder_as_a_standard_stream_is_refused(run, folder):
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        done = run("true", stdin=fd)
    finally:
        os.close(fd)
    assert done.status == 2 and b"is a folder" in done.stderr


def test_the_environment_is_cleaned(cli, run):
    unsafe = {"LD_PRELOAD": "/nowhere.so", "BASH_ENV": "x", "PYTHONPATH": "x", "NODE_OPTIONS": "x", "IFS": "x",
              "BASH_FUNC_x%%": "() { :; }", "OP_SESSION_a": "x", "GOFLAGS": "x"}
    own = {"NANOTERM_API_KEY": "secret-of-mine", "NONO_CAP_FILE": "/tmp/.nono-0123456789abcdef.json"}
    env = {**cli.env, **unsafe, **own, "KEPT": "kept", "PWD": "/somewhere"}
    env.pop("LD_PRELOAD")  # the loader would tell of it in our own process
    for command in ("run", "wrap"):
        done = run("env", "-0", command=command, env=env)
        got = dict(entry.split("=", 1) for entry in done.text.split("\0") if "=" in entry)
        assert got["KEPT"] == "kept" and "secret-of-mine" not in done.text
        assert set(got) & set(unsafe) == set()


def test_the_program_is_told_its_rights(cli, folder, tmp_path_factory):
    temp = tmp_path_factory.mktemp("temp")
    temp.chmod(0o700)
    env = {**cli.env, "TMPDIR": str(temp)}
    script = "stat -c '%a %n' $NONO_CAP_FILE; cat $NONO_CAP_FILE; echo x > $NONO_CAP_FILE"
    done = cli("enforce", "run", "-s", "--allow-cwd", "--block-net", "--", "sh", "-c", script, cwd=folder, env=env)
    mode, _, rest = done.text.partition(" ")
    name, _, text = rest.partition("\n")
    assert mode == "600" and re.fullmatch(rf"{re.escape(str(temp))}/\.nono-[0-9a-f]{{16}}\.json", name)
    rights = json.loads(text)
    assert rights["net_blocked"] is True
    assert {"path": str(folder), "access": "read"}.items() <= [row for row in rights["fs"] if row["path"] == str(folder)][0].items()
    assert list(temp.iterdir()) == []  # removed at the end


def test_without_a_place_for_that_file_it_starts_all_the_same(cli, folder):
    env = {**cli.env, "TMPDIR": str(folder / "nothing")}
    done = cli("enforce", "run", "-s", "--allow-cwd", "--", "sh", "-c", "echo ${NONO_CAP_FILE-none}", cwd=folder, env=env)
    assert done.text == "none\n"


def test_the_file_of_an_owner_that_is_gone_is_removed(cli, folder, tmp_path_factory):
    temp = tmp_path_factory.mktemp("temp")
    env = {**cli.env, "TMPDIR": str(temp)}
    words = ["enforce", "run", "-s", "--allow-cwd", "--", "sh", "-c", "echo ready; exec sleep 1000"]
    lost, kept = (cli.start(*words, cwd=folder, env=env) for _ in range(2))
    for process in (lost, kept):
        assert process.stdout.readline() == b"ready\n"
    assert len(list(temp.iterdir())) == 2
    lost.kill()
    lost.communicate()
    others = [temp / ".nono-0123456789abcdef.json", temp / ".nono-x.json", temp / "other.json"]
    for path in others:
        path.write_text("{}\n")  # not written by us: stays
    cli("enforce", "run", "-s", "--allow-cwd", "--", "true", cwd=folder, env=env)
    assert len(set(temp.iterdir()) - set(others)) == 1 and all(path.exists() for path in others)
    kept.terminate()
    kept.communicate()
    assert set(temp.iterdir()) == set(others)


def test_a_file_that_nobody_came_to_write_is_removed_when_it_is_old(cli, folder, tmp_path_factory):
    temp = tmp_path_factory.mktemp("temp")
    old, young = temp / ".nono-0123456789abcdef.json", temp / ".nono-0123456789abcdee.json"
    for path in (old, young):
        path.touch()
    os.utime(old, (1_000_000_000, 1_000_000_000))
    assert cli("enforce", "run", "-s", "--allow-cwd", "--", "true", cwd=folder, env={**cli.env, "TMPDIR": str(temp)}).status == 0
    assert list(temp.iterdir()) == [young]


def test_it_starts_in_a_shared_folder_or_in_the_root(run, folder):
    assert run("pwd").text == f"{folder}\n"
    done = run("pwd", options=["--read", "/usr/share"], stdin=subprocess.DEVNULL)
    assert done.status == 2 and b"--allow-cwd" in done.stderr  # silent: nothing can be asked


def test_without_a_terminal_the_folder_is_not_shared(cli, folder):
    done = cli("enforce", "run", "--", "sh", "-c", "pwd; ls", cwd=folder)
    assert done.text.startswith("/\n") and b"is not shared" in done.stderr


def test_the_folder_of_the_program_is_another_with_workdir(run, folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    assert run("pwd", options=["--allow-cwd", "--workdir", str(other)]).text == f"{other}\n"


# --- dry run -----------------------------------------------------------------------------------

def test_a_trial_starts_nothing(cli, folder):
    done = cli("enforce", "run", "--allow", ".", "--dry-run", "--", "touch", "ran", cwd=folder)
    assert done.status == 0 and done.stdout == b"" and not (folder / "ran").exists()
    text = done.stderr.decode()
    assert "Capabilities that would be granted:" in text and f"[rw] {folder}" in text
    assert "[net] allowed" in text and "Would execute: touch ran" in text


def test_a_trial_as_json_says_who_forbids_what(cli, folder):
    done = cli("--json", "enforce", "run", "--read", ".", "--block-net", "--dry-run", "--", "ls", "-l", cwd=folder)
    row = done.json
    assert row["command"] == ["ls", "-l"] and row["network"] == "blocked"
    assert {"path": str(folder), "original": ".", "access": "read", "is_file": False, "source": "user"} in row["capabilities"]
    acts = {each["act"]: each["layer"] for each in row["enforcement"]}
    assert acts["write outside the grants"] == "landlock" and acts["use io_uring"] == "seccomp"


def test_json_is_told_on_stderr_at_the_end(cli, folder):
    done = cli("--json", "enforce", "run", "--allow-cwd", "--", "sh", "-c", "echo out; exit 3", cwd=folder)
    assert done.status == 3 and done.stdout == b"out\n"
    end = json.loads(done.stderr)
    assert end["level"] == "end" and end["status"] == 3 and end["denials"] == [] and end["enforcement"]


# --- signals and the terminal ------------------------------------------------------------------

def start_and_wait(cli, folder, script, **how):
    process = cli.start("enforce", "run", "-s", "--allow-cwd", "--", "sh", "-c", script, cwd=folder, **how)
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1])
def test_a_signal_to_the_supervisor_reaches_the_program(cli, folder, number):
    script = f"trap 'echo got; exit 7' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    process = start_and_wait(cli, folder, script)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert out == b"got\n" and process.returncode == 7


@pytest.mark.parametrize("weaker", [[], ["--accept-weaker", "namespaces"]], ids=["namespaces", "weaker"])
def test_a_signal_to_the_whole_group_lets_the_program_end_by_itself(cli, folder, weaker):
    """As of timeout(1): nobody inside but the program gets it, and the program takes its time."""
    script = "trap 'echo got; read line; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    process = cli.start("enforce", "run", "-s", "--allow-cwd", *weaker, "--", "sh", "-c", script, cwd=folder,
                        stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdout.readline() == b"ready\n"
    os.killpg(process.pid, signal.SIGTERM)
    assert process.stdout.readline() == b"got\n"
    process.communicate(b"on\n", timeout=60)
    assert process.returncode == 7


def test_the_time_of_the_command_ends_the_program_and_what_it_left(cli, folder):
    mark = f"{random.randrange(10**9, 10**10)}"
    script = f"(setsid sleep {mark} &) ; exec sleep {mark}"
    done = cli("--json", "--timeout", "2s", "enforce", "run", "-s", "--allow-cwd", "--", "sh", "-c", script, cwd=folder)
    assert done.error["code"] == "timeout", done
    wait_until(lambda: with_mark(mark) == [], 20, "what was left to end")


def test_what_the_program_leaves_ends_with_it(cli, folder):
    mark = f"{random.randrange(10**9, 10**10)}"
    script = f"sleep {mark} & (setsid sleep {mark} &) ; echo ready; exit 5"
    process = start_and_wait(cli, folder, script)
    assert process.wait(60) == 5
    wait_until(lambda: with_mark(mark) == [], 20, "what was left to end")
    process.communicate()


def mounts_here(folder):
    """What is mounted, but for what other tests do in folders of theirs meanwhile."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(folder) in line or not line.split()[4].startswith(("/tmp/", "/var/tmp/"))]


@pytest.mark.parametrize("options", [[], ["--block-net"]], ids=["open", "blocked"])
def test_killing_the_supervisor_leaves_nothing(cli, folder, options):
    mark = f"{random.randrange(10**9, 10**10)}"
    script = f"sleep {mark} & (setsid sleep {mark} &) ; exec sleep {mark}"
    mounts = mounts_here(folder)
    for _ in range(25):
        process = cli.start("enforce", "run", "-s", "--allow-cwd", *options, "--", "sh", "-c", script, cwd=folder)
        time.sleep(random.uniform(0, 0.06))  # the moment is what is tried
        process.kill()
        process.communicate()
    wait_until(lambda: with_mark(mark) == [], 30, "every process to end")
    assert mounts_here(folder) == mounts
    assert list(folder.iterdir()) == []


@pytest.fixture
def shell(cli, folder):
    """An interactive bash on a terminal of its own."""
    child = pexpect.spawn("bash", ["--norc", "--noprofile", "-i"], env={**cli.env, "TERM": "dumb", "PS1": "[$?]> "},
                          timeout=30, cwd=str(folder), encoding="utf-8", echo=False)
    child.expect_exact("[0]> ")
    yield child
    child.close(force=True)


PROGRAM = BIN + " enforce run -s --allow-cwd -- "


def test_control_c_ends_the_program(shell):
    shell.sendline(PROGRAM + "sh -c 'echo re''ady; exec sleep 1000'")
    shell.expect_exact("ready")
    shell.sendintr()
    shell.expect_exact("[130]> ")


def test_control_z_and_fg(shell):
    shell.sendline(PROGRAM + "sh -c 'echo re''ady; read a; echo got-$a; exit 9'")
    shell.expect_exact("ready")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect(r"\[1\d\d\]> ")
    shell.sendline("jobs")
    shell.expect("Stopped")
    shell.expect_exact("> ")
    shell.sendline("fg")
    shell.expect("enforce run")
    shell.sendline("line")
    shell.expect_exact("got-line")
    shell.expect_exact("[9]> ")


def test_a_stopped_program_goes_on_in_the_background(shell, folder):
    # Not a loop of sh: a shell that waits for a vfork when the signal comes does not stop, sandbox or not.
    code = "import os, time; print('rea' + 'dy', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.02)\nprint('went-' + 'on')"
    (folder / "program.py").write_text(code)
    shell.sendline(PROGRAM + "python3 program.py")
    shell.expect_exact("ready")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect(r"\]> ")
    shell.sendline("bg")
    shell.expect(r"\]> ")
    (folder / "go").write_text("")
    shell.expect_exact("went-on")
    shell.sendline("wait; echo st''atus=$?")
    shell.expect("status=0")


def test_the_terminal_is_the_shells_again(shell):
    shell.sendline(PROGRAM + "true")
    shell.expect_exact("[0]> ")
    shell.sendline(PROGRAM + "sh -c 'kill -KILL $$'")
    shell.expect_exact("[137]> ")
    shell.sendline("read a; echo is-$a")
    shell.sendline("here")
    shell.expect_exact("is-here")


def test_typing_into_the_terminal_is_refused(shell):
    # TIOCSTI; the second with bits beyond the 32 that the kernel looks at.
    code = ("import ctypes; c = ctypes.CDLL(None, use_errno=True); "
            "print([(c.syscall(16, 0, ctypes.c_ulong(r), b'x'), ctypes.get_errno()) for r in (0x5412, 0x15412, 0x541c, "
            "0x100005412)])")
    shell.sendline(PROGRAM + f'python3 -c "{code}"')
    shell.expect(r"\[\((-?\d+), (\d+)\), \((-?\d+), (\d+)\), \((-?\d+), (\d+)\), \((-?\d+), (\d+)\)\]")
    answers = [int(shell.match.group(i)) for i in (1, 2, 5, 6, 7, 8)]
    assert answers == [-1, 1, -1, 1, -1, 1]


def test_a_shell_is_the_users_or_the_one_that_was_named(cli, folder):
    done = cli("enforce", "shell", "-s", "--allow-cwd", input=b"echo $0; exit 4\n", cwd=folder,
               env={**cli.env, "SHELL": "/bin/sh"})
    assert done.text == "/bin/sh\n" and done.status == 4
    done = cli("enforce", "shell", "-s", "--allow-cwd", "--shell", "/bin/bash", input=b"echo $0\n", cwd=folder)
    assert done.text == "/bin/bash\n"
    assert cli("enforce", "shell", "-s", "--allow-cwd", "--shell", "/nowhere/sh", cwd=folder).status == 127


def test_each_v_says_more(cli, folder):
    def told(*options):
        done = cli.ok("enforce", "run", *options, "--allow-cwd", "--network-profile", "minimal", "--", "true", cwd=folder)
        return done.stderr.decode()
    some, paths, hosts, layers = told(), told("-v"), told("-vv"), told("-v", "--verbose", "-v")
    assert "group:system_read_linux_core" in paths and "group:system_read_linux_core" not in some
    assert "[host] api.openai.com" in hosts and f"[denied] {cli.home}/.ssh" in hosts and "[host]" not in paths
    assert "use io_uring" in layers.partition("What was forbidden")[2] and "use io_uring" not in hosts
    assert told("-vvv", "--silent") == ""


def test_what_was_typed_last_into_a_shell_is_not_explained(cli, folder):
    done = cli("enforce", "shell", "--allow-cwd", "--shell", "/bin/sh", input=b"exit 5\n", cwd=folder)
    assert done.status == 5 and b"The program ended" not in done.stderr, done
    done = cli("enforce", "shell", "--allow-cwd", "--shell", "/bin/sh", input=b"cat /etc/shadow\n", cwd=folder)
    assert done.status == 1 and b"read /etc/shadow " in done.stderr, done


# --- what ordinary programs need -----------------------------------------------------------------

def test_the_report_claims_no_own_terminals_for_who_asked_for_those_of_outside(cli, folder):
    done = cli("enforce", "run", "--dry-run", "--json", "--allow-cwd", "--allow", "/dev/pts", "--", "true", cwd=folder)
    [row] = [row for row in done.json["enforcement"] if row["act"] == "open a terminal that was not given"]
    assert (row["layer"], row["rule"]) != ("mount", "a /dev/pts of its own"), row


def test_a_program_makes_terminals_of_its_own(run):
    """As tmux, script and expect do."""
    done = run("/usr/bin/python3", "-c", "import os, pty; pty.spawn(['tty']); print(os.ttyname(os.openpty()[1]))")
    assert done.status == 0 and done.stdout.count(b"/dev/pts/") == 2, done


@pytest.mark.parametrize("path", ["/etc/locale.alias", "/etc/debian_version"])
def test_files_that_ordinary_programs_end_without(run, path):
    if not pathlib.Path(path).exists():
        pytest.skip(f"there is no {path} here")
    assert run("cat", path).status == 0


def test_a_developer_compiles(cli, folder):
    (folder / "hello.c").write_text('#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n')
    (folder / "Makefile").write_text("hello: hello.c\n\tcc -o hello hello.c\n")
    build = "make -s && ./hello && git init -q . && git status --short"
    done = cli("enforce", "run", "-s", "-p", "developer", "--block-net", "--allow-cwd", "--", "sh", "-c", build, cwd=folder, timeout=120)
    assert done.status == 0 and b"hello\n" in done.stdout and b"?? Makefile" in done.stdout, done


# --- layers ------------------------------------------------------------------------------------

def test_a_layer_that_is_not_known_cannot_be_left_out(run):
    done = run("true", options=["--allow-cwd", "--accept-weaker", "everything"])
    assert done.status == 2 and b"everything" in done.stderr


def test_wrap_refuses_what_needs_a_supervisor(run):
    for flags in (["--allow-domain", "a.example"], ["--network-profile", "minimal"], ["--credential", "openai"],
                  ["--allow-unix-socket-dir", "."], ["--allow-unix-socket-subtree", "."]):
        done = run("true", options=["--allow-cwd", *flags], command="wrap")
        assert done.status == 2 and b"use run" in done.stderr, flags


def test_the_keeper_cannot_be_looked_into(cli, folder):
    # It was forked from a process that had more than the program gets.
    script = ("for f in environ mem maps auxv fd/0 fd/1; do cat /proc/1/$f && echo read $f; done; "
              "readlink /proc/1/fd/1 && echo led; ls /proc/1/root/ && echo rooted; ls /proc/1/fd | wc -l")
    done = cli("enforce", "run", "-s", "--allow-cwd", "--", "sh", "-c", script, cwd=folder)
    # As a user not even the names can be listed; they are 0 to 2, a socket and a signalfd.
    assert done.text in ("0\n", "5\n"), done


def test_a_signal_does_not_leave(cli, folder):
    other = subprocess.Popen(["sleep", "1000"])
    try:
        script = f"kill -9 {other.pid}; kill -9 1; kill -9 $PPID; echo tried"
        done = cli("enforce", "run", "-s", "--allow-cwd", "--", "sh", "-c", script, cwd=folder)
        assert done.text == "tried\n" and other.poll() is None
    finally:
        other.kill()
        other.wait()
