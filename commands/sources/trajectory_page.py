"""The page of one trajectory as JSON: conversation, rewards, and the tokens as columns."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ...trainer.run.step_record import ADVANTAGE, ENTROPY, TRAINER
from ...verifiers.reward import Reward
from ...verifiers.segment import Segment
from ...verifiers.trajectory import Trajectory
from .row import Row

Texts = Callable[[Sequence[int]], list[str] | None]
"""Token ids to their texts; None if there is no tokenizer."""


def trajectory_page(row: Row, text: bytes, texts: Texts) -> dict[str, Any]:
    """Everything about one trajectory.

    Args:
        row: its row.
        text: the trajectory as it is stored.
        texts: decodes its tokens.

    Raises:
        DataError: it is not a stored trajectory.
    """
    made = Trajectory.from_json(msgspec.json.decode(text))
    parents = branches(made.segments)
    return {
        "step": row.step,
        "group": row.group,
        "attempt": row.attempt,
        "environment": made.environment,
        "task": made.task.to_json(),
        "stop": made.stop.value,
        "error": made.error,
        "metrics": dict(made.metrics),
        "timings": dict(made.timings),
        "artifacts": dict(made.artifacts),
        "messages": {agent: list(messages) for agent, messages in made.messages.items()},
        "rewards": {agent: reward_json(reward) for agent, reward in made.rewards.items()},
        "segments": [
            segment_json(segment, texts, parent) for segment, parent in zip(made.segments, parents, strict=True)
        ],
    }


def reward_json(reward: Reward) -> dict[str, Any]:
    """A reward with what its total and its parts come to."""
    parts = [
        {
            "label": part.label,
            "weight": part.weight,
            "score": part.verdict.score,
            "adds": None if part.counted is None or reward.gate else part.weight * part.counted,
            "status": part.verdict.status,
            "reason": part.verdict.reason,
            "steps": list(part.verdict.steps),
            "evidence": part.verdict.evidence,
        }
        for part in reward.components
    ]
    total = reward.total if reward.scored else None
    return {
        "total": total,
        "success": reward.success,
        "gate": reward.gate,
        "skipped": list(reward.skipped),
        "parts": parts,
    }


def segment_json(segment: Segment, texts: Texts, parent: tuple[int, int] | None) -> dict[str, Any]:
    """A segment with one list for each property of its tokens; what does not exist is null."""
    forced = segment.extra.get("forced")
    return {
        "agent": segment.agent,
        "trainable": segment.trainable,
        "temperature": segment.temperature,
        "branch": None if parent is None else {"segment": parent[0], "token": parent[1]},
        "ids": segment.tokens.tolist(),
        "texts": texts(segment.tokens.tolist()),
        "sampled": segment.sampled.tolist(),
        "trained": segment.mask.tolist(),
        "forced": None if forced is None else np.asarray(forced, bool).tolist(),
        "sampler": _column(segment.logprobs),
        "trainer": _column(segment.extra.get(TRAINER)),
        "versions": [version if version >= 0 else None for version in segment.versions.tolist()],
        "entropies": _column(segment.extra.get(ENTROPY)),
        "advantages": _column(segment.extra.get(ADVANTAGE, segment.advantages)),
    }


def branches(segments: Sequence[Segment]) -> list[tuple[int, int] | None]:
    """For each segment, the earlier one of its agent with the longest common beginning, and how many tokens that has.

    None if no earlier segment begins with the same token.
    """
    found: list[tuple[int, int] | None] = []
    for number, segment in enumerate(segments):
        best: tuple[int, int] | None = None
        for earlier in range(number):
            if segments[earlier].agent == segment.agent:
                common = _common(segments[earlier].tokens, segment.tokens)
                if common > (best[1] if best else 0):
                    best = (earlier, common)
        found.append(best)
    return found


def _common(one: npt.NDArray[np.int32], other: npt.NDArray[np.int32]) -> int:
    """How many tokens the two have in common at their beginning."""
    shared = min(one.size, other.size)
    different = np.nonzero(one[:shared] != other[:shared])[0]
    return int(different[0]) if different.size else shared


def _column(values: npt.NDArray[Any] | None) -> list[float | None] | None:
    """Numbers with five decimals; NaN becomes null."""
    if values is None:
        return None
    return [None if value != value else round(value, 5) for value in np.asarray(values, np.float64).tolist()]
