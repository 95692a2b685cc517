# SPDX-License-Identifier: Apache-2.0
"""Keys of profiles, from the outside: what each does, and that nothing is left out in silence."""
import json
import os
import pathlib

import pytest

from conftest import BIN  # noqa: F401
from test_enforce_network import HERE, attempt, folder, run, serve  # noqa: F401


@pytest.fixture
def profile(folder):
    """profile({…}): a file, by its path."""
    def profile(keys, name="mine"):
        path = folder / f"{name}.json"
        path.write_text(json.dumps({"meta": {"name": name}, **keys}))
        return path
    return profile


@pytest.fixture
def validate(cli, profile):
    def validate(keys):
        return json.loads(cli("--json", "enforce", "profile", "validate", profile(keys)).stdout)
    return validate


# --- conditions ----------------------------------------------------------------------------------

def distribution():
    said = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return said.get("ID", "linux").strip("\"'")


def test_entries_and_patches_count_on_their_system_alone(run, profile, folder):
    for name in ("here", "there", "secret", "patched"):
        (folder / "data" / name).mkdir(parents=True)
        (folder / "data" / name / "file").write_text(name)
    (folder / "work").mkdir()
    data, own = str(folder / "data"), distribution()
    path = profile({
        "filesystem": {"read": [{"path": f"{data}/here", "when": ["macos", f"linux:{own}"]},
                                {"path": f"{data}/there", "when": f"!linux:{own}"}]},
        "platform_overrides": {"linux": {"filesystem": {"read": [f"{data}/patched"]}},
                               "macos": {"filesystem": {"read": [f"{data}/secret"]}}}})
    done = run(["--profile", path], "sh", "-c",
               "for name in here there secret patched; do cat $0/$name/file || printf -; done", data,
               cwd=folder / "work")
    assert done.stdout == b"here--patched", done
    closed = profile({"filesystem": {"read": [data], "deny": [{"path": f"{data}/secret", "when": "linux"},
                                                              {"path": f"{data}/there", "when": "macos"}]}})
    done = run(["--profile", closed], "sh", "-c", "for name in there secret; do cat $0/$name/file || printf -; done",
               data, cwd=folder / "work")
    assert done.status != 0 and b"--accept-weaker" in done.stderr or done.stdout == b"there-", done


def test_a_condition_that_cannot_be_read_closes_the_profile(validate):
    for wrong in ("Linux", "linux:debian:>=x", [], 7, None):
        said = validate({"filesystem": {"deny": [{"path": "/a", "when": wrong}]}})
        assert said["valid"] is False and "when" in said["errors"][0], wrong
    assert validate({"filesystem": {"deny": [{"path": "/a", "when": "!linux:nixos"}]}})["valid"] is True
    wrong = validate({"platform_overrides": {"macos": {"nothing": 1}, "bsd": {}, "linux": {"extends": "default"}}})
    assert len(wrong["errors"]) == 3


def test_a_patch_is_shown_where_it_counts(cli, profile):
    shown = cli.ok("--json", "enforce", "profile", "show", profile({
        "platform_overrides": {"linux": {"network": {"block": True}}, "macos": {"filesystem": {"allow": ["/"]}}}})).json
    assert shown["network"]["block"] is True and shown["filesystem"]["allow"] == []


# --- the proxy -----------------------------------------------------------------------------------

