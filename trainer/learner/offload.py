"""The optimizer's moments in the host's memory while engines on the same GPU generate."""

from typing import Any

import torch
from torch import Tensor


class Offload:
    """Takes the moments and gradients of an optimizer off its GPU between steps, and back for a step.

    A trained parameter then takes 4 instead of 16 bytes of the GPU while the engines generate, and 8 bytes of pinned
    memory of the host. On a CPU only the gradients are freed.

    Args:
        optimizer: AdamW over parameters that are not sharded.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._host: dict[tuple[int, str], Tensor] = {}

    def restore(self) -> None:
        """Put everything where a step needs it. AdamW skips a gradient of None, so those that are missing become 0."""
        for parameter, _, moments in self._states():
            for name, tensor in moments.items():
                moments[name] = tensor.to(parameter.device, non_blocking=True)
        for group in self._optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)

    def put_away(self) -> None:
        """Free the gradients, and move the moments to the host."""
        for _, number, moments in self._states():
            for name, tensor in moments.items():
                if tensor.is_cuda:
                    if (number, name) not in self._host:  # pinned memory takes long to get
                        self._host[number, name] = torch.empty_like(tensor, device="cpu", pin_memory=True)
                    moments[name] = self._host[number, name].copy_(tensor, non_blocking=True)
        self._optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # before anybody reads the copies
            torch.cuda.empty_cache()  # engines in other processes need what torch would keep

    def _states(self) -> list[tuple[Tensor, int, dict[str, Any]]]:
        """Each parameter that has moments, its number, and its moments by name."""
        parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        states = self._optimizer.state
        return [(one, number, states[one]) for number, one in enumerate(parameters) if one in states]
