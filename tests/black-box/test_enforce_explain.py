# SPDX-License-Identifier: Apache-2.0
"""`enforce why` and `enforce learn`: what would be allowed, by which rule, and what a program needs."""
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import uuid

import pexpect
import pytest

from conftest import Nanoterm, wait_until



def can_trace():
    """Some containers allow nobody to trace."""
    return shutil.which("strace") and subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0


NEEDS_STRACE = pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may not trace here")


@pytest.fixture
def cli(tmp_path):
    """No server is needed: a home of its own, with a project and things that nobody may read."""
    home = tmp_path / "home"
    (home / "project/src").mkdir(parents=True)
    (home / ".ssh").mkdir(mode=0o700)
    (home / ".ssh/id_rsa").write_text("secret key\n")
    (home / ".aws").mkdir()
    (home / ".bashrc").write_text("\n")
    return Nanoterm(home)


def why(cli, *words, **how):
    return cli.ok("enforce", "why", "--json", *words, cwd=cli.home / "project", **how).json


@pytest.mark.parametrize("words, status, reason", [
    (["--path", "../../home/.ssh/id_rsa"], "denied", "sensitive_path"),
    (["--path", "../.ssh/id_rsa"], "denied", "sensitive_path"),
    (["--path", "../.ssh/id_rsa", "--read", "~/.ssh"], "denied", "sensitive_path"),
    (["--path", "../.ssh/id_rsa", "--read", "~/.ssh", "--bypass-protection", "~/.ssh"], "allowed", "granted_path"),
    (["--path", "~/.ssh/id_rsa"], "denied", "sensitive_path"),
    (["--path", "/etc/hosts"], "allowed", "granted_path"),
    (["--path", "/etc/hosts", "--op", "write"], "denied", "insufficient_access"),
    (["--path", "/etc/shadow"], "denied", "path_not_granted"),
    (["--path", "src", "--op", "write"], "denied", "path_not_granted"),
    (["--path", "src", "--op", "write", "--allow", "."], "allowed", "granted_path"),
    (["--path", "src", "--op", "readwrite", "--read", "."], "denied", "insufficient_access"),
    (["--path", "src", "--op", "readwrite", "--read", ".", "--write", "src"], "allowed", "granted_path"),
    (["--host", "example.com"], "allowed", "network_allowed"),
    (["--host", "example.com", "--block-net"], "denied", "network_blocked"),
    (["--host", "a.example.com", "--allow-domain", "*.example.com"], "allowed", "proxy_allowed"),
    (["--host", "example.com", "--allow-domain", "*.example.com"], "denied", "proxy_filtered"),
    (["--host", "169.254.169.254", "--network-profile", "developer"], "denied", "proxy_filtered"),
])
def test_why(cli, words, status, reason):
    answer = why(cli, *words)
    assert (answer["status"], answer["reason"]) == (status, reason), answer


@pytest.mark.parametrize("host, words, why_not", [
    ("metadata.google.internal", [], "cloud metadata is never reachable"), ("[fd20:ce::254]", [], "cloud metadata is never reachable"),
    ("240.0.0.1", [], "link-local or no host's"), ("box.example", [], None),
    ("0xc0000207", ["--deny-domain", "192.0.2.7"], "192.0.2.7 is denied (user)")])
def test_a_host_is_shut_for_a_reason(cli, host, words, why_not):
    answer = why(cli, "--host", host, "--upstream-proxy", "127.0.0.1:9", *words)
    assert answer["status"] == ("denied" if why_not else "allowed"), answer
    assert (why_not or "") in answer["message"] and not answer.get("suggested_flag"), answer


def test_the_upstream_of_a_service_is_for_the_proxy(cli, tmp_path):
    (tmp_path / "profile.json").write_text(json.dumps({"meta": {"name": "svc"}, "network": {
        "custom_credentials": {"svc": {"upstream": "http://127.0.0.1:9", "credential_key": "env://SVC", "env_var": "K"}},
        "credentials": ["svc"]}}))
    answer = why(cli, "--host", "127.0.0.1", "--profile", tmp_path / "profile.json")
    assert answer["status"] == "denied" and "only the proxy itself talks to it, for requests to /svc" in answer["message"], answer


def test_the_suggestion_is_enough(cli):
    """What `why` suggests, given to `why`, allows it."""
    file = cli.home / "project/data.txt"
    file.write_text("x")
    other = cli.home / "other dir"
    other.mkdir()
    for path, op in ((file, "read"), (file, "write"), (file, "readwrite"), (other, "read"), (other, "readwrite")):
        answer = why(cli, "--path", path, "--op", op)
        assert answer["status"] == "denied"
        flag, value = shlex.split(answer["suggested_flag"])
        assert why(cli, "--path", path, "--op", op, flag, value)["status"] == "allowed", answer


def test_it_says_by_which_rule(cli):
    answer = why(cli, "--path", "../.ssh/id_rsa")
    assert answer["policy_source"] == "group:deny_credentials" and answer["details"] == str(cli.home / ".ssh")
    answer = why(cli, "--path", "src", "--allow", ".")
    assert answer["matching_capability"] == {"path": str(cli.home / "project"), "access": "read+write", "source": "user"}


def test_what_a_program_asks_about_itself_is_relative_to_its_own_folder(cli):
    prefix = pathlib.Path(os.path.realpath(cli.program)).parent.parent
    words = ["enforce", "run", "-s", "--allow-cwd", "--read", prefix, "--workdir", ".", "--", "sh", "-c",
             f"cd src && exec {cli.program} --json enforce why --self --path ../x --op read"]
    answer = cli.ok(*words, cwd=cli.home / "project").json
    assert (answer["status"], answer["matching_capability"]["path"]) == ("allowed", str(cli.home / "project"))
    words[-1] = f"cd src && exec {cli.program} --json enforce why --self --path ../../.bashrc --op read"
    assert cli.ok(*words, cwd=cli.home / "project").json["status"] == "denied"


