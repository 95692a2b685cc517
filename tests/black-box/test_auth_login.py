# SPDX-License-Identifier: Apache-2.0
"""`auth login`: the page of the server, the listener of the client, and what others could try with either."""
import base64
import hashlib
import html
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile
import urllib.parse

import pytest

from conftest import wait_until
from tcp_server import Server

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def server(cli):
    with Server(cli) as server:
        yield server


def text32():
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")


class Wish:
    """What a client asks for."""

    def __init__(self, **more):
        self.verifier = text32()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")
        self.fields = {"port": "54321", "state": text32(), "challenge": challenge, "name": "box", **more}


def ask(server, method, path, form=None, body=None, origin=True, **headers):
    """Status, headers and text of one request as a browser on the server's own pages would send it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    if form is not None:
        body = urllib.parse.urlencode(form)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        if origin:
            headers["Origin"] = server.url if origin is True else origin
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def page_of(server, fields):
    """The form of the page: its hidden fields."""
    status, _, text = ask(server, "GET", "/cli-auth?" + urllib.parse.urlencode(fields))
    assert status == 200, text
    return {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', text)}


def code_of(server):
    return server.sign_in_file.read_text().strip()


def approve(server, wish):
    """The code that the browser is sent back with."""
    status, headers, text = ask(server, "POST", "/cli-auth", {**page_of(server, wish.fields), "code": code_of(server)})
    assert status == 303, text
    to = urllib.parse.urlsplit(headers["Location"])
    assert (to.scheme, to.netloc, to.path) == ("http", f"127.0.0.1:{wish.fields['port']}", "/callback")
    query = dict(urllib.parse.parse_qsl(to.query))
    assert query["state"] == wish.fields["state"] and set(query) == {"state", "code"}
    return query["code"]


def token(server, code, verifier):
    status, _, text = ask(server, "POST", "/cli-auth/token", body=json.dumps({"code": code, "verifier": verifier}),
                          **{"Content-Type": "application/json"})
    return status, json.loads(text)


class Login:
    """`auth login` while it waits."""

    def __init__(self, nanoterm, server, *words, **env):
        self.process = nanoterm.start("--json", "--api", server.url, "auth", "login", *words, env={**nanoterm.env, **env})
        self.lines = []
        self.url = None
        for line in self.process.stderr:
            self.lines.append(line.decode())
            match = re.search(r"http://[^\s\"]+/cli-auth\?[^\s\"]+", line.decode())
            if match:
                self.url = match.group()
                break
        assert self.url, self.lines
        self.fields = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.url).query))

    def callback(self, host=None, path="/callback", **query):
        connection = http.client.HTTPConnection("127.0.0.1", int(self.fields["port"]), timeout=60)
        connection.request("GET", f"{path}?{urllib.parse.urlencode(query)}", headers={"Host": host} if host else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def end(self):
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, "".join(self.lines) + err.decode()


def test_a_login_gives_a_key_of_its_own(fresh, server):
    nanoterm = fresh()
    login = Login(nanoterm, server, "--no-browser")
    wish = Wish()
    wish.fields = login.fields
    assert login.fields["name"] == socket.gethostname()[:64]
    assert login.callback(code=approve(server, wish), state=login.fields["state"])[0] == 200
    status, out, err = login.end()
    assert status == 0, err
    assert json.loads(out)["api"].startswith(server.url)
    assert nanoterm.ok("--json", "--api", server.url, "ws", "list").json == []
    config = nanoterm.home / ".nanoterm/config.json"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    [key] = set(re.findall(r"nt_[\w-]{43}", config.read_text()))
    assert key != server.key and key not in err
    # It is in the server's list, under the machine's name, and can be revoked there.
    [database] = server.data.glob("**/nanoterm.db")
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    names = [name for (name,) in connection.execute("SELECT name FROM api_keys WHERE revoked_at_ms = 0")]
    connection.close()
    assert login.fields["name"] in names
    nanoterm.ok("--api", server.url, "auth", "logout")
    assert nanoterm("--api", server.url, "ws", "list").status == 4


def test_the_embedded_server_needs_no_login(fresh):
    nanoterm = fresh()
    assert "local, no login" in nanoterm.ok("auth", "login").text
    assert nanoterm.ok("--json", "auth", "login").json["api"] == "local"
    assert not nanoterm.runtime.joinpath("sock").exists()  # nothing was started for it
    nanoterm.ok("ws", "list")
    answer, data = nanoterm.ask("GET", "/cli-auth?" + urllib.parse.urlencode(Wish().fields))
    assert answer.status == 404 and b"local, no login" in data


def test_the_browser_gets_one_word(fresh, server):
    nanoterm = fresh()
    seen = nanoterm.home / "seen"
    browser = nanoterm.home / "a browser"
    browser.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$#\" \"$1\" >'{seen}.new'\nmv '{seen}.new' '{seen}'\n")
    browser.chmod(0o755)
    login = Login(nanoterm, server, BROWSER=f"{browser}:other")
    wait_until(seen.exists, 60, "the browser")
    assert seen.read_text().splitlines() == ["1", login.url]
    login.process.send_signal(signal.SIGTERM)
    login.end()


def test_ctrl_c_ends_it(fresh, server):
    login = Login(fresh(), server, "--no-browser")
    login.process.send_signal(signal.SIGINT)
    status, out, _ = login.end()
    assert status != 0 and out == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(login.fields["port"])), timeout=60)


def test_it_does_not_wait_for_ever(fresh, server):
    done = fresh()("--json", "--timeout", "1s", "--api", server.url, "auth", "login", "--no-browser")
    error = json.loads(done.stderr.splitlines()[-1])
    assert done.status == 8 and error["kind"] == "timeout" and "nobody has signed in" in error["message"]


def test_a_wrong_state_is_refused_and_the_right_one_still_comes(fresh, server):
    """A page that tries the ports of loopback, or a code of somebody else's, ends nothing and signs nobody in."""
    login = Login(fresh(), server, "--no-browser")
    state = login.fields["state"]
    port = login.fields["port"]
    assert login.callback(code=text32(), state=text32())[0] == 403
    assert login.callback(code=text32())[0] == 403
    assert login.callback(code=text32(), state=state[:-1])[0] == 403
    assert login.callback(code=text32(), state=state, host=f"evil.example:{port}")[0] == 404
    assert login.callback(code=text32(), state=state, path="/")[0] == 404
    assert login.callback(code="x", state=state)[0] == 400
    # One that connects and says nothing stops nobody.
    with socket.create_connection(("127.0.0.1", int(port)), timeout=60):
        wish = Wish()
        wish.fields = login.fields
        assert login.callback(code=approve(server, wish), state=state)[0] == 200
        assert login.end()[0] == 0


