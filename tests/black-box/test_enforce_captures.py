# SPDX-License-Identifier: Apache-2.0
"""credential_capture: commands outside of the sandbox that print the credential of a service. When one is run and what it is
told, what may be injected of what it prints, and that the program inside can neither choose the command nor see its output."""
import json
import shutil
import signal

import pytest

from conftest import IS_SANITIZED, is_alive, wait_until
from test_enforce_proxy import ASK, PYTHON, SECRET, Upstream, hold_and_scan, pytestmark  # noqa: F401

TOKEN = "tok-captured.8hXw_41c9d0be77"
# Each answer of the service, by its path: the status, and the text when it is none of 200.
TRY = """
import os, sys, urllib.error, urllib.request
for path in sys.argv[1:]:
    request = urllib.request.Request(os.environ["SVC_BASE_URL"] + path, None, {"Authorization": "Bearer " + os.environ["SVC_KEY"]})
    try: print(urllib.request.urlopen(request, timeout=120).status, flush=True)
    except urllib.error.HTTPError as e: print(e.code, e.read().decode(), flush=True)
"""


@pytest.fixture
def upstream():
    made = Upstream()
    yield made
    made.end()


class Stage:
    """A home with a command, a profile that has it, and a project for the program."""

    def __init__(self, cli, upstream):
        self.cli = cli
        self.upstream = upstream
        self.project = cli.home / "project"
        self.tools = cli.home / "tools"
        self.project.mkdir()
        self.tools.mkdir()
        self.runs = self.tools / "runs"

    def command(self, text, name="give", mode=0o755):
        """A script; it remembers how often it was run."""
        path = self.tools / name
        path.write_text(f"#!/bin/sh\necho run >> {self.runs}\n{text}\n")
        path.chmod(mode)
        return path

    def profile(self, capture, service=None, name="captured", folder=None, **rest):
        folder = folder or self.cli.home / ".config/nono/profiles"
        folder.mkdir(parents=True, exist_ok=True)
        service = {"upstream": f"http://127.0.0.1:{self.upstream.port}/v1", "credential_key": "cmd://it", "env_var": "SVC_KEY",
                   **(service or {})}
        self.file = folder / f"{name}.json"
        self.file.write_text(json.dumps({"meta": {"name": name}, "credential_capture": {"it": capture},
                                         "network": {"custom_credentials": {"svc": service}, "credentials": ["svc"]},
                                         "workdir": {"access": "readwrite"}, **rest}))
        return self.file

    def run(self, *program, options=(), profile="captured", **how):
        return self.cli("enforce", "run", "--allow-cwd", "--profile", profile, *options, "--", *program, cwd=self.project, **how)

    def ask(self, *paths, options=(), **how):
        done = self.run(PYTHON, "-c", TRY, *paths, options=options, **how)
        assert done.status == 0, done
        return done.stdout.decode().splitlines()

    @property
    def count(self):
        return len(self.runs.read_text().splitlines()) if self.runs.exists() else 0

    def sent(self, header="Authorization"):
        return [row[2].get(header) for row in self.upstream.seen]


@pytest.fixture
def stage(fresh, upstream):
    return Stage(fresh(), upstream)


# --- when it is run, and what it is told -----------------------------------------------------------------------------

def test_it_is_run_at_the_first_request_alone(stage):
    give = stage.command(f"echo {TOKEN}")
    stage.profile({"command": [str(give)]})
    assert stage.run("true").status == 0 and stage.count == 0
    assert stage.ask("/a", "/b", "/c") == ["200"] * 3
    assert stage.sent() == [f"Bearer {TOKEN}"] * 3 and stage.count == 1
    # Who may not have it runs nothing.
    code = TRY.replace('"Bearer " + os.environ["SVC_KEY"]', '"Bearer " + "0" * 64')
    done = stage.run(PYTHON, "-c", code, "/a")
    assert done.stdout.startswith(b"401 ") and stage.count == 1
    # Kept for nobody: each request runs it.
    stage.profile({"command": [str(give)], "cache_ttl_secs": 0})
    assert stage.ask("/a", "/b") == ["200"] * 2 and stage.count == 3


