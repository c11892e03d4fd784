"""Preset of the published Hermes agent reward: five components and their weights."""

from typing import Any

from ..trajectory import POLICY
from ..use import Use

WEIGHTS = {
    "task_completion": 0.35,
    "tool_accuracy": 0.25,
    "efficiency": 0.15,
    "error_recovery": 0.15,
    "goal_alignment": 0.10,
}
"""Label → weight; the weights sum to 1."""


def hermes_agent(
    *,
    by: str = "",
    params: dict[str, Any] | None = None,
    artifact: str = "completed",
    optimum: int = 1,
    limit: int | None = None,
    no_failure: float = 0.0,
    scaled: bool = True,
    agent: str = POLICY,
) -> tuple[Use, ...]:
    """Return the five components for a rubric: ``Rubric(*hermes_agent(by="number"))``.

    A flawless attempt totals 0.85, since the published recovery is 0 if nothing failed; with ``no_failure=1`` it totals
    1. In both cases it is worth more than failing on purpose to recover. ``lachesis eval`` counts an attempt as passed
    if every component passed, so a flawless attempt passes only with ``no_failure`` above 0.

    Unlike the published reward, every component counts only as far as the task was done: there, one call that does
    nothing, and a wrong answer, earn 0.35. ``scaled=False`` gives the published one.

    Args:
        by: name of a verifier that scores the last reply; empty to use ``artifact``.
        params: parameters of that verifier.
        artifact: name of the artifact in which ``finish`` leaves the completion.
        optimum: fewest calls that solve the task, unless ``task.info["optimal_calls"]`` is given.
        limit: number of calls at which efficiency is 0; None for optimum / calls.
        no_failure: score of recovery if nothing failed.
        scaled: whether conduct counts only as far as the task was done.
        agent: name of the agent that is scored.
    """
    completion = {"by": by, "params": params or {}, "artifact": artifact}
    own: dict[str, dict[str, Any]] = {
        "task_completion": completion,
        "tool_accuracy": {**completion, "scaled": scaled},
        "efficiency": {**completion, "optimum": optimum, "limit": limit},
        "error_recovery": {**completion, "no_failure": no_failure, "scaled": scaled},
        "goal_alignment": {**completion, "scaled": scaled},
    }
    return tuple(Use(name, weight, name, agent, own[name]) for name, weight in WEIGHTS.items())
