# SPDX-License-Identifier: Apache-2.0
"""The way out of a filtered sandbox: what gets through its proxy, and that a credential is nowhere inside."""
import base64
import hashlib
import http.server
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

from conftest import IS_SANITIZED
from tcp_server import OPENSSL, Authority

SECRET = "sk-real/7Q+vZ-2f9c1d4be08a"
PYTHON = "/usr/bin/python3"
pytestmark = pytest.mark.skipif(not OPENSSL or not pathlib.Path(PYTHON).exists(), reason="needs openssl and python3")


class Upstream:
    """A server that remembers what it was asked, with TLS when it has a certificate."""

    def __init__(self, certificate=None, key=None, clients=None, tokens=lambda body: (404, b"")):
        seen = self.seen = []
        who = self.who = []  # the clients' names, when it asks for them

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                seen.append((self.command, self.path, dict(self.headers), body, self.client_address))
                if clients:
                    who.append(dict(row[0] for row in self.connection.getpeercert()["subject"])["commonName"])
                data, status = b"fine", 200
                if self.path == "/token":
                    status, data = tokens(body)
                if self.path.startswith("/v1/large"):
                    data = bytes(range(256)) * 40000
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/token")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            if clients:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(clients)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def end(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authority")
    return Authority(folder)


@pytest.fixture(scope="module")
def secure(authority):
    upstream = Upstream(*authority.sign("upstream"))
    yield upstream
    upstream.end()


@pytest.fixture
def plain():
    upstream = Upstream()
    yield upstream
    upstream.end()


class Filtered:
    """Runs programs with one service, "svc"."""

    def __init__(self, cli, tmp_path, service):
        self.cli = cli
        self.profile = tmp_path / "profile.json"
        self.profile.write_text(json.dumps({
            "meta": {"name": "proxied"},
            "network": {"custom_credentials": {"svc": service}, "credentials": ["svc"]},
        }))
        self.env = {**cli.env, "SVC_SECRET": SECRET}

    def __call__(self, *program, options=(), **how):
        how.setdefault("env", self.env)
        return self.cli("enforce", "run", "--profile", self.profile, *options, "--", *program, **how)

    def python(self, code, options=(), **how):
        return self(PYTHON, "-c", code, options=options, **how)


def service(upstream, authority, **more):
    return {"upstream": f"https://localhost:{upstream.port}/v1", "credential_key": "env://SVC_SECRET",
            "env_var": "SVC_KEY", "tls_ca": str(authority.file), **more}


ASK = """
import os, urllib.request
request = urllib.request.Request(os.environ["SVC_BASE_URL"] + "/%s", %s,
                                 {"Authorization": "Bearer " + os.environ["SVC_KEY"]})
print(len(urllib.request.urlopen(request, timeout=20).read()))
"""


def test_a_service_gets_the_credential_and_the_program_does_not(cli, tmp_path, secure, authority):
    run = Filtered(cli, tmp_path, service(secure, authority))
    secure.seen.clear()
    done = run.python("import os\nassert 'SVC_SECRET' not in os.environ\n"
                      "assert os.environ['SVC_KEY'] == os.environ['NONO_PROXY_TOKEN']\n" + ASK % ("chat?x=1", "b'hello'"))
    assert done.status == 0 and done.stdout == b"4\n", done
    method, path, headers, body, _ = secure.seen[0]
    assert (method, path, body) == ("POST", "/v1/chat?x=1", b"hello")
    assert headers["Authorization"] == f"Bearer {SECRET}" and headers["Host"] == f"localhost:{secure.port}"
    done = run.python(ASK % ("large", None))
    assert done.stdout == b"10240000\n", done


def serve_raw(serve, context=None):
    """A listener whose connections are served by SERVE(socket), each in a thread; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(connection):
        try:
            with context.wrap_socket(connection, server_side=True) if context else connection as c:
                serve(c)
        except OSError:
            pass

    def accept():
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener


def head_of(c):
    data = b""
    while b"\r\n\r\n" not in data:
        more = c.recv(65536)
        if not more:
            raise OSError("the end")
        data += more
    return data.split(b"\r\n\r\n", 1)


def echo_frame(c, head, rest):
    """Accepts a WebSocket and sends its first message of five bytes back, without a mask."""
    key = next(line.split(": ", 1)[1] for line in head.decode().split("\r\n") if line.lower().startswith("sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    c.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    while len(rest) < 11:
        rest += c.recv(4096)
    mask, text = rest[2:6], rest[6:11]
    c.sendall(b"\x81\x05" + bytes(x ^ mask[i % 4] for i, x in enumerate(text)))
    c.recv(1)


def test_a_websocket_of_plain_http(cli, tmp_path):
    heads = []

    def serve(c):
        head, rest = head_of(c)
        heads.append(head.decode())
        echo_frame(c, head, rest)

    with serve_raw(serve) as upstream:
        port = upstream.getsockname()[1]
        done = Filtered(cli, tmp_path, {"upstream": "https://service.example", "credential_key": "env://SVC_SECRET"}).python(f"""
