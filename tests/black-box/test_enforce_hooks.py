# SPDX-License-Identifier: Apache-2.0
"""session_hooks of a profile: scripts outside of the sandbox before and after the program, what they are told, what becomes of
their lines, and which of them are refused. And linux.sandbox_policy."""
import json
import os
import pathlib
import random
import shutil
import signal

import pexpect
import pytest

from conftest import BIN, IS_SANITIZED, is_alive, wait_until, with_mark

PREFIX = pathlib.Path(os.path.realpath(BIN)).parent.parent
RECORD = 'env -0 > "$HOME/$NONO_HOOK_TYPE.env"; pwd > "$HOME/$NONO_HOOK_TYPE.pwd"\n'


class Stage:
    """A home with a project, a profile with hooks, and what they left behind."""

    def __init__(self, cli):
        self.cli = cli
        self.project = cli.home / "project"
        self.project.mkdir()
        self.scripts = cli.home / "hooks"
        self.scripts.mkdir()

    def script(self, name, text, mode=0o755):
        path = self.scripts / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(mode)
        return path

    def profile(self, content, name="hooked"):
        path = self.cli.home / f".config/nono/profiles/{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"meta": {"name": name}, **content}))
        return path

    def hooks(self, before=None, after=None, timeout=None, **rest):
        """Writes both; a text is a script, a path is one that is there."""
        found = {}
        for when, text in (("before", before), ("after", after)):
            if text is not None:
                path = text if isinstance(text, os.PathLike) else self.script(when, text)
                found[when] = {"script": str(path), **({"timeout_secs": timeout} if timeout else {})}
        self.profile({"session_hooks": found, **rest})

    def words(self, *program, options=(), command="run"):
        return ["enforce", command, "--allow-cwd", "--profile", "hooked", *options, "--", *program]

    def run(self, *program, options=(), command="run", first=(), **how):
        return self.cli(*first, *self.words(*program, options=options, command=command), cwd=self.project, **how)

    def start(self, *program, **how):
        return self.cli.start(*self.words(*program), cwd=self.project, **how)

    def told(self, when):
        text = (self.cli.home / f"{when}.env").read_text()
        return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)

    @property
    def state(self):
        return self.cli.home / ".local"


@pytest.fixture
def stage(fresh):
    return Stage(fresh())


def new_mark():
    return f"{random.randrange(10**9, 10**10)}"


# --- what they are, and what they are told ---------------------------------------------------------------------------

def test_both_run_outside_and_are_told_what_there_is(stage):
    stage.hooks(before=RECORD + "echo noise; echo more >&2; cat; ls -l /proc/self/fd/0 >&2; stat -c %a \"$NONO_ENV_FILE\"\n"
                "echo \"GREETING=hello = world\" >> \"$NONO_ENV_FILE\"", after=RECORD + "echo bye")
    done = stage.run("sh", "-c", "cat; echo $GREETING; exit 3", input=b"in\n", env={**stage.cli.env, "NONO_EXIT_CODE": "old"})
    assert done.status == 3 and done.stdout == b"in\nhello = world\n"
    for word in (b"noise\n", b"more\n", b"/dev/null\n", b"600\n", b"bye\n"):
        assert word in done.stderr
    before, after = stage.told("before"), stage.told("after")
    for told in (before, after):
        assert told["NONO_WORKDIR"] == str(stage.project) and told["HOME"] == str(stage.cli.home)
    assert before["NONO_SESSION_ID"] == after["NONO_SESSION_ID"] != ""
    assert "NONO_EXIT_CODE" not in before and after["NONO_EXIT_CODE"] == "3" and "NONO_ENV_FILE" not in after
    assert (stage.cli.home / "before.pwd").read_text() == f"{stage.project}\n"
    assert not os.path.lexists(before["NONO_ENV_FILE"]) and not stage.state.exists()  # nothing stays, not even the folders


