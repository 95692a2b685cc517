# SPDX-License-Identifier: Apache-2.0
"""Upload sessions: the unmodified client's upload_file, upload_dir and `sandbox upload`, each refusal on the wire, archives
that attack, and a server that is killed between two parts."""
import hashlib
import io
import json
import random
import shutil
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import pytest
from nullspace import Sandbox
from nullspace import errors, types

from conftest import Server

PART = 8 * 1024 * 1024
SESSION = {"upload_id", "kind", "source_kind", "target_path", "content_length", "accepted_bytes", "reserved_staging_bytes",
           "part_size", "part_count", "max_concurrency", "status", "conflict", "checksum_algorithm", "limits", "created_at",
           "updated_at", "expires_at", "next_part", "archive_format", "whole_checksum_sha256"}


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Wire:
    """The five routes of one workspace."""

    def __init__(self, server, sandbox_id):
        self.server, self.id = server, sandbox_id

    def ask(self, method, path="", body=None, data=None, headers=()):
        more = dict(headers)
        if body is not None:
            data = json.dumps(body).encode()
            more.setdefault("Content-Type", "application/json")
        status, _, text = self.server.request(method, f"/v1/sandboxes/{self.id}/uploads{path}", data, more)
        return status, json.loads(text) if text else None

    def create(self, length, target="/workspace/up", key=None, **more):
        body = {"kind": "file", "source_kind": "restartable_file", "target_path": target, "content_length": length,
                "conflict": "merge", "archive_format": None, "checksum_algorithm": "sha256", "whole_checksum_sha256": None,
                "metadata": {}, **more}
        return self.ask("POST", body=body, headers={"Idempotency-Key": key} if key else {})

    def session(self, *args, **more):
        status, answer = self.create(*args, **more)
        assert status == 200, answer
        assert set(answer["session"]) - {"user"} == SESSION
        return answer["session"]["upload_id"]

    def part(self, upload, number, data, digest=None):
        return self.ask("PUT", f"/{upload}/parts/{number}", data=data,
                        headers={"x-nullspace-part-sha256": digest or sha(data), "Content-Type": "application/octet-stream"})

    def complete(self, upload, whole=None):
        return self.ask("POST", f"/{upload}/complete", body={"whole_checksum_sha256": whole})

    def send_tar(self, data, target="/workspace/tree", **more):
        upload = self.session(len(data), target, kind="directory_tar", source_kind="directory_archive", archive_format="tar",
                              whole_checksum_sha256=sha(data), **more)
        for number, at in enumerate(range(0, len(data), PART)):
            status, answer = self.part(upload, number, data[at:at + PART])
            assert status == 200, answer
        return (upload, *self.complete(upload, sha(data)))


def refused(got, status, reason):
    assert got[0] == status and got[1]["code"] == "file_upload_error", got
    detail = got[1]["error_detail"]
    assert detail["reason"] == reason, got
    assert set(detail) <= {"reason", "message", "retryable", "upload_id", "request_id", "path", "part_number", "details"}
    types.UploadFailureDetail(**detail)  # strict: the client understands it
    return detail


@pytest.fixture
def wire(server, sandbox):
    return Wire(server, sandbox.id)


def staged(server):
    """Bytes of parts that wait on the server's disk."""
    folder = server.data / "store" if (server.data / "store").is_dir() else server.data
    total = 0
    for path in (folder / "uploads").rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() and path.name != "record" else 0
        except FileNotFoundError:
            pass
    return total


def none_is_staged(server):
    end = time.monotonic() + 20
    while staged(server) and time.monotonic() < end:
        time.sleep(0.02)
    return staged(server) == 0


# --- the client ------------------------------------------------------------------------------------


