"""Keeps the answers of an engine actor until their callers collect them, so that no caller holds up another.

A streaming call of Ray waits until its caller has taken each answer, so that one stopped caller stopped the engine for
everybody. Here, callers ask for answers with calls of their own.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...verifiers.boundary import Boundary
from ...verifiers.errors import EngineError
from ..engines.activity import Activity
from ..engines.engine import Completion, Engine, Request

Answer = tuple[int, Completion | EngineError]
"""What one request ended with, under the caller's key."""


@dataclass(eq=False)
class _Caller:
    """Somebody who sends requests: its answers, its requests that run, its polls that wait, and when it last called."""

    answers: list[Answer] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    running: set[asyncio.Task[None]] = field(default_factory=set)
    polls: int = 0
    seen: float = 0.0


class AnswerDesk:
    """Takes requests for an engine and hands out their answers.

    Args:
        activity: counts the requests while they run.

    Attributes:
        request_tokens: mean of prompt and completion of the last requests; 0 before one has ended.
    """

    WAIT = 10.0
    """Most seconds that a call waits for an answer."""
    PATIENCE = 60.0
    """Seconds after which the requests of a caller that asks for nothing are ended: it died, or hangs."""

    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        self._callers: dict[str, _Caller] = {}
        self.request_tokens = 0.0

    @property
    def running(self) -> int:
        """How many requests have begun and not ended."""
        return sum(len(caller.running) for caller in list(self._callers.values()))

    async def exchange(self, engine: Engine, name: str, requests: Sequence[tuple[int, Request]]) -> list[Answer] | None:
        """Begin requests, and return the caller's answers once there is one.

        Args:
            engine: what continues the prompts.
            name: the caller's; its calls share their answers.
            requests: the prompts, each under the caller's key; the error of one is its own answer.

        Returns:
            The answers since the last call; none after ``WAIT`` seconds without an answer. None if this caller has no
            requests here: it was silent for too long, or they were lost with an earlier process.
        """
        self._end_silent()
        caller = self._callers.get(name)
        if caller is None:
            if not requests:
                return None
            caller = self._callers[name] = _Caller()
        for key, request in requests:
            task = asyncio.create_task(self._answer(engine, caller, key, request))
            caller.running.add(task)
            task.add_done_callback(caller.running.discard)
        caller.polls += 1
        try:
            async with asyncio.timeout(self.WAIT):
                await caller.ready.wait()
        except TimeoutError:
            pass
        finally:
            caller.polls -= 1
            caller.seen = time.monotonic()
        taken, caller.answers = caller.answers, []
        caller.ready.clear()
        return taken

    async def _answer(self, engine: Engine, caller: _Caller, key: int, request: Request) -> None:
        with self._activity.request(), Boundary(passing=()) as outcome:
            completion = await engine.generate(request)  # before the list is looked up: a call may take it meanwhile
            self._activity.sampled(completion.tokens.size)
            size = request.prompt.size + completion.tokens.size
            self.request_tokens += (size - self.request_tokens) * (0.05 if self.request_tokens else 1.0)
            caller.answers.append((key, completion))
        if isinstance(outcome.error, EngineError):
            caller.answers.append((key, outcome.error))
        elif outcome.fault:  # the engine's own bug; its exception might not be picklable
            caller.answers.append((key, EngineError(f"the engine failed: {outcome.fault}")))
        caller.ready.set()

    def _end_silent(self) -> None:
        """End the requests of callers that have been silent for ``PATIENCE`` seconds."""
        now = time.monotonic()
        for name, caller in list(self._callers.items()):
            if not caller.polls and now - caller.seen > self.PATIENCE:
                del self._callers[name]
                for task in caller.running:
                    task.cancel()
