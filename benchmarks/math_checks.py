"""Checks per second of the math verifier and its wrong verdicts, against math-verify called directly."""

import asyncio
import json
import logging
import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import math_verify

from lachesis.verifiers.case import Case
from lachesis.verifiers.math.answer import Math
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory

DATA = Path(__file__).parents[2] / "shared" / "data"
"""The folder of the labelled pairs; without it, only generated pairs are measured."""
ROUNDS = 3
"""The two are measured in turn, so that other load affects both alike; the best round of each counts."""


class Pair(NamedTuple):
    """One check: the expected answer, the reply, the options of both checkers, and the right verdict if known."""

    gold: str
    text: str
    options: dict[str, Any]
    right: bool | None = None


def rows() -> Iterator[tuple[str, float, str, float]]:
    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that timeouts are turned off
    rng = random.Random(0)
    yield rates("math, boxed whole numbers", [list(whole_numbers(rng, 500)) for _ in range(ROUNDS)])
    yield rates("math, boxed LaTeX without functions", [list(formulas(rng, 30)) for _ in range(ROUNDS)])
    yield rates("math, boxed LaTeX with functions", [list(functions(rng, 5)) for _ in range(ROUNDS)])
    yield rates("math, boxed LaTeX for workers", [list(for_workers(rng, 15)) for _ in range(ROUNDS)])
    if labelled := list(shared()):
        yield rates("math, labelled pairs", [labelled])
        wrong = [
            sum(verdict is not pair.right for verdict, pair in zip(check(labelled)[0], labelled, strict=True))
            for check in (ours, theirs)
        ]
        yield f"math, wrong verdicts on {len(labelled)} pairs", wrong[0], "verdicts", wrong[1]


def whole_numbers(rng: random.Random, count: int) -> Iterator[Pair]:
    """Answers like those of GSM8K, half of them wrong."""
    for _ in range(count):
        n = rng.randrange(1, 20_000)
        yield Pair(str(n), rf"So that makes \boxed{{{n + rng.randrange(2):,}}}.", {})


def formulas(rng: random.Random, count: int) -> Iterator[Pair]:
    """Fractions, roots, polynomials, tuples, sets and intervals, half of them wrong."""
    for _ in range(count):
        n, m, off = rng.randrange(2, 99), rng.randrange(2, 99), rng.randrange(2)
        for gold, answer in (
            (rf"\frac{{{n}\pi}}{{{m}}}", rf"\frac{{{3 * n + off}\pi}}{{{3 * m}}}"),
            (rf"{n}\sqrt{{{m}}}", rf"\sqrt{{{n * n * m + off}}}"),
            (rf"(x + {n})^2", rf"x^2 + {2 * n}x + {n * n + off}"),
            (rf"\left(\frac{{{n}}}{{7}}, {m}\right)", rf"(\frac{{{2 * n}}}{{14}}, {m + off})"),
            (rf"\{{{n}, \sqrt{{2}}\}}", rf"\{{\sqrt2, {n + off}\}}"),
            (rf"[{n}, {n}+\sqrt{{3}})", rf"\left[{n + off}, \sqrt{{3}}+{n}\right)"),
        ):
            yield Pair(gold, rf"It is $\boxed{{{answer}}}$.", {})


def functions(rng: random.Random, count: int) -> Iterator[Pair]:
    """Logarithms, sines, matrices and exponentials, half of them wrong."""
    for _ in range(count):
        n, m, off = rng.randrange(2, 99), rng.randrange(2, 99), rng.randrange(2)
        for gold, answer in (
            (rf"\ln {n} + \ln {m}", rf"\ln {n * m + off}"),
            (rf"\sin({2 * n}x)", rf"2\sin({n}x)\cos({n + off}x)"),
            (rf"\begin{{pmatrix}}{n}\\{m}\end{{pmatrix}}", rf"\begin{{bmatrix}}{n}\\{m + off}\end{{bmatrix}}"),
            (rf"{n}e^{{{m}x}}", rf"{n + off}\exp({m}x)"),
        ):
            yield Pair(gold, rf"It is $\boxed{{{answer}}}$.", {})


def for_workers(rng: random.Random, count: int) -> Iterator[Pair]:
    """Formulas that only sympy can decide, half of them wrong."""
    for _ in range(count):
        n, m, off = rng.randrange(2, 99), rng.randrange(2, 99), rng.randrange(2)
        for gold, answer in (
            (rf"\lfloor x\rfloor + {n}", rf"{n + off} + \lfloor x\rfloor"),
            (rf"\sum_{{k=1}}^{{{n}}} k^2", f"{n * (n + 1) * (2 * n + 1) // 6 + off}"),
            (rf"\arctan 1 + {m}", rf"\frac{{\pi}}{{4}} + {m + off}"),
            (rf"x > {n}", rf"({n + off}, \infty)"),
        ):
            yield Pair(gold, rf"It is $\boxed{{{answer}}}$.", {})


def shared() -> Iterator[Pair]:
    """The labelled pairs, each with its own options."""
    for path in (DATA / "math_pairs.jsonl", DATA / "math_edge.jsonl"):
        for line in path.read_text().splitlines() if path.exists() else ():
            row = json.loads(line)
            yield Pair(row["gold"], row["pred"], row.get("options", {}), row["expected"])


def rates(name: str, rounds: list[list[Pair]]) -> tuple[str, float, str, float]:
    """One row of the table: the best round of each. Each round has new pairs, because both checkers cache formulas."""
    speeds = [(len(pairs) / ours(pairs)[1], len(pairs) / theirs(pairs)[1]) for pairs in rounds]
    best, limit = (max(column) for column in zip(*speeds, strict=True))
    return name, best, "checks/s", limit


def ours(pairs: list[Pair]) -> tuple[list[bool], float]:
    """Check one pair after the other; return the verdicts and the seconds that they took."""
    checks = [
        (Math(**pair.options), Case(Trajectory(Task("?", pair.gold), messages={"policy": (said(pair.text),)})))
        for pair in pairs
    ]

    async def check() -> tuple[list[bool], float]:
        await Math().verify(
            Case(
                Trajectory(Task("?", r"\lfloor x\rfloor+1"), messages={"policy": (said(r"\boxed{\lfloor x\rfloor}"),)})
            )
        )
        start = time.perf_counter()  # after the worker has started
        verdicts = [(await verifier.verify(case)).passed for verifier, case in checks]
        return verdicts, time.perf_counter() - start

    return asyncio.run(check())


def said(text: str) -> Any:
    """Make a message of a reply."""
    return {"role": "assistant", "content": text}


def theirs(pairs: Iterable[Pair]) -> tuple[list[bool], float]:
    """Parse and compare in this process, without timeouts."""
    kinds = {"latex": math_verify.LatexExtractionConfig(), "expr": math_verify.ExprExtractionConfig()}
    verdicts, start = [], time.perf_counter()
    for gold, text, options, _ in pairs:
        configs = [kinds[kind] for kind in options.get("match_types", kinds)]
        marked = (
            gold if "$" in gold or "boxed" in gold or "latex" not in options.get("match_types", kinds) else f"${gold}$"
        )
        expected = math_verify.parse(marked, configs, parsing_timeout=0)
        found = math_verify.parse(text, configs, parsing_timeout=0)
        verdicts.append(
            math_verify.verify(
                expected,
                found,
                float_rounding=options.get("precision", 6),
                strict=options.get("strict", True),
                allow_set_relation_comp=options.get("allow_set_relation_comp", False),
                timeout_seconds=0,
            )
        )
    return verdicts, time.perf_counter() - start
