"""Evaluation of the policy on a run's held-out tasks."""

import itertools
from collections.abc import Mapping, Sequence
from statistics import fmean

from ...environments.environment import Environment, tasks_of
from ...rollout.engines.engine import Sampling
from ...rollout.evaluation import evaluate
from ...rollout.workers.pool import Pool
from ...verifiers.errors import ConfigError, nearest
from ...verifiers.group import Group
from ...verifiers.reward import Reward, success_rate
from ..config import RunConfig
from .metrics import Metrics, mean_scores

PREFIX = "heldout/"
"""The beginning of the names of held-out metrics."""


class HeldOut:
    """The first ``eval.tasks`` tasks of each environment's test split.

    An environment that is not played here has none. A run of only such environments has no held-out metrics at all.

    Args:
        environments: the run's environments, in the pool's order.
        config: the run's configuration.
    """

    def __init__(self, environments: Sequence[Environment], config: RunConfig) -> None:
        self._environments = environments
        self._seed, self._metric = config.seed, config.eval.metric
        self._tasks = [
            list(itertools.islice(tasks_of(env, "test", self._seed), config.eval.tasks)) if env.played else []
            for env in environments
        ]
        max_tokens = config.eval.max_tokens or config.rollout.sampling.max_tokens
        given = config.rollout.sampling
        self._sampling = Sampling(
            temperature=0.0, max_tokens=max_tokens, stop=given.stop, include_stop=given.include_stop
        )

    async def evaluate(self, pool: Pool, version: int) -> Metrics:
        """Return mean reward, accuracy and mean scores by label, from one greedy attempt at each task.

        The engines use weights of ``version`` or later. Accuracy is the share of successes (``Reward.success``); it is
        left out if success is undefined.
        """
        metrics: Metrics = {}
        everything: list[Reward] = []
        for number, environment in enumerate(self._environments):
            if not environment.played:
                continue
            numbered = enumerate(self._tasks[number])
            outcomes = [
                outcome
                async for outcome in evaluate(
                    pool, number, numbered, sampling=self._sampling, seed=self._seed, version=version
                )
            ]
            groups = sorted((group for group in outcomes if isinstance(group, Group)), key=lambda group: group.index)
            rewards = [group.trajectories[0].rewards[environment.agents[0]] for group in groups]
            scores = mean_scores(group.trajectories[0] for group in groups)
            prefix = f"{PREFIX}{environment.label}/" if len(self._environments) > 1 else PREFIX
            metrics |= {f"{prefix}score/{name}": value for name, value in scores.items()}
            metrics[f"{prefix}failed"] = float(len(outcomes) - len(groups))
            metrics |= _overall(prefix, rewards)
            everything += rewards
        return metrics | _overall(PREFIX, everything) if metrics else metrics

    def chosen(self, metrics: Mapping[str, float]) -> float | None:
        """Return the value of ``eval.metric`` among held-out metrics; None for a run without held-out tasks.

        Raises:
            ConfigError: There is no such metric.
        """
        if not any(self._tasks):
            return None
        if self._metric == "auto":
            return metrics.get(f"{PREFIX}accuracy", metrics[f"{PREFIX}reward"])
        if (name := PREFIX + self._metric) in metrics:
            return metrics[name]
        known = [name.removeprefix(PREFIX) for name in metrics if name.startswith(PREFIX)]
        if self._metric == "accuracy":
            cure = "an environment does not define success; give its Rubric success=LABEL, or the least total"
        else:
            cure = nearest(self._metric, known)
        raise ConfigError(f"there is no held-out metric {self._metric!r} (eval.metric); {cure}")


def _overall(prefix: str, rewards: Sequence[Reward]) -> Metrics:
    accuracy = success_rate(rewards)
    known = {} if accuracy is None else {f"{prefix}accuracy": accuracy}
    return {f"{prefix}reward": fmean(reward.total for reward in rewards) if rewards else 0.0, **known}
