# SPDX-License-Identifier: Apache-2.0
"""426 CLI_VERSION_TOO_OLD: the server says it to clients older than it serves, and the client says what to do."""
import http.client
import json
import signal
import urllib.parse

import pytest

from conftest import serve_tcp
from http_peer import http_peer

UPDATE = "npm install -g @nanoterm/cli@latest"


@pytest.fixture
def strict(fresh):
    """A server that serves nanoterm from 9.0.0 on; the environment of its clients."""
    cli = fresh()
    server, cli.env, _ = serve_tcp(cli, cli.home / "data", "--min-client", "9.0.0")
    yield cli
    server.send_signal(signal.SIGTERM)
    assert server.wait(30) == 0


def get(cli, path, agent):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(cli.env["NANOTERM_API_URL"]).netloc, timeout=60)
    connection.request("GET", path, headers={"User-Agent": agent, "Authorization": f"Bearer {cli.env['NANOTERM_API_KEY']}"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body


def test_a_client_that_is_too_old(strict):
    for words in (["ws", "list"], ["exec", "ws_a", "--", "true"], ["api", "GET", "/v1/a-route-that-is-gone"]):
        done = strict("--json", *words)
        assert (done.status, done.stdout) == (1, b"")
        error = done.error
        assert (error["code"], error["status"], error["retryable"]) == ("CLI_VERSION_TOO_OLD", 426, False)
        assert UPDATE in error["hint"] and "9.0.0" in error["message"]
    shown = strict("ws", "list").stderr.decode()
    assert "9.0.0" in shown and UPDATE in shown


@pytest.mark.parametrize("agent, status", [
    ("nanoterm/8.99.99", 426), ("nanoterm/0.1.0 (linux)", 426), ("nanoterm/9.0.0", 200), ("nanoterm/10.0.0", 200),
    ("nullspace-sdk/0.1.9", 200), ("curl/7.88.1", 200), ("not-nanoterm/0.0.1", 200)])
def test_who_is_too_old(strict, agent, status):
    got, body = get(strict, "/v1/sandboxes", agent)
    assert got == status
    if got == 426:
        assert body["code"] == "CLI_VERSION_TOO_OLD" and UPDATE in body["suggested_action"] and body["request_id"]


def test_whether_it_is_well_is_told_to_everybody(strict):
    assert get(strict, "/healthz", "nanoterm/0.0.1")[0] == 200


def test_an_api_that_says_no_more_is_explained(fresh):
    cli = fresh()
    body = json.dumps({"error": "too old", "code": "CLI_VERSION_TOO_OLD"}).encode()
    with http_peer(lambda request: (426, {"Content-Type": "application/json"}, body)) as url:
        env = {**cli.env, "NANOTERM_API_URL": url, "NANOTERM_API_KEY": "nsk_" + "0" * 32}
        done = cli("--json", "ws", "list", env=env)
        assert done.status == 1 and UPDATE in done.error["hint"] and len(url.requests) == 1


@pytest.mark.parametrize("version", ["", "9", "9.0", "9.0.0-rc1", "latest", "9.0.0\n", "1.2.3.4"])
def test_a_version_that_is_none(fresh, version):
    cli = fresh()
    assert cli("serve", "--listen", "127.0.0.1:0", "--data", cli.home / "data", "--min-client", version).status == 2
