# SPDX-License-Identifier: Apache-2.0
"""crowd.py - what many at once cost, and what those cost that do nothing: rows of `run`."""
import json
import os
import pathlib
import subprocess
import time

MANY = 20
IDLE = 100
IDLE_S = 10


def at_once(words, env, count=MANY):
    """Milliseconds until the last of them has ended; what each wrote. Started with vfork: the bench itself takes little."""
    files = [os.memfd_create("out") for _ in range(count)]
    null = os.open("/dev/null", os.O_RDWR)
    actions = [[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, file, 1)] for file in files]
    start = time.perf_counter()
    pids = [os.posix_spawn(words[0], words, env, file_actions=action) for action in actions]
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    took = (time.perf_counter() - start) * 1000
    texts = [os.pread(file, 65536, 0) for file in files]
    for file in [*files, null]:
        os.close(file)
    if any(statuses):
        raise SystemExit(f"{words}: not all of {count} ended well")
    return took, texts


def started(words, env, remove):
    took, texts = at_once(words, env)
    names = [json.loads(text)["id"] if text.startswith(b"{") else text.decode().strip() for text in texts]
    at_last = [subprocess.Popen([*remove, name], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for name in names]
    for process in at_last:
        process.wait()
    return took


def rows(table, nanoterm, ws, runner, name, run_words, runs):
    env, tool = nanoterm.env, os.environ["NANOTERM_BIN"]
    peers = {"podman exec": [*runner, "exec", name, "true"]} if runner else {}
    table.row(f"{MANY} execs at once", lambda words: at_once(words, env)[0], [tool, "exec", ws, "--", "true"], peers,
              max(3, runs // 3), target="under 60 ms")
    create = [tool, "--json", "--fields", "id", "ws", "create", "--no-internet"]
    remove = lambda words: [tool, "ws", "rm"] if words[0] == tool else [*runner, "rm", "-f", "-t", "0"]
    peers = {"podman run -d": run_words} if runner else {}
    table.row(f"{MANY} starts at once", lambda words: started(words, env, remove(words)), create, peers,
              max(3, runs // 3), target="under 200 ms")


# --- files ---------------------------------------------------------------------------------------


def copy_rows(table, nanoterm, ws, temp, size, runs):
    """One file into a workspace and out of it; both sides end with fsync."""
    env, tool = nanoterm.env, os.environ["NANOTERM_BIN"]
    source, target = temp / "large", temp / "copy"
    with open(source, "wb") as file:
        piece = os.urandom(1 << 20)
        for _ in range(size >> 20):
            file.write(piece)

    def copied(words):
        start = time.perf_counter()
        subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return size / 1e6 / (time.perf_counter() - start)

    plain = ["sh", "-c", f"cp {source} {target} && sync {target}"]
    inside = f"{ws}:/workspace/large"
    for way, words in (("in", [source, inside]), ("out", [inside, target])):
        table.row(f"files cp of {size / 2**30:g} GiB, {way}", copied, [tool, "files", "cp", *map(str, words)],
                  {"cp and sync": plain}, max(3, runs // 5), unit="MB/s", target="half of cp")
    source.unlink()
    target.unlink()
    nanoterm.ok("exec", ws, "--", "rm", "/workspace/large")


# --- those that do nothing -----------------------------------------------------------------------


def of(pid):
    """(resident bytes, shared in equal parts; ticks of the processor; times that it has slept and woken up)."""
    folder = pathlib.Path("/proc") / str(pid)
    rollup = dict(line.split(":") for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    stat = (folder / "stat").read_text().rsplit(")", 1)[1].split()
    return (int(rollup["Pss"].split()[0]) * 1024, int(rollup["Rss"].split()[0]) * 1024, int(stat[11]) + int(stat[12]),
            int(status["voluntary_ctxt_switches"]))


def guests(ids):
    """What runs for these workspaces outside of them: their first process, which has the id in its command line, and what
    a launcher may have left behind."""
    found, wanted = [], {name.encode() for name in ids}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted & set(words):
            found.append(int(name))
    return found


def idle(nanoterm, count=IDLE):
    """What `count` workspaces take that do nothing: of every process that is there because of them, the server left out."""
    ids = [nanoterm.create("--no-internet") for _ in range(count)]
    pids = guests(ids)
    server = nanoterm.server_pid()
    time.sleep(1)  # what their start left to be done
    first = {pid: of(pid) for pid in [*pids, server]}
    time.sleep(IDLE_S)
    last = {pid: of(pid) for pid in [*pids, server]}
    pss = sum(last[pid][0] for pid in pids) / count
    rss = sum(last[pid][1] for pid in pids) / count
    ticks = sum(last[pid][2] - first[pid][2] for pid in pids)
    woken = sum(last[pid][3] - first[pid][3] for pid in pids)
    print(f"\n{count} idle workspaces, {len(pids)} processes: {pss / 1e6:.2f} MB each as Pss, {rss / 1e6:.2f} MB as Rss "
          f"(to reach: under 3 MB); in {IDLE_S} s {ticks} ticks of the processor and {woken} wake-ups of all together; "
          f"the server: {last[server][0] / 1e6:.1f} MB, {last[server][2] - first[server][2]} ticks, "
          f"{last[server][3] - first[server][3]} wake-ups\n")
    for name in ids:
        nanoterm.ok("ws", "rm", name)
