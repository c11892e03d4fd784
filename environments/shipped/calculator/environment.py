"""Expressions that are too long to do in the head: the policy calls a calculator and answers with its result."""

import json
import random
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pydantic import Field

from ....verifiers.case import Case
from ....verifiers.registry import make_verifier
from ....verifiers.rubric import Rubric, reward
from ....verifiers.task import Task
from ....verifiers.tool_calling.formats.hermes import read_hermes
from ....verifiers.verdict import Verdict, unparseable
from ...environment import Environment, EnvironmentConfig, Split
from ...episode import Episode
from ...limits import Limits
from .expression import evaluate, write

HELD_OUT = 500
"""Most expressions in the test split; short ones allow fewer."""


def calculate(expression: str) -> str:
    """The exact value of an expression with + - * / and parentheses."""
    return write(evaluate(expression))


class Calculator(Environment):
    """Expressions such as ``384*27-60=``, with a calculator as the tool and the value as the answer.

    An attempt is a success if the last reply gives the right value, whether or not the tool was called.
    """

    class Config(EnvironmentConfig):
        """How long the expressions are."""

        digits: int = Field(3, ge=1, le=12)
        """The most digits of a number; no number begins with 0."""
        operators: int = Field(2, ge=1, le=8)
        """Number of operators in an expression."""
        signs: str = Field("+-*", pattern=r"^[-+*]+$")
        """The operators to draw from. One that is listed twice is drawn twice as often."""
        limits: Limits = Limits(turns=4, tool_calls=4, seconds=60.0)
        """Limits of an episode on turns, tokens, tool calls and seconds."""

    rubric = Rubric(success="correct")

    @reward()
    async def correct(self, case: Case) -> Verdict:
        """Whether the last reply is an answer (not another call) and its last number is the value."""
        if read_hermes(case.completion).calls:
            return unparseable("no answer: the last reply calls a tool")
        verdict: Verdict = await _NUMBER.verify(case)
        return verdict

    @reward(weight=0.0)
    def called(self, case: Case) -> float:
        """Whether a tool call succeeded; a metric unless the config gives it a weight."""
        return float(any(message["role"] == "tool" and not message.get("error") for message in case.messages))

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """A fifth of all expressions is held out, the same for every seed; the training split never ends."""
        if split == "test":
            drawn = islice(self._expressions(random.Random("calculator")), 40 * HELD_OUT)
            held_out = dict.fromkeys(text for text in drawn if _held_out(text))
            yield from (self._task(text) for text in islice(held_out, HELD_OUT))
            return
        yield from (self._task(text) for text in self._expressions(random.Random(seed)) if not _held_out(text))

    def tools(self, episode: Episode) -> list[Any]:
        """The calculator; it keeps no state, so a function is enough."""
        return [calculate]

    def demonstration(self, task: Task) -> list[str]:
        """The call, then the value."""
        call = json.dumps({"name": "calculate", "arguments": {"expression": task.info["expression"]}})
        return [f"<tool_call>{call}</tool_call>", task.answer]

    def _expressions(self, rng: random.Random) -> Iterator[str]:
        """An endless stream of expressions."""
        config = self.config
        while True:
            numbers = [str(rng.randrange(1, 10 ** rng.randint(1, config.digits))) for _ in range(config.operators + 1)]
            yield numbers[0] + "".join(rng.choice(config.signs) + number for number in numbers[1:])

    def _task(self, text: str) -> Task:
        return Task(f"{text}=", answer=write(evaluate(text)), info={"expression": text})


_NUMBER = make_verifier("number", {})


def _held_out(text: str) -> bool:
    return zlib.crc32(text.encode()) % 5 == 0
