"""The reward of the Hermes agent as published: five components and their weights."""

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
"""Label → weight; they sum to 1."""


def hermes_agent(
    *,
    by: str = "",
    params: dict[str, Any] | None = None,
    artifact: str = "completed",
    optimum: int = 1,
    limit: int | None = None,
    no_failure: float = 0.0,
    agent: str = POLICY,
) -> tuple[Use, ...]:
    """The five components for a rubric: ``Rubric(*hermes_agent(by="number"))``.

    A clean attempt totals 0.85, since the published recovery gives 0 where nothing failed; ``no_failure=1`` makes that
    1. Either way a clean attempt is worth more than one that fails on purpose to recover. ``lachesis eval`` counts an
    attempt as passed if every component passed, which without a failure only ``no_failure`` above 0 allows.

    Args:
        by: a verifier of the last reply that says whether the task was done; empty for ``artifact``.
        params: that verifier's parameters.
        artifact: what ``finish`` leaves of it in the artifacts.
        optimum: the fewest calls that do it, where ``task.info["optimal_calls"]`` does not say.
        limit: calls at which efficiency is 0; None for optimum / calls.
        no_failure: what recovery scores where nothing failed.
        agent: whose part is judged.
    """
    completion = {"by": by, "params": params or {}, "artifact": artifact}
    own: dict[str, dict[str, Any]] = {
        "task_completion": completion,
        "tool_accuracy": completion,
        "efficiency": {**completion, "optimum": optimum, "limit": limit},
        "error_recovery": {"no_failure": no_failure},
        "goal_alignment": completion,
    }
    return tuple(Use(name, weight, name, agent, own[name]) for name, weight in WEIGHTS.items())
