# SPDX-License-Identifier: Apache-2.0
"""What the server answers against the document that it serves: success and refusal of every route, in both forms.

A route without an entry in ASKS fails test_every_operation_is_asked: write a function that asks for it."""
import json
import re
import threading
from base64 import urlsafe_b64encode
from hashlib import sha256
from html import unescape
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from websockets.sync.client import connect

from openapi_form import Document

ASKS = {}  # operationId: function(api)
FORMS = ("narrow", "wide")
# What carries no plain answer, or is for the server in the background (tests/black-box).
NOT_HERE = {"openChannel", "openDescriptors", "handOver", "connectPort", "watchState"}


def asks(operation):
    def keep(function):
        ASKS[operation] = function
        return function

    return keep


class Api:
    """Asks the server, and compares each answer with the document."""

    def __init__(self, server, document, workspace):
        self.server, self.document, self.workspace = server, document, workspace
        self.seen = {}

    def __call__(self, operation, *params, query="", body=None, data=None, headers=()):
        method, path, _ = self.document.operations[operation]
        for param in params or (self.workspace,):
            start, end = path.find("{"), path.find("}")
            path = path[:start] + quote(str(param), safe="") + path[end + 1:] if start >= 0 else path
        more = dict(headers)
        if self.document.wire == "wide":
            more["X-Nanoterm-Wire"] = "1"
        if body is not None:
            data = json.dumps(body).encode()
        status, got, text = self.server.request(method, path + (f"?{query}" if query else ""), data, more)
        self.document.check(operation, status, got, text)
        self.seen.setdefault(operation, set()).add(status)
        is_json = got.get("Content-Type") == "application/json" and text
        return status, json.loads(text) if is_json else text

    def ok(self, operation, *params, **more):
        status, answer = self(operation, *params, **more)
        assert status < 300, (operation, status, answer)
        return answer

    def refused(self, operation, wanted, *params, **more):
        status, answer = self(operation, *params, **more)
        assert status == wanted, (operation, status, answer)
        return answer

    def strict(self, schema, value):
        """A whole thing: every member that is always there."""
        self.document.validator({"$ref": f"#/components/schemas/{schema}"}).validate(value)


@pytest.fixture(scope="module")
def text(server):
    status, headers, text = server.request("GET", "/v1/openapi.json")
    assert status == 200 and headers["Content-Type"] == "application/json"
    return json.loads(text)


@pytest.fixture(scope="module")
def workspace(server):
    status, made = server.json("POST", "/v1/sandboxes", {})
    assert status == 201
    yield made["id"]
    server.request("DELETE", f"/v1/sandboxes/{made['id']}")


@pytest.fixture(params=FORMS)
def api(request, server, text, workspace):
    return Api(server, Document(text, request.param), workspace)


# --- one function for each operation: at least one success and one refusal -----------------------


@asks("getHealth")
def health(api):
    api.ok("getHealth")


@asks("getOpenapi")
def openapi(api):
    assert api.ok("getOpenapi")["openapi"].startswith("3.1")


@asks("listKeys")
@asks("createKey")
@asks("revokeKey")
@asks("createOrg")
def keys(api):
    made = api.ok("createKey", body={"name": "of the test"})
    api.strict("NewKey", made)
    api.refused("createKey", 400, body={"name": ""})
    for row in api.ok("listKeys")["items"]:
        api.strict("Key", row)
    api.refused("listKeys", 401, headers={"Authorization": "Bearer nt_wrong"})
    api.strict("Key", api.ok("revokeKey", made["id"]))
    api.refused("revokeKey", 404, made["id"])
    org = api.ok("createOrg", body={"name": "another"})
    api.strict("NewKey", org["key"])
    api.refused("createOrg", 403, body={"name": "a third"}, headers={"Authorization": f"Bearer {org['key']['api_key']}"})