def test_a_large_file_arrives_whole(sandbox, server, tmp_path):
    data = random.Random(1).randbytes(20 * 1024 * 1024)
    (tmp_path / "big").write_bytes(data)
    told = []
    done = sandbox.files.upload_file(tmp_path / "big", "/workspace/a/b/big", progress=told.append)
    assert (done.bytes_uploaded, done.file_count) == (len(data), 1) and told
    assert sandbox.files.read("/workspace/a/b/big", format="bytes") == data
    assert none_is_staged(server)


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1])
def test_sizes_at_the_borders_of_parts(sandbox, tmp_path, size):
    data = random.Random(size).randbytes(size)
    (tmp_path / "f").write_bytes(data)
    sandbox.files.upload_file(tmp_path / "f", "/workspace/f", resumable=True, checksum="sha256")
    assert sandbox.commands.run("sha256sum < /workspace/f", shell=True).stdout.split()[0] == sha(data)


def test_a_stream_and_the_home_of_a_user(sandbox):
    sandbox.files.upload_file(io.BytesIO(b"x" * 100), "from-memory", user="agent", resumable=True)
    assert sandbox.commands.run("cat /home/agent/from-memory", shell=True).stdout == "x" * 100


def make_tree(root):
    (root / "sub/deep/empty").mkdir(parents=True)
    (root / "sub.txt").write_text("beside sub/")
    (root / "sub/run").write_text("#!/bin/sh\necho ran\n")
    (root / "sub/run").chmod(0o755)
    (root / "sub/secret").write_bytes(random.Random(2).randbytes(300000))
    (root / "sub/secret").chmod(0o600)
    (root / "sub/none").touch()
    for name in ("with space", "ütf-8 ☃", "e\u0301", "-dash", "new\nline", "'quote\"", "x" * 255, "back\\slash", "..dots"):
        (root / name).write_text(name)
    (root / "link").symlink_to("sub/run")
    (root / "sub/deep/up").symlink_to("../../sub.txt")
    (root / "dangling").symlink_to("nothing")
    (root / "sub/deep").chmod(0o750)
    (root / "/".join(["d"] * 40)).mkdir(parents=True)
    (root / "/".join(["d"] * 40) / ("long" * 40)).write_text("deep")


LIST = "cd {} && find . -mindepth 1 -printf '%y %m %p %l\\0' | sort -z | base64 -w0; " \
       "find . -type f -print0 | sort -z | xargs -0 sha256sum -z | base64 -w0"


def test_a_folder_arrives_as_it_is(sandbox, server, tmp_path):
    import subprocess

    make_tree(tmp_path / "t")
    done = sandbox.files.upload_dir(tmp_path / "t", "/workspace/new/t")
    assert done.file_count > 10
    there = sandbox.commands.run(LIST.format("/workspace/new/t"), shell=True)
    assert there.exit_code == 0, there.stderr
    here = subprocess.run(LIST.format(tmp_path / "t"), shell=True, capture_output=True, text=True, check=True).stdout
    assert there.stdout == here
    assert sandbox.commands.run("/workspace/new/t/link", shell=True).stdout == "ran\n"
    # no time was kept by the client: not all of it is of 1970
    assert sandbox.commands.run("find /workspace/new/t -not -newermt 2020-01-01 -not -type l | wc -l", shell=True).stdout == "0\n"
    assert none_is_staged(server)


def test_conflicts_of_folders(sandbox, tmp_path):
    (tmp_path / "t/sub").mkdir(parents=True)
    (tmp_path / "t/sub/new").write_text("new")
    sandbox.commands.run("mkdir -p /workspace/c/sub; chmod 700 /workspace/c; echo old > /workspace/c/sub/old", shell=True)
    with pytest.raises(errors.UploadConflictError):
        sandbox.files.upload_dir(tmp_path / "t", "/workspace/c", conflict="error")
    listing = "cd /workspace/c; find . -type f | sort | tr '\\n' ' '; stat -c %a ."
    sandbox.files.upload_dir(tmp_path / "t", "/workspace/c", conflict="merge")
    assert sandbox.commands.run(listing, shell=True).stdout == "./sub/new ./sub/old 700\n"
    sandbox.files.upload_dir(tmp_path / "t", "/workspace/c", conflict="replace")
    assert sandbox.commands.run(listing, shell=True).stdout.startswith("./sub/new ")
    assert "old" not in sandbox.commands.run(listing, shell=True).stdout
    sandbox.files.upload_dir(tmp_path / "t", "/workspace/fresh", conflict="error")
    assert sandbox.files.read("/workspace/fresh/sub/new") == "new"