def test_no_variable_makes_them_run_what_the_program_wrote(stage):
    """Modules of a project's folder, say: the program may write there."""
    lib = stage.project / "lib"
    lib.mkdir()
    (lib / "shutil.py").write_text("open('ran', 'w')\n")
    (lib / "sh").write_text("touch ran\n")
    stage.hooks(before="/usr/bin/python3 -c 'import shutil'\n" + RECORD)
    where = {name: str(lib) for name in ("PYTHONPATH", "PERL5LIB", "NODE_PATH")}
    env = {**stage.cli.env, **where, "BASH_ENV": f"{lib}/sh", "ENV": f"{lib}/sh", "MINE": "yes"}
    assert stage.run("true", env=env).status == 0
    told = stage.told("before")
    assert told["MINE"] == "yes" and not {*where, "BASH_ENV", "ENV"} & set(told) and not (stage.project / "ran").exists()


def test_folders_that_were_there_stay(stage):
    folder = stage.state / "state/nanoterm"
    folder.mkdir(parents=True)
    stage.hooks(before=RECORD)
    assert stage.run("true").status == 0
    assert stage.told("before")["NONO_ENV_FILE"].startswith(f"{folder}/") and list(folder.iterdir()) == []


@pytest.mark.parametrize("program", ["binary", "python"])
def test_a_program_of_any_kind(stage, program):
    if program == "binary":
        path = stage.scripts / "binary"
        shutil.copy("/usr/bin/env", path)
    else:
        path = stage.script("python", "")
        path.write_text("#!/usr/bin/env python3\nimport os\nprint('GREETING=' + os.environ['NONO_HOOK_TYPE'], "
                        "file=open(os.environ['NONO_ENV_FILE'], 'a'))\n")
    stage.hooks(before=path)
    done = stage.run("sh", "-c", "echo $GREETING")
    assert done.stdout == (b"before\n" if program == "python" else b"\n")
    assert (b"NONO_HOOK_TYPE=before" in done.stderr) == (program == "binary")


def test_a_script_finds_its_own_path(stage):
    """What runs is what was opened, by a name that leads to it; and from there to what lies beside it."""
    (stage.scripts / "beside").write_text("GREETING=hello\n")
    path = stage.script("one", 'cat "$(dirname "$(readlink -f "$0")")/beside" >> "$NONO_ENV_FILE"; readlink -f "$0" >&2\n')
    stage.hooks(before=path)
    done = stage.run("sh", "-c", "echo $GREETING")
    assert done.stdout == b"hello\n" and os.fsencode(path) + b"\n" in done.stderr


def test_descriptors_of_the_caller_stay_with_it(stage):
    stage.hooks(before="(echo x >&77) 2>/dev/null && touch \"$HOME/open\"\ntrue")
    reading, writing = os.pipe()
    os.dup2(writing, 77)
    try:
        assert stage.run("true", pass_fds=[77]).status == 0
    finally:
        os.close(77), os.close(writing), os.close(reading)
    assert not (stage.cli.home / "open").exists()


def test_the_shell_has_them_too(stage):
    stage.hooks(before='echo "GREETING=hello" > "$NONO_ENV_FILE"', after=RECORD)
    done = stage.cli("enforce", "shell", "--allow-cwd", "--profile", "hooked", "--shell", "/bin/sh", cwd=stage.project,
                     input=b"echo $GREETING; exit 4\n")
    assert done.status == 4 and done.stdout == b"hello\n" and stage.told("after")["NONO_EXIT_CODE"] == "4"


def test_a_childs_hook_replaces_its_parents(stage):
    first, second = stage.script("first", "echo one >&2"), stage.script("second", "echo two >&2")
    stage.profile({"session_hooks": {"before": {"script": str(first), "timeout_secs": 9}, "after": {"script": str(first)}}}, "parent")
    stage.profile({"extends": "parent", "session_hooks": {"before": {"script": "$HOME/hooks/second"}}})
    shown = stage.cli.ok("--json", "enforce", "profile", "show", "hooked").json["session_hooks"]
    assert shown == {"before": {"script": "$HOME/hooks/second"}, "after": {"script": str(first)}}
    done = stage.run("true")
    assert done.stderr.count(b"two\n") == 1 and done.stderr.count(b"one\n") == 1
    assert done.stderr.index(b"two\n") < done.stderr.index(b"one\n")


