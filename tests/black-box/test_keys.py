# SPDX-License-Identifier: Apache-2.0
"""API keys of a server: made, shown once, listed, revoked; and another organisation on the same server, which reaches nothing
of the first, whatever it asks for by its ids."""
import http.client
import json
import re
import sqlite3
import threading
import urllib.parse

import pytest

from conftest import wait_until


def of(env, method, path, key=None, body=None, raw=None, **headers):
    """One request with that key: status and body."""
    at = urllib.parse.urlsplit(env["NANOTERM_API_URL"])
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
    data = raw if raw is not None else None if body is None else json.dumps(body)
    fields = {"Authorization": f"Bearer {key or env['NANOTERM_API_KEY']}", "X-Nanoterm-Wire": "1", "Content-Type": "application/json"}
    try:
        connection.request(method, path, data, {**fields, **headers})
        answer = connection.getresponse()
        return answer.status, b"" if answer.status == 101 else answer.read()
    finally:
        connection.close()


def test_a_key_is_shown_once_listed_and_revoked(cli, remote):
    env, _ = remote
    made = cli.ok("--json", "keys", "create", "--name", "of a machine", env=env)
    key = made.json["api_key"]
    assert re.fullmatch(r"nt_[A-Za-z0-9_-]{43}", key) and made.json["prefix"] == key[:11]
    assert made.json["name"] == "of a machine" and made.json["last_used_at"] is None
    assert of(env, "GET", "/v1/sandboxes", key)[0] == 200
    listed = cli.ok("--json", "keys", "list", env=env)
    row = next(row for row in listed.json if row["id"] == made.json["id"])
    assert row["last_used_at"] is not None and row["prefix"] == key[:11] and key not in listed.text
    revoked = cli.ok("--json", "keys", "revoke", made.json["id"], env=env)
    assert revoked.json["id"] == made.json["id"]
    status, body = of(env, "GET", "/v1/sandboxes", key)
    assert status == 401 and json.loads(body)["code"] == "unauthorized"
    refused = cli("--json", "ws", "list", env={**env, "NANOTERM_API_KEY": key})
    assert refused.status == 4, refused
    assert made.json["id"] not in [row["id"] for row in cli.ok("--json", "keys", "list", env=env).json]
    again = cli("--json", "keys", "revoke", made.json["id"], env=env)
    assert again.status == 3 and again.error["status"] == 404


def test_what_was_opened_with_a_key_ends_with_it(cli, remote):
    """A program that runs for somebody whose key is revoked, and a request that waits; not what others have open, nor the
    answer to the key that revokes itself."""
    env, ws = remote
    made = cli.ok("--json", "keys", "create", env=env).json
    theirs = {**env, "NANOTERM_API_KEY": made["api_key"]}
    lost, answers = [], []

    def wait():
        try:
            body = {"command": "sh", "args": ["-c", "touch /tmp/waits; sleep 1000"]}
            answers.append(of(env, "POST", f"/v1/sandboxes/{ws}/exec", made["api_key"], body))
        except (ConnectionError, http.client.HTTPException) as error:
            lost.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    stays, goes = (cli.start("exec", ws, "--", "sh", "-c", "echo begun; exec sleep 1000", env=each) for each in (env, theirs))
    try:
        assert stays.stdout.readline() == goes.stdout.readline() == b"begun\n"
        wait_until(lambda: answers or cli("exec", ws, "--", "test", "-e", "/tmp/waits", env=env).status == 0, 60, "it to wait")
        assert answers == []
        assert cli.ok("--json", "keys", "revoke", made["id"], env=theirs).json["id"] == made["id"]
        assert goes.wait(60) not in (0, 137, 143)  # not a status of the program's
        waiting.join(60)
        assert lost and stays.poll() is None
    finally:
        for process in (stays, goes):
            process.kill()
            process.communicate()


def test_only_the_hash_is_at_rest(cli, remote):
    env, _ = remote
    key = cli.ok("--json", "keys", "create", env=env).json["api_key"]
    files = [path for path in (cli.home / "remote").rglob("*") if path.is_file() and path.name.startswith("nanoterm.db")]
    assert files and all(key[12:].encode() not in path.read_bytes() for path in files)
    database = next(path for path in files if path.name == "nanoterm.db")
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        assert db.execute("SELECT length(hash), prefix FROM api_keys WHERE prefix = ?", (key[:11],)).fetchall() == [(32, key[:11])]


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 65}, {"name": "a\nb"}, {"name": 7}, {"name": None}])
def test_a_name_is_what_names_are(remote, body):
    env, _ = remote
    assert of(env, "POST", "/v1/keys", body=body)[0] == 400
    assert of(env, "POST", "/v1/orgs", body=body)[0] == 400


