# SPDX-License-Identifier: Apache-2.0
"""The rows of `enforce`: a program that does nothing, in the sandboxes there are; what stays in memory beside a program
that waits; and jobs with many files, as a ratio to the same without a sandbox."""
import os
import pathlib
import shutil
import subprocess
import tarfile
import time

FILES = 5_000
FOUND = 20_000
SOURCES = 20
PEERS = {  # the words before the program
    "landlock-restrict": ["landlock-restrict", "-ro", "/", "-rwfiles", "/dev/null", "--"],
    "bwrap --unshare-all": ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"],
    "firejail": ["firejail", "--quiet", "--noprofile"],
    "srt": ["srt"],
    "codex": ["codex", "sandbox"],
    "nono wrap": ["nono", "wrap", "-s", "--allow-cwd", "--"],
    "nono run": ["nono", "run", "-s", "--no-audit", "--allow-cwd", "--"],
    "nono run, with its proxy": ["nono", "run", "-s", "--no-audit", "--allow-cwd", "--allow-domain", "a.example", "--"],
}


def works(words, env):
    """Whether a peer runs `true` here."""
    try:
        return subprocess.run(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def is_ours(path):
    """Our own program under that name is no peer."""
    return b"nanoterm" in subprocess.run([path, "--version"], capture_output=True).stdout


def peers_of(env):
    """Those that are in PATH and work: name -> words before the program; and the names of those that do not."""
    found, missing = {}, []
    for name, line in PEERS.items():
        path = shutil.which(line[0])
        if not path:
            missing.append(name)
        elif line[0] == "nono" and is_ours(path):
            missing.append(f"{name} (the one in PATH is ours)")
        elif not works([path, *line[1:], shutil.which("true")], env):
            missing.append(f"{name} (installed, but does not work here)")
        else:
            found[name] = [path, *line[1:]]
    return found, missing


class Sandboxes:
    """Ours, in a temporary home, and the peers', in the caller's: some refuse one in /tmp."""

    def __init__(self, tool, env, folder):
        self.tool, self.env, self.folder = tool, env, folder
        self.found, self.missing = peers_of(os.environ)

    def env_of(self, words):
        return self.env if words[0] == self.tool else os.environ

    def ours(self, verb, *flags):
        audit = ["--no-audit"] if verb == "run" else []
        return [self.tool, "enforce", verb, "-s", "--allow-cwd", "--workdir", str(self.folder), *audit, *flags, "--"]

    def peers(self, *names):
        return {name: self.found[name] for name in names if name in self.found}


KINDS = [("files", []), ("no network", ["--block-net"]), ("a filtered network", ["--allow-domain", "a.example"])]


def starts(table, boxes, run, runs):
    true = shutil.which("true")

    def row(what, words, peers, target):
        lines = {name: [*line, true] for name, line in boxes.peers(*peers).items()}
        table.row(what, run, [*words, true], {**lines, "the program alone": [true]}, runs, target=target)

    slow = ["firejail", "codex", "srt"]  # once: with each row the bench would take minutes
    row("enforce wrap: files", boxes.ours("wrap"), ["landlock-restrict", "nono wrap"], "below landlock-restrict")
    row("enforce run: files", boxes.ours("run"), ["bwrap --unshare-all", "nono run", *slow], "under 1.3× of bwrap")
    row("enforce run: no network", boxes.ours("run", *KINDS[1][1]), ["bwrap --unshare-all"], "under 1.3× of bwrap")
    row("enforce run: a filtered network", boxes.ours("run", *KINDS[2][1]),
        ["bwrap --unshare-all", "nono run, with its proxy"], "under 1.6× of bwrap")


# --- memory --------------------------------------------------------------------------------------


def tree_of(pid):
    """A process and all below it."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree_of(int(child))
    return found


def sleeping(pid, program):
    """The tree of a sandbox in which the program has begun, without the program."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            tree = tree_of(pid)
            inside = [each for each in tree if pathlib.Path(f"/proc/{each}/cmdline").read_bytes() == program]
        except OSError:
            continue  # somebody of the tree has just ended
        if inside:
            return [each for each in tree if each not in inside]
        time.sleep(0.01)
    raise SystemExit(f"{program} did not begin beneath {pid}")


def pss(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024


def memory(boxes):
    """Prints what is in memory besides a program that sleeps."""
    words = [shutil.which("sleep"), "1000"]
    program = b"".join(word.encode() + b"\0" for word in words)
    lines = {f"nanoterm enforce run, {what}": boxes.ours("run", *flags) for what, flags in KINDS}
    print("| memory beside a program that sleeps (Pss) | processes | MiB | to reach |\n|---|---|---|---|")
    for name, line in {**lines, **{n: l for n, l in boxes.found.items() if n not in ("landlock-restrict", "nono wrap")}}.items():
        process = subprocess.Popen([*line, *words], env=boxes.env_of(line), cwd=boxes.folder, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        tree = sleeping(process.pid, program)
        print(f"| {name} | {len(tree)} | {sum(map(pss, tree)):.2f} | {'below 4' if name in lines else ''} |")
        process.terminate()
        process.wait()
    print()


# --- jobs with many files ------------------------------------------------------------------------


def make_jobs(folder):
    """name -> what a shell does in the folder; it prints how many nanoseconds that took: a start has rows of its own."""
    source = folder / "from"
    for i in range(FILES):
        file = source / str(i // 100) / f"file-{i}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes([i % 251]) * (i % 4096))
    with tarfile.open(folder / "files.tar", "w") as archive:
        archive.add(source, "to")
    shutil.rmtree(source)
    for i in range(FOUND):
        file = folder / "many" / str(i // 200) / f"f{i}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    for i in range(SOURCES):
        body = "\n".join(f"int f{i}_{j}(int x) {{ return x * {j} + printf(\"%d\\n\", x); }}" for j in range(40))
        (folder / f"part{i}.c").write_text(f"#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n{body}\n")
    (folder / "part.c").write_text("int main(void) { return 0; }\n")
    jobs = {
        f"untar {FILES} files, and remove them": "tar -xf files.tar && rm -r to",
        f"find over {FOUND} files": "find many -size +1 > found",
        f"a C build of {SOURCES + 1} files": "cc -O1 -o program part*.c",
    }
    timed = "begun=$(date +%s%N); {}; status=$?; echo $(($(date +%s%N) - begun)); exit $status"
    return {name: timed.format(script) for name, script in jobs.items()}


def jobs(table, boxes, runs):
    """Ours as a ratio to the same without a sandbox, and in others' for what they do not do: namespaces alone, Landlock alone."""
    work = make_jobs(boxes.folder)
    folder, shell = str(boxes.folder), [shutil.which("sh"), "-c"]
    peers = {"landlock-restrict": ["landlock-restrict", "-ro", "/", "-rw", folder, "-rwfiles", "/dev/null", "--"],
             "bwrap --unshare-all": [*PEERS["bwrap --unshare-all"], "--bind", folder, folder]}

    def took(words):
        done = subprocess.run(words, env=boxes.env_of(words), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{words}: {done.returncode}: {done.stderr[-500:]}")
        return int(done.stdout) / 1e6

    for name, script in work.items():
        plain = [*shell, f"cd {folder} && export TMPDIR={folder} && {script}"]
        beside = {peer: [*words, *plain] for peer, words in peers.items() if peer in boxes.found}
        for what, flags in (KINDS[0], KINDS[1]):
            line = [*boxes.ours("run", "--allow", folder, "--read", "/usr", *flags), *plain]
            table.row(f"{name}: run, {what}", took, line, {"without a sandbox": plain, **beside}, runs, target="within 3 %")


def measure(table, tool, env, spawned, folder, runs):
    """Everything; the names of the peers that are not there."""
    boxes = Sandboxes(tool, env, folder)
    run = lambda words: spawned(words, boxes.env_of(words))
    starts(table, boxes, run, max(runs * 4, 20))
    jobs(table, boxes, max(runs, 3))
    memory(boxes)
    return boxes.missing
