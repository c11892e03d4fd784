"""Checks a second of the math verifier on answers as GSM8K has them, against math-verify called directly."""

import asyncio
import logging
import random
import time
from collections.abc import Iterator

import math_verify

from lachesis.verifiers.case import Case
from lachesis.verifiers.math.answer import Math
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory

CHECKS = 500


def rows() -> Iterator[tuple[str, float, str, float]]:
    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns of the time-outs that are turned off
    rng = random.Random(0)
    numbers = [rng.randrange(1, 20_000) for _ in range(CHECKS)]
    pairs = [(f"{number}", rf"So that makes \boxed{{{number + rng.randrange(2):,}}}.") for number in numbers]
    plain = ours(pairs)
    yield "math, whole numbers", plain, "checks/s", theirs(pairs)
    formulas = [(f"(x + {n})^2", rf"It is $\boxed{{x^2 + {2 * n}x + {n * n}}}$.") for n in numbers[:40]]
    yield "math, formulas (in workers)", ours(formulas), "checks/s", theirs(formulas)


def ours(pairs: list[tuple[str, str]]) -> float:
    """Verdicts a second, one after the other."""
    verifier = Math()
    cases = [
        Case(Trajectory(Task("?", answer=gold), messages={"policy": ({"role": "assistant", "content": text},)}))
        for gold, text in pairs
    ]

    async def check() -> float:
        await verifier.verify(cases[0])  # a worker's start is not a check
        start = time.perf_counter()
        for case in cases:
            assert (await verifier.verify(case)).status in ("ok", "wrong")
        return time.perf_counter() - start

    return len(pairs) / asyncio.run(check())


def theirs(pairs: list[tuple[str, str]]) -> float:
    """Parsed and compared in this process, without time-outs."""
    start = time.perf_counter()
    for gold, text in pairs:
        expected = math_verify.parse(f"${gold}$", parsing_timeout=0)
        math_verify.verify(expected, math_verify.parse(text, parsing_timeout=0), timeout_seconds=0)
    return len(pairs) / (time.perf_counter() - start)
