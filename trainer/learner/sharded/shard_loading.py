"""Models of which each rank reads only its own shards, so that no rank holds all weights in float32."""

import logging
from collections.abc import Callable, Iterator

import torch
from safetensors import SafetensorError
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from ....rollout.models.loading import load_empty_model, load_model
from ....rollout.models.weight_files import WeightFiles
from ..lora import BASE

log = logging.getLogger("lachesis")


def open_model(path: str, dtype: torch.dtype, device: torch.device, ranks: int) -> PreTrainedModel:
    """Load a model for one rank onto ``device``; for several, leave its parameters on ``meta`` for ``load_shards``.

    If ranks cannot read shards of its files, they load the whole model into the memory of the CPU.

    Raises:
        ConfigError: there is no such model, or it is not a causal language model.
    """
    if ranks == 1:
        return load_model(path, dtype, device)
    model = load_empty_model(path, dtype)
    try:
        weights = WeightFiles.of(path)
        reason = weights.difference(model, dtype) or _tied_twice(model, weights)
    except SafetensorError as error:
        reason = f"its files cannot be read ({error})"
    if reason:
        log.warning("each rank loads the whole model before it keeps its shards, because %s", reason)
        return load_model(path, dtype, "cpu")
    return model


def load_shards(model: nn.Module, path: str, rank: int, device: torch.device) -> bool:
    """Read this rank's shards of all parameters that are still on ``meta``; return whether there were any."""
    if not (parameters := list(_empty_parameters(model))):
        return False
    weights = WeightFiles.of(path)
    loaded: dict[int, nn.Parameter] = {}
    for name, place, empty in parameters:
        if id(empty) not in loaded:
            local = empty.to_local()
            step = -(-empty.shape[0] // empty.device_mesh.size())  # FSDP2 shards the first axis as torch.chunk does
            start = min(rank * step, empty.shape[0])
            rows = weights.rows(_file_name(name), start, start + local.shape[0]) if local.numel() else local
            shard = torch.empty_like(local, device=device)
            if local.numel():
                shard.copy_(rows)
            whole = DTensor.from_local(
                shard, empty.device_mesh, empty.placements, run_check=False, shape=empty.shape, stride=empty.stride()
            )
            loaded[id(empty)] = nn.Parameter(whole, empty.requires_grad)
        place(loaded[id(empty)])
    for name, buffer in model.named_buffers():
        if name in weights.files:
            buffer.copy_(weights.rows(name, 0, buffer.shape[0]))
    return True


def _empty_parameters(model: nn.Module) -> Iterator[tuple[str, Callable[[nn.Parameter], None], DTensor]]:
    """The sharded parameters on ``meta``: name, the function that replaces them, and the parameter; tied ones again."""
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.is_meta and isinstance(parameter, DTensor):

                def replace(new: nn.Parameter, module: nn.Module = module, name: str = name) -> None:
                    setattr(module, name, new)

                yield f"{prefix}.{name}", replace, parameter


def _tied_twice(model: PreTrainedModel, weights: WeightFiles) -> str:
    """Say which tied tensor the files hold under a second name; empty if there is none."""
    once = dict(model.named_parameters())
    again = {name for name, _ in model.named_parameters(remove_duplicate=False)} - once.keys()
    return next((f"its files hold {name} although it is tied" for name in again if name in weights.files), "")


def _file_name(name: str) -> str:
    return name.replace(BASE, ".")
