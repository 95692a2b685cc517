# SPDX-License-Identifier: Apache-2.0
"""The packages in a clean system: the program alone, a package more, all of them, an upgrade under running workspaces, and
nothing left behind. The tests build on each other, in this order; `run chroot` makes the system."""
import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from machine import Machine

ROOT = Path(os.environ["NT_PACKAGES_ROOT"])
DEBS = Path(os.environ["NT_PACKAGES"])
UNIT = ROOT / "usr/lib/systemd/system/nanoterm-server.service"
COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"


def debs(*names, folder=DEBS):
    return [next(folder.glob(f"{name}_*.deb")) for name in names]


def everything(folder=DEBS):
    return sorted(folder.glob("*.deb"))


def listing():
    """All files but what dpkg keeps about itself, and the home of root, which is a user's."""
    found = set()
    for folder, folders, files in os.walk(ROOT):
        here = "/" + os.path.relpath(folder, ROOT)
        if here in ("/var/lib/dpkg", "/var/log", "/root", "/packages", "/var/cache/ldconfig"):
            folders.clear()
            continue
        found.update(os.path.join(here, name) for name in folders + files)
    return found


@pytest.fixture(scope="module")
def machine():
    (ROOT / "packages").mkdir(mode=0o755)
    before = listing()
    it = Machine(str(ROOT))
    it.before = before
    yield it
    it.close()


def dpkg(machine, *files):
    inside = [shutil.copy(file, ROOT / "packages") for file in files]
    machine.ok("dpkg", "-i", *("/packages/" + Path(file).name for file in inside))


def poll(check, seconds=60):
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def test_the_program_alone_runs_and_names_the_package_of_a_missing_group(machine):
    dpkg(machine, *debs("nanoterm"))
    assert machine.ok("nanoterm", "--version").startswith("nanoterm ")
    assert "plugin" in machine.ok("nanoterm", "--help")
    for words, package in [(["ws", "list"], "nanoterm-plugin-ws"), (["exec", "x", "--", "true"], "nanoterm-plugin-ws"),
                           (["ws", "--help"], "nanoterm-plugin-ws"), (["help", "files", "cp"], "nanoterm-plugin-files"),
                           (["serve"], "nanoterm-server")]:
        done = machine.run("nanoterm", "--json", *words)
        assert done.returncode == 2 and done.stdout == "", (words, done)
        error = json.loads(done.stderr)
        assert error["code"] == "plugin_missing" and f"apt install {package}" in error["hint"], error
    done = machine.run("nanoterm", "--json", "plugin", "new", "hello", env={"PWD": "/tmp"})
    assert done.returncode == 1 and "libnanoterm-dev" in json.loads(done.stderr)["hint"]


def test_one_package_more_adds_its_group(machine):
    dpkg(machine, *debs("nanoterm-plugin-ws"))
    assert "ws create" in machine.ok("nanoterm", "ws", "--help")
    assert machine.run("nanoterm", "files", "--help").returncode == 2
    # Its commands want a server, which is a package, too.
    done = machine.run("nanoterm", "--json", "ws", "list")
    assert done.returncode != 0
    assert "apt install nanoterm-server" in json.loads(done.stderr)["hint"], done.stderr


def test_with_all_of_them_a_workspace_works(machine):
    dpkg(machine, *everything())
    assert machine.ok("dpkg", "--audit") == ""
    listed = json.loads(machine.ok("nanoterm", "--json", "plugin", "list"))
    assert {row["state"] for row in listed} <= {"ok", "built in"}, listed
    machine.ok("nanoterm", "ws", "create", "--name", "first", "--no-internet")
    assert machine.ok("nanoterm", "exec", "first", "--", "echo", "hello") == "hello\n"
    machine.ok("nanoterm", "ws", "rm", "first")
    socket = (UNIT.parent / "nanoterm-server.socket").read_text()
    place = re.search(r"^ListenStream=(.*)$", socket, re.M)[1]
    assert f" --listen unix:{place} " in UNIT.read_text()  # so the server takes it, and makes none of its own beside it
    assert "\nRuntimeDirectoryPreserve=yes\n" in UNIT.read_text()  # or it would go with the server


@pytest.mark.parametrize("name", ["nono", "nullspace"])
def test_the_other_names_have_pages_and_completion_of_their_own(machine, name):
    assert os.readlink(ROOT / "usr/bin" / name) == "nanoterm"
    assert machine.ok(name, "--version").startswith(name)
    catalog = json.loads(machine.ok(name, "commands"))
    wanted = {name} | {f"{name}-{one['path'].replace(' ', '-')}" for one in catalog if not one["hidden"]}
    pages = {path.name.removesuffix(".1.gz"): path for path in (ROOT / "usr/share/man/man1").glob(f"{name}*.1.gz")}
    assert pages.keys() == wanted
    for title, page in pages.items():
        text = gzip.decompress(page.read_bytes()).decode()
        assert f"\n.B {name}" in text and "\n.B nanoterm" not in text and f'.TH "{title}" ' in text
    for script in (f"bash-completion/completions/{name}", f"zsh/site-functions/_{name}", f"fish/vendor_completions.d/{name}.fish"):
        text = (ROOT / "usr/share" / script).read_text()
        assert name in text and "nanoterm" not in text
        shell = script.split("-")[0].split("/")[0]
        assert text == machine.ok(name, "completion", shell)


def test_what_a_package_says_of_its_plugin_holds_after_unpacking(machine):
    """The manifests fit the files as they were packed: no plugin is opened to tell what there is."""
    machine.ok("nanoterm", "commands")
    cache = ROOT / "root/.nanoterm/cache"
    assert not cache.exists() or not list(cache.iterdir()), "a plugin's manifest was not taken"