import base64, os, socket, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTP_PROXY"])
auth = base64.b64encode(("nono:" + proxy.password).encode()).decode()
c = socket.create_connection((proxy.hostname, proxy.port), 20)
c.sendall(("GET http://127.0.0.1:{port}/talk HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
           "Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nProxy-Authorization: Basic " + auth
           + "\\r\\n\\r\\n").encode())
data = b""
while b"\\r\\n\\r\\n" not in data: data += c.recv(4096) or exit("closed")
assert b" 101 " in data, data
c.sendall(bytes.fromhex("818537fa213d7f9f4d5158"))
while not data.endswith(b"\\x81\\x05Hello"): data += c.recv(4096) or exit("closed")
print("done")
""", options=("--allow-domain", "127.0.0.1"))
    assert done.status == 0 and done.stdout == b"done\n", done
    assert len(heads) == 1 and "roxy-" not in heads[0]


def test_websockets_and_events_over_tls(cli, tmp_path, authority):
    """An upstream that speaks frames: an echo without a mask; and one that tells events one by one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("sockets"))
    heads = []

    def serve(c):
        head, rest = head_of(c)
        heads.append(head.decode())
        if b"/events" in head:
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n")
            while b"go" not in told:
                ready.wait(20)
            c.sendall(b"data: two\n\n")
            return
        echo_frame(c, head, rest)

    told, ready = [], threading.Event()

    def release(c):
        told.append(c.recv(2))
        ready.set()

    with serve_raw(serve, context) as upstream, serve_raw(release) as gate:
        run = Filtered(cli, tmp_path, {"upstream": f"https://localhost:{upstream.getsockname()[1]}", "env_var": "SVC_KEY",
                                       "credential_key": "env://SVC_SECRET", "tls_ca": str(authority.file)})
        done = run.python(f"""
import base64, os, socket, urllib.parse
url = urllib.parse.urlsplit(os.environ["SVC_BASE_URL"])
def connect(): return socket.create_connection((url.hostname, url.port), 20)
key = "Authorization: Bearer " + os.environ["SVC_KEY"] + "\\r\\n"
def until(c, text):
    data = b""
    while text not in data:
        more = c.recv(4096)
        assert more, data
        data += more
    return data
c = connect()
c.sendall(("GET /svc/talk HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
           "Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n" + key + "\\r\\n").encode())
assert b" 101 " in until(c, b"\\r\\n\\r\\n")
c.sendall(bytes.fromhex("818537fa213d7f9f4d5158"))
assert until(c, b"Hello").endswith(b"\\x81\\x05Hello")
c.close()
c = connect()
c.sendall(("GET /svc/events HTTP/1.1\\r\\nHost: x\\r\\n" + key + "\\r\\n").encode())
assert b"two" not in until(c, b"data: one")
# Only now the upstream may go on: asked for by the one way out that there is.
proxy = urllib.parse.urlsplit(os.environ["HTTP_PROXY"])
auth = base64.b64encode(("nono:" + proxy.password).encode()).decode()
gate = connect()
gate.sendall(("CONNECT 127.0.0.1:{gate.getsockname()[1]} HTTP/1.1\\r\\nHost: x\\r\\nProxy-Authorization: Basic " + auth
              + "\\r\\n\\r\\n").encode())
assert b" 200 " in until(gate, b"\\r\\n\\r\\n")
gate.sendall(b"go")
until(c, b"data: two")
print("done")
""", options=("--allow-domain", "127.0.0.1"))
    assert done.status == 0 and done.stdout == b"done\n", done
    assert all(f"Authorization: Bearer {SECRET}" in head for head in heads) and len(heads) == 2


def serve_proxy(port, asked):
    """A proxy beyond: whatever it is asked for is on that port."""

    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve(c):
        head, rest = head_of(c)
        asked.append(head.split(b"\r\n")[0])
        with socket.create_connection(("127.0.0.1", port), 20) as there:
            c.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=pump, args=(there, c), daemon=True)
            back.start()
            pump(c, there)
            back.join(20)

    return serve_raw(serve)


def test_services_go_through_the_upstream_proxy(cli, tmp_path, secure, authority):
    # A name that only that proxy knows.
    asked = []
    far = {"upstream": "https://box.example/v1", "credential_key": "env://SVC_SECRET", "env_var": "SVC_KEY",
           "tls_ca": str(authority.file)}
    with serve_proxy(secure.port, asked) as proxy:
        run = Filtered(cli, tmp_path, far)
        secure.seen.clear()
        done = run.python(ASK % ("chat", None), options=("--upstream-proxy", f"127.0.0.1:{proxy.getsockname()[1]}"))
    assert done.status == 0 and done.stdout == b"4\n", done
    assert asked == [b"CONNECT box.example:443 HTTP/1.1"]
    assert secure.seen[0][2]["Authorization"] == f"Bearer {SECRET}"


