"""Generated pairs in all notations: no unequal answer is paid, and almost every equal one is."""

import asyncio
import logging
from collections import Counter

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.math.answer import Math
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory

from .grammar import Pair, pairs

TOGETHER = 8
"""Pairs that are judged at the same time."""


def judged(drawn: list[Pair]) -> list[bool]:
    """Whether each pair passes; an ``infra_error`` counts as a failure of the test."""

    async def judge_all() -> list[bool]:
        math, free = Math(), asyncio.Semaphore(TOGETHER)

        async def judge(pair: Pair) -> bool:
            said = ({"role": "assistant", "content": pair.reply},)
            async with free:
                verdict = await math.verify(Case(Trajectory(Task("q", pair.gold), messages={"policy": said})))
            assert verdict.status != "infra_error", (pair, verdict)
            return verdict.passed

        return await asyncio.gather(*map(judge, drawn))

    return asyncio.run(judge_all())


def errors(drawn: list[Pair], verdicts: list[bool]) -> tuple[list[Pair], list[Pair]]:
    """The pairs that were paid and should not be, and those that should be and were not."""
    wrong = [pair for pair, verdict in zip(drawn, verdicts, strict=True) if verdict is not pair.equal]
    return [pair for pair in wrong if not pair.equal], [pair for pair in wrong if pair.equal]


def test_five_hundred_generated_pairs_get_their_verdicts() -> None:
    drawn = list(pairs(seed=0, count=500))
    paid, refused = errors(drawn, judged(drawn))
    assert paid == []
    assert refused == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_of_five_thousand_pairs_none_is_paid_wrongly_and_under_one_percent_is_refused() -> None:
    """With ``-s`` it prints the table of docs/verifiers.md, with the figures of Math-Verify on the same pairs."""
    drawn = list(pairs(seed=1, count=5000))
    mine, theirs = errors(drawn, judged(drawn)), errors(drawn, [math_verify_says(pair) for pair in drawn])
    equal = sum(pair.equal for pair in drawn)
    for name, (paid, refused) in (("lachesis", mine), ("math-verify", theirs)):
        print(f"{name}: {len(paid)} of {len(drawn) - equal} unequal paid, {len(refused)} of {equal} equal refused")
        print(Counter(pair.rule for pair in paid), Counter(pair.rule for pair in refused))
    assert mine[0] == []
    assert len(mine[1]) < equal / 100
    assert len(mine[1]) < len(theirs[1])


def math_verify_says(pair: Pair) -> bool:
    """Whether Math-Verify, called as its documentation shows, takes the reply for right."""
    import math_verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    return bool(math_verify.verify(math_verify.parse(f"${pair.gold}$"), math_verify.parse(pair.reply)))