def test_a_forged_code_gives_no_key(fresh, server):
    """Whoever has seen the state and is first: the code is not one, nothing is stored."""
    nanoterm = fresh()
    login = Login(nanoterm, server, "--no-browser")
    assert login.callback(code=text32(), state=login.fields["state"])[0] == 200
    status, out, err = login.end()
    assert status == 5 and out == b"", err
    assert nanoterm("--api", server.url, "auth", "status").status == 4


def test_a_code_is_good_once_and_for_its_client_only(server):
    wish = Wish()
    code = approve(server, wish)
    status, body = token(server, code, wish.verifier)
    assert status == 201 and body["name"] == "box" and body["api_key"].startswith("nt_")
    status, again = token(server, code, wish.verifier)
    assert status == 403 and "api_key" not in again
    # Read from the browser's history, without the verifier; after that it is burnt.
    wish = Wish()
    code = approve(server, wish)
    for verifier in (text32(), wish.verifier):
        assert token(server, code, verifier)[0] == 403
    for code, verifier in (("", ""), (text32(), text32()), ("x" * 8000, text32())):
        assert token(server, code, verifier)[0] == 403


def test_the_sign_in_code_is_good_once(server):
    first = code_of(server)
    assert stat.S_IMODE(server.sign_in_file.stat().st_mode) == 0o600
    wish = Wish()
    approve(server, wish)
    assert code_of(server) != first
    for wrong in (first, "", text32(), code_of(server) + "x", code_of(server)[:-1]):
        status, headers, text = ask(server, "POST", "/cli-auth", {**page_of(server, wish.fields), "code": wrong})
        assert status == 403 and "Location" not in headers and "was used before" in text, wrong
    assert not any(first in line or code_of(server) in line for line in server.lines)


def test_nobody_is_sent_elsewhere(server):
    for more in ({"port": "evil.example"}, {"port": "54321@evil.example"}, {"port": "80"}, {"port": "0"}, {"port": "65536"},
                 {"port": "54321/"}, {"port": ""}, {"state": "x"}, {"state": text32() + "\r\nX-A: b"}, {"challenge": ""},
                 {"name": ""}):
        status, headers, _ = ask(server, "GET", "/cli-auth?" + urllib.parse.urlencode({**Wish().fields, **more}))
        assert status == 400 and "Location" not in headers, more
    wish = Wish(redirect_uri="http://evil.example/", host="evil.example")
    approve(server, wish)  # it looks where the answer leads


