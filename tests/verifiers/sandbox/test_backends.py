"""Backends by name: the built-in ones, and a user's own, which is the example in the documentation."""

import asyncio
import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.sandbox.backends import BACKENDS, open_sandbox
from lachesis.verifiers.sandbox.job import Job, Level
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.sandbox.shared import close_sandbox, configure_sandbox
from lachesis.verifiers.settings import validated
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.verdict import Verdict

DOCUMENT = (Path(__file__).parents[3] / "docs" / "sandboxes.md").read_text()


class Service(BaseHTTPRequestHandler):
    """The remote service of the example: it runs a program and answers with how that went."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        words = [sys.executable, "-I", "-c", asked["code"]]
        done = subprocess.run(words, input=asked["stdin"], capture_output=True, text=True, timeout=240, check=False)
        answer = {"timeout": False, "exit_code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxSettings]:
    """The document's settings, with its module in place and its service running."""
    folder = tmp_path_factory.mktemp("own")
    (source,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    *_, toml = re.findall(r"^```toml\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    (folder / "my_sandbox.py").write_text(source)
    service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("SANDBOX_URL", f"http://127.0.0.1:{service.server_address[1]}")
        yield validated(SandboxSettings, tomllib.loads(toml)["sandbox"], "[sandbox]")
    service.shutdown()
    service.server_close()


def test_a_user_sandbox_is_opened_by_module_and_name(settings: SandboxSettings) -> None:
    sandbox = open_sandbox(settings)
    assert (sandbox.name, sandbox.level) == ("service", Level.STRONG)
    done = asyncio.run(sandbox.run(Job("print(input()[::-1])", stdin=b"abc")))
    assert (done.status, done.stdout, done.level) == ("ok", "cba\n", Level.STRONG)
    sandbox.close()


def verdict_of(program: str, answer: object, format: str) -> Verdict:
    said = Trajectory(
        Task("q", answer), messages={POLICY: ({"role": "assistant", "content": f"```python\n{program}\n```"},)}
    )
    return asyncio.run(make_verifier("code", {"format": format}).verify(Case(said)))


def test_a_verifier_runs_programs_in_a_user_sandbox(settings: SandboxSettings) -> None:
    configure_sandbox(settings)
    try:
        tests = [{"input": "21", "output": "42"}, {"input": "0", "output": "0"}]
        assert verdict_of("print(int(input()) * 2)", tests, "stdin").score == 1.0
        assert verdict_of("print(int(input()) + 21)", tests, "stdin").score == 0.0
        assert verdict_of("def f(x): return x", ["assert f(1) == 1"], "mbpp").status == "infra_error"
    finally:
        configure_sandbox(SandboxSettings())
        close_sandbox()


def test_a_service_that_fails_is_never_a_score(settings: SandboxSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_URL", "http://127.0.0.1:9")
    done = asyncio.run(open_sandbox(settings).run(Job("print(1)")))
    assert done.status == "infra_error"
    assert done.reason.startswith("sandbox service: ")


LOW = """
from my_sandbox import Layer, Level, ServiceSandbox


class LowSandbox(ServiceSandbox):
    level = Level.ACCIDENT
    layers = (Layer("machine", False, "all jobs share one machine", "give each its own"),)
    closed = False

    def close(self):
        LowSandbox.closed = True


def open_low(settings):
    return LowSandbox("")
"""


def test_a_user_sandbox_of_too_low_a_level_is_refused_and_closed(
    settings: SandboxSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "low_sandbox.py").write_text(LOW)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"low_sandbox:open_low holds accident only, it lacks machine \(all jobs sha"):
        open_sandbox(SandboxSettings(backend="low_sandbox:open_low"))
    assert sys.modules["low_sandbox"].LowSandbox.closed
    assert open_sandbox(SandboxSettings(backend="low_sandbox:open_low", require="accident")).name == "service"


@pytest.mark.parametrize("name", ["auto", *BACKENDS.names, "not_imported_yet:open_it"])
def test_settings_accept_every_backend_without_importing_it(name: str) -> None:
    assert validated(SandboxSettings, {"backend": name}, "[sandbox]").backend == name


@pytest.mark.parametrize(("name", "near"), [("doker", "docker"), ("autos", "auto"), ("proces", "process")])
def test_an_unknown_backend_is_refused_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"no sandbox backend is named '{name}'; did you mean '{near}'"):
        validated(SandboxSettings, {"backend": name}, "[sandbox]")