# --- the lines of the script before ----------------------------------------------------------------------------------

def test_lines_are_filtered(stage):
    lines = ["LD_PRELOAD=/x.so", "PATH=/x", "NONO_X=x", "NONO_CAP_FILE=/x", "BASH_ENV=/x", "DENIED=x", "no line", "9A=x", "A-B=x", "=x",
             "# a comment", "", "GOOD=1", "SET=from the hook", "GOOD=2", "EMPTY=", "SPACED= a b ", "PWD=/x"]
    stage.hooks(before="cat > \"$NONO_ENV_FILE\" <<'END'\n" + "\n".join(lines) + "\nEND\n",
                environment={"deny_vars": ["DENIED"], "set_vars": {"SET": "from the profile"}})
    done = stage.run("env", "-0")
    got = dict(entry.split("=", 1) for entry in done.text.split("\0") if "=" in entry)
    assert got["GOOD"] == "2" and got["SET"] == "from the hook" and got["EMPTY"] == "" and got["SPACED"] == " a b "
    assert {"LD_PRELOAD", "BASH_ENV", "DENIED", "NONO_X", "9A", "A-B", "no line"} & set(got) == set()
    assert got["PATH"] == stage.cli.env["PATH"] and got.get("NONO_CAP_FILE") != "/x" and got.get("PWD") != "/x"
    for name in (b"LD_PRELOAD", b"PATH", b"NONO_X", b"BASH_ENV", b"DENIED", b"line 7", b"line 8", b"line 9", b"line 10"):
        assert b" " + name + b" " in done.stderr, name
    assert b"/x.so" not in done.stderr  # names only: a value may be a secret


def test_only_what_the_profile_lets_in(stage):
    stage.hooks(before='printf "A_1=x\\nB=x\\n" > "$NONO_ENV_FILE"', environment={"allow_vars": ["PATH", "A_*"]})
    done = stage.run("env")
    assert b"A_1=x\n" in done.stdout and b"\nB=x" not in done.stdout and b" B " in done.stderr


def test_without_an_end_of_line(stage):
    stage.hooks(before='printf "A=1\\nB=2" > "$NONO_ENV_FILE"')
    assert stage.run("sh", "-c", "echo $A$B").stdout == b"12\n"


def test_too_much_is_not_used_at_all(stage):
    stage.hooks(before='{ echo A=1; head -c 70000 /dev/zero | tr "\\0" x; } > "$NONO_ENV_FILE"')
    done = stage.run("sh", "-c", "echo ${A-none}")
    assert done.stdout == b"none\n" and b"64 KiB" in done.stderr


@pytest.mark.parametrize("replacement", ["link", "file", "folder", "nothing"])
def test_another_file_in_its_place_is_not_read(stage, replacement):
    secret = stage.cli.home / "secret"
    secret.write_text("SECRET=1\n")
    how = {"link": f'ln -sf {secret} "$NONO_ENV_FILE"', "file": f'cp {secret} {secret}.copy; mv {secret}.copy "$NONO_ENV_FILE"',
           "folder": 'rm "$NONO_ENV_FILE"; mkdir "$NONO_ENV_FILE"', "nothing": 'rm "$NONO_ENV_FILE"'}[replacement]
    stage.hooks(before='echo A=1 > "$NONO_ENV_FILE"\n' + how)
    done = stage.run("sh", "-c", "echo ${A-none} ${SECRET-none}")
    assert done.status == 0 and done.stdout == b"none none\n" and b"NONO_ENV_FILE" in done.stderr
    assert secret.read_text() == "SECRET=1\n" and not stage.state.exists()


