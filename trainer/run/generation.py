"""What generates the groups of a run: the stream of its tasks, its engines and workers, and the dispatcher."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ...environments.environment import Environment
from ...rollout.config import ModelConfig
from ...rollout.dispatcher import Dispatcher
from ...rollout.engines.engine import Sampling
from ...rollout.event_log import EventLog
from ...rollout.orders import Outcome, Passed
from ...rollout.tasks.mixture import Mixture
from ...rollout.workers.pool import GroupMaker, PoolSpec
from ...verifiers.errors import ConfigError
from ..config import RunConfig
from .parts import part_sizes


def pool_spec(config: RunConfig, model: ModelConfig) -> PoolSpec:
    """Describe the run's engines and workers.

    Raises:
        ConfigError: The policy plays no agent, so nothing would be trained.
    """
    specs, agents = zip(*((entry.spec(), entry.agents) for entry in config.environments), strict=True)
    trainer = config.trainer
    ranks = trainer.ranks if trainer.ranks > 1 else 0
    spec = PoolSpec(
        model,
        config.rollout,
        specs,
        sandbox=config.sandbox,
        agents=agents,
        cluster=config.cluster,
        ranks=ranks,
        gpus_per_rank=trainer.gpus_per_rank,
    )
    if not spec.needs_engine:
        raise ConfigError("every agent plays through a URL, so nothing is trained; leave out the url of one agent")
    return spec


def open_mixture(config: RunConfig, environments: Sequence[Environment], seed: int, played: bool = False) -> Mixture:
    """Open the endless stream of the run's training tasks; with ``played``, only those that are played here."""
    portions = [
        replace(entry.portion(), weight=0.0, min_share=0.0) if played and not environment.played else entry.portion()
        for entry, environment in zip(config.environments, environments, strict=True)
    ]
    return Mixture(environments, portions, "train", seed)


def open_dispatcher(
    config: RunConfig,
    pool: GroupMaker,
    mixture: Mixture,
    start: int,
    learn: Callable[[Outcome | Passed], None],
    events: EventLog,
) -> Dispatcher:
    """Open the dispatcher that admits groups of ``mixture``, beginning with admission index ``start``."""
    rollout, prompts = config.rollout, config.trainer.prompts
    early = rollout.staleness > 0 or config.trainer.parts > 1  # else a step waits for all groups anyway
    return Dispatcher(
        pool,
        mixture,
        seed=config.seed,
        sampling=Sampling(**rollout.sampling.model_dump()),
        prompts=prompts,
        staleness=rollout.staleness,
        start=start,
        chunks=rollout.parallel_workers * (4 if early else 1),
        parts=part_sizes(prompts, config.trainer.parts),
        on_failure=rollout.on_failure,
        learn=learn,
        max_resampled=int(config.trainer.dynamic_sampling * prompts),
        events=events,
    )