def test_grants_that_nothing_would_start_with_are_an_answer_about_what_is_denied_only(cli):
    grants = ["--allow-file", "~/.ssh/id_rsa"]
    answer = why(cli, "--path", "~/.ssh/id_rsa", *grants)
    assert (answer["status"], answer["reason"], answer["policy_source"]) == ("denied", "sensitive_path", "group:deny_credentials")
    flags = shlex.split(answer["suggested_flag"])
    assert why(cli, "--path", "~/.ssh/id_rsa", *flags)["status"] == "allowed"
    for question in (["--path", "src"], ["--host", "example.com"]):
        done = cli("enforce", "why", "--json", *question, *grants, cwd=cli.home / "project")
        assert done.status == 1 and done.stdout == b"" and done.error["code"] == "enforce.protected"
        assert ".ssh" in done.error["message"]


def test_a_link_leads_where_it_leads(cli):
    (cli.home / "project/innocent").symlink_to(cli.home / ".ssh")
    assert why(cli, "--path", "innocent/id_rsa", "--allow", ".")["reason"] == "sensitive_path"
    assert why(cli, "--path", "innocent/../.aws/credentials", "--allow", ".")["reason"] == "sensitive_path"


@pytest.mark.parametrize("words", [[], ["--path", "/x", "--host", "y"], ["--path", "/x", "--op", "execute"],
                                   ["--host", "y", "--port", "70000"], ["--host", "y", "--block-net", "--allow-net"]])
def test_an_impossible_question(cli, words):
    done = cli("enforce", "why", "--json", *words)
    assert done.status == 2 and done.stdout == b"" and done.error["kind"] == "usage"


def test_outside_a_sandbox_there_is_no_self(cli):
    assert why(cli, "--self", "--path", "/tmp")["status"] == "not_sandboxed"


CAP = '{"fs":[{"original":"/","path":"/","access":"readwrite","is_file":false,"source":"user"}],"net_blocked":false}'


@pytest.mark.parametrize("forge", ["name", "folder", "link", "writable", "large", "relative", "folder-itself", "pipe", "hard link",
                                   "nonsense"])
def test_a_forged_cap_file_is_refused(cli, tmp_path, forge):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    file = temporary / ".nono-0123456789abcdef.json"
    file.write_text(CAP)
    file.chmod(0o600)
    if forge == "name":
        file = file.rename(temporary / ".nono-0123456789abcdeg.json")
    elif forge == "folder":
        (tmp_path / "elsewhere").mkdir()
        file = file.rename(tmp_path / "elsewhere" / file.name)
    elif forge == "link":
        file.rename(temporary / "real")
        file.symlink_to(temporary / "real")
    elif forge == "writable":
        file.chmod(0o666)
    elif forge == "large":
        file.write_text(CAP + " " * (1 << 20))
    elif forge == "relative":
        file = file.relative_to(tmp_path)
    elif forge == "folder-itself":
        file.unlink()
        file.mkdir()
    elif forge == "pipe":
        file.unlink()
        os.mkfifo(file, 0o600)
    elif forge == "hard link":
        os.link(file, temporary / "second")
    elif forge == "nonsense":
        file.write_text("{")
    env = cli.env | {"NONO_CAP_FILE": str(file), "TMPDIR": str(temporary)}
    done = cli("enforce", "why", "--json", "--self", "--path", "/etc/shadow", env=env, cwd=tmp_path)
    assert done.status == 1 and done.stdout == b""
    assert done.error["code"] == "enforce.cap_file" and "not to be trusted" in done.error["message"]


# --- learn -----------------------------------------------------------------------------------


def learn(cli, *words, **how):
    return cli.ok("enforce", "learn", "-s", "--json", *words, cwd=cli.home / "project", timeout=120, **how).json


@NEEDS_STRACE
def test_learn_finds_what_a_build_needs_and_no_more(cli, tmp_path):
    project = cli.home / "project"
    (project / "hello.c").write_text('#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n')
    (project / "Makefile").write_text("hello: hello.c\n\tcc -O -o build/hello hello.c\n")
    (project / "build").mkdir()
    outside = tmp_path / "outside.txt"
    outside.write_text("canary")
    learnt = learn(cli, "--", "make")
    files = learnt["filesystem"]
    assert (project / "build/hello").exists() and learnt["meta"]["name"] == "make"
    assert learnt["network"] == {"outbound": [], "listening": []}
    granted = [path.replace("~", str(cli.home), 1) for paths in files.values() for path in paths]
    assert str(project) in granted and any(path.startswith("/usr/include") for path in granted)
    for canary in (cli.home / ".ssh/id_rsa", cli.home / ".aws/credentials", cli.home / ".bashrc", outside, "/etc/shadow"):
        assert not any(os.path.commonpath([path, canary]) == path for path in granted), (canary, granted)


@NEEDS_STRACE
def test_learn_never_grants_what_is_denied(cli):
    done = cli.ok("enforce", "learn", "--json", "--", "cat", cli.home / ".ssh/id_rsa", cwd=cli.home / "project")
    assert b"secret key" in done.stderr  # with --json the program's output goes there
    assert b".ssh" not in done.stdout
    assert b"UNCONFINED" in done.stderr.upper() or b"without a sandbox" in done.stderr
    assert b"not granted: " + os.fsencode(cli.home) + b"/.ssh/id_rsa" in done.stderr


@NEEDS_STRACE
def test_learn_says_that_nothing_is_needed(cli):
    done = cli.ok("enforce", "learn", "--", "true", cwd=cli.home / "project", timeout=120)
    assert done.stdout == b"" and b"Nothing more is needed" in done.stderr


