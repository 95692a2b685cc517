# SPDX-License-Identifier: Apache-2.0
"""Making a plugin outside of this tree, and what `plugin check`, `install` and `remove` hold against others' files."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import BIN

PREFIX = pathlib.Path(BIN).resolve().parent.parent
PACKAGE = next(PREFIX.glob("lib*/**/cmake/Nanoterm"), None)
CONFIG = next(PREFIX.glob("lib*/**/pkgconfig/nanoterm.pc"), None)

needs_sdk = pytest.mark.skipif(PACKAGE is None, reason="the SDK is not installed beside this program (a build tree)")


def run(*words, **how):
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, **how)
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def build(cli, folder):
    """Builds a project that `plugin new` made, and runs its test. Returns the folder with the plugin."""
    env = {**cli.env, "CMAKE_PREFIX_PATH": str(PREFIX)}
    run("cmake", "-S", folder, "-B", folder / "build", env=env)
    run("cmake", "--build", folder / "build", env=env)
    assert "100% tests passed" in run("ctest", "--test-dir", folder / "build", "--no-tests=error", env=env)
    return folder / "build/lib/nanoterm/plugins"


@pytest.fixture
def own(fresh):
    """The program with a home that no other test has."""
    return fresh()


@pytest.fixture
def hello(own, tmp_path):
    """A plugin of a stranger, built."""
    own.ok("plugin", "new", "hello", "--into", tmp_path / "hello")
    return build(own, tmp_path / "hello")


def results(done):
    return {row["check"]: row["result"] for row in done.json}


@needs_sdk
@pytest.mark.parametrize("lang, source", [("c", "greeter.c"), ("c++", "greeter.cpp")])
def test_a_new_plugin_builds_passes_and_runs(own, tmp_path, lang, source):
    folder = tmp_path / "greeter"
    made = own.ok("--json", "plugin", "new", "greeter", "--lang", lang, "--into", folder).json
    assert made["folder"] == str(folder) and (folder / source).is_file() and (folder / ".gitignore").is_file()
    assert "@NAME@" not in "".join(p.read_text() for p in folder.rglob("*") if p.is_file())
    plugins = build(own, folder)
    assert own.ok("--json", "plugin", "install", plugins).json["name"] == "greeter"
    assert own.ok("--json", "greeter", "greet", "you", "--times", "2").json == [
        {"number": 1, "text": "Hello, you!"}, {"number": 2, "text": "Hello, you!"}]
    refused = own("--json", "greeter", "greet", "")
    assert refused.status == 2 and refused.error["code"] == "greeter.nobody"
    own.ok("plugin", "remove", "greeter")
    assert own("greeter", "greet", "you").status == 2


@needs_sdk
def test_a_new_plugin_builds_by_pkg_config(own, tmp_path):
    folder = tmp_path / "hello"
    own.ok("plugin", "new", "hello", "--into", folder)
    pc = tmp_path / "pc"
    pc.mkdir()
    text = CONFIG.read_text().splitlines()  # the prefix may have been moved since it was configured
    (pc / "nanoterm.pc").write_text("\n".join([f"prefix={PREFIX}", *text[1:]]) + "\n")
    run("make", "check", cwd=folder, env={**own.env, "PKG_CONFIG_PATH": str(pc)})
    assert (folder / "build/make/hello.so").is_file()


@needs_sdk
def test_a_signature_says_who_and_holds_the_name(own, hello, tmp_path):
    sign = ("plugin", "sign", hello / "hello.so", "--new-key", "--signer")
    key = own.ok("--json", *sign, "Jane", "--key", tmp_path / "jane").json["key"]
    assert (tmp_path / "jane").stat().st_mode & 0o777 == 0o600
    assert own.ok("--json", *sign, "Jane", "--key", tmp_path / "jane").json["key"] == key
    installed = own.ok("--json", "plugin", "install", hello).json
    assert installed["signer"] == "Jane" and installed["key"] == key
    assert own.ok("--json", "plugin", "info", "hello").json["signer"] == "Jane"

    signature = (hello / "hello.so.sig").read_text()
    (hello / "hello.so.sig").unlink()
    assert own("plugin", "install", hello).status == 5  # unsigned
    own.ok(*sign, "Jane", "--key", tmp_path / "eve")
    refused = own("--json", "plugin", "install", hello)  # the same name, another key
    assert refused.status == 5 and "another key" in refused.error["message"]
    renamed = json.loads(signature)
    renamed["signer"] = "Root"
    (hello / "hello.so.sig").write_text(json.dumps(renamed))
    assert own("plugin", "install", hello).status == 5  # who signed is signed, too
    assert own.ok("--json", "plugin", "info", "hello").json["key"] == key  # nothing was replaced

    (hello / "hello.so.sig").write_text(signature)
    with open(hello / "hello.so", "ab") as file:
        file.write(b"x")
    checked = own("--json", "plugin", "check", hello)
    assert checked.status == 1 and results(checked)["signature"] == "failed"
    assert own("plugin", "install", hello).status == 5
    os.chmod(tmp_path / "jane", 0o644)
    assert own(*sign, "Jane", "--key", tmp_path / "jane").status == 5  # a key that others can read


@needs_sdk
@pytest.mark.parametrize("old, new, why", [
    ('"hello greet', '"ws greet', "ws"),
    ('"hello greet', '"plugin greet', "plugin"),
    ('static const struct nt_plugin plugin', 'static const struct nt_group also[] = { { .name = "secrets", .summary = "x" } };\n'
     'static const struct nt_plugin plugin', None),
])
def test_a_plugin_takes_no_name_of_others(own, tmp_path, old, new, why):
    folder = tmp_path / "hello"
    own.ok("plugin", "new", "hello", "--into", folder)
    edit(folder / "hello.c", old, new)
    if why is None:
        edit(folder / "hello.c", ".groups = NT_TABLE(groups)", ".groups = NT_TABLE(also)")
        why = "secrets"
    run("cmake", "-S", folder, "-B", folder / "build", "-DBUILD_TESTING=OFF", env={**own.env, "CMAKE_PREFIX_PATH": str(PREFIX)})
    run("cmake", "--build", folder / "build")
    checked = own("--json", "plugin", "check", folder / "build/lib/nanoterm/plugins")
    assert checked.status == 1 and results(checked)["names"] == "failed"
    assert why in checked.json[-1]["detail"]
    refused = own("--json", "plugin", "install", folder / "build/lib/nanoterm/plugins/hello.so")
    assert refused.status == 1 and refused.error["code"] == "plugin_failed"
    assert not (own.home / ".nanoterm/plugins/hello.so").exists()


@needs_sdk
@pytest.mark.parametrize("body, why", [
    ("for (;;) pause();", "did not finish loading"),
    ("raise(SIGSEGV);", "crashed with signal 11"),
])
def test_check_outlives_what_it_loads(own, tmp_path, body, why):
    source = tmp_path / "evil.c"
    source.write_text("#include <signal.h>\n#include <unistd.h>\n"
                      "__attribute__((constructor)) static void at_load(void) { " + body + " }\n"
                      "const void *nt_plugin_v1(void); const void *nt_plugin_v1(void) { return 0; }\n")
    run("cc", "-shared", "-fPIC", "-o", tmp_path / "evil.so", source)
    checked = own("--json", "plugin", "check", tmp_path / "evil.so")
    assert checked.status == 1 and results(checked)["tables"] == "failed" and why in checked.json[-1]["detail"]
    assert own("plugin", "install", tmp_path / "evil.so").status == 1


def test_what_is_no_plugin_is_said_so(own, tmp_path):
    (tmp_path / "text.so").write_text("no\n")
    (tmp_path / "Upper.so").write_text("no\n")
    os.mkfifo(tmp_path / "fifo.so")
    (tmp_path / "empty").mkdir()
    assert results(own("--json", "plugin", "check", tmp_path / "text.so"))["file"] == "failed"
    assert results(own("--json", "plugin", "check", tmp_path / "Upper.so"))["name"] == "failed"
    assert own("--json", "plugin", "check", tmp_path / "fifo.so").error["code"] == "plugin_failed"
    assert own("plugin", "check", tmp_path / "none.so").status == 3
    assert own("plugin", "install", tmp_path / "empty").status == 3
    assert own("plugin", "install", tmp_path).status == 2  # more than one
    assert not (own.home / ".nanoterm/plugins").exists()


def test_names_are_checked_before_anything_is_made(own, tmp_path):
    for name in ("ws", "Hello", "../hello", "a" * 33, ""):
        assert own("plugin", "new", name, "--into", tmp_path / "x").status == 2
    assert not (tmp_path / "x").exists()
    (tmp_path / "x").mkdir()
    assert own("plugin", "new", "hello", "--into", tmp_path / "x").status == 7
    assert own("plugin", "remove", "hello").status == 3
    assert own("plugin", "remove", "../hello").status == 2
    assert own("plugin", "info", "hello").status == 3
    installed = own("--json", "plugin", "remove", "ws")
    assert installed.status == 3 and "other means" in installed.error["hint"]
    info = own.ok("--json", "plugin", "info", "ws").json
    assert "ws create" in info["commands"] and info["state"] == "ok" and "signer" in info


@needs_sdk
def test_a_folder_that_others_can_write_takes_no_plugin(own, hello):
    folder = own.home / ".nanoterm/plugins"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    refused = own("--json", "plugin", "install", hello)
    assert refused.status == 1  # first a warning that the folder is skipped, then the error
    assert "others can write" in json.loads(refused.stderr.splitlines()[-1])["message"]
    assert not list(folder.iterdir())
    folder.chmod(0o755)
    (folder / "hello.so").symlink_to(own.home / "victim")  # replaced by the rename, never written through
    own.ok("plugin", "install", hello)
    assert not (own.home / "victim").exists() and not (folder / "hello.so").is_symlink()
    assert sorted(p.name for p in folder.iterdir()) == ["hello.manifest", "hello.so"]


@pytest.fixture
def moved(fresh, tmp_path):
    """A copy of this program with its plugins, whose files a test may break; and the folder of its plugins."""
    nanoterm = fresh()
    plugins = next(pathlib.Path(row["file"]).parent for row in nanoterm.ok("--json", "plugin", "list").json
                   if row["name"] == "ws")
    copy = tmp_path / "prefix"
    (copy / "bin").mkdir(parents=True, mode=0o755)
    shutil.copy2(BIN, copy / "bin/nanoterm")
    into = copy / plugins.resolve().relative_to(PREFIX)
    shutil.copytree(plugins, into)
    libexec = PREFIX / "libexec"
    if libexec.is_dir():
        shutil.copytree(libexec, copy / "libexec")
    nanoterm.program = str(copy / "bin/nanoterm")
    assert row_of(nanoterm, "ws")["file"] == str(into / "ws.so")
    return nanoterm, into


def row_of(nanoterm, name):
    return next(row for row in nanoterm.ok("--json", "plugin", "list").json if row["name"] == name)


def wrong_build(manifest):
    made, changed = re.subn(rb"(?m)^build [0-9a-f]{40}$", b"build " + b"0" * 40, manifest)
    assert changed == 1
    return made


def names_alone(manifest):
    """Without the rows of the commands, which nothing misses that only looks for names."""
    head = re.match(rb"(?:.*\n){4}names (\d+)\n", manifest)
    return manifest[:head.end() + int(head[1])]


BREAKS = {
    "truncated": lambda old: old[:len(old) // 2],
    "empty": lambda old: b"",
    "garbage": lambda old: bytes(range(256)) * 64,
    "deep": lambda old: b"[" * 100000,
    "another thing": lambda old: b'{"plugins": 7}',
    "names alone": lambda old: names_alone(old) if old.startswith(b"nanoterm-manifest") else old[:-1],
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_manifest_costs_nothing_but_time(moved, how):
    """The tables are then asked of the plugin itself, once; a cache that is broken is made anew."""
    nanoterm, plugins = moved
    manifest = plugins / "proxy.manifest"
    manifest.write_bytes(BREAKS[how](manifest.read_bytes()))
    assert b"proxy" in nanoterm.ok("--help").stdout
    for _ in range(2):
        help = nanoterm.ok("proxy", "--help")
        assert b"Forward a port" in help.stdout and help.stderr == b""
    assert row_of(nanoterm, "proxy")["state"] == "ok"
    cache = nanoterm.home / ".nanoterm/cache/plugins.json"
    good = json.loads(cache.read_bytes())
    assert list(good["plugins"]) == [str(plugins / "proxy.so")]
    cache.write_bytes(BREAKS[how](cache.read_bytes()))
    assert b"Forward a port" in nanoterm.ok("proxy", "--help").stdout
    assert json.loads(cache.read_bytes()) == good


def test_the_manifest_of_another_build_is_named(moved):
    """It is a hint until the plugin is loaded; then what it says must be so."""
    nanoterm, plugins = moved
    manifest = plugins / "proxy.manifest"
    manifest.write_bytes(wrong_build(manifest.read_bytes()))
    refused = nanoterm("--json", "proxy", "ws_a1b2c3d4", "3000")
    assert refused.status == 1 and "proxy.so" in refused.error["message"] and "reinstall" in refused.error["hint"], refused
    row = row_of(nanoterm, "proxy")
    assert row["state"] == "skipped" and "not of this file" in row["reason"], row
    nanoterm.ok("ws", "--help")
    manifest.unlink()
    assert row_of(nanoterm, "proxy")["state"] == "ok"


def test_a_manifest_that_says_other_things_is_named(moved):
    nanoterm, plugins = moved
    manifest = plugins / "proxy.manifest"
    manifest.write_text(manifest.read_text().replace("=port\n", "=part\n"))
    refused = nanoterm("--json", "proxy", "ws_a1b2c3d4", "3000")
    assert refused.status == 1 and "not of this file" in refused.error["message"], refused


CUTS = {"cut off": lambda old: old[:4096], "empty": BREAKS["empty"], "garbage": BREAKS["garbage"]}


@pytest.mark.parametrize("how", CUTS)
def test_a_broken_plugin_is_named_and_the_others_work(moved, how):
    nanoterm, plugins = moved
    (plugins / "proxy.so").write_bytes(CUTS[how]((plugins / "proxy.so").read_bytes()))
    row = row_of(nanoterm, "proxy")
    assert row["state"] != "ok" and row["reason"], row
    refused = nanoterm("proxy", "ws_a1b2c3d4", "3000")
    assert refused.status not in (0, -11, 139) and b"proxy" in refused.stderr, refused
    help = nanoterm.ok("ws", "--help")
    assert len(help.stderr.splitlines()) <= 1
    nanoterm.ok("--json", "files", "--help")
