# SPDX-License-Identifier: Apache-2.0
"""TLS that ends at the proxy: programs that know only HTTPS_PROXY reach the requests that are allowed, and no other."""
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.parse

import pytest

from conftest import IS_SANITIZED, wait_until
from tcp_server import OPENSSL, Authority
from test_enforce_proxy import PYTHON, SECRET, Upstream, forms, head_of, memory, read, serve_proxy, serve_raw

CURL = shutil.which("curl")
pytestmark = pytest.mark.skipif(not OPENSSL or not CURL or not pathlib.Path(PYTHON).exists(),
                                reason="needs openssl, curl and python3")

# The upstreams are on this machine, and what is of this machine goes through no proxy unless it is told to.
THROUGH = ["env", "-u", "NO_PROXY", "-u", "no_proxy"]
VARIABLES = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def upstream(authority):
    server = Upstream(*authority.sign("upstream"))
    yield server
    server.end()


@pytest.fixture
def temp(tmp_path):
    """Where what a session leaves would be."""
    folder = tmp_path / "temporary"
    folder.mkdir(mode=0o700)
    yield folder
    assert list(folder.iterdir()) == []


class Session:
    """Runs programs with a profile, in an environment whose authorities are the test's."""

    def __init__(self, cli, tmp_path, temp, authority, network):
        self.cli = cli
        self.profile = tmp_path / "profile.json"
        self.profile.write_text(json.dumps({"meta": {"name": "opened"}, "network": network}))
        self.env = {**cli.env, "TMPDIR": str(temp), "SSL_CERT_FILE": str(authority.file), "SVC_SECRET": SECRET}

    def __call__(self, *program, options=(), **how):
        how.setdefault("env", self.env)
        return self.cli("enforce", "run", "--profile", self.profile, *options, "--", *THROUGH, *program, **how)

    def python(self, code, **how):
        return self(PYTHON, "-c", code, **how)

    def curl(self, *words, **how):
        return self(CURL, "-sS", "-m", "60", *words, **how)

    def denials(self, *program):
        done = self.cli("--json", "enforce", "run", "--profile", self.profile, "--", *THROUGH, *program, env=self.env)
        rows = [json.loads(line) for line in done.stderr.decode().splitlines() if line.startswith("{")]
        return [denial for row in rows for denial in row.get("denials", [])]


def limited(*rules):
    return {"allow_domain": [{"domain": "localhost", "endpoints": [dict(zip(("method", "path"), rule)) for rule in rules]}]}


def with_service(upstream, authority, base="/v1", **more):
    service = {"upstream": f"https://localhost:{upstream.port}{base}", "credential_key": "env://SVC_SECRET",
               "env_var": "SVC_KEY", "tls_ca": str(authority.file), **more}
    return {"custom_credentials": {"svc": service}, "credentials": ["svc"]}


@pytest.fixture
def session(cli, tmp_path, temp, authority):
    return lambda network: Session(cli, tmp_path, temp, authority, network)


def test_only_the_requests_of_the_list_pass(session, upstream):
    run = session(limited(("GET", "/v1/models/*"), ("POST", "/v1/chat")))
    url = f"https://localhost:{upstream.port}"
    upstream.seen.clear()
    done = run.curl("--fail", f"{url}/v1/models/a?x=%2e%2e", f"{url}/v1//models/%62")
    assert done.status == 0 and done.stdout == b"finefine", done
    done = run.curl("--fail", "-d", "hello", f"{url}/v1/chat")
    assert done.status == 0, done
    assert [row[:2] for row in upstream.seen] == [("GET", "/v1/models/a?x=%2e%2e"), ("GET", "/v1/models/b"), ("POST", "/v1/chat")]
    assert upstream.seen[2][3] == b"hello" and upstream.seen[2][2]["Host"] == f"localhost:{upstream.port}"
    token = {name.lower() for row in upstream.seen for name in row[2]}
    assert "proxy-authorization" not in token
    upstream.seen.clear()
    for status, *words in [(403, f"{url}/"), (403, f"{url}/v1/models/a/b"), (403, "-X", "DELETE", f"{url}/v1/models/a"),
                           (403, "--path-as-is", f"{url}/v1/models/../keys"), (403, f"{url}/v1/models/%2e%2e"),
                           (403, f"{url}/v1/models%2fa"), (403, "--path-as-is", f"{url}/v1/models/a/../../../keys"),
                           (403, "-d", "x", f"{url}/v1/models/a"), (421, "-H", "Host: box.example", f"{url}/v1/models/a"),
                           (400, "--request-target", f"https://localhost:{upstream.port}/v1/models/a", f"{url}/v1/models/a"),
                           (400, "-X", "OPTIONS", "--request-target", "*", f"{url}/v1/models/a"),
                           (400, "-X", "CONNECT", "--request-target", f"localhost:{upstream.port}", f"{url}/v1/models/a")]:
        done = run.curl("-o", os.devnull, "-w", "%{http_code}", *words)
        assert done.text == str(status), (words, done)
    assert upstream.seen == []