@asks("getCliAuth")
@asks("postCliAuth")
@asks("postCliAuthToken")
def login(api):
    verifier = "v" * 43
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    query = urlencode({"port": 54321, "state": "s" * 43, "challenge": challenge, "name": "box"})
    page = api.ok("getCliAuth", query=query).decode()
    api.refused("getCliAuth", 400, query=query.replace("54321", "80"))
    form = {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', page)}
    own = {"Origin": api.server.url}
    api.refused("postCliAuth", 403, data=urlencode(form).encode())  # no page sent that
    api.refused("postCliAuth", 403, data=urlencode({**form, "name": "other"}).encode(), headers=own)
    assert "name=\"code\"" in api.refused("postCliAuth", 403, data=urlencode(form).encode(), headers=own).decode()
    data = api.server.data
    code = next(path for path in (data / "store/sign-in", data / "sign-in") if path.exists()).read_text().strip()
    # Not followed: nobody listens there.
    connection = HTTPConnection(api.server.url.removeprefix("http://"))
    connection.request("POST", "/cli-auth", urlencode({**form, "code": code}),
                       {"Content-Type": "application/x-www-form-urlencoded", **own})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    api.document.check("postCliAuth", answer.status, answer.headers, b"")
    [given] = parse_qs(urlsplit(answer.headers["Location"]).query)["code"]
    assert api.ok("postCliAuthToken", body={"code": given, "verifier": verifier})["api_key"].startswith("nt_")
    api.refused("postCliAuthToken", 403, body={"code": given, "verifier": verifier})


@asks("createSandbox")
def create(api):
    made = api.ok("createSandbox", body={"metadata": {"a": [1]}, "envs": {"A": "b"}, "timeout_ms": 60000, "cwd": "/tmp"})
    api.strict("Sandbox", made)
    api.ok("removeSandbox", made["id"])
    for wrong in ({"size": "huge"}, {"vcpus": 0}, {"cwd": "x"}, {"envs": {"a=": "b"}}, {"name": "ws_x"}, []):
        api.refused("createSandbox", 400, body=wrong)
    api.refused("createSandbox", 404, body={"template": "nothing"})
    api.refused("createSandbox", 403, body={"image": "file:/etc/passwd"})
    api.refused("createSandbox", 501, body={"desktop": True})
    api.refused("createSandbox", 400, data=b"{")


@asks("listSandboxes")
def list_sandboxes(api):
    page = api.ok("listSandboxes", query="limit=1")
    api.strict("Sandbox", page["items"][0])
    assert api.ok("listSandboxes", query="fields=id")["items"][0].keys() == {"id"}
    api.refused("listSandboxes", 400, query="limit=x")
    api.refused("listSandboxes", 400, query="state=lost")


@asks("getSandbox")
def get_sandbox(api):
    api.strict("Sandbox", api.ok("getSandbox"))
    assert api.ok("getSandbox", query="fields=status") == {"status": "running"}
    api.refused("getSandbox", 404, "ws_nothing")


@asks("removeSandbox")
def remove(api):
    made = api.ok("createSandbox", body={})
    assert api.ok("removeSandbox", made["id"])["status"] == "destroyed"
    api.refused("removeSandbox", 404, made["id"])


@asks("stopSandbox")
@asks("startSandbox")
@asks("hibernateSandbox")
@asks("resumeSandbox")
def states(api):
    made = api.ok("createSandbox", body={})["id"]
    api.strict("Sandbox", api.ok("stopSandbox", made, body={"grace_ms": 0}))
    assert api.ok("getSandboxMetrics", made) == []
    api.refused("exec", 409, made, body={"command": "true"})
    api.refused("listFiles", 409, made)
    api.strict("Sandbox", api.ok("startSandbox", made))
    snapshot = api.ok("hibernateSandbox", made)
    api.strict("Sandbox", api.ok("resumeSandbox", snapshot["id"]))
    api.refused("stopSandbox", 400, made, body={"grace_ms": -1})
    api.ok("removeSandbox", made)
    for operation in ("stopSandbox", "startSandbox", "hibernateSandbox", "resumeSandbox"):
        api.refused(operation, 404, made)


@asks("setTimeout")
def timeout(api):
    assert api.ok("setTimeout", body={"timeout_ms": 3600000, "timeout_action": "hibernate"})["remaining_ms"] > 0
    assert api.ok("setTimeout", body={"timeout_ms": 0})["timeout_at"] is None
    api.refused("setTimeout", 400, body={})


@asks("getSandboxMetrics")
def metrics(api):
    assert len(api.ok("getSandboxMetrics")) == 1
    api.refused("getSandboxMetrics", 404, "ws_nothing")


@asks("publishPort")
@asks("listPorts")
@asks("portHost")
@asks("unpublishPort")
@asks("portReadiness")
def ports(api):
    pid = api.ok("exec", body={"command": "python3 -m http.server 8765", "shell": True, "background": True})["pid"]
    assert api.ok("portReadiness", api.workspace, 8765, body={"kind": "tcp", "timeout_secs": 20})["ready"]
    where = api.ok("portHost", body={"port": 8765})["host"]
    assert len(api.ok("listPorts")["items"]) >= 2
    mapped = api.ok("publishPort", body={"port": 8766})
    api.ok("unpublishPort", api.workspace, mapped["host_port"])
    api.refused("publishPort", 400, body={"port": "x"})
    api.ok("unpublishPort", api.workspace, where.rsplit(":", 1)[1])
    api.ok("killProcess", api.workspace, pid)
    assert not api.ok("portReadiness", api.workspace, 8765, body={"timeout_secs": 0})["ready"]
    api.refused("portHost", 400, body={"port": 0})
    api.refused("listPorts", 404, "ws_nothing")
    api.refused("unpublishPort", 400, api.workspace, "x")
    api.refused("portReadiness", 400, api.workspace, 70000)


@asks("getMetrics")
@asks("getStats")
def numbers(api):
    assert b"# TYPE" in api.ok("getMetrics", query="workspaces=1")
    assert api.workspace in [row["id"] for row in api.ok("getStats")["items"]]
    for name in ("getMetrics", "getStats"):
        api.refused(name, 401, headers={"Authorization": "Bearer nt_wrong"})


@asks("listJobs")
@asks("getJob")
@asks("getJobLogs")
@asks("killJob")
def jobs(api):
    pid = api.ok("exec", body={"command": "echo a; exec sleep 60", "shell": True, "background": True})["pid"]
    job = next(row["id"] for row in api.ok("listJobs")["items"] if row["pid"] == pid)
    assert api.ok("getJob", api.workspace, job)["pid"] == pid
    assert api.ok("getJobLogs", api.workspace, job, query="offset=1&limit=1") is not None
    api.ok("killJob", api.workspace, job)
    api.ok("getJob", api.workspace, job)
    api.refused("listJobs", 404, "ws_nothing")
    for name in ("getJob", "getJobLogs", "killJob"):
        api.refused(name, 404, api.workspace, "job_nothing")
    api.refused("getJobLogs", 400, api.workspace, job, query="offset=x")


@asks("exec")
def exec_(api):
    assert api.ok("exec", body={"command": "sh", "args": ["-c", "exit 3"]})["exit_code"] == 3
    assert api.ok("exec", body={"command": "echo a; kill $$", "shell": True})["exit_code"] == 143
    assert api.ok("exec", body={"command": "/nothing"})["exit_code"] == 127
    api.refused("exec", 400, body={"command": ""})
    api.refused("exec", 404, "ws_nothing", body={"command": "true"})


@asks("listProcesses")
@asks("getProcessLogs")
@asks("killProcess")
@asks("writeProcessStdin")
def processes(api):
    pid = api.ok("exec", body={"command": "cat", "background": True})["pid"]
    assert pid in [row["pid"] for row in api.ok("listProcesses")]
    api.ok("writeProcessStdin", api.workspace, pid, body={"data": "a"})
    assert api.ok("getProcessLogs", api.workspace, pid)["stderr"] == ""
    api.ok("killProcess", api.workspace, pid)
    api.refused("listProcesses", 404, "ws_nothing")
    api.refused("getProcessLogs", 404, api.workspace, 2147483647)
    api.refused("getProcessLogs", 400, api.workspace, "x")
    api.refused("killProcess", 404, api.workspace, 2147483647)
    api.refused("writeProcessStdin", 400, api.workspace, pid, body={"data": 1})


@asks("listPtys")
@asks("getPty")
@asks("resizePty")
@asks("killPty")
def terminals(api):
    is_wide = api.document.wire == "wide"
    start = {"type": "pty_start", "cols": 80, "rows": 24, **({"keep": True} if is_wide else {"id": "pty_x"})}
    with connect(api.server.url.replace("http", "ws") + f"/v1/sandboxes/{api.workspace}/ws?channel=pty",
                 additional_headers={"Authorization": f"Bearer {api.server.key}",
                                     **({"X-Nanoterm-Wire": "1"} if is_wide else {})},
                 compression=None, proxy=None) as socket:
        socket.send(json.dumps(start))
        name = json.loads(socket.recv(timeout=60))["session_id"]
    assert name in [row["session_id"] for row in api.ok("listPtys")]
    api.ok("resizePty", api.workspace, name, body={"cols": 100, "rows": 30})
    got = api.ok("getPty", api.workspace, name)
    api.strict("Pty", got)
    assert (got["cols"], got["rows"]) == (100, 30)
    api.refused("resizePty", 400, api.workspace, name, body={"cols": 0, "rows": 30})
    api.ok("killPty", api.workspace, name)
    assert name not in [row["session_id"] for row in api.ok("listPtys")]
    api.refused("getPty", 404, api.workspace, name)
    api.refused("listPtys", 404, "ws_nothing")
    api.refused("killPty", 404, api.workspace, "pty_nothing")
    api.refused("resizePty", 404, api.workspace, "pty_nothing", body={"cols": 1, "rows": 1})


@asks("cloneRepository")
def clone(api):
    class NoRepository(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), NoRepository) as peer:
        threading.Thread(target=peer.serve_forever, daemon=True).start()
        # only this user's own commands may name an address of this machine: git ends with its message
        lines = api.ok("cloneRepository", body={"url": f"http://127.0.0.1:{peer.server_port}/a", "path": "/tmp/clone"})
        peer.shutdown()
    assert json.loads(lines.splitlines()[-1])["exit_code"] != 0
    api.refused("cloneRepository", 400, body={"url": "file:///etc"})