def test_what_it_is_told(stage):
    give = stage.command(f"env -0 > {stage.tools}/env; pwd > {stage.tools}/pwd; cat > {stage.tools}/in; printf %s {TOKEN}")
    stage.profile({"command": [str(give), "a b", "$HOME"], "stdin": "request_json"})
    env = {**stage.cli.env, "HTTPS_PROXY": "http://127.0.0.1:1", "MINE": "yes", "PYTHONPATH": "/x", "BASH_ENV": "/x"}
    assert stage.ask("/x/y?q=1", env=env) == ["200"]
    told = dict(entry.split("=", 1) for entry in (stage.tools / "env").read_text().split("\0") if "=" in entry)
    session = told["NONO_SESSION_ID"]
    assert len(session) == 16 and told["MINE"] == "yes" and told["HOME"] == str(stage.cli.home)
    assert not {"HTTPS_PROXY", "NONO_PROXY_TOKEN", "NONO_CAP_FILE", "SVC_KEY", "PYTHONPATH", "BASH_ENV"} & set(told)
    expected = {"request_host": "127.0.0.1", "request_path": "/x/y?q=1", "request_method": "GET", "cache_scope": "127.0.0.1"}
    assert {key: told[f"NONO_{key.upper()}"] for key in expected} == expected
    assert told["NONO_CAPTURE_CREDENTIAL"] == "it" and told["NONO_CAPTURE_ROUTE"] == "svc"
    assert json.loads((stage.tools / "in").read_text()) == {**expected, "session_id": session, "credential_name": "it", "route_id": "svc"}
    assert (stage.tools / "pwd").read_text() == "/\n"


def test_a_provider_is_asked_in_its_protocol(stage):
    answer = json.dumps({"material": {"type": "secret", "value": TOKEN}})
    give = stage.command(f"cat > {stage.tools}/in; echo '{answer}'")
    stage.profile({"provider": {"command": [str(give)], "config": {"issuer": "https://a.example"}}})
    assert stage.ask("/x") == ["200"] and stage.sent() == [f"Bearer {TOKEN}"]
    told = json.loads((stage.tools / "in").read_text())
    assert told["protocol"] == "nono.credential-provider.v1" and told["config"] == {"issuer": "https://a.example"}
    assert told["interaction"] == {} and told["request_method"] == "GET"


def test_a_path_may_say_for_what_a_credential_is_kept(stage):
    give = stage.command('echo "tok-for-$NONO_CACHE_SCOPE"')
    stage.profile({"command": [str(give)], "cache_path_regex": "^/(?:repos/|orgs/)?([^/]+)"})
    assert stage.ask("/repos/one/x", "/orgs/one", "/two", "/one/y", "//") == ["200"] * 5
    assert stage.sent() == ["Bearer tok-for-one", "Bearer tok-for-one", "Bearer tok-for-two", "Bearer tok-for-one",
                            "Bearer tok-for-127.0.0.1"] and stage.count == 3


def test_headers_of_it_take_the_place_of_the_program_s(stage):
    give = stage.command("""echo '{"headers":{"authorization":"Custom %s","X-Gate":"key-of-the-gate"}}'""" % TOKEN)
    stage.profile({"command": [str(give)], "output": {"format": "json", "allow_headers": ["Authorization", "X-Gate", "X-Other"]}})
    code = TRY.replace('{"Authorization"', '{"X-Other": "mine", "X-Gate": "mine", "Authorization"')
    assert stage.run(PYTHON, "-c", code, "/a").stdout == b"200\n"
    headers = {name.lower(): value for name, value in stage.upstream.seen[0][2].items()}
    assert headers["authorization"] == f"Custom {TOKEN}" and headers["x-gate"] == "key-of-the-gate" and "x-other" not in headers


# --- what it may not do, and what becomes of it ----------------------------------------------------------------------

