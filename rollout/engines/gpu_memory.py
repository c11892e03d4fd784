"""The memory that a model needs on a GPU, and whether the engine's share of a GPU is enough."""

from dataclasses import dataclass
from typing import Any

import torch

from ...verifiers.errors import ConfigError

GIB = 2**30

WORKING = 2 * GIB
"""Bytes for activations and CUDA graphs: an estimate, which vLLM replaces by a measurement when it starts."""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of a model on each of its GPUs.

    Attributes:
        weights: of all parameters; tied ones count once.
        token: keys and values of one token in all layers.
    """

    weights: int
    token: int

    @classmethod
    def of(cls, model: torch.nn.Module, config: Any, dtype: str, gpus: int = 1) -> "MemoryNeed":
        """The need of ``model``, which may be on the device ``meta``, split over ``gpus`` GPUs.

        Args:
            model: its parameters are counted.
            config: its Hugging Face configuration.
            dtype: torch's name of the type of weights and cache.
            gpus: how many share the layers' weights and heads evenly.
        """
        size, text = getattr(torch, dtype).itemsize, config.get_text_config()
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        parameters = sum(parameter.numel() for parameter in model.parameters())
        return cls(parameters * size // gpus, 2 * text.num_hidden_layers * heads * width * size // gpus)

    def total(self, context: int) -> int:
        """Bytes for the weights, the work, and one request of ``context`` tokens."""
        return self.weights + WORKING + self.token * context

    def check(self, context: int, share: float, total: int, free: int) -> None:
        """Compare the need with a GPU.

        Args:
            context: the most tokens of one request.
            share: of the GPU's memory that the engine may use (``rollout.gpu_memory_utilization``).
            total: bytes of the GPU.
            free: bytes that nobody uses.

        Raises:
            ConfigError: it does not fit; the message says what would.
        """
        allowed, need = share * total, self.total(context)
        if allowed > free:
            largest = int(100 * free / total) / 100
            cure = f"set it to {largest} at most" if largest * total >= need else self._smaller(free)
            raise ConfigError(
                f"rollout.gpu_memory_utilization = {share:g} is {gib(allowed)} of the GPU's {gib(total)}, and only "
                f"{gib(free)} are free, because the trainer or another process has the rest; {cure}"
            )
        if need > allowed:
            enough = (int(100 * need / total) + 1) / 100
            larger = f"set it to {enough} at least, or " if enough * total <= free else ""
            raise ConfigError(
                f"rollout.gpu_memory_utilization = {share:g} is {gib(allowed)} of the GPU's {gib(total)}, and the "
                f"engine needs {gib(need)}: {gib(self.weights)} of weights, about {gib(WORKING)} to work in, "
                f"{gib(self.token * context)} for a context of {context} tokens; {larger}{self._smaller(int(allowed))}"
            )

    def check_slots(self, slots: int, context: int, free: int) -> None:
        """Compare the need of an engine that reserves the whole context of every slot with ``free`` bytes of a GPU.

        Raises:
            ConfigError: it does not fit; the message says what would.
        """
        room, each = free - self.weights - WORKING, self.token * context
        if slots * each <= room:
            return
        fits, tokens = max(0, room) // each, max(0, room) // (slots * self.token) // 16 * 16
        cures = [f"rollout.slots to {fits}"] * (fits >= 4) + [f"model.context to {tokens}"] * (tokens >= 16)
        raise ConfigError(
            f"the torch engine needs {gib(self.weights + WORKING + slots * each)} of the GPU: {gib(self.weights)} of "
            f"weights, about {gib(WORKING)} to work in, and {gib(slots * each)} for rollout.slots = {slots} with a "
            f"context of {context} tokens; {gib(free)} are free, so "
            + (f"set {' or '.join(cures)} at most" if cures else "take a smaller model, or a larger GPU")
        )

    def _smaller(self, room: int) -> str:
        """What would fit into ``room`` bytes."""
        tokens = (room - self.weights - WORKING) // self.token
        if tokens >= 16:
            return f"set model.context to {tokens} at most"
        return f"{gib(room)} hold no context of this model: take a smaller model, or more GPUs"


def gib(size: float) -> str:
    """Bytes as text."""
    return f"{size / GIB:.1f} GiB"
