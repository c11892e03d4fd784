"""Scored trajectories and candidates made by hand."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from lachesis.rollout.store import Stored
from lachesis.rollout.training_rows.candidate import Candidate, Kind, candidates_of
from lachesis.verifiers.message import Message
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, StopReason, Trajectory
from lachesis.verifiers.verdict import Verdict, infra_error


def segment_of(tokens: Sequence[int], sampled: Sequence[int], trained: Sequence[int], agent: str = POLICY) -> Segment:
    """A segment in which ``sampled`` and ``trained`` are places."""
    places = np.arange(len(tokens))
    drawn = np.isin(places, sampled)
    return Segment(
        np.array(tokens),
        drawn,
        np.isin(places, trained),
        np.where(drawn, np.float32(-1.0), np.float32(np.nan)),
        np.where(drawn, 0, -1),
        agent=agent,
    )


def trajectory_of(
    question: str,
    reply: str | Sequence[Message],
    total: float | None,
    *,
    parts: Mapping[str, float] | None = None,
    graded: bool = False,
    stop: StopReason = StopReason.DONE,
    environment: str = "toy",
    segments: Sequence[Segment] = (),
) -> Trajectory:
    """One attempt; ``reply`` may be all messages after the question, and a total of None is an infrastructure error."""
    asked = Message(role="user", content=question)
    said = [Message(role="assistant", content=reply)] if isinstance(reply, str) else list(reply)
    verdict = infra_error("down") if total is None else Verdict(total, "ok" if total >= 1 else "wrong", graded=graded)
    others = tuple(Component(label, 0.0, Verdict(score)) for label, score in (parts or {}).items())
    return Trajectory(
        Task(question),
        environment,
        {POLICY: (asked, *said)},
        tuple(segments),
        stop=stop,
        rewards={POLICY: Reward((Component("exact", 1.0, verdict), *others))},
    )


Make = Callable[..., list[Candidate]]


@pytest.fixture(scope="session")
def candidates() -> Make:
    """Makes the candidates of trajectories; the attempts at a task are numbered in their order."""

    def make(*made: Trajectory, kind: Kind = "messages", sketched: bool = True) -> list[Candidate]:
        numbers: dict[str, int] = {}
        found: list[Candidate] = []
        for trajectory in made:
            number = numbers[trajectory.task.hash] = numbers.get(trajectory.task.hash, -1) + 1
            found += candidates_of(0, Stored(0, 0, number, trajectory), kind, sketched)
        return found

    return make


@pytest.fixture(scope="session")
def made() -> Callable[..., Trajectory]:
    """Makes a trajectory; see ``trajectory_of``."""
    return trajectory_of


@pytest.fixture(scope="session")
def segment() -> Callable[..., Segment]:
    """Makes a segment; see ``segment_of``."""
    return segment_of
