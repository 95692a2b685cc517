# SPDX-License-Identifier: Apache-2.0
"""`schema` and the catalog say by JSON Schema what each command writes; and it writes just that."""
import json
import subprocess

import jsonschema
import pytest

from conftest import BIN

CATALOG = json.loads(subprocess.run([BIN, "commands"], capture_output=True, check=True).stdout)
BY_PATH = {command["path"]: command for command in CATALOG}


def check(schema, value):
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(value)


@pytest.mark.parametrize("path", BY_PATH)
def test_each_command_has_schemas_of_result_and_error(path):
    command = BY_PATH[path]
    jsonschema.Draft202012Validator.check_schema(command["error_schema"])
    if command["result"]["kind"] == "none":
        assert command["result"]["schema"] is None
    else:
        jsonschema.Draft202012Validator.check_schema(command["result"]["schema"])
    codes = command["error_schema"]["properties"]["code"]["examples"]
    assert codes == [error["code"] for error in command["errors"]]


def test_schema_is_that_of_the_catalog(cli):
    every = cli.ok("schema").json
    assert [row["command"] for row in every] == list(BY_PATH)
    for row in every:
        command = BY_PATH[row["command"]]
        assert (row["result"], row["kind"]) == (command["result"]["schema"], command["result"]["kind"])
        assert row["error"] == command["error_schema"]
    assert [row["command"] for row in cli.ok("schema", "ws", "create").json] == ["ws create"]
    below = [row["command"] for row in cli.ok("--json", "schema", "ws").json]
    assert len(below) > 3 and all(path.startswith("ws ") for path in below)
    assert cli.ok("schema", "tail").json == cli.ok("schema", "files", "tail").json  # an alias


def test_a_schema_that_is_not_there(cli):
    done = cli("--json", "schema", "ws", "creat")
    assert (done.status, done.stdout) == (3, b"") and "ws create" in done.error["message"]
    check(BY_PATH["schema"]["error_schema"], done.error)


@pytest.mark.parametrize("words", [["commands"], ["schema"], ["help", "ws"], ["completion", "bash"], ["config", "list"],
                                   ["plugin", "list"], ["plugin", "info", "ws"], ["ws", "list"],
                                   ["api", "GET", "/v1/sandboxes"]])
def test_results_are_what_their_schema_says(cli, words):
    path = next(" ".join(words[:n]) for n in (3, 2, 1) if " ".join(words[:n]) in BY_PATH)
    schema = BY_PATH[path]["result"]["schema"]
    value = cli.ok("--json", *words).json
    check(schema, value)
    wrong = {} if isinstance(value, dict) else [{}]
    with pytest.raises(jsonschema.ValidationError):
        check(schema, wrong)


def test_a_real_workspace_is_what_its_schema_says(cli, ws):
    for path, words in (("ws list", []), ("ws stats", []), ("ws ports", [ws]), ("files write", [ws, "/tmp/a"])):
        value = cli.ok("--json", *path.split(), *words, input=b"").json
        check(BY_PATH[path]["result"]["schema"], value)


@pytest.mark.parametrize("words", [["ws", "rm", "ws_nothere0"], ["ws", "list", "--bad"], ["config", "get", "nothing"], ["nothing"]])
def test_errors_are_what_their_schema_says(cli, words):
    schema = BY_PATH["ws rm"]["error_schema"]
    error = cli("--json", *words).error
    check(schema, error)
    with pytest.raises(jsonschema.ValidationError):
        check(schema, {**error, "retryable": "no"})


def test_help_is_one_object_with_json(cli):
    for words in (["help", "ws", "create"], ["ws", "create", "--help"]):
        got = cli.ok("--json", *words).json
        assert got["command"] == "ws create" and got["text"] == cli.ok("help", "ws", "create").text
