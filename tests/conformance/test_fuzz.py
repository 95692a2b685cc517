# SPDX-License-Identifier: Apache-2.0
"""Requests made up from the document (schemathesis), in both forms: no 5xx that is not promised, no answer that is not
described. The seed is fixed and the number of requests bounded. What is asked for happens inside two workspaces: one for
programs and files, one that is stopped, started and removed."""
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from openapi_form import METHODS, form_of

CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
          "response_schema_conformance")
SEED = 20261121
# Not driven: WebSockets, the hand-over of descriptors and of the server (the background server's socket only); and what finds
# the key that it asks with in a list, and revokes it.
UNDRIVEN = {"openChannel", "openDescriptors", "handOver", "connectPort", "revokeKey"}
LIFE = {"createSandbox", "removeSandbox", "stopSandbox", "startSandbox", "hibernateSandbox", "resumeSandbox", "setTimeout"}


def hurry(value):
    """Nothing is waited for longer than a moment; bodies of kinds that only we know are bytes."""
    if isinstance(value, dict):
        limits = value.get("timeout_secs")
        if isinstance(limits, dict):
            limits.update(maximum=0.2, default=0.1)
        body = value.get("requestBody", {}).get("content", {})
        if "application/vnd.nanoterm.tree" in body:
            body["application/octet-stream"] = body.pop("application/vnd.nanoterm.tree")
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        hurry(one)


def bounded(text, wire, wanted, ids):
    """The document of one form with some of its operations, and with values that stay where they do no harm."""
    document = form_of(text, wire, closed=False)
    for item in document["paths"].values():
        for method in METHODS:
            if method not in item:
                continue
            operation = item[method]
            is_built = any(status[0] == "2" for status in operation["responses"])
            if not is_built or not wanted(operation["operationId"]):
                del item[method]
                continue
            operation["security"] = []
            for parameter in operation.get("parameters", []) + item.get("parameters", []):
                if parameter.get("name") == "id":
                    parameter["schema"] = {"enum": ids}
    shared = document["components"]["parameters"]
    shared["Workspace"]["schema"] = {"enum": ids}
    wire_parameter = {"$ref": "#/components/parameters/Wire"}  # every request has it, or none
    for item in document["paths"].values():
        item["parameters"] = [one for one in item.get("parameters", []) if one != wire_parameter]
    shared["Pid"]["schema"] = {"enum": [1, 2, 3, 2147483647]}
    spec = document["components"]["schemas"]["ExecSpec"]["properties"]
    spec["command"] = {"enum": ["true", "cat", "/nothing", "exit 3", "/"]}
    hurry(document)
    document["paths"] = {path: item for path, item in document["paths"].items() if set(item) & set(METHODS)}
    return document


def attack(server, tmp_path, document, wire, examples):
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "st"), "run", str(file), "--url", server.url, "--checks", CHECKS,
         "--seed", str(SEED), "--max-examples", str(examples), "--phases", "examples,coverage,fuzzing",
         "--no-shrink", "--suppress-health-check", "all", "--warnings", "off", "--continue-on-failure",
         "--request-timeout", "60", "--report", "json", "--report-json-path", str(tmp_path / "report.json"),
         "--header", f"Authorization: Bearer {server.key}", *(["--header", "X-Nanoterm-Wire: 1"] if wire == "wide" else [])],
        cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, "\n".join(line[:600] for line in (done.stdout + done.stderr).splitlines())[-8000:]
    asked = re.search(r"(\d+) generated", done.stdout)
    assert asked and int(asked[1]) > 100, done.stdout[-2000:]


@pytest.fixture
def workspace(server):
    status, made = server.json("POST", "/v1/sandboxes", {"internet_access": False})
    assert status == 201
    yield made["id"]
    _, page = server.json("GET", "/v1/sandboxes?limit=1000")
    for row in page["items"]:
        server.request("DELETE", f"/v1/sandboxes/{row['id']}")


@pytest.fixture
def text(server):
    return json.loads(server.request("GET", "/v1/openapi.json")[2])


@pytest.mark.parametrize("wire", ["narrow", "wide"])
def test_programs_and_files(server, text, workspace, tmp_path, wire):
    document = bounded(text, wire, lambda name: name not in UNDRIVEN | LIFE, [workspace, "ws_nothing"])
    attack(server, tmp_path, document, wire, 5)


@pytest.mark.parametrize("wire", ["narrow", "wide"])
def test_the_life_of_workspaces(server, text, workspace, tmp_path, wire):
    document = bounded(text, wire, lambda name: name in LIFE, [workspace, "ws_nothing"])
    attack(server, tmp_path, document, wire, 10)
