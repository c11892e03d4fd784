"""SandboxFusion as a sandbox, against a server that runs programs and answers as ``sandbox/server/sandbox_api.py``."""

import asyncio
import base64
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError, SandboxLost
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.sandbox.backends import open_backend, open_sandbox
from lachesis.verifiers.sandbox.job import Execution, Job, Level, Limits
from lachesis.verifiers.sandbox.protocol import Sandbox
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.sandbox.shared import close_sandbox, configure_sandbox
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, Trajectory

FIELDS = {"code", "language", "stdin", "files", "compile_timeout", "run_timeout", "memory_limit_MB", "fetch_files"}
"""Of ``RunCodeRequest``."""


def run_code(asked: dict[str, Any]) -> dict[str, Any]:
    """The answer of ``/run_code`` with isolation ``none``."""
    answer = {"status": "Success", "message": "", "compile_result": None, "run_result": None, "files": {}}
    answer["executor_pod_name"] = None
    if "SERVER FAILS" in asked["code"]:
        return {**answer, "status": "SandboxError", "message": f"exception on running code {asked['code']}: x None"}
    with tempfile.TemporaryDirectory() as folder:
        for name, content in asked["files"].items():
            Path(folder, name).write_bytes(base64.b64decode(content))
        program = Path(folder, "tmpabc.py")
        program.write_text(asked["code"])
        words, seconds = [sys.executable, str(program)], asked["run_timeout"]
        result: dict[str, Any] = {"status": "Finished", "execution_time": 0.1, "return_code": None}
        try:
            done = subprocess.run(
                words, cwd=folder, input=asked["stdin"].encode(), capture_output=True, timeout=seconds
            )
            result["return_code"] = done.returncode
            result |= {"stdout": done.stdout.decode(), "stderr": done.stderr.decode()}
        except subprocess.TimeoutExpired:
            result |= {"status": "TimeLimitExceeded", "stdout": "", "stderr": ""}
    failed = result["status"] == "TimeLimitExceeded" or result["return_code"] != 0
    return {**answer, "status": "Failed" if failed else "Success", "run_result": result}


class Fusion(BaseHTTPRequestHandler):
    """The server's two routes; ``broken`` is the body of every answer instead, if it is set."""

    broken: str | None = None
    status = 200

    def do_GET(self) -> None:
        self.answer('"pong"' if self.path == "/v1/ping" else "{}")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/run_code"
        assert set(asked) <= FIELDS
        assert asked["language"] == "python"
        self.answer(json.dumps(run_code(asked)) if self.broken is None else self.broken)

    def answer(self, text: str) -> None:
        self.send_response(self.status)
        if self.status == 302:
            self.send_header("Location", "http://127.0.0.1:9/")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def settings() -> Iterator[SandboxSettings]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Fusion)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield SandboxSettings(backend="sandbox_fusion", url=url, network=True, require="accident", size=4)
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def sandbox(settings: SandboxSettings) -> Iterator[Sandbox]:
    opened = open_sandbox(settings)
    yield opened
    opened.close()


def run(sandbox: Sandbox, code: str, **given: object) -> Execution:
    return asyncio.run(sandbox.run(Job(code, **given)))  # type: ignore[arg-type]


def test_a_program_gets_its_input_and_files(sandbox: Sandbox) -> None:
    done = run(sandbox, "print(input()[::-1], open('given').read())", stdin=b"abc\n", files={"given": b"text"})
    assert (done.status, done.exit_code, done.stdout, done.level) == ("ok", 0, "cba text\n", Level.ACCIDENT)


@pytest.mark.parametrize(
    ("code", "limits", "status", "signal"),
    [
        ("raise SystemExit(3)", Limits(), "runtime_error", ""),
        ("import time; time.sleep(20)", Limits(wall=0.5), "timeout", ""),
        ("raise MemoryError", Limits(), "oom", ""),
        ("import os; os.kill(os.getpid(), 11)", Limits(), "runtime_error", "SIGSEGV"),
        ("print('\ud800')", Limits(), "ok", ""),
    ],
)
def test_each_end_of_a_program_has_its_status(
    sandbox: Sandbox, code: str, limits: Limits, status: str, signal: str
) -> None:
    done = run(sandbox, code, limits=limits)
    assert (done.status, done.signal) == (status, signal), done


