# SPDX-License-Identifier: Apache-2.0
"""Files of a sandbox with the unmodified SDK and its command line, and what hostile trees do to them."""
import json
import os
import threading
import urllib.error
import urllib.request

import pytest
from nullspace.errors import NotFoundError, SandboxError


@pytest.fixture
def run(sandbox):
    def run(line):
        done = sandbox.commands.run(line, shell=True)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    return run


def test_every_small_call(sandbox, run):
    files = sandbox.files
    files.make_dir("/workspace/d/e")
    info = files.write("/workspace/d/a.txt", "text")
    assert (info.name, info.path, info.size, info.is_dir) == ("a.txt", "/workspace/d/a.txt", 4, False)
    assert files.read("/workspace/d/a.txt") == "text"
    assert [row.name for row in files.list("/workspace", depth=1)] == ["d"]
    assert sorted(row.path for row in files.list("/workspace", depth=3)) == [
        "/workspace/d", "/workspace/d/a.txt", "/workspace/d/e"]
    assert files.exists("/workspace/d/a.txt") and not files.exists("/workspace/d/a.txt/x")
    assert files.rename("/workspace/d/a.txt", "/workspace/d/b.txt").path == "/workspace/d/b.txt"
    files.set_permissions("/workspace/d/b.txt", "0600")
    assert run("stat -c %a /workspace/d/b.txt") == "600\n"
    assert files.info("/workspace/d/b.txt", user="agent").permissions == "0600"
    files.remove("/workspace/d")
    assert not files.exists("/workspace/d")


@pytest.mark.parametrize("user", ["root", "nobody", "0"])
def test_a_workspace_has_one_user(sandbox, user):
    with pytest.raises(SandboxError) as refused:
        sandbox.files.read("/etc/hostname", user=user)
    assert refused.value.code == "invalid_request"
    with pytest.raises(SandboxError):
        sandbox.files.list("/", user=user)


def test_a_relative_path_of_a_user_starts_at_home(sandbox):
    sandbox.files.write("of-user", "x", user="agent")
    sandbox.files.write("of-nobody", "y")
    assert sandbox.files.read("/home/agent/of-user") == "x"
    assert sandbox.files.read("/workspace/of-nobody") == "y"


@pytest.mark.parametrize("text", ["", "rwx", "8", "77777", "-1", "0o"])
def test_permissions_are_octal(sandbox, text):
    sandbox.files.write("/workspace/a", "")
    with pytest.raises(SandboxError) as refused:
        sandbox.files.set_permissions("/workspace/a", text)
    assert refused.value.code == "invalid_request"


def test_find_looks_into_files(sandbox, run):
    run("mkdir -p src && printf 'one\\ntwo(\\n' > src/a && printf 'one\\0' > src/bin && printf 'x\\none' > src/b")
    rows = sandbox.files.find_files("/workspace", "^one$")
    assert sorted((row.file, row.line, row.content) for row in rows) == [
        ("/workspace/src/a", 1, "one"), ("/workspace/src/b", 2, "one")]
    assert [row.line for row in sandbox.files.find_files("src/a", "two(")] == [2]
    assert sandbox.files.find_files("/workspace", "not there") == []
    with pytest.raises(NotFoundError):
        sandbox.files.find_files("/workspace/none", "x")


def test_search_looks_at_names(sandbox, run):
    run("mkdir -p src/deep .hidden && touch src/a.py src/deep/b.py .hidden/c.py")
    assert sorted(sandbox.files.search_files("/workspace", "*.py")) == [
        "/workspace/.hidden/c.py", "/workspace/src/a.py", "/workspace/src/deep/b.py"]
    assert sandbox.files.search_files("/workspace", "src/*.py") == ["/workspace/src/a.py"]
    assert len(sandbox.files.search_files("/workspace", "src/**/*.py")) == 2


