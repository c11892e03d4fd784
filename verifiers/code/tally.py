"""How the tests of one completion went, and what that makes of its verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..sandbox.job import Execution
from ..verdict import Status, Verdict, infra_error

Policy = Literal["all", "fraction"]
POLICIES: tuple[str, ...] = get_args(Policy)
MOST_SHOWN = 100
"""Tests that stand in a verdict's evidence."""


@dataclass(frozen=True)
class Result:
    """How one test went.

    Attributes:
        test: its name, such as ``test 3`` or ``line 12``.
        status: as a verdict's; ``wrong`` where it failed.
        reason: one line, empty where it passed.
    """

    test: str
    status: Status = "ok"
    reason: str = ""

    def row(self) -> dict[str, str]:
        """As JSON."""
        row = {"test": self.test, "status": self.status}
        return row | ({"reason": self.reason} if self.reason else {})


def tally(results: Sequence[Result], of: int, policy: str, **evidence: Any) -> Verdict:
    """The verdict of ``policy`` on ``of`` tests, of which those after the last result did not run.

    A test that our machinery failed makes the whole unjudged; else the first failure gives status and reason.
    """
    passed = sum(result.status == "ok" for result in results)
    counted = {"passed": passed, "of": of, "tests": [result.row() for result in results[:MOST_SHOWN]], **evidence}
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


def judged(execution: Execution) -> tuple[Status, str]:
    """What it means that a job of the candidate's ended as it did, before it had answered."""
    if execution.status == "infra_error":
        return "infra_error", execution.reason
    if execution.status == "timeout" or execution.signal in ("SIGPROF", "SIGXCPU"):
        return "timeout", execution.reason or "took too long"
    if execution.status in ("oom", "limit") or execution.signal == "SIGXFSZ":
        return "limit", execution.reason or "took more than it may"
    if execution.status == "ok":
        return "wrong", "the program ended before it had answered"
    return "wrong", ended(execution)


def ended(execution: Execution) -> str:
    """How a program ended that failed, in one line."""
    last = execution.stderr.rstrip().rpartition("\n")[2].strip()
    how = f"ended by {execution.signal}" if execution.signal else f"ended with exit code {execution.exit_code}"
    return f"{how}: {ascii(last[:200])[1:-1]}" if last else how
