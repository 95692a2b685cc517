# SPDX-License-Identifier: Apache-2.0
"""enforce profile …: profiles as people write, list, compare and check them, and what run makes of them."""
import json
import os
import re
import shutil
import stat
import subprocess

import pytest

from conftest import BIN

REQUIRED = {"deny_credentials", "deny_keychains_linux", "deny_browser_data_linux", "deny_shell_history",
            "deny_shell_configs"}
BUILT_IN = {"default", "linux-host-compat", "python-dev", "node-dev", "go-dev", "java-dev", "rust-dev", "openclaw",
            "swival", "claude-code", "codex", "opencode", "developer"}


@pytest.fixture
def nono(fresh, tmp_path):
    """The program under nono's name, with a home of its own."""
    cli = fresh()
    (tmp_path / "nono").symlink_to(cli.program)
    cli.program = str(tmp_path / "nono")
    return cli


@pytest.fixture
def profile(fresh):
    """profile(NAME, {…} or text): writes one; .cli is the program."""
    cli = fresh()

    def write(name, content, mode=0o600):
        path = cli.home / ".config/nono/profiles" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        path.chmod(mode)
        return path
    write.cli = cli
    write.json = lambda *words: cli.ok("--json", "enforce", "profile", *words).json
    return write


def capabilities(cli, *options, cwd=None):
    done = cli.ok("--json", "enforce", "run", "--dry-run", *options, "--", "true", cwd=cwd or cli.home)
    return done.json


# --- the commands as the reference has them --------------------------------------------------------------------------

def test_all_of_nonos_profile_commands_are_there(nono):
    listed = {row["name"]: row for row in nono.ok("--json", "profile", "list").json}
    assert BUILT_IN <= set(listed)
    assert all(listed[name]["source"] == "built-in" for name in BUILT_IN)
    assert nono.ok("--json", "profile", "show", "claude-code").json["workdir"] == {"access": "readwrite"}
    groups = nono.ok("--json", "profile", "diff", "default", "python-dev").json["groups"]
    assert (groups["added"], groups["removed"]) == (["python_runtime"], []) and groups["include"]["added"] == groups["added"]
    assert json.loads(nono.ok("profile", "schema").stdout)["additionalProperties"] is False
    assert "WRITING A PROFILE" in nono.ok("profile", "guide").text
    groups = {row["name"]: row for row in nono.ok("--json", "profile", "groups").json}
    assert {name for name, row in groups.items() if row["required"]} == REQUIRED
    nono.ok("profile", "init", "mine", "--extends", "node-dev", "--groups", "git_config")
    assert (nono.home / ".config/nono/profiles/mine.json").exists()
    assert nono.ok("--json", "profile", "validate", "mine").json["valid"] is True


def test_a_group_shows_its_paths_on_this_machine(profile):
    (row,) = profile.json("groups", "deny_credentials")
    entry = {item["path"]: item for item in row["entries"]}["~/.ssh"]
    assert entry["expanded"] == str(profile.cli.home / ".ssh") and entry["exists"] is False
    assert row["deny"] == len(row["entries"])
    text = profile.cli.ok("enforce", "profile", "groups", "deny_credentials").text
    assert "~/.ssh" in text and "SSH keys" in text
    failed = profile.cli("--json", "enforce", "profile", "groups", "nothing")
    assert failed.status == 1 and failed.error["code"] == "enforce.profile"


def test_hosts_of_registries_come_with_their_origin(profile):
    home = profile.cli.home
    (home / ".npmrc").write_text("registry=https://npm.example.com/\n//npm.example.com/:_authToken=hidden\n")
    lists = home / ".config/nanoterm/hosts.d"
    lists.mkdir(parents=True)
    (lists / "mine.hosts").write_text("list.example.com # mine\n")
    (row,) = profile.json("groups", "package_registries")
    origins = {entry["path"]: entry["about"] for entry in row["entries"]}
    assert origins["npm.example.com"] == str(home / ".npmrc")
    assert origins["list.example.com"] == str(lists / "mine.hosts")
    assert "hidden" not in json.dumps(row)