def test_an_upstream_with_another_certificate_gets_nothing(cli, tmp_path, secure, authority):
    other = tmp_path / "other"
    other.mkdir()
    run = Filtered(cli, tmp_path, service(secure, Authority(other)))
    secure.seen.clear()
    done = run.python(ASK % ("chat", None))
    assert done.status != 0 and b"502" in done.stderr, done
    assert secure.seen == []


def test_endpoint_rules_hold(cli, tmp_path, secure, authority):
    run = Filtered(cli, tmp_path, service(secure, authority, endpoint_rules=[{"method": "GET", "path": "/models/*"}]))
    secure.seen.clear()
    assert run.python(ASK % ("models/a", None)).status == 0
    for path, body in (("models/a", "b''"), ("models/a/b", None), ("models/%2e%2e/keys", None), ("keys", None)):
        done = run.python(ASK % (path, body))
        assert done.status != 0 and (b"403" in done.stderr or b"400" in done.stderr), (path, done)
    assert [row[1] for row in secure.seen] == ["/v1/models/a"]


def test_nothing_goes_around_the_proxy(cli, tmp_path, secure, plain, authority):
    """The upstream is on this machine: the program's own loopback is another one."""
    run = Filtered(cli, tmp_path, service(secure, authority))
    done = run.python(f"""
import os, socket, urllib.parse
for port in ({secure.port}, {plain.port}):
    try:
        socket.create_connection(("127.0.0.1", port), 5)
        print("direct")
    except OSError as e:
        print(type(e).__name__)
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
def ask(target, auth):
    s = socket.create_connection((proxy.hostname, proxy.port), 20)
    s.sendall(f"CONNECT {{target}} HTTP/1.1\\r\\nHost: x\\r\\n{{auth}}\\r\\n".encode())
    print(s.recv(4096).split(b"\\r\\n")[0].decode())
import base64
good = "Proxy-Authorization: Basic " + base64.b64encode(f"nono:{{proxy.password}}".encode()).decode() + "\\r\\n"
ask("localhost:{secure.port}", "")
ask("localhost:{secure.port}", good)          # the upstream of a route: its TLS ends at the proxy
ask("127.0.0.1:{plain.port}", good)           # this machine
ask("169.254.169.254:80", good)
ask("2852039166:80", good)
ask("0.0.0.0:{plain.port}", good)
""")
    lines = done.text.splitlines()
    assert done.status == 0 and "direct" not in lines, done
    assert [line.split()[1] for line in lines[2:]] == ["407", "200", "403", "403", "403", "403"], done


def test_the_end_waits_for_no_server(cli, tmp_path):
    """One that takes the connection but does not begin TLS has half a minute; the session has not."""
    heard, leave = threading.Event(), threading.Event()

    def silence(c):
        heard.set()
        leave.wait(60)
    listener = serve_raw(silence)
    run = Filtered(cli, tmp_path, {"upstream": f"https://localhost:{listener.getsockname()[1]}",
                                   "credential_key": "env://SVC_SECRET", "env_var": "SVC_KEY"})
    process = cli.start("enforce", "run", "--profile", run.profile, "--", PYTHON, "-c", """
import os, socket, sys, urllib.parse
url, key = urllib.parse.urlsplit(os.environ["SVC_BASE_URL"]), os.environ["SVC_KEY"]
s = socket.create_connection((url.hostname, url.port), 20)
s.sendall(f"GET {url.path}/x HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Bearer {key}\\r\\n\\r\\n".encode())
sys.stdin.read()
raise SystemExit(5)
""", env=run.env, stdin=subprocess.PIPE)
    assert heard.wait(60)
    start = time.monotonic()
    process.communicate(b"", 60)
    assert process.returncode == 5 and time.monotonic() - start < 25, process
    leave.set()
    listener.close()


# What an upstream says, and what comes of it: all of it, 502, or an answer that is cut off.
ANSWERS = {
    "two-lengths": ("Content-Length: 2\r\nContent-Length: 5\r\n\r\nokHTTP", "502"),
    "length-and-chunks": ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "502"),
    "a-length-of-less-than-nothing": ("Content-Length: -1\r\n\r\n", "502"),
    "a-second-answer": ("Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n", "ok"),
    "folded": ("X: a\r\n b\r\nContent-Length: 2\r\n\r\nok", "502"),
    "bare-lines": ("Content-Length: 2\n\nok", "502"),
    "a-nul": ("X: a\0b\r\nContent-Length: 2\r\n\r\nok", "502"),
    "a-large-head": ("X: " + "a" * 200000 + "\r\nContent-Length: 2\r\n\r\nok", "502"),
    "many-headers": ("X: 1\r\n" * 300 + "Content-Length: 2\r\n\r\nok", "502"),
    "a-broken-chunk": ("Transfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n", "cut"),
    "a-chunk-of-less-than-nothing": ("Transfer-Encoding: chunked\r\n\r\n-2\r\nok", "cut"),
    "too-short": ("Content-Length: 100\r\n\r\nok", "cut"),
    "trailers": ("Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX-Evil: 1\r\nContent-Length: 9\r\n\r\n", "ok"),
    "until-the-end": ("\r\nok", "ok"),
    "hints": ("X: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
    "another-protocol": ("Upgrade: evil\r\nConnection: Upgrade\r\n\r\nraw", "502"),
    "nothing-to-read": ("Content-Length: 7\r\n\r\nsmuggle", "empty"),
}


