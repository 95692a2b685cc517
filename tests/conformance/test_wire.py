# SPDX-License-Identifier: Apache-2.0
"""The wide forms (X-Nanoterm-Wire: 1): exec byte for byte, raw files with what a client verifies, refusals."""
import urllib.request
import hashlib
import json
import os
import socket
from urllib.parse import quote, urlsplit

import pytest
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import connect

EXITED, TIMEOUT = 1, 3  # NT_GR_* of nanoterm/guest.h
WIDE = {"X-Nanoterm-Wire": "1"}


def open_exec(server, sandbox, query="channel=exec"):
    return connect(server.url.replace("http", "ws") + f"/v1/sandboxes/{sandbox.id}/ws?{query}",
                   additional_headers={"Authorization": f"Bearer {server.key}", **WIDE},
                   compression=None, max_size=None, proxy=None)


def run(server, sandbox, argv, stdin=None, **more):
    """Runs it to the end: (last message, stdout, stderr)."""
    out = {1: b"", 2: b""}
    with open_exec(server, sandbox) as ws:
        ws.send(json.dumps({"type": "exec", "argv": argv, "stdin": stdin is not None, **more}))
        for piece in stdin or []:
            ws.send(b"\0" + piece)
        if stdin is not None:
            ws.send(json.dumps({"type": "stdin_end"}))
        while True:
            message = ws.recv(timeout=60)
            if isinstance(message, bytes):
                out[message[0]] += message[1:]
            elif json.loads(message)["type"] != "started":
                return json.loads(message), out[1], out[2]


def test_bytes_and_status(server, sandbox):
    last, out, err = run(server, sandbox, ["sh", "-c", r"printf 'a\377\0b'; printf e >&2; exit 200"])
    assert (out, err) == (b"a\xff\0b", b"e")
    assert last == {"type": "exit", "status": 200, "reason": EXITED, "signal": 0, "stdout_bytes": 4, "stderr_bytes": 1,
                    "limits_hit": []}


def test_input_goes_through_unchanged(server, sandbox):
    pieces = [os.urandom(65536) for _ in range(64)]
    last, out, _ = run(server, sandbox, ["cat"], stdin=pieces)
    assert last["status"] == 0 and last["stdout_bytes"] == len(out) == 64 * 65536
    assert hashlib.sha256(out).digest() == hashlib.sha256(b"".join(pieces)).digest()


def test_without_stdin_it_is_empty(server, sandbox):
    last, out, _ = run(server, sandbox, ["wc", "-c"])
    assert last["status"] == 0 and out.strip() == b"0"


def test_environment_folder_and_time_limit(server, sandbox):
    last, out, _ = run(server, sandbox, ["sh", "-c", "echo $A; pwd"], env={"A": "b c"}, cwd="/tmp")
    assert out == b"b c\n/tmp\n" and last["status"] == 0
    last, _, _ = run(server, sandbox, ["sleep", "60"], timeout_ms=200)
    assert (last["status"], last["reason"]) == (124, TIMEOUT)


@pytest.mark.parametrize("message,status", [({"type": "signal", "signal": 15}, 143), ({"type": "kill"}, 137)])
def test_signals(server, sandbox, message, status):
    with open_exec(server, sandbox) as ws:
        ws.send(json.dumps({"type": "exec", "argv": ["sh", "-c", "echo up; sleep 60"], "stdin": False}))
        while ws.recv(timeout=60) != b"\1up\n":
            pass
        ws.send(json.dumps(message))
        last = json.loads(ws.recv(timeout=60))
    assert last["type"] == "exit" and last["status"] == status


def test_leaving_kills_the_tree(server, sandbox):
    with open_exec(server, sandbox) as ws:
        ws.send(json.dumps({"type": "exec", "argv": ["sh", "-c", "sleep 4321 & echo $!; wait"], "stdin": False}))
        message = ws.recv(timeout=60)
        while not isinstance(message, bytes):
            message = ws.recv(timeout=60)
        pid = message[1:].decode().strip()
    assert gone(server, sandbox, pid)


def gone(server, sandbox, pid):
    """The end is not told to anybody, so it is asked for until it is there; the limit is the client's."""
    last, _, _ = run(server, sandbox, ["sh", "-c", f"while kill -0 {pid} 2>/dev/null; do sleep 0.02; done"],
                     timeout_ms=10000)
    return last["status"] == 0


def raw_connection(server):
    where = urlsplit(server.url)
    return socket.create_connection((where.hostname, where.port), timeout=60)


def raw_head(server, method, path, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {urlsplit(server.url).netloc}",
                        f"Authorization: Bearer {server.key}", *lines, "", ""]).encode()


