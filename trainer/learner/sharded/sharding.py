"""The ranks that train one model together: how its parameters are sharded, and what is summed between ranks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from ..packing.logprobs import LogprobModel, layers_of


@dataclass(frozen=True)
class Ranks:
    """This process among the ranks; the only one if ``torch.distributed`` was not set up.

    Attributes:
        rank: the number of this process, from 0.
        size: the number of ranks.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "Ranks":
        """Ask ``torch.distributed`` for rank and size."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls()

    def shard(self, model: LogprobModel, device: torch.device) -> None:
        """Shard the parameters of ``model`` over all ranks (FSDP2). Gradients are summed, not averaged.

        Each layer is gathered when it is needed, in the model's dtype, and its gradient is reduced in float32.
        """
        if self.size == 1:
            return
        mesh = init_device_mesh(device.type, (self.size,))
        policy = MixedPrecisionPolicy(param_dtype=model.dtype, reduce_dtype=torch.float32)
        modules: list[nn.Module] = [*layers_of(model.model), model]
        for module in modules:
            fully_shard(module, mesh=mesh, mp_policy=policy)
            sharded = cast(FSDPModule, module)
            sharded.set_gradient_divide_factor(1.0)  # tokens are weighted by counts of the whole step already
            sharded.set_force_sum_reduction_for_comms(True)
        register_fsdp_forward_method(model, "check")

    def check(self, model: LogprobModel) -> None:
        """Check a sharded model; all ranks must call this at the same time."""
        model.check()
        self.reshard(model)

    def reshard(self, model: LogprobModel) -> None:
        """Drop the outermost parameters, which stay gathered after a pass without gradients.

        Else they would be trained as such, and their shards would get no gradient.
        """
        if self.size > 1:
            cast(FSDPModule, model).reshard()

    def sum(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sum the numbers over all ranks, by key. All ranks must have the same keys."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def max(self, values: Mapping[str, float]) -> dict[str, float]:
        """Take the largest number of all ranks, by key. All ranks must have the same keys."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def gather(self, mine: Any) -> list[Any]:
        """Return every rank's object, by rank."""
        if self.size == 1:
            return [mine]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, mine)
        return found

    def wait(self) -> None:
        """Wait until every rank has called this."""
        if self.size > 1:
            dist.barrier()

    def _reduced(self, values: Mapping[str, float], operation: Any) -> dict[str, float]:
        if self.size == 1:
            return dict(values)
        keys = sorted(values)
        numbers = torch.tensor([values[key] for key in keys], dtype=torch.float64)
        dist.all_reduce(numbers, operation)
        return dict(zip(keys, numbers.tolist(), strict=True))


def full_tensor(tensor: Tensor) -> Tensor:
    """Gather a sharded tensor from all ranks, which must call this at the same time; return others as they are."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