def test_an_upstream_that_lies_changes_nothing_but_its_answer(cli, tmp_path):
    codes = {"hints": 103, "another-protocol": 101, "nothing-to-read": 204}

    def lie(c):
        name = ""
        while name not in ("until-the-end", "too-short"):
            name = head_of(c)[0].split()[1].decode().lstrip("/")
            c.sendall(f"HTTP/1.1 {codes.get(name, 200)} X\r\n{ANSWERS[name][0]}".encode())
    listener = serve_raw(lie)
    run = Filtered(cli, tmp_path, {"upstream": f"http://127.0.0.1:{listener.getsockname()[1]}", "credential_key": "env://SVC_SECRET",
                                   "env_var": "SVC_KEY"})
    done = run.python(f"""
import os, socket, urllib.parse
url, key = urllib.parse.urlsplit(os.environ["SVC_BASE_URL"]), os.environ["SVC_KEY"]
for name in {list(ANSWERS)}:
    s = socket.create_connection((url.hostname, url.port), 60)
    # Two at once: what one answer leaves behind must not become the next one.
    ask = f"GET {{url.path}}/{{name}} HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Bearer {{key}}\\r\\n\\r\\n".encode()
    s.sendall(ask + ask.replace(b"Host", b"Connection: close\\r\\nHost"))
    data = b""
    try:
        while more := s.recv(65536): data += more
        end = "closed"
    except OSError: end = "reset"
    print(name, end, data)
""")
    listener.close()
    assert done.status == 0, done
    for line, (name, (_, wanted)) in zip(done.text.splitlines(), ANSWERS.items(), strict=True):
        said, end, data = line.split(" ", 2)
        assert said == name and "Evil" not in data and "smuggle" not in data and SECRET not in data, line
        if wanted == "cut":
            assert end == "reset" and data.count("HTTP/1.1 ") <= 1, line
            continue
        status = {"ok": "200", "empty": "204"}.get(wanted, wanted)
        assert end == "closed" and data.count(f"HTTP/1.1 {status} ") == data.count("HTTP/1.1 ") >= 1, line
        assert wanted != "ok" or data.count("ok") == 2, line


def test_denials_are_told(cli, tmp_path, secure, authority):
    run = Filtered(cli, tmp_path, service(secure, authority))
    done = cli("--json", "enforce", "run", "--profile", run.profile, "--allow-domain", "allowed.example", "--", PYTHON, "-c",
               "import os, urllib.request\n"
               "try: urllib.request.urlopen('https://evil.example/', timeout=20)\n"
               "except OSError as e: print(e)\n"
               "raise SystemExit(3)\n", env=run.env)
    assert done.status == 3 and b"403" in done.stdout, done
    told = [json.loads(line) for line in done.stderr.decode().splitlines() if line.startswith("{")]
    denials = [row for report in told for row in report.get("denials", [])]
    row = next(row for row in denials if "evil.example" in row["target"])
    assert row["source"] == "notified" and row["layer"] == "proxy", row
    assert SECRET not in done.stderr.decode()


def test_the_proxy_is_for_the_program_only(cli, tmp_path, plain):
    """Nobody else on this machine reaches it. Where it cannot stand in a network of its own, it lets nobody in without the token."""
    code = ("import os, sys, urllib.parse\nprint(urllib.parse.urlsplit(os.environ['HTTP_PROXY']).port, flush=True)\n"
            "sys.stdin.read()")
    child = cli.start("enforce", "run", "--allow-domain", "127.0.0.1", "--", PYTHON, "-c", code, stdin=subprocess.PIPE,
                      stderr=subprocess.DEVNULL)
    try:
        port = int(child.stdout.readline())
        try:
            with socket.create_connection(("127.0.0.1", port), 60) as stranger:
                stranger.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % plain.port)
                assert stranger.recv(4096).startswith(b"HTTP/1.1 407 ")
            with_namespace = False
        except ConnectionRefusedError:
            with_namespace = True
    finally:
        child.communicate(timeout=60)
    report = cli("enforce", "run", "--dry-run", "--json", "--allow-domain", "127.0.0.1", "--", "true").json["enforcement"]
    assert any((row["act"], row["layer"]) == ("reach the network", "namespace") for row in report) == with_namespace, report
    assert child.returncode == 0


