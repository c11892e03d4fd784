"""Settings of the model, of engines and of workers."""

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from ..verifiers.errors import DataError
from ..verifiers.settings import Settings
from .engines.engine import Sampling, read_stops
from .engines.registry import ENGINES
from .engines.weight_transport.transport import TRANSPORTS


class TinyConfig(Settings):
    """Shape of the tiny model that is built if ``model.path`` is ``tiny``."""

    hidden: int = Field(128, ge=16)
    """Width of the residual stream."""
    layers: int = Field(2, ge=1)
    """Transformer blocks."""
    tied: bool = False
    """Whether the output layer shares its weights with the embedding."""
    words: tuple[str, ...] = ()
    """Pieces of text that are one token each, besides single bytes, so that frequent words cost few tokens."""


class RopeConfig(Settings):
    """Scaling of the rotary positions, in trainer and engines, for contexts longer than the model was trained for."""

    kind: Literal["yarn", "linear"] = "yarn"
    """``yarn`` scales each frequency by its own factor (arXiv:2309.00071), ``linear`` all by the same one."""
    factor: float = Field(1.0, ge=1)
    """The new number of positions, as a multiple of the model's own; 1 changes nothing."""


class ModelConfig(Settings):
    """The policy that is trained."""

    path: str = "tiny"
    """Folder or Hub id of a causal language model with a chat template; ``tiny`` builds a small random one."""
    tiny: TinyConfig = TinyConfig()
    """Shape of the tiny model."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the engines' weights and of the trainer's computation. The trainer's own weights are always float32."""
    context: int = Field(1024, ge=16)
    """The most tokens of prompt and completion together."""
    rope: RopeConfig = RopeConfig()
    """Scaling of the rotary positions."""


def _stops(value: Any) -> tuple[str, ...]:
    try:
        return read_stops(value)
    except DataError as error:
        raise ValueError(str(error)) from None


class SamplingConfig(Settings):
    """Sampling of rollouts."""

    temperature: float = Field(1.0, gt=0)
    """The logits are divided by it."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Samples only from the smallest set of tokens with this much probability. Training needs 1, which keeps all."""
    top_k: int = Field(0, ge=0)
    """Samples only from this many most probable tokens. Training needs 0, which keeps all."""
    min_p: float = Field(0.0, ge=0, le=1)
    """Samples only tokens with at least this share of the most probable one's probability. Training needs 0, which
    keeps all."""
    max_tokens: int = Field(256, ge=1)
    """The most tokens of one reply."""
    stop: Annotated[tuple[str, ...], BeforeValidator(_stops)] = ()
    """Texts that end a reply, besides the model's own end of a turn; a text or a list. The tokens of the reply contain
    the text, and are trained on."""
    include_stop: bool = False
    """Whether the text of a reply, which environments and verifiers see, contains the stop string that ended it."""


class PriceConfig(Settings):
    """Prices of an endpoint's tokens, in dollars per million."""

    prompt: float = Field(0.0, ge=0)
    """Price of a million tokens of prompts."""
    completion: float = Field(0.0, ge=0)
    """Price of a million tokens of replies."""

    def cost(self, prompt: float, completion: float) -> float:
        """The dollars for so many tokens."""
        return (self.prompt * prompt + self.completion * completion) / 1e6


class AgentConfig(Settings):
    """The player of one agent of an environment: the policy, or a model behind a URL."""

    url: str = ""
    """URL of an OpenAI-compatible endpoint that plays the agent and is not trained. If empty, the policy plays it."""
    more_urls: list[str] = Field(default_factory=list)
    """Further URLs of the same model. Requests go to all URLs in turn, and to the next one if one fails."""
    model: str = ""
    """The endpoint's name for its model."""
    key: str = "OPENAI_API_KEY"
    """Environment variable that holds the endpoint's API key; it may be unset."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Further HTTP headers of each request. A value ``$NAME`` is read from the environment variable NAME."""
    fields: dict[str, Any] = Field(default_factory=dict)
    """Further fields of each request to the endpoint, such as ``reasoning_effort``."""
    prices: PriceConfig = PriceConfig()
    """Prices of the endpoint's tokens, from which ``lachesis eval`` computes the cost."""
    trainable: bool = True
    """Whether the policy is trained on this agent's replies."""
    temperature: float | None = Field(None, ge=0, lt=100)
    """Temperature of the agent's replies. If left out, that of ``rollout.sampling``."""
    max_tokens: int | None = Field(None, ge=1)
    """The most tokens of one reply of the agent. If left out, that of ``rollout.sampling``."""

    @model_validator(mode="after")
    def _whole(self) -> "AgentConfig":
        if bool(self.url) != bool(self.model):
            raise ValueError("an endpoint needs both a url and a model: give both, or neither")
        if own := sorted({"model", "messages", "seed", "max_tokens", "tools"} & set(self.fields)):
            raise ValueError(f"fields cannot hold {own[0]!r}, which each request has already: leave it out")
        return self

    @property
    def learns(self) -> bool:
        """Whether the policy is trained on this agent's tokens."""
        return self.trainable and not self.url

    def sampled(self, sampling: Sampling) -> Sampling:
        """The sampling of the agent's replies; ``sampling`` holds what its settings leave open."""
        temperature = sampling.temperature if self.temperature is None else self.temperature
        return replace(sampling, temperature=temperature, max_tokens=self.max_tokens or sampling.max_tokens)


