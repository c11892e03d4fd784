"""Checks per second of the code verifier, four at a time, against bare interpreters that start and end."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator

from lachesis.verifiers.case import Case
from lachesis.verifiers.code.solution import Code
from lachesis.verifiers.sandbox.shared import close_sandbox, shared_sandbox
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory

CHECKS, TOGETHER = 100, 4
TEST = """
def check(candidate):
    assert candidate([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.3) == True
    assert candidate([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.05) == False
    assert candidate([1.0, 2.0, 5.9, 4.0, 5.0], 0.95) == True
    assert candidate([1.0, 2.0, 5.9, 4.0, 5.0], 0.8) == False
"""
CLOSE = "def close(xs, d):\n    return any(abs(a - b) < d for i, a in enumerate(xs) for b in xs[:i])"
SUM = "print(sum(map(int, input().split())))"
CALLS = {"inputs": [[[1.0, 2.0], n / 10] for n in range(20)], "outputs": [n > 10 for n in range(20)]}


def rows() -> Iterator[tuple[str, float, str, float]]:
    level = shared_sandbox().level.name.lower()
    bare = interpreters()
    humaneval = Code(format="humaneval", entry_point="close", test=TEST)
    yield f"code, a script of asserts in two jobs ({level})", ours(humaneval, CLOSE, None), "checks/s", bare / 2
    yield "code, 20 calls in one job", ours(Code(format="call", fn_name="close"), CLOSE, CALLS), "checks/s", bare
    pairs = {"inputs": ["1 2\n"], "outputs": ["3\n"]}
    yield "code, one test of standard input", ours(Code(), SUM, pairs), "checks/s", bare
    close_sandbox()


def ours(verifier: Code, program: str, answer: object) -> float:
    """Verdicts per second."""
    messages = {"policy": ({"role": "assistant", "content": f"```python\n{program}\n```"},)}
    case = Case(Trajectory(Task("?", answer=answer), messages=messages))

    async def check(count: int) -> float:
        start, turns = time.perf_counter(), asyncio.Semaphore(TOGETHER)

        async def one() -> None:
            async with turns:
                verdict = await verifier.verify(case)
                assert verdict.passed, verdict

        await asyncio.gather(*(one() for _ in range(count)))
        return time.perf_counter() - start

    asyncio.run(check(TOGETHER))  # starts the sandbox, which is not measured
    return CHECKS / asyncio.run(check(CHECKS))


def interpreters() -> float:
    """Bare interpreters per second, from start to end."""
    start = time.perf_counter()
    for _ in range(CHECKS // TOGETHER):
        started = [subprocess.Popen([sys.executable, "-I", "-S", "-c", "pass"]) for _ in range(TOGETHER)]
        for process in started:
            process.wait()
    return CHECKS / (time.perf_counter() - start)
