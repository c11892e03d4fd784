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
        gpus: GPUs that the engine may use; 0 for a CPU.
        version: of the weights that the folder holds; -1 if the trainer will send the first ones.
        options: ``rollout.engine_options``.
    """

    path: str
    dtype: str = "float32"
    context: int = 1024
    slots: int = 64
    gpus: float = 0
    version: int = -1
    options: Mapping[str, Any] = field(default_factory=dict)


ENGINES: Plugins[Callable[[EngineSetup], Engine]] = Plugins(
    "engine",
    __package__,
    {"torch": "embedded.engine:open_engine", "vllm": "vllm:open_engine", "scripted": "scripted:open_engine"},
)
"""The choices for ``rollout.engine``."""
