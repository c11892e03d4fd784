"""The typed configuration of a run: one model for one TOML file; the command line can override every field."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, Field

from ..environments.environment import Environment
from ..environments.loading import EnvironmentSpec, describe
from ..rollout.cluster.config import ClusterConfig
from ..rollout.config import AgentConfig, ModelConfig, RolloutConfig
from ..rollout.engines.registry import ENGINES
from ..rollout.engines.weight_transport.transport import TRANSPORTS
from ..rollout.tasks.curriculum import CurriculumConfig
from ..rollout.tasks.mixture import Portion
from ..verifiers.errors import ConfigError
from ..verifiers.plugins import Plugins
from ..verifiers.sandbox.settings import SandboxSettings
from ..verifiers.settings import Settings, together, validated
from .advantages.estimator import ESTIMATORS
from .config_checks import check_normalization, check_parts, check_together
from .learner.config import LoraConfig
from .losses.config import IMPORTANCE_SAMPLING, KL_ESTIMATORS, LOSSES, NORMALIZATIONS, LossConfig
from .overrides import apply_overrides
from .relative_paths import resolve_paths
from .run.alerts import known_alerts
from .run.control.config import ControlConfig
from .run.sinks.sink import SINKS


class EnvironmentEntry(Settings):
    """One environment of the run."""

    use: str
    """Name of an installed environment, ``module:Class`` or ``file.py[:Class]``."""
    label: str = ""
    """Name in logs and metrics. If empty, ``use`` is the name."""
    weight: float = Field(1.0, gt=0)
    """Share of the groups, relative to the weights of the other environments."""
    min_share: float = Field(0.0, ge=0, le=1)
    """Least share of the groups that teach something, which are those whose attempts earn different rewards. While the
    share is lower, up to every second group comes from this environment."""
    curriculum: CurriculumConfig | None = None
    """Choice of tasks by difficulty. Without this table, tasks come in the environment's order."""
    group_size: int = Field(8, ge=2)
    """Attempts at each task. The policy learns from their differences in reward."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The environment's own settings, which ``lachesis envs`` lists."""
    agents: dict[str, AgentConfig] = Field(default_factory=dict)
    """How each agent is played. An agent without a table is played by the trained policy."""
    rubric: dict[str, float] = Field(default_factory=dict)
    """Weights by label that replace those of the environment's rubric."""

    def spec(self) -> EnvironmentSpec:
        """Return what a worker needs to build the environment."""
        return describe(self.use, config=self.config, weights=self.rubric, label=self.label or self.use)

    def portion(self) -> Portion:
        """Return the environment's part in the mixture."""
        return Portion(self.weight, self.group_size, self.min_share, self.curriculum)