def forms(secret):
    """Every spelling that would give it away."""
    raw = secret.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(), urllib.parse.quote(secret, safe="").encode(), raw[::-1]}
    for shift in range(3):  # base64 of it in the middle of something
        text = base64.b64encode(b"\0" * shift + raw)[4 if shift else 0:-4]
        found |= {text, text.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def read(path):
    try:
        return pathlib.Path(path).read_bytes()
    except OSError:
        return b""


def memory(pid):
    """What can be read of a process."""
    try:
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
        with open(f"/proc/{pid}/mem", "rb", 0) as mem:
            for line in maps:
                start, end = (int(x, 16) for x in line.split()[0].split("-"))
                if "r" not in line.split()[1] or "[v" in line:
                    continue
                try:
                    mem.seek(start)
                    yield mem.read(min(end - start, 64 << 20))
                except (OSError, ValueError, OverflowError):
                    continue
    except OSError:
        return


# Looks at all that is visible inside; the forms come as base64 of their reverse, so that they are not in its own words.
SCAN = """
import base64, json, os, sys
forms = [base64.b64decode(x)[::-1] for x in json.loads(sys.stdin.readline())]
me, found, looked = str(os.getpid()), [], 0
def look(where, data):
    global looked
    looked += 1
    if any(f in data for f in forms):
        found.append(where)
def take(path):
    try:
        with open(path, "rb") as f: return f.read(1 << 24)
    except OSError: return b""
try: pids = [name for name in os.listdir("/proc") if name.isdigit()]
except PermissionError: pids = [str(pid) for pid in range(max(1, int(me) - 1000), int(me) + 1000)]  # no list without a PID namespace
for pid in pids:
    for name in ("environ", "cmdline"):
        look(pid + name, take(f"/proc/{pid}/{name}"))
    if pid == me:
        continue
    try:
        maps = open(f"/proc/{pid}/maps").read().splitlines()
        mem = open(f"/proc/{pid}/mem", "rb", 0)
    except OSError:
        continue
    for line in maps:
        start, end = (int(x, 16) for x in line.split()[0].split("-"))
        try:
            mem.seek(start); look(pid + line, mem.read(min(end - start, 1 << 26)))
        except (OSError, ValueError, OverflowError): pass
for root, folders, names in os.walk(sys.argv[1]):
    for name in names: look(name, take(os.path.join(root, name)))
for fd in range(256):
    try: look(str(fd), os.readlink(f"/proc/self/fd/{fd}").encode())
    except OSError: pass
print(json.dumps([looked, found]))
"""


TOKEN = "tok-real.8hXw_41c9d0be77"


class Tokens:
    """A token endpoint on the upstream itself: what it was asked, and what it answers."""

    def __init__(self, authority, answer=None, status=200):
        self.asked = []
        self.answer = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600} if answer is None else answer
        self.status = status
        self.upstream = Upstream(*authority.sign("tokens"), tokens=self.take)
        self.service = {"upstream": f"https://localhost:{self.upstream.port}/v1", "env_var": "SVC_KEY", "tls_ca": str(authority.file),
                        "auth": {"token_url": f"https://localhost:{self.upstream.port}/token", "client_id": "env://SVC_ID",
                                 "client_secret": "env://SVC_SECRET", "scope": "a b", "extra_params": {"audience": "x&y"}}}

    def take(self, body):
        self.asked.append(body.decode())
        answer = self.answer
        return self.status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.upstream.end()


def test_a_token_is_fetched_at_the_first_request(cli, tmp_path, authority):
    with Tokens(authority) as tokens:
        run = Filtered(cli, tmp_path, tokens.service)
        env = {**run.env, "SVC_ID": "me"}
        assert run("true", env=env).status == 0 and tokens.asked == []
        done = run.python("import os\nassert not {'SVC_SECRET', 'SVC_ID'} & set(os.environ)\n"
                          + 2 * (ASK % ("chat", "b'hello'")), env=env)
        assert done.status == 0 and done.stdout == b"4\n4\n", done
        assert [urllib.parse.parse_qs(text) for text in tokens.asked] == [
            {"grant_type": ["client_credentials"], "client_id": ["me"], "client_secret": [SECRET], "scope": ["a b"], "audience": ["x&y"]}]
        rows = [row for row in tokens.upstream.seen if row[1] == "/v1/chat"]
        assert len(rows) == 2 and {row[2]["Authorization"] for row in rows} == {f"Bearer {TOKEN}"}
        # One that has ended is asked for again.
        tokens.answer["expires_in"] = 0
        tokens.asked.clear()
        assert run.python(2 * (ASK % ("chat", None)), env=env).status == 0 and len(tokens.asked) == 2