def test_python_reaches_what_is_allowed(session, upstream):
    run = session({"allow_domain": [f"https://localhost:{upstream.port}/v1/"]})
    done = run.python(f"""
import os, ssl, urllib.error, urllib.request
url = "https://localhost:{upstream.port}"
print(urllib.request.urlopen(url + "/v1/large", timeout=60).read() == bytes(range(256)) * 40000)
try: urllib.request.urlopen(url + "/v2/x", timeout=60)
except urllib.error.HTTPError as e: print(e.code, e.read().decode())
# Believed is what the upstream's authority has signed, but only through the proxy; and ours.
assert ssl.create_default_context().cert_store_stats()["x509_ca"] == 2, ssl.create_default_context().cert_store_stats()
assert len({{os.environ[name] for name in {VARIABLES}}}) == 1
""")
    assert done.status == 0 and done.text.startswith("True\n403 sandbox: GET https://localhost:"), done


def test_what_was_refused_is_told_with_its_path(session, upstream):
    run = session(limited(("GET", "/v1/**")))
    denials = run.denials(CURL, "-sSf", f"https://localhost:{upstream.port}/v2/secret?key=hidden")
    assert [(row["act"], row["target"], row["layer"]) for row in denials] == [
        ("request", f"GET https://localhost:{upstream.port}/v2/secret", "proxy")], denials


def test_a_credential_goes_in_and_never_out(session, upstream, authority):
    run = session(with_service(upstream, authority))
    upstream.seen.clear()
    # Without any of the service's own variables but the token in the place of the key.
    done = run.python(f"""
import glob, os, urllib.error, urllib.request
def ask(path, **headers):
    request = urllib.request.Request("https://localhost:{upstream.port}" + path, b"body", headers)
    try: return urllib.request.urlopen(request, timeout=60).status
    except urllib.error.HTTPError as e: return e.code
print(ask("/v1/chat?x=1", Authorization="Bearer " + os.environ["SVC_KEY"]))
print(ask("/v1/chat"))                                             # no token
print(ask("/v1/chat", Authorization="Bearer " + "0" * 64))         # another
print(ask("/v2/chat", Authorization="Bearer " + os.environ["SVC_KEY"]))   # not below the upstream
print(ask("/v1/../v2", Authorization="Bearer " + os.environ["SVC_KEY"]))
print(ask("/v1x", Authorization="Bearer " + os.environ["SVC_KEY"]))
folder = os.path.dirname(os.environ["SSL_CERT_FILE"])
print(os.listdir(folder), "PRIVATE" in open(os.environ["SSL_CERT_FILE"]).read())
""")
    lines = done.text.splitlines()
    assert done.status == 0 and lines[:4] == ["200", "401", "401", "403"] and lines[4] in ("400", "403") and lines[5] == "403", done
    assert lines[6] == "['ca.pem'] False", done
    assert [(row[1], row[2]["Authorization"], row[3]) for row in upstream.seen] == [("/v1/chat?x=1", f"Bearer {SECRET}", b"body")]


@pytest.mark.parametrize("more, ask, seen", [
    ({"inject_mode": "url_path", "path_pattern": "/bot{}/"}, ["/bot$SVC_KEY/get"], "/bot{}/get"),
    ({"inject_mode": "query_param", "query_param_name": "key"}, ["/get?a=1&key=$SVC_KEY"], "/get?a=1&key={}"),
    ({"inject_mode": "basic_auth"}, ["-u", "me:$SVC_KEY", "/get"], "/get"),
    ({"inject_header": "X-Key", "proxy": {"inject_mode": "query_param", "query_param_name": "t"}}, ["/get?t=$SVC_KEY"], "/get")])
