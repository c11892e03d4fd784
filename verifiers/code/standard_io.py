"""Programs that read standard input and write standard output, run once for each test."""

import asyncio
from collections.abc import Sequence

from ..sandbox.job import Execution
from ..sandbox.protocol import Sandbox
from ..verdict import Verdict, unparseable
from .budget import Budget, spent
from .outputs import difference
from .suite import Pair
from .tally import Result, ended, judged, tally

_LONG = 1 << 16
_SYNTAX = ("SyntaxError", "IndentationError", "TabError")


async def check_outputs(
    sandbox: Sandbox, program: str, pairs: Sequence[Pair], budget: Budget, policy: str, compare: str, tolerance: float
) -> Verdict:
    """Run ``program`` on the input of each pair; the expected outputs stay here."""
    left, results = budget.total, list[Result]()
    for number, pair in enumerate(pairs, 1):
        name = f"test {number}"
        if left <= 0:
            results.append(Result(name, "timeout", f"the {budget.total:g} s of all tests are used up"))
            break
        seconds = min(budget.timeout, left)
        stdin = pair.given.encode(errors="replace")
        execution = await sandbox.run(
            budget.job(program, seconds, 2 * len(pair.expected.encode(errors="replace")), stdin)
        )
        left -= spent(execution)
        if does_not_compile(execution):
            return unparseable(f"the program does not compile: {ended(execution)}")
        results.append(await _result(name, execution, pair.expected, compare, tolerance))
        if results[-1].status == "infra_error" or (policy == "all" and results[-1].status != "ok"):
            break
    return tally(results, len(pairs), policy, format="stdin")


def does_not_compile(execution: Execution) -> bool:
    """Whether it looks as if nothing ran: the verdict differs in name only, for its score is 0 either way."""
    last = execution.stderr.rstrip().rpartition("\n")[2]
    return execution.status == "runtime_error" and not execution.stdout and last.startswith(_SYNTAX)


async def _result(name: str, execution: Execution, expected: str, compare: str, tolerance: float) -> Result:
    if execution.status != "ok":
        return Result(name, *judged(execution))
    if "stdout" in execution.truncated:
        return Result(name, "limit", "it printed more than can be right")
    found = execution.stdout
    if len(found) + len(expected) > _LONG:  # not on the event loop, which others wait for
        why = await asyncio.to_thread(difference, found, expected, compare, tolerance)
    else:
        why = difference(found, expected, compare, tolerance)
    return Result(name, "wrong", why) if why else Result(name)
