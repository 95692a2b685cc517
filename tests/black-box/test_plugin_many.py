# SPDX-License-Identifier: Apache-2.0
"""Fifty plugins in the user's folder, some of them bad: what does without plugins is as fast as without any, and a bad one
harms itself alone."""
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import time

import pytest

from conftest import BIN, Nanoterm, landlock_version, make_home

HERE = pathlib.Path(__file__).resolve().parent
INCLUDE = next((p for p in (HERE.parent.parent / "include", pathlib.Path(BIN).resolve().parent.parent / "include")
                if (p / "nanoterm/plugin.h").exists()), None)

pytestmark = [pytest.mark.skipif(INCLUDE is None, reason="the headers are not installed beside this program"),
              pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock")]

BAD = {
    "sleeper": ['AT_LOAD=sleep(5)'],
    "crasher": ['AT_LOAD=raise(SIGSEGV)'],
    "newer": ['PLUGIN_ABI=2'],
    "older": ['PLUGIN_SIZE=104'],
    "exec": [],  # the name of a command of the core
}


def compile_plugin(out, name, definitions=()):
    subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", f"-I{INCLUDE}", f'-DNAME="{name}"',
                    *(f"-D{d}" for d in definitions), "-o", out, HERE / "plugins/many.c"], check=True, timeout=120)


@pytest.fixture(scope="module")
def many():
    made = Nanoterm(make_home())
    folder = made.home / ".nanoterm/plugins"
    folder.mkdir(parents=True)
    for name, definitions in BAD.items():
        compile_plugin(folder / f"{name}.so", name, definitions)
    compile_plugin(made.home / "good00.so", "good00")
    code = (made.home / "good00.so").read_bytes()
    for i in range(45):
        (folder / f"good{i:02}.so").write_bytes(code.replace(b"good00", b"good%02d" % i))
    assert len(list(folder.iterdir())) == 50
    yield made
    try:
        made.end()
    finally:
        shutil.rmtree(made.home)


def test_the_version_opens_no_plugin(many):
    trace = subprocess.run(["strace", "-f", BIN, "--version"], env=many.env, capture_output=True, timeout=60)
    assert trace.returncode == 0 and trace.stdout.startswith(b"nanoterm ")
    assert b"plugins" not in trace.stderr and b".nanoterm" not in trace.stderr
    assert not re.search(rb"\b(clone3?|v?fork)\(", trace.stderr)


def test_the_version_is_as_fast_as_without_plugins(many, fresh):
    """Medians of runs that take turns. Whatever else the machine does makes a round worse and none better: one round
    within a millisecond shows that nothing is done for fifty plugins, as a single file that was loaded would take more."""
    bare = fresh()
    differences = []
    for _ in range(8):
        times = {many: [], bare: []}
        for _ in range(40):
            for one in times:
                begin = time.perf_counter()
                subprocess.run([BIN, "--version"], env=one.env, stdout=subprocess.DEVNULL, check=True)
                times[one].append(time.perf_counter() - begin)
        differences.append(statistics.median(times[many]) - statistics.median(times[bare]))
        if differences[-1] < 0.001:
            return
    raise AssertionError(f"slower by {[round(d * 1000, 2) for d in differences]} ms")


def test_bad_ones_harm_themselves_alone(many):
    rows = {row["name"]: row for row in many.ok("--json", "plugin", "list", timeout=300).json
            if str(many.home) in (row["file"] or "")}
    assert {name for name, row in rows.items() if row["state"] == "skipped"} == set(BAD)
    assert "did not finish loading" in rows["sleeper"]["reason"]
    assert "signal 11" in rows["crasher"]["reason"]
    assert "ABI 2" in rows["newer"]["reason"] and "104 bytes" in rows["older"]["reason"]
    assert "reserved" in rows["exec"]["reason"]
    for i in (0, 17, 44):
        done = many.ok("--json", f"good{i:02}", "hello")
        assert json.loads(done.stdout) == {"name": f"good{i:02}"}
    # What was wrong is remembered: nobody waits for the sleeper twice.
    trace = subprocess.run(["strace", "-f", "-e", "trace=openat,execve", BIN, "commands"], env=many.env,
                           capture_output=True, timeout=120)
    assert trace.returncode == 0 and trace.stderr.count(b"execve(") == 1