@asks("writeFile")
@asks("readFile")
@asks("getFileInfo")
@asks("fileExists")
@asks("listFiles")
@asks("renameFile")
@asks("removeFile")
@asks("makeFolder")
def files(api):
    folder = f"/workspace/{api.document.wire}"
    api.ok("makeFolder", body={"path": folder})
    api.strict("FileInfo", api.ok("writeFile", body={"path": f"{folder}/a", "content": "b"}))
    api.ok("exec", body={"command": "ln -s a link; touch -d 1990-01-01 old", "shell": True, "cwd": folder})
    assert api.ok("readFile", body={"path": f"{folder}/a"})["content"] == "b"
    api.strict("FileInfo", api.ok("getFileInfo", body={"path": f"{folder}/a"}))
    assert api.ok("fileExists", body={"path": f"{folder}/nothing"}) == {"exists": False}
    assert len(api.ok("listFiles", query=f"path={folder}")) == 3
    assert len(api.ok("listFiles", query="path=/proc&depth=2")) > 10
    api.strict("FileInfo", api.ok("renameFile", body={"old_path": f"{folder}/a", "new_path": f"{folder}/b"}))
    api.ok("removeFile", body={"path": folder})
    api.refused("readFile", 404, body={"path": folder})
    api.refused("getFileInfo", 404, body={"path": folder})
    api.refused("listFiles", 404, query=f"path={folder}")
    api.refused("removeFile", 404, body={"path": folder})
    api.refused("renameFile", 404, body={"old_path": folder, "new_path": "/workspace/x"})
    api.refused("makeFolder", 404, body={"path": "/etc/passwd/x"})
    api.refused("writeFile", 400, body={"path": "/workspace/x", "content": 1})
    api.refused("readFile", 400, body={"path": "/dev"})
    api.refused("fileExists", 400, body={"path": "a\0b"})
    api.refused("getFileInfo", 400, body={"path": "/", "user": "root"})