def test_a_token_may_stand_where_the_service_has_it(session, upstream, authority, more, ask, seen):
    run = session(with_service(upstream, authority, base="", **more))
    upstream.seen.clear()
    url = f"https://localhost:{upstream.port}"
    words = " ".join(f'"{url}{word}"' if word.startswith("/") else f'"{word}"' for word in ask)
    script = f'curl -sS -m 60 -o /dev/null -w "%{{http_code}} " {words}; SVC_KEY=wrong; curl -sS -m 60 -o /dev/null -w "%{{http_code}}" {words}'
    done = run("sh", "-c", script)
    assert done.text == "200 401", done
    (_, path, headers, _, _), = upstream.seen
    assert path == seen.format(urllib.parse.quote(SECRET, safe="+" if "bot" in seen else "")), path
    if "basic" in str(more):
        assert base64.b64decode(headers["Authorization"].split()[1]) == f"me:{SECRET}".encode()
    if "X-Key" in str(more):
        assert headers["X-Key"] == SECRET


def test_beside_its_upstream_a_host_is_what_the_list_says(session, upstream, authority):
    network = with_service(upstream, authority, base="/api", endpoint_rules=[{"method": "GET", "path": "/open/*"}])
    network["allow_domain"] = ["localhost"]
    run = session(network)
    upstream.seen.clear()
    url = f"https://localhost:{upstream.port}"
    for path, status in (("/code.git", "200"), ("/api/open/x", "401"), ("//api/open/x", "401"), ("/%61pi/open/x", "401")):
        assert run.curl("-o", os.devnull, "-w", "%{http_code}", "--path-as-is", url + path).text == status, path
    script = 'curl -sS -m 60 -o /dev/null -w "%{http_code} " -H "Authorization: Bearer $SVC_KEY" '
    done = run("sh", "-c", f"{script} {url}/api/open/x; {script} {url}/api/keys; {script} {url}/code.git")
    assert done.text == "200 403 200 ", done
    assert [(row[1], row[2].get("Authorization")) for row in upstream.seen] == [
        ("/code.git", None), ("/api/open/x", f"Bearer {SECRET}"), ("/code.git", None)]  # the token is for us alone


RAW = """
import base64, os, re, socket, ssl, sys, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
def open_proxy(): return socket.create_connection((proxy.hostname, proxy.port), 60)
def connect(target, behind=b"", token=proxy.password):
    auth = base64.b64encode(("nono:" + token).encode()).decode()
    s = open_proxy()
    s.sendall(f"CONNECT {target} HTTP/1.1\\r\\nHost: other.example\\r\\nProxy-Authorization: Basic {auth}\\r\\n\\r\\n".encode() + behind)
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        more = s.recv(1)
        if not more: return s, head
        head += more
    return s, head
def inner(target, name="localhost", protocols=("h2", "http/1.1")):
    s, head = connect(target)
    assert b" 200 " in head, head
    context = ssl.create_default_context()
    context.check_hostname = name == "localhost"
    if protocols: context.set_alpn_protocols(protocols)
    return context.wrap_socket(s, server_hostname=name)
def all_of(s):
    data = b""
    try:
        while more := s.recv(65536): data += more
    except OSError: pass
    return data
"""


