"""How fast a step's passes went, and in how much memory."""

import resource
from typing import NamedTuple

import torch

PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Dense bfloat16 operations a second, by a part of the GPU's name, as their makers give them."""


class Scale(NamedTuple):
    """What speed is measured against.

    Attributes:
        parameters: of the model.
        peak: operations a second that its device could do; 0 where that is not known.
        ranks: how many devices there are.
    """

    parameters: int
    peak: float = 0.0
    ranks: int = 1

    @classmethod
    def of(cls, parameters: int, device: torch.device, ranks: int) -> "Scale":
        """On ``ranks`` devices like this one."""
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        return cls(parameters, next((peak for part, peak in PEAKS.items() if part in name), 0.0), ranks)

    def throughput(self, tokens: float, seconds: float) -> dict[str, float]:
        """Operations of the passes, 6 for each parameter and token (arXiv:2001.08361) and none for attention.

        Args:
            tokens: that went through the model, forward and backward.
            seconds: that took. The share of the peak (MFU) is left out where the peak is not known.
        """
        rate = 6 * self.parameters * tokens / seconds / self.ranks
        known = {"rate/mfu": rate / self.peak} if self.peak else {}
        return {"rate/trainer_tokens_per_s": tokens / seconds, "rate/trainer_tflops": rate / 1e12, **known}


def peak_memory(device: torch.device) -> float:
    """GiB that this process has held at most so far, on the device; on a CPU all of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
