# SPDX-License-Identifier: Apache-2.0
"""Called as nono: the tree of enforce at the top level, its variables, its errors and exit statuses."""
import json
import re
import subprocess

import pexpect
import pytest

from conftest import BIN


@pytest.fixture
def nono(cli, tmp_path):
    """The program under the name nono, in a folder of its own."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/nono").symlink_to(BIN)
    work = tmp_path / "work"
    work.mkdir()
    tmp_path.chmod(0o755)

    def nono(*words, env=(), **how):
        how.setdefault("cwd", work)
        return subprocess.run([tmp_path / "bin/nono", *words], env={**cli.env, **dict(env)}, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=60, **how)

    nono.work, nono.env = work, cli.env
    return nono


def test_the_tree_stands_at_the_top(nono):
    done = nono("--help")
    text = done.stdout.decode()
    assert done.returncode == 0 and "Usage: nono " in text and "\n  run " in text and "\n  trust keygen " in text
    assert "enforce run" not in text and "ws create" not in text
    paths = {command["path"] for command in json.loads(nono("commands").stdout)}
    assert {"run", "shell", "wrap", "ps", "audit list", "completion", "help"} < paths
    assert not any(path.startswith(("enforce", "ws ", "sandbox-enforce")) for path in paths)


def test_the_help_of_a_command_is_in_its_words(nono):
    for words in (["run", "--help"], ["help", "run"]):
        text = nono(*words).stdout.decode()
        assert "Usage: nono run" in text and "  nono run --allow-cwd -- ls" in text and "enforce run" not in text


def test_everything_that_it_prints_is_in_its_words(nono):
    for words in (["run", "--help"], ["profile", "guide"], ["profile", "validate", "--help"], ["setup", "--help"], ["learn", "--help"]):
        done = nono(*words)
        text = re.sub(r"enforce\.[a-z_]+|cannot enforce|what (?:this machine|it) can enforce", "", done.stdout.decode())
        assert done.returncode == 0 and not re.search(r"\benforce [a-z]", text) and "nanoterm enforce" not in text, words
    assert "\n  nono profile init my-agent" in nono("profile", "guide").stdout.decode()
    assert nono("ps").stderr.startswith(b"nono: 'ps' is not built yet\n")


def test_the_exit_statuses_that_help_names_are_those_that_it_has(nono):
    text = nono("run", "--help").stdout.decode()
    assert re.search(r"\n  1    enforce\.command: ", text) and re.search(r"\n  1    enforce\.refused: ", text)
    (row,) = (row for row in json.loads(nono("commands").stdout) if row["path"] == "run")
    assert {error["exit_status"] for error in row["errors"]} == {1} and "\n  1    usage\n" in text, row["errors"]
    assert nono("run", "-s", "--allow-cwd", "--", "nothing-of-this-name").returncode == 1
    assert nono("run", "-s", "--allow-cwd", "--", "rm", "x").returncode == 1


@pytest.mark.parametrize("words", [["--help"], ["profile", "--help"]], ids=" ".join)
def test_help_has_the_options_that_may_stand_before_the_command(nono, words):
    options = nono(*words).stdout.decode().partition("Global options:")[2]
    assert "-s, --silent" in options and "--theme <name>" in options
    assert "--org" not in options and "--api" not in options  # there is no server in that tree
    assert b"--silent\t" in nono("--internal-complete", "words", "--").stdout


def test_completion_offers_the_names_that_there_are(nono, tmp_path):
    """Those of the tables and of the user's own profiles; no plugin is opened for it."""
    home = tmp_path / "home"
    profiles = home / ".config/nono/profiles"
    profiles.mkdir(parents=True)
    (profiles / "mine.json").write_text('{"meta": {"name": "mine"}}')
    (profiles / "note.txt").write_text("no profile")

    def offered(*words):
        done = nono("--internal-complete", "words", *words, env={"HOME": home})
        return [line.split("\t")[0] for line in done.stdout.decode().splitlines()]

    def names(*words):
        return {row["name"] for row in json.loads(nono(*words, "--json", env={"HOME": home}).stdout)}
    for words in (["run", "-p", ""], ["shell", "--profile", ""], ["why", "-p", ""], ["learn", "-p", ""], ["profile", "show", ""],
                  ["profile", "diff", "mine", ""], ["profile", "init", "x", "--extends", ""]):
        assert set(offered(*words)) == names("profile", "list") > {"mine", "default"}, words
    assert offered("run", "--profile=min") == ["--profile=mine"] and offered("run", "-p", "./x") == [":files"]
    assert set(offered("profile", "groups", "")) == names("profile", "groups")
    paths = {row["name"] for row in json.loads(nono("profile", "groups", "--json").stdout) if row["kind"] == "paths"}
    assert set(offered("profile", "init", "x", "--groups", "")) == paths
    hint = nono("run", "--network-profile", "nothing-of-this-name", "--", "true").stderr.decode()
    assert offered("run", "--network-profile", "") == re.search("there are: (.*)", hint)[1].split(", ")
    hint = nono("run", "--credential", "nothing-of-this-name", "--", "true").stderr.decode()
    assert offered("run", "--credential", "") == re.search("there are (.*), and", hint)[1].split(", ")
    assert offered("--theme", "t") == offered("run", "--theme", "t") == ["tokyo-night"]


