# SPDX-License-Identifier: Apache-2.0
"""The main job: a repository goes in (from a folder, from a URL), is built, and the result comes out."""
import http.server
import os
import subprocess
import threading

import pytest

GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]


@pytest.fixture
def repository(tmp_path):
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "hello.c").write_text('#include <stdio.h>\nint main(void) { puts("hello from a workspace"); return 0; }\n')
    (repo / "Makefile").write_text("hello: hello.c\n\tcc -o $@ $<\n")
    env = {**os.environ, "HOME": str(tmp_path)}
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"], ["branch", "other"],
                  ["update-server-info"]):
        subprocess.run([*GIT, *words], cwd=repo, env=env, check=True)
    return repo


class Backend(http.server.CGIHTTPRequestHandler):
    """git's own smart HTTP server as CGI."""
    cgi_directories = ["/git"]

    def is_cgi(self):
        self.cgi_info = "", self.path.lstrip("/")
        return True

    def run_cgi(self):
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.server.root), "GIT_HTTP_EXPORT_ALL": "1",
               "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
               "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(length),
               "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "HOME": str(self.server.root)}
        done = subprocess.run(["git", "-c", "safe.directory=*", "http-backend"], env=env, input=self.rfile.read(length),
                              capture_output=True)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def url(repository):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    server.root = repository.parent
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/repo/.git"
    server.shutdown()
    thread.join()
    server.server_close()


def build_and_run(cli, ws, tmp_path):
    cli.ok("exec", ws, "--", "make")
    cli.ok("files", "cp", f"{ws}:/workspace/hello", tmp_path / "hello")
    assert subprocess.run([tmp_path / "hello"], capture_output=True).stdout == b"hello from a workspace\n"
    cli.ok("ws", "rm", ws)


def test_from_a_folder(cli, repository, tmp_path):
    ws = cli.create("--repo", str(repository), "--no-internet")
    build_and_run(cli, ws, tmp_path)


def test_from_a_url_and_a_branch(cli, url, tmp_path):
    ws = cli.create("--repo", url, "--branch", "other", "--no-internet")
    assert cli.ok("exec", ws, "--", "git", "branch", "--show-current").stdout == b"other\n"
    # The rule of the clone has gone with it: the same host is out of reach now.
    again = cli("exec", ws, "--", "git", "ls-remote", url)
    assert again.status != 0
    build_and_run(cli, ws, tmp_path)


def test_a_clone_that_fails_leaves_no_workspace(cli, url):
    before = cli.ok("--json", "ws", "list").json
    for words in (["--repo", url + "-not-there"], ["--repo", url, "--branch", "no-such"], ["--repo", "/no/such/folder"],
                  ["--repo", "ext::sh -c id"], ["--repo", "/etc"], ["--repo", url, "--branch", "--upload-pack=id"]):
        done = cli("--json", "ws", "create", *words, timeout=60)
        assert done.status != 0 and done.stdout == b"", words
        assert done.error["code"].startswith("nanoterm.") or done.error["kind"] == "usage", done
    assert cli.ok("--json", "ws", "list").json == before


def test_a_hostile_repository_runs_nothing_here(cli, repository, tmp_path):
    """git reads the configuration of the repository that it bundles: nothing in it may run."""
    proof = tmp_path / "it-ran"
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {proof}\n")
    script.chmod(0o755)
    for key in ("core.fsmonitor", "core.sshCommand", "core.alternateRefsCommand", "uploadpack.packObjectsHook",
                "core.pager", "core.editor", "diff.external", "gpg.program"):
        subprocess.run(["git", "config", key, str(script)], cwd=repository, check=True)
    hooks = repository / ".git/hooks"
    for hook in ("post-checkout", "reference-transaction", "pre-auto-gc"):
        (hooks / hook).write_text(script.read_text())
        (hooks / hook).chmod(0o755)
    ws = cli.create("--repo", str(repository), "--no-internet")
    cli.ok("ws", "rm", ws)
    assert not proof.exists()


def test_quickstart_shows_each_step_with_its_time(cli, repository):
    done = cli.ok("--json", "quickstart", "--repo", str(repository), "--artifact", "hello", "--run", "", timeout=120)
    steps = [row["step"] for row in done.json]
    assert steps == ["create and clone", "build", "copy out", "run", "remove"]
    assert all(row["ms"] >= 0 for row in done.json)
    assert b"hello from a workspace" in done.stderr
    # For a person each step is shown as it could be typed; with --json there are no such notes.
    done = cli.ok("quickstart", "--repo", str(repository), "--artifact", "hello", "--run", "", timeout=120)
    assert b"hello from a workspace" in done.stderr and b"$ nanoterm ws create" in done.stderr
