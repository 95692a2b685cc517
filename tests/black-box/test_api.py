# SPDX-License-Identifier: Apache-2.0
"""`nanoterm api`: raw calls with credential, retries, idempotency, the error model, and bytes as they come."""
import json
import os
import pty
import subprocess
import threading

import pytest

from conftest import wait_until
from http_peer import http_peer

JSON = {"Content-Type": "application/json"}
KEY = "nsk_0123456789abcdef0123456789abcdef"


def at(cli, url, **more):
    return {**cli.env, "NANOTERM_API_URL": url, "NANOTERM_API_KEY": KEY, **more}


def test_the_real_server(cli):
    made = cli.ok("api", "POST", "/v1/sandboxes", "-F", "internet_access=false", "-F", "image=host", "-f", "name=007").json
    cli.made.append(made["id"])
    assert made["name"] == "007" and made["internet_access"] is False
    listed = cli.ok("api", "get", "v1/sandboxes", "-F", "limit=5").json
    assert [row["id"] for row in listed["items"]] == [made["id"]]
    whole = cli.ok("--json", "api", "GET", f"/v1/sandboxes/{made['id']}").json
    assert whole["status"] == 200 and whole["body"]["id"] == made["id"] and whole["request_id"]
    assert whole["headers"]["content-type"] == whole["content_type"] == "application/json"
    head = cli.ok("api", "HEAD", "/v1/sandboxes", "--include").text
    assert head.startswith("HTTP/1.1 200\n") and head.endswith("\n\n")
    assert cli("api", "DELETE", f"/v1/sandboxes/{made['id']}").status == 0


def test_an_error_is_typed_and_stdout_stays_empty(cli):
    done = cli("--json", "api", "GET", "/v1/sandboxes/ws_nothere0")
    assert (done.status, done.stdout) == (3, b"")
    assert done.error["code"] == "sandbox_not_found" and done.error["status"] == 404 and done.error["request_id"]


@pytest.mark.parametrize("words", [
    ["FETCH", "/v1/sandboxes"], ["GET", "https://example.com/v1/sandboxes"], ["GET", "/v1/a b"], ["GET", "/v1/a\r\nX: y"],
    ["GET", "/v1/x", "-F", "name"], ["GET", "/v1/x", "-H", "no colon"], ["GET", "/v1/x", "-H", "A: b\r\nC: d"],
    ["GET", "/v1/x", "-H", "Authorization: Bearer x"], ["GET", "/v1/x", "-H", "Host: example.com"],
    ["POST", "/v1/x", "--input", "-", "-F", "a=b"]])
def test_bad_words_send_nothing(cli, words):
    with http_peer(lambda request: (200, {}, b"")) as url:
        done = cli("api", *words, env=at(cli, url))
        assert (done.status, done.stdout) == (2, b""), done
        assert url.requests == []


def test_input_that_cannot_be_read(cli):
    done = cli("--json", "api", "POST", "/v1/x", "--input", "/nonexistent")
    assert done.status == 1 and done.error["code"] == "system" and not done.error["request_sent"]


def test_what_failed_is_sent_again_with_one_key(cli):
    def answer(request):
        return (503, {**JSON, "Retry-After": "0"}, b"{}") if len(url.requests) < 3 else (201, JSON, b'{"id":"x"}')

    with http_peer(answer) as url:
        sent = json.dumps({"a": "b" * 100000}).encode()
        assert cli.ok("api", "POST", "/v1/things", "--input", "-", input=sent, env=at(cli, url)).json == {"id": "x"}
        assert [request["body"] for request in url.requests] == [sent] * 3
        assert len({request["headers"]["Idempotency-Key"] for request in url.requests}) == 1
        for request in url.requests:
            assert request["headers"]["Authorization"] == f"Bearer {KEY}"
            assert request["headers"]["Content-Type"] == "application/json"
    with http_peer(answer) as url:
        cli.ok("api", "PATCH", "/v1/things/1", "-F", "n=1", "-H", "Idempotency-Key: mine", env=at(cli, url))
        assert [(r["headers"]["Idempotency-Key"], r["body"]) for r in url.requests] == [("mine", b'{"n":1}')] * 3


