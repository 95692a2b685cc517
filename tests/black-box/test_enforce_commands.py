# SPDX-License-Identifier: Apache-2.0
"""command_policies of a profile: commands that a program starts and that run in sandboxes of their own; who may start them, with
which words, what they get, and what a hostile program can make of it."""
import hashlib
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import threading

import pexpect
import pytest

from conftest import BIN, wait_until, with_mark

# What a stand-in says, said by hand.
BY_HAND = """
import os, socket, struct, sys
def ask(file, words, variables=(), folder="/", magic=0x31646d63, counts=None, size=None, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_UNIX, kind)
    s.connect(b"\\0nanoterm.command")
    texts = b"".join(os.fsencode(text) + b"\\0" for text in (file, folder, *words, *variables))
    counts = counts or (len(words), len(variables))
    s.sendall(struct.pack("6I", magic, len(texts) if size is None else size, *counts, 0, 0) + texts)
    return s
def take(s, size):
    got = b""
    while len(got) < size:
        part = s.recv(size - len(got))
        if not part:
            return None
        got += part
    return got
said = {4: b"", 5: b""}
def end(s):
    while got := take(s, 8):
        kind, value = struct.unpack("2I", got)
        if kind < 2:
            return kind, value
        if kind in said:
            said[kind] += take(s, value)
"""


def found(name):
    return os.path.realpath(shutil.which(name, path="/usr/bin:/bin"))


class Stage:
    """A home with a project, a file that the program may not read, and a profile with commands."""

    def __init__(self, cli):
        self.cli = cli
        self.env = {**cli.env, "PATH": "/usr/local/bin:/usr/bin:/bin"}
        self.project = cli.home / "project"
        self.project.mkdir()
        self.secret = cli.home / "secret"
        self.secret.write_text("the secret\n")

    def profile(self, name="commands", **content):
        path = self.cli.home / f".config/nono/profiles/{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"meta": {"name": name}, "workdir": {"access": "readwrite"}, **content}))
        return path

    def commands(self, rest=None, policies=None, **commands):
        return self.profile(command_policies={"commands": commands, **(policies or {})}, **(rest or {}))

    def words(self, *program, options=(), command="run"):
        return ["enforce", command, "--allow-cwd", "--profile", "commands", *options, "--", *program]

    def run(self, *program, options=(), command="run", first=(), **how):
        how.setdefault("env", self.env)
        return self.cli(*first, *self.words(*program, options=options, command=command), cwd=self.project, **how)

    def sh(self, script, *words, **how):
        return self.run("sh", "-c", script, "sh", *words, **how)

    def python(self, script, *words, **how):
        return self.run("/usr/bin/python3", "-c", BY_HAND + script, *words, **how)

    def start(self, *program, **how):
        return self.cli.start(*self.words(*program), cwd=self.project, env=self.env, **how)

    def reader(self):
        return {"sandbox": {"fs_read_file": [str(self.secret)], "fs_read": ["."]}}


@pytest.fixture
def stage(fresh):
    return Stage(fresh())


def new_mark():
    return f"{random.randrange(10**9, 10**10)}"


# --- what it may -----------------------------------------------------------------------------------------------------

def test_it_may_what_the_program_may_not_and_the_other_way_round(stage):
    (stage.project / "mine").write_text("mine\n")
    stage.commands(cat={"sandbox": {"fs_read_file": [str(stage.secret)]}})
    secret = str(stage.secret)
    assert stage.sh('cat "$1"', secret).stdout == b"the secret\n"
    assert stage.sh('/usr/bin/cat < /dev/null; "$(readlink -f /usr/bin/cat)" "$1"', secret).stdout == b"the secret\n"
    done = stage.sh('head -1 "$1"', secret)
    assert done.stdout == b"" and b"ermission denied" in done.stderr
    done = stage.sh('cat "$PWD/mine"; head -1 mine')  # the project is the program's
    assert done.stdout == b"mine\n" and b"ermission denied" in done.stderr


def test_it_works_where_the_program_does_when_it_may_read_there(stage):
    folder = stage.project / "folder"
    folder.mkdir()
    stage.commands(pwd={"sandbox": {"fs_read": ["."]}}, readlink={"sandbox": {}})
    assert stage.sh("/usr/bin/pwd; cd folder; /usr/bin/pwd; cd /tmp; /usr/bin/pwd; /usr/bin/readlink /proc/self/cwd").stdout \
        == f"{stage.project}\n{folder}\n/\n/\n".encode()


def test_input_output_and_status(stage):
    stage.commands(bash={"sandbox": {}})
    done = stage.sh("bash -c 'read x; echo out $x; echo err >&2; exit 7'; echo $?", input=b"in\n")
    assert done.stdout == b"out in\n7\n" and b"err\n" in done.stderr
    assert stage.sh("bash -c 'kill -TERM $$'; echo $?").stdout == b"143\n"
    assert stage.run("bash", "-c", "exit 9").status == 9  # also the program itself
    status = stage.python("import subprocess; print(subprocess.run(['bash', '-c', 'kill -KILL $$']).returncode)")
    assert status.stdout == b"-9\n"
    assert stage.sh("bash -c 'exit 3' <&- >&- 2>&-; echo $?").stdout == b"3\n"


def test_a_file_as_input_can_be_opened_again(stage):
    (stage.project / "mine").write_text("mine\n")
    stage.commands(cat={"sandbox": {}})
    assert stage.sh("cat /dev/stdin < mine; cat mine").stdout == b"mine\n"


def test_much_goes_through(stage):
    stage.commands(wc={"sandbox": {}}, seq={"sandbox": {}})
    assert stage.sh("head -c 5000000 /dev/zero | wc -c; seq 1 200000 | tail -1").stdout.split() == [b"5000000", b"200000"]


def test_many_at_once(stage):
    stage.commands(echo={"sandbox": {}})
    done = stage.sh("for i in $(seq 1 20); do /usr/bin/echo $i & done; wait", timeout=240)
    assert sorted(map(int, done.stdout.split())) == list(range(1, 21))


def test_words_are_put_in_front(stage):
    stage.commands(echo={"sandbox": {"argv_prepend": ["-n", "first", "", "first"]}})
    assert stage.sh("/usr/bin/echo 'a  b' '' c").stdout == b"first  first a  b  c"


