"""The processes that train one model together: how its parameters lie over them, and what is summed between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from .logprobs import Scorer, layers_of


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; alone where ``torch.distributed`` was not set up.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> "Ranks":
        """As ``torch.distributed`` says."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls()

    def shard(self, scorer: Scorer, device: torch.device) -> None:
        """Spread the parameters of ``scorer`` over all ranks (FSDP2); gradients are summed, not averaged.

        Each layer is gathered where it is needed, in the scorer's dtype, and its gradient is reduced in float32.
        """
        if self.size == 1:
            return
        mesh = init_device_mesh(device.type, (self.size,))
        policy = MixedPrecisionPolicy(param_dtype=scorer.dtype, reduce_dtype=torch.float32)
        pieces: list[nn.Module] = [*layers_of(scorer.model), scorer]
        for piece in pieces:
            fully_shard(piece, mesh=mesh, mp_policy=policy)
            sharded = cast(FSDPModule, piece)
            sharded.set_gradient_divide_factor(1.0)  # every token's weight is of the whole step
            sharded.set_force_sum_reduction_for_comms(True)

    def sum(self, values: Mapping[str, float]) -> dict[str, float]:
        """The numbers, added up over all ranks; each rank has the same keys."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def most(self, values: Mapping[str, float]) -> dict[str, float]:
        """The largest of all ranks, by key."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def gather(self, mine: Any) -> list[Any]:
        """What every rank has, by rank."""
        if self.size == 1:
            return [mine]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, mine)
        return found

    def wait(self) -> None:
        """Until every rank is here."""
        if self.size > 1:
            dist.barrier()

    def _reduced(self, values: Mapping[str, float], operation: Any) -> dict[str, float]:
        if self.size == 1:
            return dict(values)
        keys = sorted(values)
        numbers = torch.tensor([values[key] for key in keys], dtype=torch.float64)
        dist.all_reduce(numbers, operation)
        return dict(zip(keys, numbers.tolist(), strict=True))


def whole(tensor: Tensor) -> Tensor:
    """The tensor of all ranks' parts; each of them calls this at once."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
