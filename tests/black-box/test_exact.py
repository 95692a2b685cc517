# SPDX-License-Identifier: Apache-2.0
"""exec is exact: output of sizes around every power of two, each status, arguments of any bytes, input and output of 100 MiB,
on the local fast path and through a server on TCP.

NANOTERM_EXACT_RUNS=N makes the whole of it: every size to 128 MiB, and N runs of everything mixed (tests/stress/run)."""
import hashlib
import os
import random
import signal
import subprocess
import threading

import pytest

from conftest import BIN

RUNS = int(os.environ.get("NANOTERM_EXACT_RUNS", "0"))
LARGEST = 128 * 1024 * 1024
STATUSES = [0, 1, 2, 125, 126, 127, 137, 255]
SIGNALS = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM,
           signal.SIGPIPE, signal.SIGUSR1, signal.SIGRTMAX]
WORDS = [b"", b" ", b"a b", b"'", b'"', b"''", b'\\"', b"\\", b"\n", b"a\nb\n", b"\t", b"*", b"$HOME", b"$(id)", b"`id`", b"-x", b"--",
         b"--json", b"#", b";", b"&&", b"\x01", b"\x1b[31m", b"\x7f", "ü€😀".encode(), b"\xff", b"\xc3", b"a\x80\xfeb", b"\xed\xa0\x80",
         bytes(range(1, 256)), b"x" * 100_000]


def around(power):
    return sorted({max(1, (1 << power) + d) for d in (-1, 0, 1)})


SIZES = [size for power in range(28) for size in around(power) if size <= LARGEST + 1]
QUICK = [size for size in SIZES if size <= 4 * 1024 * 1024 + 1] + [LARGEST + 1]


@pytest.fixture(scope="module")
def noise():
    """Bytes that differ from place to place: one that is lost, doubled or moved shows."""
    return random.Random(20261121).randbytes(LARGEST + 1)


@pytest.fixture(scope="module")
def filled(cli, noise):
    """Makes sure that a workspace has the noise, and says where."""
    there = set()

    def fill(run):
        if run.ws not in there:
            done = run("sh", "-c", "cat > /workspace/noise && sha256sum < /workspace/noise", input=noise, timeout=300)
            assert done.stdout.split()[0].decode() == hashlib.sha256(noise).hexdigest(), done.stderr
            there.add(run.ws)
        return "/workspace/noise"

    return fill


def check_output(run, path, noise, size, status=0):
    """Both streams at once, the second shorter, and the status."""
    small = size // 3
    done = run("sh", "-c", f'head -c {small} {path} >&2; head -c {size} {path}; exit {status}', timeout=300)
    assert done.status == status, (size, done.status, done.stderr[-300:] if not small else "")
    assert len(done.stdout) == size and done.stdout == noise[:size], (size, len(done.stdout))
    assert len(done.stderr) == small and done.stderr == noise[:small], (small, len(done.stderr))


@pytest.mark.parametrize("sizes", [SIZES] if RUNS else [QUICK], ids=["sizes"])
def test_output_around_every_power_of_two(run, filled, noise, sizes):
    path = filled(run)
    for size in sizes:
        check_output(run, path, noise, size)


def test_output_without_a_byte_and_of_one_stream(run):
    for script, out, err in (("exit 0", b"", b""), ("printf a", b"a", b""), ("printf b >&2", b"", b"b")):
        done = run("sh", "-c", script)
        assert (done.status, done.stdout, done.stderr) == (0, out, err)


@pytest.mark.parametrize("status", STATUSES)
def test_statuses_come_with_their_output(run, status):
    done = run("sh", "-c", f"echo out; echo err >&2; exit {status}")
    assert (done.status, done.stdout, done.stderr) == (status, b"out\n", b"err\n")


def test_death_by_a_signal_keeps_the_output_before_it(run):
    for number in SIGNALS:
        done = run("sh", "-c", f"ulimit -c 0; echo before; kill -{int(number)} $$")
        assert (done.status, done.stdout) == (128 + number, b"before\n"), number


def check_words(run, words):
    done = run(b"sh", b"-c", b'for word; do printf "%s\\0" "$word"; done', b"sh", *words)
    assert done.status == 0, done
    assert done.stdout == b"".join(word + b"\0" for word in words)


def test_arguments_of_any_bytes(run):
    check_words(run, WORDS)
    check_words(run, [word for word in WORDS if word.isascii()])
    for word in WORDS:
        check_words(run, [word])


@pytest.mark.parametrize("mib", [100])
def test_random_bytes_through_and_back(run, mib):
    data = os.urandom(mib * 1024 * 1024)
    done = run("cat", input=data, timeout=300)
    assert done.status == 0 and len(done.stdout) == len(data)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_input_in_pieces_of_odd_sizes(run):
    data = random.Random(7).randbytes(300_001)
    process = subprocess.Popen([BIN, "exec", run.ws, "--", "cat"], env=run.env, cwd=run.env["HOME"], bufsize=0,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def feed():
        at = 0
        for size in [1, 2, 3, 4095, 4096, 4097, 65535, 65536, 65537, len(data)]:
            for piece in [data[at:at + size]]:
                while piece:
                    piece = piece[process.stdin.write(piece):]
            at += size
        process.stdin.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    got = process.stdout.read()
    feeder.join(120)
    assert process.wait(60) == 0 and got == data, process.stderr.read()
    process.stdout.close()
    process.stderr.close()


@pytest.mark.skipif(not RUNS, reason="a stress run: tests/stress/run")
def test_many_runs_of_everything(run, filled, noise):
    path, choose = filled(run), random.Random(RUNS)
    for turn in range(RUNS):
        kind = choose.randrange(4)
        if kind == 0:
            power = choose.randrange(28 if turn % 50 == 0 else 21)
            check_output(run, path, noise, choose.choice(around(power)), choose.choice(STATUSES))
        elif kind == 1:
            check_words(run, [choose.randbytes(choose.randrange(1, 2000)).replace(b"\0", b"\1")
                              for _ in range(choose.randrange(1, 20))])
        elif kind == 2:
            size = choose.choice(around(choose.randrange(23)))
            done = run("cat", input=noise[:size])
            assert done.status == 0 and done.stdout == noise[:size], (turn, size)
        else:
            number = choose.choice(SIGNALS)
            done = run("sh", "-c", f"ulimit -c 0; head -c {turn} {path}; kill -{int(number)} $$")
            assert (done.status, done.stdout) == (128 + number, noise[:turn]), turn
