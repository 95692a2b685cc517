# SPDX-License-Identifier: Apache-2.0
"""files cp of folders: everything that cp -a keeps, by the guest itself and through a server on TCP; where copies go; what
interruptions and attackers leave. Longer: NT_RACE_SECONDS=30."""
import hashlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading

import pytest

from conftest import is_alive, serve_tcp, wait_until

RACE_SECONDS = float(os.environ.get("NT_RACE_SECONDS", "3"))


@pytest.fixture(scope="module")
def tcp(cli, tmp_path_factory):
    """A server on TCP with a workspace: the environment and id of it, and its process."""
    server, env, url = serve_tcp(cli, tmp_path_factory.mktemp("data"))
    ws = cli.ok("--json", "ws", "create", env=env, timeout=120).json["id"]
    yield env, ws, url
    cli("ws", "rm", ws, env=env)
    server.send_signal(signal.SIGTERM)
    server.wait(20)


@pytest.fixture(params=["here", "tcp"])
def side(request, cli):
    """A program and a workspace, once by the guest itself and once over TCP."""
    if request.param == "here":
        env, ws = cli.env, request.getfixturevalue("ws")
    else:
        env, ws, _ = request.getfixturevalue("tcp")

    def run(*words, **how):
        return cli(*words, timeout=120, env=env, **how)

    run.start = lambda *words: cli.start(*words, env=env)
    return run, ws


def inventory(top):
    """What find and sha256sum see of a tree, by path below it; paths may be longer than PATH_MAX."""
    seen, links = {}, {}
    for folder, folders, files, here in os.fwalk(os.fsencode(top)):
        for name in folders + files:
            path = os.path.relpath(os.path.join(folder, name), os.fsencode(top))
            st = os.lstat(name, dir_fd=here)
            row = seen[path] = [stat.filemode(st.st_mode), st.st_mtime_ns]
            if stat.S_ISLNK(st.st_mode):
                row.append(os.readlink(name, dir_fd=here))
            elif stat.S_ISREG(st.st_mode):
                with open(os.open(name, os.O_RDONLY, dir_fd=here), "rb") as file:
                    row += [st.st_size, hashlib.sha256(file.read()).hexdigest()]
                links.setdefault(st.st_ino, []).append(path)
    st = os.lstat(top)
    seen[b"."] = [stat.filemode(st.st_mode), st.st_mtime_ns]
    return seen, sorted(sorted(names) for names in links.values() if len(names) > 1)


