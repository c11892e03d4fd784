"""The shared sandbox of a process: opened on first use, replaced for other settings; a failure is remembered."""

import asyncio
import os
import sys
from collections.abc import Iterator

import pytest

from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.sandbox import backends
from lachesis.verifiers.sandbox.job import Job
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.sandbox.shared import close_sandbox, configure_sandbox, shared_sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the process sandbox needs Linux")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    close_sandbox()
    yield
    configure_sandbox(SandboxSettings())
    close_sandbox()


def test_the_sandbox_is_shared_until_the_settings_change() -> None:
    configure_sandbox(SandboxSettings(backend="process", require="accident"))
    first = shared_sandbox()
    assert shared_sandbox() is first
    configure_sandbox(SandboxSettings(backend="process", require="accident"))
    assert shared_sandbox() is first
    configure_sandbox(SandboxSettings(backend="process", require="accident", size=3))
    assert shared_sandbox() is not first
    assert asyncio.run(shared_sandbox().run(Job("print(1)"))).stdout == "1\n"


def test_a_failure_is_raised_again_without_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def refuse(settings: SandboxSettings) -> None:
        tries.append(settings)
        raise ConfigError("none is here")

    monkeypatch.setattr(backends, "open_sandbox", refuse)
    for _ in range(3):
        with pytest.raises(ConfigError, match="none is here"):
            shared_sandbox()
    assert len(tries) == 1
    monkeypatch.undo()
    close_sandbox()
    assert shared_sandbox().level


def test_a_forked_child_opens_its_own_sandbox() -> None:
    configure_sandbox(SandboxSettings(backend="process", require="accident"))
    asyncio.run(shared_sandbox().run(Job("print(1)")))
    child = os.fork()
    if not child:
        done = asyncio.run(shared_sandbox().run(Job("print(2)")))
        os._exit(0 if done.stdout == "2\n" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asyncio.run(shared_sandbox().run(Job("print(3)"))).stdout == "3\n"
