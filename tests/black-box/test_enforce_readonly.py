# SPDX-License-Identifier: Apache-2.0
"""All but what may be written is read-only in the mounts of a sandbox: modes, times and attributes outside hold, what was granted
works as before, and the report says what is so here."""
import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from conftest import BIN

PYTHON = "/usr/bin/python3"
HOST = Path(os.environ.get("NANOTERM_ATTACKS", "/nonexistent")) / "nt-host"
ROW = "change modes, times and attributes outside"
# Tries each line of ACTS (Python) and prints the name of its error, or "ok".
TRY = """
import errno, json, os, sys
def attempt(act):
    try:
        exec(act, {"os": os})
        return "ok"
    except OSError as e:
        return errno.errorcode[e.errno]
print(json.dumps([attempt(act) for act in json.loads(sys.argv[1])]))
"""
OUTSIDE = [
    "os.chmod('../outside/file', 0o777)", "os.chmod('../outside', 0o777)", "os.chmod('..', 0o777)",
    "os.chown('../outside/file', os.getuid(), os.getgid())", "os.utime('../outside/file')", "os.utime('../outside/file', (1, 1))",
    "os.chmod('link', 0o777)", "fd = os.open('../outside/file', os.O_PATH); os.chmod(f'/proc/self/fd/{fd}', 0o777)",
]


def enforce(cli, folder, *words, prefix=()):
    """Runs the program behind PREFIX."""
    words = [*map(os.fspath, prefix), BIN, "enforce", *map(os.fspath, words)]
    return subprocess.run(words, cwd=folder / "inside", env=cli.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)


def layers(cli, folder, command="run", prefix=()):
    """The layer of each row of the report."""
    done = enforce(cli, folder, command, "--dry-run", "--json", "--allow", folder / "inside", "--", "true", prefix=prefix)
    assert done.returncode == 0, done
    return {row["act"]: row["layer"] for row in json.loads(done.stdout)["enforcement"]}


@pytest.fixture
def folder():
    # Not in /tmp, which a group grants.
    path = Path("/var/tmp") / f"nt-readonly-{uuid.uuid4().hex}"
    (path / "inside").mkdir(parents=True)
    (path / "outside").mkdir()
    (path / "outside/file").write_text("kept")
    (path / "inside/link").symlink_to("../outside/file")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def attempt(cli, folder):
    """attempt(acts, options): what becomes of each act in the sandbox."""
    def attempt(acts, *options, prefix=()):
        options = options or ("--allow", folder / "inside")
        done = enforce(cli, folder, "run", "-s", "--allow-cwd", *options, "--", PYTHON, "-c", TRY, json.dumps(acts), prefix=prefix)
        assert done.returncode == 0, done
        return json.loads(done.stdout)
    return attempt


@pytest.fixture
def readonly(cli, folder):
    """Skips where there is no mount namespace; the report is what is asked."""
    if layers(cli, folder)[ROW] != "mount":
        pytest.skip("no mount namespace can be made here")


def test_what_the_report_says_of_modes_is_so(attempt, cli, folder):
    before = os.stat(folder / "outside/file")
    layer = layers(cli, folder)[ROW]
    if layer == "mount":
        assert attempt(OUTSIDE) == ["EROFS"] * len(OUTSIDE)
        assert os.stat(folder / "outside/file").st_ctime_ns == before.st_ctime_ns
    else:
        assert layer == "none" and set(attempt(OUTSIDE)) == {"ok"}


def test_writing_outside_fails_whatever_the_call(attempt):
    acts = ["os.open('../outside/file', os.O_WRONLY)", "os.open('../outside/new', os.O_WRONLY | os.O_CREAT)", "os.mkdir('../outside/d')",
            "os.unlink('../outside/file')", "os.rename('../outside/file', '../outside/moved')", "os.truncate('../outside/file', 0)",
            "os.symlink('x', '../outside/link')", "os.rmdir('../inside')"]
    assert set(attempt(acts)) <= {"EROFS", "EACCES"}


def test_what_is_granted_is_written_as_before(attempt):
    acts = ["open('a', 'w').write('x')", "os.chmod('a', 0o600)", "os.utime('a', (1, 1))", "os.rename('a', 'b')", "os.link('b', 'c')",
            "os.mkdir('d'); os.rename('b', 'd/b'); os.link('d/b', 'e')", "os.symlink('a', 's')", "os.mkfifo('f')", "os.truncate('c', 9)",
            "os.chdir('d'); open('../g', 'w'); os.unlink('b'); os.chdir('..')", "os.chmod('.', 0o755)", "os.rmdir('d')"]
    assert attempt(acts) == ["ok"] * len(acts)


