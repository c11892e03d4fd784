"""Attempts at one task by programs without a model: what they leave is graded as in training."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.agent_program.environment import AgentProgram
from lachesis.environments.play import play
from lachesis.verifiers.sandbox.job import Level
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.sandbox.shared import configure_sandbox, shared_sandbox
from lachesis.verifiers.trajectory import Trajectory

Attempt = Callable[..., Trajectory]


@pytest.fixture(scope="session", autouse=True)
def _sandbox() -> Iterator[None]:
    if sys.platform != "linux":
        pytest.skip("the process sandbox needs Linux")
    configure_sandbox(SandboxSettings(backend="process", require="contained"))
    if shared_sandbox().level < Level.STRONG:
        pytest.skip("a program that starts others needs a sandbox of level strong")
    yield
    configure_sandbox(SandboxSettings())


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    """Runs ``source`` as the program of a task, and returns the scored trajectory."""

    def run(source: str, row: dict[str, Any], **settings: Any) -> Trajectory:
        made: dict[str, Any] = {
            "path": tmp_path,
            "command": ["{python}", "agent.py"],
            "network": "off",
            "seconds": 20.0,
        }
        environment = AgentProgram(**{**made, **settings})
        files = {"agent.py": source, **row.get("files", {})}
        task = environment.task_of({"prompt": "Do it.", **row, "files": files})
        assert task is not None

        async def played() -> Trajectory:
            return await environment.score_trajectory(await play(environment, task, {}, (0,)))

        return asyncio.run(played())

    return run
