# SPDX-License-Identifier: Apache-2.0
"""Settings and credentials: where they come from, where they go, and what a hostile .env gets: nothing."""
import http.server
import json
import os
import stat
import threading

import pytest


class Recorder(http.server.BaseHTTPRequestHandler):
    """An API that writes down what it is asked."""

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        body = b"[]"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.seen = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_key_is_kept_for_its_api_alone(fresh, api):
    nanoterm = fresh()
    assert nanoterm("--api", api.url, "auth", "status").status == 4
    nanoterm.ok("--api", api.url, "auth", "set-key", "nt_a1b2c3d4e5f6g7h8")
    config = nanoterm.home / ".nanoterm/config.json"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    status = nanoterm.ok("--api", api.url, "auth", "status")
    assert "nt_a1b2c3d4" in status.text and "nt_a1b2c3d4e5f6g7h8" not in status.text
    nanoterm.ok("--api", api.url, "ws", "list")
    assert api.seen[-1][1]["Authorization"] == "Bearer nt_a1b2c3d4e5f6g7h8"
    other = nanoterm("--json", "--api", api.url.replace("127.0.0.1", "localhost"), "ws", "list")
    assert len(api.seen) == 1 or "Authorization" not in api.seen[-1][1], other
    nanoterm.ok("--api", api.url, "auth", "logout")
    assert "nt_a1b2c3d4" not in config.read_text()


def test_the_embedded_server_needs_no_login(fresh):
    assert "local" in fresh().ok("auth", "status").text


def test_a_hostile_env_file_gets_nothing(fresh, api, tmp_path):
    nanoterm = fresh()
    (tmp_path / ".env").write_text(f"NANOTERM_API_URL={api.url}\nNANOTERM_API_KEY=nt_attacker\nPATH=/evil\n"
                                   "NANOTERM_PLUGIN_PATH=/evil\nLD_PRELOAD=/evil.so\n")
    done = nanoterm("--json", "ws", "list", cwd=tmp_path)
    assert done.status == 5 and done.error["code"] == "untrusted_api" and "auth trust" in done.error["hint"]
    assert api.seen == []
    key = {**nanoterm.env, "NANOTERM_API_KEY": "nt_mine"}
    assert nanoterm("ws", "list", cwd=tmp_path, env=key).status == 5 and api.seen == []
    nanoterm.ok("auth", "trust", api.url)
    nanoterm.ok("ws", "list", cwd=tmp_path)
    assert len(api.seen) == 1


def test_an_env_file_of_others_is_not_read(fresh, api, tmp_path):
    nanoterm = fresh()
    env = tmp_path / ".env"
    env.write_text(f"NANOTERM_API_URL={api.url}\n")
    env.chmod(0o666)
    nanoterm("ws", "list", cwd=tmp_path)
    env.unlink()
    os.mkfifo(env)
    nanoterm("auth", "status", cwd=tmp_path, timeout=20)
    env.unlink()
    (tmp_path / "real").write_text(f"NANOTERM_API_URL={api.url}\n")
    env.symlink_to("real")
    nanoterm("ws", "list", cwd=tmp_path)
    assert api.seen == []


def test_origin_of_each_setting(fresh, api):
    nanoterm = fresh()
    rows = json.loads(nanoterm.ok("--json", "config", "list", env={**nanoterm.env, "NANOTERM_API_URL": api.url}).stdout)
    by_key = {row["key"]: row for row in rows}
    assert by_key["api_url"]["value"] == api.url and "NANOTERM_API_URL" in by_key["api_url"]["origin"]


def test_a_broken_config_names_its_line(fresh):
    nanoterm = fresh()
    (nanoterm.home / ".nanoterm").mkdir(mode=0o700)
    (nanoterm.home / ".nanoterm/config.json").write_text('{\n "api_url": "x",\n oops }')
    done = nanoterm("--json", "ws", "list")
    assert done.status != 0 and done.error["code"] == "config_invalid" and "3" in done.error["message"]
    assert nanoterm("--version").status == 0
    (nanoterm.home / ".nanoterm/config.json").unlink()