def test_what_it_is_told(stage):
    sandbox = {"environment": {"allow_vars": ["MINE", "MY_*", "PREFIX*"], "set_vars": {"HERE": "$HOME/x", "BOTH": "profile"}}}
    stage.commands(env={"sandbox": sandbox}, policies={"session_export_env": ["SESSION_*", "*"]})
    script = ("MINE=1 MY_A=2 OTHER=3 SESSION_X=4 BOTH=x PATH=/evil:$PATH HOME=/evil LD_PRELOAD=/evil.so XDG_CONFIG_HOME=/evil BASH_ENV=/evil "
              "NONO_X=/evil NANOTERM_API_KEY=/evil GIT_X=1 /usr/bin/env -0")
    got = dict(entry.split("=", 1) for entry in stage.sh(script).text.split("\0") if "=" in entry)
    assert got["MINE"] == "1" and got["MY_A"] == "2" and got["SESSION_X"] == "4" and got["OTHER"] == "3"
    assert got["HERE"] == f"{stage.cli.home}/x" and got["BOTH"] == "profile"
    assert got["PATH"] == stage.env["PATH"] and got["HOME"] == str(stage.cli.home)
    assert "/evil" not in " ".join(got.values())
    stage.commands(env={"sandbox": {"environment": {"allow_vars": ["MINE"]}}})
    got = stage.sh("MINE=1 OTHER=2 /usr/bin/env").text
    assert "MINE=1" in got and "OTHER" not in got


def test_its_network_is_its_own(stage):
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    script = f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected"
    stage.commands(bash={"sandbox": {}})
    assert b"connected" not in stage.sh(f"bash -c '{script}'").stdout
    stage.commands(bash={"sandbox": {"network": {"allow_all": True}}}, rest={"network": {"block": True}})
    assert b"connected" in stage.sh(f"bash -c '{script}'").stdout
    stage.commands(bash={"sandbox": {"network": {"allow_all": True}}}, rest={"network": {"deny_domain": ["127.0.0.1"]}})
    assert b"connected" not in stage.sh(f"bash -c '{script}'").stdout  # what nobody of the session shall reach
    listener.close()


# --- who may start it ------------------------------------------------------------------------------------------------

def test_denied_to_the_session(stage):
    stage.commands(id={"from": {"session": "deny"}}, uname={}, whoami={"from": {"id": {"sandbox": {}}}})
    for program in ("id", "/usr/bin/id", "uname", "whoami"):
        done = stage.sh(f"{program}; echo $?")
        assert done.stdout == b"126\n" and b"command policy denied" in done.stderr, program
    assert stage.run("id").status == 126


def test_a_copy_and_a_link_lead_to_the_same(stage):
    stage.commands(id={"from": {"session": "deny"}}, cat={"sandbox": {"fs_read_file": [str(stage.secret)]}})
    done = stage.sh('cp /usr/bin/id ./mine; ./mine; echo $?; ln -s /usr/bin/id ./link; ./link; echo $?; '
                    'ln /usr/bin/id ./hard 2>&1 >/dev/null || echo no link; cp /proc/self/exe /dev/null; exec -a cat /usr/bin/id || true')
    assert b"uid=" not in done.stdout and done.stdout.startswith(b"126\n126\n")
    assert b"uid=" not in stage.sh("dd if=/usr/bin/id of=x status=none; chmod 755 x; ./x").stdout
    done = stage.python("import os; os.execv('/usr/bin/id', ['cat', '/etc/passwd'])")
    assert done.status == 126 and done.stdout == b""
    # Only what is its own is reached by the stand-in of another.
    assert stage.python("import os, sys; os.execv('/usr/bin/cat', ['id', sys.argv[1]])", str(stage.secret)).stdout == b"the secret\n"


def test_who_calls_whom(stage):
    stage.commands(
        bash={"sandbox": {}, "can_use": ["cat", "uname"], "export_env": ["FOR_CAT"]},
        cat={"from": {"session": "deny", "bash": {"fs_read_file": [str(stage.secret)], "environment": {"allow_vars": ["MORE"]}}}},
        uname={"sandbox": {}}, id={"from": {"bash": {"sandbox": {}}}, "sandbox": {}},
        env={"from": {"cat": {"sandbox": {}}}})
    secret = str(stage.secret)
    assert stage.sh('bash -c "cat $1"', secret).stdout == b"the secret\n"
    done = stage.sh('cat "$1"; echo $?; bash -c "uname; id; bash -c \'echo self\'; head -1 $1"', secret)
    assert done.stdout == b"126\nself\n"  # no fallback from a caller to the session; can_use and from are both needed
    assert b"policy denied cat: its profile denies it (command_policies.commands.cat.from.session is \"deny\")" in done.stderr
    assert b"policy denied id: whoever starts it may not use it (command_policies.commands.bash.can_use does not name it)" in done.stderr
    done = stage.sh("env")
    assert b"neither a sandbox nor a from for its caller (command_policies.commands.env.from.session is missing)" in done.stderr


def test_words_and_variables_are_judged(stage):
    stage.commands(echo={"from": {"session": {"sandbox": {"environment": {"allow_vars": ["MODE"]}}, "invocation_policy": {
        "deny": [{"argv": {"contains": ["b", "c"]}, "reason": "never b and c"}, {"env": {"MODE": {"one_of": ["bad", "worse"]}}}],
        "allow": [{"argv": {"prefix": ["a"]}}, {"argv": {"exact": ["only"]}}, {"argv": {"exact": ["m"]}, "env": {"MODE": {"equals": "good"}}}]}}}})
    for words, is_good in (("a", True), ("a b", True), ("a b c", False), ("b", False), ("only", True), ("only x", False), ("", False),
                           ("a x b c y", False), ("a b x c", True), ("m", False)):
        done = stage.sh(f"/usr/bin/echo {words}; echo $?")
        assert (done.stdout == f"{words}\n0\n".encode()) == is_good, words
        assert is_good or done.stdout == b"126\n"
    assert b"never b and c" in stage.sh("/usr/bin/echo a b c").stderr
    assert stage.sh("MODE=good /usr/bin/echo m").stdout == b"m\n"
    assert stage.sh("MODE=bad /usr/bin/echo a; echo $?").stdout == b"126\n"
    stage.commands(echo={"from": {"session": {"sandbox": {}, "invocation_policy": {"default": "allow", "deny": [{"argv": {"prefix": ["x"]}}]}}}})
    assert stage.sh("/usr/bin/echo y; /usr/bin/echo x; echo $?").stdout == b"y\n126\n"
    stage.commands(echo={"from": {"session": {"sandbox": {}, "invocation_policy": {}}}})  # as nono: deny is the default
    assert stage.sh("/usr/bin/echo y; echo $?").stdout == b"126\n"
    stage.commands(echo={"from": {"session": {"sandbox": {}, "invocation_policy": {"allow": [{"argv": {"exact": ["a", "", "a"]}}]}}}})
    assert stage.sh("/usr/bin/echo a; /usr/bin/echo a '' a; /usr/bin/echo a a").stdout == b"a  a\n"  # each word as often as it is there