class WarmStartConfig(Settings):
    """Supervised steps on demonstrations before the first rollout."""

    steps: int = Field(0, ge=0)
    """The most optimizer steps. With 0 there is no warm start."""
    batch: int = Field(64, ge=1)
    """Demonstrations per step."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    target: float | None = None
    """Value of ``eval.metric`` that ends the warm start early. If left out, all steps are taken."""
    every: int = Field(10, ge=1)
    """Steps between evaluations."""


Decay = Annotated[float, Field(ge=0, lt=1, strict=True)]


class TrainerConfig(Settings):
    """How groups become new weights."""

    steps: int = Field(100, ge=0)
    """Optimizer steps."""
    prompts: int = Field(64, ge=1)
    """Groups per step (P)."""
    parts: int = Field(1, ge=1)
    """Parts into which the groups of a step are split. The gradient of a part is computed as soon as its groups are
    made, so that the update begins while the last groups are still played. With 1 it waits for all of them."""
    lr: float = Field(1e-6, gt=0)
    """Learning rate of AdamW."""
    schedule: Literal["constant", "linear"] = "constant"
    """``constant`` keeps the learning rate; ``linear`` lowers it linearly, to 0 after the last step."""
    warmup: int = Field(0, ge=0)
    """Steps over which the learning rate rises linearly to its value."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """AdamW's decay rates of the first and the second moment."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's weight decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients of a larger norm are scaled down to this norm."""
    advantage: Annotated[str, ESTIMATORS.setting] = "grpo"
    """Estimator that turns the rewards of groups into advantages."""
    stop_on: Annotated[list[str], AfterValidator(known_alerts)] = Field(default_factory=list)
    """Names of alerts that end the run, such as ``collapse``; its best checkpoint is kept."""
    dynamic_sampling: float = Field(0.0, ge=0)
    """Replaces groups whose attempts all earned the same by others (DAPO), in each step at most this many times
    ``prompts``. 0 turns this off: such groups are kept and teach nothing."""
    loss: LossConfig = LossConfig()
    """The loss of a policy step."""
    ranks: int = Field(1, ge=1)
    """Processes that share the model and each step's samples (FSDP2). If there are several, each is a Ray actor."""
    gpus_per_rank: float = Field(0, ge=0)
    """GPUs that Ray reserves for each rank, if there are several ranks."""
    lora: LoraConfig = LoraConfig()
    """Low-rank adapters, trained instead of all weights."""
    gradient_checkpointing: bool = False
    """Recomputes activations in the backward pass, which saves memory and costs about a third more time."""
    micro_tokens: int = Field(16384, ge=1)
    """The most tokens, padding included, in one forward pass."""
    attention: Literal["auto", "masked", "flex", "flash"] = "auto"
    """``masked`` computes padded rows with explicit masks. ``flex`` computes long rows by blocks and needs a GPU.
    ``flash`` is ``flex`` for samples with a common beginning and flash attention for all others; it needs a GPU and
    ``model.dtype = "bfloat16"``. ``auto`` is ``masked`` on a CPU, and on a GPU ``flash`` or else ``flex``."""
    compile: bool = False
    """Compiles the layers with ``torch.compile``: a little faster, after a minute or so of compilation in the first
    steps. It needs a C++ compiler, or Triton on a GPU."""
    offload: bool = False
    """Keeps AdamW's moments in the host's memory between steps and frees the gradients, so that engines on the same GPU
    have the room. Only with one rank."""
    threads: int = Field(1, ge=0)
    """CPU threads of the trainer; 0 leaves the choice to torch. Only the same number gives the same results bit for
    bit."""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """``cpu``, ``cuda``, ``cuda:N``, or ``auto`` for a GPU if there is one."""
    max_nonfinite_steps: int = Field(3, ge=0)
    """The most steps in a row that may be skipped because their gradient is not finite. One more ends the run."""
    checkpoint_every: int = Field(50, ge=1)
    """Steps between checkpoints; the last step always writes one."""
    keep: int = Field(2, ge=1)
    """How many of the newest checkpoints are kept. The best one on held-out tasks is kept as well."""
    probe_tolerance: float = Field(0.0, ge=0)
    """The largest allowed difference, in nats, between trainer and engine in the logprobs of a fixed text, which is
    checked after every weight update. A larger one ends the run. 0 means the default of ``model.dtype``."""

    renamed: ClassVar[dict[str, str]] = {
        "recompute": "gradient_checkpointing",
        "skip": "max_nonfinite_steps",
        "zero_variance": 'dynamic_sampling (2.0 for what was "refill", 0 for "keep")',
        "refill": "dynamic_sampling",
    }


class LoggingConfig(Settings):
    """Where the run's numbers go beside its own folder."""

    sinks: list[Annotated[str, SINKS.setting]] = Field(default_factory=lambda: ["tensorboard"])
    """``tensorboard``, ``wandb``, ``trackio``, ``prometheus``, or your own ``module:name``."""
    project: str = "lachesis"
    """Name of the project under which Weights & Biases and trackio show the run."""
    samples_every: int = Field(10, ge=0)
    """Steps between tables of rollouts. 0 sends none."""
    samples: int = Field(8, ge=1)
    """The most rollouts in a table."""


class EvalConfig(Settings):
    """Held-out evaluation during training: greedy, one attempt at each task, while the next groups are made."""

    every: int = Field(20, ge=0)
    """Steps between evaluations. With 0, only the start and the end are evaluated."""
    tasks: int = Field(500, ge=1)
    """The most tasks of each environment's test split."""
    max_tokens: int = Field(0, ge=0)
    """The most tokens of one reply. 0 means ``rollout.sampling.max_tokens``."""
    metric: str = Field("auto", pattern=r"^(auto|accuracy|reward|score/.+)$")
    """Held-out metric that picks the best checkpoint and that ``stop_at`` and ``warm_start.target`` refer to:
    ``accuracy`` (share of successes), ``reward`` (mean total) or ``score/LABEL``. ``auto`` is the accuracy if every
    environment defines success, and the reward otherwise."""
    stop_at: float | None = None
    """Value of ``metric`` that ends the run early. If left out, all steps are taken."""