@pytest.mark.parametrize("source", ["pipe", "file"])
def test_long_input_is_streamed_and_sent_once(cli, tmp_path, source):
    sent = os.urandom(5_000_000)
    (tmp_path / "long").write_bytes(sent)
    with http_peer(lambda request: (503, {"Retry-After": "0"}, b"")) as url:
        if source == "pipe":
            done = cli("--json", "api", "PUT", "/v1/long", "--input", "-", input=sent, env=at(cli, url))
        else:
            done = cli("--json", "api", "PUT", "/v1/long", "--input", tmp_path / "long", env=at(cli, url))
        assert done.status == 1 and done.error["retryable"] and done.error["request_sent"]
        assert [request["body"] == sent for request in url.requests] == [True]
        assert ("Content-Length" in url.requests[0]["headers"]) == (source == "file")


def test_the_answer_is_written_as_it_comes(cli):
    seen = threading.Event()

    def pieces():
        yield b"first\n"
        assert seen.wait(30)
        yield bytes(range(256)) * 4096

    with http_peer(lambda request: (200, {"Content-Type": "application/octet-stream"}, pieces())) as url:
        process = cli.start("api", "GET", "/v1/stream", env=at(cli, url))
        assert process.stdout.read(6) == b"first\n"
        seen.set()
        out, err = process.communicate(timeout=60)
        assert out == bytes(range(256)) * 4096 and err == b"" and process.returncode == 0


def test_a_reader_that_leaves_ends_it_quietly(cli):
    def endless():
        while True:
            yield b"x" * 65536

    with http_peer(lambda request: (200, {}, endless())) as url:
        process = cli.start("api", "GET", "/v1/stream", env=at(cli, url))
        assert process.stdout.read(10) == b"x" * 10
        process.stdout.close()
        assert process.wait(60) == -13 and process.stderr.read() == b""


def test_json_is_one_object_whatever_the_body_is(cli):
    bodies = iter([(200, JSON, b"[1]"), (200, JSON, b"not json"), (200, {"Content-Type": "text/plain"}, "é".encode()),
                   (204, {}, b""), (200, {"Content-Type": "application/octet-stream"}, b"\xff\0")])
    with http_peer(lambda request: next(bodies)) as url:
        got = [cli.ok("--json", "api", "GET", "/v1/x", env=at(cli, url)).json for _ in range(4)]
        assert [each["body"] for each in got] == [[1], "not json", "é", None]
        assert [each["status"] for each in got] == [200, 200, 200, 204]
        done = cli("--json", "api", "GET", "/v1/x", env=at(cli, url))
        assert (done.status, done.stdout, done.error["code"]) == (2, b"", "invalid_response")


def test_a_terminal_sees_no_escapes(cli):
    evil = b"\x1b]0;owned\x07\0\x9b2J text\nsecond \x1b[31m"
    with http_peer(lambda request: (200, {"X-Evil": "\x1b[2J"}, evil)) as url:
        ours, theirs = pty.openpty()
        process = cli.start("api", "-i", "GET", "/v1/x", env=at(cli, url), stdout=theirs)
        os.close(theirs)
        assert process.wait(60) in (0, 2)  # 2: the header itself was refused
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # EIO: the other end is closed
                break
        os.close(ours)
        assert b"\x1b" not in shown and b"\x9b" not in shown and b"\x07" not in shown
        if process.returncode == 0:
            assert b" text" in shown and b"second" in shown


def test_no_redirect_is_followed_with_the_key(cli):
    with http_peer(lambda request: (200, {}, b"stolen")) as other:
        with http_peer(lambda request: (302, {"Location": f"{other}/v1/x"}, b"")) as url:
            done = cli("api", "GET", "/v1/x", env=at(cli, url))
            assert done.status != 0 and done.stdout == b""
        assert other.requests == []


def test_input_that_never_ends_has_a_deadline(cli):
    process = cli.start("--timeout", "300ms", "--json", "api", "POST", "/v1/x", "--input", "-", stdin=subprocess.PIPE)
    wait_until(lambda: process.poll() is not None, 60, "the deadline")
    assert process.returncode == 8 and json.loads(process.stderr.read())["code"] == "timeout"
    process.stdin.close()
    process.stdout.close()
    process.stderr.close()
