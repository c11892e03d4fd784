"""Verifiers of an agent's tool calls and their outcomes: accuracy, efficiency, error recovery, goal alignment.

The formulas for accuracy and recovery are those published for the Hermes agent reward. Only calls and results that the
environment executed count, so a policy earns nothing by merely writing them. An attempt without any executed call is
scored by task completion: doing nothing does not pay, and a task that needs no tool costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from ..case import Case
from ..errors import ConfigError
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, wrong
from .completion import Completion, Scaled
from .steps import Call, calls_of, steps_of

_COMPLETION = frozenset({"artifact"})


async def _completion_verdict(completion: Completion, case: Case) -> Verdict:
    """Return the verdict on an attempt without any executed call."""
    if not completion.declares(case):
        return wrong("no tool was called, and it is unknown whether the task was done")
    return await completion.share(case)


def _any_executed(calls: Sequence[Call]) -> bool:
    """Return whether any call was executed, even if it failed."""
    return any(call.outcome != "unanswered" for call in calls)


def _score_verdict(score: float, reason: str, **evidence: Any) -> Verdict:
    return passed(score=score, **evidence) if score == 1 else wrong(reason, score=score, **evidence)


def _check_range(name: str, field: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"verifier {name!r}: {field} must be from {low:g} to {high:g}, found {value!r}")


@verifier("tool_accuracy")
@dataclass(frozen=True)
class ToolAccuracy(Scaled):
    """No tool call failed: max(0, 1 - 0.2 n) for n calls that could not be parsed, were refused, or raised.

    Calls that were not executed because of a limit are not counted.

    Attributes:
        penalty: cost of each failed call.
        scaled: multiply the score by the share of the task that was done.
        by, params, artifact: source of task completion, as in ``task_completion``, for attempts without a call.

    Example:
        {"verifier": "tool_accuracy", "answer": null, "messages": [
            {"role": "assistant", "content": "<tool_call>{\\"name\\": \\"look\\", \\"arguments\\": {}}</tool_call>"},
            {"role": "tool", "name": "look", "content": "Error: no such file", "error": true}]} -> 0.8
    """

    penalty: float = 0.2
    row_params: ClassVar[frozenset[str]] = _COMPLETION | {"penalty"}

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_range("tool_accuracy", "penalty", self.penalty, 0, 1)

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, or ``wrong`` with the remaining score."""
        calls = calls_of(steps_of(case.messages))
        if not _any_executed(calls):
            return await _completion_verdict(self, case)
        failed = sum(call.outcome == "failed" for call in calls)
        score = max(0.0, 1 - self.penalty * failed)
        verdict = _score_verdict(score, f"{failed} of {len(calls)} calls failed", calls=len(calls), failed=failed)
        return await self.scale(case, verdict)


@verifier("efficiency")
@dataclass(frozen=True)
class Efficiency(Completion):
    """The task was done with the fewest possible calls: the share done, times optimum / calls.

    Every call counts, including failed ones and each of several in one turn.

    Attributes:
        optimum: fewest calls that solve the task, unless ``task.info["optimal_calls"]`` is given.
        limit: if set, the score falls linearly from 1 at the optimum to 0 at this many calls.
        by, params, artifact: source of task completion, as in ``task_completion``.

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
                f"verifier 'efficiency': need 0 <= optimum < limit, found optimum {self.optimum}, limit {self.limit}"
            )

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0 at the optimum, else ``wrong`` with the score, which is 0 if nothing was done."""
        optimum = case.task.info.get("optimal_calls", self.optimum)
        if isinstance(optimum, bool) or not isinstance(optimum, int) or optimum < 0:
            return infra_error(f"info['optimal_calls'] must be a count, found {optimum!r:.80}; repair the dataset")
        done = await self.share(case)
        if not done.score:
            return done
        calls = len(calls_of(steps_of(case.messages)))
        score = done.score * self._ratio(calls, optimum)
        return _score_verdict(
            score, f"{calls} calls, {optimum} suffice; {done.score:g} done", calls=calls, optimum=optimum
        )

    def _ratio(self, calls: int, optimum: int) -> float:
        if calls <= optimum:
            return 1.0
        if self.limit is None:
            return optimum / calls
        return max(0.0, (self.limit - calls) / (self.limit - optimum)) if self.limit > optimum else 0.0