@NEEDS_STRACE
def test_learn_reads_odd_names(cli):
    odd = cli.home / "project" / 'a "b", <c> (d)\n<unfinished ...>'
    odd.mkdir()
    (odd / "f").write_text("x")
    answer = cli.ok("enforce", "learn", "-s", "--json", "--", "touch", cli.home / "other", cwd=odd).json
    assert answer["filesystem"]["allow"] == [] and str(cli.home) not in answer["filesystem"]["write"]
    answer = cli.ok("enforce", "learn", "-s", "--json", "--", "cp", odd / "f", odd / "g", cwd=cli.home).json
    assert answer["filesystem"]["allow" if answer["filesystem"]["allow"] else "write"] == [f"~/project/{odd.name}"]


@NEEDS_STRACE
def test_learn_sees_the_network(cli):
    program = ("import socket\ns = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
               "c = socket.create_connection(s.getsockname()); print(s.getsockname()[1], file=open('port', 'w'))")
    answer = learn(cli, "--", "/usr/bin/python3", "-c", program)
    port = int((cli.home / "project/port").read_text())
    assert {"addr": "127.0.0.1", "port": port, "count": 1} in answer["network"]["outbound"]
    assert answer["network"]["listening"][0]["addr"] == "127.0.0.1"


@NEEDS_STRACE
def test_learn_ends_the_whole_tree_when_its_time_is_over(cli):
    mark = cli.home / "project/pids"
    program = f"setsid sleep 1000 & echo $! > {mark}; sleep 1000 & wait"
    done = cli.ok("enforce", "learn", "--timeout", "5", "--json", "--", "sh", "-c", program, cwd=cli.home / "project")
    assert b"was ended" in done.stderr and json.loads(done.stdout.splitlines()[-1])
    pid = int(mark.read_text())
    wait_until(lambda: not os.path.exists(f"/proc/{pid}") or b"sleep" not in open(f"/proc/{pid}/cmdline", "rb").read(), 20,
               "the program to end")


@NEEDS_STRACE
def test_learn_asks_on_a_terminal(cli):
    for answer, runs in (("n", False), ("y", True)):
        terminal = pexpect.spawn(cli.program, ["enforce", "learn", "--", "touch", "ran"], cwd=cli.home / "project", env=cli.env,
                                 timeout=60)
        terminal.expect_exact("Run it? [y/N]")
        terminal.sendline(answer)
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 0
        assert (cli.home / "project/ran").exists() == runs


@pytest.mark.parametrize("program, status", [("nothing-of-this-name", 127), ("./missing", 127), ("./src", 126)])
def test_learn_of_a_program_that_is_not_there_is_an_error(cli, program, status):
    done = cli("--json", "enforce", "learn", "--", program, cwd=cli.home / "project")
    assert done.status == status and done.stdout == b"" and done.error["message"].startswith(f"'{program}' is not "), done


def test_learn_without_strace_says_what_to_install(cli):
    if any(os.path.exists(f"{folder}/strace") for folder in ("/usr/local/bin", "/usr/bin", "/bin")):
        pytest.skip("strace is installed")
    done = cli("enforce", "learn", "-s", "--json", "--", "true")
    assert done.error["code"] == "enforce.trace" and "apt install strace" in done.error["hint"]


@NEEDS_STRACE
def test_what_changes_a_mode_alone_is_learnt(cli):
    """And the profile lets it pass, where all else is read-only."""
    file = cli.home / "tool"
    file.write_text("x")
    script = ["sh", "-c", f"chmod 700 {file} && touch -c -d @1 {file}"]
    learnt = learn(cli, "--", *script)
    assert "~/tool" in learnt["filesystem"]["write_file"]
    profile = cli.home / "tool.json"
    profile.write_text(json.dumps(learnt))
    cli.ok("enforce", "run", "-s", "--allow-cwd", "--profile", profile, "--", *script, cwd=cli.home / "project")


@NEEDS_STRACE
def test_what_changes_an_open_file_is_learnt(cli):
    acts = {"a": "os.fchmod(fd, 0o600)", "b": "os.utime(fd, (1, 1))", "c": "os.fchown(fd, -1, -1)", "d": "fd"}
    for name in acts:
        (cli.home / name).write_text("x")
    program = "import os\n" + "".join(f"fd = os.open({str(cli.home / name)!r}, os.O_RDONLY); {act}\n" for name, act in acts.items())
    words = ["--", "/usr/bin/python3", "-c", program]
    learnt = learn(cli, *words)
    files = learnt["filesystem"]
    assert {"~/a", "~/b", "~/c"} <= set(files["write_file"] + files["allow_file"])
    assert "~/d" in files["read_file"]
    profile = cli.home / "open.json"
    profile.write_text(json.dumps(learnt))
    cli.ok("enforce", "run", "-s", "--allow-cwd", "--profile", profile, *words, cwd=cli.home / "project")


@NEEDS_STRACE
def test_what_runs_a_script_is_learnt(cli):
    shell, script = cli.home / "shell", cli.home / "project/script"
    shell.write_bytes(pathlib.Path("/bin/sh").read_bytes())
    script.write_text(f"#! {shell} -e\nexit 0\n")
    shell.chmod(0o755), script.chmod(0o755)
    assert "~/shell" in learn(cli, "--", script)["filesystem"]["read_file"]


@NEEDS_STRACE
def test_a_change_that_strace_cannot_show_is_not_kept_quiet(cli):
    """fchmodat2 is newer than the strace of many systems, which then writes its number alone."""
    (cli.home / "tool").write_text("x")
    program = "import ctypes, sys\nsys.exit(-ctypes.CDLL(None).syscall(ctypes.c_long(452), -100, sys.argv[1].encode(), 0o600, 0))"
    words = ["--", "/usr/bin/python3", "-c", program, str(cli.home / "tool")]
    done = cli("enforce", "learn", "-s", "--json", *words, cwd=cli.home / "project", timeout=120)
    if b"with status 1" in done.stderr:
        pytest.skip("this kernel does not have fchmodat2")
    learnt, said = done.json, done.stderr.decode()
    if "~/tool" in learnt["filesystem"]["write_file"]:
        assert "fchmodat2" not in said
    else:
        assert "not known: fchmodat2 (call 452, of Linux 6.6) was made, and this strace cannot show on which file" in said
    profile = cli.home / "learnt.json"
    profile.write_text(json.dumps(learnt))
    cli.ok("enforce", "profile", "validate", profile)


