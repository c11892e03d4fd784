"""Runner for standard-input/output tests: the program runs once per test."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from ...sandbox.job import Execution
from ...sandbox.protocol import Sandbox
from ...verdict import Verdict, unparseable
from ..budget import Budget, seconds_used
from ..outputs import difference
from ..suite import Pair
from ..tally import Result, describe_end, status_of_job, tally
from .executable import Executable
from .languages import PYTHON

_LONG = 1 << 16
_SYNTAX = ("SyntaxError", "IndentationError", "TabError")


Judge = Callable[[str, Pair, str], Awaitable[Result]]
"""(name of the test, test, output) → its result."""


def comparison(compare: str, tolerance: float) -> Judge:
    """Return the judge that compares an output with the expected one."""

    async def judge(name: str, pair: Pair, output: str) -> Result:
        if len(output) + len(pair.expected) > _LONG:  # off the event loop, so as not to block it
            why = await asyncio.to_thread(difference, output, pair.expected, compare, tolerance)
        else:
            why = difference(output, pair.expected, compare, tolerance)
        return Result(name, "wrong", why) if why else Result(name)

    return judge


async def check_outputs(
    sandbox: Sandbox, program: Executable, pairs: Sequence[Pair], budget: Budget, policy: str, judge: Judge
) -> Verdict:
    """Run ``program`` on the input of each pair; the expected outputs never enter the job.

    Raises:
        DataError, ConfigError, SandboxLost: ``judge`` cannot be used.
    """
    left, results = budget.total, list[Result]()
    for number, pair in enumerate(pairs, 1):
        name = f"test {number}"
        if left <= 0:
            results.append(Result(name, "timeout", f"the {budget.total:g} s for all tests are used up"))
            break
        seconds = min(budget.timeout, left)
        stdin = pair.given.encode(errors="replace")
        output = 2 * len(pair.expected.encode(errors="replace"))
        execution = await sandbox.run(program.job(budget, stdin=stdin, output=output, seconds=seconds))
        left -= seconds_used(execution)
        if program.language is PYTHON and does_not_compile(execution):
            return unparseable(f"the program does not compile: {describe_end(execution)}")
        results.append(await _result(name, execution, pair, judge))
        status = results[-1].status
        stalled = status == "timeout" and execution.status == "ok"  # the judge, which would stall again on every test
        if status == "infra_error" or stalled or (policy == "all" and status != "ok"):
            break
    return tally(results, len(pairs), policy, format="stdin")


def does_not_compile(execution: Execution) -> bool:
    """Return whether the program seems not to compile; a wrong guess changes only the status, as the score is 0."""
    last = execution.stderr.rstrip().rpartition("\n")[2]
    return execution.status == "runtime_error" and not execution.stdout and last.startswith(_SYNTAX)


async def _result(name: str, execution: Execution, pair: Pair, judge: Judge) -> Result:
    if execution.status != "ok":
        return Result(name, *status_of_job(execution))
    if "stdout" in execution.truncated:
        return Result(name, "limit", "the program printed more than any correct output")
    return await judge(name, pair, execution.stdout)
