"""Refuses settings of a run that are valid one by one but not together."""

from typing import TYPE_CHECKING

from ..verifiers.errors import ConfigError
from .advantages.earned import ByGroup
from .advantages.estimator import ESTIMATORS
from .losses.config import NORMALIZATIONS
from .losses.normalization import Weights

if TYPE_CHECKING:  # it calls these checks
    from .config import RunConfig, TrainerConfig


def check_together(config: "RunConfig") -> None:
    """Check the settings of a run against each other.

    Raises:
        ConfigError: Two of them contradict each other.
    """
    labels = [entry.label or entry.use for entry in config.environments]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"two environments are labelled {label!r}; give one of them another label")
    if (least := sum(entry.min_share for entry in config.environments)) > 1:
        raise ConfigError(f"the environments' min_share sum to {least:g}; lower them to 1 or less")
    if config.trainer.ranks > 1 and config.rollout.inline:
        raise ConfigError(
            f"trainer.ranks = {config.trainer.ranks} needs Ray, which --inline (rollout.inline) turns off; leave out "
            "--inline, or set trainer.ranks = 1"
        )
    if config.trainer.offload and config.trainer.ranks > 1:
        raise ConfigError(
            f"trainer.offload works with one rank, and trainer.ranks = {config.trainer.ranks}; leave one of them out"
        )
    trainer = config.trainer
    if trainer.parts > trainer.prompts:
        raise ConfigError(f"trainer.parts = {trainer.parts} is above trainer.prompts = {trainer.prompts}; lower it")
    shared = {"rollout.sleep": config.rollout.sleep, "trainer.offload": trainer.offload}
    for name in (name for name, given in shared.items() if given and trainer.parts > 1):
        raise ConfigError(
            f"trainer.parts = {trainer.parts} computes gradients while engines generate, and {name} gives engines and "
            "trainer the same memory in turns; leave one of them out"
        )
    sampling = config.rollout.sampling
    if sampling.top_p < 1 or sampling.top_k or sampling.min_p:
        raise ConfigError(
            f"training needs rollout.sampling.top_p = 1, top_k = 0 and min_p = 0, found {sampling.top_p}, "
            f"{sampling.top_k} and {sampling.min_p}: with other values the sampler's logprobs are not the policy's"
        )


def check_parts(trainer: "TrainerConfig") -> None:
    """Check that the advantages of a part of a step's groups are known before the other parts are.

    Raises:
        ConfigError: The estimator cannot be imported, or takes all groups of a step.
    """
    if trainer.parts > 1 and not isinstance(ESTIMATORS.load(trainer.advantage), ByGroup):
        raise ConfigError(
            f"trainer.parts = {trainer.parts} needs an estimator that takes one group at a time (@by_group), and "
            f"trainer.advantage = {trainer.advantage!r} takes all groups of a step; leave out trainer.parts"
        )


def check_normalization(config: "RunConfig") -> None:
    """Call the normalization once, so that a mistake in a user's is found before the run starts.

    Raises:
        ConfigError: It cannot be imported, or does not return ``Weights``.
    """
    Weights.of(NORMALIZATIONS.load(config.trainer.loss.normalize), [1, 2], config.rollout.sampling.max_tokens)