@pytest.mark.parametrize("words, meant", [
    (["run", "-p", "develope", "--", "true"], "developer"), (["profile", "show", "pyton-dev"], "python-dev"),
    (["profile", "groups", "deny_credential"], "deny_credentials"), (["profile", "groups", "gitlb"], "gitlab"),
    (["profile", "init", "x", "--groups", "nod_runtime"], "node_runtime"), (["rnu", "--", "true"], "run"),
    (["run", "--alow", ".", "--", "true"], "--allow"),
], ids=lambda each: each if isinstance(each, str) else "")
def test_a_name_that_is_mistyped_brings_the_nearest(nono, words, meant):
    done = nono(*words)
    assert done.returncode == 1 and re.search(f"did you mean '?{meant}\\b", done.stderr.decode()), done


@pytest.mark.parametrize("words, told", [
    (["--allow-domain", "bad domain!"], ["--allow-domain: ", "*.example.com"]),
    (["--env-credential-map", "env://HOME"], ["two words", "env://HOME"]),
    (["--credential", "openai", "--allow-endpoint", "openaiGET"], ["SERVICE:METHOD:/path"]),
    (["-p", "./odd.json"], ["./odd.json: ", "there is no group nothing_like_it", "`profile groups`"]),
], ids=lambda each: each[0] if each[0][0] == "-" else "")
def test_an_error_names_its_cause_and_what_to_do(nono, words, told):
    (nono.work / "odd.json").write_text('{"meta": {"name": "odd"}, "groups": {"include": ["nothing_like_it"]}}')
    done = nono("run", *words, "--", "true")
    assert done.returncode == 1 and all(text in done.stderr.decode() for text in told), done


def test_several_folders_behind_one_flag(nono):
    """As in the reference's example of trust init; the command itself is of a later version."""
    done = nono("trust", "init", "-r", "--exclude-dirs", "tmp", "logs")
    assert done.returncode == 1 and b"not built yet" in done.stderr


def test_the_version(nono):
    assert nono("--version").stdout.startswith(b"nono ")


def test_completion_is_of_that_name_and_tree(nono):
    for shell in ("bash", "zsh", "fish"):
        script = nono("completion", shell).stdout
        assert b"nono" in script and b"nanoterm" not in script
    assert b"wrap\t" in nono("--internal-complete", "words", "wr").stdout


@pytest.mark.parametrize("words", [["-s", "run"], ["--silent", "run"], ["run", "-s"], ["run", "--silent"],
                                   ["-s", "--theme", "latte", "run"], ["--theme=frappe", "run", "-s"],
                                   ["-s", "run", "--theme", "nothing-like-it"]], ids=" ".join)