@NEEDS_STRACE
def test_a_device_that_is_driven_is_learnt(cli):
    program = "import fcntl\nwith open('/dev/urandom', 'rb') as f: fcntl.ioctl(f, 0x80045200, b'0000')"
    learnt = learn(cli, "--", "/usr/bin/python3", "-c", program)
    assert "/dev/urandom" in learnt["filesystem"]["allow_file"] + learnt["filesystem"]["write_file"]
    profile = cli.home / "device.json"
    profile.write_text(json.dumps(learnt))
    cli.ok("enforce", "run", "-s", "--allow-cwd", "--profile", profile, "--", "/usr/bin/python3", "-c", program, cwd=cli.home / "project")


@NEEDS_STRACE
def test_a_learnt_profile_is_enough_and_not_more(cli, tmp_path):
    project = cli.home / "project"
    (project / "hello.c").write_text('#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n')
    (project / "Makefile").write_text("build/hello: hello.c\n\tmkdir -p build && cc -O -o build/hello hello.c && build/hello\n")
    outside = tmp_path / "outside.txt"
    outside.write_text("canary")
    # The home of a test lies in /tmp, which is too much to grant then; the compiler has its files elsewhere.
    (tmp_path / "temporary").mkdir()
    env = cli.env | {"TMPDIR": str(tmp_path / "temporary")}
    profile = cli.home / "make.json"
    profile.write_text(json.dumps(learn(cli, "--", "make", env=env)))
    shutil.rmtree(project / "build")
    run = ["enforce", "run", "-s", "--allow-cwd", "--profile", profile, "--"]
    done = cli.ok(*run, "make", cwd=project, timeout=120, env=env)
    assert done.stdout.endswith(b"hello\n") and (project / "build/hello").exists()
    for canary in (cli.home / ".ssh/id_rsa", cli.home / ".bashrc", outside, "/etc/shadow", profile):
        assert cli(*run, "cat", canary, cwd=project).status == 1, canary


# --- the lines after a program that failed ---------------------------------------------------


def footer(cli, *words, program, **how):
    done = cli("enforce", "run", "--allow", cli.home / "project", *words, "--", "/bin/sh", "-c", program,
               cwd=cli.home / "project", **how)
    lines = done.stderr.decode().split("The program ended", 1)
    return done, lines[1] if len(lines) > 1 else ""


def test_the_footer_tells_what_the_network_denied(cli):
    connect = "import socket; socket.create_connection(('127.0.0.1', 9))"
    done, lines = footer(cli, "--block-net", program=f'/usr/bin/python3 -c "{connect}"')
    assert done.status == 1 and "Permission denied" in done.stderr.decode()
    assert "with status 1." in lines and "connect 127.0.0.1:9" in lines
    assert "notified" in lines and "allow: --open-port 9" in lines


@pytest.mark.parametrize("program", [
    "cat missing; false", "chmod 000 f && cat f; false", "echo x > /proc/self/comm/x; false", "exit 3",
    "echo 'some: Permission denied'; false", "echo \"cat: '/etc/hosts': Permission denied\" >&2; false",
    "echo \"cat: '/does/not/exist': Permission denied\" >&2; false",
])
def test_the_footer_claims_nothing_that_is_allowed(cli, program):
    (cli.home / "project/f").write_text("x")
    for words in ([], ["--diagnose"]):
        done, lines = footer(cli, *words, program=program)
        assert done.status != 0 and "Probably" not in lines, (done, lines)
        assert str(cli.home / "project") not in lines and "/etc/hosts" not in lines, lines


def test_a_guess_is_called_one(cli):
    _, lines = footer(cli, program="cat ../.bashrc")
    assert "Probably denied" in lines and "inferred" in lines and "--bypass-protection" in lines
    assert "Denied by the sandbox" not in lines
    _, lines = footer(cli, program=": > ../made")
    assert f"write {cli.home} " in lines or f"read {cli.home} " in lines
    assert "/bin/sh" not in lines and "dash" not in lines


@pytest.mark.parametrize("program", [
    ["touch", "new"], ["mkdir", "new"], ["sh", "-c", ": > new"], ["bash", "-c", ": > new"],
    ["sh", "-c", "echo \"Can't open new: Permission denied at line 1.\" >&2; touch new"],
])
def test_a_guess_is_about_names_in_the_folder_of_the_program(cli, program):
    """As tools say them: in quotes of two kinds, and without any."""
    project = cli.home / "project"
    done = cli("enforce", "run", "--read", project, "--", *program, cwd=project)
    lines = done.stderr.decode().partition("Probably denied")[2]
    assert done.status != 0 and f"write {project}  [" in lines and f"allow: --write {project}\n" in lines, done


def test_a_name_in_a_folder_that_is_not_shared_asks_for_sharing_it(cli):
    done = cli("enforce", "run", "--", "ls", ".", cwd=cli.home / "project")
    assert done.status == 2 and "  read /  [" in done.stderr.decode() and "allow: --allow-cwd\n" in done.stderr.decode(), done
    assert cli("enforce", "run", "--allow-cwd", "--", "ls", ".", cwd=cli.home / "project").status == 0


@pytest.mark.parametrize("options, words", [([], []), (["--block-net"], ["The network is blocked."]),
                                            (["--allow-domain", "a.example"], ["HTTPS_PROXY"]), (["--diagnose"], [])])