def test_a_denied_domain_stays_closed_whatever_opens_it(cli, run, serve, profile, folder):
    opened = ["--deny-domain", "*.closed.example", "--deny-domain", "10.0.0.1"]

    def why(host, *options):
        return cli.ok("--json", "enforce", "why", "--host", host, *options).json
    for host in ("a.closed.example", "A.CLOSED.example.", "10.0.0.1", "0x0a000001", "::ffff:10.0.0.1", "167772161"):
        for more in ([], ["--allow-domain", "a.closed.example"], ["--allow-domain", "*.example"]):
            answer = why(host, *opened, *more)
            assert answer["status"] == "denied" and "denied" in answer["message"], (host, more)
    assert why("other.example", *opened)["status"] == "allowed"
    assert why("closed.example", *opened)["status"] == "allowed"
    assert why("other.example", *opened, "--allow-domain", "only.example")["status"] == "denied"
    said = profile({"network": {"allow_domain": ["a.example"], "deny_domain": ["a.example"]}})
    assert why("a.example", "--profile", said)["status"] == "denied"
    # In the sandbox: the proxy answers 403 to both ways of asking, and nobody is connected to.
    script = ("import os, socket; at = os.environ['HTTP_PROXY'].rsplit('@', 1); port = int(at[1].rsplit(':', 1)[1])\n"
              "import base64; token = base64.b64encode(at[0].split('//')[1].encode()).decode()\n"
              "for line in ('CONNECT a.example:443', 'CONNECT A.Example.:443', 'GET http://a.example/'):\n"
              "    s = socket.create_connection(('127.0.0.1', port), 20)\n"
              "    s.sendall(f'{line} HTTP/1.1\\r\\nHost: b.example\\r\\nProxy-Authorization: Basic {token}\\r\\n\\r\\n'.encode())\n"
              "    print(s.recv(64).decode().split()[1])\n"
              "print(os.environ['NO_PROXY'])\n")
    done = run(["--profile", said], "/usr/bin/python3", "-c", script)
    assert done.stdout.split() == [b"403"] * 3 + [b"localhost,127.0.0.1"], done
    assert cli("enforce", "run", "--deny-domain", "a.example", "--allow-net", "--", "true").status == 2
    for wrong in ("github", "", "a b", "*"):
        refused = cli("enforce", "run", "--allow-cwd", "--deny-domain", wrong, "--", "true", cwd=folder)
        assert refused.status != 0 and b"den" in refused.stderr, wrong
    route = profile({"network": {"credentials": ["openai"], "deny_domain": ["api.openai.com"]}}, "route")
    assert b"goes to api.openai.com" in cli("enforce", "run", "--allow-cwd", "--profile", route, "--", "true",
                                            cwd=folder).stderr


def test_names_that_tools_reach_by_themselves_open_nothing(run, serve, profile, validate):
    server = serve()
    port = server.listener.getsockname()[1]
    path = profile({"network": {"allow_domain": ["a.example"], "no_proxy": [".corp", "*.b.example", "db", "10.1.2.3"]}})
    done = run(["--profile", path], "sh", "-c", "echo $NO_PROXY $no_proxy")
    assert done.stdout.split() == [b"localhost,127.0.0.1,.corp,*.b.example,db,10.1.2.3"] * 2
    assert attempt(run, ["--profile", path], f"tcp({port})").results == ["EACCES"]
    for wrong in ("*", "a.example", "db:80", "http://a", "a,b", "169.254.169.254", "fe80::1", ".goog/x", ".", "*.",
                  "*.metadata.google.internal", "a b", "user@host"):
        said = validate({"network": {"no_proxy": [wrong]}})
        assert said["valid"] is False and "no_proxy" in said["errors"][0], wrong


# --- what is started -----------------------------------------------------------------------------

def test_a_profile_names_what_is_started_and_words_for_it(cli, run, profile, folder):
    path = profile({"binary": "printf", "command_args": ["$WORKDIR", "two words"]})
    assert run(["--profile", path], "printf", "<%s>", "one").stdout == f"<one><{folder}><two words>".encode()
    first = profile({"binary": "printf", "command_args": ["<%s>", "~"]}, "first")
    for command in ("run", "wrap"):
        done = cli("enforce", command, "-s", "--allow-cwd", "--profile", first, cwd=folder)
        assert done.status == 0 and done.stdout == f"<{cli.env['HOME']}>".encode(), done
    missing = cli("enforce", "run", "-s", "--allow-cwd", cwd=folder)
    assert missing.status == 2 and b"command" in missing.stderr
    unset = profile({"command_args": ["$NO_SUCH_VARIABLE"]}, "unset")
    done = run(["--profile", unset], "true")
    assert done.status != 0 and b"NO_SUCH_VARIABLE" in done.stderr
    blocked = cli("enforce", "run", "-s", "--allow-cwd", "--profile", profile({"binary": "sudo"}, "sudo"), cwd=folder)
    assert blocked.status == 126


# --- each key ------------------------------------------------------------------------------------

