"""Runner for standard-input/output tests: the program runs once per test."""

import asyncio
from collections.abc import Sequence

from ..sandbox.job import Execution
from ..sandbox.protocol import Sandbox
from ..verdict import Verdict, unparseable
from .budget import Budget, seconds_used
from .outputs import difference
from .suite import Pair
from .tally import Result, describe_end, status_of_job, tally

_LONG = 1 << 16
_SYNTAX = ("SyntaxError", "IndentationError", "TabError")


async def check_outputs(
    sandbox: Sandbox, program: str, pairs: Sequence[Pair], budget: Budget, policy: str, compare: str, tolerance: float
) -> Verdict:
    """Run ``program`` on the input of each pair; the expected outputs never enter the job."""
    left, results = budget.total, list[Result]()
    for number, pair in enumerate(pairs, 1):
        name = f"test {number}"
        if left <= 0:
            results.append(Result(name, "timeout", f"the {budget.total:g} s for all tests are used up"))
            break
        seconds = min(budget.timeout, left)
        stdin = pair.given.encode(errors="replace")
        execution = await sandbox.run(
            budget.job(program, seconds, 2 * len(pair.expected.encode(errors="replace")), stdin)
        )
        left -= seconds_used(execution)
        if does_not_compile(execution):
            return unparseable(f"the program does not compile: {describe_end(execution)}")
        results.append(await _result(name, execution, pair.expected, compare, tolerance))
        if results[-1].status == "infra_error" or (policy == "all" and results[-1].status != "ok"):
            break
    return tally(results, len(pairs), policy, format="stdin")


def does_not_compile(execution: Execution) -> bool:
    """Return whether the program seems not to compile; a wrong guess changes only the status, as the score is 0."""
    last = execution.stderr.rstrip().rpartition("\n")[2]
    return execution.status == "runtime_error" and not execution.stdout and last.startswith(_SYNTAX)


async def _result(name: str, execution: Execution, expected: str, compare: str, tolerance: float) -> Result:
    if execution.status != "ok":
        return Result(name, *status_of_job(execution))
    if "stdout" in execution.truncated:
        return Result(name, "limit", "the program printed more than any correct output")
    found = execution.stdout
    if len(found) + len(expected) > _LONG:  # off the event loop, so as not to block it
        why = await asyncio.to_thread(difference, found, expected, compare, tolerance)
    else:
        why = difference(found, expected, compare, tolerance)
    return Result(name, "wrong", why) if why else Result(name)