def test_silent_and_theme_stand_before_or_behind_the_command(nono, words):
    done = nono(*words, "--allow-cwd", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_an_error_is_one_of_nono(nono):
    done = nono("run", "-s", "--allow-cwd", "--", "nothing-of-this-name")
    assert done.returncode == 1 and done.stderr.startswith(b"nono: ")
    done = nono("run", "--allow-cwd", "--", "rm", "x")
    assert done.returncode == 1 and b"nono: " in done.stderr
    for words in (["run", "--nothing"], ["nothing"], ["run", "--block-net", "--allow-net", "--", "true"], ["run"]):
        done = nono(*words)
        assert done.returncode == 1 and done.stderr.startswith(b"nono: "), words
    assert nono("ps").returncode == 1


def test_control_c_at_the_question_is_an_interruption(nono):
    for _ in range(5):  # it may come before the program waits for the answer
        child = pexpect.spawn(str(nono.work.parent / "bin/nono"), ["run", "--", "echo", "run", "all", "the", "same"], cwd=str(nono.work),
                              env=nono.env, encoding="utf-8", timeout=60)
        child.delaybeforesend = None
        child.expect_exact("[y/N]")
        child.sendintr()
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 130 and "same" not in child.before, child.before


def test_a_program_that_cannot_be_executed_is_127(nono, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "x").write_text("#!/bin/sh\n")
    (other / "x").chmod(0o755)
    assert nono("run", "-s", "--allow-cwd", "--", str(other / "x")).returncode == 127


def trial(nono, env, *words):
    done = nono("run", "--dry-run", "--json", *words, "--", "true", env=env)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def granted(row):
    return {(each["path"], each["access"]) for each in row["capabilities"] if each["source"] == "user"}


def test_variables_stand_in_for_flags(nono):
    a, b = nono.work / "a", nono.work / "b"
    a.mkdir()
    b.mkdir()
    row = trial(nono, {"NONO_ALLOW": f"{a},{b}", "NONO_BLOCK_NET": "yes"})
    assert granted(row) == {(str(a), "readwrite"), (str(b), "readwrite")} and row["network"] == "blocked"
    # A flag wins over its variable.
    assert granted(trial(nono, {"NONO_ALLOW": str(a)}, "--allow", str(b))) == {(str(b), "readwrite")}


@pytest.mark.parametrize("text, blocked", [("true", True), ("yes", True), ("on", True), ("1", True), ("Y", True), ("t", True),
                                           ("false", False), ("no", False), ("off", False), ("0", False), ("n", False),
                                           ("F", False), ("", False)])
def test_booleans_of_variables(nono, text, blocked):
    assert trial(nono, {"NONO_BLOCK_NET": text})["network"] == ("blocked" if blocked else "allowed")


def test_variables_that_are_wrong_or_exclude_each_other(nono):
    for env, words in [({}, ["--profile", ""]), ({"NONO_BLOCK_NET": "maybe"}, []), ({"NONO_BLOCK_NET": "1", "NONO_ALLOW_NET": "1"}, []),
                       ({"NONO_BLOCK_NET": "1"}, ["--allow-net"]), ({"NONO_ALLOW_NET": "1"}, ["--allow-domain", "a.example"]),
                       ({"NONO_BLOCK_NET": "1", "NONO_NETWORK_PROFILE": "minimal"}, []), ({"NONO_PROFILE": ""}, [])]:
        done = nono("run", *words, "--allow-cwd", "--", "touch", "ran", env=env)
        assert done.returncode == 1 and not (nono.work / "ran").exists(), (env, words)


def test_older_names_of_variables_warn_once(nono):
    done = nono("run", "--dry-run", "--", "true", env={"NONO_NET_BLOCK": "1"})
    assert done.stderr.count(b"NONO_NET_BLOCK is an older name of NONO_BLOCK_NET") == 1 and b"blocked" in done.stderr


def test_what_is_not_built_is_not_ignored(nono):
    for env in ({"NONO_CAPABILITY_ELEVATION": "1"},):
        assert nono("run", "--allow-cwd", "--", "true", env=env).returncode == 1


def test_variables_of_nono_mean_nothing_to_nanoterm(cli, tmp_path):
    done = cli("enforce", "run", "--dry-run", "--json", "--", "true", cwd=tmp_path, env={**cli.env, "NONO_BLOCK_NET": "1"})
    assert done.json["network"] == "allowed"