def test_where_nothing_was_seen_it_says_where_to_look(cli, options, words):
    done, lines = footer(cli, *options, program="exit 3")
    assert "No denial was seen" in lines and ("--diagnose" in lines) == ("--diagnose" not in options), done
    assert ("network" in lines) == bool(words) and all(word in lines for word in words), done


def test_a_program_that_nobody_reads_any_more_needs_no_explanation(cli):
    """`enforce run -- yes | head -1`"""
    reading, writing = os.pipe()
    process = cli.start("enforce", "run", "--allow-cwd", "--", "yes", cwd=cli.home / "project", stdout=writing)
    os.close(writing)
    assert os.read(reading, 2) == b"y\n"
    os.close(reading)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGPIPE and b"The program ended" not in told, told


def test_a_program_that_was_not_started_has_one_reason(cli, outside):
    """Which file is not granted, and what would grant it: no words about what it did."""
    (outside / "tool").write_bytes(pathlib.Path("/bin/true").read_bytes())
    (cli.home / "project/script").write_text(f"#!{outside}/tool\n")
    for path in (outside / "tool", cli.home / "project/script"):
        path.chmod(0o755)
        done = cli("enforce", "run", "--allow-cwd", "--", path, cwd=cli.home / "project")
        lines = done.stderr.decode()
        assert done.status == 126 and "is not granted" in lines and f"add --read-file {outside}/tool" in lines, done
        assert "The program ended" not in lines and "No denial" not in lines, done
        assert cli("enforce", "run", "--allow-cwd", "--read-file", outside / "tool", "--", path, cwd=cli.home / "project").status == 0


def test_with_diagnose_files_are_exact(cli):
    _, lines = footer(cli, "--diagnose", program="exec 2>/dev/null; cat ../.bashrc missing; touch ../made; mkdir ../folder; false")
    assert f"read {cli.home}/.bashrc" in lines and "traced" in lines and "missing" not in lines
    assert f"write {cli.home} (2 times)" in lines and f"allow: --write {cli.home}" in lines


# Each changes the file that is open as FD (as a path only: BY_PATH) and is named FILE; each has a file of its own.
CHANGES = {
    "fchmod": "os.fchmod(fd, 0o600)",
    "fchown": "os.fchown(fd, -1, -1)",
    "futimens": "os.utime(fd)",
    "utimensat": "call(NUMBER['utimensat'], fd, None, None, 0)",
    "fsetxattr": "os.setxattr(fd, 'user.x', b'1')",
    "fremovexattr": "os.removexattr(fd, 'user.x')",
    "fchownat": "call(NUMBER['fchownat'], by_path, b'', -1, -1, AT_EMPTY_PATH)",
    "utimensat-empty": "call(NUMBER['utimensat'], by_path, b'', None, AT_EMPTY_PATH)",
    "fchmodat2": "call(452, by_path, b'', 0o600, AT_EMPTY_PATH)",
    "setxattrat": "call(463, fd, b'', AT_EMPTY_PATH, b'user.x', struct.pack('QII', ctypes.addressof(ONE), 1, 0), 16)",
    "removexattrat": "call(466, fd, None, AT_EMPTY_PATH, b'user.x')",
    "/proc/self/fd": "os.chmod(f'/proc/self/fd/{by_path}', 0o600)",
    "chmod": "os.chmod(file, 0o600)",
    "access": "if not os.access(file, os.W_OK): raise OSError(errno.EROFS, '')",
}
MADE = {"ok", "ENODATA", "ENOSYS", "EPERM", "EOPNOTSUPP"}  # what there is to say of a change that nobody forbids
CHANGE = """
import ctypes, errno, json, os, platform, struct, sys
AT_EMPTY_PATH, ONE = 0x1000, ctypes.c_char(b"1")
NUMBER = {"fchownat": 260, "utimensat": 280} if platform.machine() == "x86_64" else {"fchownat": 54, "utimensat": 88}
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    known = [a if a is None or isinstance(a, bytes) else ctypes.c_long(a) for a in arguments]
    if libc.syscall(ctypes.c_long(number), *known) < 0:
        raise OSError(ctypes.get_errno(), "")
def change(file, act):
    fd, by_path = os.open(file, os.O_RDONLY), os.open(file, os.O_PATH)
    try:
        exec(act, globals(), locals())
        return "ok"
    except OSError as e:
        return errno.errorcode[e.errno]
results = {file: change(file, act) for file, act in json.loads(sys.argv[1]).items()}
def test_why_answers_for_local_sockets(cli, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)

    def why(path, *options):
        return cli.ok("--json", "enforce", "why", "--unix-socket", path, *options, cwd=tmp_path).json
    answer = why("in/deep/s", "--block-net")
    assert (answer["status"], answer["reason"]) == ("denied", "path_not_granted")
    assert answer["suggested_flag"] == f"--allow-unix-socket {tmp_path}/in/deep/s"
    tree = ["--block-net", "--allow-unix-socket-subtree", "in"]
    assert why("in/deep/s", *tree)["status"] == "allowed"
    bind = why("in/deep/s", "--socket-op", "bind", *tree)
    assert bind["status"] == "denied" and bind["suggested_flag"].startswith("--allow-unix-socket-bind ")
    assert why("in/deep/s", "--socket-op", "bind", "--block-net", "--allow-unix-socket-subtree-bind",
               "in")["status"] == "allowed"
    assert why("in/deep/s", "--block-net", "--allow-unix-socket-dir", "in")["status"] == "denied"
    assert why("~/.gnupg/S.gpg-agent", "--block-net")["reason"] == "sensitive_path"
    for wrong in (["--unix-socket", "a", "--path", "b"], ["--unix-socket", "a", "--host", "b"], []):
        assert cli("enforce", "why", *wrong, cwd=tmp_path).status == 2, wrong


# None of these is a file that a grant could name, or that the mounts hold.
read, write = os.pipe()
os.fchmod(read, 0o600)
os.fchmod(os.memfd_create("x"), 0o600)
open("gone", "w").close()
fd = os.open("gone", os.O_RDONLY)
os.unlink("gone")
os.fchmod(fd, 0o600)
print(json.dumps(results))
sys.exit(3)
"""