@asks("setPermissions")
@asks("findLines")
@asks("searchNames")
@asks("replaceInFiles")
def searches(api):
    path = f"/workspace/search-{api.document.wire}"
    api.ok("writeFile", body={"path": f"{path}/a.txt", "content": "one\ntwo\n"})
    assert len(api.ok("findLines", body={"path": path, "pattern": "t.o"})) == 1
    assert api.ok("searchNames", body={"path": path, "pattern": "*.txt"}) == [f"{path}/a.txt"]
    assert api.ok("replaceInFiles", body={"files": [f"{path}/a.txt"], "pattern": "o", "replacement": "0"})["replacements"] == 2
    api.ok("setPermissions", body={"path": f"{path}/a.txt", "permissions": "600"})
    api.refused("setPermissions", 400, body={"path": path, "permissions": "9"})
    api.refused("findLines", 400, body={"path": path, "pattern": ""})
    api.refused("searchNames", 404, body={"path": "/workspace/nothing", "pattern": "*"})
    api.refused("replaceInFiles", 404, body={"files": ["/workspace/nothing"], "pattern": "a", "replacement": ""})


@asks("downloadTree")
@asks("uploadTree")
def trees(api):
    api.ok("writeFile", body={"path": "/workspace/tree/a", "content": "b"})
    frames = api.ok("downloadTree", query="path=/workspace/tree")
    # its first frame says that they come; what follows is what an upload takes
    first = 8 + int.from_bytes(frames[:4], "little")
    api.ok("uploadTree", query="path=/workspace/copy", data=frames[first:], headers={"Content-Type": "application/vnd.nanoterm.tree"})
    assert api.ok("readFile", body={"path": "/workspace/copy/a"})["content"] == "b"
    api.refused("downloadTree", 404, query="path=/workspace/nothing")
    api.refused("uploadTree", 400, query="path=", data=b"")


