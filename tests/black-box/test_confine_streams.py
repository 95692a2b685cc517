# SPDX-License-Identifier: Apache-2.0
"""Streams of a third party's plugin cross to the core and back: what it hears and what a person sees is what the same plugin
gets without confinement, whatever it does on the channel."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from conftest import BIN, Nanoterm, landlock_version, make_home, wait_until
from http_peer import http_peer

HERE = pathlib.Path(__file__).resolve().parent
TREE = pathlib.Path(BIN).resolve().parent.parent
INCLUDE = next((p for p in (HERE.parent.parent / "include", TREE / "include") if (p / "nanoterm/plugin.h").exists()), None)

pytestmark = [pytest.mark.skipif(INCLUDE is None, reason="the headers are not installed beside this program"),
              pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock")]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    out = tmp_path_factory.mktemp("streamer") / "streamer.so"
    subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", f"-I{INCLUDE}", "-Wl,--build-id=sha1", "-pthread",
                    "-o", out, HERE / "plugins/streamer.c"], check=True, timeout=120)
    return out


@pytest.fixture(scope="module")
def confined(plugin):
    """The plugin in the user's folder."""
    made = Nanoterm(make_home())
    folder = made.home / ".nanoterm/plugins"
    folder.mkdir(parents=True)
    shutil.copy(plugin, folder)
    yield made
    try:
        made.end()
    finally:
        shutil.rmtree(made.home)


@pytest.fixture(scope="module")
def trusted(plugin):
    """The same plugin in the folder of an installation, which is trusted by its place."""
    made = Nanoterm(make_home())
    copy = made.home / "installed"
    plugins = next(path for path in (TREE / "lib/nanoterm/plugins", *TREE.glob("lib/*/nanoterm/plugins")) if path.exists())
    api = next(path for path in (TREE / "libexec/nanoterm/api.so", *TREE.glob("lib*/**/api.so")) if path.exists())
    for source in (pathlib.Path(BIN).resolve(), api):
        place = copy / source.relative_to(TREE)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)
    place = copy / plugins.relative_to(TREE)
    place.mkdir(parents=True)
    shutil.copy(plugin, place)
    made.program = str(copy / pathlib.Path(BIN).resolve().relative_to(TREE))
    yield made
    try:
        made.end()
    finally:
        shutil.rmtree(made.home)


@pytest.fixture(params=["confined", "trusted"])
def streamer(request):
    """Each test of it is one of both: what they show is the same."""
    made = request.getfixturevalue(request.param)
    made.is_confined = request.param == "confined"
    return made


def test_the_two_are_what_they_are_called(confined, trusted):
    assert confined.ok("--json", "plugin", "info", "streamer").json["confined"] is True
    rows = [row for row in trusted.ok("streamer", "--help").text.splitlines() if "streamer exec" in row or "exec" in row]
    assert rows and not (trusted.home / ".nanoterm/plugins").exists()


def told(done):
    """What the plugin says of how it went."""
    return re.search(rb"order=(\w*) status=(\d+) type=(\S+) left=(\w+)", done.stderr).groups()


@pytest.mark.parametrize("words", [(), ("--begin",)])
def test_a_program_of_a_workspace_streams_through_it(streamer, remote, words):
    env, ws = remote
    env = {**streamer.env, "NANOTERM_API_URL": env["NANOTERM_API_URL"], "NANOTERM_API_KEY": env["NANOTERM_API_KEY"]}
    data = os.urandom(3 << 20)
    done = streamer("streamer", "exec", *words, ws, "--", "sh", "-c", "cat; echo heard >&2; exit 7", env=env, input=data, timeout=120)
    assert done.status == 7, done.stderr
    assert done.stdout == data and b"heard" in done.stderr
    order, _, _, left = told(done)
    assert left == b"closed" and order.endswith(b"c") and order.startswith(b"o")


def test_a_file_goes_up_and_comes_down(streamer, remote):
    env, ws = remote
    env = {**streamer.env, "NANOTERM_API_URL": env["NANOTERM_API_URL"], "NANOTERM_API_KEY": env["NANOTERM_API_KEY"]}
    data = os.urandom(5 << 20)
    path = f"/v1/sandboxes/{ws}/file?path=/workspace/{'inside' if streamer.is_confined else 'outside'}.bin"
    up = streamer("streamer", "body", "PUT", path, env=env, input=data, timeout=120)
    assert up.status == 0, up
    assert told(up)[1:] == (b"200", b"application/json", b"closed")
    down = streamer("streamer", "body", "GET", path, env=env, timeout=120)
    assert down.status == 0 and hashlib.sha256(down.stdout).digest() == hashlib.sha256(data).digest()
    assert told(down) == (b"odec", b"200", b"application/octet-stream", b"closed")


def error_of(done):
    """The line of the core, behind what the plugin has said."""
    return json.loads(done.stderr.splitlines()[-1])


def test_errors_are_those_of_the_core(streamer, remote):
    env, ws = remote
    env = {**streamer.env, "NANOTERM_API_URL": env["NANOTERM_API_URL"], "NANOTERM_API_KEY": env["NANOTERM_API_KEY"]}
    missing = streamer("--json", "streamer", "body", "GET", f"/v1/sandboxes/{ws}/file?path=/nothing/here", env=env)
    assert missing.status == 3 and error_of(missing)["status"] == 404
    assert not error_of(missing)["message"].startswith("streamer:")
    late = streamer("--json", "streamer", "body", "PUT", "/v1/sandboxes/ws_nothere0/file?path=/x", env=env, input=b"x")
    assert late.status == 3 and error_of(late)["status"] == 404, late
    assert not error_of(late)["message"].startswith("streamer:")
    stranger = streamer("--json", "streamer", "exec", "ws_nothere0", "true", env=env)
    assert stranger.status == 3 and error_of(stranger)["status"] == 404
    begun = streamer("--json", "streamer", "exec", "--begin", "ws_nothere0", "true", env=env)
    assert begun.status == 3 and error_of(begun)["status"] == 404 and not error_of(begun)["message"].startswith("streamer:")