def test_replace_keeps_what_it_does_not_touch(sandbox, run):
    run("printf 'a one one\\n' > a; chmod 751 a; printf 'one\\0' > bin; ln -s a link")
    done = sandbox.files.replace_in_files(["/workspace/a", "/workspace/bin"], "one", "\\1&")
    assert done == 2
    assert sandbox.files.read("/workspace/a") == "a \\1& \\1&\n"
    assert run("stat -c %a a; ls -A") == "751\na\nbin\nlink\n"
    with pytest.raises(SandboxError):
        sandbox.files.replace_in_files(["/workspace/a", "/workspace/link"], "a", "b")
    assert sandbox.files.read("/workspace/a") == "a \\1& \\1&\n"


def test_hostile_trees_do_not_stop_a_search(sandbox, run):
    run("mkdir t && cd t && mkfifo fifo && truncate -s 1G sparse && echo needle > f && ln -s / root && ln -s /dev/zero zero")
    rows = sandbox.files.find_files("/workspace/t", "needle")
    assert [row.file for row in rows] == ["/workspace/t/f"]
    assert sandbox.files.search_files("/workspace/t", "hostname") == []
    assert sandbox.files.search_files("/", "kmsg*") == []  # what the kernel makes up is left out


def test_a_hostile_expression_is_ended(sandbox, run):
    run("head -c 20000 /dev/zero | tr '\\0' a > a")
    for pattern in ["((a{1,255}){1,255}){1,255}", "(a*)*(a*)*(a*)*\\1\\2\\3b"]:
        try:
            assert sandbox.files.find_files("/workspace/a", pattern) is not None
        except SandboxError as error:
            assert error.code in ("file_error", "sandbox_unavailable"), error
    assert sandbox.files.read("/workspace/a")[:3] == "aaa"  # and the workspace has not been harmed


def test_a_file_has_no_entries(sandbox):
    sandbox.files.write("/workspace/plain", "x")
    with pytest.raises(SandboxError) as refused:
        sandbox.files.list("/workspace/plain")
    assert refused.value.code == "file_error" and "not a folder" in str(refused.value)
    for path in ("/workspace/plain/below", "/workspace/none"):
        with pytest.raises(SandboxError) as refused:
            sandbox.files.list(path)
        assert refused.value.code == "file_not_found"


def test_results_are_bounded(sandbox, run):
    run("seq 1 20000 > many; mkdir names && cd names && seq 1 20000 | xargs touch")
    for call in (sandbox.files.find_files, sandbox.files.search_files):
        with pytest.raises(SandboxError) as refused:
            call("/workspace", "*" if call == sandbox.files.search_files else ".")
        assert refused.value.code == "file_error" and "10000" in str(refused.value)
    assert len(sandbox.files.search_files("/workspace/names", "19999")) == 1


def test_the_command_line(sandbox, cli):
    def ok(*args, input=None):
        done = cli("sandbox", "file", *args, input=input)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    sandbox.files.write("/workspace/src/a.py", "needle\n")
    assert "needle" in ok("find", sandbox.id, "/workspace", "needle")
    assert "/workspace/src/a.py" in ok("search", sandbox.id, "/workspace", "*.py")
    ok("chmod", sandbox.id, "/workspace/src/a.py", "0600")
    ok("replace", sandbox.id, "needle", "pin", "/workspace/src/a.py")
    info = sandbox.files.info("/workspace/src/a.py")
    assert (info.permissions, info.size) == ("0600", 4)


# --- many at once, signed URLs, watching ---------------------------------------------------------------------------


def test_batch_write(sandbox, run):
    many = [(f"/workspace/many/{i}", f"{i}\r\n--x".encode()) for i in range(40)]
    infos = sandbox.files.write_files(many)
    assert [info.name for info in infos] == [str(i) for i in range(40)]
    big = os.urandom(3 * 1024 * 1024)
    sandbox.files.write_files([("rel", big), ("/workspace/empty", b"")])
    assert sandbox.files.read("/workspace/rel", format="bytes") == big
    assert sandbox.files.info("/workspace/empty").size == 0
    with pytest.raises(SandboxError):
        sandbox.files.write_files([("/proc/none/x", b"a"), ("/workspace/ok", b"b")])
    assert sandbox.files.read("/workspace/ok") == "b"


