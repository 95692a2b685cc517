# SPDX-License-Identifier: Apache-2.0
"""Ways out of a sandbox, tried by nt-attack (tests/attacks): each is refused, or the program never ran. On the machine as it is, and
on simulated ones that have less: no user namespaces, no Landlock, neither, and in a container.

Every attack is also run without a sandbox. One that fails there proves nothing and is counted as such; those that must not are
named below. Nothing here changes the machine."""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import uuid
from pathlib import Path

import pytest

BIN = os.environ["NANOTERM_BIN"]
PROGRAMS = Path(os.environ.get("NANOTERM_ATTACKS", "/nonexistent"))
ATTACK, HOST = PROGRAMS / "nt-attack", PROGRAMS / "nt-host"
pytestmark = pytest.mark.skipif(not ATTACK.exists(), reason="the programs of tests/attacks were not built")

HOSTS = {
    "all": [],
    "no namespaces": ["--no-namespaces"],
    "no Landlock": ["--landlock", "enosys"],
    "Landlock off": ["--landlock", "eopnotsupp"],
    "neither": ["--no-namespaces", "--landlock", "enosys"],
}
THROUGH, REFUSED = 0, 1
# Without a sandbox these go through on every machine and for every user: else the others prove nothing either.
CERTAIN = {
    "read-outside", "write-outside", "cut-outside", "remove-outside", "make-folder-outside", "list-outside", "symlink", "dots",
    "write-by-symlink", "hard-link", "link-out", "dots-by-descriptor", "proc-self-root", "rename-grant", "rename-out", "rename-in",
    "exchange", "inherited-folder", "inherited-file", "input-is-a-folder", "hidden", "uncover", "repointed-symlink", "kill-outsider",
    "signal-by-pidfd", "environ-of-outsider", "environ-of-parent", "maps-of-outsider", "limits-of-outsider",
    "priority-of-outsider", "write-about-outsider", "shared-memory", "tcp", "tcp-mapped", "fast-open", "udp", "listen", "abstract",
    "pathname", "pathname-by-link", "datagram", "datagram-of-a-pair", "bind-outside", "typing", "typing-high", "selecting",
    "selecting-high",
}
# On files that the attacker owns. Landlock knows none of them: they are refused where a mount namespace is to be had.
OWNERS = {f"change-mode{how}" for how in ("", "-of-folder", "-above", "-by-symlink", "-by-hard-link", "-by-descriptor", "-by-proc",
                                          "-by-inherited", "-by-first", "-after-remount", "-after-umount")}
OWNERS |= {"change-owner", "change-times", "touch"}
CERTAIN |= OWNERS
MAYBE_OWNERS = OWNERS | {"change-mode-of-path-descriptor", "set-attribute", "remove-attribute"}
NEED_A_DENY = {"hidden", "uncover", "input-is-a-folder"}


class Outside:
    """What stands outside: listeners of every kind, and folders that are made anew for each attack."""

    def __init__(self):
        # Not in /tmp, which every sandbox may write to.
        self.base = Path(tempfile.mkdtemp(prefix="nt-attacks-", dir="/var/tmp"))
        self.abstract = f"nt-attacks-{uuid.uuid4().hex}"
        self.local = str(self.base / "s")
        self.closing = False
        self.sockets = []
        for port in range(5):  # TCP of both families and UDP under one number
            try:
                tcp = self.listen(socket.AF_INET, ("127.0.0.1", 0))
                self.port = tcp.getsockname()[1]
                udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                udp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                if port == 4:
                    raise
        self.serve(tcp)
        try:
            self.serve(self.listen(socket.AF_INET6, ("::1", self.port)))
        except OSError:
            pass  # a machine without IPv6: the attack fails without a sandbox, too
        self.serve(self.listen(socket.AF_UNIX, "\0" + self.abstract))
        self.serve(self.listen(socket.AF_UNIX, self.local))
        self.sockets.append(udp)
        threading.Thread(target=self.echo, args=(udp,), daemon=True).start()
        self.datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.datagram.bind(self.local + ".datagram")
        self.sockets.append(self.datagram)
        self.memory = make_shared_memory(0x6E740000 | self.port)

    @staticmethod
    def listen(family, address):
        s = socket.socket(family, socket.SOCK_STREAM)
        s.bind(address)
        s.listen(64)
        return s

    def serve(self, s):
        self.sockets.append(s)

        def loop():
            while True:
                try:
                    peer, _ = s.accept()
                except OSError:
                    return
                with peer:
                    try:
                        peer.sendall(b"!")
                    except OSError:
                        pass

        threading.Thread(target=loop, daemon=True).start()

    def echo(self, udp):
        while True:
            try:
                data, peer = udp.recvfrom(64)
            except OSError:
                return
            if peer is None:  # it is being closed
                return
            udp.sendto(data, peer)

    def close(self):
        for s in self.sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        remove_shared_memory(self.memory)
        shutil.rmtree(self.base, ignore_errors=True)


