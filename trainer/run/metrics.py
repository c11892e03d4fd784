"""Metrics of a step's groups. All except ``time/…``, ``rate/…`` and ``memory/…`` are the same for the same seed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean, pstdev

import numpy as np

from ...rollout.dispatcher import Batch, version_range
from ...verifiers.group import Group
from ...verifiers.segment import Segment
from ...verifiers.trajectory import StopReason, Trajectory
from ..learner.sample import FORCED, Sample

Metrics = dict[str, float]

GROUP_TIMES = {"time/group_median": 50, "time/group_p90": 90, "time/group_p99": 99, "time/group_most": 100}
"""Metric → percentile of the seconds from the admission of a group until the trainer took it."""

OLDEST = 16
"""Tokens of this age and more, in versions, are counted together."""


def step_metrics(step: Batch, labels: Sequence[str], version: int) -> Metrics:
    """Compute the metrics of a step's groups; in a run with several environments also for each, as ``LABEL/…``.

    Args:
        step: the groups.
        labels: the labels of the run's environments.
        version: the version of the weights that the step trains.
    """
    metrics = {
        **group_metrics(step.groups),
        "groups/failed": float(len(step.failures)),
        "groups/passed_over": float(len(step.passed_over)),
        **loss_metrics(step.groups),
        "staleness": float(version_age(step.groups, version)),
        **age_metrics(step.groups, version),
        **{name: float(np.percentile(step.ages or (0.0,), share)) for name, share in GROUP_TIMES.items()},
    }
    if len(labels) > 1:
        for label in labels:
            own = [group for group in step.groups if group.trajectories[0].environment == label]
            metrics |= {f"{label}/{name}": value for name, value in group_metrics(own).items()} if own else {}
    return metrics


def queue_metrics(playing: int, ready: int) -> Metrics:
    """Return how many groups were being made, and how many were ready, when the trainer asked for those of a step."""
    return {"rate/groups_playing": float(playing), "rate/groups_ready": float(ready)}


def age_metrics(groups: Sequence[Group], version: int) -> Metrics:
    """Compute which share of the sampled tokens is how many versions old: ``staleness/age_0``, ``staleness/age_1``, …

    The last one, ``OLDEST``, stands for all older ones, too.
    """
    segments = list(_segments(attempt for group in groups for attempt in group.trajectories))
    ages = [np.clip(version - segment.versions[segment.sampled], 0, OLDEST) for segment in segments]
    counts = np.bincount(np.concatenate([np.zeros(0, np.int32), *ages]))
    return {f"staleness/age_{age}": float(count / counts.sum()) for age, count in enumerate(counts)}


def loss_metrics(groups: Sequence[Group]) -> Metrics:
    """Compute which share of all attempts raised (scored or not), could not be judged, and has no score."""
    stops = [attempt.stop for group in groups for attempt in group.trajectories]
    lost = [attempt.stop for group in groups for attempt in group.lost]
    raised = sum(stop is StopReason.ENVIRONMENT_ERROR for stop in (*stops, *lost))
    unjudged = sum(stop is not StopReason.ENVIRONMENT_ERROR for stop in lost)
    made = len(stops) + len(lost)
    return {
        "attempts/raised": raised / made,
        "attempts/unjudged": unjudged / made,
        "attempts/unscored": len(lost) / made,
    }


def group_metrics(groups: Sequence[Group]) -> Metrics:
    """Compute rewards by label, lengths, stop reasons and variance of groups."""
    attempts = [attempt for group in groups for attempt in group.trajectories]
    totals = [reward.total for attempt in attempts for reward in attempt.rewards.values()]
    sampled = [sum(int(segment.sampled.sum()) for segment in attempt.segments) for attempt in attempts]
    metrics: Metrics = {
        "reward/total": fmean(totals),
        "reward/std": pstdev(totals),
        "groups/zero_variance": fmean(group.zero_variance for group in groups),
        "groups/attempts": fmean(len(group.trajectories) for group in groups),
        "tokens/reply": fmean(sampled),
        "tokens/reply_most": float(max(sampled)),
        "tokens/sampled": float(sum(sampled)),
    }
    if forced := sum(int((one.extra[FORCED] & one.mask).sum()) for one in _segments(attempts) if FORCED in one.extra):
        metrics["tokens/forced"] = float(forced)
    for label, scores in sorted(_by_label(attempts).items()):
        metrics |= {f"reward/{label}": fmean(scores), f"reward_std/{label}": pstdev(scores)}
    stops = Counter(attempt.stop.value for attempt in attempts)
    metrics |= {f"stop/{name}": count / len(attempts) for name, count in sorted(stops.items())}
    names = sorted({name for attempt in attempts for name in attempt.metrics})
    return metrics | {
        f"episode/{name}": fmean(attempt.metrics[name] for attempt in attempts if name in attempt.metrics)
        for name in names
    }


def mean_scores(attempts: Iterable[Trajectory]) -> Metrics:
    """Return the mean unweighted score of each label, over all agents that have the label."""
    return {label: fmean(scores) for label, scores in sorted(_by_label(attempts).items())}


def advantage_metrics(samples: Sequence[Sample]) -> Metrics:
    """Compute mean, standard deviation and largest absolute value of the trained tokens' advantages."""
    advantages = np.concatenate([np.zeros(0, np.float32), *(sample.advantages[sample.mask] for sample in samples)])
    if not advantages.size:
        return {"advantage/mean": 0.0, "advantage/std": 0.0, "advantage/most": 0.0}
    return {
        "advantage/mean": float(advantages.mean()),
        "advantage/std": float(advantages.std()),
        "advantage/most": float(np.abs(advantages).max()),
    }


def _segments(attempts: Iterable[Trajectory]) -> Iterator[Segment]:
    return (segment for attempt in attempts for segment in attempt.segments)


def _by_label(attempts: Iterable[Trajectory]) -> dict[str, list[float]]:
    scores: dict[str, list[float]] = defaultdict(list)
    for attempt in attempts:
        for reward in attempt.rewards.values():
            for label, _, verdict in reward.components:
                if verdict.score is not None:
                    scores[label].append(verdict.score)
    return scores


def version_age(groups: Sequence[Group], version: int) -> int:
    """Return how many versions behind ``version`` the oldest sampled token is."""
    versions = [first for group in groups for first in version_range(group)[:1]]
    return version - min(versions, default=version)


def scoring_seconds(groups: Sequence[Group]) -> float:
    """Return the seconds that verifiers took, summed over all trajectories."""
    return float(
        sum(
            part.verdict.elapsed
            for group in groups
            for attempt in group.trajectories
            for reward in attempt.rewards.values()
            for part in reward.components
        )
    )
