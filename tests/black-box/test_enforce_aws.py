# SPDX-License-Identifier: Apache-2.0
"""aws_auth of a service: requests are signed outside with keys that the program never has. Each signature is computed here
again, from what arrived."""
import hashlib
import hmac
import json
import re
import shutil
import urllib.parse

import pytest

from conftest import IS_SANITIZED
from test_enforce_proxy import PYTHON, Upstream, hold_and_scan, pytestmark  # noqa: F401

ID, KEY, SESSION = "AKIDEXAMPLE0TEST", "wJalr/XUtnFEMI+K7MDENG/bPxRfiCYzEXAMPLEKEY", "FwoG.session/token+1=="
# The program signs as SDKs do, with what it has been given.
ASK = """
import os, sys, urllib.error, urllib.request
def ask(path, body=None, method=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers.setdefault("Authorization", "AWS4-HMAC-SHA256 Credential=" + os.environ["NONO_PROXY_TOKEN"]
                       + "/20260101/us-east-1/any/aws4_request, SignedHeaders=host, Signature=" + "0" * 64)
    request = urllib.request.Request(os.environ["SVC_BASE_URL"] + path, body, headers, method=method)
    try: print(urllib.request.urlopen(request, timeout=120).status, flush=True)
    except urllib.error.HTTPError as e: print(e.code, e.read().decode().strip(), flush=True)
"""


def quoted(text, safe="-_.~"):
    return urllib.parse.quote(text, safe=safe)


def signature_of(row, region, service, key=KEY):
    """(Authorization as it should be, what it says of the payload)"""
    method, target, headers, body, _ = row
    low = {name.lower(): re.sub(r"\s+", " ", value.strip()) for name, value in headers.items()}
    path, _, query = target.partition("?")
    pairs = sorted((quoted(urllib.parse.unquote(name)), quoted(urllib.parse.unquote(value)))
                   for name, _, value in (pair.partition("=") for pair in query.split("&") if pair))
    names = sorted(name for name in low if name in ("host", "content-type") or name.startswith("x-amz-"))
    payload = low.get("x-amz-content-sha256", hashlib.sha256(body).hexdigest())
    canonical = "\n".join([method, path if service == "s3" else quoted(re.sub("/+", "/", path), "/-_.~"),
                           "&".join(f"{name}={value}" for name, value in pairs),
                           *(f"{name}:{low[name]}" for name in names), "", ";".join(names), payload])
    when = low["x-amz-date"]
    scope = f"{when[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", when, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    secret = f"AWS4{key}".encode()
    for part in (when[:8], region, service, "aws4_request"):
        secret = hmac.new(secret, part.encode(), "sha256").digest()
    signed = hmac.new(secret, text.encode(), "sha256").hexdigest()
    return f"AWS4-HMAC-SHA256 Credential={ID}/{scope}, SignedHeaders={';'.join(names)}, Signature={signed}", payload


class Stage:
    def __init__(self, cli, upstream):
        self.cli = cli
        self.upstream = upstream
        self.env = {**cli.env, "AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": KEY, "AWS_SESSION_TOKEN": SESSION}
        self.region, self.service = "eu-west-1", "execute-api"

    def run(self, code, auth=None, env=None, set_vars=None, **service):
        profile = self.cli.home / ".config/nono/profiles/signed.json"
        profile.parent.mkdir(parents=True, exist_ok=True)
        auth = {"region": self.region, "service": self.service} if auth is None else auth
        profile.write_text(json.dumps({"meta": {"name": "signed"}, "environment": {"set_vars": set_vars or {}}, "network": {"credentials": ["svc"], "custom_credentials": {
            "svc": {"upstream": f"http://127.0.0.1:{self.upstream.port}/v1", "aws_auth": auth, **service}}}}))
        self.profile = profile
        self.done = self.cli("enforce", "run", "--profile", "signed", "--", PYTHON, "-c", ASK + code, env=env or self.env)
        return self.done.stdout.decode().splitlines()

    def check(self, key=KEY):
        for row in self.upstream.seen:
            assert row[2]["Authorization"] == signature_of(row, self.region, self.service, key)[0], row
        return self.upstream.seen


@pytest.fixture
def stage(fresh):
    upstream = Upstream()
    yield Stage(fresh(), upstream)
    upstream.end()


