"""Test results of one completion, and the verdict computed from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..sandbox.job import Execution
from ..verdict import Status, Verdict, infra_error

Policy = Literal["all", "fraction"]
POLICIES: tuple[str, ...] = get_args(Policy)
MAX_SHOWN = 100
"""Largest number of tests listed in a verdict's evidence."""


@dataclass(frozen=True)
class Result:
    """The result of one test.

    Attributes:
        test: name of the test, such as ``test 3`` or ``line 12``.
        status: status as in a verdict; ``wrong`` if the test failed.
        reason: one line, empty if the test passed.
    """

    test: str
    status: Status = "ok"
    reason: str = ""

    def row(self) -> dict[str, str]:
        """Return the result as a JSON object."""
        row = {"test": self.test, "status": self.status}
        return row | ({"reason": self.reason} if self.reason else {})


def tally(results: Sequence[Result], of: int, policy: str, passed: int | None = None, **evidence: Any) -> Verdict:
    """Return the verdict of ``policy`` on ``of`` tests; tests after the last result did not run.

    ``passed`` counts the tests that passed if ``results`` do not list all of them.

    An infrastructure failure in any test makes the whole verdict ``infra_error``; otherwise the first failed test gives
    the status and the reason.
    """
    passed = sum(result.status == "ok" for result in results) if passed is None else passed
    counted = {"passed": passed, "of": of, "tests": [result.row() for result in results[:MAX_SHOWN]], **evidence}
    failure = next((result for result in results if result.status == "infra_error"), None) or next(
        (result for result in results if result.status != "ok"), None
    )
    if failure is None:
        return Verdict(1.0, "ok", f"{passed} of {of} tests passed", counted)
    reason = f"{failure.test}: {failure.reason}"
    if failure.status == "infra_error":
        return infra_error(reason, **counted)
    score = passed / of if policy == "fraction" and of else 0.0
    if score:
        return Verdict(score, "wrong", f"{passed} of {of} tests passed; {reason}", counted)
    return Verdict(0.0, failure.status, reason, counted)


def status_of_job(execution: Execution) -> tuple[Status, str]:
    """Return status and reason for a candidate's job that ended before it had answered."""
    if execution.status == "infra_error":
        return "infra_error", execution.reason
    if execution.status == "timeout" or execution.signal in ("SIGPROF", "SIGXCPU"):
        return "timeout", execution.reason or "took too long"
    if execution.status in ("oom", "limit") or execution.signal == "SIGXFSZ":
        return "limit", execution.reason or "exceeded a limit"
    if execution.status == "ok":
        return "wrong", "the program ended before it had answered"
    return "wrong", describe_end(execution)


def describe_end(execution: Execution) -> str:
    """Describe in one line how a failed program ended."""
    last = execution.stderr.rstrip().rpartition("\n")[2].strip()
    how = f"ended by {execution.signal}" if execution.signal else f"ended with exit code {execution.exit_code}"
    return f"{how}: {ascii(last[:200])[1:-1]}" if last else how
