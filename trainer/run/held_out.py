"""The held-out tasks of a run, and what the policy scores on them."""

import itertools
from collections.abc import Sequence
from statistics import fmean

from ...environments.environment import Environment, tasks_of
from ...rollout.engines.engine import Sampling
from ...rollout.evaluation import evaluate
from ...rollout.workers.pool import Pool
from ...verifiers.group import Group
from .metrics import Metrics, mean_scores


class HeldOut:
    """Each environment's test split, at most ``most`` tasks of it.

    Args:
        environments: in the pool's order.
        seed: of the run.
        most: tasks of each environment.
        max_tokens: of one reply.
    """

    def __init__(self, environments: Sequence[Environment], seed: int, most: int, max_tokens: int) -> None:
        self._environments = environments
        self._seed = seed
        self._tasks = [list(itertools.islice(tasks_of(env, "test", seed), most)) for env in environments]
        self._sampling = Sampling(temperature=0.0, max_tokens=max_tokens)

    async def score(self, pool: Pool, version: int) -> Metrics:
        """Accuracy and mean scores by label, greedy, one attempt a task, under weights of ``version`` or later."""
        metrics: Metrics = {}
        passes: list[bool] = []
        for number, environment in enumerate(self._environments):
            numbered = enumerate(self._tasks[number])
            outcomes = [
                outcome
                async for outcome in evaluate(
                    pool, number, numbered, sampling=self._sampling, seed=self._seed, version=version
                )
            ]
            groups = sorted((group for group in outcomes if isinstance(group, Group)), key=lambda group: group.index)
            passed = [group.trajectories[0].rewards[environment.agents[0]].passed for group in groups]
            scores = mean_scores(group.trajectories[0] for group in groups)
            prefix = f"heldout/{environment.label}" if len(self._environments) > 1 else "heldout"
            metrics |= {f"{prefix}/score/{name}": value for name, value in scores.items()}
            metrics[f"{prefix}/failed"] = float(len(outcomes) - len(groups))
            metrics[f"{prefix}/accuracy"] = fmean(passed) if passed else 0.0
            passes += passed
        return metrics | {"heldout/accuracy": fmean(passes) if passes else 0.0}
