"""Advantages of single turns over the attempts of a group: once an agent has one, its other turns have 0."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..verifiers.trajectory import Trajectory


def with_all_advantages(attempts: Sequence[Trajectory]) -> tuple[Trajectory, ...]:
    """The attempts of a group; an agent that has advantages in one attempt now has 0 in those that lack them.

    A limit may have ended an attempt before it gave any. Its reward is not used instead, because the two kinds of
    advantages cannot be compared.
    """
    segments = [segment for attempt in attempts for segment in attempt.segments]
    agents = {segment.agent for segment in segments if segment.advantages is not None}
    if not agents:
        return tuple(attempts)
    return tuple(_completed(attempt, agents) for attempt in attempts)


def _completed(attempt: Trajectory, agents: set[str]) -> Trajectory:
    segments = tuple(
        replace(segment, advantages=np.zeros(len(segment), np.float32))
        if segment.advantages is None and segment.agent in agents
        else segment
        for segment in attempt.segments
    )
    return replace(attempt, segments=segments)