def test_output_beyond_the_limit_is_cut_and_said(sandbox: Sandbox) -> None:
    done = run(sandbox, "print('x' * 1000)", limits=Limits(output=10))
    assert (done.stdout, done.truncated) == ("x" * 10, ("stdout",))


def test_a_program_that_makes_the_server_fail_is_a_limit_and_not_unscored(sandbox: Sandbox) -> None:
    done = run(sandbox, "# SERVER FAILS")
    assert (done.status, done.retries) == ("limit", 2)
    assert "while a control job succeeded" in done.reason


@pytest.mark.parametrize(
    "broken",
    [
        '{"status": "SandboxError", "message": "down", "run_result": null}',
        '{"status": "Success", "message": "", "run_result": null}',
        '{"status": "Success", "message": "", "run_result": {"status": "Finished", "return_code": null}}',
        '{"status": "Success", "message": "", "run_result": {"status": "Error", "return_code": 0}}',
        "<html>",
        "[]",
        "",
    ],
)
def test_a_server_that_fails_is_never_a_score(sandbox: Sandbox, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fusion, "broken", broken)
    assert run(sandbox, "print(1)").status == "infra_error"


@pytest.mark.parametrize("status", [302, 401, 404, 422, 500])
def test_a_status_other_than_200_is_never_a_score(
    sandbox: Sandbox, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fusion, "status", status)
    done = run(sandbox, "print(1)")
    assert done.status == "infra_error"
    assert f"status {status}" in done.reason


@pytest.mark.parametrize(
    ("given", "says"),
    [({"env": {"A": "b"}}, "sets no environment variables"), ({"stdin": b"\xff"}, "takes text as standard input only")],
)
def test_a_job_that_needs_more_than_the_server_has_is_not_judged(
    sandbox: Sandbox, given: dict[str, object], says: str
) -> None:
    done = run(sandbox, "print(1)", **given)
    assert done.status == "infra_error"
    assert says in done.reason


def test_conversations_are_refused_with_the_cure(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxLost, match="runs single programs only; use tests of standard input"):
        asyncio.run(sandbox.converse([Job("")], lambda sessions: None))


def test_the_code_verifier_works_with_tests_of_standard_input(settings: SandboxSettings) -> None:
    configure_sandbox(settings)
    try:
        for program, score in (("print(int(input()) * 2)", 1.0), ("print(int(input()) + 21)", 0.0)):
            said = ({"role": "assistant", "content": f"```python\n{program}\n```"},)
            tests = [{"input": "21", "output": "42"}, {"input": "1", "output": "2"}]
            case = Case(Trajectory(Task("q", tests), messages={POLICY: said}))
            assert asyncio.run(make_verifier("code", {"format": "stdin"}).verify(case)).score == score
    finally:
        configure_sandbox(SandboxSettings())
        close_sandbox()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"network": False}, "lets every program use the network; accept that with sandbox.network = true"),
        ({"packages": (Path("/usr"),)}, "sandbox.packages has no effect on backend 'sandbox_fusion'"),
        ({"image": "other"}, "sandbox.image has no effect"),
        ({"url": ""}, "sandbox.url is empty"),
    ],
)
def test_features_that_do_not_exist_are_refused_when_it_opens(
    settings: SandboxSettings, change: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        open_backend("sandbox_fusion", settings.model_copy(update=change))


def test_its_isolation_is_unknown_so_it_must_be_accepted(settings: SandboxSettings) -> None:
    with pytest.raises(ConfigError, match=r"holds accident only, it lacks isolation \(SandboxFusion does not tell"):
        open_sandbox(settings.model_copy(update={"require": "contained"}))
