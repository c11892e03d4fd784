"""The typed configurations of ``lachesis sft`` and ``lachesis dpo``: those of a run, with rows instead of rollouts."""

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from .config import EnvironmentEntry, RunConfig, TrainerConfig, WarmStartConfig, read_toml
from .datasets.config import DataConfig
from .losses.config import PREFERENCE_LOSSES, PreferenceConfig

_OF_ROLLOUTS = ("prompts", "parts", "advantage", "dynamic_sampling", "loss")
"""Settings of ``trainer`` that only groups of rollouts need."""


class TuneTrainerConfig(TrainerConfig):
    """How rows become new weights."""

    steps: int = Field(0, ge=0)
    """Optimizer steps. With 0, ``data.epochs`` decides."""
    lr: float = Field(1e-5, gt=0)
    """Learning rate of AdamW."""


class TuneConfig(RunConfig):
    """What both commands have in common."""

    environments: list[EnvironmentEntry] = Field(default_factory=list)
    """The environments on whose held-out tasks the model is evaluated; none are needed."""
    trainer: TuneTrainerConfig = TuneTrainerConfig()
    """Optimizer and learner."""
    data: DataConfig
    """The rows that are trained on."""

    @model_validator(mode="after")
    def _without_rollouts(self) -> "TuneConfig":
        default = TrainerConfig()
        unused: dict[str, Any] = {
            f"trainer.{name}": getattr(self.trainer, name)
            for name in _OF_ROLLOUTS
            if getattr(self.trainer, name) != getattr(default, name)
        }
        if self.warm_start != WarmStartConfig():
            unused["warm_start"] = "given"
        if self.rollout.staleness:
            unused["rollout.staleness"] = self.rollout.staleness
        for name, value in unused.items():
            raise ValueError(f"{name} is for lachesis train, which learns from rollouts: leave it out, found {value!r}")
        if self.eval.stop_at is not None and not self.environments:
            raise ValueError(
                "eval.stop_at needs environments with held-out tasks: add [[environments]], or leave it out"
            )
        return self


class SftConfig(TuneConfig):
    """The whole configuration of a run of ``lachesis sft``."""


class DpoTrainerConfig(TuneTrainerConfig):
    """How preference pairs become new weights."""

    lr: float = Field(1e-6, gt=0)
    """Learning rate of AdamW."""


class DpoConfig(TuneConfig):
    """The whole configuration of a run of ``lachesis dpo``."""

    trainer: DpoTrainerConfig = DpoTrainerConfig()
    """Optimizer and learner."""
    dpo: PreferenceConfig = PreferenceConfig()
    """The loss of preference pairs."""

    def check_own(self) -> None:
        """As in ``RunConfig``, with the user's own preference loss."""
        super().check_own()
        PREFERENCE_LOSSES.check_own(self.dpo.loss)


def kind_of(path: Path) -> type[RunConfig]:
    """Return which config a run's ``config.toml`` holds.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    values = read_toml(path)
    return DpoConfig if "dpo" in values else SftConfig if "data" in values else RunConfig