def _check_name(name: str) -> str:
    if not name or "/" in name or not name.isprintable() or len(name.encode()) > 200:
        raise ValueError(
            "a run's name is 1 to 200 bytes of printable text without /, because a folder is named after it"
        )
    return name


class RunConfig(Settings):
    """The whole configuration of a run."""

    name: Annotated[str, AfterValidator(_check_name)] = "run"
    """Name of the run's folder, to which a number is added: ``run-1``."""
    out: Path = Path("runs")
    """Folder in which the run's folder is created."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of all random numbers."""
    model: ModelConfig = ModelConfig()
    """The model that is trained."""
    environments: list[EnvironmentEntry] = Field(min_length=1)
    """The environments that the model is trained on."""
    rollout: RolloutConfig = RolloutConfig()
    """Engines and workers."""
    trainer: TrainerConfig = TrainerConfig()
    """Algorithm and optimizer."""
    warm_start: WarmStartConfig = WarmStartConfig()
    """Supervised steps before the first rollout."""
    eval: EvalConfig = EvalConfig()
    """Held-out evaluation."""
    logging: LoggingConfig = LoggingConfig()
    """Where the run's numbers go beside its own folder."""
    cluster: ClusterConfig = ClusterConfig()
    """The machines on which Ray places engines, workers and ranks."""
    control: ControlConfig = ControlConfig()
    """What ``lachesis control`` may change while the run trains."""
    sandbox: SandboxSettings = SandboxSettings()
    """The sandbox in which verifiers and tools run programs that the model wrote."""

    def check_own(self) -> None:
        """Import the user's own losses, engines and so on, so that a mistake in one is found before the run starts.

        Raises:
            ConfigError: one of them cannot be imported, is not what it must be, or does not fit ``trainer.parts``.
        """
        loss = self.trainer.loss
        chosen: list[tuple[Plugins[Any], str]] = [
            (ESTIMATORS, self.trainer.advantage),
            (LOSSES, loss.kind),
            (IMPORTANCE_SAMPLING, loss.importance_sampling.method),
            (KL_ESTIMATORS, loss.kl.estimator),
            (NORMALIZATIONS, loss.normalize),
            (ENGINES, self.rollout.engine),
            (TRANSPORTS, self.rollout.weight_transport),
            *((SINKS, name) for name in self.logging.sinks),
        ]
        for plugins, name in chosen:
            plugins.check_own(name)
        check_parts(self.trainer)
        check_normalization(self)

    def build_environments(self) -> list[Environment]:
        """Build the environments of the run, in order.

        Raises:
            ConfigError: one cannot be built, or a setting needs tasks and no environment has any.
        """
        environments = [entry.spec().build() for entry in self.environments]
        if not any(environment.played for environment in environments):
            self._check_without_tasks()
        return environments

    def _check_without_tasks(self) -> None:
        needs = {"eval.stop_at": self.eval.stop_at is not None, "warm_start.steps": self.warm_start.steps > 0}
        for name in (name for name, given in needs.items() if given):
            raise ConfigError(
                f"{name} needs tasks, and every environment of this run gets its groups from outside; add an "
                "environment that is played here, or leave the setting out"
            )


Config = TypeVar("Config", bound=RunConfig)


def load_config(path: str | Path, overrides: Sequence[str] = (), beside: Path | None = None) -> RunConfig:
    """Read the TOML file of a run of ``lachesis train``, and apply ``--part.key value`` overrides.

    Args:
        path: the TOML file.
        overrides: what replaces its values; paths in them are relative to the working directory.
        beside: the folder to which paths of environments in the file are relative, as far as they exist there.

    Raises:
        ConfigError: The file cannot be read, or a key or value is invalid. The message names the nearest key.
    """
    return load_config_of(RunConfig, path, overrides, beside)


def load_config_of(
    kind: type[Config], path: str | Path, overrides: Sequence[str] = (), beside: Path | None = None
) -> Config:
    """Read a TOML file as a config of ``kind``; otherwise as ``load_config``."""
    values = read_toml(path)
    if kind is RunConfig and "data" in values:
        raise ConfigError(f"{path} has the table [data], which lachesis sft and lachesis dpo read; call one of them")
    if beside is not None:
        resolve_paths(values, beside)
    options = apply_overrides(values, overrides)
    config = validated(kind, values, str(path), options)
    try:
        check_together(config)
    except ConfigError as error:
        raise ConfigError(f"{together(str(path), options, str(error))}: {error}") from None
    return config


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))  # some editors begin a file with a BOM
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}; check the path") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise ConfigError(f"{path} is not TOML: {error}") from None
