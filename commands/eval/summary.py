"""The results of an evaluation: means, pass@k and majority votes, with confidence intervals over tasks."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

from ...rollout.config import PriceConfig
from .score_file import Score

Z95 = 1.959964
"""Standard errors on each side of a 95% confidence interval."""

Estimate = tuple[float, float]
"""A mean over tasks, and its standard error."""


class Summary(NamedTuple):
    """The results of an evaluation on one environment.

    Attributes:
        means: label → (mean, its standard error); attempts at one task are one observation, since they are not
            independent. The error is NaN for a single task.
        accuracy: the same for the share of successes (``Reward.success``); None if success is undefined.
        pass_at: k → the probability that at least one of k attempts at a task is a success; k is 2, 4, 8, … up to the
            attempts. Tasks with fewer than k scored attempts are left out.
        majority: k → the share of tasks that a majority vote among their k attempts gets right; empty if the
            environment extracts no answers.
        stops: stop reason → count.
        scored: how many trajectories have a score.
        unscored: how many have none, because of an infrastructure error; no mean includes them.
    """

    means: dict[str, Estimate]
    accuracy: Estimate | None
    pass_at: dict[int, Estimate]
    majority: dict[int, Estimate]
    stops: dict[str, int]
    scored: int
    unscored: int

    def named(self, accuracy: str = "accuracy") -> dict[str, Estimate]:
        """Every estimate by the name that a table shows; ``accuracy`` is the name of the share of successes."""
        return {
            **self.means,
            **({accuracy: self.accuracy} if self.accuracy else {}),
            **{f"pass@{k}": found for k, found in self.pass_at.items()},
            **{f"maj@{k}": found for k, found in self.majority.items()},
        }


def summarise(scores: Iterable[Score]) -> Summary:
    """Means over the trajectories that have a score."""
    everything = list(scores)
    scored = [score for score in everything if score.scored]
    labels = sorted({label for score in scored for label in score.rewards}, key=lambda label: (label == "total", label))
    means = {label: _mean((s.task, s.rewards[label]) for s in scored if label in s.rewards) for label in labels}
    accuracy, passing, majority = None, {}, {}
    if scored and all(score.success is not None for score in scored):
        accuracy = _mean((score.task, float(bool(score.success))) for score in scored)
        by_task: dict[str, list[Score]] = defaultdict(list)
        for score in scored:
            by_task[score.task].append(score)
        tasks = list(by_task.values())
        most = max(map(len, tasks))
        passing = {k: _pass_estimate(tasks, k) for k in _powers(most)}
        if most > 1 and any(score.answer for score in scored):
            majority = {most: _estimate([majority_success(task) for task in tasks if len(task) == most])}
    stops = dict(Counter(score.stop for score in everything).most_common())
    return Summary(means, accuracy, passing, majority, stops, len(scored), len(everything) - len(scored))


def pass_at_k(attempts: int, successes: int, k: int) -> float:
    """The unbiased estimate of the probability that one of ``k`` attempts succeeds (Chen et al., arXiv:2107.03374).

    ``k`` is at most ``attempts``.
    """
    return 1.0 - math.comb(attempts - successes, k) / math.comb(attempts, k)


def majority_success(attempts: Sequence[Score]) -> float:
    """The success of the most frequent answer; the mean of several that are equally frequent, and 0 without answers."""
    votes: dict[str, list[float]] = defaultdict(list)
    for score in attempts:
        if score.answer:
            votes[score.answer].append(float(bool(score.success)))
    most = max(map(len, votes.values()), default=0)
    return fmean([fmean(given) for given in votes.values() if len(given) == most]) if most else 0.0


def interval(label: str, mean: float, error: float) -> dict[str, Any]:
    """A mean with the bounds of its 95% confidence interval; null where a number is not known."""
    known = math.isfinite(error)
    return {
        "label": label,
        "mean": mean if math.isfinite(mean) else None,
        "low": mean - Z95 * error if known else None,
        "high": mean + Z95 * error if known else None,
    }


class Usage(NamedTuple):
    """What the attempts of an evaluation took.

    Attributes:
        prompt: tokens of prompts.
        completion: tokens of replies.
        seconds: of all episodes together; they run at the same time.
        dollars: by the prices of the agents' endpoints.
    """

    prompt: float = 0.0
    completion: float = 0.0
    seconds: float = 0.0
    dollars: float = 0.0


def usage_of(scores: Iterable[Score], prices: Mapping[str, PriceConfig]) -> Usage:
    """The usage of all ``scores``; ``prices`` are the ``PriceConfig`` of agents behind URLs, by agent."""
    total = Usage()
    for score in scores:
        total = total._replace(seconds=total.seconds + score.seconds)
        for agent, (prompt, completion) in score.tokens.items():
            dollars = prices[agent].cost(prompt, completion) if agent in prices else 0.0
            total = total._replace(
                prompt=total.prompt + prompt,
                completion=total.completion + completion,
                dollars=total.dollars + dollars,
            )
    return total


def _powers(most: int) -> list[int]:
    """2, 4, 8, … up to ``most``."""
    return [1 << shift for shift in range(1, most.bit_length())]


def _pass_estimate(tasks: Sequence[Sequence[Score]], k: int) -> Estimate:
    """The estimate of pass@k over the tasks with at least ``k`` attempts."""
    counts = [(len(task), sum(bool(score.success) for score in task)) for task in tasks if len(task) >= k]
    return _estimate([pass_at_k(attempts, successes, k) for attempts, successes in counts])


def _mean(values: Iterable[tuple[str, float]]) -> Estimate:
    """Mean over tasks of each task's mean, and its standard error."""
    by_task: dict[str, list[float]] = defaultdict(list)
    for task, value in values:
        by_task[task].append(value)
    return _estimate([fmean(found) for found in by_task.values()])


def _estimate(values: Sequence[float]) -> Estimate:
    """The mean of one value for each task, and its standard error."""
    if not values:
        return math.nan, math.nan
    return fmean(values), stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