def test_a_granted_file_is_replaced_where_its_folder_is_granted(attempt, folder):
    """As editors save. Granted alone it is written in place, which is what Landlock leaves, too."""
    file = folder / "inside/saved"
    save = ["open('new', 'w').write('new')", "os.rename('new', 'saved')"]
    file.write_text("old")
    assert attempt(save, "--allow", folder / "inside", "--allow-file", file) == ["ok"] * 2
    assert file.read_text() == "new"
    alone = ["open('saved', 'w').write('alone')", "os.chmod('saved', 0o600)", "os.rename('saved', 'other')", "os.unlink('saved')"]
    done = attempt(alone, "--allow-file", file, "--read", folder / "inside")
    assert done[:2] == ["ok"] * 2 and set(done[2:]) <= {"EROFS", "EACCES", "EBUSY"}
    assert file.read_text() == "alone"


def test_grants_in_each_other_are_one(attempt, folder):
    (folder / "inside/deep/er").mkdir(parents=True)
    grants = [w for name in ("inside/deep/er", "inside", "inside/deep") for w in ("--allow", folder / name)]
    acts = ["open('deep/er/x', 'w')", "os.rename('deep/er/x', 'x')", "os.link('x', 'deep/x')", "os.rename('deep/er', 'er')"]
    assert attempt(acts, *grants) == ["ok"] * 4


def test_a_grant_by_a_link_and_by_many_names(attempt, folder):
    places = [folder / f"place{i}" for i in range(60)]
    for place in places:
        place.mkdir()
    (folder / "to-place").symlink_to("place0")
    grants = [w for place in [folder / "to-place", *places[1:]] for w in ("--write", place)]
    acts = [f"open('{place}/made', 'w'); os.chmod('{place}/made', 0o600)" for place in places]
    assert attempt(acts, *grants) == ["ok"] * 60
    assert all((place / "made").exists() for place in places)


def test_devices_pipes_and_shared_memory(attempt, folder):
    os.mkfifo(folder / "outside/pipe")
    memory = Path("/dev/shm")  # in a chroot, a folder of root's
    shm = (memory if os.access(memory, os.W_OK) else folder / "outside") / f"nt-readonly-{uuid.uuid4().hex}"
    shm.mkdir()
    try:
        grants = ["--allow", folder / "inside", "--allow-file", folder / "outside/pipe", "--allow", shm]
        acts = ["open('/dev/null', 'w').write('x')", "os.open('/dev/null', os.O_RDWR | os.O_CREAT | os.O_TRUNC)", "open('/dev/full', 'w')",
                "os.write(os.open('../outside/pipe', os.O_RDWR), b'x')", f"open('{shm}/x', 'w').write('x'); os.chmod('{shm}/x', 0o600)"]
        assert attempt(acts, *grants) == ["ok"] * len(acts)
        # Of a device that many use, only the content may be written.
        if layers_are_readonly(attempt):
            assert attempt(["os.chmod('/dev/null', 0o666)", "os.utime('/dev/null')"], *grants) == ["EROFS"] * 2
    finally:
        shutil.rmtree(shm)


def layers_are_readonly(attempt):
    return attempt(["os.utime('../outside/file')"]) == ["EROFS"]


def test_with_the_root_granted_nothing_is_left(cli, folder):
    """Then there is no outside, and the report does not claim one."""
    done = cli("enforce", "run", "--dry-run", "--json", "--allow", "/", "--", "true", cwd=folder)
    if done.status == 0:
        assert {"act": ROW, "layer": "none", "rule": "only the permissions of the file protect it"} in done.json["enforcement"]
    else:
        assert done.error["code"] in ("enforce.sandbox_unavailable", "enforce.protected")


def test_wrap_does_not_claim_it(cli, folder):
    assert layers(cli, folder, "wrap")[ROW] == "none"