def test_tokens_go_through_the_upstream_proxy(cli, tmp_path, authority):
    asked = []
    with Tokens(authority) as tokens, serve_proxy(tokens.upstream.port, asked) as proxy:
        far = {**tokens.service, "upstream": "https://box.example/v1"}
        far["auth"] = {**far["auth"], "token_url": "https://box.example/token"}
        run = Filtered(cli, tmp_path, far)
        done = run.python(ASK % ("chat", None), options=("--upstream-proxy", f"127.0.0.1:{proxy.getsockname()[1]}"),
                          env={**run.env, "SVC_ID": "me"})
        assert done.status == 0 and len(tokens.asked) == 1, done
        assert asked == 2 * [b"CONNECT box.example:443 HTTP/1.1"]


@pytest.mark.parametrize("status, answer, why", [
    (401, {"error": SECRET}, b"status 401"),
    (302, b"", b"status 302"),
    (200, b"x" * 70000, b"larger than 64 KiB"),
    (200, {"token": TOKEN}, b"no access_token"),
], ids=["refused", "redirected", "large", "empty"])
def test_a_token_that_is_not_given_is_a_denial(cli, tmp_path, authority, status, answer, why):
    with Tokens(authority, answer, status) as tokens:
        run = Filtered(cli, tmp_path, tokens.service)
        done = run.python("import os, urllib.request\n"
                          "request = urllib.request.Request(os.environ['SVC_BASE_URL'] + '/x', None,"
                          " {'Authorization': 'Bearer ' + os.environ['SVC_KEY']})\n"
                          "try: urllib.request.urlopen(request, timeout=60)\n"
                          "except urllib.error.HTTPError as e: print(e.code, e.read())\n"
                          "raise SystemExit(3)", env={**run.env, "SVC_ID": "me"})
        assert done.status == 3 and done.stdout.startswith(b"502 ") and why in done.stdout, done
        assert why in done.stderr, done  # among the denials at the end
        assert SECRET.encode() not in done.stdout + done.stderr and TOKEN.encode() not in done.stdout + done.stderr
        assert len(tokens.asked) == 1 and not [row for row in tokens.upstream.seen if row[1] != "/token"]


def test_a_token_endpoint_with_another_certificate_is_told_nothing(cli, tmp_path, secure, authority):
    """tls_ca of a service counts for its own server alone."""
    other = tmp_path / "other"
    other.mkdir()
    with Tokens(Authority(other)) as tokens:
        mine = {**tokens.service, "upstream": f"https://localhost:{secure.port}/v1", "tls_ca": str(authority.file)}
        run = Filtered(cli, tmp_path, mine)
        done = run.python(ASK % ("x", None), env={**run.env, "SVC_ID": "me"})
        assert done.status == 1 and b"502" in done.stderr and b"token endpoint" in done.stderr, done
        assert tokens.asked == []


def hold_and_scan(cli, run, shared, secrets, env):
    """One process that has used the credential stays while another looks for the secrets, and this test does from outside."""
    hidden = json.dumps([base64.b64encode(f[::-1]).decode() for secret in secrets for f in forms(secret)]) + "\n"
    user = ASK % ("chat", None) + "import subprocess, sys\nsys.stdout.flush()\n" \
        f"subprocess.run([{PYTHON!r}, '-c', {SCAN!r}, {str(shared)!r}], check=True)\nsys.stdout.flush()\n" \
        "print('waits', flush=True)\nos.read(0, 1)\n"
    child = cli.start("enforce", "run", "--profile", run.profile, "--allow", shared, "--", PYTHON, "-c", user, env=env,
                      stdin=subprocess.PIPE)
    try:
        child.stdin.write(hidden.encode())
        child.stdin.flush()
        assert child.stdout.readline() == b"4\n", child.stderr.read()
        # The scanner reads one line of JSON: its end is told by the end of the line.
        looked, found = json.loads(child.stdout.readline())
        assert looked > 50 and found == []
        assert child.stdout.readline() == b"waits\n"
        inside = descendants(child.pid)
        assert len(inside) >= 2, inside
        for secret in secrets:
            for pid in inside:
                for data in (read(f"/proc/{pid}/environ"), read(f"/proc/{pid}/cmdline"), *memory(pid)):
                    assert secret.encode() not in data, pid
            assert secret.encode() not in read(f"/proc/{child.pid}/cmdline")
    finally:
        out, err = child.communicate(b"x", timeout=60)
    assert child.returncode == 0, err
    assert not [secret for secret in secrets if secret.encode() in out + err]


@pytest.mark.skipif(IS_SANITIZED, reason="a sanitizer keeps copies of the environment")
def test_a_token_and_what_it_was_fetched_with_are_nowhere_inside(cli, tmp_path, authority):
    shared = cli.home / "shared-token"
    shared.mkdir()
    with Tokens(authority) as tokens:
        run = Filtered(cli, tmp_path, tokens.service)
        hold_and_scan(cli, run, shared, [SECRET, TOKEN], {**run.env, "SVC_ID": "me"})
        assert len(tokens.asked) == 1
    shutil.rmtree(shared)