class RolloutConfig(Settings):
    """Engines, workers, and how groups are made with them."""

    engine: Annotated[str, ENGINES.setting] = "torch"
    """``torch`` is embedded and needs no further install; ``vllm`` is for models of real size."""
    engines: int = Field(2, ge=1)
    """Number of engine actors."""
    workers: int = Field(2, ge=1)
    """Number of environment worker actors."""
    threads: int = Field(4, ge=1)
    """Threads of each worker. Code that blocks without an ``await`` delays only the groups on its thread."""
    slots: int = Field(64, ge=4)
    """Requests that one engine processes together."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where engines compute; ``auto`` takes a GPU if the engine's process sees one."""
    gpus_per_engine: float = Field(0, ge=0)
    """GPUs that Ray reserves for each engine; above 1 it is also vLLM's tensor-parallel size. With 0, engines use the
    GPUs that they see without a reservation, such as the trainer's."""
    gpu_memory_utilization: float = Field(0.85, gt=0, le=1)
    """Share of a GPU's memory that vLLM may use. If the trainer is on the same GPU, leave room for it."""
    sleep: Literal[0, 1, 2] = 0
    """vLLM's sleep level while the trainer computes, for one GPU for both: 1 keeps the engine's weights in the host's
    memory, 2 drops them, since an update brings new ones. With 0 vLLM keeps its memory."""
    engine_options: dict[str, Any] = Field(default_factory=dict)
    """Further options of the engine. With vLLM, these are arguments of its ``EngineArgs``."""
    weight_transport: Annotated[str, TRANSPORTS.setting] = "auto"
    """How new weights travel to the engines: ``direct`` within one process, ``cuda_ipc`` between processes on one GPU,
    ``nccl`` between GPUs, ``object_store`` through shared memory, ``folder`` through files; ``auto`` chooses."""
    weight_folder: str = ""
    """Folder of all machines of the run, for the weights that ``weight_transport = "folder"`` writes."""
    inline: bool = False
    """Run everything in this process, without Ray or threads, so that breakpoints work."""
    sampling: SamplingConfig = SamplingConfig()
    """Sampling of rollouts."""
    staleness: int = Field(0, ge=0)
    """How many steps old the weights that sample a rollout may be. With 0, rollouts and training take turns."""
    on_failure: Literal["retry", "drop", "fail"] = "retry"
    """What to do with a trajectory that could not be scored: ``retry`` it, ``drop`` it, or ``fail`` the run."""
    retries: int = Field(3, ge=0)
    """Retries of a trajectory before it is dropped."""
    blocking: float = Field(30.0, gt=0)
    """Seconds for which environment code may block its thread without an ``await`` before it is interrupted."""
    deadline: float = Field(600.0, gt=0)
    """Seconds that a group, an engine call or a weight update may take."""

    renamed: ClassVar[dict[str, str]] = {"address": "cluster.address"}

    @model_validator(mode="after")
    def _consistent(self) -> "RolloutConfig":
        if self.weight_transport == "folder" and not self.weight_folder:
            raise ValueError("weight_transport = 'folder' needs a weight_folder that trainer and engines see: set it")
        if self.device == "cpu" and self.gpus_per_engine:
            raise ValueError(
                f"device = 'cpu' and gpus_per_engine = {self.gpus_per_engine:g} exclude each other: change one of them"
            )
        if self.sleep and self.engine in ENGINES.names and self.engine != "vllm":
            raise ValueError(f"sleep is vLLM's, and engine = {self.engine!r} keeps its memory: set sleep = 0")
        if self.sleep and self.staleness:
            raise ValueError(
                f"sleep = {self.sleep} needs staleness = 0, because with {self.staleness} rollouts go on while the "
                "trainer computes: set one of them to 0"
            )
        return self

    @property
    def parallel_workers(self) -> int:
        """How many workers play at the same time."""
        return 1 if self.inline else self.workers