def batch(server, sandbox, body, boundary="B", kind="multipart/form-data; boundary="):
    status, _, text = server.request("POST", f"/v1/sandboxes/{sandbox.id}/files/batch-write", body,
                                     {"Content-Type": kind + boundary})
    return status, json.loads(text)


def part(name, text):
    return f'--B\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n{text}\r\n'.encode()


def test_hostile_batches(server, sandbox):
    manifest = part("manifest", json.dumps({"files": [{"path": "../../../../workspace/up", "field": "a"}]}))
    status, body = batch(server, sandbox, manifest + part("a", "x") + b"--B--\r\n")
    assert status == 200 and body["results"][0]["status"] == "success"  # inside, like any path: no way out of it
    assert sandbox.files.read("/workspace/up") == "x"
    status, body = batch(server, sandbox, manifest + b"--B--\r\n")
    assert body["results"] == [{"status": "error", "path": "../../../../workspace/up", "error": "its part is missing"}]
    for wrong in (b"", b"--B--\r\n", part("a", "x") + b"--B--\r\n", manifest + part("a", "new")[:-2],
                  manifest + part("b", "x") + b"--B--", manifest + part("a", "1") + part("a", "2") + b"--B--",
                  part("manifest", "[]") + b"--B--", part("manifest", '{"files":[{"path":"","field":"a"}]}') + b"--B--",
                  part("manifest", '{"files":[],"user":"root"}') + b"--B--", b"preamble" + manifest + b"--B--"):
        status, body = batch(server, sandbox, wrong)
        assert (status, body["code"]) == (400, "invalid_request"), wrong
    assert batch(server, sandbox, manifest, boundary="x" * 71)[0] == 400
    assert batch(server, sandbox, manifest, kind="text/plain; boundary=")[0] == 400
    assert sandbox.files.read("/workspace/up") in ("x", "1")