def test_an_attacker_gets_nothing_past_it(session, upstream):
    run = session(limited(("GET", "/v1/ok"), ("POST", "/v1/ok")))
    upstream.seen.clear()
    done = run.python(RAW + f"""
there = "localhost:{upstream.port}"
bad = b"GET /denied HTTP/1.1\\r\\nHost: " + there.encode() + b"\\r\\n\\r\\n"
good = bad.replace(b"/denied", b"/v1/ok")
# Behind the CONNECT: bytes in clear, at once and later.
s, head = connect(there, bad); print("early", b"fine" in head + all_of(s))
s, head = connect(there); s.sendall(bad); print("clear", b"fine" in all_of(s))
# No HTTP/2, and a request behind a good one is judged like the first.
s = inner(there); print("alpn", s.selected_alpn_protocol(), s.version())
s.sendall(good + bad.replace(b"\\r\\n\\r\\n", b"\\r\\nConnection: close\\r\\n\\r\\n"))
print("pipelined", re.findall(rb"HTTP/1.1 ...", all_of(s)))
try: s = inner(there, protocols=("h2",)); print("h2", s.selected_alpn_protocol())
except ssl.SSLError as e: print("h2 refused")
# Which body is whose must be clear.
for smuggled in (b"Content-Length: 4\\r\\nTransfer-Encoding: chunked", b"Content-Length: 4\\r\\nContent-Length: 5",
                 b"Transfer-Encoding: chunked, identity", b"Content-Length: 4\\r\\n X: y", b"Transfer-Encoding : chunked",
                 b"Host: other.example"):
    s = inner(there)
    s.sendall(b"POST /v1/ok HTTP/1.1\\r\\nHost: " + there.encode() + b"\\r\\n" + smuggled + b"\\r\\n\\r\\n0\\r\\n\\r\\n" + bad)
    print(all_of(s)[:12])
# Whoever names another host in TLS or in HTTP is refused.
s = inner(there, name="box.example") if False else None
s, head = connect(there)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
s = context.wrap_socket(s, server_hostname="box.example"); s.sendall(good.replace(b"\\r\\n\\r\\n", b"\\r\\nConnection: close\\r\\n\\r\\n"))
print(all_of(s)[:12])
s = inner(there); s.sendall(b"GET /v1/ok HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n"); print(all_of(s)[:12])
s = inner(there); s.sendall(good.replace(b"GET", b"GET", 1).replace(b"Host: ", b"X-HTTP-Method-Override: DELETE\\r\\nX-Original-URL: /denied\\r\\nX-Rewrite-Url: /denied\\r\\nConnection: close\\r\\nHost: "))
print(all_of(s)[:12])
# The token counts before all else; other hosts stay closed.
for target, token in ((there, "0" * 64), (there, "")):
    print(connect(target, token=token)[1].split(b"\\r\\n")[0])
for target in ("127.0.0.1:{upstream.port}", "box.example:443", "169.254.169.254:443"):
    print(connect(target)[1].split(b"\\r\\n")[0])
""")
    lines = done.text.splitlines()
    assert done.status == 0, done
    assert lines[:3] == ["early False", "clear False", "alpn http/1.1 TLSv1.3"], done
    assert lines[3] == "pipelined [b'HTTP/1.1 200', b'HTTP/1.1 403']" and lines[4] == "h2 refused", done
    assert lines[5:11] == ["b'HTTP/1.1 400'"] * 6, done
    assert lines[11] == "b'HTTP/1.1 421'" and lines[12] in ("b'HTTP/1.1 400'", "b'HTTP/1.1 421'"), done
    assert lines[13] == "b'HTTP/1.1 200'", done
    assert [line.split()[1] for line in lines[14:]] == ["407", "407", "403", "403", "403"], done
    assert [row[:2] for row in upstream.seen] == [("GET", "/v1/ok")] * 2
    assert not any(word in name.lower() for row in upstream.seen for name in row[2] for word in ("override", "url"))


def test_large_bodies_stream_both_ways(session, upstream, tmp_path):
    run = session(limited(("*", "/v1/**")))
    url = f"https://localhost:{upstream.port}"
    upstream.seen.clear()
    done = run.python(f"""
import hashlib, urllib.error, urllib.request
sent = bytes(range(256)) * 40000
got = urllib.request.urlopen(urllib.request.Request("{url}/v1/large", sent), timeout=60).read()
print(got == sent)
try: urllib.request.urlopen(urllib.request.Request("{url}/v1/x", bytes(17 << 20)), timeout=60); print("taken")
except urllib.error.HTTPError as e: print(e.code)
except OSError as e: print("cut")
""")
    lines = done.text.splitlines()
    assert done.status == 0 and lines[0] == "True" and lines[1] in ("413", "cut"), done
    assert [len(row[3]) for row in upstream.seen] == [10240000]


def test_events_come_one_by_one(session, authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("events"))

    def serve(c):
        head, _ = head_of(c)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n")
        head_of(c)  # only when the first has come, more is asked for
        c.sendall(b"data: two\n\n")

    with serve_raw(serve, context) as server:
        run = session({**limited(("GET", "/events")), "upstream_proxy": None})
        done = run.python(RAW + f"""
s = inner("localhost:{server.getsockname()[1]}")
s.sendall(b"GET /events HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
data = b""
while b"data: one" not in data: data += s.recv(4096)
print(b"two" in data)
""")
    assert done.status == 0 and done.text == "False\n", done


