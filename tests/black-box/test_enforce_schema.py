# SPDX-License-Identifier: Apache-2.0
"""Keys of profiles, from the outside: what each does, and that nothing is left out in silence."""
import json
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