def test_only_what_was_shown_can_be_agreed_to(server):
    """Fields changed between the page and the click, and pages that others make."""
    wish = Wish()
    fields = page_of(server, wish.fields)
    good = code_of(server)
    for more in ({"port": "4444"}, {"state": text32()}, {"challenge": Wish().fields["challenge"]}, {"name": "other"},
                 {"shown": str(int(fields["shown"]) + 200)}, {"shown": "99999999999999999999"}, {"seal": text32()}, {"seal": ""}):
        status, headers, text = ask(server, "POST", "/cli-auth", {**fields, "code": good, **more})
        assert status == 403 and json.loads(text)["code"] == "expired" and "Location" not in headers, more
    for origin in ("http://evil.example", "null", "http://localhost:%d" % server.port, False):
        status, headers, text = ask(server, "POST", "/cli-auth", {**fields, "code": good}, origin=origin)
        assert status == 403 and json.loads(text)["code"] == "forbidden" and "Location" not in headers, origin
    assert code_of(server) == good  # none of it was a try
    assert ask(server, "POST", "/cli-auth", body="%", **{"Origin": server.url})[0] in (400, 403)
    assert ask(server, "POST", "/cli-auth", body="x" * 9000, **{"Origin": server.url})[0] == 413


def test_another_server_knows_nothing_of_it(cli, server):
    """The codes, pages and keys of one tenant at another one."""
    with Server(cli) as other:
        wish = Wish()
        code = approve(server, wish)
        assert token(other, code, wish.verifier)[0] == 403
        fields = page_of(server, wish.fields)
        assert ask(other, "POST", "/cli-auth", {**fields, "code": code_of(other)})[0] == 403
        fields = page_of(other, wish.fields)
        assert ask(other, "POST", "/cli-auth", {**fields, "code": code_of(server)})[0] == 403
        key = token(server, code, wish.verifier)[1]["api_key"]
        headers = {"Authorization": f"Bearer {key}"}
        assert ask(server, "GET", "/v1/sandboxes", **headers)[0] == 200
        assert ask(other, "GET", "/v1/sandboxes", **headers)[0] == 401


def test_the_page_keeps_to_itself(server):
    evil = "<script>alert(1)</script>\"'&\x1b[31m"
    status, headers, text = ask(server, "GET", "/cli-auth?" + urllib.parse.urlencode(Wish(name=evil).fields))
    assert status == 200 and "<script" not in text and "\x1b" not in text and "&lt;script&gt;" in text
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "script" not in policy
    assert headers["Referrer-Policy"] == "same-origin" and headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    assert "Set-Cookie" not in headers


# --- a real browser --------------------------------------------------------------------------------------------------------


class Chromium:
    """Headless, spoken to through a pair of pipes."""

    def __init__(self, folder):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()

        def arrange():
            low = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(low[0], 3)
            os.dup2(low[1], 4)

        words = [CHROMIUM, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={folder}", "--no-first-run",
                 "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--no-sandbox", "about:blank"]
        said = tempfile.TemporaryFile(dir=folder)
        self.process = subprocess.Popen(words, preexec_fn=arrange, close_fds=False, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=said, start_new_session=True,
                                        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"})
        os.close(theirs_in)
        os.close(theirs_out)
        self.reading, self.writing = os.fdopen(ours_in, "rb", 0), os.fdopen(ours_out, "wb", 0)
        self.number, self.rest = 0, b""
        try:
            self.ask("Browser.getVersion")
        except (AssertionError, OSError):
            self.end()
            said.seek(0)
            pytest.skip(f"chromium does not start here ({self.process.returncode}): {said.read()[-400:].decode(errors='replace')}")
        finally:
            said.close()

    def ask(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self.writing.write(json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                piece = self.reading.read(65536)
                assert piece, "the browser has ended"
                self.rest += piece
            line, self.rest = self.rest.split(b"\0", 1)
            answer = json.loads(line)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, url):
        target = self.ask("Target.createTarget", url=url)["targetId"]
        return self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def value(self, session, expression):
        return self.ask("Runtime.evaluate", session, expression=expression, returnByValue=True)["result"].get("value")

    def end(self):
        try:
            self.ask("Browser.close")
        except (AssertionError, OSError):
            pass
        self.writing.close()
        self.reading.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
def test_a_login_in_a_browser(fresh, server):
    nanoterm = fresh()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Chromium(folder)
        try:
            login = Login(nanoterm, server, "--no-browser")
            page = browser.open(login.url)

            def shows(text):
                return lambda: text in (browser.value(page, "document.body && document.body.innerText") or "")

            def sign_in(code):
                browser.value(page, f"document.querySelector('[name=code]').value = {json.dumps(code)};"
                                    "document.querySelector('button').click()")

            wait_until(shows("asks for an API key"), 120, "the page")
            assert login.fields["name"] in browser.value(page, "document.body.innerText")
            assert browser.value(page, "getComputedStyle(document.body).maxWidth") not in (None, "none")  # its style is in force
            sign_in("wrong")
            wait_until(shows("That is not the code"), 120, "the refusal")
            sign_in(code_of(server))
            wait_until(shows("Signed in"), 120, "the way back to the client")
            assert browser.value(page, "location.host") == f"127.0.0.1:{login.fields['port']}"
        finally:
            browser.end()
    status, out, err = login.end()
    assert status == 0 and json.loads(out)["authenticated"] is True, err
    assert nanoterm.ok("--json", "--api", server.url, "ws", "list").json == []
