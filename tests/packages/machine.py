# SPDX-License-Identifier: Apache-2.0
"""A root filesystem as a machine: a mount and a PID namespace of its own, in which it is the real root (a chroot may not make
user namespaces). When it is closed, everything that runs in it ends."""
import ctypes
import os
import re
import signal
import subprocess

CLONE_NEWNS, CLONE_NEWPID = 0x20000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 2, 4, 8, 4096, 16384, 1 << 18, 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def mount(source, target, kind, flags, data=None):
    call("mount", source.encode(), target.encode(), kind and kind.encode(), flags, data and data.encode())


def enter(root):
    """In the first process of the new namespaces: makes root the root."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount(root, root, None, MS_BIND)
    mount("tmpfs", f"{root}/dev", "tmpfs", MS_NOSUID, "mode=755")
    for name in DEVICES:
        os.close(os.open(f"{root}/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
        mount(f"/dev/{name}", f"{root}/dev/{name}", None, MS_BIND)
    for name in ("pts", "shm"):
        os.mkdir(f"{root}/dev/{name}")
    mount("devpts", f"{root}/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    os.symlink("pts/ptmx", f"{root}/dev/ptmx")
    mount("tmpfs", f"{root}/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV)
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("sysfs", f"{root}/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("tmpfs", f"{root}/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    mount("tmpfs", f"{root}/tmp", "tmpfs", MS_NOSUID | MS_NODEV)
    os.chdir(root)
    call("syscall", PIVOT_ROOT[os.uname().machine], b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def live():
    """The first process buries those whose parents are gone, until it is killed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        signal.sigtimedwait([signal.SIGCHLD], 5)


class Machine:
    def __init__(self, root):
        self.root = root
        ready, told = os.pipe()
        self.starter = os.fork()
        if self.starter == 0:
            self._start(ready, told)
        os.close(told)
        with os.fdopen(ready) as answer:
            text = answer.read().strip()
        if "ready" not in text:
            os.waitpid(self.starter, 0)
            raise RuntimeError(text)
        self.init = int(re.search(r"\d+", text)[0])

    def _start(self, ready, told):
        # Nothing of the test's own may run in here: whatever happens, this process ends.
        try:
            os.close(ready)
            call("prctl", 1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: with the test
            call("unshare", CLONE_NEWNS | CLONE_NEWPID)
            init = os.fork()
            if init == 0:
                call("prctl", 1, signal.SIGKILL, 0, 0, 0)
                enter(self.root)
                os.write(told, b"ready")
                os.close(told)
                live()
            os.write(told, str(init).encode())
            os.close(told)
            os.waitpid(init, 0)
        except BaseException as error:
            os.write(told, str(error).encode())
        os._exit(0)

    def _words(self, words, env):
        whole = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
                 "NANOTERM_NO_UPDATE_CHECK": "1", **(env or {})}
        return ["nsenter", "-t", str(self.init), "-m", "-p", "--", "/usr/bin/env", "-i", *(f"{k}={v}" for k, v in whole.items()),
                *map(str, words)]

    def run(self, *words, env=None, timeout=120):
        """Status, stdout and stderr of a program in here."""
        return subprocess.run(self._words(words, env), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)

    def ok(self, *words, **how):
        done = self.run(*words, **how)
        assert done.returncode == 0, (words, done.returncode, done.stdout[-3000:], done.stderr[-3000:])
        return done.stdout

    def start(self, *words, env=None):
        return subprocess.Popen(self._words(words, env), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)

    def close(self):
        os.kill(self.init, signal.SIGKILL)
        os.waitpid(self.starter, 0)