def test_what_a_killed_one_left_is_removed_by_the_next(stage):
    mark = new_mark()
    stage.hooks(before=f'touch "$HOME/began"; exec sleep {mark}')
    process = stage.start("true")
    wait_until((stage.cli.home / "began").exists, 60, "the hook to begin")
    process.kill()
    process.wait(60)
    for pid, _ in with_mark(mark):  # it goes on without us, and has our end of stderr
        os.kill(int(pid), signal.SIGKILL)
    process.communicate()
    folder = stage.state / "state/nanoterm"
    assert len(list(folder.iterdir())) == 1
    stage.hooks(before="true")
    assert stage.run("true").status == 0 and list(folder.iterdir()) == []


# --- failures only warn ----------------------------------------------------------------------------------------------

def test_one_that_fails_is_a_warning(stage):
    stage.hooks(before='echo A=1 > "$NONO_ENV_FILE"; exit 9', after="kill -9 $$")
    done = stage.run("sh", "-c", "echo ${A-none}; exit 7")
    assert done.status == 7 and done.stdout == b"none\n"
    assert b"session_hooks.before" in done.stderr and b"status 9" in done.stderr
    assert b"session_hooks.after" in done.stderr and b"status 137" in done.stderr
    silent = stage.run("sh", "-c", "exit 7", options=["-s"])
    assert silent.status == 7 and silent.stderr == b""


def test_one_that_cannot_be_executed_is_a_warning(stage):
    path = stage.script("before", "")
    path.write_text("#!/nothing/there\n")
    stage.hooks(before=path)
    done = stage.run("true")
    assert done.status == 0 and b"cannot be started" in done.stderr


def test_a_timeout_ends_the_whole_group(stage):
    mark = new_mark()
    stage.hooks(before=f"(trap '' TERM; sleep {mark}; sleep {mark}) &\nsleep {mark} &\ntrap '' TERM\nsleep {mark}; sleep {mark}",
                timeout=1)
    done = stage.run("echo", "ran", timeout=120)
    assert done.status == 0 and done.stdout == b"ran\n" and b"after 1 s" in done.stderr
    wait_until(lambda: with_mark(mark) == [], 60, "the group to end")


def test_what_it_leaves_running_is_there_for_the_program(stage):
    """A server for the program, which the script after ends; also where the sandbox has no namespace of processes."""
    stage.hooks(before='sleep 100000 >/dev/null 2>&1 &\necho $! > "$HOME/pid"', after='kill "$(cat "$HOME/pid")"')
    for options in ([], ["--accept-weaker", "namespaces"]):
        done = stage.run("true", options=options)
        assert done.status == 0 and b"session_hooks" not in done.stderr, (options, done)
        pid = int((stage.cli.home / "pid").read_text())
        wait_until(lambda: not is_alive(pid), 60, "it to end")


# --- when nothing shall start, or nothing has ------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_script_and_starts_nothing(stage, number):
    mark = new_mark()
    stage.hooks(before=f'echo A=1 > "$NONO_ENV_FILE"; touch "$HOME/began"; sleep {mark} & sleep {mark}', after=RECORD)
    process = stage.start("touch", "/proc/self/comm")
    wait_until((stage.cli.home / "began").exists, 60, "the hook to begin")
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and b"nothing was started" in err
    wait_until(lambda: with_mark(mark) == [], 60, "the script to end")
    assert not (stage.cli.home / "after.env").exists() and not stage.state.exists()


def test_control_c_on_a_terminal(stage):
    mark = new_mark()
    stage.hooks(before=f"echo be''gan; exec sleep {mark}")
    child = pexpect.spawn(BIN, stage.words("echo", "ran"), env=stage.cli.env, cwd=str(stage.project), timeout=120)
    child.expect_exact("began")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130 and b"ran" not in child.before and with_mark(mark) == []


