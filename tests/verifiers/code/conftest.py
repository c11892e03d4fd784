"""What the tests of programs share: a sandbox, of whatever level this machine has."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.code.solution import Code
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.sandbox.shared import configure_sandbox, shared_sandbox
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


@pytest.fixture(scope="session")
def judge_all() -> Callable[[list[dict[str, Any]]], list[Verdict]]:
    """The verdicts on several rows at once: ``completion``, ``answer`` and ``info``, and the parameters of ``Code``."""
    try:
        shared_sandbox()
    except ConfigError:
        configure_sandbox(SandboxSettings(require="accident"))

    async def verdicts(rows: list[dict[str, Any]]) -> list[Verdict]:
        return await asyncio.gather(*(verify(**row) for row in rows))

    return lambda rows: asyncio.run(verdicts(rows))


@pytest.fixture(scope="session")
def judge(judge_all: Callable[[list[dict[str, Any]]], list[Verdict]]) -> Callable[..., Verdict]:
    """``judge(completion, answer, **params)`` is one verdict."""

    def one(completion: str, answer: Any = None, **params: Any) -> Verdict:
        return judge_all([{"completion": completion, "answer": answer, **params}])[0]

    return one


async def verify(completion: str, answer: Any = None, info: dict[str, Any] | None = None, **params: Any) -> Verdict:
    messages = {"policy": ({"role": "assistant", "content": completion},)}
    return await Code(**params).verify(Case(Trajectory(Task("q", answer, info or {}), messages=messages)))