@pytest.mark.parametrize("text, output, why", [
    ("echo oops >&2; exit 3", "text", "ended with status 3"),
    ("kill -9 $$", "text", "signal 9"),
    (":", "text", "printed nothing"),
    ("printf 'a\\r\\nX-Evil: 1\\n'", "text", "line end"),
    ("head -c 70000 /dev/zero | tr '\\0' x", "text", "more than 64 KiB"),
    ("printf 'a\\0b'", "text", "no text"),
    ("echo '{\"headers\":{\"X-Evil\":\"1\"}}'", {"format": "json", "allow_headers": ["X-Good"]}, "not among allow_headers"),
    ("printf %s '{\"headers\":{\"X-Good\":\"a\\nb\"}}'", {"format": "json", "allow_headers": ["X-Good"]}, "line end"),
    ("echo secret-not-json", {"format": "json", "allow_headers": ["X-Good"]}, "no JSON object"),
])
def test_what_is_no_credential_is_a_denial(stage, text, output, why):
    stage.profile({"command": [str(stage.command(text))], "output": output})
    done = stage.run(PYTHON, "-c", TRY + "raise SystemExit(4)", "/a")
    assert done.status == 4 and done.stdout.startswith(b"503 ") and why.encode() in done.stdout, done
    assert why.encode() in done.stderr and b"credential_capture.it" in done.stderr, done
    assert b"oops" not in done.stderr and b"secret-not-json" not in done.stdout + done.stderr
    assert stage.upstream.seen == []


def test_what_it_says_is_heard_when_it_may(stage):
    stage.profile({"command": [str(stage.command("echo touch the key >&2; echo tok-abcdefgh"))], "interaction": {"stdio": True}})
    done = stage.run(PYTHON, "-c", TRY, "/a")
    assert done.stdout == b"200\n" and b"touch the key" in done.stderr


def test_it_ends_with_its_time_and_with_the_session(stage):
    give = stage.command(f"(echo $$ > {stage.tools}/pid.new; mv {stage.tools}/pid.new {stage.tools}/pid; exec sleep 600) & wait")
    stage.profile({"command": [str(give)], "timeout_secs": 8})
    answer = stage.ask("/a")[0]
    assert answer.startswith("503 ") and "did not end within 8 s" in answer
    pid = int((stage.tools / "pid").read_text())
    wait_until(lambda: not is_alive(pid), 60, "the command's end")
    (stage.tools / "pid").unlink()
    stage.profile({"command": [str(give)], "timeout_secs": 300})
    child = stage.cli.start("enforce", "run", "--allow-cwd", "--profile", "captured", "--", PYTHON, "-c", TRY, "/a", cwd=stage.project)
    wait_until(lambda: (stage.tools / "pid").exists(), 60, "the command")
    pid = int((stage.tools / "pid").read_text())
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    wait_until(lambda: not is_alive(pid), 60, "the command's end")


def test_a_pattern_that_takes_too_long_is_refused(stage):
    stage.profile({"command": [str(stage.command("echo tok-abcdefgh"))], "cache_path_regex": "^(/?a+)+$"})
    answer = stage.ask("/" + "a" * 5000 + "!")[0]
    assert answer.startswith("400 ") and "cache_path_regex" in answer and stage.count == 0
    stage.profile({"command": [str(stage.command("echo tok-abcdefgh"))], "cache_path_regex": "("})
    done = stage.run("echo", "ran")
    assert done.status != 0 and b"ran" not in done.stdout and b"cache_path_regex" in done.stderr, done


# --- the attacker chooses nothing of it ------------------------------------------------------------------------------

def refused(stage, why, **how):
    done = stage.run("echo", "ran", **how)
    assert done.status != 0 and done.stdout == b"" and why.encode() in done.stderr, done
    assert stage.count == 0


def test_a_command_that_the_program_could_write_is_refused(stage):
    mine = stage.project / "give"
    mine.write_text("#!/bin/sh\necho tok\n")
    mine.chmod(0o755)
    stage.profile({"command": [str(mine)]})
    refused(stage, "which the program may write")
    # Through a link, in the middle of the way or at its end.
    (stage.tools / "way").symlink_to(stage.project)
    (stage.tools / "link").symlink_to(mine)
    for path in (stage.tools / "way/give", stage.tools / "link"):
        stage.profile({"command": [str(path)]})
        refused(stage, "which the program may write")
    # A link of the program's to a good one: it could lead elsewhere at the next start.
    good = stage.command("echo tok-abcdefgh")
    (stage.project / "alias").symlink_to(good)
    stage.profile({"command": [str(stage.project / "alias")]})
    refused(stage, "which the program may write")
    # As the argument of a good one.
    stage.profile({"command": ["sh", str(mine)]})
    refused(stage, "its argument")
    # By its name: the program's folder stands first in PATH.
    stage.profile({"command": ["give"]})
    refused(stage, "which the program may write", env={**stage.cli.env, "PATH": f"{stage.project}:{stage.tools}:{stage.cli.env['PATH']}"})
    assert stage.ask("/a", env={**stage.cli.env, "PATH": f".:{stage.tools}:{stage.cli.env['PATH']}"}) == ["200"]
    link = stage.tools / "linked"
    link.symlink_to(good)
    stage.profile({"command": [str(link)]})
    assert stage.ask("/a") == ["200"]