def test_the_script_after_runs_when_the_time_of_the_command_is_over(stage):
    stage.hooks(after=RECORD)
    done = stage.run("sleep", "100000", first=["--json", "--timeout", "8s"])
    assert done.error["code"] == "timeout" and stage.told("after")["NONO_EXIT_CODE"] == "137"


def test_control_c_in_the_script_after_leaves_the_status(stage):
    mark = new_mark()
    stage.hooks(after=f'touch "$HOME/began"; exec sleep {mark}')
    process = stage.start("sh", "-c", "exit 5")
    wait_until((stage.cli.home / "began").exists, 60, "the hook to begin")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 5 and b"was interrupted" in err and with_mark(mark) == []


def test_signals_that_the_caller_ignores_end_nothing(stage):
    stage.hooks(before='kill -HUP $PPID; touch "$HOME/after-it"')
    done = stage.run("echo", "ran", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert done.status == 0 and done.stdout == b"ran\n" and (stage.cli.home / "after-it").exists()


def test_the_deadline_of_the_command_counts(stage):
    stage.hooks(before="exec sleep 1000")
    done = stage.run("touch", "ran", first=["--json", "--timeout", "2s"], timeout=120)
    assert done.status != 0 and done.error["code"] == "timeout" and not stage.state.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_the_script_after_gets_the_signal(stage, number):
    stage.hooks(after=RECORD)
    assert stage.run("sh", "-c", f"kill -{int(number)} $$").status == 128 + number
    assert stage.told("after")["NONO_EXIT_CODE"] == str(128 + number)


def test_nothing_runs_for_a_program_that_is_not_there(stage):
    stage.hooks(before=RECORD, after=RECORD)
    assert stage.run("nothing-of-this-name").status == 127
    assert not (stage.cli.home / "before.env").exists()
    (stage.project / "text").write_text("#!/nothing/there\n")
    (stage.project / "text").chmod(0o755)
    assert stage.run("./text").status == 127
    assert (stage.cli.home / "before.env").exists() and not (stage.cli.home / "after.env").exists()


# --- scripts that do not run -----------------------------------------------------------------------------------------

def as_link(stage, path):
    real = path.with_name("real")
    path.rename(real)
    path.symlink_to(real)
    return path


def behind_a_link(stage, path):
    (stage.cli.home / "link").symlink_to(path.parent)
    return stage.cli.home / "link" / path.name


def not_executable(stage, path):
    path.chmod(0o644)
    return path


def of_everybody(stage, path):
    path.chmod(0o757)
    return path


def in_a_folder_of_everybody(stage, path):
    path.parent.chmod(0o1777)
    return path


def below_a_folder_of_everybody(stage, path):
    folder = stage.cli.home / "open/hooks"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o777)
    return shutil.copy2(path, folder)


def with_two_names(stage, path):
    os.link(path, path.with_name("other"))
    return path


def a_folder(stage, path):
    return path.parent


def a_pipe(stage, path):
    path.unlink()
    os.mkfifo(path, 0o755)
    return path


def missing(stage, path):
    path.unlink()
    return path


def not_plain(stage, path):
    return f"{path.parent}/../hooks/{path.name}"


def of_somebody_else(stage, path):
    os.chown(path, 12345, 12345)
    return path


def in_a_folder_of_somebody_else(stage, path):
    os.chown(path.parent, 12345, 12345)
    return path


def relative(stage, path):
    return "$RELATIVE/before"


def unset(stage, path):
    return "$NOT_SET_HERE/before"