def test_what_was_refused_to_commands_is_told(stage):
    """In the session's report, with the command's name, and what of the profile would allow it."""
    other = stage.cli.home / "other"
    other.write_text("other\n")
    port = socket.create_server(("127.0.0.1", 0)).getsockname()[1]
    stage.commands(cat={"sandbox": {}}, id={"from": {"session": "deny"}},
                   bash={"sandbox": {}, "can_use": ["wc"]}, wc={"from": {"bash": {"sandbox": {}}}},
                   uname={"from": {"session": {"sandbox": {}, "invocation_policy": {"deny": [{"argv": {"exact": ["-a"]}, "reason": "why not"}]}}}})
    script = f'cat "$1"; cat "$1"; cat "$2"; id; id; uname -a; bash -c "wc $2; echo > /dev/tcp/127.0.0.1/{port}; exit 3"; exit 4'
    words = ("sh", "-c", script, "sh", str(other), str(stage.secret))
    done = stage.run(*words, first=["--json"], timeout=120)
    assert done.status == 4
    rows = json.loads([line for line in done.stderr.decode().splitlines() if '"denials"' in line][-1])["denials"]
    found_rows = {(row.get("command"), row["act"], row["target"]): row for row in rows}
    reads = "command_policies.commands.cat.sandbox"
    row = found_rows["cat", "read", str(other)]
    assert row["count"] == 2 and row["source"] in ("inferred", "kernel") and row["grant"].endswith(reads) and row["grant"].startswith("fs_read"), row
    assert found_rows["cat", "read", str(stage.secret)]["count"] == 1
    row = found_rows[None, "start", "id"]
    assert row["count"] == 2 and row["source"] == "notified" and row["rule"] == 'command_policies.commands.id.from.session is "deny"', row
    assert found_rows[None, "start", "uname"]["rule"] == "command_policies.commands.uname.from.session.invocation_policy.deny[0]"
    assert found_rows["wc", "read", str(stage.secret)]["grant"].endswith("command_policies.commands.wc.from.bash")
    assert found_rows["bash", "connect", f"127.0.0.1:{port}"]["source"] == "notified"
    assert (None, "read", str(other)) not in found_rows  # the words are those of cat
    footer = stage.run(*words, timeout=120).stderr.decode()
    assert f"cat: read {other} (2 times)" in footer and "start id (2 times)" in footer and f"wc: read {stage.secret}" in footer, footer
    quiet = stage.run(*words, options=["--no-diagnostics"], timeout=120).stderr.decode()
    assert "2 times" not in quiet


def test_intercepts(stage):
    stage.commands(cat={"sandbox": {"fs_read_file": [str(stage.secret)]}, "intercept": [
        {"args": ["--help"], "action": {"type": "respond", "stdout": "no help\n"}},
        {"match": {"argv": {"prefix": ["pass"]}}, "action": {"type": "passthrough"}},
        {"args": ["count"], "action": {"type": "exec", "command": ["/usr/bin/wc", "-l", str(stage.secret)]}},
        {"args": [], "action": {"type": "respond", "stdout": "rest\n" * 30000}}]})
    assert stage.sh("cat a --help b; echo $?").stdout == b"no help\n0\n"
    assert b"pass: No such file" in stage.sh("cat pass").stderr
    assert stage.sh("cat count 2>/dev/null").stdout.split()[:2] == [b"1", str(stage.secret).encode()]
    assert stage.sh("cat | wc -c", input=b"x").stdout == b"150000\n"


# --- credentials -----------------------------------------------------------------------------------------------------

def test_a_file_and_a_socket_that_only_it_has(stage):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(stage.cli.home / "agent.sock"))
    server.listen()
    credentials = {"key": {"type": "raw-file", "path": "~/secret", "env_var": "KEY_FILE"},
                   "agent": {"type": "local-socket", "path": "$HOME/agent.sock", "env_var": "AGENT", "mode": "connect"}}
    script = "import os, socket; print(open(os.environ['KEY_FILE']).read()); socket.socket(socket.AF_UNIX).connect(os.environ['AGENT']); print('in')"
    name = os.path.basename(found("python3"))
    stage.commands(policies={"credentials": credentials}, **{name: {"sandbox": {"credentials": ["key", {"name": "agent"}]}}})
    done = stage.run(found("python3"), "-c", script)
    assert done.stdout == b"the secret\n\nin\n", done
    done = stage.sh('env; head -1 "$HOME/secret"')
    assert b"KEY_FILE" not in done.stdout and b"the secret" not in done.stdout
    server.close()
    stage.commands(policies={"credentials": credentials}, bash={"sandbox": {}, "can_use": ["cat"]},
                   cat={"from": {"bash": {"use_credentials": ["key"]}}})
    assert b"allow_raw_file" in stage.run("true").stderr


