"""How an agent went about its task: verifiers over the calls it made and how they went.

The formulas of accuracy and recovery are those published for the Hermes agent's reward. A policy earns nothing with
what it only writes: calls and results are what the environment carried out. An attempt of which no call was carried out
scores how much of the task it did: to do nothing does not pay, and a task that needs no tool costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from ..case import Case
from ..errors import ConfigError
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, wrong
from .completion import Completion
from .steps import Call, calls_of, steps_of

_COMPLETION = frozenset({"artifact"})


async def _without_calls(completion: Completion, case: Case) -> Verdict:
    """The verdict on an attempt for which nothing was carried out: it called nothing, or what no tool answered."""
    if not completion.declares(case):
        return wrong("no tool was called, and nothing says that the task was done without")
    return await completion.share(case)


def _carried_out(calls: Sequence[Call]) -> bool:
    """Whether any call was taken up, be it to fail."""
    return any(call.outcome != "unanswered" for call in calls)


def _graded(score: float, reason: str, **evidence: Any) -> Verdict:
    return passed(score=score, **evidence) if score == 1 else wrong(reason, score=score, **evidence)


def _within(name: str, field: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"verifier {name!r}: {field} is from {low:g} to {high:g}, found {value!r}")


@verifier("tool_accuracy")
@dataclass(frozen=True)
class ToolAccuracy(Completion):
    """No tool call failed: max(0, 1 - 0.2 n) for n calls that could not be read, were refused, or raised.

    Calls that a limit kept from being carried out are not counted.

    Attributes:
        penalty: what each failed call costs.
        by, params, artifact: whether the task was done, as for ``task_completion``: for attempts without a call.

    Example:
        {"verifier": "tool_accuracy", "answer": null, "messages": [
            {"role": "assistant", "content": "<tool_call>{\\"name\\": \\"look\\", \\"arguments\\": {}}</tool_call>"},
            {"role": "tool", "name": "look", "content": "Error: no such file", "error": true}]} -> 0.8
    """

    penalty: float = 0.2
    row_params: ClassVar[frozenset[str]] = _COMPLETION | {"penalty"}

    def __post_init__(self) -> None:
        super().__post_init__()
        _within("tool_accuracy", "penalty", self.penalty, 0, 1)

    async def verify(self, case: Case) -> Verdict:
        """``ok`` 1.0, or ``wrong`` with the score that is left."""
        calls = calls_of(steps_of(case.messages))
        if not _carried_out(calls):
            return await _without_calls(self, case)
        failed = sum(call.outcome == "failed" for call in calls)
        score = max(0.0, 1 - self.penalty * failed)
        return _graded(score, f"{failed} of {len(calls)} calls failed", calls=len(calls), failed=failed)


@verifier("efficiency")
@dataclass(frozen=True)
class Efficiency(Completion):
    """The task was done with the fewest calls that do it: the share done, times optimum / calls.

    Every call counts, also failed ones and each of several in one turn.

    Attributes:
        optimum: the fewest calls that do it, where ``task.info["optimal_calls"]`` does not say.
        limit: with it the score falls evenly, from 1 at the optimum to 0 at this many calls.
        by, params, artifact: whether the task was done, as for ``task_completion``.

    Example:
        {"verifier": "efficiency", "answer": null, "artifacts": {"completed": true}, "messages": [
            {"role": "assistant", "content": "<tool_call>{\\"name\\": \\"look\\"}</tool_call>"},
            {"role": "tool", "name": "look", "content": "a"},
            {"role": "assistant", "content": "<tool_call>{\\"name\\": \\"take\\"}</tool_call>"},
            {"role": "tool", "name": "take", "content": "taken"}]} -> 0.5
    """

    optimum: int = 1
    limit: int | None = None
    row_params: ClassVar[frozenset[str]] = _COMPLETION | {"optimum"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if (
            not isinstance(self.optimum, int)
            or self.optimum < 0
            or (self.limit is not None and self.limit <= self.optimum)
        ):
            raise ConfigError(
                f"verifier 'efficiency': optimum is 0 or more and limit above it, found {self.optimum}, {self.limit}"
            )

    async def verify(self, case: Case) -> Verdict:
        """``ok`` 1.0 at the optimum, else ``wrong`` with the score; 0 for what was not done."""
        optimum = case.task.info.get("optimal_calls", self.optimum)
        if isinstance(optimum, bool) or not isinstance(optimum, int) or optimum < 0:
            return infra_error(f"info['optimal_calls'] is a count, found {optimum!r:.80}; repair the dataset")
        done = await self.share(case)
        if not done.score:
            return done
        calls = len(calls_of(steps_of(case.messages)))
        score = done.score * self._ratio(calls, optimum)
        return _graded(score, f"{calls} calls, {optimum} would do; {done.score:g} done", calls=calls, optimum=optimum)

    def _ratio(self, calls: int, optimum: int) -> float:
        if calls <= optimum:
            return 1.0
        if self.limit is None:
            return optimum / calls
        return max(0.0, (self.limit - calls) / (self.limit - optimum)) if self.limit > optimum else 0.0


@verifier("error_recovery")
@dataclass(frozen=True)
class ErrorRecovery:
    """Steps that succeed right after a failed one: min(1, 0.3 n) for n of them.

    A step is a turn with calls: it failed if any call did, and succeeded if all did. Where nothing failed there is
    nothing to recover from, and the published formula gives 0.

    By itself the formula pays errors made on purpose. Beside ``tool_accuracy``, in the published weights, it does not:
    a failed call costs more there (0.05) than its recovery earns here (0.045), until the fifth, after which there is no
    accuracy left to lose. ``no_failure=1`` is for use without it: then no number of errors is worth more than none.

    Attributes:
        gain: what each recovery earns.
        no_failure: the score where nothing failed.

    Example:
        {"verifier": "error_recovery", "answer": null, "messages": [
            {"role": "assistant", "content": "<tool_call>{\\"name\\": \\"lok\\"}</tool_call>"},
            {"role": "tool", "name": "lok", "content": "Error: no tool 'lok'", "error": true},
            {"role": "assistant", "content": "<tool_call>{\\"name\\": \\"look\\"}</tool_call>"},
            {"role": "tool", "name": "look", "content": "a"}]} -> 0.3
    """

    gain: float = 0.3
    no_failure: float = 0.0
    row_params: ClassVar[frozenset[str]] = frozenset({"gain", "no_failure"})

    def __post_init__(self) -> None:
        _within("error_recovery", "gain", self.gain, 0, 1)
        _within("error_recovery", "no_failure", self.no_failure, 0, 1)

    async def verify(self, case: Case) -> Verdict:
        """``ok`` with the score."""
        steps = steps_of(case.messages)
        failures = sum(step.failed for step in steps)
        if not failures:
            return passed("nothing failed", score=self.no_failure, failures=0)
        recovered = sum(before.failed and after.succeeded for before, after in pairwise(steps))
        return passed(
            f"{recovered} recoveries from {failures} failed steps",
            score=min(1.0, self.gain * recovered),
            failures=failures,
            recovered=recovered,
        )


@verifier("goal_alignment")
@dataclass(frozen=True)
class GoalAlignment(Completion):
    """Every call served the goal, as far as declared checks can say; no judge reads what the agent meant.

    Each call that strays costs ``penalty``: one to a tool that is not allowed, or forbidden, or the same call with the
    same arguments again after it succeeded. What is left is multiplied by the share of the ``required``
    tools that were called with success, in their order. ``task.info["goal"]`` may give ``allowed``, ``forbidden`` and
    ``required`` for its task.

    Attributes:
        allowed: the only tools that serve the goal; None for all.
        forbidden: tools that do not.
        required: tools that it takes, in order.
        repeats: whether a call may be repeated after it succeeded.
        penalty: what each straying call costs.
        by, params, artifact: whether the task was done, as for ``task_completion``: for attempts without a call.

    Example:
        {"verifier": "goal_alignment", "answer": null, "info": {"goal": {"required": ["look", "take"]}}, "messages": [
            {"role": "assistant", "content": "<tool_call>{\\"name\\": \\"look\\"}</tool_call>"},
            {"role": "tool", "name": "look", "content": "a"}]} -> 0.5
    """

    allowed: Sequence[str] | None = None
    forbidden: Sequence[str] = ()
    required: Sequence[str] = ()
    repeats: bool = False
    penalty: float = 0.2
    row_params: ClassVar[frozenset[str]] = _COMPLETION | {"allowed", "forbidden", "required", "repeats", "penalty"}

    def __post_init__(self) -> None:
        super().__post_init__()
        _within("goal_alignment", "penalty", self.penalty, 0, 1)
        for field in ("allowed", "forbidden", "required"):
            if not _are_names(getattr(self, field) or ()):
                raise ConfigError(
                    f"verifier 'goal_alignment': {field} is a list of tools, found {getattr(self, field)!r:.80}"
                )

    async def verify(self, case: Case) -> Verdict:
        """``ok`` 1.0, or ``wrong`` with the score that is left."""
        goal = case.task.info.get("goal") or {}
        if not isinstance(goal, dict) or not all(_are_names(goal.get(key) or ()) for key in _GOAL):
            return infra_error(f"info['goal'] has lists of tools: {', '.join(_GOAL)}, found {goal!r:.80}")
        allowed = goal.get("allowed", self.allowed)
        forbidden, required = goal.get("forbidden", self.forbidden), goal.get("required", self.required)
        calls = calls_of(steps_of(case.messages))
        if not required and all(call.outcome != "succeeded" for call in calls):  # nothing served any goal
            return await _without_calls(self, case)
        strayed: list[str] = []
        succeeded: set[str] = set()
        for call in calls:
            outside = call.name in forbidden or (allowed is not None and call.name not in allowed)
            if outside or (call.key in succeeded and not self.repeats):
                strayed.append(call.name)
            if call.outcome == "succeeded":
                succeeded.add(call.key)
        found = _in_order(required, calls)
        score = max(0.0, 1 - self.penalty * len(strayed)) * (found / len(required) if required else 1)
        reason = f"{len(strayed)} calls strayed, {found} of {len(required)} required tools were called in order"
        return _graded(score, reason, strayed=strayed[:20], required=found)


_GOAL = ("allowed", "forbidden", "required")
_MOST_NAMES = 64


def _are_names(value: Any) -> bool:
    return (
        isinstance(value, list | tuple) and len(value) <= _MOST_NAMES and all(isinstance(name, str) for name in value)
    )


def _in_order(required: Sequence[str], calls: Sequence[Call]) -> int:
    """How many of ``required`` were called with success in their order: the longest common subsequence."""
    lengths = [0] * (len(required) + 1)
    for call in calls:
        if call.outcome != "succeeded":
            continue
        before = 0  # of the row above, one to the left
        for number, name in enumerate(required, start=1):
            above = lengths[number]
            lengths[number] = before + 1 if call.name == name else max(above, lengths[number - 1])
            before = above
    return lengths[-1]