def test_a_group_that_is_empty_here_is_not_every_host(profile):
    """Settings of this machine are hidden from it, in mounts of its own."""
    cli = profile.cli
    nothing = cli.home / "nothing"
    nothing.write_text("")
    environment = {name: value for name, value in cli.env.items() if "_" not in name or name.startswith("NANOTERM")}
    environment["PATH"] = str(nothing)  # no package manager to ask, either
    inside = "group=$1; shift; while [ -n \"$1\" ]; do /bin/mount --bind \"$group\" \"$1\" || exit 77; shift; done; shift; exec \"$@\""

    def told(*words, hidden=()):
        line = ["/usr/bin/unshare", "-rm", "/bin/sh", "-c", inside, "sh", nothing, *hidden, "", BIN, "--json", "enforce", *words]
        return subprocess.run(line, env=environment, cwd=cli.home, capture_output=True, timeout=120)

    listed = told("profile", "groups", "package_registries")
    if listed.returncode:
        pytest.skip("no mounts of one's own here")
    (row,) = json.loads(listed.stdout)
    hidden = {entry["about"] for entry in row["entries"] if os.path.isfile(entry["about"])}
    shutil.rmtree(cli.home / ".cache", ignore_errors=True)
    (row,) = json.loads(told("profile", "groups", "package_registries", hidden=hidden).stdout)
    assert row["entries"] == []
    for words in (["why", "--host", "example.com"], ["run", "--allow-cwd", "--dry-run"]):
        done = told(*words, "--allow-domain", "package_registries", *(["--", "/bin/true"] if words[0] == "run" else []), hidden=hidden)
        assert done.returncode == 1 and b"enforce.profile" in done.stderr and b"empty" in done.stderr, done
    done = told("why", "--host", "example.com", "--allow-domain", "package_registries", "--allow-domain", "a.example", hidden=hidden)
    assert json.loads(done.stdout)["status"] == "denied", done


def test_a_file_with_comments_comes_first(profile):
    cli = profile.cli
    profile("mine", {"meta": {"name": "mine", "description": "plain"}})
    folder = cli.home / ".config/nono/profiles"
    (folder / "mine.jsonc").write_text('// how I work\n{"meta": {"name": "mine", "description": "with comments",},}\n')
    (folder / "other.jsonc").write_text('{"extends": "mine", "meta": {"name": "other"}}\n')
    assert profile.json("show", "mine")["description"] == "with comments"
    rows = {row["name"]: row for row in profile.json("list") if row["source"] == "user"}
    assert sorted(rows) == ["mine", "other"] and rows["mine"]["description"] == "with comments"
    assert cli("enforce", "run", "--profile", "other", "--allow-cwd", "--", "true").status == 0
    assert profile.json("validate", "mine")["valid"] is True
    done = cli("--json", "enforce", "profile", "init", "other", "--output", str(folder / "other.jsonc"))
    assert done.status == 7 and done.error["code"] == "conflict"


def test_init_refuses_what_it_should(profile):
    cli = profile.cli
    cli.ok("enforce", "profile", "init", "mine")
    path = cli.home / ".config/nanoterm/profiles/mine.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    assert cli("enforce", "profile", "init", "mine", "--full").status == 7
    assert path.read_text() == before and os.listdir(path.parent) == ["mine.json"]
    cli.ok("enforce", "profile", "init", "mine", "--full", "--force")
    assert "custom_credentials" in path.read_text() and os.listdir(path.parent) == ["mine.json"]
    assert cli.ok("--json", "enforce", "profile", "validate", "mine").json["errors"] == []
    for words in (["../x"], ["x/y"], ["x", "--extends", "nobody"], ["x", "--groups", "nothing"]):
        assert cli("enforce", "profile", "init", *words).status != 0
    assert json.loads(cli.ok("enforce", "profile", "init", "x", "--output", "-").stdout)["meta"]["name"] == "x"
    assert not (path.parent / "x.json").exists()


