# SPDX-License-Identifier: Apache-2.0
"""The same grants and the same operations under the original `nono` (NONO_ORIGINAL, or in PATH) and under ours: the same verdicts,
but for the holes that ours closes. Skipped where the original is not installed."""
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

BIN = os.environ["NANOTERM_BIN"]
# Options, with {dir} the folder that is granted and {file} a file in it.
GRANTS = {
    "nothing": [],
    "allow": ["--allow", "{dir}"],
    "read": ["--read", "{dir}"],
    "write": ["--write", "{dir}"],
    "allow-file": ["--allow-file", "{file}"],
    "read-file": ["--read-file", "{file}"],
    "write-file": ["--write-file", "{file}"],
    "read and write": ["--read", "{dir}", "--write", "{dir}"],
    "no network": ["--allow", "{dir}", "--block-net"],
}
# What the shell does; the verdict is whether it succeeds.
OPERATIONS = {
    "read": 'cat "$DIR/file"',
    "read beneath": 'cat "$DIR/sub/deep"',
    "list": 'ls "$DIR"',
    "overwrite": 'echo x > "$DIR/file"',
    "append": 'echo x >> "$DIR/file"',
    "create": ': > "$DIR/new"',
    "remove": 'rm "$DIR/sub/deep"',
    "rename": 'mv "$DIR/file" "$DIR/moved"',
    "make a folder": 'mkdir "$DIR/folder"',
    "make a link": 'ln -s file "$DIR/link"',
    "execute": '"$DIR/program"',
    "by dots": 'cat "$DIR/../outside/secret"',
    "by a link": 'cat "$DIR/leads-out"',
    "read outside": 'cat "$OUT/secret"',
    "write outside": 'echo x > "$OUT/new"',
    "read the home": 'ls "$HOME"',
    "read a key": 'cat "$HOME/.ssh/id"',
    "read shadow": "cat /etc/shadow",
    "read the system": "cat /etc/hosts > /dev/null && ls /usr/bin > /dev/null",
    "connect": 'bash -c "exec 3<>/dev/tcp/127.0.0.1/$PORT"',
    "signal outside": "kill -0 $OUTSIDER",
}


@pytest.fixture(scope="module")
def original():
    path = os.environ.get("NONO_ORIGINAL") or shutil.which("nono")
    if not path:
        pytest.skip("the original is not installed (cargo install nono-cli)")
    if b"nanoterm" in subprocess.run([path, "--version"], capture_output=True).stdout:
        pytest.skip("the nono in PATH is ours: name the original in NONO_ORIGINAL")
    return path


@pytest.fixture(scope="module")
def port():
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            try:
                listener.accept()[0].close()
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def verdicts(start, grant, port):
    """Whether each operation succeeds, each in folders of its own: not in /tmp, which every sandbox may write to."""
    found = {}
    outsider = subprocess.Popen(["sleep", "300"])
    try:
        for name, script in OPERATIONS.items():
            with tempfile.TemporaryDirectory(prefix="nt-original-", dir="/var/tmp") as place:
                base = Path(place)
                for folder in ("dir/sub", "outside", "home/.ssh"):
                    (base / folder).mkdir(parents=True)
                for file in ("dir/file", "dir/sub/deep", "outside/secret", "home/.ssh/id"):
                    (base / file).write_text("text")
                shutil.copy("/bin/true", base / "dir/program")
                (base / "dir/leads-out").symlink_to("../outside/secret")
                env = {"PATH": "/usr/bin:/bin", "HOME": str(base / "home"), "DIR": str(base / "dir"), "OUT": str(base / "outside"),
                       "PORT": str(port), "OUTSIDER": str(outsider.pid), "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}
                options = [o.format(dir=base / "dir", file=base / "dir/file") for o in grant]
                words = [*start, "run", "--no-audit", "--no-rollback", *options, "--", "sh", "-c", script]
                done = subprocess.run(words, env=env, cwd=base, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
                found[name] = done.returncode == 0
    finally:
        outsider.kill()
        outsider.wait()
    return found


@pytest.mark.parametrize("grant", GRANTS)
def test_the_verdicts_are_those_of_the_original(original, port, grant):
    theirs = verdicts([original], GRANTS[grant], port)
    ours = verdicts([BIN, "enforce"], GRANTS[grant], port)
    # What ours allows beyond the original would be a hole of ours; what it forbids beyond, one of theirs that is closed.
    assert {n for n in OPERATIONS if ours[n] and not theirs[n]} == set()
    assert {n for n in OPERATIONS if theirs[n] and not ours[n]} <= {"by a link"}