def test_a_whole_body_goes_with_the_opening(streamer):
    with http_peer(lambda request: (200, {"Content-Type": "text/x"}, request["body"])) as url:
        env = {**streamer.env, "NANOTERM_API_URL": str(url)}
        done = streamer("streamer", "body", "POST", "/v1/up", "--body", '{"a": 1}', env=env)
        assert done.status == 0 and done.stdout == b'{"a": 1}' and told(done)[1:3] == (b"200", b"text/x")
        assert url.requests[0]["headers"]["Content-Type"] == "application/json"


def test_the_loop_has_its_own_steps(streamer):
    with http_peer(lambda request: (200, {}, b"{}")) as url:
        env = {**streamer.env, "NANOTERM_API_URL": str(url)}
        process = streamer.start("streamer", "loop", env=env)
        line = process.stderr.readline()
        assert b"ready" in line, line + process.stderr.read()
        process.send_signal(signal.SIGINT)  # which the plugin watches: it goes on
        _, err = process.communicate(timeout=60)
        assert b"ticked no-waiting-here read hangup posted worked user interrupt" in err
        assert process.returncode == 0


def endless(pieces):
    while True:
        pieces.append(len(pieces))
        yield b"x" * 65536


@pytest.mark.parametrize("how", ["interrupt", "deadline"])
def test_an_end_is_heard_by_the_plugin_and_told_by_the_core(streamer, how):
    for seconds in (1, 5, 25):  # a slow machine may need most of it until the answer begins
        words = ["--timeout", f"{seconds}s"] if how == "deadline" else []
        with http_peer(lambda request: (200, {}, endless([]))) as url:
            env = {**streamer.env, "NANOTERM_API_URL": str(url)}
            process = streamer.start("--json", *words, "streamer", "body", "GET", "/v1/down", env=env)
            is_through = process.stdout.read(1) == b"x"
            reader = threading.Thread(target=lambda: process.stdout.read())
            reader.start()
            if how == "interrupt":
                process.send_signal(signal.SIGINT)
            err = process.stderr.read()
            reader.join()
            assert process.wait(60) == (130 if how == "interrupt" else 8), err
        assert f'"{"cancelled" if how == "interrupt" else "timeout"}"'.encode() in err, err
        if how == "interrupt" or is_through:
            break
    assert is_through
    assert b"left=closed" in err and re.search(rb"order=od+c ", err)  # it was told, and has cleaned up


def test_what_is_not_taken_is_not_sent(streamer):
    """Nobody reads standard output, so that the plugin grants nothing more; the server has to wait."""
    pieces = []
    with http_peer(lambda request: (200, {}, endless(pieces))) as url:
        env = {**streamer.env, "NANOTERM_API_URL": str(url)}
        process = streamer.start("streamer", "body", "GET", "/v1/down", env=env)
        try:
            wait_until(lambda: len(pieces) > 2, 30, "the answer to begin")

            def is_standing():
                before = len(pieces)
                time.sleep(0.3)
                return len(pieces) == before

            wait_until(is_standing, 30, "the server to wait")
            assert len(pieces) * 65536 < 32 << 20  # what sockets hold, and the windows
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("what, status, code, text", [
    ("route", 5, "plugin_undeclared", "GET /v1/secret"), ("socket", 5, "plugin_undeclared", "UPGRADE /v1/down"),
    ("header", 5, "plugin_undeclared", "Authorization"), ("early", 1, "plugin_failed", "no frame"),
    ("beyond", 1, "plugin_failed", "no frame"), ("stranger", 1, "plugin_failed", "no frame"),
    ("cut", 1, "plugin_failed", "no frame"), ("signal", 1, "plugin_failed", "no frame"), ("many", 2, "limit", "at most 32 streams"),
    ("credit", 2, "limit", "more was written")])
def test_whoever_lies_on_the_channel_harms_itself_alone(confined, what, status, code, text):

    def answer(request):
        return 200, {}, iter([b"x"] if request["method"] == "PUT" else [b"x", b"y"])

    with http_peer(answer) as url:
        env = {**confined.env, "NANOTERM_API_URL": str(url)}
        done = confined("--json", "streamer", "attack", what, env=env)
        assert done.status == status and done.error["code"] == code and text in done.error["message"], done
        assert done.stdout == b""
        assert all("of-others" not in str(request["headers"]) for request in url.requests)


def test_a_plugin_that_grants_all_and_reads_nothing_is_bounded(confined):
    """What it lets lie is kept for it, up to a bound; the server waits."""
    pieces = []
    with http_peer(lambda request: (200, {}, endless(pieces))) as url:
        env = {**confined.env, "NANOTERM_API_URL": str(url)}
        process = confined.start("--json", "streamer", "attack", "glut", env=env)

        def is_standing():
            before = len(pieces)
            time.sleep(0.3)
            return len(pieces) > 2 and len(pieces) == before

        try:
            wait_until(is_standing, 60, "the server to wait")
            assert len(pieces) * 65536 < 32 << 20
            with open(f"/proc/{process.pid}/status") as of_core:
                peak = int(re.search(r"VmHWM:\s+(\d+) kB", of_core.read()).group(1))
            assert peak < 200 << 10
            process.send_signal(signal.SIGINT)  # ends it, although it does not hear
            _, err = process.communicate(timeout=30)
            assert process.returncode == 130 and b'"cancelled"' in err
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