@asks("uploadFile")
@asks("downloadFile")
@asks("describeFile")
def raw_file(api):
    path = f"path=/workspace/raw-{api.document.wire}"
    api.ok("uploadFile", query=path + "&mode=640", data=b"\0\xff")
    assert api.ok("downloadFile", query=path) == b"\0\xff"
    api.ok("describeFile", query=path)
    api.refused("uploadFile", 400, query=path + "&mode=8", data=b"")
    api.refused("downloadFile", 404, query="path=/workspace/nothing")
    api.refused("downloadFile", 400, query="path=/workspace")
    api.refused("describeFile", 404, query="path=/workspace/nothing")


def form(*parts):
    """A multipart/form-data body, and its Content-Type."""
    text = "".join(f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts)
    return {"data": text.encode() + b"--B--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=B"}}


@asks("writeFiles")
@asks("postFile")
def forms(api):
    path = f"/workspace/form-{api.document.wire}"
    manifest = json.dumps({"files": [{"path": path, "field": "a"}, {"path": "/proc/none/x", "field": "b"}]})
    results = api.ok("writeFiles", **form(("manifest", manifest), ("a", "x"), ("b", "y")))["results"]
    assert [row["status"] for row in results] == ["success", "error"]
    api.refused("writeFiles", 400, **form(("a", "x")))
    api.ok("postFile", query=f"path={path}", **form(("file", "x")))
    api.refused("postFile", 400, query=f"path={path}", **form(("other", "x")))


@asks("signDownload")
@asks("signUpload")
def signed(api):
    for operation in ("signDownload", "signUpload"):
        assert api.ok(operation, body={"path": "/workspace/a"})["url"].startswith("http://127.0.0.1")
        api.refused(operation, 400, body={"path": ""})


@asks("createUpload")
@asks("getUpload")
@asks("sendUploadPart")
@asks("completeUpload")
@asks("abortUpload")
def uploads(api):
    body = {"kind": "file", "target_path": f"/workspace/up-{api.document.wire}", "content_length": 2, "user": "agent"}
    made = api.ok("createUpload", body=body)["session"]
    api.strict("Upload", made)
    both = (api.workspace, made["upload_id"])
    api.refused("completeUpload", 409, *both)
    api.refused("sendUploadPart", 400, *both, 1, data=b"ab")
    api.ok("sendUploadPart", *both, 0, data=b"ab")
    assert api.ok("getUpload", *both)["next_part"] is None
    api.ok("completeUpload", *both, body={"whole_checksum_sha256": None})
    api.refused("abortUpload", 409, *both)
    api.refused("createUpload", 400, body={**body, "kind": "x"})
    api.refused("createUpload", 413, body={**body, "content_length": 2**40})
    other = (api.workspace, api.ok("createUpload", body=body)["session"]["upload_id"])
    api.ok("abortUpload", *other)
    api.refused("sendUploadPart", 410, *other, 0, data=b"ab")
    api.refused("getUpload", 404, api.workspace, "up_x")


# --- the tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method,path", [("POST", "/v1/volumes"), ("GET", "/v1/snapshots?sandbox_id=ws_x"),
                                         ("POST", "/v1/sandboxes/ws_x/fork"), ("POST", "/v1/sandboxes/ws_x/volumes"),
                                         ("PUT", "/v1/sandboxes/ws_x/volumes/vol_x/parts/0")])
def test_what_this_server_has_not_is_said_so(server, method, path):
    """Not 404: to the client that would mean that its sandbox, or the name of its volume, is wrong."""
    status, answer = server.json(method, path)
    assert (status, answer["code"]) == (501, "not_implemented")


def test_a_wrong_method_names_the_right_ones(server):
    status, headers, _ = server.request("PUT", "/v1/sandboxes/ws_x")
    assert status == 405 and headers["Allow"] == "GET, DELETE"


def test_no_answer_is_kept_by_a_cache(server, workspace):
    """Bytes of files are as private as the rest, and as easy to find in a log."""
    for method, path, body in (("PUT", "file?path=/workspace/c", b"x"), ("GET", "file?path=/workspace/c", None),
                               ("GET", "file?path=/workspace/none", None), ("GET", "files", None)):
        status, headers, _ = server.request(method, f"/v1/sandboxes/{workspace}/{path}", body)
        assert headers["Cache-Control"] == "no-store" and headers["X-Request-Id"], (method, path, status)


