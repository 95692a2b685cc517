# SPDX-License-Identifier: Apache-2.0
"""The document at /v1/openapi.json as one form of the wire sees it, and answers compared with it.

The document describes both forms at once; plugins/serve/api/openapi/README.md says how they are marked."""
import json

from jsonschema import Draft202012Validator

METHODS = ("get", "head", "post", "put", "patch", "delete")


def form_of(value, wire, closed):
    """What `wire` ("narrow" or "wide") has of a part of the document; `closed`: objects bear no member more."""
    if isinstance(value, list):
        return [form_of(one, wire, closed) for one in value if _is_there(one, wire)]
    if not isinstance(value, dict):
        return value
    made = {name: form_of(one, wire, closed) for name, one in value.items() if _is_there(one, wire)}
    made.pop("x-nanoterm-wire", None)
    enum = made.pop(f"x-{wire}-enum", None)
    required = made.pop("x-wide-required", [])
    if enum:
        made["enum"] = enum
    if wire == "wide" and required:
        made["required"] = made.get("required", []) + required
    if closed and isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


def _is_there(value, wire):
    return not isinstance(value, dict) or value.get("x-nanoterm-wire", wire) == wire


class Document:
    def __init__(self, document, wire):
        self.wire = wire
        self.document = form_of(document, wire, closed=True)
        self.operations = {}
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    self.operations[item[method]["operationId"]] = (method.upper(), path, item[method])

    def validator(self, schema):
        return Draft202012Validator({"allOf": [schema], "components": self.document["components"]})

    def check(self, operation, status, headers, text):
        """Fails when the document does not allow this answer."""
        where = f"{operation} ({self.wire}) answered {status}"
        responses = self.operations[operation][2]["responses"]
        answer = responses.get(str(status)) or responses.get(f"{status // 100}XX")
        assert answer, f"{where}, which is not described: {text[:300]!r}"
        if "$ref" in answer:
            answer = self.document["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
        for name in answer.get("headers", {}):
            assert name in headers, f"{where} without the header {name}"
        if "content" not in answer:
            assert not text or self.operations[operation][0] == "HEAD", f"{where} with a body: {text[:300]!r}"
            return
        kind = headers["Content-Type"].split(";")[0]
        assert kind in answer["content"], f"{where} as {headers['Content-Type']}"
        schema = answer["content"][kind]["schema"]
        if kind == "application/json":
            values = [json.loads(text)]
        elif kind == "application/x-ndjson":
            values = [json.loads(line) for line in text.splitlines()]
        else:
            return
        for value in values:
            for error in self.validator(schema).iter_errors(value):
                reasons = [error.message] + [one.message for one in error.context or []]
                raise AssertionError(f"{where}: {'; '.join(reasons)} at {list(error.absolute_path)}: {value}")