def higher(folder):
    """The same packages with a higher version."""
    for deb in everything():
        tree = folder / deb.stem
        subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
        control = tree / "DEBIAN/control"
        control.write_text(re.sub(r"0upstream1(?=\W)", "0upstream2", control.read_text()))
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, folder / deb.name], check=True, stdout=subprocess.DEVNULL)
    return folder


def servers(machine):
    """The processes of the server of the whole machine, the first one first: names of folders sort 1000 before 999."""
    found = machine.ok("sh", "-c", 'for p in /proc/[0-9]*; do tr "\\0" " " <$p/cmdline 2>/dev/null | '
                       'grep -q "^/usr/bin/nanoterm serve --listen" && echo ${p#/proc/}; done; true')
    return sorted(found.split(), key=int)


class Api:
    """`nanoterm` against the server of the whole machine, which is started as its unit says, without systemd."""

    def __init__(self, machine):
        self.machine = machine
        text = UNIT.read_text()
        assert "\nKillMode=process\n" in text  # so what ends it here is what ends it there: its own process alone
        self.words = shlex.split(re.search(r"^ExecStart=(.*)$", text, re.M)[1])
        self.env = dict(one.split("=", 1) for one in re.search(r"^Environment=(.*)$", text, re.M)[1].split())
        self.server = None

    def serve(self):
        for folder in ("/var/lib/nanoterm", "/run/nanoterm"):
            self.machine.ok("mkdir", "-p", "-m", "755", folder)
        self.machine.ok("chmod", "700", "/var/lib/nanoterm")
        self.server = self.machine.start(*self.words, env=self.env)

        def up():
            assert self.server.poll() is None, self.server.stderr.read()
            key = ROOT / "var/lib/nanoterm/owner.key"
            return key.exists() and self("--json", "ws", "list").returncode == 0
        poll(up)

    def __call__(self, *words):
        key = (ROOT / "var/lib/nanoterm/owner.key").read_text().strip()
        return self.machine.run("nanoterm", "--api", "unix:/run/nanoterm/api.sock", *words, env={"NANOTERM_API_KEY": key})

    def end(self):
        inside = servers(self.machine)
        assert inside
        self.machine.ok("sh", "-c", f"kill -TERM {inside[0]}")
        self.server.wait(60)
        self.server.stderr.close()


def guest_of(data):
    """The first process of the only workspace below a data folder: boot, pid, start."""
    runs = list((ROOT / data.lstrip("/")).glob("engine-*/ws/*/run"))
    assert len(runs) == 1, runs
    return runs[0].read_text().split()[:3]


def is_alive(machine, guest):
    return machine.run("sh", "-c", f"kill -0 {guest[1]}").returncode == 0


def last_line(nanoterm):
    done = nanoterm("exec", "busy", "--", "tail", "-n1", "/tmp/count.log")
    return int(done.stdout or 0)


def test_an_upgrade_keeps_every_process_of_every_workspace(machine, tmp_path):
    def embedded(*words):
        return machine.run("nanoterm", *words)
    api = Api(machine)
    api.serve()
    both = [(embedded, "/root/.nanoterm/server"), (api, "/var/lib/nanoterm")]
    before = []
    for nanoterm, data in both:
        for words in (["ws", "create", "--name", "busy", "--no-internet"],
                      ["exec", "busy", "--detach", "--log", "/tmp/count.log", "--", "sh", "-c", COUNT]):
            done = nanoterm(*words)
            assert done.returncode == 0, (words, done)
        processes = nanoterm("exec", "busy", "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr -c '[:print:]' ' '").stdout
        assert "sleep" in processes or "while" in processes
        poll(lambda nanoterm=nanoterm: last_line(nanoterm) > 3)
        before.append((guest_of(data), last_line(nanoterm)))

    dpkg(machine, *everything(higher(tmp_path)))
    assert "0upstream2" in machine.ok("dpkg-query", "-W", "nanoterm-server")
    for (nanoterm, data), (guest, _) in zip(both, before):
        assert guest_of(data) == guest
    api.end()
    api.serve()  # what postinst asks of systemd: the new program in place of the old one
    for (nanoterm, data), (guest, count) in zip(both, before):
        assert guest_of(data) == guest and is_alive(machine, guest)
        poll(lambda nanoterm=nanoterm, count=count: last_line(nanoterm) > count + 3)
        lines = nanoterm("exec", "busy", "--", "cat", "/tmp/count.log").stdout.split()
        assert lines == [str(i + 1) for i in range(len(lines))], "the job was started again, or lost lines"
    machine.ok("nanoterm", "ws", "rm", "busy")  # that of a user is the user's; the server's own goes with the package


def test_removing_the_server_ends_its_workspaces_and_purging_everything_leaves_nothing(machine):
    guest = guest_of("/var/lib/nanoterm")
    names = [deb.name.split("_")[0] for deb in everything()]
    # dpkg ends no server that no systemd runs: as the unit would be stopped, and have ended, before the package goes.
    inside = servers(machine)
    machine.ok("sh", "-c", f"kill -TERM {inside[0]}")
    poll(lambda: not servers(machine))
    machine.ok("dpkg", "--remove", "nanoterm-server")
    poll(lambda: not is_alive(machine, guest))
    assert (ROOT / "var/lib/nanoterm").exists()  # until it is purged
    machine.ok("dpkg", "--purge", *names)
    assert listing() - machine.before == set()
    assert machine.before - listing() == set()
