# SPDX-License-Identifier: Apache-2.0
"""The README's tour, typed line by line as it stands."""
import os
import pathlib
import re
import subprocess

import pytest

from conftest import BIN

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def tour():
    """The lines of the tour's blocks; the first block is the two set-up commands, which CI runs as a whole."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(), re.S)
    return [block.strip().splitlines() for block in blocks[1:]]


@pytest.mark.parametrize("lines", tour(), ids=lambda lines: lines[0][:40])
def test_tour(fresh, tmp_path, lines):
    cli = fresh()
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    (tmp_path / "file").write_text("x")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, check=True)
    env = {**cli.env, "PATH": os.path.dirname(BIN) + ":" + cli.env["PATH"]}
    for line in lines:
        if "nanoterm serve" in line:
            continue  # it does not end; test_exec.py runs it
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=120)
        assert done.returncode in (0, 141), (line, done)  # 141: `| head` has seen enough
        if "echo $?" in line:
            assert done.stdout.splitlines()[-1] == re.search(r"# (\d+):", line)[1].encode(), done