@pytest.fixture
def outside(cli):
    """A folder that no group grants."""
    path = pathlib.Path("/var/tmp") / f"nt-explain-{uuid.uuid4().hex}"
    path.mkdir()
    yield path
    shutil.rmtree(path)


def is_readonly(cli, outside):
    report = cli.ok("enforce", "run", "--dry-run", "--json", "--allow", outside, "--", "true").json
    return {row["act"]: row["layer"] for row in report["enforcement"]}["change modes, times and attributes outside"] == "mount"


def changes(cli, outside, *words):
    """What the program was told, by call, and what was noted of its files."""
    files = {str(outside / name.replace("/", "-")): act for name, act in CHANGES.items()}
    for file in files:
        pathlib.Path(file).write_text("x")
    done = cli("enforce", "run", "--json", "--diagnose", "--allow", cli.home / "project", *words, "--", "/usr/bin/python3", "-c",
               CHANGE, json.dumps(files), cwd=cli.home / "project")
    assert done.status == 3, done
    noted = [d for d in json.loads(done.stderr.splitlines()[-1])["denials"] if d["target"].startswith(str(outside))]
    return files, json.loads(done.stdout), noted


def test_with_diagnose_changes_of_open_files_are_exact(cli, outside):
    if not is_readonly(cli, outside):
        pytest.skip("no mount namespace can be made here")
    files, results, noted = changes(cli, outside, "--read", outside)
    assert set(results.values()) <= {"EROFS", "ENOSYS", "EPERM"}, results  # the newest are not known everywhere
    known = {file for file in files if results[file] == "EROFS"}
    assert len(known) >= 11 and known <= {d["target"] for d in noted} <= set(files)
    for denial in noted:
        assert denial == {"act": "write", "target": denial["target"], "layer": "mount", "source": "traced", "rule": denial["rule"],
                          "grant": f"--write-file {denial['target']}", "count": 1}
    # What is suggested is enough, and then nothing is noted of it.
    some = list(files)[::2]
    _, results, noted = changes(cli, outside, "--read", outside, *[word for file in some for word in ("--write-file", file)])
    assert {results[file] for file in some} <= MADE
    assert known - set(some) <= {d["target"] for d in noted} <= set(files) - set(some)


def test_with_diagnose_changes_that_are_granted_are_not_told(cli, outside):
    _, results, noted = changes(cli, outside, "--allow", outside)
    assert noted == [] and set(results.values()) <= MADE, (results, noted)


def test_a_script_needs_what_runs_it(cli, outside):
    (outside / "sh").write_bytes(pathlib.Path("/bin/sh").read_bytes())
    (outside / "sh").chmod(0o755)
    script = cli.home / "project/script"
    script.write_text(f"#!{outside}/sh\nexit 0\n")
    script.chmod(0o755)
    done, lines = footer(cli, "--diagnose", program="./script")
    assert done.status == 126 and f"read {outside}/sh" in lines and f"allow: --read-file {outside}/sh" in lines, lines
    assert footer(cli, "--read-file", outside / "sh", program="./script")[0].status == 0


def test_a_program_needs_its_loader(cli):
    """The kernel opens it by itself; by a path of the program's choosing, from its working folder."""
    true = pathlib.Path("/bin/true").read_bytes()
    [loader] = set(re.findall(rb"/lib[^\0]*/ld[^\0]*\0", true))
    program = cli.home / "project/program"
    program.write_bytes(true.replace(loader, b"../ld".ljust(len(loader), b"\0")))
    (cli.home / "ld").write_bytes(pathlib.Path(os.fsdecode(loader[:-1])).read_bytes())
    (cli.home / "project/script").write_text("#!./inner\n")
    (cli.home / "project/inner").write_text("#! ./program\n")
    for name in ("ld", "project/program", "project/script", "project/inner"):
        (cli.home / name).chmod(0o755)
    for words in ("./program", "./script"):
        done, lines = footer(cli, "--diagnose", program=words)
        assert done.status == 126 and f"read {cli.home}/ld" in lines and f"allow: --read-file {cli.home}/ld" in lines, lines
        assert f"{cli.home}/project" not in lines, lines
        assert footer(cli, "--read-file", cli.home / "ld", program=words)[0].status == 0
    if can_trace():
        assert "~/ld" in learn(cli, "--", "./script")["filesystem"]["read_file"]
    # A loader that is not there is nobody's denial.
    (cli.home / "ld").unlink()
    done, lines = footer(cli, "--diagnose", program="./program")
    assert done.status == 127 and "/ld" not in lines, lines


ACTS = """
import ctypes, errno, fcntl, json, os, struct, sys
def told(act, *arguments):
    try:
        act(*arguments)
        return "ok"
    except OSError as e:
        return errno.errorcode[e.errno]
def raw_ioctl(number, request, argument):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(RAW_IOCTL), ctypes.c_long(number), ctypes.c_long(request), argument) < 0:
        raise OSError(ctypes.get_errno(), "")
RAW_IOCTL = 16 if os.uname().machine == "x86_64" else 29
"""


def acts(cli, program, *words, diagnose=True, **how):
    """What the program was told by each act, and what was noted that is about more than the system's own files."""
    done = cli("enforce", "run", "--json", *(["--diagnose"] if diagnose else []), "--allow", cli.home / "project", *words, "--",
               "/usr/bin/python3", "-c", f"{ACTS}\nprint(json.dumps({program}))\nsys.exit(3)", cwd=cli.home / "project", **how)
    assert done.status == 3, done
    return json.loads(done.stdout), [d for d in json.loads(done.stderr.splitlines()[-1])["denials"] if not d["target"].startswith("/etc/")]


