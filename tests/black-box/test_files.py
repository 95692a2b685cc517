# SPDX-License-Identifier: Apache-2.0
"""files cp and files write: bytes, modes, atomicity, refusals."""
import hashlib
import os
import stat

import pytest


def digest(cli, ws, path):
    return cli.ok("exec", ws, "--", "sha256sum", path).text.split()[0]


@pytest.mark.parametrize("size", [0, 1, 65536, 1048577, 32 * 1024 * 1024])
def test_round_trip(cli, ws, tmp_path, size):
    data = os.urandom(size)
    (tmp_path / "in").write_bytes(data)
    done = cli.ok("--json", "files", "cp", tmp_path / "in", f"{ws}:/workspace/copied", timeout=120)
    assert done.json["bytes"] == size
    assert digest(cli, ws, "/workspace/copied") == hashlib.sha256(data).hexdigest()
    cli.ok("files", "cp", f"{ws}:/workspace/copied", tmp_path / "out", timeout=120)
    assert (tmp_path / "out").read_bytes() == data
    assert sorted(os.listdir(tmp_path)) == ["in", "out"]


def test_the_mode_comes_along(cli, ws, tmp_path):
    script = tmp_path / "script.sh"
    script.write_text("#!/bin/sh\necho runs\n")
    script.chmod(0o750)
    cli.ok("cp", script, f"{ws}:/workspace/script.sh")
    assert cli.ok("exec", ws, "--", "/workspace/script.sh").stdout == b"runs\n"
    assert cli.ok("exec", ws, "--", "stat", "-c", "%a", "/workspace/script.sh").stdout == b"750\n"
    cli.ok("cp", f"{ws}:/workspace/script.sh", tmp_path / "back")
    assert stat.S_IMODE((tmp_path / "back").stat().st_mode) == 0o750


def test_no_set_id_bit_comes_out(cli, ws, tmp_path):
    cli.ok("exec", ws, "--", "sh", "-c", "cp /bin/true /workspace/suid && chmod 6755 /workspace/suid")
    cli.ok("cp", f"{ws}:/workspace/suid", tmp_path / "suid")
    assert stat.S_IMODE((tmp_path / "suid").stat().st_mode) == 0o755


def test_write_takes_standard_input_and_makes_folders(cli, ws):
    cli.ok("files", "write", ws, "/etc/myapp/config.yaml", input=b"key: value\n")
    assert cli.ok("exec", ws, "--", "cat", "/etc/myapp/config.yaml").stdout == b"key: value\n"
    assert not os.path.exists("/etc/myapp")


def test_odd_names(cli, ws, tmp_path):
    for name in ("with space", "new\nline", "--leading", "a%2Fb", "ü😀", "a+b?c#d&e=f"):
        (tmp_path / "in").write_text(name)
        cli.ok("files", "cp", "--", tmp_path / "in", f"{ws}:/workspace/{name}")
        assert cli.ok("exec", ws, "--", "cat", f"/workspace/{name}").stdout.decode() == name


def test_into_a_folder(cli, ws, tmp_path):
    (tmp_path / "named").write_text("x")
    cli.ok("files", "cp", tmp_path / "named", f"{ws}:/workspace/folder/")
    cli.ok("files", "cp", f"{ws}:/workspace/folder/named", tmp_path / "named")
    (tmp_path / "to").mkdir()
    cli.ok("files", "cp", f"{ws}:/workspace/folder/named", tmp_path / "to")
    assert (tmp_path / "to/named").read_text() == "x"


def test_what_is_refused(cli, ws, tmp_path):
    missing = cli("--json", "files", "cp", f"{ws}:/no/such", tmp_path / "out")
    assert missing.status == 3 and not (tmp_path / "out").exists()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert cli("--json", "files", "cp", pipe, f"{ws}:/workspace/x").error["code"] == "nanoterm.not_a_file"
    pipe.unlink()
    assert cli("files", "cp", f"{ws}:/dev/zero", tmp_path / "out", timeout=20).status != 0
    assert os.listdir(tmp_path) == []


def test_a_failed_copy_leaves_the_old_file(cli, ws, tmp_path):
    (tmp_path / "kept").write_text("old")
    assert cli("files", "cp", f"{ws}:/no/such", tmp_path / "kept").status == 3
    assert (tmp_path / "kept").read_text() == "old"
    cli.ok("files", "write", ws, "/workspace/kept", input=b"old")
    process = cli.start("files", "write", ws, "/workspace/kept", stdin=-1)
    process.stdin.write(b"half of the new" * 100000)
    process.kill()
    process.communicate()
    assert cli.ok("exec", ws, "--", "cat", "/workspace/kept").stdout == b"old"


def test_a_link_inside_does_not_lead_out(cli, ws, tmp_path):
    """A path of the workspace is resolved inside it: links see its own root."""
    cli.ok("exec", ws, "--", "ln", "-sf", f"{tmp_path}/secret", "/workspace/link")
    (tmp_path / "secret").write_text("secret")
    assert cli("files", "cp", f"{ws}:/workspace/link", tmp_path / "out").status == 3
    cli("files", "write", ws, "/workspace/link", input=b"attack")
    assert (tmp_path / "secret").read_text() == "secret"


def test_reading_follows_a_link_and_info_does_not(cli, ws):
    """As the data API says: FileInfo knows links (symlink, symlink_target), bytes are those of what they lead to."""
    cli.ok("exec", ws, "--", "sh", "-c", "cd /workspace && mkdir -p links/d && cd links && printf 'twenty bytes of text' > target && "
           "chmod 640 target && ln -s target to-file && ln -s d to-folder && ln -s none to-nothing")
    base = f"/v1/sandboxes/{ws}"
    for name, leads in (("to-file", "target"), ("to-folder", "d"), ("to-nothing", "none")):
        status, info = cli.api("POST", f"{base}/files/info", {"path": f"/workspace/links/{name}", "user": None})
        assert status == 200 and (info["type"], info["is_dir"], info["symlink_target"]) == ("symlink", False, leads)
    status, read = cli.api("POST", f"{base}/files/read", {"path": "/workspace/links/to-file", "encoding": "utf8", "user": None})
    assert status == 200 and read["content"] == "twenty bytes of text"
    heads = {}
    for name in ("to-file", "target", "to-nothing", "to-folder"):
        for method in ("GET", "HEAD"):
            answer, body = cli.ask(method, f"{base}/file?path=/workspace/links/{name}")
            heads[method, name] = answer.status, {key.lower(): value for key, value in answer.getheaders()}
            assert name not in ("to-file", "target") or len(body) == (20 if method == "GET" else 0)
    for key in (("GET", "to-file"), ("HEAD", "to-file"), ("GET", "target"), ("HEAD", "target")):
        status, head = heads[key]
        assert status == 200 and (head["x-nanoterm-size"], head["x-nanoterm-mode"]) == ("20", "0640"), (key, head)
    assert heads["HEAD", "to-nothing"][0] == heads["GET", "to-nothing"][0] == 404
    assert heads["HEAD", "to-folder"][0] == heads["GET", "to-folder"][0] >= 400
    cli.ok("exec", ws, "--", "rm", "-r", "/workspace/links")