ATTACKS = [as_link, behind_a_link, not_executable, of_everybody, in_a_folder_of_everybody, below_a_folder_of_everybody, with_two_names,
           a_folder, a_pipe, missing, not_plain, of_somebody_else, in_a_folder_of_somebody_else, relative, unset]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_what_is_not_trusted_refuses_the_start(stage, attack, when):
    if "somebody_else" in attack.__name__ and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    path = attack(stage, stage.script("script", f'touch "{stage.cli.home}/ran"'))
    stage.profile({"session_hooks": {when: {"script": str(path)}}})
    env = {**stage.cli.env, "RELATIVE": "hooks"}
    for options in ([], ["--dry-run"]):
        done = stage.run("touch", "ran", options=["--allow", ".", *options], first=["--json"], env=env)
        assert done.status == 1 and done.error["code"] == "enforce.profile", done
        assert f"session_hooks.{when}" in done.error["message"]
    assert not (stage.cli.home / "ran").exists() and not (stage.project / "ran").exists() and not stage.state.exists()


@pytest.mark.parametrize("options", [["--allow", "."], ["--write", "."], ["--write-file", "hooks/script"], ["--allow", "hooks"]],
                         ids=lambda options: " ".join(options))
def test_what_the_program_could_write_does_not_run(stage, options):
    stage.scripts = stage.project / "hooks"
    stage.scripts.mkdir()
    path = stage.script("script", f'touch "{stage.cli.home}/ran"')
    stage.hooks(before=path)
    done = stage.run("true", options=options, first=["--json"])
    assert done.status == 1 and done.error["code"] == "enforce.profile" and "may write" in done.error["message"]
    assert not (stage.cli.home / "ran").exists()
    assert stage.run("true").status == 0 and (stage.cli.home / "ran").exists()  # it may only read there


@pytest.mark.parametrize("line, said", [
    ("#!{project}/bin/python3", "may write"), ("#!/usr/bin/env {project}/bin/python3", "may write"), ("#!bin/python3", "depends on the folder"),
    ("#!/usr/bin/env -S -u HOME python3", "not plainly")])
def test_what_runs_a_script_is_not_the_programs(stage, line, said):
    path = stage.script("script", "")
    path.write_text(line.format(project=stage.project) + "\n")
    stage.hooks(after=path)
    done = stage.run("sh", "-c", f"mkdir bin; echo '#!/bin/sh\ntouch {stage.cli.home}/ran' > bin/python3; chmod 755 bin/python3",
                     options=["--allow", "."], first=["--json"])
    assert done.status == 1 and done.error["code"] == "enforce.profile" and said in done.error["message"], done
    assert not (stage.cli.home / "ran").exists() and not (stage.project / "bin").exists()


def test_what_a_script_starts_by_name_is_not_the_programs(stage):
    """The program puts programs into the folders of PATH that it may write, for the script after."""
    script = stage.script("script", "")
    script.write_text(f"#!/usr/bin/env python3\nimport os, subprocess\nsubprocess.run(['sh', '-c', 'ls >/dev/null'])\n"
                      f"open('{stage.cli.home}/path', 'w').write(os.environ['PATH'])\n")
    stage.hooks(after=script)
    (stage.cli.home / "way").symlink_to(stage.project)
    tools = stage.cli.home / "tools"
    tools.mkdir()
    usual = stage.cli.env["PATH"]
    mine = f"{stage.project}/bin:{stage.project}:{stage.cli.home}/way/bin:.:bin::{tools}"
    put = (f"mkdir bin; for name in python3 sh ls; do for folder in . bin; do echo '#!/bin/sh\ntouch {stage.cli.home}/ran' > $folder/$name; "
           "chmod 755 $folder/$name; done; done")
    done = stage.run("/bin/sh", "-c", f"PATH='{usual}'; {put}", options=["--allow", "."], env={**stage.cli.env, "PATH": f"{mine}:{usual}"})
    assert done.status == 0 and b"session_hooks" not in done.stderr, done
    assert (stage.project / "bin/ls").exists() and not (stage.cli.home / "ran").exists()
    kept = (stage.cli.home / "path").read_text().split(":")
    assert kept[0] == str(tools) and set(kept[1:]) <= set(usual.split(":"))