def make_shared_memory(key):
    import ctypes
    return ctypes.CDLL(None, use_errno=True).shmget(ctypes.c_int(key), ctypes.c_size_t(4096), 0o1600)


def remove_shared_memory(number):
    import ctypes
    if number >= 0:
        ctypes.CDLL(None).shmctl(number, 0, None)


@pytest.fixture(scope="module")
def outside():
    o = Outside()
    yield o
    o.close()


def names(group=None):
    done = subprocess.run([ATTACK, "--list"], capture_output=True, text=True, check=True)
    return done.stdout.split()


class Attack:
    """One attack with its own folders and its own process to be attacked."""

    def __init__(self, outside, name):
        self.outside, self.name = outside, name
        self.place = Path(tempfile.mkdtemp(dir=outside.base))
        self.inside, self.other, self.home = (self.place / n for n in ("inside", "outside", "home"))
        for folder in (self.inside / "hidden", self.other, self.home, self.place / "first"):
            folder.mkdir(parents=True)
        for file in (self.inside / "hidden/secret", self.other / "secret", self.other / "spare"):
            file.write_text("secret")
        try:
            os.setxattr(self.other / "secret", "user.note", b"x")
        except OSError:
            pass  # not every file system has them
        (self.place / "granted-link").symlink_to("first")
        self.env = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "ATTACK_INSIDE": str(self.inside), "ATTACK_OUTSIDE": str(self.other),
                    "ATTACK_PORT": str(outside.port), "ATTACK_ABSTRACT": outside.abstract, "ATTACK_LOCAL": outside.local,
                    "ATTACK_SECRET": "secret", "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}

    def profile(self):
        path = self.place / "profile.json"
        path.write_text(json.dumps({"meta": {"name": "attacked"}, "filesystem": {
            "allow": [str(self.inside)], "deny": [str(self.inside / "hidden")]}}))
        return path

    def sandbox(self, extra):
        grant = ["--profile", str(self.profile())] if self.name in NEED_A_DENY else ["--allow", str(self.inside)]
        return [BIN, "--json", "enforce", "run", "--silent", "--allow-cwd", *grant, "--read", str(self.place / "granted-link"),
                "--read-file", str(ATTACK), "--block-net", *extra, "--"]

    def run(self, prefix):
        """Status and output of the attack behind PREFIX. The outsider is this user's, and has a secret in its environment."""
        outsider = subprocess.Popen(["sleep", "300"], env=self.env, start_new_session=True)
        try:
            env = self.env | {"ATTACK_PID": str(outsider.pid)}
            source = self.inside if self.name == "input-is-a-folder" else "/dev/null"
            script = f'exec 9<"$ATTACK_OUTSIDE" 8<"$ATTACK_OUTSIDE/secret" 0<"{source}"; exec "$@"'
            p = subprocess.Popen(["sh", "-c", script, "sh", *prefix, str(ATTACK), self.name], env=env, cwd=self.inside, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if self.name == "listen":
                out = self.knock(p)
                err = p.communicate(timeout=60)[1]
            else:
                out, err = p.communicate(timeout=60)
            return p.returncode, out, err
        finally:
            outsider.kill()
            outsider.wait()

    def knock(self, p):
        """Comes to the port that the program says it listens on."""
        heard = ""
        for line in p.stdout:  # until it ends
            heard += line
            if line.startswith("listening "):
                try:
                    socket.create_connection(("127.0.0.1", int(line.split()[1])), timeout=5).close()
                except OSError:
                    pass
        return heard

    def close(self):
        shutil.rmtree(self.place, ignore_errors=True)


def attempt(outside, name, prefix_of):
    a = Attack(outside, name)
    try:
        prefix = prefix_of(a)
        if name == "repointed-symlink":  # granted as it was; then it leads elsewhere
            return repointed(a, prefix)
        return a.run(prefix)
    finally:
        a.close()


def repointed(a, prefix):
    """The link is changed when the program runs: it says so, and waits."""
    link = a.place / "granted-link"
    script = 'echo ready; read line; exec "$@"'
    wrapped = [*prefix, "sh", "-c", script, "sh", str(ATTACK), a.name]
    p = subprocess.Popen(wrapped, env=a.env, cwd=a.inside, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    first = p.stdout.readline()
    link.unlink()
    link.symlink_to("outside")
    try:
        out, err = p.communicate("go\n", timeout=60)
    except BrokenPipeError:
        out, err = "", p.stderr.read()
        p.wait()
    return p.returncode, first + out, err


@pytest.fixture(scope="module")
def unconfined(outside):
    """How each attack goes without a sandbox."""
    parent = ["sh", "-c", '"$@"; exit $?', "sh"]  # with the secret in its environment, as a supervisor
    return {name: attempt(outside, name, lambda a: parent)[0] for name in names()}


def host(words):
    """What runs a program as on that machine; skips where this one cannot be made less."""
    if not words:
        return []
    done = subprocess.run([HOST, *words, "true"], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(f"no such machine can be made here: {done.stderr.strip()}")
    return [str(HOST), *words]


def verdict(status, out, err):
    """"refused" by the kernel, "unavailable" or "usage" when nothing ran, or what went wrong."""
    if "begun" in out:
        return "refused" if status == REFUSED else f"status {status}: {out!r} {err[-300:]!r}"
    for line in err.splitlines():
        code = json.loads(line).get("code") if line.startswith("{") else None
        if code in ("enforce.sandbox_unavailable", "usage"):
            return code.split("_")[-1]
    return f"status {status}, not begun: {err[-400:]!r}"


def all_attacks(outside, words, extra=()):
    start = host(words)
    return {name: verdict(*attempt(outside, name, lambda a: [*start, *a.sandbox(extra)])) for name in names()}


def has_namespaces():
    """Not in a chroot, and not everywhere in a container."""
    flags = "-mp" if os.geteuid() == 0 else "-Ump"
    return subprocess.run(["unshare", flags, "--fork", "true"], capture_output=True).returncode == 0


def test_the_attacks_work_without_a_sandbox(unconfined):
    weak = {name: unconfined.get(name) for name in CERTAIN if unconfined.get(name) != THROUGH}
    assert not weak


@pytest.mark.parametrize("machine", HOSTS)
def test_every_attack_is_refused(outside, machine):
    verdicts = all_attacks(outside, HOSTS[machine])
    if machine == "no namespaces" or not has_namespaces():
        for name in MAYBE_OWNERS - {"change-mode-by-hard-link"}:
            verdicts.pop(name)  # the report says so: test_enforce_readonly.py
    assert verdicts.pop("input-is-a-folder") in ("usage", "unavailable")  # no sandbox takes a folder in
    assert {n: v for n, v in verdicts.items() if v not in ("refused", "unavailable")} == {}
    ran = {n for n, v in verdicts.items() if v == "refused"}
    if machine == "all" and has_namespaces():
        assert ran == set(verdicts)  # nothing is missing, so nothing may refuse to start
    elif machine in ("all", "no namespaces"):
        assert set(verdicts) - ran == {"hidden", "uncover"}  # a path that is hidden needs them
    else:
        assert ran == set()


def test_weaker_means_that_layer_only(outside, unconfined):
    """Files are not held without Landlock when the user says so; everything else still is, by namespaces."""
    if not has_namespaces():
        pytest.skip("no namespaces can be made here")
    weaker = ["--accept-weaker", "files", "--accept-weaker", "scopes", "--accept-weaker", "tcp"]
    verdicts = all_attacks(outside, HOSTS["no Landlock"], weaker)
    went = {n for n, v in verdicts.items() if v != "refused"}
    assert {"read-outside", "list-outside", "symlink", "dots"} <= went
    held_by_mounts = {"write-outside", "cut-outside", "remove-outside", "make-folder-outside", "rename-out", "link-out"} | OWNERS
    assert held_by_mounts & went == set()
    held = {"kill-outsider", "signal-by-pidfd", "trace-outsider", "memory-of-outsider", "environ-of-outsider",
            "tcp", "tcp-mapped", "tcp-v6", "udp", "fast-open", "raw", "ping", "abstract", "pathname", "datagram", "typing-high",
            "io-uring", "user-namespace", "mount", "inherited-folder", "inherited-file", "hidden", "uncover", "shared-memory"}
    assert {n: verdicts[n] for n in held if n in verdicts and verdicts[n] != "refused"} == {}


def test_the_settings_of_the_machine_are_read_only_where_no_rules_for_files_hold(outside):
    if not has_namespaces():
        pytest.skip("no namespaces can be made here")
    a = Attack(outside, "read-outside")
    weaker = ["--accept-weaker", "files", "--accept-weaker", "scopes", "--accept-weaker", "tcp"]
    script = "exec 2>&1; test -r /proc/self/comm && ! true 9<>/proc/self/comm"  # as good as /proc/sys, and changes nothing
    try:
        done = subprocess.run([*host(HOSTS["no Landlock"]), *a.sandbox(weaker), "sh", "-c", script], env=a.env, cwd=a.inside,
                              capture_output=True, text=True, timeout=60)
        assert "Read-only" in done.stdout, (done.stdout, done.stderr)
    finally:
        a.close()


def test_of_the_terminals_a_program_gets_those_that_it_was_given(outside):
    """On others of the same user somebody types passwords, and believes what stands there."""
    a = Attack(outside, "read-outside")
    mine, other = os.openpty(), os.openpty()
    script = 'for t in "$@"; do true <"$t" && true >"$t" && echo "$t"; done >"$ATTACK_INSIDE/opened"'
    names = [os.ttyname(slave) for _, slave in (mine, other)]
    try:
        subprocess.run([*a.sandbox([]), "sh", "-c", script, "sh", *names], env=a.env, cwd=a.inside, timeout=60,
                       stdin=mine[1], stdout=mine[1], stderr=subprocess.DEVNULL)
        assert (a.inside / "opened").read_text().split() == names[:1]
    finally:
        for fd in mine + other:
            os.close(fd)
        a.close()


@contextlib.contextmanager
def hiding(outside, name, script):
    """A sandbox that hides the file NAME of the granted folder, and runs the script in there."""
    if not has_namespaces():
        pytest.skip("no namespaces can be made here, so nothing can be hidden")
    a = Attack(outside, "hidden")
    secret = a.inside / name
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("old secret")
    words = [w for w in a.sandbox([]) if w != str(a.profile())]
    words.insert(words.index("--profile") + 1, str(a.place / "denied.json"))
    (a.place / "denied.json").write_text(json.dumps({"meta": {"name": "attacked"}, "filesystem": {
        "allow": [str(a.inside)], "deny": [str(secret)]}}))
    p = subprocess.Popen([*words, "sh", "-c", script], env=a.env, cwd=a.inside, text=True, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield a, secret, p
    finally:
        p.kill()
        p.wait()
        a.close()


READ_UNTIL_COVERED = "while cat hidden/.env >/dev/null 2>&1; do :; done; echo covered"


def test_what_is_replaced_outside_is_hidden_again(outside):
    """Editors save by renaming a new file over the old one, which takes the cover away in the sandbox, too."""
    with hiding(outside, "hidden/.env", f"cat hidden/.env; echo ready; read line; {READ_UNTIL_COVERED}") as (a, secret, p):
        assert p.stdout.readline() == "ready\n"
        (a.other / "new").write_text("new secret")
        os.rename(a.other / "new", secret)
        out, _ = p.communicate("go\n", timeout=60)
        assert out == "covered\n" and p.returncode == 0


def test_who_hides_again_cannot_be_kept_from_it(outside):
    """A limit of descriptors, set on the sandbox's first process from inside: what it cannot look at any more ends the program."""
    script = f"prlimit --pid 1 --nofile=4:4 || exit 9; echo ready; read line; {READ_UNTIL_COVERED}"
    with hiding(outside, "hidden/.env", script) as (a, secret, p):
        assert p.stdout.readline() == "ready\n"
        (a.other / "new").write_text("new secret")
        os.rename(a.other / "new", secret)
        p.communicate("go\n", timeout=60)  # covered, or ended


def test_a_folder_above_what_is_hidden_stays_in_its_place(outside):
    """Renamed, it would take the cover along; and what is saved outside by the denied name then would be read in another folder."""
    script = ("mv a c; mkdir -p a/b; mv a/b a/c; mkdir -p a/b; echo ready; read line; cat a/b/.env; "
              "echo x >a/new && mv a/new a/newer && mv a/newer newest && cat newest")
    with hiding(outside, "a/b/.env", script) as (a, secret, p):
        assert p.stdout.readline() == "ready\n"
        secret.write_text("new secret")
        out, err = p.communicate("go\n", timeout=60)
        assert out == "x\n" and p.returncode == 0 and "secret" not in err
        assert sorted(f.name for f in a.inside.iterdir()) == ["a", "hidden", "newest"]


def test_a_folder_that_is_made_anew_outside_is_watched_too(outside):
    """Whoever stays outside may replace the folder that holds a denied file, and later make that file in it."""
    script = "echo ready; read line; echo x >a/b/seen; echo again; read line; while cat a/b/.env >/dev/null 2>&1; do :; done; echo covered"
    with hiding(outside, "a/b/.env", script) as (a, secret, p):
        assert p.stdout.readline() == "ready\n"
        os.rename(a.inside / "a", a.inside / "old")
        secret.parent.mkdir(parents=True)
        p.stdin.write("go\n")
        p.stdin.flush()
        assert p.stdout.readline() == "again\n" and (a.inside / "a/b/seen").exists()
        secret.write_text("new secret")
        out, _ = p.communicate("go\n", timeout=60)
        assert out == "covered\n" and p.returncode == 0


def test_our_own_folders_are_closed_to_every_sandbox(outside):
    """Configuration, state and sockets of nanoterm: a grant of the home does not open them, and none does that names them."""
    a = Attack(outside, "read-outside")
    runtime = a.home / "run"
    for path in (a.home / ".nanoterm/own", a.home / ".nanoterm/server/owner.key", runtime / "nanoterm/server.sock"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
    (a.home / "readable").write_text("public")
    env = a.env | {"XDG_RUNTIME_DIR": str(runtime)}
    enforce = [BIN, "--json", "enforce", "run", "--silent", "--allow-cwd"]
    script = "cat readable; cat .nanoterm/own; cat .nanoterm/server/owner.key; cat run/nanoterm/server.sock; ls .nanoterm"
    try:
        done = subprocess.run([*enforce, "--allow", a.home, "--", "sh", "-c", script], env=env, cwd=a.home, capture_output=True, text=True)
        assert "secret" not in done.stdout and "owner" not in done.stdout
        if done.stdout:
            assert done.stdout == "public"
        else:
            assert json.loads(done.stderr.splitlines()[-1])["code"] in ("enforce.protected", "enforce.sandbox_unavailable")
        for grant in (".nanoterm", ".nanoterm/server", "run/nanoterm"):
            done = subprocess.run([*enforce, "--read", a.home / grant, "--", "cat", a.home / grant / "owner.key"], env=env, cwd="/",
                                  capture_output=True, text=True)
            assert done.returncode != 0 and done.stdout == ""
            assert json.loads(done.stderr.splitlines()[-1])["code"] == "enforce.protected"
    finally:
        a.close()


def test_our_runtime_folder_cannot_be_made_for_us(outside):
    """Where it is not there yet, in a folder that the program may write: a socket put there would be taken for a server's."""
    if not has_namespaces():
        pytest.skip("no namespaces can be made here, so nothing can be hidden")
    a = Attack(outside, "hidden")
    granted, runtime = a.home / "granted", a.home / "granted/user/0"
    granted.mkdir()
    enforce = [BIN, "--json", "enforce", "run", "--silent", "--allow-cwd", "--allow", granted]
    env = a.env | {"XDG_RUNTIME_DIR": str(runtime)}
    script = "mkdir -p granted/user/0 && touch granted/user/0/mine && mkdir -p granted/user/0/nanoterm/x"
    try:
        tried = subprocess.run([*enforce, "--dry-run", "--", "true"], env=env, cwd=a.home, capture_output=True, text=True)
        assert tried.returncode == 0 and list(granted.iterdir()) == []
        done = subprocess.run([*enforce, "--", "sh", "-c", script], env=env, cwd=a.home, capture_output=True, text=True)
        assert done.returncode == 1 and "user/0/nanoterm" in done.stderr and (runtime / "mine").exists()
        assert list((runtime / "nanoterm").iterdir()) == [] and (runtime / "nanoterm").stat().st_mode & 0o777 == 0o700

        (runtime / "nanoterm").rmdir()  # others can write to the folder above, so it is not made there
        runtime.chmod(0o777)
        done = subprocess.run([*enforce, "--", "sh", "-c", script], env=env, cwd=a.home, capture_output=True, text=True)
        assert json.loads(done.stderr.splitlines()[-1])["code"] == "enforce.sandbox_unavailable"
        assert not (runtime / "nanoterm").exists()
    finally:
        a.close()


@pytest.fixture(scope="module")
def container(outside):
    """Runs a program in an unprivileged container, whose root is empty but for the system's programs and a copy of ours: what
    belongs to the machine's root is nobody's in there, and nobody's plugins are not opened."""
    if not shutil.which("podman") or not shutil.which("runc"):
        pytest.skip("podman and runc are not installed")
    root = outside.base / "root"
    for name in ("usr", "proc", "sys", "dev", "tmp", "etc", "run", "var/tmp"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    installed, tree = Path(BIN).resolve().parent.parent, outside.base / "tree"
    for part in ("bin/nanoterm", "lib/nanoterm", "libexec/nanoterm"):
        copy = shutil.copytree if (installed / part).is_dir() else shutil.copy
        (tree / part).parent.mkdir(parents=True, exist_ok=True)
        copy(installed / part, tree / part)
    # Limits that are asked for, as podman's own may be above what root has here.
    words = ["podman", "--runtime", "runc", "--cgroup-manager=cgroupfs", "run", "--rm", "--ulimit", "nofile=20000:20000", "--ulimit",
             "nproc=1000:1000", "--network", "none", "-v", "/usr:/usr:ro", "-v", f"{outside.base}:{outside.base}", "-v",
             f"{PROGRAMS}:{PROGRAMS}:ro"]
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    if os.environ.get("XDG_RUNTIME_DIR"):
        env["XDG_RUNTIME_DIR"] = os.environ["XDG_RUNTIME_DIR"]

    def run(variables, *command):
        words_env = [w for k, v in variables.items() for w in ("-e", f"{k}={v}")]
        return subprocess.run([*words, *words_env, "--rootfs", str(root), *command], env=env, capture_output=True, text=True, timeout=300)

    done = run({}, "true")
    if done.returncode:
        pytest.skip(f"no container can be run here: {done.stderr.strip()[-200:]}")
    return run, str(tree / "bin/nanoterm")


def test_in_a_container_every_attack_is_refused(outside, container):
    a = Attack(outside, "all")
    run, program = container
    try:
        sandbox = [program, *a.sandbox([])[1:]]
        script = ('exec 9<"$ATTACK_OUTSIDE" 8<"$ATTACK_OUTSIDE/secret"; cd "$ATTACK_INSIDE"; setsid sleep 300 & export ATTACK_PID=$!\n'
                  'for name in $NAMES; do out=$("$@" "$name" 2>"$HOME/err"); echo "$name $? $(echo "$out" | head -n 1) $(tail -n 1 "$HOME/err")"; '
                  'done\nkill $ATTACK_PID')
        skipped = NEED_A_DENY | {"listen", "repointed-symlink"} | MAYBE_OWNERS  # a container's root has no namespaces in it
        tried = [n for n in names() if n not in skipped]
        done = run(a.env | {"NAMES": " ".join(tried)}, "sh", "-c", script, "sh", *sandbox, str(ATTACK))
        lines = {line.split()[0]: line.split(maxsplit=3)[1:] for line in done.stdout.splitlines()}
        assert set(lines) == set(tried), done.stderr[-500:]
        bad = {n: v for n, v in lines.items() if v[:2] != ["1", "begun"] and "enforce.sandbox_unavailable" not in " ".join(v)}
        assert bad == {}
    finally:
        a.close()