def fetch(method, url, body=None, headers=()):
    request = urllib.request.Request(url, method=method, data=body, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_signed_urls(server, sandbox):
    path = "/workspace/a b&c"
    up = sandbox.files.upload_url(path).url
    assert up.startswith(server.url + "/v1/sandboxes/")
    assert fetch("PUT", up, b"put", {"Content-Type": "application/octet-stream"})[0] == 204
    down = sandbox.files.download_url(path)
    assert fetch("GET", down) == (200, b"put")
    form = part("file", "posted") + b"--B--\r\n"
    assert fetch("POST", up, form, {"Content-Type": "multipart/form-data; boundary=B"})[0] == 204
    assert fetch("GET", down) == (200, b"posted")
    # nothing else than what was signed
    assert fetch("PUT", down, b"x")[0] == 401 and fetch("GET", up)[0] == 401
    assert fetch("GET", down.replace("a%20b", "other"))[0] == 401
    assert fetch("GET", down[:-1])[0] == 401 and fetch("GET", down + "&mode=7777")[0] == 401
    assert fetch("PUT", up + "&mode=4777", b"x")[0] == 401
    assert fetch("GET", down.replace(sandbox.id, "ws_other"))[0] == 401
    assert fetch("DELETE", down)[0] == 405
    assert fetch("POST", down.split("/file?")[0] + "/files/read?" + down.split("?")[1], b"{}")[0] == 401
    # beside the store, whose folder belongs to the unprivileged server when it was started as root
    keys = list(server.data.rglob("url.key"))
    assert len(keys) == 1 and keys[0].stat().st_mode & 0o777 == 0o600


def test_watch(sandbox, run):
    seen, came = [], threading.Condition()

    def on_event(event):
        with came:
            seen.append(event)
            came.notify_all()

    def expect(kind, path):
        with came:
            assert came.wait_for(lambda: any((e.type, e.path) == (kind, path) for e in seen), 30), (kind, path, seen)

    run("mkdir -p /workspace/w /tmp/out/d && echo x > /tmp/out/d/inner")
    handle = sandbox.files.watch_dir("/workspace/w", on_event, recursive=True)
    try:
        run("echo x > w/a; chmod 600 w/a; mv w/a w/b; rm w/b")
        for kind, name in (("create", "a"), ("write", "a"), ("chmod", "a"), ("rename", "a"), ("create", "b"),
                           ("remove", "b")):
            expect(kind, f"/workspace/w/{name}")
        run("mkdir -p w/x/y/z && touch w/x/y/z/f && mv /tmp/out/d w/d && touch w/d/later")
        for name in ("x", "x/y", "x/y/z", "x/y/z/f", "d", "d/inner", "d/later"):
            expect("create", f"/workspace/w/{name}")
    finally:
        handle.stop()


@pytest.fixture
def watching(cli, sandbox):
    """The client's `sandbox file watch` at work; gives a function that waits for one of its events."""
    import subprocess
    import sys
    from pathlib import Path

    watch = subprocess.Popen([str(Path(sys.executable).parent / "nullspace"), "sandbox", "file", "watch", sandbox.id, "/workspace",
                              "--recursive"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen, came = [], threading.Condition()

    def read():
        for line in watch.stdout:
            with came:
                seen.append(json.loads(line))
                came.notify_all()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def expect(touch, path):
        for _ in range(60):  # it says nothing when it has begun
            touch()
            with came:
                if came.wait_for(lambda: any(event["path"] == path for event in seen), 1):
                    return
        raise AssertionError((path, seen))

    yield expect
    watch.send_signal(2)
    try:
        watch.wait(30)
    except subprocess.TimeoutExpired:
        watch.kill()
        watch.wait()
    reader.join(30)
    watch.stdout.close()
    watch.stderr.close()


def test_the_command_line_watches(sandbox, watching):
    sandbox.files.make_dir("/workspace/deep/er")
    watching(lambda: sandbox.files.write("/workspace/deep/er/a b", os.urandom(4).hex()), "/workspace/deep/er/a b")


def test_the_command_line_writes_many_and_signs_urls(server, sandbox, cli):
    def ok(*args):
        done = cli("sandbox", "file", *args)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    ok("write-files", sandbox.id, json.dumps([{"path": "/workspace/one", "content": "1\n"}, {"path": "two ü", "content": "2"}]))
    assert sandbox.files.read("/workspace/one") == "1\n" and sandbox.files.read("/workspace/two ü") == "2"
    done = cli("sandbox", "file", "write-files", sandbox.id,
               json.dumps([{"path": "/proc/none/x", "content": "1"}, {"path": "three", "content": "3"}]))
    assert done.returncode == 1 and "failed for 1 file(s); 1 file(s) succeeded" in done.stderr
    assert sandbox.files.read("/workspace/three") == "3"
    up = json.loads(ok("upload-url", sandbox.id, "/workspace/up"))["url"]
    assert fetch("PUT", up, b"put")[0] == 204
    down = json.loads(ok("download-url", sandbox.id, "/workspace/up", "--json"))["url"]
    assert fetch("GET", down) == (200, b"put")


@pytest.mark.parametrize("path", ["/", "//", "..", "/workspace/..", "/tmp/../", "/workspace/.", "."])
def test_the_root_is_never_emptied(sandbox, path):
    sandbox.files.write("/workspace/stays", "x")
    with pytest.raises(SandboxError):
        sandbox.files.remove(path)
    assert sandbox.files.read("/workspace/stays") == "x" and sandbox.files.exists("/etc")


def test_a_watch_that_cannot_be_says_why(sandbox):
    with pytest.raises(SandboxError) as refused:
        sandbox.files.watch_dir("/workspace/none", lambda event: None)
    assert "No such file" in str(refused.value)
    with pytest.raises(SandboxError):
        sandbox.files.watch_dir("/workspace", lambda event: None, user="root")