def test_an_empty_folder(sandbox, tmp_path):
    (tmp_path / "none").mkdir()
    sandbox.files.upload_dir(tmp_path / "none", "/workspace/none")
    assert sandbox.commands.run("ls -A /workspace/none | wc -l", shell=True).stdout == "0\n"


def test_the_command_line(cli, sandbox, tmp_path):
    make_tree(tmp_path / "t")
    done = cli("sandbox", "upload", sandbox.id, str(tmp_path / "t"), "/workspace/cli", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["result"]["file_count"] > 10
    assert sandbox.files.read("/workspace/cli/sub.txt") == "beside sub/"
    done = cli("sandbox", "upload", sandbox.id, "-", "/workspace/stdin", "--resumable", "always", "--json", input="by stdin")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sandbox.files.read("/workspace/stdin") == "by stdin"
    done = cli("sandbox", "upload", sandbox.id, str(tmp_path / "t"), "/workspace/cli", "--conflict", "error", "--json")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert answer["error"]["code"] == "file_upload_error"


def test_resume_sends_what_is_missing(cli, sandbox, wire, tmp_path):
    data = random.Random(3).randbytes(3 * PART - 5)
    (tmp_path / "f").write_bytes(data)
    upload = wire.session(len(data), "/workspace/resumed")
    assert wire.part(upload, 2, data[2 * PART:])[1]["next_part"] == 0
    assert wire.part(upload, 0, data[:PART])[1]["next_part"] == 1
    done = cli("sandbox", "upload", sandbox.id, str(tmp_path / "f"), "--resume", upload, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sandbox.commands.run("sha256sum < /workspace/resumed", shell=True).stdout.split()[0] == sha(data)
    done = cli("sandbox", "upload", sandbox.id, str(tmp_path / "f"), "--resume", upload, "--json")
    assert done.returncode == 0, done.stdout + done.stderr


# --- the wire --------------------------------------------------------------------------------------


def test_a_session_step_by_step(wire, sandbox, server):
    data = random.Random(4).randbytes(PART + 7)
    status, answer = wire.create(len(data), key="k1", user="agent")
    one = answer["session"]
    assert (one["status"], one["next_part"], one["part_count"], one["part_size"]) == ("created", 0, 2, PART)
    assert one["user"] == "agent" and one["upload_id"].startswith("up_") and len(one["upload_id"]) == 35
    assert wire.create(len(data), key="k1", user="agent")[1]["session"]["upload_id"] == one["upload_id"]
    assert wire.create(1, key="k1")[0] == 409
    upload = one["upload_id"]
    assert refused(wire.complete(upload), 409, "missing_parts")["upload_id"] == upload
    refused(wire.part(upload, 2, b"x"), 400, "part_out_of_range")
    refused(wire.part(upload, "x", b"x"), 400, "part_out_of_range")
    assert refused(wire.part(upload, 1, b"x" * 8), 400, "part_size_mismatch")["part_number"] == 1
    refused(wire.part(upload, 0, data[:5]), 400, "part_size_mismatch")
    refused(wire.part(upload, 1, data[PART:], "0" * 64), 400, "invalid_part_checksum")
    refused(wire.part(upload, 1, data[PART:], "short"), 400, "invalid_part_checksum")
    assert wire.ask("GET", f"/{upload}")[1]["accepted_bytes"] == 0
    status, two = wire.part(upload, 1, data[PART:])
    assert (two["status"], two["next_part"], two["accepted_bytes"]) == ("uploading", 0, 7)
    assert wire.part(upload, 1, data[PART:])[1]["accepted_bytes"] == 7  # twice
    refused(wire.part(upload, 1, b"y" * 7, "0" * 64), 400, "invalid_part_checksum")  # and it keeps what it had
    status, three = wire.part(upload, 0, data[:PART])
    assert (three["status"], three["next_part"]) == ("staged", None)
    status, done = wire.complete(upload, sha(data))
    assert status == 200 and set(done) == {"session", "published_bytes", "published_file_count"}
    assert (done["published_bytes"], done["published_file_count"]) == (len(data), 1)
    assert done["session"]["status"] == "completed" and done["session"]["reserved_staging_bytes"] == 0
    assert wire.complete(upload, sha(data)) == (200, done) and wire.complete(upload) == (200, done)
    refused(wire.complete(upload, "0" * 64), 400, "whole_checksum_mismatch")
    refused(wire.part(upload, 0, b"x"), 409, "upload_already_completed")
    refused(wire.ask("DELETE", f"/{upload}"), 409, "upload_already_completed")
    assert sandbox.commands.run("sha256sum < /workspace/up", shell=True).stdout.split()[0] == sha(data)
    assert none_is_staged(server)


def test_what_a_session_cannot_be(wire):
    for wrong in ({"kind": "folder"}, {"source_kind": "x"}, {"conflict": "x"}, {"checksum_algorithm": "md5"}, {"archive_format": "zip"},
                  {"content_length": -1}, {"content_length": "1"}, {"whole_checksum_sha256": "x"}, {"user": "root"}, {"user": 5},
                  {"target_path": ""}, {"target_path": "a\0b"}, {"target_path": "a" * 4096}, {"target_path": None}):
        status, answer = wire.create(**{"length": 1, "target": "x", **wrong}) if "target_path" not in wrong else \
            wire.ask("POST", body={"kind": "file", "content_length": 1, **wrong})
        assert (status, answer["code"]) == (400, "invalid_request"), wrong
    assert wire.ask("POST", data=b"[]", headers={"Content-Type": "application/json"})[0] == 400
    assert wire.ask("POST")[0] == 400
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/complete"), ("PUT", "/parts/0")):
        assert wire.ask(method, f"/up_{'a' * 32}{path}")[0] == 404
        assert wire.ask(method, f"/..%2F..{path}")[0] == 404


def test_room_is_limited(wire):
    refused(wire.create(8 * 1024**3 + 1), 413, "size_limit_exceeded")
    made = []
    try:
        for _ in range(4):
            status, answer = wire.create(6 * 1024**3)
            if status != 200:
                break
            made.append(answer["session"]["upload_id"])
        assert len(made) <= 2
        refused((status, answer), 507, "insufficient_staging_space")
    finally:
        for upload in made:
            assert wire.ask("DELETE", f"/{upload}")[0] == 204
    many = []
    try:
        while len(many) <= 128:
            status, answer = wire.create(0)
            if status != 200:
                break
            many.append(answer["session"]["upload_id"])
        refused((status, answer), 507, "insufficient_staging_space")
    finally:
        for upload in many:
            wire.ask("DELETE", f"/{upload}")


def test_abort_and_checksum_of_the_whole(wire, sandbox, server):
    sandbox.files.write("/workspace/old", "old")
    upload = wire.session(3, "/workspace/old")
    wire.part(upload, 0, b"new")
    refused(wire.complete(upload, sha(b"other")), 400, "whole_checksum_mismatch")
    assert sandbox.files.read("/workspace/old") == "old"
    assert wire.ask("GET", f"/{upload}")[1]["status"] == "failed"
    upload = wire.session(3, "/workspace/old")
    wire.part(upload, 0, b"new")
    for _ in range(2):
        assert wire.ask("DELETE", f"/{upload}") == (204, None)
    assert wire.ask("GET", f"/{upload}")[1]["status"] == "aborted"
    refused(wire.part(upload, 0, b"new"), 410, "upload_aborted")
    refused(wire.complete(upload), 410, "upload_aborted")
    upload = wire.session(1, "/workspace/old", conflict="error")
    wire.part(upload, 0, b"x")
    refused(wire.complete(upload), 409, "target_conflict")
    wire.ask("DELETE", f"/{upload}")
    upload = wire.session(1, "/workspace")
    wire.part(upload, 0, b"x")
    assert wire.complete(upload)[0] in (400, 409)
    assert wire.ask("GET", f"/{upload}")[1]["status"] == "staged"
    wire.ask("DELETE", f"/{upload}")
    assert none_is_staged(server)


def test_complete_twice_at_once(wire, sandbox):
    data = random.Random(5).randbytes(3 * PART)
    upload = wire.session(len(data), "/workspace/once")
    for number in range(3):
        wire.part(upload, number, data[number * PART:(number + 1) * PART])
    got = []
    threads = [threading.Thread(target=lambda: got.append(wire.complete(upload, sha(data)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 6 and all(status == 200 for status, _ in got), got
    assert len({json.dumps(answer, sort_keys=True) for _, answer in got}) == 1
    assert sandbox.commands.run("sha256sum < /workspace/once", shell=True).stdout.split()[0] == sha(data)


def test_the_same_part_many_times_at_once(wire, sandbox, server):
    data = random.Random(6).randbytes(PART)
    upload = wire.session(PART, "/workspace/often")
    got = []
    threads = [threading.Thread(target=lambda n=n: got.append(wire.part(upload, 0, data, None if n % 2 else "0" * 64)))
               for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for status, _ in got) == [200, 200, 200, 400, 400, 400]
    assert wire.complete(upload, sha(data))[0] == 200
    assert sandbox.commands.run("sha256sum < /workspace/often", shell=True).stdout.split()[0] == sha(data)
    assert none_is_staged(server)


def test_a_part_that_breaks_off_leaves_nothing(wire, server):
    import socket

    upload = wire.session(PART, "/workspace/cut")
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as peer:
        peer.sendall(f"PUT /v1/sandboxes/{wire.id}/uploads/{upload}/parts/0 HTTP/1.1\r\nHost: {host}:{port}\r\n"
                     f"Authorization: Bearer {server.key}\r\nContent-Length: {PART}\r\n\r\n".encode() + b"x" * 500000)
        end = time.monotonic() + 20
        while not staged(server) and time.monotonic() < end:
            time.sleep(0.02)
        assert staged(server)
    assert none_is_staged(server)
    assert wire.ask("GET", f"/{upload}")[1]["accepted_bytes"] == 0
    wire.ask("DELETE", f"/{upload}")


def test_another_workspace_and_no_key(wire, server):
    upload = wire.session(1)
    other = Sandbox.create()
    try:
        theirs = Wire(server, other.id)
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/complete"), ("PUT", "/parts/0")):
            assert theirs.ask(method, f"/{upload}{path}")[0] == 404
            assert wire.ask(method, f"/{upload}{path}", headers={"Authorization": "Bearer nt_wrong"})[0] == 401
    finally:
        other.kill()
        other.close()
    assert wire.ask("GET", f"/{upload}")[1]["status"] == "created"


def test_uploads_go_with_their_workspace(server):
    made = Sandbox.create()
    wire = Wire(server, made.id)
    wire.part(wire.session(PART), 0, b"x" * PART)
    assert staged(server)
    made.kill()
    made.close()
    assert none_is_staged(server)


# --- archives that attack --------------------------------------------------------------------------


def tar(*entries):
    """(name, kind, content or target)…, as a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, value in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.mode = 0o755
            if kind == tarfile.REGTYPE:
                info.size = len(value)
                archive.addfile(info, io.BytesIO(value))
            else:
                info.linkname = value or ""
                archive.addfile(info)
    return out.getvalue()


FILE, DIR, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
HOSTILE = {
    "absolute": ([("/etc/evil", FILE, b"x")], "directory_extract_invalid_path"),
    "up": ([("../evil", FILE, b"x")], "directory_extract_invalid_path"),
    "up inside": ([("a", DIR, None), ("a/../../evil", FILE, b"x")], "directory_extract_invalid_path"),
    "dot inside": ([("a/./b", FILE, b"x")], "directory_extract_invalid_path"),
    "only up": ([("..", DIR, None)], "directory_extract_invalid_path"),
    "long name": ([("x" * 256, FILE, b"x")], "directory_extract_invalid_path"),
    "too deep": ([("/".join("d" * 300), DIR, None)], "directory_extract_invalid_path"),
    "twice": ([("a", FILE, b"1"), ("a", FILE, b"2")], "directory_extract_invalid_path"),
    "below a file": ([("a", FILE, b"1"), ("a/b", FILE, b"2")], "directory_extract_invalid_path"),
    "through a link": ([("a", LINK, "b"), ("b", DIR, None), ("a/c", FILE, b"x")], "directory_extract_invalid_path"),
    "absolute link": ([("a", LINK, "/etc/passwd")], "directory_extract_invalid_symlink"),
    "link up": ([("a", LINK, "../x")], "directory_extract_invalid_symlink"),
    "link up inside": ([("d/a", LINK, "b/../../../x")], "directory_extract_invalid_symlink"),
    "hard link": ([("a", FILE, b"x"), ("b", HARD, "a")], "directory_extract_unsupported_entry"),
    "hard link out": ([("b", HARD, "/etc/passwd")], "directory_extract_unsupported_entry"),
    "fifo": ([("a", tarfile.FIFOTYPE, None)], "directory_extract_unsupported_entry"),
    "device": ([("a", tarfile.CHRTYPE, None)], "directory_extract_unsupported_entry"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_leaves_nothing(wire, sandbox, server, name):
    entries, reason = HOSTILE[name]
    upload, *got = wire.send_tar(tar(("first", FILE, b"fine"), *entries))
    detail = refused(got, 400, reason)
    assert detail["upload_id"] == upload and detail["path"]
    assert sandbox.commands.run("ls -A /workspace", shell=True).stdout == ""
    assert wire.ask("GET", f"/{upload}")[1]["status"] == "failed"
    assert none_is_staged(server)


def gnu_sparse():
    """An old GNU header that says: one byte of content, 1 TiB of file."""
    block = bytearray(512)
    block[0:4] = b"bomb"
    block[100:108] = b"0000644\0"
    block[124:136] = b"%011o\0" % 512
    block[156:157] = b"S"
    block[257:265] = b"ustar  \0"
    block[386:398] = b"%011o\0" % 0
    block[398:410] = b"%011o\0" % 512
    block[483:495] = b"\x80" + (2**40).to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + b"x" * 512 + bytes(1024)


@pytest.mark.parametrize("data", [b"no tar at all" * 100, gnu_sparse(), tar(("a", FILE, b"x" * 2000))[:1024],
                                  __import__("gzip").compress(tar(("a", FILE, bytes(10**6))))],
                         ids=["text", "sparse", "cut", "gzip"])
def test_what_is_no_plain_tar_is_refused(wire, sandbox, data):
    upload, *got = wire.send_tar(data)
    refused(got, 400, "directory_extract_unsupported_entry")
    assert sandbox.commands.run("ls -A /workspace", shell=True).stdout == ""


def test_links_that_are_there_are_not_followed(wire, sandbox):
    """What stands in the target, made by a program inside, does not lead the archive elsewhere."""
    sandbox.commands.run("mkdir /workspace/out /workspace/tree; ln -s ../out /workspace/tree/d", shell=True)
    wire.send_tar(tar(("d", DIR, None), ("d/f", FILE, b"x")))
    assert sandbox.commands.run("ls -A /workspace/out", shell=True).stdout == ""


def test_archives_of_others(wire, sandbox):
    """Any order, no entries of folders, './' in front, old formats."""
    upload, status, done = wire.send_tar(tar(("./z/y/x", FILE, b"1"), ("a", FILE, b"2"), ("./z/a", FILE, b"3"), ("z/y", DIR, None)))
    assert (status, done["published_file_count"], done["published_bytes"]) == (200, 3, 3), done
    assert sandbox.commands.run("cd /workspace/tree; cat z/y/x a z/a", shell=True).stdout == "123"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("n" * 200)
        info.size = 513
        archive.addfile(info, io.BytesIO(b"x" * 513))
    assert wire.send_tar(out.getvalue(), "/workspace/gnu")[1] == 200
    assert sandbox.commands.run(f"wc -c < /workspace/gnu/{'n' * 200}", shell=True).stdout == "513\n"


# --- a server that is killed -----------------------------------------------------------------------


@pytest.fixture
def own(monkeypatch):
    folder = Path(tempfile.mkdtemp(prefix="nt-conf-"))
    running = Server(folder)
    monkeypatch.setenv("NULLSPACE_API_URL", running.url)
    monkeypatch.setenv("NULLSPACE_API_KEY", running.key)
    try:
        yield running
        running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def records(server):
    folder = server.data / "store" if (server.data / "store").is_dir() else server.data
    return folder / "uploads"


def test_a_session_outlives_the_server(own):
    status, made = own.json("POST", "/v1/sandboxes", {})
    wire = Wire(own, made["id"])
    data = random.Random(7).randbytes(2 * PART + 3)
    upload = wire.session(len(data), "/workspace/kept", key="the key", whole_checksum_sha256=sha(data))
    wire.part(upload, 1, data[PART:2 * PART])
    done = wire.session(1, "/workspace/done")
    wire.part(done, 0, b"x")
    answer = wire.complete(done, sha(b"x"))
    own.crash()
    (records(own) / upload / "t0000000000000000").write_bytes(b"half of a part")
    (records(own) / upload / "p0").write_bytes(b"cut")
    (records(own) / "up_nothing").mkdir()
    (records(own) / "up_link").symlink_to("/etc")
    own.start()
    status, kept = wire.ask("GET", f"/{upload}")
    assert (status, kept["status"], kept["next_part"], kept["accepted_bytes"]) == (200, "uploading", 0, PART)
    assert kept["whole_checksum_sha256"] == sha(data)
    assert wire.create(len(data), "/workspace/kept", key="the key")[1]["session"]["upload_id"] == upload
    assert wire.complete(done, sha(b"x")) == answer
    for number in (0, 2):
        assert wire.part(upload, number, data[number * PART:(number + 1) * PART])[0] == 200
    assert wire.complete(upload, sha(data))[0] == 200
    status, _, text = own.request("GET", f"/v1/sandboxes/{made['id']}/file?path=/workspace/kept")
    assert text == data
    own.request("DELETE", f"/v1/sandboxes/{made['id']}")
    assert none_is_staged(own)


def test_what_is_too_old_is_removed(own):
    status, made = own.json("POST", "/v1/sandboxes", {})
    wire = Wire(own, made["id"])
    late, later = wire.session(PART), wire.session(PART)
    for upload in (late, later):
        wire.part(upload, 0, b"x" * PART)
    own.crash()
    for upload, days in ((late, 0.1), (later, 3)):
        path = records(own) / upload / "record"
        record = json.loads(path.read_text())
        record["expires_ms"] = int((time.time() - days * 86400) * 1000)
        if upload == later:
            record["state"] = "expired"
        path.write_text(json.dumps(record))
    own.start()
    status, answer = wire.ask("GET", f"/{late}")
    assert (status, answer["status"], answer["reserved_staging_bytes"]) == (200, "expired", 0)
    refused(wire.part(late, 0, b"x"), 410, "upload_expired")
    refused(wire.complete(late), 410, "upload_expired")
    assert wire.ask("GET", f"/{later}")[0] == 404
    assert none_is_staged(own)
    own.request("DELETE", f"/v1/sandboxes/{made['id']}")


def test_a_server_killed_while_it_publishes_leaves_the_old_file(own):
    status, made = own.json("POST", "/v1/sandboxes", {})
    wire = Wire(own, made["id"])
    data = random.Random(8).randbytes(PART) * 12
    upload = wire.session(len(data), "/workspace/f")
    own.request("PUT", f"/v1/sandboxes/{made['id']}/file?path=/workspace/f", b"old")
    for number in range(12):
        wire.part(upload, number, data[number * PART:(number + 1) * PART])
    asked = threading.Thread(target=lambda: lost(wire, upload))
    asked.start()
    end = time.monotonic() + 20
    while wire.ask("GET", f"/{upload}")[1]["status"] == "staged" and time.monotonic() < end:
        pass
    own.crash()
    asked.join()
    own.start()
    status, _, text = own.request("GET", f"/v1/sandboxes/{made['id']}/file?path=/workspace/f")
    assert text in (b"old", data)
    status, answer = wire.complete(upload, sha(data))
    assert status == 200, answer
    status, _, text = own.request("GET", f"/v1/sandboxes/{made['id']}/file?path=/workspace/f")
    assert text == data
    own.request("DELETE", f"/v1/sandboxes/{made['id']}")


def lost(wire, upload):
    try:
        wire.complete(upload)
    except OSError:
        pass  # its server has died
