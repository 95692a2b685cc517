# SPDX-License-Identifier: Apache-2.0
"""A server that answers what a test tells it to, and remembers what it was asked."""
import contextlib
import http.server
import threading


@contextlib.contextmanager
def http_peer(answer):
    """`answer(request)` is called for each request with method, path, headers and body, and returns status, headers and
    body (bytes, or an iterable that is sent piece by piece, chunked). Gives the URL; url.requests has all of them."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def body(self):
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            whole = b""
            while size := int(self.rfile.readline(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole

        def any(self):
            request = {"method": self.command, "path": self.path, "headers": self.headers, "body": self.body()}
            url.requests.append(request)
            status, headers, body = answer(request)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if isinstance(body, bytes):
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in body:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = any

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass  # a client that leaves early is part of some tests

    class Url(str):
        requests = None

    server = Server(("127.0.0.1", 0), Handler)
    url = Url(f"http://127.0.0.1:{server.server_port}")
    url.requests = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
