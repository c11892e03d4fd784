"""The outcome of an audited episode: what it earned, and how two outcomes compare."""

from typing import Any, NamedTuple

from ...verifiers.reward import Reward
from ...verifiers.trajectory import Trajectory


class Outcome(NamedTuple):
    """The parts of an episode that equal seeds and replies must make equal."""

    messages: dict[str, list[Any]]
    totals: dict[str, float]
    stop: str


def outcome_of(attempt: Trajectory) -> Outcome:
    """The outcome of a scored attempt."""
    messages = {agent: list(said) for agent, said in attempt.messages.items()}
    return Outcome(messages, totals_of(attempt), attempt.stop.value)


def totals_of(attempt: Trajectory) -> dict[str, float]:
    """The total of each agent that has a score."""
    return {agent: reward.total for agent, reward in attempt.rewards.items() if reward.scored}


def difference(first: Trajectory, second: Trajectory) -> str:
    """The first message that differs between two attempts, or else their totals, as text."""
    one, other = outcome_of(first), outcome_of(second)
    for agent, said in one.messages.items():
        for here, there in zip(said, other.messages.get(agent, []), strict=False):
            if here != there:
                return f"{here['role']} message {here['content']!r:.60} and {there['content']!r:.60}"
    return f"rewards {one.totals} and {other.totals}"


def passes(reward: Reward) -> bool:
    """Whether the reward is a success or, if success is undefined, whether the total is above 0.

    A reward of metrics alone passes: that nothing can be earned is a finding of its own.
    """
    if (success := reward.success) is not None:
        return success
    return reward.scored and (reward.total > 0 or not any(part.weight for part in reward.components))


def earns(attempt: Trajectory, gold: Trajectory, agent: str) -> bool:
    """Whether ``attempt`` earns as much as ``gold``, which passes: in total, or by the heaviest part of its reward."""
    reward, best = attempt.rewards[agent], gold.rewards[agent]
    if best.total > 0 and reward.total >= best.total:
        return True
    heaviest = max(best.components, key=lambda part: part.weight)
    if not passes(reward) or heaviest.label in reward.skipped:
        return False
    found = {part.label: part.verdict for part in reward.components}.get(heaviest.label)
    return found is not None and found.passed and (found.score or 0.0) >= (heaviest.verdict.score or 0.0)