def test_a_credential_that_only_its_proxy_has(stage):
    """The command has a token of its own proxy; neither it nor the program has the secret, and the program has no way there."""
    class Upstream(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.headers.get("Authorization", "nothing").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        port = server.server_port
        script = ("import os, urllib.request as r; print('THE_KEY' in os.environ, r.urlopen(r.Request(os.environ['API_BASE_URL'] + '/x', "
                  "headers={'Authorization': 'Bearer ' + os.environ['API_TOKEN']}), timeout=60).read().decode())")
        python = found("python3")
        stage.commands(rest={"network": {"block": True}}, policies={"credentials": {"api": {
            "type": "proxy", "upstream": f"http://127.0.0.1:{port}", "credential_key": "env://THE_KEY", "env_var": "API_TOKEN"}}},
            **{os.path.basename(python): {"sandbox": {"network": {"allow_domain": ["127.0.0.1"]}, "credentials": ["api"],
                                                     "environment": {"allow_vars": ["*"]}}}})
        done = stage.sh('env; "$1" -c "$2"; exec 3<>/dev/tcp/127.0.0.1/"$3"', python, script, str(port),
                        env={**stage.env, "THE_KEY": "the key"}, timeout=120)
        assert done.text.endswith("False Bearer the key\n") and "THE_KEY" not in done.text and "API_TOKEN" not in done.text, done
    finally:
        server.shutdown()
        server.server_close()


# --- attacks ---------------------------------------------------------------------------------------------------------

def test_a_request_by_hand_is_judged_like_any_other(stage):
    cat, ident, wc = found("cat"), found("id"), found("wc")
    stage.commands(cat={"from": {"session": {"sandbox": {"fs_read_file": [str(stage.secret)]}, "invocation_policy": {
        "allow": [{"argv": {"exact": ["--version"]}}]}}}}, id={"from": {"session": "deny"}})
    done = stage.python(f"""
print(end(ask({cat!r}, ["--version"])), flush=True)
for file, words in (({cat!r}, [sys.argv[1]]), ({ident!r}, []), ({wc!r}, [sys.argv[1]]), ("cat", ["--version"]), ("../cat", ["--version"]),
                    ({cat!r} + "/", ["--version"]), ("/usr/bin/../bin/cat", ["--version"]), ("", []), ("/", []), ("session", [])):
    print(end(ask(file, words)), flush=True)
""", str(stage.secret))
    lines = [line for line in done.text.splitlines() if line.startswith("(")]
    assert lines == ["(0, 0)"] + ["(0, 126)"] * 10 and b"the secret" not in done.stdout


def test_a_variable_that_is_said_twice(stage):
    """The one that is judged is the one that it gets."""
    stage.commands(env={"from": {"session": {"sandbox": {"environment": {"allow_vars": ["MODE"]}}, "invocation_policy": {
        "allow": [{"env": {"MODE": {"equals": "good"}}}]}}}})
    done = stage.python(f"""
for modes in (["good"], ["bad"], ["good", "bad"], ["bad", "good"], ["good", "bad", "bad"]):
    print(end(ask({found("env")!r}, [], ["MODE=" + mode for mode in modes]))[1], flush=True)
""")
    assert [line for line in done.text.splitlines() if line.isdigit()] == ["0", "126", "126", "0", "126"]
    assert b"MODE=bad" not in done.stdout and done.stdout.count(b"MODE=good") == 2


def test_nobody_outside_waits_for_a_reader(stage):
    """A program that reads neither its own standard error nor what it is answered."""
    stage.commands(cat={"sandbox": {}, "intercept": [{"args": ["x"], "action": {"type": "respond", "stdout": "much\n" * 100000}}]},
                   id={"from": {"session": "deny"}})
    done = stage.python(f"""
there, full = os.pipe()
os.set_blocking(full, False)
try:
    while True:
        os.write(full, bytes(4096))
except OSError:
    pass
os.set_blocking(full, True)
real = os.dup(1)
os.dup2(there, 0); os.dup2(full, 1); os.dup2(full, 2)
deaf = [ask({found("cat")!r}, ["x"]) for _ in range(3)]
answer = end(ask({found("id")!r}, []))
os.write(real, repr((answer, b"policy denied id" in said[5])).encode())
answer = end(ask({found("cat")!r}, ["x"]))
os.write(real, repr((answer, len(said[4]))).encode())
""", timeout=120)
    assert done.stdout == b"((0, 126), True)((0, 0), 500000)", done


def test_when_many_are_asked_for_the_rest_waits(stage):
    stage.commands(uname={"sandbox": {}})
    done = stage.python(f"""
idle = []
for _ in range(64):
    idle.append(socket.socket(socket.AF_UNIX))
    idle[-1].connect(b"\\0nanoterm.command")
late = [ask({found("uname")!r}, []) for _ in range(5)]
late[0].settimeout(1)
try:
    print("answered", late[0].recv(8))
except TimeoutError:
    print("waits")
late[0].settimeout(None)
idle.pop().close()
print([end(s) for s in late])
""", timeout=240)
    assert done.stdout.replace(b"Linux\n", b"") == b"waits\n[(0, 0), (0, 0), (0, 0), (0, 0), (0, 0)]\n", done


def test_requests_that_are_none(stage):
    stage.commands(cat={"sandbox": {}})
    done = stage.python(f"""
cat = {found("cat")!r}
for how in ({{"magic": 1}}, {{"counts": (5, 0)}}, {{"counts": (0, 0)}}, {{"counts": (2**31, 2**31)}}, {{"size": 3}}, {{"size": 2**32 - 1}},
            {{"variables": ["no equals"]}}, {{"variables": ["=x"]}}):
    print(end(ask(cat, ["--version"], **how)), flush=True)
ask(cat, ["--version"], size=10**6).close()
s = ask(cat, [])
s.send(bytes(range(256)))
try:
    ask(cat, [], kind=socket.SOCK_DGRAM)
except OSError as e:
    print("refused", flush=True)
s.close()
print(end(ask(cat, ["--version"], folder="relative"))[1], end(ask(cat, ["--version"], folder="/etc/passwd"))[1],
      end(ask(cat, ["--version"], folder="/nothing\\n/x"))[1], end(ask(cat, ["--version"] * 10000))[1], end(ask(cat, ["--version", "x" * 1000000])), flush=True)
""")
    assert done.status == 0, done
    lines = [line for line in done.text.splitlines() if line.startswith(("(", "ref", "0 "))]
    assert lines[:9] == ["(0, 126)"] * 8 + ["refused"], lines
    assert lines[9].startswith("0 0 0 0 (0, 126)") or lines[9].startswith("0 0 0 0 (0, "), lines


def test_nothing_of_the_program_reaches_who_starts_it(stage):
    """The process outside has the session's own environment, and the command alone the words."""
    stage.commands(sleep={"sandbox": {"environment": {"allow_vars": ["*"]}}})
    mark = new_mark()
    child = stage.start("sh", "-c", f"LD_PRELOAD=/evil.so HOME=/evil EVIL={mark} sleep {mark}")
    wait_until(lambda: any(b"sleep\0" in words for _, words in with_mark(mark)), 60, "the command")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            environ = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        assert mark.encode() not in environ or words.startswith((b"sleep\0", b"/usr/bin/sleep\0", b"sh\0", b"/bin/sh\0", b"/usr/bin/sh\0")), words
    child.send_signal(signal.SIGTERM)
    child.wait(60)
    wait_until(lambda: not with_mark(mark), 60, "their end")


def test_links_that_the_program_makes_change_nothing(stage):
    inner = stage.project / "data"
    inner.mkdir()
    (inner / "a").write_text("inner\n")
    (stage.project / "file").write_text("file\n")
    stage.commands(cat={"sandbox": {"fs_read": ["data"], "fs_read_file": ["file"]}}, ls={"sandbox": {"unix_socket_bind": ["s.sock"]}})
    assert stage.sh('cat "$PWD/data/a" "$PWD/file"').stdout == b"inner\nfile\n"
    done = stage.sh('mv data old; ln -s "$HOME" data; cat "$PWD/data/secret"; echo $?', timeout=120)
    assert b"the secret" not in done.stdout and b"126" in done.stdout and b"when the session began" in done.stderr
    (stage.project / "data").unlink()
    (stage.project / "old").rename(inner)
    done = stage.sh('rm file; ln -s "$HOME/secret" file; cat "$PWD/file"')
    assert b"the secret" not in done.stdout
    done = stage.sh('ln -s "$HOME/secret" s.sock; ls; echo $?')
    assert b"126" in done.stdout


def test_links_in_place_of_what_default_grants(stage):
    """A folder that every command may write to, where the program may write above it; and one that was a link from the start."""
    for name in ("linked", "private"):
        (stage.cli.home / name).mkdir()
    private = stage.cli.home / "private"
    stage.commands(tee={"sandbox": {}})
    script = 'echo a | tee "$TMPDIR/a"; mv tmp old; ln -s "$HOME/private" tmp; echo b | tee "$TMPDIR/b" "$HOME/private/c"; true'
    for target in (None, stage.cli.home / "linked"):
        here = stage.project / "tmp"
        if target:
            here.symlink_to(target)
        else:
            here.mkdir()
        done = stage.sh(script, env={**stage.env, "TMPDIR": str(here)})
        assert done.stdout.startswith(b"a\n") and os.listdir(private) == [], done
        assert ((target or stage.project / "old") / "a").read_text() == "a\n"
        here.unlink()
        shutil.rmtree(stage.project / "old", ignore_errors=True)


def test_a_folder_as_input_is_refused(stage):
    stage.commands(cat={"sandbox": {}})
    done = stage.sh("cat < .; echo $?")
    assert done.stdout == b"126\n" and b"is a folder" in done.stderr


def test_the_command_ends_with_who_asked(stage):
    mark = new_mark()
    stage.commands(sleep={"sandbox": {}})
    done = stage.python(f"""
import signal, subprocess, time
p = subprocess.Popen(["sleep", "{mark}"])
deadline = time.monotonic() + 1
while p.poll() is None and time.monotonic() < deadline:
    time.sleep(0.05)
p.kill()
print(p.wait())
""")
    assert done.stdout == b"-9\n"
    wait_until(lambda: not with_mark(mark), 60, "its end")


@pytest.mark.parametrize("how", ["end", "kill", "kill supervisor", "background"])
def test_nothing_is_left_of_a_session(stage, how):
    mark = new_mark()
    stage.commands(sleep={"from": {"bash": {"sandbox": {}}}, "sandbox": {}}, bash={"sandbox": {}, "can_use": ["sleep"]})
    if how == "background":
        done = stage.sh(f"bash -c 'sleep {mark} & sleep {mark}' & read x", input=b"")
        assert done.status != 126
    else:
        child = stage.start("sh", "-c", f"bash -c 'sleep {mark} & sleep {mark}'")
        wait_until(lambda: sum(words.startswith((b"sleep\0", b"/usr/bin/sleep\0")) for _, words in with_mark(mark)) >= 2, 60, "the commands")
        child.send_signal({"end": signal.SIGTERM, "kill": signal.SIGHUP, "kill supervisor": signal.SIGKILL}[how])
        child.wait(60)
    wait_until(lambda: not with_mark(mark), 60, "their end")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_broker_that_somebody_kills_or_stops(stage, number):
    """Commands are refused then, and the session ends all the same."""
    stage.commands(bash={"sandbox": {}})
    child = stage.start("sh", "-c", "echo up; read x; bash -c 'echo ran'; echo $?", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"up\n"
    children = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    brokers = [pid for pid in children if not pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()]
    assert len(brokers) == 1  # the keeper has the program
    os.kill(int(brokers[0]), number)
    if number == signal.SIGSTOP:
        child.send_signal(signal.SIGTERM)
    out, _ = child.communicate(b"x\n", timeout=120)
    assert out == (b"126\n" if number == signal.SIGKILL else b"")


def test_signals_go_on(stage):
    stage.commands(bash={"sandbox": {}})
    script = "trap 'echo usr; exit 5' USR1; trap 'echo int; exit 6' INT; echo ready; while :; do read -t 1 x; done"
    done = stage.python(f"""
import signal, subprocess
for number in (signal.SIGUSR1, signal.SIGINT):
    p = subprocess.Popen(["bash", "-c", {script!r}], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert p.stdout.readline() == b"ready\\n"
    p.send_signal(number)
    print(p.stdout.read(), p.wait(), flush=True)
""", timeout=120)
    assert done.stdout == b"b'usr\\n' 5\nb'int\\n' 6\n", done


def test_control_c_and_a_terminal(stage):
    mark = new_mark()
    stage.commands(bash={"sandbox": {}})
    child = pexpect.spawn(BIN, stage.words("bash", "-c", f"read x; echo got $x; : {mark}; read y"), env=stage.env, cwd=str(stage.project),
                          timeout=120)
    child.sendline("a line")
    child.expect_exact("got a line")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130 or child.signalstatus == signal.SIGINT
    wait_until(lambda: not with_mark(mark), 60, "its end")


class Shell:
    """A shell with jobs, inside, on a terminal."""

    def __init__(self, stage, dimensions=(24, 80)):
        words = stage.words("/usr/bin/bash", "--norc", "--noediting", "-i")
        self.child = pexpect.spawn(BIN, words, env={**stage.env, "PS1": "ready> "}, cwd=str(stage.project), timeout=120, echo=False,
                                   dimensions=dimensions)
        self.child.expect_exact("ready> ")

    def send(self, line):
        self.child.sendline(line)

    def see(self, *texts):
        for text in texts:
            self.child.expect_exact(text)

    def do(self, line, *texts):
        self.send(line)
        self.see(*texts, "ready> ")

    def end(self):
        self.send("exit 5")
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus


def test_a_command_is_a_job(stage):
    """Stopped, continued, in the background, interrupted: as in any shell."""
    stage.commands(cat={"sandbox": {}}, dd={"sandbox": {}})
    shell = Shell(stage)
    shell.send("cat")
    shell.send("one")
    shell.see("one")
    shell.child.sendcontrol("z")
    shell.see("Stopped", "ready> ")
    shell.do("echo state $?", "state 148")
    shell.send("fg")
    shell.send("two")
    shell.see("two")
    shell.child.sendcontrol("z")
    shell.see("Stopped", "ready> ")
    shell.send("fg")
    shell.send("three")
    shell.see("three")
    shell.child.sendintr()
    shell.see("ready> ")
    shell.do("echo state $?", "state 130")
    shell.do("dd bs=99 status=none & wait %1", "Stopped")  # it may not read here, and waits
    shell.send("fg")
    shell.send("four")
    shell.see("four")
    shell.child.sendeof()
    shell.see("ready> ")
    assert shell.end() == 5


def test_a_command_in_a_pipeline_leaves_the_terminal_to_the_others(stage):
    stage.commands(seq={"sandbox": {}}, dd={"sandbox": {}})
    shell = Shell(stage)
    read = "/usr/bin/python3 -c 'print(\"got\", open(\"/dev/tty\").readline(), end=str())'"
    shell.send(f"seq 3 | {read}")
    shell.send("mine")
    shell.see("got mine", "ready> ")
    shell.send("seq 3 | dd of=/dev/null status=none; dd if=/dev/tty count=1 status=none | sed s/x/yz/")
    shell.send("x")
    shell.see("yz", "ready> ")
    shell.do("(dd; echo not here) 2>&1 | cat & sleep 0; jobs | wc -l; kill %1", "1")
    assert shell.end() == 5


def test_a_command_that_stops_itself_stops_its_job(stage):
    """As an editor does, which gives the terminal back first."""
    script = stage.project / "edit"
    script.write_text("import os, signal, sys\nprint('editing', flush=True)\nos.kill(0, signal.SIGTSTP)\nprint('again', input(), flush=True)\n")
    stage.commands(**{os.path.basename(found("python3")): {"sandbox": {"fs_read": ["."]}}})
    shell = Shell(stage)
    shell.send(f"sh -c '{found('python3')} edit; echo behind'")
    shell.see("editing", "Stopped", "ready> ")
    shell.send("fg")
    shell.send("more")
    shell.see("again more", "behind", "ready> ")
    assert shell.end() == 5


def test_the_whole_run_is_a_job(stage):
    """Of a shell outside."""
    stage.commands(cat={"sandbox": {}})
    words = " ".join([BIN, *stage.words("sh", "-c", "'cat; echo behind'")])
    child = pexpect.spawn("/usr/bin/bash", ["--norc", "--noediting", "-i"], env={**stage.env, "PS1": "ready> "}, cwd=str(stage.project),
                          timeout=120, echo=False)
    child.expect_exact("ready> ")
    child.sendline(words)
    child.sendline("one")
    child.expect_exact("one")
    child.sendcontrol("z")
    child.expect_exact("Stopped")
    child.expect_exact("ready> ")
    child.sendline("fg")
    child.sendline("two")
    child.expect_exact("two")
    child.sendeof()
    child.expect_exact("behind")
    child.sendline("exit 6")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6


def test_a_window_that_changes(stage):
    stage.commands(bash={"sandbox": {}})
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do read -t 1 x; done"
    child = pexpect.spawn(BIN, stage.words("sh", "-c", f'bash -c "{script}"'), env=stage.env, cwd=str(stage.project), timeout=120)
    child.expect_exact("ready")
    child.setwinsize(33, 77)
    child.expect_exact("33 77")
    child.expect(pexpect.EOF)
    child.close()


def test_what_a_command_takes_over(stage):
    """Signals that its caller ignores, and its mask for new files where that is stricter than the person's."""
    stage.commands(bash={"sandbox": {}})
    script = "kill -HUP $$; kill -INT $$; umask"
    assert stage.sh(f"trap '' HUP INT; umask 077; bash -c '{script}'; bash -c 'kill -TERM $$'; echo $?").stdout == b"0077\n143\n"
    own = os.umask(0o027)
    try:
        assert stage.sh("umask 0; bash -c umask; umask 700; bash -c umask").stdout == b"0027\n0727\n"
    finally:
        os.umask(own)


def test_a_command_that_closes_what_it_was_given(stage):
    """Whoever reads or writes at the other end sees it, as if it were an ordinary program."""
    stage.commands(bash={"sandbox": {}})
    done = stage.python("""
import subprocess
p = subprocess.Popen(["bash", "-c", "trap 'exit 7' TERM; exec <&- >&-; while :; do read -t 1 x </dev/null; sleep 0.1; done"],
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
print(p.stdout.read())
try:
    for _ in range(100):
        p.stdin.write(bytes(4096))
except BrokenPipeError:
    print("broken")
p.terminate()
print(p.wait())
""", timeout=120)
    assert done.stdout == b"b''\nbroken\n7\n", done


# --- refused at the start --------------------------------------------------------------------------------------------

def refused(done):
    assert done.status not in (0, 126) and done.stdout == b"", done
    return done.stderr.decode()


def test_the_file_is_pinned(stage):
    digest = hashlib.sha256(pathlib.Path(found("cat")).read_bytes()).hexdigest()
    stage.commands(cat={"executable": found("cat"), "sha256": digest.upper(), "sandbox": {}})
    assert stage.sh("echo a | cat").stdout == b"a\n"
    stage.commands(cat={"sha256": digest[:-1] + ("0" if digest[-1] != "0" else "1"), "sandbox": {}})
    assert digest in refused(stage.run("true"))


def test_files_that_the_program_could_change(stage):
    tools = stage.project / "tools"
    tools.mkdir()
    shutil.copy("/usr/bin/id", tools / "mine")
    stage.commands(mine={"executable": str(tools / "mine"), "sandbox": {}})
    assert "may write" in refused(stage.run("true"))
    stage.commands(mine={"sandbox": {}}, policies={"executable_dirs": [str(tools)]})
    assert "may write" in refused(stage.run("true"))
    stage.commands(mine={"sandbox": {}})
    assert "may write" in refused(stage.run("true", env={**stage.env, "PATH": f"{tools}:/usr/bin:/bin"}))


def test_files_that_a_command_could_change(stage):
    """Whoever may have a command write them, chooses what runs with the grants of another."""
    for rest in ({"fs_write": ["/usr"]}, {"fs_write_file": [found("id")]}):
        stage.commands(id={"sandbox": {}}, cp={"sandbox": rest})
        assert "commands.cp.sandbox may write" in refused(stage.run("true"))
        stage.commands(id={"sandbox": rest})
        assert "commands.id.sandbox may write" in refused(stage.run("true"))
    stage.commands(id={"sandbox": {}}, cp={"sandbox": {"fs_write": ["."]}})
    assert stage.sh("id -u").status == 0


def test_a_second_name_and_a_name_that_leads_nowhere(stage):
    """Where no program may write: temporary files are not granted here."""
    closed = {"groups": {"exclude": ["system_write_linux"]}, "workdir": {"access": "read"}}
    home = stage.cli.home
    tools = home / "tools"
    tools.mkdir()
    shutil.copy("/usr/bin/id", tools / "mine")
    if os.stat(home).st_mode & 0o002 or any(os.stat(p).st_mode & 0o1002 == 0o002 for p in home.parents):
        pytest.skip("others may write above the home folder of this test")
    stage.commands(rest=closed, mine={"sandbox": {}}, policies={"executable_dirs": [str(tools)]})
    assert b"uid=" in stage.sh("mine").stdout  # found behind PATH, by the program too
    stage.commands(rest=closed, mine={"executable": str(tools / "mine"), "sandbox": {}})
    assert b"uid=" in stage.sh("mine").stdout
    stage.commands(rest=closed, other={"executable": str(tools / "mine"), "sandbox": {}})
    assert "nothing in PATH has that name" in refused(stage.run("true"))
    os.link(tools / "mine", tools / "again")
    stage.commands(rest=closed, mine={"sandbox": {}}, policies={"executable_dirs": [str(tools)]})
    assert "second name" in refused(stage.run("true"))


def test_what_runs_a_command_is_not_the_programs(stage):
    closed = {"groups": {"exclude": ["system_write_linux"]}}
    home = stage.cli.home
    if os.stat(home).st_mode & 0o002 or any(os.stat(p).st_mode & 0o1002 == 0o002 for p in home.parents):
        pytest.skip("others may write above the home folder of this test")
    tools = home / "tools"
    tools.mkdir()
    (stage.project / "bin").mkdir()
    mine = tools / "mine"
    mine.write_text("#!/usr/bin/env sh\necho by sh\n")
    mine.chmod(0o755)
    stage.commands(rest=closed, mine={"executable": str(mine), "sandbox": {"fs_read": [str(tools)]}}, policies={"executable_dirs": [str(tools)]})
    assert stage.sh("mine").stdout == b"by sh\n"
    for folder in (stage.project / "bin", stage.project / "none", ".", ""):  # what is not there yet, the program can put there
        path = f"{folder}:{stage.env['PATH']}"
        assert "looked for in PATH" in refused(stage.run("true", env={**stage.env, "PATH": path}))
    mine.write_text(f"#!{stage.project}/bin/sh\n")
    assert "may write" in refused(stage.run("true"))


def linked_pair():
    """Two names of one system file in a folder of commands."""
    seen = {}
    for entry in sorted(os.scandir("/usr/bin"), key=lambda entry: entry.name):
        st = entry.stat(follow_symlinks=False)
        if entry.is_file(follow_symlinks=False) and st.st_nlink == 2 and os.access(entry.path, os.X_OK) and st.st_uid == 0:
            if st.st_ino in seen:
                return seen[st.st_ino], entry.path
            seen[st.st_ino] = entry.path
    return None


def test_all_names_of_a_file_lead_to_its_stand_in(stage):
    pair = linked_pair()
    if not pair:
        pytest.skip("no program of this system has two names")
    for name in pair:
        stage.commands(**{os.path.basename(name): {"from": {"session": "deny"}}})
        done = stage.sh('for name do "$name" </dev/null; echo $?; done; cp "$1" mine && ./mine </dev/null; echo $?', *pair)
        assert done.stdout == b"126\n126\n126\n", done
        assert done.stderr.count(f"policy denied {os.path.basename(name)}".encode()) >= 2
    # Where not all of them can be known nothing is started.
    stage.commands(**{os.path.basename(pair[0]): {"sandbox": {}}, os.path.basename(pair[1]): {"sandbox": {}}})
    assert "the same file" in refused(stage.run("true"))


def test_many_programs_in_one(stage):
    tools = stage.cli.home / "tools"
    tools.mkdir()
    shutil.copy("/usr/bin/id", tools / "busybox")
    (tools / "mine").symlink_to("busybox")
    if os.stat(stage.cli.home).st_mode & 0o002 or any(os.stat(p).st_mode & 0o1002 == 0o002 for p in stage.cli.home.parents):
        pytest.skip("others may write above the home folder of this test")
    closed = {"groups": {"exclude": ["system_write_linux"]}, "workdir": {"access": "read"}}
    stage.commands(rest=closed, mine={"sandbox": {}}, policies={"executable_dirs": [str(tools)]})
    assert "many programs in one" in refused(stage.run("true"))
    stage.commands(rest=closed, busybox={"sandbox": {}}, policies={"executable_dirs": [str(tools)]})
    assert b"uid=" in stage.sh("busybox").stdout


def test_what_it_needs(stage):
    stage.commands(cat={"sandbox": {}})
    assert "wrap" in refused(stage.run("true", command="wrap"))
    assert "notification" in refused(stage.run("true", options=["--accept-weaker", "notification"]))
    rows = stage.run("true", options=["--dry-run"], first=["--json"]).json["enforcement"]
    assert any("command_policies" in row["act"] and row["layer"] == "mount" for row in rows)


def test_a_command_that_is_not_there_is_told(stage):
    stage.commands(**{"there-is-no-such-command": {"sandbox": {}}})
    done = stage.run("echo", "on")
    assert done.stdout == b"on\n" and b"there is no command there-is-no-such-command" in done.stderr


def test_two_names_of_one_file(stage):
    stage.commands(cat={"sandbox": {}}, other={"executable": found("cat"), "sandbox": {}})
    assert "the same file" in refused(stage.run("true"))


@pytest.mark.parametrize("policies, word", [
    ({"commands": {"session": {}}}, "session"),
    ({"commands": {"a/b": {}}}, "name"),
    ({"commands": {"a": {"allow_writable_executable": True}}}, "allow_writable_executable"),
    ({"commands": {"a": {"allow_direct_exec_bypass": ["/usr/bin/a"]}}}, "bypass"),
    ({"commands": {"a": {"executable": "bin/a"}}}, "absolute"),
    ({"commands": {"a": {"sha256": "12"}}}, "sha256"),
    ({"commands": {"a": {"can_use": ["b"]}}}, "no command b"),
    ({"commands": {"a": {"from": {"b": "deny"}}}}, "no command b"),
    ({"commands": {"a": {"from": {"session": "allow"}}}}, "object"),
    ({"commands": {"a": {"sandbox": {}, "from": {"session": "deny"}}}}, "twice"),
    ({"commands": {"a": {"sandbox": {"fs_reed": []}}}}, "no such key"),
    ({"commands": {"a": {"sandbox": {"fs_read": ["@git:toplevel"]}}}}, "@git"),
    ({"commands": {"a": {"sandbox": {"resources": {"memory_bytes": 1}}}}}, "resources"),
    ({"commands": {"a": {"sandbox": {"stdio": {"stdout": {"max_bytes": 1}}}}}}, "stdio"),
    ({"commands": {"a": {"sandbox": {"network": {"tcp_connect_ports": [443]}}}}}, "tcp_connect_ports"),
    ({"commands": {"a": {"sandbox": {"network": {"allow_all": True, "allow_domain": ["example.com"]}}}}}, "exclude"),
    ({"commands": {"a": {"sandbox": {"environment": {"allow_vars": ["LD_PRELOAD"]}}}}}, "LD_PRELOAD"),
    ({"commands": {"a": {"sandbox": {"environment": {"set_vars": {"PATH": "/x"}}}}}}, "PATH"),
    ({"commands": {"a": {"sandbox": {"credentials": ["none"]}}}}, "credentials"),
    ({"commands": {"a": {"export_env": ["A*B"]}}}, "A*B"),
    ({"commands": {"a": {"intercept": [{"args": ["x"], "action": {"type": "capture"}}]}}}, "capture"),
    ({"commands": {"a": {"intercept": [{"args": ["x"]}]}}}, "action"),
    ({"commands": {"a": {"intercept": [{"args": [], "action": {"type": "passthrough"}}, {"args": ["x"], "action": {"type": "passthrough"}}]}}},
     "never count"),
    ({"commands": {"a": {"from": {"session": {"sandbox": {}, "invocation_policy": {"approve": [{}]}}}}}}, "nobody can be asked"),
    ({"commands": {"a": {"from": {"session": {"sandbox": {}, "invocation_policy": {"default": "approve"}}}}}}, "nobody can be asked"),
    ({"commands": {"a": {"from": {"session": {"sandbox": {}, "invocation_policy": {"deny": [{"argv": {}}]}}}}}}, "exact"),
    ({"commands": {"a": {"from": {"session": {"sandbox": {}, "invocation_policy": {"deny": [{"env": {"A": {}}}]}}}}}}, "equals"),
    ({"commands": {"a": {"from": {"session": {"invocation_policy": {}}}}}}, "sandbox is missing"),
    ({"credentials": {"c": {"type": "ambient"}}}, "proxy credential"),
    ({"credentials": {"c": {"type": "proxy", "upstream": "https://example.com", "credential_key": "k"}},
      "commands": {"a": {"sandbox": {"credentials": ["c"]}}}}, "allow_domain"),
    ({"approval_backends": {"x": {"type": "terminal"}}}, "nobody can be asked"),
    ({"allow_writable_executables": True}, "allow_writable_executables"),
    ({"nothing": 1}, "no such key"),
])
def test_what_is_refused_at_once(stage, policies, word):
    path = stage.profile(command_policies=policies)
    done = stage.cli("enforce", "profile", "validate", str(path))
    assert done.status != 0 and word in (done.stdout + done.stderr).decode(), done
    assert stage.run("true").status != 0


def test_two_profiles_with_policies(stage):
    stage.profile("parent", command_policies={"commands": {"id": {"from": {"session": "deny"}}}})
    stage.profile("commands", extends="parent")
    assert stage.sh("id; echo $?").stdout == b"126\n"
    stage.profile("commands", extends="parent", command_policies={"commands": {"id": {"sandbox": {}}}})
    assert "two of the profiles" in refused(stage.run("true"))


def test_what_is_shown(stage):
    content = {"commands": {"id": {"from": {"session": "deny"}}}, "session_export_env": ["A"]}
    stage.profile("commands", command_policies=content)
    shown = stage.cli.ok("--json", "enforce", "profile", "show", "commands").json["command_policies"]
    assert shown == {**content, "credentials": None, "executable_dirs": None}
    schema = stage.cli.ok("--json", "enforce", "profile", "schema").json["properties"]["command_policies"]
    assert set(schema["properties"]["commands"]["additionalProperties"]["properties"]) >= {"executable", "sha256", "sandbox", "from"}
    differences = stage.cli.ok("--json", "enforce", "profile", "diff", "default", "commands").json
    assert "command_policies" in json.dumps(differences)