@pytest.mark.skipif(IS_SANITIZED, reason="a sanitizer keeps copies of the environment")
@pytest.mark.parametrize("source", ["env", "file"])
def test_the_credential_is_nowhere_inside(cli, tmp_path, secure, authority, source):
    shared = cli.home / f"shared-{source}"
    shared.mkdir()
    (shared / "data").write_text("nothing")
    secret_file = cli.home / f"secret-{source}"
    secret_file.write_text(SECRET + "\n")
    secret_file.chmod(0o600)
    where = "env://SVC_SECRET" if source == "env" else f"file://{secret_file}"
    run = Filtered(cli, tmp_path, service(secure, authority, credential_key=where))
    env = run.env if source == "env" else {k: v for k, v in run.env.items() if k != "SVC_SECRET"}
    hold_and_scan(cli, run, shared, [SECRET], env)
    shutil.rmtree(shared)
    secret_file.unlink()


def test_the_search_finds_what_is_inside(cli, tmp_path, secure, authority):
    """The same search, with a credential that the program was given: it must not be blind."""
    run = Filtered(cli, tmp_path, service(secure, authority))
    hidden = json.dumps([base64.b64encode(f[::-1]).decode() for f in forms(SECRET)]) + "\n"
    done = run("sh", "-c", f'{PYTHON} -c "$0" /nonexistent; :', SCAN, input=hidden.encode(),
               options=("--env-credential-map", "env://SVC_SECRET", "GIVEN"))
    assert done.status == 0, done
    looked, found = done.json
    assert any(name.endswith("environ") for name in found) and len(found) >= 2, found