def test_validate_lists_all_that_is_wrong(profile):
    path = profile("wrong", '{"meta": {"name": "wrong"}, "filesystem": {"alow": [], "read": "x"}, "nothing": 1}')
    done = profile.cli("--json", "enforce", "profile", "validate", path)
    assert done.status == 1 and done.json["valid"] is False
    assert sorted(line.split(":")[0] for line in done.json["errors"]) == ["filesystem.alow", "filesystem.read", "nothing"]
    path = profile("names", {"meta": {"name": "names"}, "groups": {"include": ["no1"], "exclude": ["deny_credentials"]},
                             "network": {"network_profile": "no2", "credentials": ["no3"]}})
    errors = " ".join(profile.cli("--json", "enforce", "profile", "validate", path).json["errors"])
    assert all(name in errors for name in ("no1", "deny_credentials", "no2", "no3"))


def test_old_keys_work_with_one_warning_each(profile):
    path = profile("old", {"meta": {"name": "old"}, "security": {"groups": ["git_config"]},
                           "policy": {"add_allow_read": ["~/x"]}})
    done = profile.cli("--json", "enforce", "profile", "validate", path)
    assert done.status == 0
    assert done.json["deprecated_keys"] == ["security.groups", "policy.add_allow_read"]
    assert profile.cli("enforce", "profile", "validate", "--strict", path).status == 2
    shown = profile.cli.ok("--json", "enforce", "profile", "show", "old")
    assert shown.json["filesystem"]["read"] == ["~/x"] and "git_config" in shown.json["groups"]["include"]
    assert shown.stderr.decode().count("policy.add_allow_read") == 1


def test_what_show_prints_can_be_used_as_a_profile(profile):
    text = profile.cli.ok("enforce", "profile", "show", "claude-code").text
    profile("copy", text)
    assert profile.json("validate", "copy")["valid"] is True
    assert profile.json("diff", "claude-code", "copy")["filesystem"] is None


def test_a_profile_that_cannot_be_read_is_listed_with_the_reason(profile):
    profile("broken", "{")
    profile("open", {"meta": {"name": "open"}}, mode=0o666)
    rows = {row["name"]: row for row in profile.json("list")}
    assert "line 1" in rows["broken"]["problem"] and "others" in rows["open"]["problem"]


# --- what run makes of them ------------------------------------------------------------------------------------------

def test_a_profile_decides_what_run_grants(profile):
    home = profile.cli.home
    (home / "data").mkdir()
    profile("base", {"meta": {"name": "base"}, "filesystem": {"read": ["~/data"]}})
    profile("child", {"extends": "base", "meta": {"name": "child"}, "filesystem": {"write": ["$HOME/data"]},
                      "network": {"block": True}})
    seen = capabilities(profile.cli, "--profile", "child")
    grants = {row["path"]: row for row in seen["capabilities"]}
    assert grants[str(home / "data")]["source"] == "profile"
    assert grants[str(home / "data")]["access"] == "readwrite"
    assert seen["network"] == "blocked"


@pytest.mark.parametrize("grant", ["~/.ssh", "~/.ssh/keys", "link", "~/.nanoterm", "~/.local/state/nono"])
def test_a_denied_path_is_refused_however_it_is_named(fresh, grant):
    cli = fresh()
    for name in (".ssh/keys", ".nanoterm", ".local/state/nono"):
        (cli.home / name).mkdir(parents=True)
    (cli.home / "link").symlink_to(".ssh/keys")
    done = cli("--json", "enforce", "run", "--allow", grant, "--", "true")
    assert done.status == 1 and done.error["code"] == "enforce.protected", done


def test_a_denied_path_opens_by_name_with_a_grant(fresh):
    cli = fresh()
    (cli.home / ".ssh").mkdir()
    (cli.home / ".ssh/config").write_text("Host x")
    done = cli("enforce", "run", "--read", "~/.ssh", "--bypass-protection", "~/.ssh", "--", "cat",
               cli.home / ".ssh/config")
    assert done.status == 0 and done.text == "Host x" and b"bypassed" in done.stderr, done
    assert cli("enforce", "run", "--bypass-protection", "~/.ssh", "--", "true").status == 1
    # What is not there needs a grant as well; that is skipped with a warning.
    assert cli("enforce", "run", "--bypass-protection", "~/.aws", "--", "true").status == 1
    done = cli("enforce", "run", "--read", "~/.aws", "--bypass-protection", "~/.aws", "--", "true")
    assert done.status == 0 and b"~/.aws is skipped" in done.stderr, done
    own = cli.home / ".nanoterm"
    own.mkdir(exist_ok=True)
    assert cli("enforce", "run", "--read", own, "--bypass-protection", own, "--", "true").status == 1


