"""The engines to choose from, and the record that each of them is built from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...verifiers.plugins import Plugins
from .engine import Engine


@dataclass(frozen=True)
class EngineSetup:
    """What an engine is built from.

    Attributes:
        path: the model's folder or Hub id.
        dtype: torch's name of the type of weights and activations.
        context: most tokens of prompt and completion together.
        slots: requests that are advanced together.
        device: ``cpu``, ``cuda``, or ``auto``, which is a GPU if the engine's process sees one.
        gpus: GPUs that are reserved for the engine; 0 if it shares them.
        gpu_memory_utilization: share of a GPU's memory that the engine may use.
        sleep: vLLM's sleep level while the trainer computes; 0 stays awake.
        version: of the weights that the folder holds; -1 if the trainer will send the first ones.
        options: ``rollout.engine_options``.
        own_process: whether the process is there for the engine alone, and is started again when it ends.
    """

    path: str
    dtype: str = "float32"
    context: int = 1024
    slots: int = 64
    device: str = "auto"
    gpus: float = 0
    gpu_memory_utilization: float = 0.85
    sleep: int = 0
    version: int = -1
    options: Mapping[str, Any] = field(default_factory=dict)
    own_process: bool = False


ENGINES: Plugins[Callable[[EngineSetup], Engine]] = Plugins(
    "engine",
    __package__,
    {"torch": "embedded.engine:open_engine", "vllm": "vllm.engine:open_engine", "scripted": "scripted:open_engine"},
)
"""The choices for ``rollout.engine``."""