def test_with_diagnose_devices_that_may_not_be_driven_are_told(cli):
    """A device that may only be read is no terminal either, but that is nobody's fault."""
    program = ("[told(fcntl.ioctl, os.open('/dev/urandom', os.O_RDONLY), request, b'0000') for request in (0x80045200, 0x5401)]"
               " + [told(fcntl.ioctl, os.open('/dev/null', os.O_RDONLY), 0x5401, b'0' * 64),"
               " told(fcntl.ioctl, 0, 0x80045200, b'0000'), told(os.set_blocking, os.open('/dev/urandom', os.O_RDONLY), False)]")
    if not is_readonly(cli, cli.home / "project"):
        pytest.skip("no mount namespace can be made here")
    with open("/dev/urandom", "rb") as ours:
        results, noted = acts(cli, program, stdin=ours)
        if results[0] != "EACCES":
            pytest.skip("this kernel lets all devices be driven")
        assert results == ["EACCES", "EACCES", "ENOTTY", "ok", "ok"]
        assert [(d["act"], d["target"], d["layer"], d["source"], d["count"]) for d in noted] \
            == [("ioctl", "/dev/urandom", "landlock", "traced", 1)], noted
        flag, path = shlex.split(noted[0]["grant"])
        results, noted = acts(cli, program, flag, path, stdin=ours)
    assert results[0] == "ok" and noted == []


def test_with_diagnose_what_is_refused_to_everybody_stays_refused(cli):
    """The rules of a diagnosis come before the others in the filter."""
    program = "[told(raw_ioctl, 1, request + high, b'x') for request in (0x5412, 0x541c) for high in (0, 1 << 32, 1 << 63)]"
    results, noted = acts(cli, program)
    assert results == ["EPERM"] * 6 and noted == []


def test_with_diagnose_attributes_of_read_only_files_are_told(cli, outside):
    if not is_readonly(cli, outside):
        pytest.skip("no mount namespace can be made here")
    for name in ("a", "b"):
        (outside / name).write_text("x")
    program = ("[told(raw_ioctl, os.open(path, os.O_RDONLY), 0x40086602, flags)"
               f" for path in ({str(outside / 'a')!r}, {str(outside)!r}, 'f') for flags in (struct.pack('i', 0x80), None)]")
    (cli.home / "project/f").write_text("x")
    results, noted = acts(cli, program, "--read", outside)
    if results[0] != "EROFS":
        pytest.skip("no attributes on this file system")
    assert results[1::2] == ["EFAULT"] * 3 and results[2] == "EROFS" and results[4] == "ok"
    assert [(d["act"], d["target"], d["layer"], d["grant"], d["count"]) for d in noted] == [
        ("write", str(outside / "a"), "mount", f"--write-file {outside}/a", 1),
        ("write", str(outside), "mount", f"--write {outside}", 1)]
    results, noted = acts(cli, program, "--allow", outside)
    assert results[0] == results[2] == "ok" and noted == []


def apart(cli, outside, *words, **how):
    for name in ("a", "b"):
        shutil.rmtree(outside / name, ignore_errors=True)
        (outside / name).mkdir()
        (outside / name / "f").write_text("x")
    program = (f"[told(act, {str(outside)!r} + one, {str(outside)!r} + other) for act, one, other in"
               " ((os.rename, '/a/f', '/b/g'), (os.link, '/b/f', '/a/h'), (os.rename, '/a/missing', '/b/x'), (os.link, '/b/f', '/a/h'))]")
    return acts(cli, program, *words, **how)


def test_with_diagnose_what_was_granted_apart_is_told(cli, outside):
    """Neither folder was denied: so none is said to be."""
    if not is_readonly(cli, outside):
        pytest.skip("no mount namespace can be made here")
    words = ["--allow", outside / "a", "--allow", outside / "b"]
    (outside / "a").mkdir(), (outside / "b").mkdir()
    results, noted = apart(cli, outside, *words)
    assert results == ["EXDEV"] * 4
    expected = {"layer": "mount", "source": "traced", "rule": "granted apart: grant the folder that holds both",
                "grant": f"--allow {outside}"}
    assert noted == [{"act": "rename", "target": f"{outside}/a -> {outside}/b", "count": 1} | expected,
                     {"act": "link", "target": f"{outside}/b -> {outside}/a", "count": 2} | expected]
    assert apart(cli, outside, *words, diagnose=False) == (results, [])
    results, noted = apart(cli, outside, *words, "--allow", outside)
    assert results == ["ok", "ok", "ENOENT", "EEXIST"] and noted == []


def test_with_diagnose_nothing_is_granted_apart_that_lies_apart_or_may_not_be_changed(cli, outside):
    elsewhere = pathlib.Path("/dev/shm") / outside.name
    elsewhere.mkdir()
    try:
        if elsewhere.stat().st_dev == outside.stat().st_dev:
            pytest.skip("there is but one file system")
        (outside / "f").write_text("x")
        program = f"[told(os.rename, {str(outside / 'f')!r}, {str(elsewhere / 'f')!r})]"
        assert acts(cli, program, "--allow", outside, "--allow", elsewhere) == (["EXDEV"], [])
    finally:
        elsewhere.rmdir()
    for name in ("a", "b"):
        (outside / name).mkdir()
    (outside / "a/f").write_text("x")
    (outside / "b").chmod(0o555)
    program = f"[told(os.rename, {str(outside / 'a/f')!r}, {str(outside / 'b/f')!r})]"
    assert acts(cli, program, "--allow", outside / "a", "--allow", outside / "b")[1] == [] or os.geteuid() == 0