def test_requests_are_signed_outside(stage):
    lines = stage.run("""
assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} & set(os.environ)
ask("/a")
ask("/model/m.v2%3A0/in voke//x".replace(" ", "%20"), b'{"a": 1}', Content_Type="application/json", X_Amz_Target="Do.It")
ask("/b?z=1&a=2&a=1&empty&sp=a+b&e=%7e%2f", b"x" * 300000, method="POST")
ask("/c?X-Amz-Signature=0&X-Amz-Credential=me&keep=1", X_Amz_Security_Token="mine", X_Amz_Date="20200101T000000Z")
ask("/d", Authorization="Bearer " + os.environ["NONO_PROXY_TOKEN"])
""")
    assert lines == ["200"] * 5, stage.done
    rows = stage.check()
    assert [row[1] for row in rows] == ["/v1/a", "/v1/model/m.v2%3A0/in%20voke//x", "/v1/b?a=1&a=2&e=~%2F&empty=&sp=a%20b&z=1",
                                        "/v1/c?keep=1", "/v1/d"]
    assert all(row[2]["X-Amz-Security-Token"] == SESSION for row in rows)
    assert rows[1][2]["X-Amz-Target"] == "Do.It" and rows[1][3] == b'{"a": 1}' and len(rows[2][3]) == 300000
    assert not any(re.search("[0-9a-f]{64}/20260101", str(row)) for row in rows)


def test_the_program_may_find_its_token_as_a_key(stage):
    code = """
assert os.environ["AWS_ACCESS_KEY_ID"] == os.environ["NONO_PROXY_TOKEN"] and os.environ["AWS_SECRET_ACCESS_KEY"] == "any"
assert "AWS_SESSION_TOKEN" not in os.environ
ask("/a")
"""
    assert stage.run(code, env_var="AWS_ACCESS_KEY_ID", set_vars={"AWS_SECRET_ACCESS_KEY": "any"}) == ["200"], stage.done
    stage.check()


def test_without_the_token_nothing_is_signed(stage):
    lines = stage.run("""
for wrong in ("AWS4-HMAC-SHA256 Credential=" + "0" * 64 + "/20260101/us-east-1/any/aws4_request", "AWS4-HMAC-SHA256 Credential=", "x",
              "AWS4-HMAC-SHA256 Credential=" + os.environ["NONO_PROXY_TOKEN"][:63] + "/a/b/c/d"):
    ask("/a", b"x", Authorization=wrong)
""")
    assert len(lines) == 4 and all(line.startswith("401 ") for line in lines), lines
    assert stage.upstream.seen == []


def test_bodies_of_s3_and_hashes_that_are_said(stage):
    stage.service = "s3"
    said = hashlib.sha256(b"hello").hexdigest()
    lines = stage.run(f"""
ask("/bucket/a%2520b//c", b"hello")
ask("/bucket/d", b"hello", X_Amz_Content_Sha256="{said}")
ask("/bucket/e", b"hello", X_Amz_Content_Sha256="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
ask("/bucket/f", iter([b"hel", b"lo"]), method="POST")
""")
    assert lines[:2] == ["200"] * 2 and lines[2].startswith("501 ") and "send it whole" in lines[2], lines
    rows = stage.check()
    assert {row[2]["X-Amz-Content-Sha256"] for row in rows} == {said} and len(rows) == 3
    assert lines[3] == "200" and rows[2][3] == b"hello"


def test_a_body_that_is_too_large_is_not_kept(stage):
    lines = stage.run("""
ask("/a", b"x" * (16 << 20))
def pieces():
    for i in range(17 << 4): yield b"x" * 65536
try: ask("/b", pieces(), method="POST")
except OSError: print("413 closed")
""")
    assert lines[0] == "200" and lines[1].startswith("413"), lines
    stage.check()


