# SPDX-License-Identifier: Apache-2.0
"""The program with one good and several bad plugins: the bad ones are named, all else works.

usage: plugin_list.py NANOTERM FOLDER-OF-VARIANTS"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

NANOTERM, VARIANTS = sys.argv[1:]


def main(folder):
    plugins, home = os.path.join(folder, "plugins"), os.path.join(folder, "home")
    os.mkdir(plugins, 0o755)
    os.mkdir(home, 0o755)
    for name in ("old", "abi2", "crash", "thief"):
        shutil.copy(os.path.join(VARIANTS, name + ".so"), plugins)
    env = {"HOME": home, "PATH": "/usr/bin:/bin", "NANOTERM_PLUGIN_PATH": plugins}

    def run(*words):
        return subprocess.run([NANOTERM, *words], env=env, cwd=folder, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False)

    done = run("plugin", "list", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["old"]["state"] == "ok" and rows["old"]["reason"] is None
    assert rows["old"]["file"] == os.path.join(plugins, "old.so")
    assert rows["plugin"]["state"] == "built in"
    for name, reason in (("abi2", "ABI 2"), ("crash", "crashed with signal 11"), ("thief", "ws")):
        assert rows[name]["state"] == "skipped" and reason in rows[name]["reason"], rows[name]
        lines = [line for line in done.stderr.splitlines() if name + ".so" in line]
        assert len(lines) == 1, done.stderr

    assert run("old", "hello").returncode == 0
    assert "old hello" in run("--help").stdout
    assert run("crash", "hello").returncode == 2
    version = run("--version")
    assert version.returncode == 0 and version.stderr == ""  # the fast path looks at no plugin

    # A plugin that is exchanged for another is a plugin that nobody knows yet.
    os.unlink(os.path.join(plugins, "old.so"))
    shutil.copy(os.path.join(VARIANTS, "abi2.so"), os.path.join(plugins, "old.so"))
    assert run("old", "hello").returncode == 2


os.umask(0o022)
with tempfile.TemporaryDirectory() as temporary:
    main(temporary)