# As a value of the right type, and what is wrong: nothing is taken for what it is not.
INERT = {
    "skipdirs": (["target"], ["target", [1], {}]),
    "interactive": (True, [1, "yes"]),
    "allow_launch_services": (True, [1, "yes"]),
    "unsafe_macos_seatbelt_rules": (["(allow x)"], ["x", [1]]),
    "rollback": ({"exclude_patterns": ["a"], "exclude_globs": ["*.o"]}, [[], {"exclude": []}, {"exclude_globs": [1]}]),
    "undo": ({"exclude_patterns": ["a"]}, [1, {"x": 1}]),
    "open_urls": ({"allow_origins": ["https://a.example", {"origin": "https://b.example", "when": "linux"}],
                   "allow_localhost": True},
                  [[], {"allow_localhost": 1}, {"allow_origins": "x"}, {"allow_origins": [{"origin": "x", "y": 1}]}]),
    "diagnostics": ({"suppress_system_services": ["x"], "redaction": {"extra_env_vars": ["A_*"]},
                     "network_denial_audit": {"rate_per_sec": 5, "burst": 10}},
                    [[], {"x": 1}, {"network_denial_audit": {"rate_per_sec": 0}},
                     {"network_denial_audit": {"burst": 10001}}, {"redaction": {"extra_env_vars": "A"}}]),
    "hooks": ({"agent": {"event": "e", "matcher": "m", "script": "s"}},
              [[], {"agent": []}, {"agent": {"event": "e", "matcher": "m"}}, {"agent": {"event": "e", "matcher": "m",
                                                                                      "script": "s", "x": "y"}}]),
    "network.allow_http2": (True, [1, "yes"]),
    "filesystem.suppress_save_prompt": (["/a", {"path": "/b", "when": "linux"}], ["/a", [1]]),
    "filesystem.ignore": (["/a"], ["/a"]),
}
REFUSED = {
    "packs": ["a/b"], "credential_providers": {"a": {}}, "credential_routes": [{}],
    "security.approval_backends": {"a": {}}, "network.approval_backends": {"a": {}},
    "security.approval_defaults": {"backend": "a"}, "network.approval_defaults": {"backend": "a"},
}


def at(key, value):
    section, _, name = key.rpartition(".")
    return {section: {name: value}} if section else {name: value}


@pytest.mark.parametrize("key", INERT)
def test_a_key_without_effect_is_told_and_its_type_counts(validate, key):
    right, wrong = INERT[key]
    said = validate(at(key, right))
    assert said["valid"] is True and len(said["warnings"]) == 1 and f"{key} has no effect" in said["warnings"][0]
    for value in wrong:
        if value != right:
            refused = validate(at(key, value))
            assert refused["valid"] is False and refused["errors"][0].startswith(key), value


@pytest.mark.parametrize("key", REFUSED)
def test_a_key_that_would_restrict_or_hand_out_is_refused(validate, key):
    said = validate(at(key, REFUSED[key]))
    assert said["valid"] is False and said["errors"][0].startswith(f"{key}: ")
    assert validate(at(key, type(REFUSED[key])()))["valid"] is True


def test_null_says_nothing_where_the_schema_has_it(validate):
    said = validate({"security": {"signal_mode": None, "ipc_mode": None, "process_info_mode": None,
                                  "capability_elevation": None, "wsl2_proxy_policy": None},
                     "linux": {"af_unix_mediation": None, "sandbox_policy": None}, "environment": None, "open_urls": None,
                     "allow_gpu": None, "allow_launch_services": None, "binary": None, "platform_overrides": None,
                     "allow_parent_of_protected": None, "extends": None, "network": {"network_profile": None,
                                                                                      "upstream_proxy": None}})
    assert said["valid"] is True and said["warnings"] == []
    for wrong in ({"network": {"block": None}}, {"filesystem": None}, {"filesystem": {"deny": None}},
                  {"workdir": {"access": None}}):
        assert validate(wrong)["valid"] is False, wrong


