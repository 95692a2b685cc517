# SPDX-License-Identifier: Apache-2.0
"""The attacker inside a workspace: what must fail, tried from inside."""
import os
import subprocess
import textwrap

import pytest


@pytest.fixture(scope="module")
def inside(cli, ws):
    def inside(command, **how):
        return cli("exec", ws, "--", "sh", "-c", command, **how)

    return inside


def test_nothing_of_the_hosts_homes(cli, inside):
    secret = cli.home / "secret"
    secret.write_text("secret of the host")
    assert inside(f"cat {secret}").status != 0
    assert inside(f"ls {cli.home}/.nanoterm").status != 0
    assert inside("ls -A /root").stdout in (b"", b".\n") or inside("ls -A /root").status != 0
    assert inside("ls /home").stdout == b"agent\n"
    assert inside("cat /etc/shadow").stdout.count(b"$") == 0
    # The runtime folder with socket and token is nowhere to be seen.
    assert inside("find / -xdev -name token -o -xdev -name server.lock 2>/dev/null").stdout == b""


def test_only_its_own_processes(inside):
    names = inside("cat /proc/[0-9]*/comm").stdout.split()
    assert b"systemd" not in names and len(names) < 10
    assert inside("kill -0 2 && readlink /proc/2/exe").stdout.find(b"python") < 0


def test_no_privilege(inside):
    status = inside("cat /proc/self/status").text
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["CapEff"], 16) == 0 and int(fields["CapPrm"], 16) == 0 and int(fields["CapAmb"], 16) == 0
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"
    assert fields["Uid"].split() == ["1000"] * 4
    assert inside("id -un; hostname").text.splitlines()[0] == "agent"


def test_the_guest_cannot_be_touched(inside):
    for attack in ("ls /proc/1/fd", "cat /proc/1/environ", "cat /proc/1/maps", "readlink /proc/1/root"):
        assert inside(attack + " 2>/dev/null").stdout == b"", attack
    assert inside("kill -9 1; kill -STOP 1; echo lives").stdout == b"lives\n"
    code = textwrap.dedent("""
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        PTRACE_SEIZE = 0x4206
        print(libc.ptrace(PTRACE_SEIZE, 1, 0, 0), os.strerror(ctypes.get_errno()))
        """)
    assert inside(f"python3 -c '{code}'").text.startswith("-1 ") or inside("command -v python3").status != 0


PROBES = {
    # name: (number of the system call on x86_64, arguments)
    "keyctl": (250, "0, -3, 0"),
    "add_key": (248, "0, 0, 0, 0, 0"),
    "bpf": (321, "0, 0, 0"),
    "perf_event_open": (298, "0, 0, 0, 0, 0"),
    "io_uring_setup": (425, "1, 0"),
    "userfaultfd": (323, "0"),
    "kexec_load": (246, "0, 0, 0, 0"),
    "open_by_handle_at": (304, "0, 0, 0"),
}


@pytest.mark.parametrize("name", PROBES)
def test_a_forbidden_system_call(inside, name):
    if inside("command -v python3").status != 0:
        pytest.skip("no python3 inside")
    number, arguments = PROBES[name]
    code = f"import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.syscall({number}, {arguments}), ctypes.get_errno())"
    result, errno = inside(f'python3 -c "{code}"').text.split()
    assert (result, int(errno) in (1, 38)) == ("-1", True)


def test_a_character_cannot_be_pushed_into_a_terminal(inside):
    if inside("command -v python3").status != 0:
        pytest.skip("no python3 inside")
    code = textwrap.dedent("""
        import fcntl, os, termios
        master, slave = os.openpty()
        for request in (termios.TIOCSTI, termios.TIOCSTI | (1 << 32)):
            try:
                fcntl.ioctl(slave, request & 0xffffffffffffffff, b"x")
                print("pushed")
            except (OSError, OverflowError) as error:
                print("refused")
        """)
    assert inside(f"python3 - <<'E'\n{code}\nE").stdout.split() == [b"refused"] * 2


def test_no_network_but_the_way_out(inside, cli):
    assert inside("ls /sys/class/net").stdout == b"lo\n"
    if inside("command -v python3").status == 0:
        code = "import socket; s = socket.create_connection((\"192.0.2.1\", 80), 2)"
        assert inside(f"python3 -c '{code}'").status != 0


def test_the_way_out_does_not_lead_to_this_machine(inside):
    """The proxy refuses what is not public, in every spelling."""
    if inside("command -v curl").status != 0:
        pytest.skip("no curl inside")
    for host in ("127.0.0.1", "localhost", "0x7f000001", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254",
                 "10.0.0.1", "192.168.0.1", "0.0.0.0"):
        done = inside(f"curl -s -m 10 -o /dev/null -w '%{{http_code}}' --proxy http://127.0.0.1:3128 --noproxy '' "
                      f"http://{host}:80/")
        assert done.stdout == b"403", (host, done)


def test_the_host_is_not_changed(cli):
    ws = cli.create("--no-internet")

    def inside(command):
        return cli("exec", ws, "--", "sh", "-c", command)

    before = os.stat("/usr/bin/env").st_mtime_ns
    assert inside("rm -f /usr/bin/env /etc/passwd && echo gone").stdout == b"gone\n"
    assert os.stat("/usr/bin/env").st_mtime_ns == before and os.path.exists("/etc/passwd")
    assert inside("test -e /usr/bin/env").status == 1
    assert inside("cp /bin/true /usr/bin/env; touch /usr/bin/from-inside").status == 0
    assert not os.path.exists("/usr/bin/from-inside")
    cli.ok("ws", "rm", ws)


def test_two_workspaces_see_nothing_of_each_other(cli, ws):
    other = cli.create("--no-internet")
    cli.ok("exec", other, "--", "sh", "-c", "echo secret > /tmp/x; echo secret > /workspace/x; echo secret > /dev/shm/x")
    assert cli("exec", ws, "--", "sh", "-c", "cat /tmp/x /workspace/x /dev/shm/x").stdout == b""
    cli.ok("ws", "rm", other)


def test_a_workspace_can_nest_a_sandbox(inside):
    if inside("command -v bwrap").status != 0:
        pytest.skip("no bwrap inside")
    done = inside("bwrap --unshare-user --unshare-pid --ro-bind / / --proc /proc true")
    assert done.status == 0, done


def test_no_server_is_started_inside(cli, ws):
    """The program refuses to nest a server in a workspace, and says so."""
    nanoterm = os.environ["NANOTERM_BIN"]
    cli.ok("cp", nanoterm, f"{ws}:/workspace/nanoterm")
    done = cli("exec", ws, "--", "/workspace/nanoterm", "ws", "list")
    assert done.status != 0


def test_secrets_of_the_environment_stay_outside(cli, ws):
    done = subprocess.run([os.environ["NANOTERM_BIN"], "exec", ws, "--", "env"],
                          env={**cli.env, "GITHUB_TOKEN": "ghp_secret", "AWS_SECRET_ACCESS_KEY": "aws_secret"},
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == 0 and b"secret" not in done.stdout
    lines = done.stdout.decode().splitlines()
    assert all("=" in line for line in lines), lines
    assert f"NANOTERM_WORKSPACE={ws}" in lines and "no_proxy=localhost,127.0.0.1,::1" in lines