def test_websockets_pass(session, authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("sockets"))

    def serve(c):
        head, rest = head_of(c)
        key = next(line.split(": ", 1)[1] for line in head.decode().split("\r\n") if line.lower().startswith("sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        c.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        while len(rest) < 11:
            rest += c.recv(4096)
        c.sendall(b"\x81\x05" + bytes(x ^ rest[2:6][i % 4] for i, x in enumerate(rest[6:11])))
        c.recv(1)

    with serve_raw(serve, context) as server:
        run = session(limited(("GET", "/talk")))
        done = run.python(RAW + f"""
def talk(path):
    s = inner("localhost:{server.getsockname()[1]}")
    s.sendall(f"GET {{path}} HTTP/1.1\\r\\nHost: localhost\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
              "Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n".encode())
    data = b""
    while b"\\r\\n\\r\\n" not in data: data += s.recv(4096)
    if b" 101 " not in data: return data[:12]
    s.sendall(bytes.fromhex("818537fa213d7f9f4d5158"))
    while b"Hello" not in data: data += s.recv(4096)
    return data[-7:]
print(talk("/talk"), talk("/other"))
""")
    assert done.status == 0 and done.text == "b'\\x81\\x05Hello' b'HTTP/1.1 403'\n", done


def test_requests_go_through_the_upstream_proxy(session, upstream):
    asked = []
    with serve_proxy(upstream.port, asked) as proxy:
        run = session({"allow_domain": ["https://box.example/v1/**"], "upstream_proxy": f"127.0.0.1:{proxy.getsockname()[1]}"})
        done = run.curl("-w", " %{http_code}", "https://box.example/v1/a", "https://box.example/b")
    assert done.status == 0 and done.text.startswith("fine 200") and done.text.endswith(" 403"), done
    assert asked == [b"CONNECT box.example:443 HTTP/1.1"]


def test_an_upstream_that_is_not_believed_gets_nothing(session, upstream, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    run = session(limited(("*", "/**")))
    run.env["SSL_CERT_FILE"] = str(Authority(other).file)
    upstream.seen.clear()
    done = run.curl("-o", os.devnull, "-w", "%{http_code}", f"https://localhost:{upstream.port}/")
    assert done.text == "502" and upstream.seen == [], done


def test_a_name_that_leads_to_this_machine_leads_nowhere(session, upstream):
    """Whatever the name's certificate, and though its requests may be made: the address is judged like a tunnel's."""
    rows = [line.split("#")[0].split() for line in pathlib.Path("/etc/hosts").read_text().splitlines()]
    names = [name for row in rows if row and row[0].startswith("127.") for name in row[1:] if "localhost" not in name]
    if not names:
        pytest.skip("no other name of this machine")
    run = session({"allow_domain": [f"https://{names[0]}/v1/"]})
    upstream.seen.clear()
    done = run.curl("-w", " %{http_code}", f"https://{names[0]}:{upstream.port}/v1/a")
    assert done.text.endswith(" 403") and "this machine" in done.text and upstream.seen == [], done


def test_other_hosts_stay_tunnels(session, upstream, authority):
    """What needs no look inside is not opened: the program sees the server's own certificate."""
    run = session({**limited(("GET", "/**")), })
    run.profile.write_text(json.dumps({"meta": {"name": "x"}, "network": {
        "allow_domain": ["127.0.0.1", {"domain": "localhost", "endpoints": [{"method": "GET", "path": "/**"}]}]}}))
    done = run.python(RAW + f"""
for host in ("127.0.0.1", "localhost"):
    s, head = connect(f"{{host}}:{upstream.port}")
    s = ssl.create_default_context().wrap_socket(s, server_hostname=host)
    print(dict(x[0] for x in s.getpeercert()["issuer"])["commonName"].split()[0])
""")
    assert done.text == "authority\nsession\n", done


# --- certificates ------------------------------------------------------------------------------


def leaf(run, port):
    """The certificate of localhost, the authority's, and all that is believed."""
    done = run.python(RAW + f"""
s = inner("localhost:{port}")
print(ssl.DER_cert_to_PEM_cert(s.getpeercert(True)))
print("=" * 8)
print(open(os.environ["SSL_CERT_FILE"]).read())
""")
    assert done.status == 0, done
    first, _, bundle = done.text.partition("=" * 8)
    return first.strip(), re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", bundle, re.S), bundle


def about(folder, pem, *words):
    file = folder / "looked-at.pem"
    file.write_text(pem)
    done = subprocess.run([OPENSSL, "x509", "-in", file, "-noout", *words], capture_output=True, check=True)
    return done.stdout.decode()


def test_certificates_are_good_for_little(session, upstream, tmp_path):
    run = session({**limited(("GET", "/**")), "tls_intercept": {"ca_validity": "90m", "leaf_validity": "2h"}})
    pem, bundle, _ = leaf(run, upstream.port)
    authority_pem = bundle[-1]
    text = about(tmp_path, authority_pem, "-text")
    assert "CA:TRUE, pathlen:0" in text and "DNS:localhost" in text and "prime256v1" in text, text
    assert re.search(r"X509v3 Name Constraints: critical\s+Permitted:\s+DNS:localhost\s+Excluded:\s+IP:0.0.0.0/0.0.0.0", text), text
    assert re.search(r"X509v3 Key Usage: critical\s+Certificate Sign\n", text), text
    text = about(tmp_path, pem, "-text")
    assert "CA:FALSE" in text and re.search(r"Subject Alternative Name:\s+DNS:localhost\n", text), text
    ends = [about(tmp_path, one, "-enddate") for one in (pem, authority_pem)]
    assert ends[0] == ends[1], ends  # the host's no longer than the authority's
    (tmp_path / "ca.pem").write_text(authority_pem)
    (tmp_path / "leaf.pem").write_text(pem)
    verify = [OPENSSL, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", tmp_path / "ca.pem"]
    assert subprocess.run([*verify, "-verify_hostname", "localhost", tmp_path / "leaf.pem"], capture_output=True).returncode == 0
    assert subprocess.run([*verify, "-verify_hostname", "other.example", tmp_path / "leaf.pem"], capture_output=True).returncode
    # Another session, another authority.
    assert leaf(run, upstream.port)[1][-1] != authority_pem


def test_the_bundle_has_the_roots_that_the_person_named(session, upstream, authority, tmp_path):
    other = tmp_path / "more"
    other.mkdir()
    more = Authority(other)
    (other / "both.pem").write_text((other / "ca.key").read_text() + more.file.read_text() + "words\n")
    run = session({**limited(("GET", "/**")), "tls_intercept": {"ca_env_vars": ["MY_CA_FILE", "HTTPS_PROXY_CA"]}})
    run.env["NODE_EXTRA_CA_CERTS"] = str(other / "both.pem")
    _, bundle, text = leaf(run, upstream.port)
    assert [pem.split() for pem in bundle[:2]] == [authority.file.read_text().split(), more.file.read_text().split()]
    assert len(bundle) == 3 and "PRIVATE" not in text and "words" not in text
    done = run("sh", "-c", 'test "$MY_CA_FILE" = "$SSL_CERT_FILE" && stat -c "%a %a" "$SSL_CERT_FILE" && test ! -w "$SSL_CERT_FILE"'
               " || echo no")
    assert done.text in ("400 400\n", "400 400\nno\n") and "no" not in done.text or os.getuid() == 0, done


def test_an_address_is_a_host_too(session, upstream):
    run = session({"allow_domain": [f"https://127.0.0.1:{upstream.port}/v1/", "https://box.example/x"]})
    done = run.python(f"""
import urllib.request
print(urllib.request.urlopen("https://127.0.0.1:{upstream.port}/v1/a", timeout=60).status)
""")
    assert done.text == "200\n", done


def test_who_does_not_believe_it_is_told_why(session, upstream):
    run = session(limited(("GET", "/**")))
    rows = run.denials("env", "-u", "CURL_CA_BUNDLE", "-u", "SSL_CERT_FILE", CURL, "-sS", f"https://localhost:{upstream.port}/")
    rows = [row for row in rows if row["layer"] == "proxy"]
    assert [(row["source"], row["target"]) for row in rows] == [("inferred", f"localhost:{upstream.port}")], rows
    assert "ca_env_vars" in rows[0]["rule"]


def test_without_openssl_it_stays_closed(session, upstream, tmp_path):
    """And so it does without a place for certificates. Then all else works."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "libssl.so.3").write_text("no library\n")
    ask = RAW + f"""
s, head = connect("localhost:{upstream.port}")
print(head.split(b"\\r\\n")[0], s.recv(4096))
s, head = connect("127.0.0.1:{upstream.port}")
print(head.split(b"\\r\\n")[0])
"""
    for change in ({"LD_LIBRARY_PATH": str(broken)}, {"TMPDIR": str(tmp_path / "nothing")}):
        run = session({**limited(("GET", "/**"))})
        run.profile.write_text(json.dumps({"meta": {"name": "x"}, "network": {
            "allow_domain": ["127.0.0.1", {"domain": "localhost", "endpoints": [{"method": "GET", "path": "/**"}]}]}}))
        done = run.python(ask, env={**run.env, **change})
        lines = done.text.splitlines()
        assert lines[0].startswith("b'HTTP/1.1 403 Forbidden'") and "TLS hides them" in lines[0], done
        assert lines[1] == "b'HTTP/1.1 200 OK'" and b"TLS of the program is not opened" in done.stderr, done


def test_without_something_to_open_nothing_is_made(cli, tmp_path, temp, authority):
    env = {**cli.env, "TMPDIR": str(temp), "SSL_CERT_FILE": str(authority.file)}
    done = cli("enforce", "run", "--allow-domain", "localhost", "--", "sh", "-c",
               f'echo "$SSL_CERT_FILE $CURL_CA_BUNDLE"; ls -A {temp} | grep -c tls; grep -c libssl /proc/$PPID/maps', env=env)
    assert done.text.splitlines()[:2] == [f"{authority.file} ", "0"], done


def test_days_of_the_authority_come_from_the_variable(session, upstream, tmp_path):
    run = session({**limited(("GET", "/**")), "tls_intercept": {"ca_validity": "1h"}})
    (tmp_path / "nono").symlink_to(run.cli.program)
    ask = lambda days: subprocess.run([tmp_path / "nono", "run", "--profile", run.profile, "--", "cat", "/dev/null"], cwd=tmp_path,
                                      env={**run.env, "NONO_PROXY_CA_VALIDITY": days}, capture_output=True, stdin=subprocess.DEVNULL)
    assert ask("400").returncode and b"NONO_PROXY_CA_VALIDITY" in ask("400").stderr and ask("1d").returncode
    done = subprocess.run([tmp_path / "nono", "run", "--profile", run.profile, "--", "sh", "-c", 'cat "$SSL_CERT_FILE"'], cwd=tmp_path,
                          env={**run.env, "NONO_PROXY_CA_VALIDITY": "30"}, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    pem = re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", done.stdout, re.S)[-1].decode()
    (tmp_path / "ca.pem").write_text(pem)
    soon, late = (subprocess.run([OPENSSL, "x509", "-in", tmp_path / "ca.pem", "-noout", "-checkend", str(days * 86400)],
                                 capture_output=True).returncode for days in (29, 31))
    assert (soon, late) == (0, 1), done


def test_names_of_variables_are_checked(cli, tmp_path):
    for name in ("LD_PRELOAD", "PATH", "NONO_PROXY_TOKEN", "A=B", "", "HTTPS_PROXY", "NODE_OPTIONS", "HOME"):
        file = tmp_path / "names.json"
        file.write_text(json.dumps({"meta": {"name": "names"}, "network": {"tls_intercept": {"ca_env_vars": [name]}}}))
        done = cli("--json", "enforce", "profile", "validate", file)
        assert not done.json["valid"] and "ca_env_vars" in done.json["errors"][0], (name, done)


@pytest.mark.parametrize("value, words", [
    ({"ca_lifecycle": "trusted"}, "macOS"), ({"ca_validity": "0h"}, "not a time"), ({"ca_validity": "9999d"}, "not a time"),
    ({"leaf_validity": 15}, "text"), ({"leaf_validity": "15 m"}, "not a time"), ({"more": 1}, "no such key"), ("session", "object")])
def test_what_cannot_be_had_is_refused(cli, tmp_path, value, words):
    file = tmp_path / "refused.json"
    file.write_text(json.dumps({"meta": {"name": "refused"}, "network": {"tls_intercept": value}}))
    done = cli("--json", "enforce", "profile", "validate", file)
    assert not done.json["valid"] and "tls_intercept" in done.json["errors"][0] and words in done.json["errors"][0], done


def test_an_authority_that_has_expired_opens_nothing(session, upstream):
    run = session({**limited(("GET", "/**")), "tls_intercept": {"ca_validity": "1s"}})
    upstream.seen.clear()
    done = run.python(RAW + f"""
import time
end = time.monotonic() + 60
while time.monotonic() < end:
    s, head = connect("localhost:{upstream.port}")
    if b" 200 " not in head: break
    s.close()
    time.sleep(0.1)
print(head.split(b"\\r\\n")[0], b"expired" in s.recv(4096))
""", timeout=120)
    assert done.text == "b'HTTP/1.1 502 Bad Gateway' True\n" and upstream.seen == [], done


@pytest.mark.skipif(IS_SANITIZED, reason="its runtime keeps copies")
def test_neither_key_nor_credential_is_readable_inside(session, upstream, authority, temp):
    """Files and processes that the program can see have no private key, and the credential in no spelling."""
    run = session(with_service(upstream, authority))
    done = run.python(f"""
import os, re, sys, urllib.request
request = urllib.request.Request("https://localhost:{upstream.port}/v1/x", None, {{"Authorization": "Bearer " + os.environ["SVC_KEY"]}})
assert urllib.request.urlopen(request, timeout=60).status == 200
real = "".join(reversed({SECRET[::-1]!r})).encode()
found, looked = [], 0
def look(where, data):
    global looked
    looked += 1
    if real in data or b"-----BEGIN " + b"PRIVATE KEY" in data or b"-----BEGIN " + b"EC PRIVATE KEY" in data: found.append(where)
for folder, _, names in os.walk(os.path.dirname(os.environ["SSL_CERT_FILE"])):
    for name in names: look(name, open(os.path.join(folder, name), "rb").read())
for pid in filter(str.isdigit, os.listdir("/proc")):
    for what in ("environ", "cmdline"):
        try: look((pid, what), open(f"/proc/{{pid}}/{{what}}", "rb").read())
        except OSError: pass
    if pid == str(os.getpid()): continue
    try:
        with open(f"/proc/{{pid}}/maps") as maps, open(f"/proc/{{pid}}/mem", "rb", 0) as mem:
            for line in maps:
                start, end = (int(x, 16) for x in line.split()[0].split("-"))
                if "r" in line.split()[1] and "[v" not in line:
                    mem.seek(start); look((pid, line), mem.read(end - start))
    except (OSError, ValueError, OverflowError): pass
print(found, looked >= 3)
""")
    assert done.status == 0 and done.text == "[] True\n", done


def test_nobody_else_dumps_it(session, upstream, authority, temp):
    """The supervisor, which has the key, is closed to other processes of the same user, and leaves no core."""
    run = session(with_service(upstream, authority))
    child = run.cli.start("enforce", "run", "--profile", run.profile, "--", "sh", "-c", "echo ready; read x", env=run.env,
                          stdin=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"ready\n"
        assert [path.name for path in temp.glob(".nono-*.tls/*")] == ["ca.pem"]
        folder = next(temp.glob(".nono-*.tls"))
        assert folder.stat().st_mode & 0o777 == 0o700
        if os.getuid():
            with pytest.raises(PermissionError):
                pathlib.Path(f"/proc/{child.pid}/mem").read_bytes()
    finally:
        child.communicate(timeout=60)
    assert child.returncode == 1 or child.returncode == 0


def test_a_killed_session_is_cleaned_up_by_the_next(session, upstream, authority, temp):
    run = session(with_service(upstream, authority))
    words = ["enforce", "run", "--profile", run.profile, "--", "sh", "-c", "echo ready; exec sleep 1000"]
    lost = run.cli.start(*words, env=run.env)
    assert lost.stdout.readline() == b"ready\n"
    kept = run.cli.start(*words, env=run.env)
    assert kept.stdout.readline() == b"ready\n"
    before = set(temp.glob(".nono-*.tls"))
    assert len(before) == 2
    lost.kill()
    lost.communicate()
    others = [temp / ".nono-0123456789abcdef.tls", temp / ".nono-x.tls"]
    for path in others:
        path.mkdir()
        (path / "ca.pem").write_text("not ours\n")
    trap = temp / ".nono-fedcba9876543210.tls"
    trap.symlink_to(others[1])
    run.cli("enforce", "run", "--", "true", env=run.env)
    assert len(set(temp.glob(".nono-*.tls")) & before) == 1 and all((path / "ca.pem").exists() for path in others)
    assert trap.is_symlink()
    kept.send_signal(signal.SIGTERM)
    kept.communicate(timeout=60)
    for path in others:
        shutil.rmtree(path)
    trap.unlink()


def test_it_is_explained(session, upstream, authority):
    run = session({**with_service(upstream, authority), "allow_domain": [f"https://box.example/v1/"]})
    ask = lambda host, port: run.cli("--json", "enforce", "why", "--profile", run.profile, "--host", host, "--port", str(port)).json
    told = ask("localhost", upstream.port)
    assert told["intercepted"] is True and "svc" in told["message"], told
    told = ask("box.example", 443)
    assert told["intercepted"] is True and told["endpoints"] == [{"method": "*", "path": "/v1/**"}], told
    report = run.cli("--json", "enforce", "run", "--profile", run.profile, "--dry-run", "--", "true", env=run.env).json
    assert sorted(report["intercepted"]) == ["box.example", "localhost"], report
    assert any(row["layer"] == "proxy" and "TLS" in row["rule"] for row in report["enforcement"]), report
    shown = run.cli("--json", "enforce", "profile", "show", run.profile).json
    assert shown["network"]["tls_intercept"] == {}, shown
