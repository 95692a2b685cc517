# SPDX-License-Identifier: Apache-2.0
"""`serve` beyond a Unix socket: TLS, and the rules about Host and Origin, each attacked."""
import base64
import os
import select
import signal
import ssl
import subprocess
import time

import pytest

from conftest import wait_until
from tcp_server import OPENSSL, Authority, Server

pytestmark = pytest.mark.skipif(not OPENSSL, reason="openssl is not installed: no certificates")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(cli, authority):
    certificate, key = authority.sign("server")
    with Server(cli, "--tls-cert", certificate, "--tls-key", key, "--host-name", "box.example") as server:
        yield server


def client_env(cli, server, authority=None):
    env = {**cli.env, "NANOTERM_API_URL": server.url, "NANOTERM_API_KEY": server.key}
    if authority:
        env["SSL_CERT_FILE"] = str(authority.file)
    return env


def test_a_workspace_over_tls(cli, secure, authority):
    env = client_env(cli, secure, authority)
    ws = cli.ok("--json", "ws", "create", env=env, timeout=120).json["id"]
    try:
        assert cli.ok("exec", ws, "--", "sh", "-c", "cat; echo out", env=env, input=b"in\n").stdout == b"in\nout\n"
        large = os.urandom(3 << 20)  # more than any buffer on the way
        cli.ok("files", "write", ws, "/workspace/large", env=env, input=large)
        assert cli.ok("exec", ws, "--", "cat", "/workspace/large", env=env).stdout == large
        assert cli("exec", ws, "--", "sh", "-c", "exit 7", env=env).status == 7
    finally:
        cli.ok("ws", "rm", ws, env=env)


def test_the_authority_is_a_setting(fresh, secure, authority):
    nanoterm = fresh()
    env = client_env(nanoterm, secure)
    assert nanoterm("config", "set", "tls.ca_file", "ca.pem").status == 2
    nanoterm.ok("config", "set", "tls.ca_file", authority.file)
    assert nanoterm.ok("--json", "ws", "list", env=env).json == []


def test_an_unknown_authority_is_refused(cli, secure):
    done = cli("--json", "ws", "list", env=client_env(cli, secure))
    assert done.status == 1 and done.error["kind"] == "network" and done.error["request_sent"] is False
    assert "certificate" in done.error["message"]


def test_an_expired_certificate_is_refused(cli, authority):
    certificate, key = authority.sign("old", days=-1)
    with Server(cli, "--tls-cert", certificate, "--tls-key", key) as server:
        done = cli("--json", "ws", "list", env=client_env(cli, server, authority))
        assert done.status == 1 and "expired" in done.error["message"] and done.error["request_sent"] is False


def test_another_name_is_refused(cli, secure, authority):
    env = {**client_env(cli, secure, authority), "NANOTERM_API_URL": f"https://127.0.0.2:{secure.port}"}
    done = cli("--json", "ws", "list", env=env)
    assert done.status == 1 and done.error["request_sent"] is False


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_http_1_1_by_alpn_and_nothing_before_tls_1_2(secure, authority):
    context = ssl.create_default_context(cafile=authority.file)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(secure.raw(), server_hostname="127.0.0.1") as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError), context.wrap_socket(secure.raw(), server_hostname="127.0.0.1"):
        pass
    for version, fine in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
        context = ssl.create_default_context(cafile=authority.file)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.maximum_version = version
        try:
            with context.wrap_socket(secure.raw(), server_hostname="127.0.0.1"):
                assert fine, version
        except ssl.SSLError:
            assert not fine, version


def test_plain_http_gets_nothing(secure):
    with secure.raw() as connection:
        connection.sendall(f"GET /v1/sandboxes HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secure.key}\r\n\r\n".encode())
        try:
            answer = connection.recv(65536)
        except ConnectionResetError:
            answer = b""
        assert b"HTTP" not in answer


def test_a_handshake_that_never_ends_is_ended(secure, authority):
    """Drips do not buy time, and others are served meanwhile."""
    begun = time.monotonic()
    with secure.raw() as slow:
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        sent = 0
        while True:
            readable, _, _ = select.select([slow], [], [], 0.5)
            if readable:
                break
            assert time.monotonic() - begun < 60
            try:
                slow.send(hello[sent:sent + 1] if sent < len(hello) else b"\0")
            except OSError:
                break
            sent += 1
        assert time.monotonic() - begun > 5
    assert secure.ask(headers=["Host: localhost:%d" % secure.port], connection=secure.tls(authority))[0] == 200