def make_oddities(top):
    """One of each that a copy can lose."""
    top = os.fsencode(top)
    os.mkdir(top)
    for name in (b"new\nline", b"--leading", b"\xff\xfenot utf-8", b"with space", "ü😀".encode(), b"*?[", b"a:b", b"\\"):
        with open(os.path.join(top, name), "wb") as file:
            file.write(b"name " + name)
    os.mkdir(top + b"/empty folder")
    os.mkdir(top + b"/sub")
    for i, size in enumerate((0, 1, 4095, 4096, 65535, 65536, 65537, 262144, 1048577)):
        with open(top + b"/sub/%d" % i, "wb") as file:
            file.write(os.urandom(size))
    os.link(top + b"/sub/3", top + b"/hard link")
    os.link(top + b"/sub/3", top + b"/sub/hard link too")
    os.symlink(b"sub/3", top + b"/link")
    os.symlink(b"/etc/passwd", top + b"/absolute link")
    os.symlink(b"no/such\nplace", top + b"/dangling")
    os.symlink(b"sub", top + b"/link to folder")
    with open(top + b"/sparse", "wb") as file:
        file.truncate(64 * 1024 * 1024)
        file.seek(20 * 1024 * 1024)
        file.write(b"x" * 5000)
    with open(top + b"/hole at the end", "wb") as file:
        file.write(b"begin")
        file.truncate(8 * 1024 * 1024)
    # A path longer than PATH_MAX.
    here = os.open(top, os.O_RDONLY)
    for _ in range(25):
        os.mkdir(b"d" * 240, dir_fd=here)
        below = os.open(b"d" * 240, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    with open(os.open(b"deep", os.O_WRONLY | os.O_CREAT, dir_fd=here), "wb") as file:
        file.write(b"deep")
    os.close(here)
    for i, mode in enumerate((0o400, 0o444, 0o600, 0o644, 0o755, 0o777)):
        with open(top + b"/mode%d" % i, "wb") as file:
            file.write(b"m")
        os.chmod(top + b"/mode%d" % i, mode)
    os.mkdir(top + b"/read-only")
    with open(top + b"/read-only/file", "wb") as file:
        file.write(b"r")
    os.mkdir(top + b"/sticky")
    os.chmod(top + b"/sticky", 0o1777)
    os.utime(top + b"/sub/1", ns=(1, -1_500_000_001))
    os.utime(top + b"/sub/2", ns=(1, 4_102_444_800_123_456_789))
    os.utime(top + b"/link", ns=(1, 1_111_111_111_111_111_111), follow_symlinks=False)
    for i, name in enumerate((b"/sub", b"/empty folder", b"/read-only", b"/sticky", b"")):
        os.utime(top + name, ns=(1, 1_234_567_890_123_456_789 + i))
    os.chmod(top + b"/read-only", 0o555)


def remove(top):
    """Also what its owner may not write, and what is too deep for a path."""
    subprocess.run(["chmod", "-R", "u+rwX", str(top)], check=False)
    subprocess.run(["rm", "-rf", str(top)], check=True)


@pytest.fixture
def place(tmp_path):
    yield tmp_path
    for entry in tmp_path.iterdir():
        if not entry.is_symlink():
            remove(entry)


def files_below(top):
    return sorted(os.path.relpath(os.path.join(folder, name), top) for folder, folders, names in os.walk(top)
                  for name in folders + names)


def test_a_tree_with_every_oddity(side, place):
    run, ws = side
    make_oddities(place / "in")
    done = run("--json", "files", "cp", "-T", place / "in", f"{ws}:/workspace/oddities")
    assert done.status == 0, done
    assert done.json["not_kept"] == [] and done.json["entries"] == len(inventory(place / "in")[0])
    done = run("--json", "files", "cp", f"{ws}:/workspace/oddities", place / "out")
    assert done.status == 0 and done.json["not_kept"] == [], done
    assert inventory(place / "out") == inventory(place / "in")
    for name in ("sparse", "hole at the end"):
        assert (place / "out" / name).stat().st_blocks * 512 < 1024 * 1024
    inside = run("exec", ws, "--", "sh", "-c", "cd /workspace/oddities && stat -c %b sparse; find . | wc -l")
    assert int(inside.stdout.split()[0]) < 2048
    assert run("exec", ws, "--", "ls", "-A", "/workspace").stdout.count(b".nanoterm") == 0
    assert run("exec", ws, "--", "sh", "-c", "chmod -R u+w /workspace/oddities; rm -rf /workspace/oddities").status == 0


def test_what_is_not_kept_is_told(side, place):
    run, ws = side
    (place / "in").mkdir()
    os.mkfifo(place / "in/pipe")
    with socket.socket(socket.AF_UNIX) as s:
        os.chdir(place / "in")
        s.bind("socket")
        os.chdir("/")
    (place / "in/file").write_text("f")
    os.setxattr(place / "in/file", "user.note", b"x")
    done = run("--json", "files", "cp", place / "in", f"{ws}:/workspace/not-kept")
    assert done.status == 0, done
    assert {(row["path"], row["what"]) for row in done.json["not_kept"]} == {
        ("pipe", "a named pipe is not copied"), ("socket", "a socket is not copied"), ("file", "extended attributes")}
    text = run("files", "cp", "-T", place / "in", f"{ws}:/workspace/not-kept")
    assert b"not kept: pipe: a named pipe is not copied" in text.stderr
    run("exec", ws, "--", "sh", "-c", "mkfifo /workspace/not-kept/p2; chmod 6755 /workspace/not-kept/file")
    done = run("--json", "files", "cp", f"{ws}:/workspace/not-kept", place / "out")
    assert {row["path"] for row in done.json["not_kept"]} >= {"p2", "file"} and done.status == 0
    assert stat.S_IMODE((place / "out/file").stat().st_mode) == 0o755
    assert files_below(place / "out") == ["file"]


def test_what_cannot_be_read_makes_the_status_1(side, place):
    run, ws = side
    run("exec", ws, "--", "sh", "-c", "mkdir -p /workspace/u; echo a > /workspace/u/a; echo b > /workspace/u/b; chmod 0 /workspace/u/a")
    if run("exec", ws, "--", "cat", "/workspace/u/a").status == 0:
        pytest.skip("the workspace's user may read everything")
    done = run("--json", "files", "cp", f"{ws}:/workspace/u", place / "out")
    assert done.status == 1 and (place / "out/b").read_text() == "b\n"
    assert [(row["path"], row["is_content"]) for row in done.json["not_kept"]] == [("a", True)]


def test_where_copies_go(side, place):
    run, ws = side
    src = place / "src"
    src.mkdir()
    (src / "f").write_text("1")

    def ok(*words):
        done = run("files", "cp", *words)
        assert done.status == 0, done

    def inside(path):
        return run("exec", ws, "--", "sh", "-c", f"cd {path} && find . -mindepth 1 | sort").text.split()

    base = "/workspace/goes"
    ok(src, f"{ws}:{base}")  # not there: the copy itself, parents made
    assert inside(base) == ["./f"]
    ok(src, f"{ws}:{base}")  # there: inside it
    assert inside(base) == ["./f", "./src", "./src/f"]
    (src / "g").write_text("2")
    (src / "f").unlink()
    ok(src, f"{ws}:{base}/")  # and again: that one is replaced as a whole
    assert inside(base) == ["./f", "./src", "./src/g"]
    ok(f"{src}/.", f"{ws}:{base}")  # what lies in it
    assert inside(base) == ["./f", "./g", "./src", "./src/g"]
    ok("-T", src, f"{ws}:{base}")
    assert inside(base) == ["./g"]
    ok("-T", "--merge", src, f"{ws}:{base}/a/b")
    assert inside(base) == ["./a", "./a/b", "./a/b/g", "./g"]
    ok(src / "g", f"{ws}:{base}/a")  # a file into a folder
    assert inside(f"{base}/a") == ["./b", "./b/g", "./g"]
    for source, target in ((src, f"{ws}:{base}/g"), (src / "g", f"{ws}:{base}/a/b/..")):
        done = run("--json", "files", "cp", "-T", source, target)
        assert done.status != 0 and done.error["code"], done
    assert inside(base) == ["./a", "./a/b", "./a/b/g", "./a/g", "./g"]

    out = place / "out"
    ok(f"{ws}:{base}", out)
    assert files_below(out) == ["a", "a/b", "a/b/g", "a/g", "g"]
    ok(f"{ws}:{base}/a", out)  # replaced inside
    (out / "mine").write_text("mine")
    ok("--merge", f"{ws}:{base}", place / "out2")
    ok(f"{ws}:{base}/.", out)
    assert (out / "mine").exists()
    ok("-T", f"{ws}:{base}/a", out)
    assert files_below(out) == ["b", "b/g", "g"]
    assert run("files", "cp", f"{ws}:{base}/g", f"{place}/none/").status == 3
    (place / "file").write_text("kept")
    assert run("--json", "files", "cp", f"{ws}:{base}", place / "file").error["code"] == "conflict"
    assert (place / "file").read_text() == "kept"
    (place / "links").mkdir()
    (place / "to-links").symlink_to(place / "links")
    ok(f"{ws}:{base}/a", place / "to-links")
    assert files_below(place / "links") == ["a", "a/b", "a/b/g", "a/g"]
    assert not [name for name in files_below(place) if "nanoterm" in name]
    run("exec", ws, "--", "rm", "-rf", base)


def test_times_and_pipes_of_single_files(side, place):
    run, ws = side
    (place / "in").write_bytes(b"content")
    os.utime(place / "in", ns=(1, 1_234_567_890_987_654_321))
    assert run("files", "cp", place / "in", f"{ws}:/workspace/timed").status == 0
    done = run("exec", ws, "--", "stat", "-c", "%.Y", "/workspace/timed")
    assert done.text.strip() == "1234567890.987654321"
    done = run("--json", "files", "cp", f"{ws}:/workspace/timed", place / "out")
    assert (place / "out").stat().st_mtime_ns == 1_234_567_890_987_654_321
    assert done.json["mtime"].startswith("2009-02-13T23:31:30.987654321")
    assert run("files", "cp", "-", f"{ws}:/workspace/piped", input=b"from a pipe").status == 0
    assert run("files", "cp", f"{ws}:/workspace/piped", "-").stdout == b"from a pipe"
    assert run("files", "write", "--mode", "0750", ws, "/workspace/moded", input=b"x").status == 0
    assert run("exec", ws, "--", "stat", "-c", "%a", "/workspace/moded").stdout == b"750\n"
    assert run("files", "write", "--mode", "0890", ws, "/workspace/moded", input=b"x").status == 2
    # of unknown size
    assert run("files", "cp", f"{ws}:/proc/version", place / "version").status == 0
    assert (place / "version").read_bytes().startswith(b"Linux version")


def test_a_link_to_a_file_is_copied_as_the_file(side, place):
    """What is said of the file (size, mode, time) is the target's, too, not the link's."""
    run, ws = side
    run("exec", ws, "--", "sh", "-c", "cd /workspace && printf 'twenty bytes of text' > target && chmod 640 target && "
        "touch -d @1000000000 target && ln -sf target link && : > empty && chmod 600 empty && ln -sf empty nothing")
    for name, data, mode in (("link", b"twenty bytes of text", 0o640), ("nothing", b"", 0o600)):
        done = run("--json", "files", "cp", f"{ws}:/workspace/{name}", place / "out")
        assert done.status == 0 and done.json["bytes"] == len(data), done
        assert (place / "out").read_bytes() == data
        seen = (place / "out").lstat()
        assert stat.S_IMODE(seen.st_mode) == mode
        assert name == "nothing" or seen.st_mtime == 1000000000
        (place / "out").unlink()


def renamed(head, port):
    """The head of a request, with the name of the server that it is passed on to."""
    return re.sub(rb"(?i)(\r\nhost: )[^\r]*", rb"\g<1>127.0.0.1:%d" % int(port), head, count=1)


class Truncating:
    """A middlebox: passes so many bytes of each connection's upload, then pretends that this was all."""

    def __init__(self, url, limit):
        self.target = url.rsplit("/", 1)[1].split(":")
        self.limit = limit
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            there = socket.create_connection((self.target[0], int(self.target[1])))
            threading.Thread(target=self.pass_on, args=(here, there, self.limit), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(there, here, None), daemon=True).start()

    def pass_on(self, source, sink, limit):
        passed = 0
        try:
            while data := source.recv(65536):
                if limit is not None and not passed:
                    data = renamed(data, self.target[1])
                if limit is not None and passed + len(data) > limit:
                    sink.sendall(data[:limit - passed])
                    break
                sink.sendall(data)
                passed += len(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Shortening(Truncating):
    """A worse one: it makes a short body look whole, by its own Content-Length."""

    def pass_on(self, source, sink, limit):
        try:
            if limit is None:
                while data := source.recv(65536):
                    sink.sendall(data)
                return
            data = b""
            while b"\r\n\r\n" not in data:
                data += source.recv(65536)
            head, body = data.split(b"\r\n\r\n", 1)
            size = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
            while len(body) < size:
                body += source.recv(65536)
            head = renamed(re.sub(rb"(?i)content-length: \d+", b"Content-Length: %d" % limit, head),
                           self.target[1])
            sink.sendall(head + b"\r\n\r\n" + body[:limit])
        except OSError:
            pass


def test_a_middlebox_that_truncates(cli, tcp, place):
    env, ws, url = tcp
    (place / "file").write_bytes(os.urandom(300_000))
    cli.ok("files", "write", ws, "/workspace/target", input=b"old", env=env)
    box = Shortening(url, 100_000)
    done = cli("--json", "files", "cp", place / "file", f"{ws}:/workspace/target",
               env={**env, "NANOTERM_API_URL": box.url}, timeout=60)
    box.listener.close()
    assert done.status == 1 and done.error["code"] == "FILE_WRITE_BYTE_MISMATCH", done


def test_a_tree_that_is_cut_short_leaves_the_old_one(cli, tcp, place):
    env, ws, url = tcp
    (place / "tree").mkdir()
    for i in range(20):
        (place / f"tree/{i}").write_bytes(os.urandom(50_000))
    cli.ok("exec", ws, "--", "sh", "-c", "mkdir /workspace/cut; echo old > /workspace/cut/old", env=env)
    box = Truncating(url, 400_000)
    done = cli("--json", "files", "cp", "-T", place / "tree", f"{ws}:/workspace/cut",
               env={**env, "NANOTERM_API_URL": box.url}, timeout=60)
    box.listener.close()
    assert done.status == 1 and done.error["code"] in ("connection_closed", "connect_failed", "FILE_WRITE_BYTE_MISMATCH"), done
    left = cli.ok("exec", ws, "--", "sh", "-c", "cd /workspace; cat cut/*; ls -A | grep nanoterm-copy || true", env=env)
    assert left.stdout == b"old\n"


def big_tree(top, count=3000):
    top.mkdir()
    for i in range(count):
        (top / str(i)).write_bytes(b"%d" % i * 2000)


def test_an_interrupted_copy_leaves_what_was_there(side, place):
    run, ws = side
    big_tree(place / "new")
    run("exec", ws, "--", "sh", "-c", "mkdir -p /workspace/kept; echo old > /workspace/kept/old")
    (place / "out").mkdir()
    (place / "out/old").write_text("old")
    for words in (["files", "cp", "-T", place / "new", f"{ws}:/workspace/kept"],
                  ["files", "cp", "-T", f"{ws}:/workspace/source", place / "out"]):
        if words[3] == f"{ws}:/workspace/source":
            assert run("files", "cp", "-T", place / "new", f"{ws}:/workspace/source").status == 0
        for number in (signal.SIGINT, signal.SIGKILL):
            before = set(os.listdir(place))
            process = run.start(*words)
            stage = place if words[-1] == place / "out" else None
            if stage:
                wait_until(lambda: set(os.listdir(place)) - before or process.poll() is not None, 60, "the copy to begin")
            else:
                wait_until(lambda: run("exec", ws, "--", "sh", "-c", "ls -A /workspace | grep -q nanoterm-copy").status == 0
                           or process.poll() is not None, 60, "the copy to begin")
            process.send_signal(number)
            process.communicate()
            if process.returncode == 0:
                continue  # it was faster than we
            if number == signal.SIGINT:
                assert process.returncode == 130
            assert run("exec", ws, "--", "cat", "/workspace/kept/old").stdout == b"old\n"
            assert (place / "out/old").read_text() == "old"
            # Inside the guest tidies up in either case; here only Ctrl-C lets us.
            wait_until(lambda: run("exec", ws, "--", "sh", "-c", "ls -A /workspace | grep -c nanoterm-copy").stdout == b"0\n",
                       60, "the guest to tidy up")
            left = [name for name in os.listdir(place) if "nanoterm" in name]
            assert not left or number == signal.SIGKILL
            # What a killed one has left goes with the next.
            assert run("files", "cp", f"{ws}:/workspace/kept", place / "next").status == 0
            remove(place / "next")
            assert not [name for name in os.listdir(place) if "nanoterm" in name]
    run("exec", ws, "--", "rm", "-rf", "/workspace/kept", "/workspace/source")


def test_the_guest_or_the_server_is_killed(fresh, place):
    """Half of a tree has come when they go: the destination is what it was."""
    cli = fresh()
    ws = cli.create()
    big_tree(place / "tree", 200)
    cli.ok("files", "cp", place / "tree", f"{ws}:/workspace/tree")
    (place / "out").mkdir()
    (place / "out/old").write_text("old")
    # A source that does not end: the copy waits for more of it.
    cli.ok("exec", ws, "--", "sh", "-c", "head -c 300M /dev/zero | tr '\\0' x > /workspace/tree/large")
    process = cli.start("--json", "files", "cp", "-T", f"{ws}:/workspace/tree", place / "out")
    wait_until(lambda: len(os.listdir(place)) > 2 or process.poll() is not None, 60, "the copy to begin")
    cli.ok("ws", "stop", ws)
    _, err = process.communicate(timeout=60)
    if process.returncode:
        assert (place / "out/old").read_text() == "old" and b'"code":"connection_closed"' in err
    assert not [name for name in os.listdir(place) if "nanoterm" in name]
    cli.ok("ws", "start", ws)
    remove(place / "out")
    # The server is not in the path of a local copy: its end changes nothing.
    process = cli.start("files", "cp", "-T", f"{ws}:/workspace/tree", place / "out")
    wait_until(lambda: any("nanoterm-copy" in name for name in os.listdir(place)) or process.poll() is not None, 60,
               "the copy to begin")
    pid = cli.server_pid()
    os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode == 0
    wait_until(lambda: not is_alive(pid), 20, "the server to end")
    cli.ok("ws", "list")  # a server that removes the workspace in the end


def guest_of(cli, ws):
    [record] = (cli.home / ".nanoterm/server").rglob(f"{ws}/run")
    return int(record.read_text().split()[1])


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [int(child) for child in children.read().split()]


def has_read(pid, size):
    with open(f"/proc/{pid}/io") as counters:
        return next(int(line.split()[1]) for line in counters if line.startswith("rchar:")) > size


def test_the_guest_or_its_helper_is_killed_as_a_folder_comes(fresh, place):
    """Nothing is acknowledged, nothing is half; the stage goes at the latest with the next copy."""
    cli = fresh()
    ws = cli.create()
    (place / "small").mkdir()
    (place / "small/new").write_text("new")
    (place / "large").mkdir()
    with open(place / "large/file", "wb") as file:
        for _ in range(300):
            file.write(b"x" * 1024 * 1024)
    for who in ("helper", "guest"):
        cli.ok("exec", ws, "--", "sh", "-c", "cd /workspace; rm -rf kept; mkdir kept; echo old > kept/old")
        guest = guest_of(cli, ws)
        wait_until(lambda: not children_of(guest), 30, "the exec to be gone")
        process = cli.start("--json", "files", "cp", "-T", place / "large", f"{ws}:/workspace/kept")
        wait_until(lambda: process.poll() is not None or has_read(process.pid, 16 * 1024 * 1024), 60, "the copy to be under way")
        process.send_signal(signal.SIGSTOP)
        helpers = children_of(guest)
        assert helpers and not has_read(process.pid, 300 * 1024 * 1024)
        for pid in helpers if who == "helper" else [guest]:
            os.kill(pid, signal.SIGKILL)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1 and b'"code":"connection_closed"' in err, err
        wait_until(lambda: not any(map(is_alive, helpers)), 30, "the helper to be gone")
        if who == "guest":
            wait_until(lambda: cli.ok("--json", "ws", "list").json[0]["status"] != "running", 30, "its end to be noticed")
            cli.ok("ws", "start", ws)
        assert cli.ok("exec", ws, "--", "ls", "-A", "/workspace/kept").stdout == b"old\n"
        cli.ok("files", "cp", "-T", place / "small", f"{ws}:/workspace/kept")
        assert cli.ok("exec", ws, "--", "sh", "-c", "ls -A /workspace /workspace/kept").stdout \
            == b"/workspace:\nkept\n\n/workspace/kept:\nnew\n"


class Valve(Truncating):
    """Passes so many bytes one way, and then none until the server has gone."""

    def __init__(self, url, limit, way):
        self.way, self.full, self.gone = way, threading.Event(), threading.Event()
        super().__init__(url, limit)

    def accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            there = socket.create_connection((self.target[0], int(self.target[1])))
            for way, source, sink in (("up", here, there), ("down", there, here)):
                threading.Thread(target=self.pass_on, args=(source, sink, way), daemon=True).start()

    def pass_on(self, source, sink, way):
        passed = 0
        try:
            while data := source.recv(65536):
                sink.sendall(renamed(data, self.target[1]) if way == "up" else data)
                passed += len(data)
                if way == self.way and passed >= self.limit:
                    self.full.set()
                    self.gone.wait(60)
                    break
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("kind", ["file", "tree"])
def test_the_server_is_killed_while_it_carries_a_copy(fresh, place, way, kind):
    """8 MiB of 64 have passed when it goes."""
    cli = fresh()
    server, env, url = serve_tcp(cli, place / "data")
    ws = cli.ok("--json", "ws", "create", env=env, timeout=120).json["id"]
    source = place / "source"
    if kind == "tree":
        source.mkdir()
    with open(source / "file" if kind == "tree" else source, "wb") as file:
        for _ in range(64):
            file.write(os.urandom(1024 * 1024))
    words = ["-T", source, f"{ws}:/workspace/out"]
    if way == "down":
        cli.ok("files", "cp", "-T", source, f"{ws}:/workspace/source", env=env)
        words = ["-T", f"{ws}:/workspace/source", place / "out"]
    old = "mkdir out; echo old > out/old" if kind == "tree" else "echo old > out"
    cli.ok("exec", ws, "--", "sh", "-c", f"cd /workspace; {old}", env=env)
    subprocess.run(["sh", "-c", old], cwd=place, check=True)
    before = sorted(os.listdir(place))
    valve = Valve(url, 8 * 1024 * 1024, way)
    process = cli.start("--json", "files", "cp", *words, env={**env, "NANOTERM_API_URL": valve.url})
    assert valve.full.wait(60) and process.poll() is None
    server.kill()
    server.wait(20)
    valve.gone.set()
    _, err = process.communicate(timeout=60)
    valve.listener.close()
    assert process.returncode == 1, err
    assert json.loads(err.splitlines()[-1])["kind"] == "network", err
    assert sorted(os.listdir(place)) == before
    assert (place / "out/old" if kind == "tree" else place / "out").read_text() == "old\n"
    server, env, url = serve_tcp(cli, place / "data")
    wait_until(lambda: cli("exec", ws, "--", "sh", "-c", "ls -A /workspace | grep -c nanoterm", env=env).stdout == b"0\n", 60,
               "the guest to tidy up")
    assert cli.ok("exec", ws, "--", "sh", "-c", "cat /workspace/out/old || cat /workspace/out", env=env).stdout == b"old\n"
    cli.ok("ws", "rm", ws, env=env)
    server.send_signal(signal.SIGTERM)
    server.wait(20)


SWAP = """
import os, sys, time
end = time.monotonic() + float(sys.argv[2])
os.chdir(sys.argv[1])
while time.monotonic() < end:
    for name in ("a", "d/b"):
        try:
            os.rename(name, name + ".kept"); os.symlink(sys.argv[3], name)
            os.unlink(name); os.rename(name + ".kept", name)
        except OSError:
            pass
"""


def test_a_symlink_swapped_in_never_leads_out(cli, ws, place):
    """Someone swaps folders for links to elsewhere, on both sides, while copies run in both directions."""
    outside = place / "outside"
    outside.mkdir()
    (outside / "secret").write_text("SECRET OF THE HOST")
    tree = place / "tree"
    for folder in ("a", "d/b"):
        (tree / folder).mkdir(parents=True)
        for i in range(20):
            (tree / folder / str(i)).write_text("inside")
    cli.ok("files", "cp", tree, f"{ws}:/workspace/race")
    here = subprocess.Popen(["/usr/bin/python3", "-c", SWAP, str(tree), str(RACE_SECONDS), str(outside)])
    target = place / "race"
    cli.ok("files", "cp", f"{ws}:/workspace/race", target)
    there = subprocess.Popen(["/usr/bin/python3", "-c", SWAP, str(target), str(RACE_SECONDS), str(outside)])
    swap = ("end=$(($(date +%s) + " + str(int(RACE_SECONDS) + 1) + ")); cd /workspace/race; while [ $(date +%s) -lt $end ]; do "
            "mv a k; ln -s /etc a; rm a; mv k a; mv d/b d/k; ln -s /etc d/b; rm d/b; mv d/k d/b; done")
    inside = cli.start("exec", ws, "--", "sh", "-c", swap)
    rounds = 0
    while here.poll() is None or there.poll() is None:
        cli("files", "cp", "-T", tree, f"{ws}:/workspace/race-in")
        cli("files", "cp", "--merge", "-T", f"{ws}:/workspace/race", target)
        cli("files", "cp", "-T", f"{ws}:/workspace/race", place / "fresh")
        rounds += 1
        leak = cli("exec", ws, "--", "sh", "-c", "grep -rl 'SECRET OF' /workspace/race-in")
        assert leak.stdout == b""
        assert sorted(os.listdir(outside)) == ["secret"]
        for folder, _, names in os.walk(place / "fresh"):
            for name in names:
                path = os.path.join(folder, name)
                assert os.path.islink(path) or open(path).read() == "inside", path
    assert rounds > 0
    inside.communicate(timeout=60)
    here.wait()
    there.wait()
    assert (outside / "secret").read_text() == "SECRET OF THE HOST"
    cli("exec", ws, "--", "rm", "-rf", "/workspace/race", "/workspace/race-in")