def test_who_else_could_write_it_is_refused_too(stage):
    stage.profile({"command": [str(stage.command("echo tok", mode=0o777))]})
    refused(stage, "written by everybody")
    stage.profile({"command": [str(stage.command("echo tok", mode=0o644))]})
    refused(stage, "not executable")
    stage.profile({"command": ["no-such-command-here"]})
    refused(stage, "in no folder of PATH")


def test_a_profile_in_the_program_s_folder_names_no_command(stage):
    stage.profile({"command": [str(stage.command("echo tok"))]}, folder=stage.project)
    refused(stage, "the profile", profile=stage.file)


def test_wrong_profiles_say_why(stage):
    for capture, service, why in [
        ({"command": ["true"]}, {"credential_key": "cmd://other"}, "no cmd://other in credential_capture"),
        ({"command": ["true"], "ttl_secs": 1, "cache_ttl_secs": 2}, {}, "write one"),
        ({"command": ["true"], "provider": {"command": ["true"]}}, {}, "not both"),
        ({"command": "true"}, {}, "a list is needed"),
        ({"command": ["./true"]}, {}, "absolute path"),
        ({"command": ["true"], "timeout_secs": 301}, {}, "from 1 to 300"),
        ({"command": ["true"], "output": {"format": "json"}}, {}, "allow_headers is needed"),
        ({"command": ["true"], "output": {"format": "json", "allow_headers": ["Host"]}}, {}, "may be set"),
        ({"command": ["true"], "interaction": {"stdin": True}}, {}, "the terminal is the program's"),
        ({"command": ["true"], "interaction": {"open_urls": {"allow_origins": []}}}, {}, "nobody watches"),
        ({"command": ["true"], "output": {"format": "json", "allow_headers": ["X-A"]}},
         {"inject_mode": "query_param", "query_param_name": "k"}, "prints headers"),
    ]:
        file = stage.profile(capture, service)
        done = stage.cli("enforce", "profile", "validate", file)
        assert done.status != 0 and why.encode() in done.stdout, (capture, done)
        refused(stage, why)
    file = stage.profile({"command": ["true"]}, env_credentials={"cmd://it": "VAR"})
    assert b"and nothing else" in stage.cli("enforce", "profile", "validate", file).stdout


def test_show_and_schema_have_it(stage):
    stage.profile({"provider": {"command": ["true"], "config": {"a": [1]}}, "cache_path_regex": "^/(x)", "interaction": {"stdio": True}})
    shown = stage.cli("--json", "enforce", "profile", "show", "captured").json
    assert shown["credential_capture"] == {"it": {
        "provider": {"command": ["true"], "config": {"a": [1]}}, "timeout_secs": 5, "cache_ttl_secs": 900, "stdin": "request_json",
        "cache_path_regex": "^/(x)", "interaction": {"stdio": True}}}
    schema = stage.cli("--json", "enforce", "profile", "schema").json
    assert "provider" in schema["properties"]["credential_capture"]["additionalProperties"]["properties"]


@pytest.mark.skipif(IS_SANITIZED, reason="a sanitizer keeps copies of the environment")
def test_what_it_prints_is_nowhere_inside(stage):
    shared = stage.cli.home / "shared"
    shared.mkdir()
    (stage.tools / "secret").write_text(TOKEN)
    give = stage.command(f'cat {stage.tools}/secret; echo "$SVC_SECRET" >/dev/null')
    stage.profile({"command": [str(give)], "stdin": "request_json"}, environment={"deny_vars": ["SVC_SECRET"]})

    class Run:
        profile = stage.file
    hold_and_scan(stage.cli, Run, shared, [TOKEN, SECRET], {**stage.cli.env, "SVC_SECRET": SECRET})
    assert stage.sent() == [f"Bearer {TOKEN}"]
    shutil.rmtree(shared)