def test_every_operation_is_asked(text):
    there = set(Document(text, "wide").operations) - NOT_HERE
    assert set(ASKS) == there, (
        f"not asked: {sorted(there - set(ASKS))}; not in the document: {sorted(set(ASKS) - there)}. "
        "Each operation needs a function under @asks(operationId) in this file")


@pytest.mark.parametrize("function", sorted(set(ASKS.values()), key=lambda one: one.__name__),
                         ids=lambda one: one.__name__)
def test_answers_are_as_described(api, function):
    names = [name for name, one in ASKS.items() if one is function]
    names = [name for name in names if name in api.document.operations]
    if not names:
        return  # in the wide form only
    function(api)
    for name in names:
        responses = api.document.operations[name][2]["responses"]
        can_succeed = any(status[0] == "2" for status in responses)
        can_refuse = any(status[0] == "4" for status in responses)
        assert not can_succeed or any(status < 300 for status in api.seen[name]), f"{name} did not succeed"
        assert not can_refuse or any(status >= 400 for status in api.seen[name]), f"{name} was not refused"


@pytest.mark.parametrize("wire", FORMS)
def test_without_a_key_every_route_refuses(server, text, wire):
    document = Document(text, wire)
    for name, (method, path, operation) in document.operations.items():
        for part, value in (("id", "ws_x"), ("pid", "1"), ("port", "1"), ("job", "job_x"), ("key", "key_x")):
            path = path.replace("{" + part + "}", value)
        if operation.get("security") == [] or "x-nanoterm-websocket" in operation:
            continue
        status, headers, answer = server.request(method, path, None, {"Authorization": "Bearer nt_wrong"})
        assert status == 401, name
        document.check(name, status, headers, answer)


def test_the_other_form_has_no_member_more(server, text, workspace):
    """The comparison can fail: an answer of one form is not one of the other."""
    for wire, header in (("narrow", {"X-Nanoterm-Wire": "1"}), ("wide", {})):
        status, headers, answer = server.request("GET", f"/v1/sandboxes/{workspace}", None, header)
        schema = Document(text, wire).validator({"$ref": "#/components/schemas/Sandbox"})
        assert list(schema.iter_errors(json.loads(answer))), wire


@pytest.mark.parametrize("wire", FORMS)
def test_messages_of_a_websocket_are_as_described(server, text, workspace, wire):
    document = Document(text, wire)
    messages = document.operations["openChannel"][2]["x-nanoterm-websocket"]["exec"][wire]
    first = {"narrow": {"type": "exec_start", "command": "sh", "args": ["-c", "echo a; echo b >&2; exit 3"], "id": "x"},
             "wide": {"type": "exec", "argv": ["sh", "-c", "echo a; echo b >&2; exit 3"], "stdin": False}}[wire]
    bad = {"narrow": {"type": "exec_start", "command": "/nothing"}, "wide": {"type": "exec", "argv": ["/nothing"]}}[wire]
    seen = set()
    for ask in (first, bad):
        with connect(server.url.replace("http", "ws") + f"/v1/sandboxes/{workspace}/ws?channel=exec",
                     additional_headers={"Authorization": f"Bearer {server.key}",
                                         **({"X-Nanoterm-Wire": "1"} if wire == "wide" else {})},
                     compression=None, proxy=None) as socket:
            socket.send(json.dumps(ask))
            for message in socket:
                if isinstance(message, bytes):
                    assert wire == "wide" and message[0] in (1, 2)
                    continue
                document.validator({"anyOf": messages["server"]}).validate(json.loads(message))
                seen.add(json.loads(message)["type"])
    assert seen >= ({"started", "exit", "error"} if wire == "wide" else {"exec_started", "exec_stdout", "exec_exit"})


@pytest.mark.parametrize("wire", FORMS)
def test_states_are_as_described(server, text, workspace, wire):
    document = Document(text, wire)
    messages = document.operations["watchState"][2]["x-nanoterm-websocket"]["state"][wire]
    with connect(server.url.replace("http", "ws") + f"/v1/sandboxes/{workspace}/state",
                 additional_headers={"Authorization": f"Bearer {server.key}",
                                     **({"X-Nanoterm-Wire": "1"} if wire == "wide" else {})},
                 compression=None, proxy=None) as socket:
        message = json.loads(socket.recv(timeout=60))
    document.validator({"anyOf": messages["server"]}).validate(message)
    assert message["status"] == "running"