def test_with_diagnose_what_would_gain_rights_by_its_place_is_told(cli, outside):
    (outside / "open").mkdir()
    (outside / "f").write_text("x")
    program = f"[told(os.rename, {str(outside / 'f')!r}, {str(outside / 'open/f')!r})]"
    results, noted = acts(cli, program, "--write", outside, "--allow", outside / "open")
    assert results == ["EXDEV"]
    assert [(d["act"], d["target"], d["layer"], d["grant"]) for d in noted] == [
        ("rename", f"{outside} -> {outside}/open", "landlock", f"--allow {outside}")]
    results, noted = acts(cli, program, "--allow", outside, "--allow", outside / "open")
    assert results == ["ok"] and noted == []


@pytest.mark.parametrize("words", [["-s"], ["--no-diagnostics"]])
def test_the_footer_can_be_switched_off(cli, words):
    _, lines = footer(cli, *words, "--allow-cwd", program="cat ../.bashrc")
    assert lines == ""


def test_with_json_the_denials_are_one_line(cli):
    done, _ = footer(cli, "--json", "--block-net", program="exec 2>/dev/null; bash -c 'exec 3<>/dev/tcp/127.0.0.1/9'")
    report = json.loads(done.stderr.splitlines()[-1])
    assert report["status"] == done.status == 1
    [denial] = [d for d in report["denials"] if d["act"] == "connect"]
    assert (denial["target"], denial["source"], denial["grant"]) == ("127.0.0.1:9", "notified", "--open-port 9")


def test_names_of_the_program_are_no_orders_to_the_terminal(cli):
    odd = cli.home / "x\x1b]0;owned\x07"
    odd.write_text("x")
    done, lines = footer(cli, "--diagnose", program=f"cat '../{odd.name}' 2>/dev/null; false")
    assert "owned" in lines and "\x1b" not in done.stderr.decode() and "\x07" not in done.stderr.decode()


def test_stderr_arrives_whole_and_in_order(cli):
    program = "i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done; false"
    done, _ = footer(cli, program=program)
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("line ")]
    assert lines == [f"line {i}" for i in range(3000)]


# --- setup and colours -----------------------------------------------------------------------


def test_setup_says_what_this_machine_can_do(cli):
    report = cli.ok("enforce", "setup", "--check-only", "--profiles", "--json").json
    assert report["usable"] is True and report["landlock"] >= 1 and report["profiles"] == []
    assert {check["available"] for check in report["checks"] if check["required"]} == {True}
    assert all(check["available"] or check["remedy"] for check in report["checks"])
    assert not (cli.home / ".config").exists()
    text = cli.ok("enforce", "setup", "--shell-integration").text
    assert all(f"[{i}/4]" in text for i in range(1, 5)) and "alias " in text
    built_in = {row["name"] for row in cli.ok("--json", "enforce", "profile", "list").json if row["source"] == "built-in"}
    assert built_in <= set(re.findall(r"[\w-]+", text.partition("[4/4]")[2]))
    assert "~/.ssh" not in text and "    ~/.ssh  " in cli.ok("enforce", "setup", "-v").text


def test_the_lines_for_a_shell_name_the_program_that_was_called(cli, tmp_path):
    (tmp_path / "nono").symlink_to(cli.program)
    for program, alias, tool in ((cli.program, "nanoterm enforce", "nanoterm"), (tmp_path / "nono", "nono", "nono")):
        words = ["enforce", "setup"] if alias != "nono" else ["setup"]
        done = subprocess.run([program, *words, "--shell-integration"], env=cli.env, capture_output=True, text=True, timeout=60)
        assert f"'{alias} run " in done.stdout and f"$({tool} completion bash)" in done.stdout, done


def test_setup_writes_profiles_that_work_and_are_kept(cli):
    files = cli.ok("enforce", "setup", "--profiles", "--json").json["profiles"]
    assert len(files) == 3
    for file in files:
        cli.ok("enforce", "profile", "validate", file)
    cli.ok("enforce", "run", "-s", "--allow-cwd", "--profile", "offline-build", "--", "true", cwd=cli.home / "project")
    with open(files[0], "a") as file:
        file.write("// mine\n")
    cli.ok("enforce", "setup", "--profiles")
    with open(files[0]) as file:
        assert file.read().endswith("// mine\n")


def told(cli, *words, **env):
    terminal = pexpect.spawn(cli.program, ["enforce", "run", *words, "--allow-cwd", "--", "true"], cwd=cli.home / "project",
                             env=cli.env | {"TERM": "xterm"} | env, timeout=60)
    terminal.expect(pexpect.EOF)
    terminal.close()
    return terminal.before.decode()


def test_themes_change_colours_and_never_the_text(cli, tmp_path):
    plain = told(cli, NO_COLOR="1")
    assert "\x1b" not in plain and plain.startswith("Sandbox:") and told(cli, "--no-color") == plain
    seen = {name: told(cli, "--theme", name) for name in ("mocha", "latte", "frappe", "macchiato", "tokyo-night", "minimal")}
    assert len(set(seen.values())) == 6 and {re.sub(r"\x1b\[[0-9;]*m", "", text) for text in seen.values()} == {plain}
    assert told(cli) == told(cli, "--theme", "nonsense") == seen["mocha"] and told(cli, TERM="dumb") == plain
    settings = cli.home / ".config/nono/config.toml"
    settings.parent.mkdir(parents=True)
    for text in ("[ui]\ntheme = \"latte\"\n", "# x\n[other]\ntheme = 'mocha'\n[ui] # y\n  theme = 'latte' # z\n", "ui.theme='latte'\n"):
        settings.write_text(text)
        assert told(cli) == seen["latte"] and told(cli, "--theme", "frappe") == seen["frappe"], text
    settings.unlink()
    os.mkfifo(settings)
    assert told(cli) == seen["mocha"]
