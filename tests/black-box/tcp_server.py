# SPDX-License-Identifier: Apache-2.0
"""A `serve --listen` of a test's own, and an authority that signs certificates for it."""
import http.client
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

OPENSSL = shutil.which("openssl")


class Authority:
    """An authority in a folder, and what it signs."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "ca.pem"
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                 "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:box.example")

    def run(self, *words):
        done = subprocess.run([OPENSSL, *words], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True)
        assert done.returncode == 0, done

    def sign(self, name, days=2):
        self.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key",
                 "-out", f"{name}.csr", "-subj", f"/CN={name}")
        self.run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile",
                 "names", "-out", f"{name}.pem", "-days", str(days))
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


class Server:
    """A `serve --listen` of its own."""

    def __init__(self, nanoterm, *options, listen="127.0.0.1:0"):
        self.data = nanoterm.home / f"data-{time.monotonic_ns()}"
        self.process = nanoterm.start("serve", "--listen", listen, "--data", self.data, *options)
        self.lines = []
        self.url = None
        for line in self.process.stderr:
            self.lines.append(line.decode())
            match = re.search(r"Listening on (https?://(.*):(\d+))", line.decode())
            if match:
                self.url, self.port = match.group(1), int(match.group(3))
                break
        assert self.url, self.lines
        self.reader = threading.Thread(target=lambda: self.lines.extend(line.decode() for line in self.process.stderr), daemon=True)
        self.reader.start()
        self.sign_in_file = next((path for path in (self.data / "store/sign-in", self.data / "sign-in") if path.exists()), None)
        self.key = (self.data / "owner.key").read_text().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
        self.reader.join(10)
        self.process.stderr.close()

    def raw(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def tls(self, authority, **how):
        context = ssl.create_default_context(cafile=authority.file)
        for name, value in how.items():
            setattr(context, name, value)
        return context.wrap_socket(self.raw(), server_hostname="127.0.0.1")

    def ask(self, method="GET", path="/v1/sandboxes", headers=(), connection=None):
        """Status and JSON of one request; the headers are exactly those."""
        connection = connection or self.raw()
        with connection:
            lines = [f"{method} {path} HTTP/1.1", f"Authorization: Bearer {self.key}", *headers, "Connection: close", "", ""]
            connection.sendall("\r\n".join(lines).encode())
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            body = answer.read()
            return answer.status, json.loads(body) if body.startswith((b"{", b"[")) else None
