"""Models of which each rank reads only its own shards, so that no rank holds all weights in float32."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import cached_file

from ....rollout.models.loading import load_empty_model, load_model
from ..lora import BASE

log = logging.getLogger("lachesis")


@dataclass(frozen=True)
class WeightFiles:
    """The safetensors files of a model folder, by the names of the tensors in them."""

    files: dict[str, Path]

    @classmethod
    def of(cls, path: str) -> "WeightFiles":
        """Find the files in a folder or of a Hub id; there are none if its weights have another format."""

        def find(name: str) -> Path | None:
            found = cached_file(path, name, _raise_exceptions_for_missing_entries=False)
            return Path(found) if found else None

        if index := find(SAFE_WEIGHTS_INDEX_NAME):
            places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            files = {name: find(name) for name in set(places.values())}
            return cls({name: file for name, place in places.items() if (file := files[place])})
        if not (single := find(SAFE_WEIGHTS_NAME)):
            return cls({})
        with safe_open(single, "pt") as opened:
            return cls(dict.fromkeys(opened.keys(), single))

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        with safe_open(self.files[name], "pt") as opened:
            return tuple(opened.get_slice(name).get_shape())

    def rows(self, name: str, start: int, end: int) -> Tensor:
        """Read a part of a tensor's first axis; nothing else of its file is read."""
        with safe_open(self.files[name], "pt") as opened:
            part: Tensor = opened.get_slice(name)[start:end]
            return part


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
        reason = _whole(model, WeightFiles.of(path), dtype)
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


def _whole(model: PreTrainedModel, weights: WeightFiles, dtype: torch.dtype) -> str:
    """Say why ranks cannot read shards of this model; empty if they can."""
    if not weights.files:
        return "its weights are not in safetensors files"
    if get_model_conversion_mapping(model, add_legacy=False):
        return f"transformers converts the weights of {model.config.model_type} while it loads them"
    if getattr(model.config, "quantization_config", None):
        return "its weights are quantized"
    if dtype != torch.float32 and model._keep_in_fp32_modules_strict:
        return f"parts of {model.config.model_type} stay in float32"
    once = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    again = {name for name, _ in model.named_parameters(remove_duplicate=False)} - once.keys()
    for name, shape in once.items():
        if name not in weights.files or weights.shape(name) != shape:
            return f"its files hold no {name} of shape {shape}"
    return next((f"its files hold {name} although it is tied" for name in again if name in weights.files), "")


def _file_name(name: str) -> str:
    return name.replace(BASE, ".")
