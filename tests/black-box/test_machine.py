# SPDX-License-Identifier: Apache-2.0
"""The contract with programs, for every command of the catalog: whatever is wrong, with --json stdout is empty or valid by
its schema, the status is one of the table and that of its error, nothing asks, nothing outlives its deadline."""
import concurrent.futures
import json
import os
import signal
import subprocess
import time

import jsonschema
import pytest

from conftest import BIN

CATALOG = json.loads(subprocess.run([BIN, "commands"], capture_output=True, check=True).stdout)
STATUSES = {0, 1, 2, 3, 4, 5, 6, 7, 8}
# They run until they are told to end, by their nature.
ENDLESS = {"serve"}
DEADLINE_S = 10
SLACK_S = 60  # for a machine that is busy

# What to type for an argument or a required option when nothing of that name exists.
NOTHING = {"id": "ws_nothere0", "path": "/nonexistent/file", "number": "1", "time": "1s", "size": "1", "json": "{}"}
NAMED = {"port": "8080", "mapping": "18080:8080", "method": "GET"}  # texts that have a form of their own


def schema_check(schema, value):
    jsonschema.Draft202012Validator(schema).validate(value)


def words_of(command, missing=False, ids=False):
    """The command with values that name nothing; missing: without what it requires; ids: also those it does not require."""
    words = command["path"].split()
    for option in command["options"]:
        if option["required"] and not missing:
            value = option["choices"][0] if option["choices"] else NOTHING.get(option["type"], "nothing")
            words += [f"--{option['name']}", value]
    for argument in command["arguments"]:
        if (argument["required"] and not missing) or (ids and argument["type"] == "id"):
            words += ["--"] * argument["behind_dashes"]
            words.append("true" if argument["behind_dashes"] else
                         NAMED.get(argument["name"]) or NOTHING.get(argument["type"], "nothing"))
    return words


class Run:
    """One invocation, and what is wrong with it."""

    def __init__(self, cli, command, words, env=None, stdin=subprocess.DEVNULL, closed=False):
        self.words = ["--json", "--timeout", f"{DEADLINE_S}s", *words]
        begin = time.monotonic()
        # A session of its own has no terminal that could be asked.
        process = subprocess.Popen([BIN, *self.words], env=env or cli.env, cwd=cli.home, stdin=stdin, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=True,
                                   preexec_fn=(lambda: os.close(0)) if closed else None)
        try:
            self.out, self.err = process.communicate(timeout=DEADLINE_S + SLACK_S)
        except subprocess.TimeoutExpired:
            process.kill()
            self.out, self.err = process.communicate()
        self.status, self.took = process.returncode, time.monotonic() - begin
        self.errors = [json.loads(line) for line in self.err.decode().splitlines()
                       if line.startswith("{") and json.loads(line)["level"] == "error"]
        try:
            self.wrong = self.look(command)
        except (ValueError, jsonschema.ValidationError) as error:
            self.wrong = f"{type(error).__name__}: {str(error)[:500]}"

    def look(self, command):
        if self.took > DEADLINE_S + SLACK_S:
            return "outlived its deadline"
        if self.status not in STATUSES:
            return "a status that is not in the table"
        if b"\x1b" in self.out + self.err:
            return "escapes where there is no terminal"
        kind, schema = command["result"]["kind"], command["result"]["schema"]
        if self.out and kind == "none" and not (self.status == 0 and "runs" in command["effects"]):
            return "stdout although it has no result"
        if self.out and kind == "stream":
            for line in self.out.splitlines():
                schema_check(schema, json.loads(line))
        elif self.out and kind != "none":
            schema_check(schema, json.loads(self.out))
        if self.status == 0:
            return "an error and success" if self.errors else None
        # A result can be one that is not good news (`doctor`); else there is one error.
        if self.out and not self.errors:
            return None
        if len(self.errors) != 1:
            return "not one line that says why"
        schema_check(command["error_schema"], self.errors[0])
        for row in command["errors"]:
            if row["code"] == self.errors[0]["code"] and row["exit_status"] != self.status:
                return "another status than that of its error"
        if self.out and kind != "stream":
            return "stdout and an error"

    def __repr__(self):
        return f"{' '.join(self.words)}: {self.wrong}; status {self.status} after {self.took:.1f} s; {self.out[:300]!r} {self.err[:500]!r}"