def test_a_full_profile_is_valid_without_a_warning_and_shows_every_key(cli, folder):
    path = folder / "full.json"
    cli.ok("enforce", "profile", "init", "full", "--full", "--output", path)
    said = cli.ok("--json", "enforce", "profile", "validate", path).json
    assert said["valid"] is True and said["warnings"] == [] and said["errors"] == []
    written = json.loads(path.read_text())
    shown = cli.ok("--json", "enforce", "profile", "show", path).json
    for section, keys in written.items():
        assert section in shown, section
        if isinstance(keys, dict) and section not in ("env_credentials", "credential_capture", "platform_overrides"):
            assert set(keys) <= set(shown[section]), (section, set(keys) - set(shown[section]))


# --- linux.isolate -------------------------------------------------------------------------------

def test_isolation_is_had_or_nothing_starts(cli, run, serve, profile, folder):
    server = serve()
    port = server.listener.getsockname()[1]
    path = profile({"network": {"block": True}, "linux": {"isolate": {"network": True, "ipc": True, "uts": True}}})
    done = run(["--profile", path], "sh", "-c", "readlink /proc/self/ns/net /proc/self/ns/ipc; hostname nt-other; hostname")
    if done.status != 0 and b"linux.isolate" in done.stderr:
        assert done.stdout == b"" and b"--accept-weaker namespaces" in done.stderr  # a machine without namespaces
        return
    spaces = done.stdout.split()[:2]
    assert spaces[0] != os.readlink("/proc/self/ns/net").encode() and spaces[1] != os.readlink("/proc/self/ns/ipc").encode()
    assert b"nt-other" not in done.stdout
    assert attempt(run, ["--profile", path], f"tcp({port})").results == ["EACCES"] and server.count == 0
    shown = cli.ok("--json", "enforce", "profile", "show", path).json["linux"]["isolate"]
    assert shown == {"network": True, "ipc": True, "uts": True}


def test_isolation_is_not_mixed_with_what_goes_round_it(cli, profile, validate, folder):
    said = {"linux": {"isolate": {"network": True}}}
    for more in ({}, {"network": {"block": True, "open_port": [1]}}, {"network": {"block": True, "connect_port": [1]}},
                 {"network": {"allow_domain": ["a.example"], "no_proxy": ["db"]}}):
        done = cli("enforce", "run", "--allow-cwd", "--profile", profile({**said, **more}), "--", "true", cwd=folder)
        assert done.status == 1 and b"linux.isolate.network" in done.stderr, more
    wrapped = cli("enforce", "wrap", "--allow-cwd", "--profile", profile({**said, "network": {"block": True}}), "--",
                  "true", cwd=folder)
    assert wrapped.status == 2 and b"use `run`" in wrapped.stderr
    for wrong in ({"loopback": True}, {"x": True}, {"network": 1}, [], None):
        assert validate({"linux": {"isolate": wrong}})["valid"] is False, wrong
    assert validate({"linux": {"isolate": {"loopback": False, "network": False}}})["valid"] is True


# --- variables -----------------------------------------------------------------------------------

def test_names_of_variables_are_patterns_of_the_whole_name(cli, profile, folder):
    given = {"A_TOKEN": "1", "a_token": "2", "TOKEN_A": "3", "A_SECRET_B": "4", "PLAIN": "5", "A_TOKENS": "6"}

    def left(**keys):
        done = cli("enforce", "run", "-s", "--allow-cwd", "--profile", profile({"environment": keys}), "--", "/usr/bin/env",
                   cwd=folder, env={**cli.env, **given})
        assert done.status == 0, done
        return {line.split("=")[0] for line in done.text.splitlines()} & set(given)
    assert left(deny_vars=["*_TOKEN", "*SECRET*"]) == {"a_token", "TOKEN_A", "PLAIN", "A_TOKENS"}
    assert left(deny_vars=["*_token"], case_insensitive_vars=True) == set(given) - {"A_TOKEN", "a_token"}
    assert left(deny_vars=["*"]) == set()
    assert left(deny_vars=["A_*_B", "TOKEN"]) == set(given) - {"A_SECRET_B"}
    assert left(allow_vars=["*_TOKEN", "P*N"]) == {"A_TOKEN", "PLAIN"}
    assert left(allow_vars=["PLAIN", "A_*"], deny_vars=["a_token*"], case_insensitive_vars=True) == {"PLAIN", "A_SECRET_B"}