def test_keys_of_files(stage):
    folder = stage.cli.home / ".aws"
    folder.mkdir(mode=0o700)
    bare = dict(stage.cli.env)
    assert stage.run('ask("/a")', env=bare)[0].startswith("503 ")
    assert b"AWS key of svc cannot be read: there is no AWS profile default" in stage.done.stderr
    (folder / "credentials").write_text(f"""# mine
[other]
aws_access_key_id = WRONG
[default]
aws_access_key_id={ID}   # a comment
AWS_SECRET_ACCESS_KEY = {KEY}
[sso]
""")
    (folder / "config").write_text(f"""[default]
region = eu-west-1
[profile named]
s3 =
    aws_access_key_id = NESTED
aws_access_key_id = {ID}
aws_secret_access_key = {KEY}-named
aws_session_token = {SESSION}
[profile sso]
sso_session = mine
[named]
aws_access_key_id = WRONG
""")
    assert stage.run('ask("/a")', env=bare) == ["200"]
    stage.check()
    assert "X-Amz-Security-Token" not in stage.upstream.seen[0][2]
    stage.upstream.seen.clear()
    assert stage.run('ask("/a")', env={**bare, "AWS_PROFILE": "named"}) == ["200"]
    assert stage.check(KEY + "-named")[0][2]["X-Amz-Security-Token"] == SESSION
    # A profile that is named comes before the environment.
    stage.upstream.seen.clear()
    auth = {"region": stage.region, "service": stage.service, "profile": "named"}
    assert stage.run('ask("/a")', auth=auth) == ["200"]
    stage.check(KEY + "-named")
    assert stage.run('ask("/a")', auth={**auth, "profile": "sso"})[0].startswith("503 ")
    assert b"sso_session is not asked" in stage.done.stderr and b"export-credentials" in stage.done.stderr
    (folder / "credentials").chmod(0o666)
    assert stage.run('ask("/a")', env=bare)[0].startswith("503 ")
    assert b"can be changed by others" in stage.done.stderr


def test_region_and_service_are_those_of_the_host(stage):
    profile = stage.cli.home / "guess.json"
    for host, region, name in [
        ("bedrock-runtime.us-east-1.amazonaws.com", "us-east-1", "bedrock"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", "bedrock-runtime"),
        ("s3.eu-central-1.amazonaws.com", "eu-central-1", "s3"),
        ("bucket.name.s3.dualstack.eu-central-1.amazonaws.com", "eu-central-1", "s3"),
        ("bucket.s3-us-west-2.amazonaws.com", "us-west-2", "s3"),
        ("bucket.s3.amazonaws.com", "us-east-1", "s3"),
        ("iam.amazonaws.com", "us-east-1", "iam"),
        ("abc123.execute-api.ap-southeast-2.amazonaws.com", "ap-southeast-2", "execute-api"),
        ("abc.lambda-url.eu-west-3.on.aws", "eu-west-3", "lambda"),
        ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1", "sqs"),
    ]:
        profile.write_text(json.dumps({"meta": {"name": "guess"}, "network": {"custom_credentials": {
            "svc": {"upstream": f"https://{host}", "aws_auth": {}}}}}))
        shown = stage.cli("--json", "enforce", "profile", "show", profile).json["network"]["custom_credentials"]["svc"]
        want = "bedrock" if name == "bedrock-runtime" else name
        assert shown["aws_auth"] == {"region": region, "service": want}, (host, shown)
        assert "inject_mode" not in shown
    for service, why in [
        ({"upstream": "https://example.com", "aws_auth": {}}, "does not tell the region"),
        ({"upstream": "https://example.com", "aws_auth": {"region": "US EAST", "service": "x"}}, "small letters"),
        ({"upstream": "https://s3.us-east-1.amazonaws.com", "aws_auth": {"keys": "x"}}, "no such key"),
        ({"upstream": "https://s3.us-east-1.amazonaws.com", "aws_auth": {}, "credential_key": "x"}, "not more"),
        ({"upstream": "https://s3.us-east-1.amazonaws.com", "aws_auth": {}, "inject_header": "X-A"}, "no place in it"),
        ({"upstream": "https://s3.us-east-1.amazonaws.com", "aws_auth": {}, "proxy": {"inject_header": "X-A"}}, "no other place"),
    ]:
        profile.write_text(json.dumps({"meta": {"name": "guess"}, "network": {"custom_credentials": {"svc": service}}}))
        done = stage.cli("enforce", "profile", "validate", profile)
        assert done.status != 0 and why.encode() in done.stdout, done


@pytest.mark.skipif(IS_SANITIZED, reason="a sanitizer keeps copies of the environment")
def test_the_keys_are_nowhere_inside(stage):
    shared = stage.cli.home / "shared"
    shared.mkdir()
    assert stage.run('ask("/a")', env_var="SVC_KEY") == ["200"]

    class Run:
        profile = stage.profile
    hold_and_scan(stage.cli, Run, shared, [KEY, SESSION], stage.env)
    stage.check()
    shutil.rmtree(shared)