def descendants(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def test_a_credential_that_is_not_there_stops_only_its_service(cli, tmp_path, secure, authority):
    run = Filtered(cli, tmp_path, service(secure, authority))
    done = run.python(ASK % ("chat", None), env=cli.env)
    assert done.status == 1 and b"503" in done.stderr, done
    done = run.python("print('runs')", env=cli.env)
    assert done.stdout == b"runs\n"
    # Whoever starts it is told, also when the program never asks.
    assert b"credential of svc cannot be read: the variable SVC_SECRET is not set" in done.stderr, done
    assert b"cannot be read" not in run.python("print('runs')", options=["--silent", "--allow-cwd"], env=cli.env).stderr
    assert b"cannot be read" not in run.python("print('runs')").stderr


def test_a_credential_of_two_services_is_asked_for_once(cli, tmp_path):
    program, asked = tmp_path / "bin/op", tmp_path / "asked"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho x >> {asked}\nexit 1\n")
    program.chmod(0o755)
    one = {"upstream": "https://localhost:1", "credential_key": "op://vault/item/field"}
    run = Filtered(cli, tmp_path, one)
    run.profile.write_text(json.dumps({
        "meta": {"name": "two"},
        "network": {"custom_credentials": {"one": one, "two": one}, "credentials": ["one", "two"]},
    }))
    env = {**cli.env, "PATH": f"{program.parent}:{cli.env['PATH']}"}
    done = run("true", env=env)
    assert done.status == 0 and asked.read_text() == "x\n", done
    assert done.stderr.count(b"cannot be read") == 2, done
    # Nobody is asked for a service that is not used, nor for a trial.
    run.profile.write_text(json.dumps({
        "meta": {"name": "none"}, "network": {"custom_credentials": {"one": one}, "allow_domain": ["localhost"]}}))
    assert run("true", env=env).status == 0
    assert run("true", options=["--dry-run", "--credential", "one"], env=env).status == 0
    assert asked.read_text() == "x\n"


def test_bitwarden_is_asked_outside(cli, tmp_path, secure, authority):
    program = tmp_path / "bin/bw"
    program.parent.mkdir()
    item = json.dumps({"login": {"password": "x"}, "fields": [{"name": "api", "value": SECRET}]})
    program.write_text(f"#!/bin/sh\n[ \"$BW_SESSION\" = open ] && [ -z \"$NODE_OPTIONS\" ] && [ \"$*\" = 'get item -- it' ] && echo '{item}'\n")
    program.chmod(0o755)
    run = Filtered(cli, tmp_path, service(secure, authority, credential_key="bw://it/api"))
    secure.seen.clear()
    done = run.python("import os\nassert 'BW_SESSION' not in os.environ\n" + ASK % ("chat", None),
                      env={**cli.env, "BW_SESSION": "open", "NODE_OPTIONS": "--require=x.js", "PATH": f"{program.parent}:{cli.env['PATH']}"})
    assert done.status == 0 and secure.seen[0][2]["Authorization"] == f"Bearer {SECRET}", done


def test_a_program_may_put_its_token_elsewhere(cli, tmp_path, secure, authority):
    run = Filtered(cli, tmp_path, service(secure, authority, proxy={"inject_mode": "query_param", "query_param_name": "key"}))
    secure.seen.clear()
    ask = ('import os, urllib.request\n'
           'print(urllib.request.urlopen(os.environ["SVC_BASE_URL"] + "/chat?a=1&%s=" + os.environ["SVC_KEY"], timeout=60).status)')
    done = run.python(ask % "key")
    assert done.status == 0 and done.stdout == b"200\n", done
    assert secure.seen[0][1] == "/v1/chat?a=1" and secure.seen[0][2]["Authorization"] == f"Bearer {SECRET}"
    done = run.python(ask % "other")
    assert done.status == 1 and b"401" in done.stderr and len(secure.seen) == 1, done


@pytest.fixture
def clients(authority):
    """A server that wants to know its clients."""
    upstream = Upstream(*authority.sign("asking"), clients=authority.file)
    yield upstream
    upstream.end()


def test_a_client_certificate_is_shown(cli, tmp_path, clients, authority):
    one, two = authority.sign("one"), authority.sign("two")
    home = cli.home / "identity.pem"
    home.write_bytes(two[0].read_bytes())
    for path in (one[1], two[1]):
        path.chmod(0o600)
    services = {
        "one": service(clients, authority, tls_client_cert=str(one[0]), tls_client_key=str(one[1])),
        "two": service(clients, authority, tls_client_cert="~/identity.pem", tls_client_key="$KEY_FOLDER/two.key", env_var="B"),
        "none": service(clients, authority, env_var="C"),
    }
    run = Filtered(cli, tmp_path, services["one"])
    run.profile.write_text(json.dumps({"meta": {"name": "known"}, "network": {"custom_credentials": services,
                                                                              "credentials": list(services)}}))
    # All on one connection of the program: what is kept open for one service is not another's.
    done = run.python("""
import http.client, os, urllib.parse
url = urllib.parse.urlsplit(os.environ["ONE_BASE_URL"])
c = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
for name in ("one", "two", "one", "none"):
    c.request("GET", "/" + name + "/x", headers={"Authorization": "Bearer " + os.environ["SVC_KEY"]})
    answer = c.getresponse()
    print(answer.status, answer.read() == b"fine")
for path in %r:
    try: open(path).read(); print("read")
    except OSError: print("closed")
""" % ([str(one[1]), str(two[1])],), env={**run.env, "KEY_FOLDER": str(authority.folder)})
    assert done.status == 0, done
    assert done.text.splitlines() == ["200 True"] * 3 + ["502 False"] + ["closed"] * 2, done
    assert clients.who == ["one", "two", "one"]
    assert b"client key" not in done.stderr, done


def test_a_client_key_is_a_secret(cli, tmp_path, clients, authority):
    certificate, key = authority.sign("careless")
    mine = service(clients, authority, tls_client_cert=str(certificate), tls_client_key=str(key))
    run = Filtered(cli, tmp_path, mine)
    key.chmod(0o644)
    done = run.python(ASK % ("x", None))
    assert done.status == 0 and b"client key of svc" in done.stderr and b"others on this machine" in done.stderr, done
    key.chmod(0o600)
    done = run("true", options=["--read-file", key])
    assert done.status == 0 and b"the program itself can read it" in done.stderr, done
    # What cannot be used is told at the start, and costs its service only.
    authority.run("ec", "-in", "careless.key", "-aes128", "-passout", "pass:x", "-out", "locked.key")
    (authority.folder / "locked.key").chmod(0o600)
    for more, why in (({"tls_client_key": "/nonexistent/k"}, b"cannot open /nonexistent/k"),
                      ({"tls_client_key": str(authority.folder / "locked.key")}, b"has a password"),
                      ({"tls_client_key": str(certificate)}, b"has no key"),
                      ({"tls_client_cert": str(key)}, b"has no certificate")):
        run = Filtered(cli, tmp_path, {**mine, **more})
        done = run.python(ASK % ("x", None))
        assert done.status == 1 and b"client certificate of svc cannot be read" in done.stderr and why in done.stderr, done
        assert b"503" in done.stderr and b"PRIVATE KEY" not in done.stderr, done


def test_an_endpoint_policy_denies_first(cli, tmp_path, secure, authority):
    policy = {"deny": [{"method": "*", "path": "/admin/**", "reason": "no"}], "default": {"decision": "allow"}}
    run = Filtered(cli, tmp_path, service(secure, authority, endpoint_policy=policy))
    assert run.python(ASK % ("chat", None)).status == 0
    done = run.python(ASK % ("admin/users", None))
    assert done.status == 1 and b"403" in done.stderr and b"denied endpoints" in done.stderr, done