def run_all(cli, jobs, **how):
    """(command, words) all at once, as far as there are processors; gives what is wrong."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda job: Run(cli, *job, **how), jobs))
    assert done
    assert [run for run in done if run.wrong] == []
    return done


COMMANDS = [command for command in CATALOG if command["path"] not in ENDLESS]


def test_without_arguments(cli):
    required = [command for command in COMMANDS
                if any(each["required"] for each in command["arguments"] + command["options"])]
    for run in run_all(cli, [(command, words_of(command, missing=True)) for command in required]):
        assert run.status == 2, run
    others = [command for command in COMMANDS if command not in required]
    run_all(cli, [(command, command["path"].split()) for command in others])
    for row in cli.ok("--json", "ws", "list").json:  # `ws create` needs no argument
        cli.ok("ws", "rm", row["id"])


def test_a_bad_value(cli):
    jobs = []
    for command in COMMANDS:
        path = command["path"].split()
        jobs.append((command, [*path, "--no-such-option", *words_of(command)[len(path):]]))
        for option in command["options"]:
            if option["type"] in ("number", "time", "size") or option["choices"]:
                jobs.append((command, [*path, f"--{option['name']}=bad value", *words_of(command)[len(path):]]))
        if any(argument["type"] == "id" for argument in command["arguments"]):
            jobs.append((command, [word.replace(NOTHING["id"], "../bad\nvalue") for word in words_of(command, ids=True)]))
    for run in run_all(cli, jobs):
        assert run.status == 2, run
        assert run.errors[0]["request_sent"] is False, run


def test_an_unknown_id(cli):
    jobs = [(command, words_of(command, ids=True)) for command in COMMANDS
            if any(argument["type"] == "id" for argument in command["arguments"])]
    for run in run_all(cli, jobs):
        assert run.status == 3, run


def test_the_server_is_down(cli):
    env = {**cli.env, "NANOTERM_API_URL": "http://127.0.0.1:1", "NANOTERM_API_KEY": "nsk_" + "0" * 32}
    jobs = [(command, words_of(command)) for command in COMMANDS if "remote" in command["effects"]]
    for run in run_all(cli, jobs, env=env):
        assert run.status != 0 or run.out, run
        for error in run.errors:
            assert error["kind"] in ("network", "timeout", "system", "usage", "runtime"), run
            assert error["request_sent"] is False, run


def test_a_corrupt_config(fresh):
    cli = fresh()
    folder = cli.home / ".nanoterm"
    folder.mkdir(mode=0o700)
    (folder / "config.json").write_text('{"api_url": "http://127.0.0.1:1", ')
    (folder / "config.json").chmod(0o600)
    # Commands about the tool itself work without it, as well as they can.
    about_tool = [command for command in CATALOG if command["plugin"] in ("cli", "plugin")]
    run_all(cli, [(command, words_of(command)) for command in about_tool])
    others = [command for command in CATALOG if command not in about_tool]
    for run in run_all(cli, [(command, words_of(command)) for command in others]):
        assert run.errors[0]["code"] == "config_invalid" or run.errors[0]["kind"] == "usage", run


@pytest.mark.parametrize("closed", [False, True])
def test_stdin_is_closed(cli, closed):
    jobs = [(command, words_of(command)) for command in COMMANDS
            if any(each["required"] for each in command["arguments"] + command["options"])]
    reading, writing = os.pipe()
    os.close(writing)
    try:
        run_all(cli, jobs, stdin=reading, closed=closed)
    finally:
        os.close(reading)


def test_twenty_processes_with_one_key_make_one_workspace(fresh):
    """Half of them are killed, some before the server was started, some after it had answered."""
    cli = fresh()
    words = ["--json", "api", "POST", "/v1/sandboxes", "-F", "image=host", "-F", "internet_access=false",
             "-H", "Idempotency-Key: one-and-the-same"]
    processes = [cli.start(*words) for _ in range(20)]
    for i, process in enumerate(processes[::2]):
        if i < 3:
            process.send_signal(signal.SIGKILL)
        elif i < 6:  # as soon as one has its answer
            processes[1].wait(120)
            process.send_signal(signal.SIGKILL)
        else:
            processes[i * 2 + 1].wait(120)
            process.send_signal(signal.SIGKILL)
    ids = set()
    for i, process in enumerate(processes):
        out, err = process.communicate(timeout=120)
        if i % 2:
            assert process.returncode == 0, err
        if process.returncode == 0:
            ids.add(json.loads(out)["body"]["id"])
    assert len(ids) == 1
    assert [row["id"] for row in cli.ok("--json", "ws", "list").json] == list(ids)
    again = cli.ok(*words).json
    assert again["body"]["id"] in ids