@pytest.mark.skipif(not HOST.exists(), reason="the programs of tests/attacks were not built")
@pytest.mark.parametrize("less", ["--no-readonly", "--no-namespaces"])
def test_a_machine_without_it_says_so_and_works(attempt, cli, folder, less):
    """A kernel without the call, or a container that refuses it: before a start and after one."""
    prefix = [HOST, less]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode == 77:
        pytest.skip("no such machine can be made here")
    assert layers(cli, folder, prefix=prefix)[ROW] == "none"
    assert attempt(["os.utime('../outside/file')", "open('made', 'w')"], prefix=prefix) == ["ok"] * 2
    assert set(attempt(["open('../outside/file', 'w')", "os.mkdir('../d')"], prefix=prefix)) == {"EACCES"}
    done = enforce(cli, folder, "run", "--json", "--allow", folder / "inside", "--", "true", prefix=prefix)
    rows = json.loads(done.stderr.splitlines()[-1])["enforcement"]
    assert {row["act"]: row["layer"] for row in rows}[ROW] == "none"
    # What is not ours is not claimed.
    said = f"echo \"cp: cannot create '{folder}/outside/x': Read-only file system\" >&2; false"
    assert "Probably" not in footer(cli, folder, said, prefix)


def unshare(flags):
    """What runs a program in namespaces; skips where there are none."""
    if os.geteuid():
        pytest.skip("what belongs to root is nobody's in a user's namespace, and plugins of nobody are not opened")
    if subprocess.run(["unshare", flags, "true"], capture_output=True).returncode:
        pytest.skip("such namespaces cannot be made here")
    return ["unshare", flags]


def own_mounts(script):
    """What runs a program in a mount namespace in which SCRIPT was run."""
    return [*unshare("-m"), "sh", "-c", f'{script} && exec "$@"', "sh"]


def test_a_mount_in_a_grant_stays_what_it_was(attempt, readonly, folder):
    for name in ("fixed", "free"):
        (folder / "inside" / name).mkdir()
    inside = folder / "inside"
    prefix = own_mounts(f"mount -t tmpfs -o ro none {inside}/fixed && mount -t tmpfs none {inside}/free")
    acts = ["open('fixed/x', 'w')", "open('free/x', 'w').write('x'); os.chmod('free/x', 0o600)", "os.chmod('../outside/file', 0o777)"]
    assert attempt(acts, prefix=prefix) == ["EROFS", "ok", "EROFS"]


def test_root_of_its_own_namespace(attempt, readonly, folder):
    """Has all rights over the files of its user, and over no mount of ours."""
    assert attempt([*OUTSIDE, "open('made', 'w')"], prefix=unshare("-Ur")) == ["EROFS"] * len(OUTSIDE) + ["ok"]


# --- the lines after a program that failed ---------------------------------------------------


def footer(cli, folder, program, prefix=()):
    done = enforce(cli, folder, "run", "--allow", folder / "inside", "--", "/bin/sh", "-c", program, prefix=prefix)
    assert done.returncode != 0
    return done.stderr.decode().split("The program ended", 1)[1]


@pytest.mark.parametrize("program", ["chmod 600 ../outside/file", "touch ../outside/file", "echo x > ../outside/file"])
def test_a_refused_change_is_explained(cli, folder, readonly, program):
    lines = footer(cli, folder, program)
    assert f"write {folder}/outside/file  [mount: path_not_granted; inferred]  allow: --write-file {folder}/outside/file" in lines


def test_a_file_system_that_is_read_only_itself_is_not_claimed(cli, folder, readonly):
    (folder / "inside/fixed").mkdir()
    prefix = own_mounts(f"mount -t tmpfs -o ro none {folder}/inside/fixed")
    lines = footer(cli, folder, "touch fixed/x", prefix)
    assert "Probably" not in lines and "No denial was seen" in lines
    assert "Probably" not in footer(cli, folder, f"echo \"cp: cannot create '{folder}/inside/x': Read-only file system\" >&2; false")


def test_with_diagnose_a_refused_change_is_told(cli, folder, readonly):
    """Of what is outside, by whatever call; not of a link inside that leads there."""
    acts = "chmod 600 ../outside/file; touch -c -d @1 ../outside; touch -h link; chmod 600 own"
    (folder / "inside/own").write_text("x")
    done = enforce(cli, folder, "run", "--diagnose", "--allow", folder / "inside", "--", "sh", "-c", f"exec 2>/dev/null; {acts}; false")
    lines = done.stderr.decode().split("The program ended", 1)[1]
    for path in (folder / "outside/file", folder / "outside"):
        assert f"write {path}  [mount: path_not_granted; traced]" in lines, lines
    assert str(folder / "inside") not in lines
