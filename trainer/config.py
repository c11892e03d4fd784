"""The typed configuration of a run: one model for one TOML file, every field of which the command line can override."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..environments.environment import Environment
from ..environments.loading import EnvironmentSpec, describe
from ..rollout.config import AgentConfig, ModelConfig, RolloutConfig
from ..rollout.tasks.curriculum import CurriculumConfig
from ..rollout.tasks.mixture import Portion
from ..verifiers.errors import ConfigError
from ..verifiers.sandbox.settings import SandboxSettings
from ..verifiers.settings import Settings, validated
from .advantages.estimator import ESTIMATORS
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
    target: float | None = None
    """Value of ``eval.metric`` at which the supervised steps end; without one they are all taken."""
    every: int = Field(10, ge=1)
    """Steps between evaluations."""


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
    advantage: Annotated[str, ESTIMATORS.setting] = "grpo"
    """Estimator that turns the rewards of groups into advantages; your own goes by ``module:name``."""
    dynamic_sampling: float = Field(0.0, ge=0)
    """Admit other groups in place of those whose attempts all earned the same (DAPO): in one step at most this many
    times ``prompts``. 0 is off: such groups are kept, and teach nothing."""
    loss: LossConfig = LossConfig()
    """What is minimised."""
    ranks: int = Field(1, ge=1)
    """Processes over which the model and each step's samples are spread (FSDP2); more than one are Ray actors."""
    gpus_per_rank: float = Field(0, ge=0)
    """GPUs that Ray reserves for each of several ranks."""
    lora: LoraConfig = LoraConfig()
    """Train adapters instead of all weights."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, about a third more work."""
    micro_tokens: int = Field(16384, ge=1)
    """Tokens, padding included, in one forward pass."""
    threads: int = Field(1, ge=0)
    """CPU threads of the trainer; 0 leaves torch's own choice. The same number gives the same bits."""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """``cpu``, ``cuda``, or ``auto``: a GPU where there is one."""
    max_nonfinite_steps: int = Field(3, ge=0)
    """Most steps in a row that are skipped because their gradient is not finite; one more ends the run."""
    checkpoint_every: int = Field(50, ge=1)
    """Steps between checkpoints; the last step always writes one."""
    keep: int = Field(2, ge=1)
    """Newest checkpoints that stay, beside the best on held-out tasks."""
    probe_tolerance: float = Field(0.0, ge=0)
    """Largest difference of the probe's logprobs, trainer against engine, before the run stops; 0: by dtype."""

    renamed: ClassVar[dict[str, str]] = {
        "recompute": "gradient_checkpointing",
        "skip": "max_nonfinite_steps",
        "zero_variance": 'dynamic_sampling (2.0 for what was "refill", 0 for "keep")',
        "refill": "dynamic_sampling",
    }


class EvalConfig(Settings):
    """Held-out evaluation during training: greedy, one attempt at each task."""

    every: int = Field(20, ge=0)
    """Steps between evaluations; 0: only at the start and the end."""
    tasks: int = Field(500, ge=1)
    """Most tasks of each environment's test split."""
    max_tokens: int = Field(0, ge=0)
    """Most tokens of one reply; 0: as in training."""
    metric: str = "auto"
    """Held-out metric that chooses the best checkpoint, and that ``stop_at`` and ``warm_start.target`` look at:
    ``accuracy`` (share of successes), ``reward`` (mean total) or ``score/LABEL``. ``auto`` is accuracy where every
    environment defines success, and the reward otherwise."""
    stop_at: float | None = None
    """End the run when ``metric`` reaches this value; without one it takes all its steps."""


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

    def build_environments(self) -> list[Environment]:
        """The environments of the run, in its order."""
        return [entry.spec().build() for entry in self.environments]


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