@verifier("error_recovery")
@dataclass(frozen=True)
class ErrorRecovery(Scaled):
    """A step succeeds right after a failed one: min(1, 0.3 n) for n such recoveries.

    A step is a turn with calls: it failed if any call did, and succeeded if all did. If nothing failed there is nothing
    to recover from, and the published formula gives 0.

    On its own, this formula rewards deliberate errors. Together with ``tool_accuracy`` in the published weights it does
    not: a failed call costs more there (0.05) than its recovery earns here (0.045), until the fifth, after which there
    is no accuracy left to lose. Without ``tool_accuracy``, set ``no_failure=1``: then errors never pay.

    Attributes:
        gain: score of each recovery.
        no_failure: score if nothing failed.
        scaled: multiply the score by the share of the task that was done.
        by, params, artifact: source of task completion, as in ``task_completion``, for ``scaled``.

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
        super().__post_init__()
        _check_range("error_recovery", "gain", self.gain, 0, 1)
        _check_range("error_recovery", "no_failure", self.no_failure, 0, 1)

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` with the score of the recoveries."""
        steps = steps_of(case.messages)
        failures = sum(step.failed for step in steps)
        if not failures:
            return await self.scale(case, passed("nothing failed", score=self.no_failure, failures=0))
        recovered = sum(before.failed and after.succeeded for before, after in pairwise(steps))
        said = f"{recovered} recoveries from {failures} failed steps"
        score = min(1.0, self.gain * recovered)
        return await self.scale(case, passed(said, score=score, failures=failures, recovered=recovered))


@verifier("goal_alignment")
@dataclass(frozen=True)
class GoalAlignment(Scaled):
    """Every call served the goal, by declared rules; no judge model is involved.

    Each off-goal call costs ``penalty``: a call of a tool that is forbidden or not allowed, or a repetition of the same
    call after it succeeded. The remaining score is multiplied by the share of the ``required`` tools that were called
    successfully, in order. ``task.info["goal"]`` may override ``allowed``, ``forbidden`` and ``required``.

    Attributes:
        allowed: the only tools that serve the goal; None for all.
        forbidden: tools that do not serve the goal.
        required: tools that the goal requires, in order.
        repeats: whether a call may be repeated after it succeeded.
        penalty: cost of each off-goal call.
        scaled: multiply the score by the share of the task that was done.
        by, params, artifact: source of task completion, as in ``task_completion``, for attempts without a call.

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
        _check_range("goal_alignment", "penalty", self.penalty, 0, 1)
        for field in ("allowed", "forbidden", "required"):
            if not _are_names(getattr(self, field) or ()):
                raise ConfigError(
                    f"verifier 'goal_alignment': {field} must be a list of tools, found {getattr(self, field)!r:.80}"
                )

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, or ``wrong`` with the remaining score."""
        goal = case.task.info.get("goal") or {}
        if not isinstance(goal, dict) or not all(_are_names(goal.get(key) or ()) for key in _GOAL):
            return infra_error(f"info['goal'] must hold lists of tools: {', '.join(_GOAL)}, found {goal!r:.80}")
        allowed = goal.get("allowed", self.allowed)
        forbidden, required = goal.get("forbidden", self.forbidden), goal.get("required", self.required)
        calls = calls_of(steps_of(case.messages))
        if not required and all(call.outcome != "succeeded" for call in calls):  # no call served the goal
            return await _completion_verdict(self, case)
        strayed: list[str] = []
        succeeded: set[str] = set()
        for call in calls:
            outside = call.name in forbidden or (allowed is not None and call.name not in allowed)
            if outside or (call.key in succeeded and not self.repeats):
                strayed.append(call.name)
            if call.outcome == "succeeded":
                succeeded.add(call.key)
        found = _called_in_order(required, calls)
        score = max(0.0, 1 - self.penalty * len(strayed)) * (found / len(required) if required else 1)
        reason = f"{len(strayed)} calls were off-goal, {found} of {len(required)} required tools were called in order"
        return await self.scale(case, _score_verdict(score, reason, strayed=strayed[:20], required=found))


_GOAL = ("allowed", "forbidden", "required")
_MOST_NAMES = 64


def _are_names(value: Any) -> bool:
    return (
        isinstance(value, list | tuple) and len(value) <= _MOST_NAMES and all(isinstance(name, str) for name in value)
    )


def _called_in_order(required: Sequence[str], calls: Sequence[Call]) -> int:
    """Return how many of ``required`` were called successfully in order: the longest common subsequence."""
    lengths = [0] * (len(required) + 1)
    for call in calls:
        if call.outcome != "succeeded":
            continue
        before = 0  # value of the previous row, one column to the left
        for number, name in enumerate(required, start=1):
            above = lengths[number]
            lengths[number] = before + 1 if call.name == name else max(above, lengths[number - 1])
            before = above
    return lengths[-1]