def test_leaving_a_waiting_exec_kills_its_tree(server, sandbox):
    body = json.dumps({"command": "mkfifo up; sleep 4321 & echo $! > up; wait", "shell": True, "cwd": "/workspace"}).encode()
    with raw_connection(server) as raw:
        raw.sendall(raw_head(server, "POST", f"/v1/sandboxes/{sandbox.id}/exec", f"Content-Length: {len(body)}") + body)
        last, out, _ = run(server, sandbox, ["sh", "-c", "while ! test -p up; do sleep 0.02; done; cat up"],
                           cwd="/workspace", timeout_ms=10000)
        assert last["status"] == 0
    assert gone(server, sandbox, out.decode().strip())


def test_leaving_a_download(server, sandbox):
    sandbox.files.write("/workspace/big", iter([b"x" * 1_000_000] * 20))
    for _ in range(10):
        with raw_connection(server) as raw:
            raw.sendall(raw_head(server, "GET", f"/v1/sandboxes/{sandbox.id}/file?path=/workspace/big"))
            assert raw.recv(1000)
    assert file(server, sandbox, "HEAD", "/workspace/big")[1]["Content-Length"] == "20000000"


def test_leaving_a_flood(server, sandbox):
    for _ in range(10):
        ws = open_exec(server, sandbox)
        ws.send(json.dumps({"type": "exec", "argv": ["yes"], "stdin": True}))
        while not isinstance(ws.recv(timeout=60), bytes):
            pass
        ws.socket.close()
    last, out, _ = run(server, sandbox, ["sh", "-c", "while cat /proc/[0-9]*/comm 2>/dev/null | grep -qx yes; do sleep 0.02; done"],
                       timeout_ms=10000)
    assert last["status"] == 0


def test_a_streamed_program_outlives_its_socket(server, sandbox):
    job = sandbox.commands.run("echo up; read line; echo $line; exit 3", shell=True, background=True)
    url = server.url.replace("http", "ws") + f"/v1/sandboxes/{sandbox.id}/ws?channel=exec"
    with connect(url, additional_headers={"Authorization": f"Bearer {server.key}"}, proxy=None) as ws:
        ws.send(json.dumps({"type": "exec_connect", "id": "x", "pid": job.pid}))
        assert json.loads(ws.recv(timeout=60))["type"] == "exec_started"
    sandbox.commands.send_stdin(job.pid, "still here\n")
    done = job.wait()
    assert (done.exit_code, done.stdout) == (3, "up\nstill here\n")


@pytest.mark.parametrize("argv,status,code", [(["no-such-program"], 127, "not_found"), (["/etc"], 126, "not_executable")])
def test_what_did_not_start(server, sandbox, argv, status, code):
    last, _, _ = run(server, sandbox, argv)
    assert (last["type"], last["status"], last["code"]) == ("error", status, code)


@pytest.mark.parametrize("first", ["[]", "x", '{"type":"exec"}', '{"type":"exec","argv":[]}', '{"type":"kill"}', b"\0x", b""])
def test_a_wrong_first_message_is_refused(server, sandbox, first):
    with open_exec(server, sandbox) as ws:
        ws.send(first)
        assert json.loads(ws.recv(timeout=60))["type"] == "error"


def test_other_channels_are_refused_before_the_upgrade(server, sandbox):
    for query in ("channel=nothing", "channel="):
        with pytest.raises(InvalidStatus) as refused:
            open_exec(server, sandbox, query)
        assert refused.value.response.status_code == 501


def file(server, sandbox, method, path, body=None, more=""):
    return server.request(method, f"/v1/sandboxes/{sandbox.id}/file?path={quote(path, safe='')}{more}", body, WIDE)


def test_raw_files_tell_what_a_client_verifies(server, sandbox):
    content = os.urandom(700_001)
    status, _, text = file(server, sandbox, "PUT", "/workspace/r", content, "&mode=0750")
    answer = json.loads(text)
    assert status == 200 and answer["bytes"] == len(content) and answer["mode"] == "0750"
    status, headers, body = file(server, sandbox, "GET", "/workspace/r")
    assert status == 200 and body == content
    assert headers["X-Nanoterm-Mode"] == "0750" and headers["X-Nanoterm-Size"] == str(len(content))
    assert headers["X-Nanoterm-Mtime-Ns"] == answer["mtime_ns"] and "Content-Encoding" not in headers
    status, headers, body = file(server, sandbox, "HEAD", "/workspace/r")
    assert status == 200 and body == b"" and headers["Content-Length"] == str(len(content))


def test_raw_files_that_cannot_be(server, sandbox):
    assert file(server, sandbox, "GET", "/workspace/none")[0] == 404
    status, _, text = file(server, sandbox, "GET", "/etc")
    assert status == 400 and json.loads(text)["code"] == "is_a_folder"
    status, _, text = server.request("GET", f"/v1/sandboxes/{sandbox.id}/file?path=/etc")
    assert status == 400 and json.loads(text)["code"] == "file_error"  # the word that nullspace clients know
    assert file(server, sandbox, "PUT", "/workspace/x", b"x", "&mode=9")[0] == 400
    assert server.request("GET", f"/v1/sandboxes/{sandbox.id}/file", headers=WIDE)[0] == 400
    status, _, body = file(server, sandbox, "GET", "/proc/self/status")
    assert status == 200 and body.startswith(b"Name:")