@pytest.mark.parametrize("is_link", [False, True], ids=["file", "link"])
def test_a_profile_that_the_program_could_write_names_no_script(stage, is_link):
    path = stage.script("script", f'touch "{stage.cli.home}/ran"')
    stage.hooks(before=path)
    profile = stage.project / "profile.json"
    real = stage.cli.home / ".config/nono/profiles/hooked.json"
    profile.symlink_to(real) if is_link else shutil.copy(real, profile)
    words = ["enforce", "run", "--profile", "./profile.json"]
    done = stage.cli("--json", *words, "--allow", ".", "--", "true", cwd=stage.project)
    assert done.status == 1 and "the profile" in done.error["message"] and not (stage.cli.home / "ran").exists()
    assert stage.cli(*words, "--read", ".", "--", "true", cwd=stage.project).status == 0 and (stage.cli.home / "ran").exists()


def test_the_program_cannot_reach_the_file_of_another_start(stage):
    """Two at once: while a script waits, the program of another sandbox looks for its file."""
    stage.hooks(before='echo A=1 > "$NONO_ENV_FILE"; touch "$HOME/began"; while [ ! -e "$HOME/go" ]; do sleep 0.1; done')
    process = stage.start("sh", "-c", "echo $A$B")
    wait_until((stage.cli.home / "began").exists, 60, "the hook to begin")
    folder = stage.state / "state/nanoterm"
    (name,) = os.listdir(folder)
    script = f"ls {folder}; cat {folder}/{name}; echo B=2 >> {folder}/{name}; rm -f {folder}/{name}; mv {folder} {folder}.old"
    done = stage.cli("enforce", "run", "-s", "--allow", stage.state, "--allow-command", "sh", "--", "sh", "-c", script, cwd=stage.project)
    assert b"A=1" not in done.stdout
    (stage.cli.home / "go").touch()
    out, _ = process.communicate(timeout=120)
    assert b"2" not in out


def test_wrap_refuses_them(stage):
    stage.hooks(before=f'touch "{stage.cli.home}/ran"')
    done = stage.run("true", command="wrap")
    assert done.status == 2 and b"wrap runs none" in done.stderr and not (stage.cli.home / "ran").exists()


# --- what is told of them --------------------------------------------------------------------------------------------

def test_a_trial_lists_them_and_runs_none(stage):
    stage.hooks(before=RECORD, after=RECORD, timeout=30)
    done = stage.run("true", options=["--dry-run"])
    assert done.status == 0 and f"[hook] before, outside of the sandbox: {stage.scripts}/before (at most 30 s)" in done.stderr.decode()
    row = stage.run("true", options=["--dry-run"], first=["--json"]).json
    assert row["hooks"] == [{"when": when, "script": f"{stage.scripts}/{when}", "timeout_secs": 30} for when in ("before", "after")]
    assert sorted(path.name for path in stage.cli.home.iterdir()) == [".config", "hooks", "project"]
    plain = stage.cli("--json", "enforce", "run", "--allow-cwd", "--dry-run", "--", "true", cwd=stage.project)
    assert plain.json["hooks"] == []
    assert b"[hook] after" in stage.run("true").stderr


def test_the_commands_of_profile_know_them(stage):
    stage.hooks(before="true", timeout=5)
    cli = stage.cli
    shown = cli.ok("enforce", "profile", "show", "hooked").json
    assert shown["session_hooks"] == {"before": {"script": f"{stage.scripts}/before", "timeout_secs": 5}}
    assert cli.ok("--json", "enforce", "profile", "validate", "hooked").json["warnings"] == []
    differences = cli.ok("--json", "enforce", "profile", "diff", "default", "hooked").json
    assert differences["session_hooks"]["before"]["to"]["timeout_secs"] == 5
    schema = cli.ok("enforce", "profile", "schema").json["properties"]
    assert schema["session_hooks"]["properties"]["before"]["properties"]["timeout_secs"]["minimum"] == 1
    assert schema["linux"]["properties"]["sandbox_policy"] == {"enum": ["auto", "landlock", None]}
    guide = cli.ok("enforce", "profile", "guide").text
    assert "session_hooks.before" in guide and "NONO_ENV_FILE" in guide and "linux.sandbox_policy" in guide