@pytest.fixture(scope="module")
def other(remote):
    """The key of another organisation on the same server."""
    env, _ = remote
    status, body = of(env, "POST", "/v1/orgs", body={"name": "the others"})
    assert status == 201
    made = json.loads(body)
    assert made["id"] == made["key"]["org_id"] and made["name"] == "the others"
    return made["key"]["api_key"]


def test_an_organisation_sees_its_own_alone(cli, remote, other):
    env, ws = remote
    assert json.loads(of(env, "GET", "/v1/sandboxes", other)[1])["items"] == []
    assert json.loads(of(env, "GET", "/v1/stats", other)[1])["items"] == []
    assert [row["name"] for row in json.loads(of(env, "GET", "/v1/keys", other)[1])["items"]] == ["the others"]
    assert of(env, "POST", "/v1/orgs", other, {"name": "more"})[0] == 403
    own = json.loads(of(env, "POST", "/v1/keys", other, {"name": "second"})[1])
    assert of(env, "DELETE", f"/v1/keys/{own['id']}")[0] == 404  # nor does the first reach into the second
    assert of(env, "DELETE", f"/v1/keys/{own['id']}", other)[0] == 200


def instance_of(schema, schemas):
    """The smallest value that a schema allows."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return instance_of(schema[several][0], schemas)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: instance_of(schema["properties"][name], schemas) for name in schema.get("required", [])}
    if kind == "array":
        return [instance_of(schema["items"], schemas)] * max(1, schema.get("minItems", 1))
    return {"string": "x" * max(1, schema.get("minLength", 1)), "integer": schema.get("minimum", 1), "number": 1,
            "boolean": True, "null": None}[kind]


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in ("get", "put", "post", "delete", "patch", "head") and path.startswith("/v1/") and "{" in path:
                yield method.upper(), path, operation


def test_ids_of_another_organisation_open_nothing(cli, remote, other):
    env, ws = remote
    marker = "secret-of-the-first-31415926"
    cli.ok("files", "write", ws, "/workspace/own", env=env, input=marker.encode())
    job = cli.ok("--json", "exec", ws, "--detach", "--", "sh", "-c", f"echo {marker}; sleep 600", env=env).json
    key = cli.ok("--json", "keys", "create", env=env).json
    upload = json.loads(of(env, "POST", f"/v1/sandboxes/{ws}/uploads", body={
        "kind": "file", "target_path": "/workspace/up", "content_length": 3})[1])["session"]
    named = {"id": ws, "job": job.get("job") or job["id"], "pid": str(job.get("pid", 1)), "key": key["id"], "port": "8080",
             "upload": upload["upload_id"], "part": "0", "session": "pty_a1b2c3d4"}
    document = json.loads(of(env, "GET", "/v1/openapi.json")[1])
    schemas = document["components"]["schemas"]
    asked = []
    for method, path, operation in operations(document):
        target = re.sub(r"\{(\w+)\}", lambda match: str(named.get(match[1], "x")), path)
        parameters = [document["components"]["parameters"][p["$ref"].rsplit("/", 1)[1]] if "$ref" in p else p
                      for p in operation.get("parameters", [])]
        query = {p["name"]: instance_of(p["schema"], schemas) for p in parameters if p["in"] == "query" and p.get("required")}
        query.update({"path": "/workspace/own"} if any(p["name"] == "path" for p in parameters) else {})
        channels = operation.get("x-nanoterm-websocket")
        headers, body, raw = {}, None, None
        if channels:
            headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                       "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
            query.setdefault("channel", "exec")
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            body = instance_of(content["application/json"]["schema"], schemas)
        elif content:
            raw, headers["Content-Type"] = b"", next(iter(content))
        target += "?" + urllib.parse.urlencode(query) if query else ""
        status, answer = of(env, method, target, other, body, raw, **headers)
        asked.append(operation["operationId"])
        assert status in (403, 404), (method, target, body, status, answer)
        assert marker.encode() not in answer, (method, target)
    assert len(asked) > 40
    # Nothing of it had an effect, and the ids were good ones.
    assert cli.ok("exec", ws, "--", "cat", "/workspace/own", env=env).stdout == marker.encode()
    assert json.loads(of(env, "GET", f"/v1/sandboxes/{ws}/jobs/{named['job']}")[1])["running"] is True
    assert of(env, "GET", f"/v1/sandboxes/{ws}/uploads/{named['upload']}")[0] == 200
    assert of(env, "GET", "/v1/sandboxes", key["api_key"])[0] == 200
