# SPDX-License-Identifier: Apache-2.0
"""A root filesystem in a tar as image; and one that was made to break out."""
import io
import os
import re
import shutil
import subprocess
import tarfile

import pytest


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory):
    """A folder with a shell, two programs and the libraries they need."""
    tree = tmp_path_factory.mktemp("image") / "tree"
    for folder in ("bin", "etc", "proc", "tmp"):
        (tree / folder).mkdir(parents=True)
    for program in ("sh", "cat", "id"):
        path = shutil.which(program)
        shutil.copy(path, tree / "bin" / program)
        listing = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+)", listing):
            (tree / library[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, tree / library[1:])
    (tree / "etc/os-release").write_text("NAME=made-by-a-test\n")
    return tree


def archive(tree, path, *more, mode="w"):
    with tarfile.open(path, mode) as tar:
        tar.add(tree, ".")
        for member, data in more:
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("mode, name", [("w", "image.tar"), ("w:gz", "image.tar.gz")])
def test_a_tar_is_an_image(cli, rootfs, tmp_path, mode, name):
    image = archive(rootfs, tmp_path / name, mode=mode)
    ws = cli.create("--image", str(image), "--no-internet")
    assert cli.ok("exec", ws, "--", "cat", "/etc/os-release").stdout == b"NAME=made-by-a-test\n"
    assert cli.ok("exec", ws, "--", "sh", "-c", "echo x > /etc/new && cat /etc/new && id -u").stdout == b"x\n1000\n"
    assert cli("exec", ws, "--", "ls").status == 127  # nothing of the host's programs
    cli.ok("ws", "stop", ws)
    cli.ok("ws", "start", ws)
    assert cli.ok("exec", ws, "--", "cat", "/etc/new").stdout == b"x\n"
    cli.ok("ws", "rm", ws)


def file_member(name):
    member = tarfile.TarInfo(name)
    member.size = 6
    return member, b"attack"


def link_member(name, target):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member, b""


def test_a_hostile_tar_writes_nothing_outside(cli, rootfs, tmp_path):
    target = tmp_path / "outside"
    target.mkdir()
    attacks = {
        "dots": [file_member("../" * 20 + str(target)[1:] + "/proof")],
        "absolute": [file_member(str(target) + "/proof")],
        "link": [link_member("escape", str(target)), file_member("escape/proof")],
    }
    for name, members in attacks.items():
        image = archive(rootfs, tmp_path / f"{name}.tar", *members)
        done = cli("--json", "ws", "create", "--image", str(image), "--no-internet")
        if done.status == 0:
            cli.ok("ws", "rm", done.json["id"])
        assert os.listdir(target) == [], name


def test_what_is_no_image(cli, tmp_path):
    (tmp_path / "text.tar").write_text("no archive at all" * 1000)
    for words in (str(tmp_path / "text.tar"), str(tmp_path / "missing.tar"), str(tmp_path)):
        done = cli("--json", "ws", "create", "--image", words)
        assert done.status != 0 and done.stdout == b"" and done.error["message"], words
    assert cli.ok("--json", "ws", "list").json == []
