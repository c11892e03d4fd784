"""The held-out tasks of a run, and what the policy scores on them."""

import itertools
from collections.abc import Sequence
from statistics import fmean

from ...environments.environment import Environment, tasks_of
from ...rollout.engines.engine import Sampling
from ...rollout.evaluation import evaluate
from ...rollout.workers.pool import Pool
from ...verifiers.group import Group
from ...verifiers.reward import Reward, success_rate
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

    async def evaluate(self, pool: Pool, version: int) -> Metrics:
        """Mean reward, accuracy and mean scores by label: greedy, one attempt a task, weights of ``version`` or later.

        Accuracy is the share of successes (``Reward.success``), and left out where that is undefined.
        """
        metrics: Metrics = {}
        everything: list[Reward] = []
        for number, environment in enumerate(self._environments):
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
            prefix = f"heldout/{environment.label}" if len(self._environments) > 1 else "heldout"
            metrics |= {f"{prefix}/score/{name}": value for name, value in scores.items()}
            metrics[f"{prefix}/failed"] = float(len(outcomes) - len(groups))
            metrics |= _overall(prefix, rewards)
            everything += rewards
        return metrics | _overall("heldout", everything)


def _overall(prefix: str, rewards: Sequence[Reward]) -> Metrics:
    accuracy = success_rate(rewards)
    known = {} if accuracy is None else {f"{prefix}/accuracy": accuracy}
    return {f"{prefix}/reward": fmean(reward.total for reward in rewards) if rewards else 0.0, **known}