def test_a_body_cut_short_leaves_the_old_file(server, sandbox):
    sandbox.files.write("/workspace/keep", "old")
    with raw_connection(server) as raw:
        raw.sendall(raw_head(server, "PUT", f"/v1/sandboxes/{sandbox.id}/file?path=/workspace/keep",
                             "Content-Length: 100000") + b"new" * 1000)
    assert sandbox.files.read("/workspace/keep") == "old"
    rows = [row.name for row in sandbox.files.list("/workspace")]
    assert rows == ["keep"], rows


def test_the_hand_over_is_for_local_clients(server, sandbox):
    status, _, text = server.request("GET", f"/v1/sandboxes/{sandbox.id}/fd", headers={
        "Connection": "Upgrade", "Upgrade": "nanoterm-fd/1"})
    assert status == 403 and json.loads(text)["code"] == "forbidden"


@pytest.mark.parametrize("url", ["file:///etc", "https://a:b@example.com/x", "--upload-pack=id", "ssh://example.com/x"])
def test_clone_refuses_hostile_urls(server, sandbox, url):
    status, answer = server.json("POST", f"/v1/sandboxes/{sandbox.id}/clone", {"url": url}, WIDE)
    assert status == 400 and answer["code"] == "invalid_request"
    assert server.json("POST", f"/v1/sandboxes/{sandbox.id}/clone", {"url": "https://example.com/x"})[0] == 404


def test_a_clone_over_the_network_cannot_reach_this_machine(server, sandbox):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        body = json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}/r.git", "path": "/workspace/r"}).encode()
        status, _, text = server.request("POST", f"/v1/sandboxes/{sandbox.id}/clone", body, WIDE)
        lines = [json.loads(line) for line in text.splitlines()]
        assert status == 200 and lines[-1]["type"] == "exit" and lines[-1]["exit_code"] != 0, lines
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_port_is_reached_and_waited_for(server, sandbox):
    path = f"/v1/sandboxes/{sandbox.id}"
    status, not_ready = server.json("POST", f"{path}/ports/8080/readiness", {"kind": "tcp", "timeout_secs": 0.2, "interval_ms": 50})
    assert status == 200 and not_ready["ready"] is False and not_ready["attempts"] >= 1
    assert {"code", "error", "suggested_action"} <= not_ready.keys()
    server.json("POST", f"{path}/exec", {"command": "exec python3 -m http.server 8080", "shell": True, "background": True})
    status, ready = server.json("POST", f"{path}/ports/8080/readiness", {"kind": "http", "path": "/", "timeout_secs": 20})
    assert status == 200 and ready["ready"] is True
    assert set(ready) == {"ready", "route_ready", "service_ready", "sandbox_id", "port", "kind", "checked_at", "elapsed_ms",
                          "attempts", "path"}
    status, host = server.json("POST", f"{path}/host", {"port": 8080})
    assert status == 200 and server.json("POST", f"{path}/host", {"port": 8080})[1] == host
    with urllib.request.urlopen(host["url"], timeout=20) as answer:
        assert answer.status == 200
    status, error = server.json("POST", f"{path}/ports", {"port": 8080, "address": "0.0.0.0"})
    assert status == 403 and error["code"] == "forbidden"  # a client from elsewhere opens nothing to the world


def test_the_state_is_told_at_each_change(server):
    id = server.json("POST", "/v1/sandboxes", {})[1]["id"]
    with connect(server.url.replace("http", "ws") + f"/v1/sandboxes/{id}/state",
                 additional_headers={"Authorization": f"Bearer {server.key}"}, compression=None, proxy=None) as ws:
        def told():
            message = json.loads(ws.recv(timeout=60))
            assert set(message) == {"type", "id", "status"} and (message["type"], message["id"]) == ("state", id)
            return message["status"]

        assert told() == "running"
        ws.send("what a client says is dropped")
        assert server.json("POST", f"/v1/sandboxes/{id}/hibernate", {})[0] == 200
        assert told() == "paused"
        assert server.json("POST", f"/v1/sandboxes/{id}/start", {})[0] == 200
        assert told() == "running"
        assert server.json("DELETE", f"/v1/sandboxes/{id}")[0] == 200
        assert told() == "destroyed"
        with pytest.raises(ConnectionClosedOK):
            ws.recv(timeout=60)


def test_the_state_of_what_is_not_there(server):
    with pytest.raises(InvalidStatus) as refused:
        connect(server.url.replace("http", "ws") + "/v1/sandboxes/ws_doesnotexist/state",
                additional_headers={"Authorization": f"Bearer {server.key}"}, proxy=None)
    assert refused.value.response.status_code == 404
    with pytest.raises(InvalidStatus) as refused:
        connect(server.url.replace("http", "ws") + "/v1/sandboxes/ws_doesnotexist/state", proxy=None)
    assert refused.value.response.status_code == 401
