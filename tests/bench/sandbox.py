# SPDX-License-Identifier: Apache-2.0
"""The rows of `enforce`: a program that does nothing, in the sandboxes there are; and the memory that stays beside it."""
import os
import pathlib
import shutil
import subprocess


def works(words, env):
    """Whether a peer runs `true` here."""
    try:
        return subprocess.run(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def peers_of(env):
    """Those that are installed: name -> words before the program; and the names of those that are not."""
    words = {
        "bwrap --unshare-all": ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"],
        "landlock-restrict": ["landlock-restrict", "-ro", "/", "--"],
        "firejail": ["firejail", "--quiet", "--noprofile"],
        "srt": ["srt"],
        "codex": ["codex", "sandbox", "linux"],
        "nono": ["nono", "run", "-s", "--allow-cwd", "--"],
    }
    found, missing = {}, []
    for name, line in words.items():
        path = shutil.which(line[0])
        # Our own program under that name is no peer.
        ours = path and name == "nono" and b"nanoterm" in subprocess.run([path, "--version"], capture_output=True).stdout
        if path and not ours and works([path, *line[1:], shutil.which("true")], env):
            found[name] = [path, *line[1:]]
        else:
            missing.append(name)
    return found, missing


def rows(table, tool, env, run, folder, runs):
    """Times; the names of the peers that are not there."""
    found, missing = peers_of(env)
    shared = ["-s", "--allow-cwd", "--workdir", str(folder)]
    true = shutil.which("true")

    def row(what, words, names, target):
        peers = {name: [*found[name], true] for name in names if name in found}
        table.row(what, run, [tool, "enforce", *words, "--", true], {**peers, "the program alone": [true]}, runs,
                  target=target)

    row("enforce wrap: files", ["wrap", *shared], ["landlock-restrict"], "below landlock-restrict")
    others = ["bwrap --unshare-all", "firejail", "srt", "codex", "nono"]
    row("enforce run: files", ["run", *shared, "--no-audit"], others, "under 1.3× of bwrap")
    row("enforce run: no network", ["run", *shared, "--no-audit", "--block-net"], others[:1], "under 1.3× of bwrap")
    row("enforce run: a filtered network", ["run", *shared, "--no-audit", "--allow-domain", "a.example"], others[:1],
        "under 1.6× of bwrap")
    return missing


def tree_of(pid):
    """A process and all below it."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree_of(int(child))
    return found


def memory_of(pid):
    """KiB of proportional memory of a process tree, without the program itself: its last process."""
    total = 0
    for each in tree_of(pid)[:-1]:
        rollup = pathlib.Path(f"/proc/{each}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def memory(tool, env, folder):
    """Prints what stays beside a program that waits for its input."""
    for what, flags in (("files", []), ("no network", ["--block-net"]), ("a filtered network", ["--allow-domain", "a.example"])):
        words = [tool, "enforce", "run", "-s", "--allow-cwd", "--workdir", str(folder), *flags, "--", "sh", "-c",
                 "echo ready; read a"]
        process = subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if process.stdout.readline() != b"ready\n":
            raise SystemExit(f"{words} did not start")
        print(f"memory beside a program, {what}: {memory_of(process.pid) / 1024:.2f} MiB (to reach: below 4)")
        process.communicate(b"\n")