def test_renegotiation_is_refused(secure, authority):
    """A peer that asks again and again for another handshake gets none, and costs nobody else anything."""
    peer = subprocess.Popen([OPENSSL, "s_client", "-connect", f"127.0.0.1:{secure.port}", "-tls1_2", "-CAfile", authority.file],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out = b""
    while b"---\n" not in out or b"Verify return code: 0" not in out:
        piece = os.read(peer.stdout.fileno(), 65536)
        assert piece, out
        out += piece
    peer.stdin.write(b"R\n")
    peer.stdin.flush()
    while True:
        piece = os.read(peer.stdout.fileno(), 65536)
        if not piece:
            break
        out += piece
        if b"no renegotiation" in out or b"errno" in out:
            break
    peer.kill()
    peer.communicate()
    assert b"no renegotiation" in out, out[-2000:]
    assert secure.ask(headers=["Host: localhost:%d" % secure.port], connection=secure.tls(authority))[0] == 200


def test_the_key_is_nobody_elses(cli, authority):
    certificate, key = authority.sign("shown")
    os.chmod(key, 0o644)
    done = cli("--json", "serve", "--listen", "127.0.0.1:0", "--data", cli.home / "unused", "--tls-cert", certificate,
               "--tls-key", key)
    assert done.status != 0 and "others" in done.error["message"] and "chmod 600" in done.error["hint"], done
    os.chmod(key, 0o600)
    other, _ = authority.sign("other")
    for words, said in (((other, key), "does not belong"), ((key, key), "certificate"), ((certificate, certificate), "others"),
                        ((cli.home / "missing", key), "missing"), (("/dev/zero", key), "PEM")):
        done = cli("--json", "serve", "--listen", "127.0.0.1:0", "--data", cli.home / "unused", "--tls-cert", words[0],
                   "--tls-key", words[1])
        assert done.status != 0 and said in done.error["message"], (words, done)
    assert cli("serve", "--listen", "127.0.0.1:0", "--tls-cert", certificate).status == 2


def test_a_listener_beyond_this_machine_needs_tls(cli, authority):
    done = cli("--json", "serve", "--listen", "0.0.0.0:0", "--data", cli.home / "unused")
    assert done.status == 5 and "--tls-cert" in done.error["hint"]
    certificate, key = authority.sign("wide")
    with Server(cli, "--tls-cert", certificate, "--tls-key", key, listen="0.0.0.0:0") as server:
        assert server.url.startswith("https://0.0.0.0:")
        assert server.ask(headers=[f"Host: 127.0.0.1:{server.port}"], connection=server.tls(authority))[0] == 200
        status, body = server.ask(headers=[f"Host: evil.example:{server.port}"], connection=server.tls(authority))
        assert status == 403 and body["code"] == "forbidden"


def serial_of(server, authority):
    with server.tls(authority) as connection:
        return connection.getpeercert()["serialNumber"]


def test_a_new_certificate_is_read_at_sighup(cli, authority):
    certificate, key = authority.sign("renewed")
    with Server(cli, "--tls-cert", certificate, "--tls-key", key) as server:
        before = serial_of(server, authority)
        with server.tls(authority) as kept:
            authority.sign("renewed")
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: serial_of(server, authority) != before, 60, "the new certificate")
            now = serial_of(server, authority)
            # A connection that is there goes on with the old one.
            assert server.ask(headers=[f"Host: localhost:{server.port}"], connection=kept)[0] == 200
        key.write_text("no key")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: any("stays as it was" in line for line in server.lines), 60, "the refusal")
        assert serial_of(server, authority) == now


def test_a_cut_connection_is_not_an_end(secure, authority):
    """Half a body, and the connection is cut without TLS's own end: nothing is made of it."""
    def there():
        return secure.ask(headers=["Host: localhost:%d" % secure.port], connection=secure.tls(authority))

    before = there()
    assert before[0] == 200
    connection = secure.tls(authority)
    connection.sendall((f"POST /v1/sandboxes HTTP/1.1\r\nHost: localhost:{secure.port}\r\nAuthorization: Bearer {secure.key}\r\n"
                        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"name\":").encode())
    os.close(connection.detach())
    assert there() == before


# --- Host and Origin -------------------------------------------------------------------------------------------------------

UPGRADE = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Key: " + base64.b64encode(b"0123456789abcdef").decode()]


@pytest.fixture(scope="module")
def plain(cli):
    with Server(cli, "--host-name", "box.example") as server:
        yield server


@pytest.mark.parametrize("path,more", [("/v1/sandboxes", []), ("/healthz", []), ("/v1/sandboxes/ws_x/ws?channel=exec", UPGRADE)])
@pytest.mark.parametrize("tls", [False, True])
def test_web_pages_are_kept_out(plain, secure, authority, path, more, tls):
    server = secure if tls else plain

    def ask(*headers):
        return server.ask(path=path, headers=[*headers, *more], connection=server.tls(authority) if tls else None)

    port = server.port
    ours = f"localhost:{port}"
    # DNS rebinding: the page's own name leads here.
    for host in (f"evil.example:{port}", "evil.example", f"localhost.evil.example:{port}", f"127.0.0.1.nip.example:{port}",
                 "localhost:1", f"2130706433:{port}", f"192.0.2.1:{port}", f"box.example.evil.example:{port}"):
        status, body = ask(f"Host: {host}")
        assert status == 403 and body["code"] == "forbidden" and "answers to" in body["error"], host
    # A page of another origin sends requests here.
    for origin in ("http://evil.example", "null", f"https://evil.example:{port}", "http://localhost:1", f"http://127.0.0.1:{port}",
                   f"file://localhost:{port}", "chrome-extension://abcdefgh"):
        status, body = ask(f"Host: {ours}", f"Origin: {origin}")
        assert status == 403 and body["code"] == "forbidden" and "origin" in body["error"], origin
    for host in (ours, f"127.0.0.1:{port}", f"[::1]:{port}", f"box.example:{port}", "box.example"):
        assert ask(f"Host: {host}")[0] != 403, host
    scheme = "https" if tls else "http"
    assert ask(f"Host: {ours}", f"Origin: {scheme}://{ours}")[0] != 403
    assert ask("Host: box.example", "Origin: https://box.example")[0] != 403


@pytest.mark.parametrize("name", ["", "a b", "box.example:80", "http://box.example", "[::1]", "x" * 254])
def test_a_host_name_is_a_name(cli, name):
    assert cli("serve", "--listen", "127.0.0.1:0", "--data", cli.home / "unused", "--host-name", name).status == 2