@pytest.mark.parametrize("hooks, said", [
    ({"before": {"script": "hooks/before"}}, "absolute"), ({"before": {}}, "script is missing"), ({"before": "/x"}, "an object"),
    ({"before": {"script": "/x", "timeout_secs": 0}}, "at least 1"), ({"before": {"script": "/x", "timeout_secs": "5"}}, "at least 1"),
    ({"before": {"script": "/x", "timeout": 5}}, "no such key"), ({"during": {"script": "/x"}}, "before and after"), ([1], "an object"),
    ({"after": {"script": ""}}, "a text"), ({"after": {"script": "/x\n"}}, "control"),
], ids=str)
def test_what_is_wrong_with_them_is_said(stage, hooks, said):
    path = stage.profile({"session_hooks": hooks})
    row = stage.cli("--json", "enforce", "profile", "validate", path).json
    assert row["valid"] is False and said in row["errors"][0] and row["errors"][0].startswith("session_hooks")


def test_why_names_them(stage):
    stage.hooks(before="true")
    row = stage.cli.ok("--json", "enforce", "why", "--path", "~/hooks/before", "--op", "write", "--profile", "hooked").json
    assert row["status"] == "denied" and row["session_hook"] == "before" and "outside of the sandbox" in row["message"]
    row = stage.cli.ok("--json", "enforce", "why", "--path", "~/hooks", "--profile", "hooked").json
    assert row["session_hook"] is None


# --- linux.sandbox_policy --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("policy", ["auto", "landlock", None])
@pytest.mark.parametrize("options", [[], ["--block-net"]], ids=["open", "blocked"])
def test_the_policies_that_are_kept(stage, policy, options):
    stage.profile({"linux": {"sandbox_policy": policy}})
    for command in ("run", "wrap"):
        assert stage.run("true", options=options, command=command).status == 0
    shown = stage.cli.ok("--json", "enforce", "profile", "show", "hooked").json["linux"]["sandbox_policy"]
    assert shown == policy


@pytest.mark.parametrize("policy, said", [("external", "open"), ("none", "auto|landlock"), (7, "a text")])
def test_the_policies_that_are_not(stage, policy, said):
    stage.profile({"linux": {"sandbox_policy": policy}})
    done = stage.run("true", first=["--json"])
    assert done.status == 1 and done.error["code"] == "enforce.profile" and said in done.error["message"]


@pytest.mark.skipif(IS_SANITIZED, reason="the sanitizers' libraries are not among what the outer sandbox may read")
@pytest.mark.parametrize("command", ["run", "wrap"])
def test_landlock_alone_refuses_where_its_rules_for_tcp_cannot_be_had(stage, command):
    """In a sandbox whose supervisor makes the connections, Landlock's rules for TCP would not hold: the kernel's call says so."""
    profile = stage.project / "profile.json"
    outer = ["enforce", "run", "-s", "--allow", ".", "--read", PREFIX, "--", BIN]
    inner = ["enforce", command, "-s", "--allow-cwd", "--profile", "./profile.json", "--block-net"]
    for policy, status in (("auto", 0), ("landlock", 1)):
        profile.write_text(json.dumps({"meta": {"name": "x"}, "linux": {"sandbox_policy": policy}}))
        done = stage.cli(*outer, *inner, "--", "true", cwd=stage.project)
        assert done.status == status, (policy, done)
    assert b"sandbox_policy" in done.stderr
    assert stage.cli(*outer, *inner, "--accept-weaker", "tcp", "--", "true", cwd=stage.project).status == 0
    assert stage.cli(*outer, *inner[:-1], "--", "true", cwd=stage.project).status == 0  # an open network needs no rule
