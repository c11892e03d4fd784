"""Advantages of single turns over the attempts of a group: once an agent has one, its other turns have 0."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..verifiers.trajectory import Trajectory


def with_all_advantages(attempts: Sequence[Trajectory]) -> tuple[Trajectory, ...]:
    """The attempts, with advantages of 0 wherever an agent was given some in another attempt and none here.

    An attempt can lack them because a limit ended it early; its tokens are then not trained by its reward either, since
    advantages of the two kinds cannot be compared.
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