def test_a_hostile_project_chooses_no_registry(fresh):
    cli = fresh()
    project = cli.home / "project"
    (project / "node_modules/.bin").mkdir(parents=True)
    (project / ".npmrc").write_text("registry=https://hostile.example.com/\n")
    fake = project / "node_modules/.bin/npm"
    fake.write_text(f"#!/bin/sh\ntouch {cli.home}/ran\necho https://hostile.example.com/\n")
    fake.chmod(0o755)
    cli.env["PATH"] = f"{fake.parent}:{cli.env['PATH']}"
    (row,) = cli.ok("--json", "enforce", "profile", "groups", "package_registries", cwd=project).json
    assert "hostile" not in json.dumps(row)
    assert not (cli.home / "ran").exists()


@pytest.mark.parametrize("is_writable", [False, True], ids=["closed", "writable"])
@pytest.mark.parametrize("runner", ["/bin/sh", "/usr/bin/env hostile-sh", "{own}/hostile-sh"])
def test_a_package_manager_that_the_program_could_write_is_not_asked(fresh, runner, is_writable):
    """Its own file lies in a closed folder, unless it is the one to be asked: what runs it is the program's then."""
    cli = fresh()
    (cli.home / "work").mkdir()
    own, tools = cli.home / "own", cli.home / "tools"
    own.mkdir()
    tools.mkdir()
    (own / "hostile-sh").symlink_to("/bin/sh")
    npm = (own if runner == "/bin/sh" else tools) / "npm"
    npm.write_text(f"#!{runner.format(own=own)}\ntouch {cli.home}/ran\necho https://asked.example.com/\n")
    npm.chmod(0o755)
    env = {**cli.env, "PATH": f"{own}:{tools}:{cli.env['PATH']}"}
    words = ["enforce", "why", "--host", "asked.example.com", "--allow-domain", "package_registries", "--write" if is_writable else "--read", own]
    done = cli("--json", *words, cwd=cli.home / "work", env=env)
    assert done.json["status"] == ("denied" if is_writable else "allowed"), done
    assert (cli.home / "ran").exists() is not is_writable


def test_a_capability_manifest(fresh):
    cli = fresh()
    (cli.home / "data").mkdir()
    manifest = cli.home / "manifest.json"
    manifest.write_text(json.dumps({"version": "0.1.0", "network": {"mode": "blocked"}, "filesystem": {
        "grants": [{"path": str(cli.home / "data"), "access": "readwrite"}], "deny": []}}))
    seen = capabilities(cli, "--config", str(manifest))
    assert str(cli.home / "data") in [row["path"] for row in seen["capabilities"]] and seen["network"] == "blocked"
    manifest.write_text('{"version": "0.1.0", "filesystems": {}}')
    done = cli("--json", "enforce", "run", "--config", manifest, "--", "true")
    assert done.status == 1 and "filesystems" in done.error["message"]
    # What the hint shows is one.
    manifest.write_text(re.search(r"\{.*\}", done.error["hint"])[0])
    assert capabilities(cli, "--config", str(manifest))["network"] == "allowed"


def test_the_guide_names_only_keys_that_there_are(fresh):
    """Each "section.key" of the guide is in the schema; a section of the person's own names has any."""
    cli = fresh()
    schema = json.loads(cli.ok("enforce", "profile", "schema").stdout)["properties"]
    words = cli.ok("enforce", "profile", "guide").text.replace(",", " ").split()
    named = [word.split(".")[:2] for word in words if "." in word and word.split(".")[0] in schema]
    assert len(named) > 15
    for section, key in named:
        assert key.startswith("…") or key in schema[section].get("properties", [key]), (section, key)
