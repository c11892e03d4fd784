"""Throughput and peak memory of the learner."""

import resource
from typing import NamedTuple

import torch

PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Dense bfloat16 operations per second by a part of the GPU's name, from the makers' data sheets."""


class Scale(NamedTuple):
    """Model size and hardware, from which throughput metrics are computed.

    Attributes:
        parameters: number of the model's parameters.
        peak: operations per second of one device at most; 0 if unknown.
        ranks: number of devices.
    """

    parameters: int
    peak: float = 0.0
    ranks: int = 1

    @classmethod
    def of(cls, parameters: int, device: torch.device, ranks: int) -> "Scale":
        """Return the scale of a model on ``ranks`` devices like ``device``."""
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        return cls(parameters, next((peak for part, peak in PEAKS.items() if part in name), 0.0), ranks)

    def throughput(self, tokens: float, seconds: float) -> dict[str, float]:
        """Return tokens and operations per second, and their share of the peak (MFU) if the peak is known.

        A token costs 6 operations for each parameter (arXiv:2001.08361); attention is not counted.

        Args:
            tokens: number of tokens that went forward and backward through the model.
            seconds: the time that this took.
        """
        rate = 6 * self.parameters * tokens / seconds / self.ranks
        known = {"rate/mfu": rate / self.peak} if self.peak else {}
        return {"rate/trainer_tokens_per_s": tokens / seconds, "rate/trainer_tflops": rate / 1e12, **known}


def peak_memory(device: torch.device) -> float:
    """Return the peak memory of this process in GiB: on a GPU, or all of its memory for a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
