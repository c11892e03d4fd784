"""Settings of the model and of everything that makes trajectories."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..verifiers.settings import Settings
from .engines.engine import Sampling
from .engines.registry import ENGINES
from .engines.weight_transport.transport import TRANSPORTS


class TinyConfig(Settings):
    """Shape of the model that is made from nothing when ``model.path`` is ``tiny``."""

    hidden: int = Field(128, ge=16)
    """Width of the residual stream."""
    layers: int = Field(2, ge=1)
    """Transformer blocks."""
    tied: bool = False
    """Whether the output layer is the embedding."""
    words: tuple[str, ...] = ()
    """Pieces of text that are one token each, beside single bytes: what is said often then costs little."""


class RopeConfig(Settings):
    """Rotary positions scaled beyond those that the model was made for, in a run's trainer and engines alike."""

    kind: Literal["yarn", "linear"] = "yarn"
    """``yarn``: each frequency by its own share (arXiv:2309.00071). ``linear``: all alike."""
    factor: float = Field(1.0, ge=1)
    """How many times the model's own positions; 1 leaves it as it is."""


class ModelConfig(Settings):
    """Which policy is trained."""

    path: str = "tiny"
    """A folder or Hub id of a causal language model with a chat template, or ``tiny``: one made from nothing."""
    tiny: TinyConfig = TinyConfig()
    """Shape of the tiny model."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the weights in engines and of what the trainer computes in; the trainer's own weights are float32."""
    context: int = Field(1024, ge=16)
    """Most tokens of prompt and completion together."""
    rope: RopeConfig = RopeConfig()
    """For contexts longer than the model's own."""


class SamplingConfig(Settings):
    """How rollouts are sampled."""

    temperature: float = Field(1.0, gt=0)
    """Divides the logits."""
    top_p: float = Field(1.0, gt=0, le=1)
    """1 for training: a filter would bias the policy ratio."""
    top_k: int = Field(0, ge=0)
    """0 (off) for training, for the same reason."""
    max_tokens: int = Field(256, ge=1)
    """Most tokens of one reply."""


class AgentConfig(Settings):
    """Who plays one agent of an environment, where it is not the policy that learns."""

    url: str = ""
    """Of an OpenAI-compatible endpoint; its tokens are not trained. Empty: the policy."""
    model: str = ""
    """The endpoint's name for its model."""
    key: str = "OPENAI_API_KEY"
    """Environment variable that holds the endpoint's key; it need not be set."""
    trainable: bool = True
    """Whether the policy learns from what it says as this agent."""
    temperature: float | None = Field(None, ge=0, lt=100)
    """Of its replies; as rollouts are sampled where not given."""
    max_tokens: int | None = Field(None, ge=1)
    """Of one reply, likewise."""

    @model_validator(mode="after")
    def _whole(self) -> "AgentConfig":
        if bool(self.url) != bool(self.model):
            raise ValueError("an endpoint has a url and a model: give both, or neither")
        return self

    @property
    def learns(self) -> bool:
        """Whether the policy learns from this agent's tokens."""
        return self.trainable and not self.url

    def sampled(self, sampling: Sampling) -> Sampling:
        """How its replies are drawn, where others are drawn like ``sampling``."""
        temperature = sampling.temperature if self.temperature is None else self.temperature
        return replace(sampling, temperature=temperature, max_tokens=self.max_tokens or sampling.max_tokens)


class RolloutConfig(Settings):
    """Engines, workers and how they are driven."""

    engine: Annotated[str, ENGINES.setting] = "torch"
    """``torch``: embedded, no further install. ``vllm``: for models of real size. Your own: ``module:name``."""
    engines: int = Field(2, ge=1)
    """How many engine actors."""
    workers: int = Field(2, ge=1)
    """How many environment worker actors."""
    threads: int = Field(4, ge=1)
    """On which each worker plays: what blocks on one without an ``await`` holds up the groups of that one alone."""
    slots: int = Field(64, ge=4)
    """Requests that one engine advances together."""
    gpus_per_engine: float = Field(0, ge=0)
    """GPUs that Ray reserves for each engine; with vLLM also its tensor-parallel size where above 1."""
    engine_options: dict[str, Any] = Field(default_factory=dict)
    """Further options of the engine: with vLLM, arguments of its ``EngineArgs``."""
    weight_transport: Annotated[str, TRANSPORTS.setting] = "object_store"
    """How new weights travel to the engines: ``object_store``, through memory, or your own as ``module:name``."""
    address: str = ""
    """A Ray cluster to join (``auto`` or host:port); empty starts one here."""
    inline: bool = False
    """Everything in this process, without Ray and threads, so that a breakpoint works."""
    sampling: SamplingConfig = SamplingConfig()
    """How rollouts are sampled."""
    staleness: int = Field(0, ge=0)
    """S: at most (S+1) steps' groups are admitted and untrained; 0 is the synchronous algorithm."""
    on_failure: Literal["retry", "drop", "fail"] = "retry"
    """A trajectory that could not be scored: play it again, go on without it, or end the run."""
    retries: int = Field(3, ge=0)
    """How often, before it is dropped."""
    blocking: float = Field(30.0, gt=0)
    """Seconds for which an environment's code may hold up its thread without an ``await``, before it is interrupted."""
    deadline: float = Field(600.0, gt=0)
    """Seconds that a group, an engine call or a weight update may take."""

    @property
    def parallel_workers(self) -> int:
        """How many workers play at the same time."""
        return 1 if self.inline else self.workers
