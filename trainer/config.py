"""One typed model for one TOML file a run, every field of which the command line can override."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ..environments.loading import EnvironmentSpec, describe
from ..rollout.config import AgentConfig, ModelConfig, RolloutConfig
from ..rollout.tasks.curriculum import CurriculumConfig
from ..rollout.tasks.mixture import Portion
from ..verifiers.errors import ConfigError
from ..verifiers.sandbox.settings import SandboxSettings
from ..verifiers.settings import Settings, validated
from .learner.config import LoraConfig
from .losses.config import LossConfig
from .overrides import apply_overrides


class EnvironmentEntry(Settings):
    """One environment of the run."""

    use: str
    """Built-in name, ``module:Class`` or ``file.py[:Class]``."""
    label: str = ""
    """What logs call it; its ``use`` where empty."""
    weight: float = Field(1.0, gt=0)
    """Share of the admitted groups."""
    min_share: float = Field(0.0, ge=0, le=1)
    """Least share of the groups that teach something, whose attempts differ; where it is not reached, every second
    group may be one more of this environment's."""
    curriculum: CurriculumConfig | None = None
    """Which difficulty is asked when; tasks are asked as they come where there is none."""
    group_size: int = Field(8, ge=2)
    """Attempts at each task; what is learned is how they differ."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The environment's own settings."""
    agents: dict[str, AgentConfig] = Field(default_factory=dict)
    """Who plays its agents, where it is not the policy that learns."""
    rubric: dict[str, float] = Field(default_factory=dict)
    """Weights by label, where they differ from the environment's."""

    def spec(self) -> EnvironmentSpec:
        """What a worker needs to build it."""
        return describe(self.use, config=self.config, weights=self.rubric, label=self.label or self.use)

    def portion(self) -> Portion:
        """Its part in the mixture."""
        return Portion(self.weight, self.group_size, self.min_share, self.curriculum)


class WarmStartConfig(Settings):
    """Supervised steps on demonstrations before the first rollout."""

    steps: int = Field(0, ge=0)
    """Most optimizer steps; 0 is none."""
    batch: int = Field(64, ge=1)
    """Demonstrations a step."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    target: float = Field(1.0, ge=0, le=1)
    """Stop when held-out accuracy first reaches this."""
    every: int = Field(10, ge=1)
    """Steps between looks at the held-out accuracy."""


Decay = Annotated[float, Field(ge=0, lt=1)]


class TrainerConfig(Settings):
    """How groups become new weights."""

    steps: int = Field(100, ge=0)
    """Optimizer steps."""
    prompts: int = Field(64, ge=1)
    """P: groups a step."""
    lr: float = Field(1e-6, gt=0)
    """Learning rate of AdamW."""
    schedule: Literal["constant", "linear"] = "constant"
    """How the learning rate goes on: as it is, or in a line to 0 after the last step."""
    warmup: int = Field(0, ge=0)
    """Steps in which the learning rate rises to its value."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Of AdamW."""
    weight_decay: float = Field(0.0, ge=0)
    """Of AdamW."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are scaled down to this norm."""
    advantage: Literal["grpo", "dr_grpo", "rloo", "maxrl", "reinforce_pp", "reinforce_pp_baseline", "gdpo"] = "grpo"
    """How the rewards of groups become advantages."""
    zero_variance: Literal["keep", "refill"] = "keep"
    """Groups whose attempts earned the same: trained on like others, for nothing; or others in their place (dynamic
    sampling), at most ``refill`` times a step's."""
    refill: float = Field(2.0, gt=0)
    """How many times ``prompts`` groups without variance a step may pass over."""
    loss: LossConfig = LossConfig()
    """What is minimised."""
    ranks: int = Field(1, ge=1)
    """Processes over which the model and each step's samples are spread (FSDP2); more than one are Ray actors."""
    gpus_per_rank: float = Field(0, ge=0)
    """GPUs that Ray reserves for each of several ranks."""
    lora: LoraConfig = LoraConfig()
    """Train adapters instead of all weights."""
    recompute: bool = False
    """Compute activations again in the backward pass instead of keeping them (gradient checkpointing): less memory,
    about a third more work."""
    micro_tokens: int = Field(16384, ge=1)
    """Tokens, padding included, in one forward pass."""
    threads: int = Field(1, ge=0)
    """CPU threads of the trainer; 0 leaves torch's own choice. The same number gives the same bits."""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """``cpu``, ``cuda``, or ``auto``: a GPU where there is one."""
    skip: int = Field(3, ge=0)
    """Steps in a row that are skipped because their gradient is not finite; one more ends the run."""
    checkpoint_every: int = Field(50, ge=1)
    """Steps between checkpoints; the last step always writes one."""
    keep: int = Field(2, ge=1)
    """Newest checkpoints that stay, beside the best on held-out tasks."""
    probe_tolerance: float = Field(0.0, ge=0)
    """Largest difference of the probe's logprobs, trainer against engine, before the run stops; 0: by dtype."""


class EvalConfig(Settings):
    """Held-out evaluation during training: greedy, one attempt a task."""

    every: int = Field(20, ge=0)
    """Steps between evaluations; 0: only at the start and the end."""
    tasks: int = Field(500, ge=1)
    """Most tasks of each environment's test split."""
    max_tokens: int = Field(0, ge=0)
    """Most tokens of one reply; 0: as in training."""
    stop_at: float = Field(1.0, gt=0, le=1)
    """End the run, met, when held-out accuracy reaches this."""


class RunConfig(Settings):
    """All of a run."""

    name: str = "run"
    """Begins the name of the run's folder."""
    out: Path = Path("runs")
    """Where runs' folders are made."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of everything that is drawn."""
    model: ModelConfig = ModelConfig()
    """Which policy is trained."""
    environments: list[EnvironmentEntry] = Field(min_length=1)
    """What it is trained on."""
    rollout: RolloutConfig = RolloutConfig()
    """Engines and workers."""
    trainer: TrainerConfig = TrainerConfig()
    """How groups become new weights."""
    warm_start: WarmStartConfig = WarmStartConfig()
    """Supervised steps first."""
    eval: EvalConfig = EvalConfig()
    """Held-out evaluation."""
    sandbox: SandboxSettings = SandboxSettings()
    """Where verifiers run programs of the policy's."""


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run's TOML file and apply ``--part.key value`` overrides.

    Raises:
        ConfigError: the file cannot be read, or a key or value is not possible; the message names the nearest key.
    """
    try:
        values = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}; check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    apply_overrides(values, overrides)
    config = validated(RunConfig, values, str(path))
    _check(config)
    return config


def _check(config: RunConfig) -> None:
    """Refuse what no single field can see."""
    labels = [entry.label or entry.use for entry in config.environments]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"two environments are labelled {label!r}; give one of them another label")
    if (least := sum(entry.min_share for entry in config.environments)) > 1:
        raise ConfigError(f"the environments' min_share sum to {least:g}; lower them to 1 or less")
    if config.trainer.ranks > 1 and config.rollout.inline:
        raise ConfigError("trainer.ranks above 1 are Ray actors; leave out --inline (rollout.inline), or train on one")
    sampling = config.rollout.sampling
    if sampling.top_p < 1 or sampling.top_k:
        raise ConfigError(
            f"training needs rollout.sampling.top_p = 1 and top_k = 0, found {sampling.top_p} and {sampling.top_k}: "
            "the sampler's logprobs would not be the policy's"
        )
