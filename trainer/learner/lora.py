"""Low-rank adapters: trained weights beside frozen ones, sent to engines as they are, or merged if they are saved."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ...rollout.engines.weight_transport.adapters import FIRST, SECOND, merged
from ...rollout.engines.weight_transport.base_weights import digest_of
from ...verifiers.errors import ConfigError
from .config import LoraConfig
from .sharded.sharding import full_tensor

BASE, ADAPTER = ".base_layer.", ".lora_"


def adapt(model: PreTrainedModel, config: LoraConfig, dtype: torch.dtype = torch.float32) -> None:
    """Freeze ``model`` and add adapters of ``dtype``, whose product is 0 at first.

    Raises:
        ConfigError: peft is not installed, or no layer has one of the names in ``trainer.lora.targets``.
    """
    try:
        import peft
    except ImportError:
        raise ConfigError("trainer.lora needs peft: pip install 'lachesis-rl[lora]'") from None
    settings = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, target_modules=config.targets or "all-linear", lora_dropout=0.0
    )
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)  # the same on every rank
            peft.inject_adapter_in_model(settings, model)
            if model.device.type == "meta":  # peft puts the adapters there too
                torch.manual_seed(0)
                _initialize_again(model)
    except ValueError as error:
        raise ConfigError(f"trainer.lora.targets {config.targets}: {str(error).splitlines()[0]:.200}") from None
    _check_adapted(model, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


def _check_adapted(model: PreTrainedModel, config: LoraConfig) -> None:
    """Raise ``ConfigError`` if a layer got adapters that cannot be merged into its own weight alone."""
    whole: Any = model
    tied = model.config.get_text_config().tie_word_embeddings and whole.get_output_embeddings()
    for name, layer in model.named_modules():
        kind = "an embedding" if getattr(layer, "lora_embedding_A", None) else "tied to the embedding" * (layer is tied)
        if kind and hasattr(layer, "lora_A"):
            raise ConfigError(
                f"trainer.lora.targets {config.targets}: {name} is {kind}, and only linear layers with weights of "
                "their own get adapters; leave it out"
            )


def _initialize_again(model: PreTrainedModel) -> None:
    """Give adapters on ``meta`` the values that peft gives them beside a model with weights."""
    for layer in model.modules():
        if hasattr(layer, "reset_lora_parameters"):
            adapted: Any = layer
            for parts in (adapted.lora_A, adapted.lora_B):
                parts["default"] = nn.Linear(parts["default"].in_features, parts["default"].out_features, bias=False)
            adapted.reset_lora_parameters("default", True)
            for parts in (adapted.lora_A, adapted.lora_B):
                parts["default"].to(adapted.get_base_layer().weight.dtype)


def merged_state(model: nn.Module, dtype: torch.dtype, keep: bool = True, copy: bool = False) -> dict[str, Tensor]:
    """Return the model's full tensors on the CPU under their usual names, with adapters merged.

    All ranks that share the model must call this at the same time.

    Args:
        model: the trained model.
        dtype: the dtype of floating-point tensors in the result.
        keep: whether this rank needs the result; without it the result is empty, but the rank takes part.
        copy: whether the result must be a copy; without it, tensors may share memory with the model.
    """
    state = {}
    for name, tensor in merged_tensors(model):
        if keep:
            state[name] = tensor.to("cpu", dtype if tensor.is_floating_point() else tensor.dtype, copy=copy)
    return state


def merged_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of ``merged_state`` one after the other, as the model has them or float32, on its device."""
    state, adapted = model.state_dict(), dict(_adapted(model))
    for name, part in state.items():
        if ADAPTER in name:
            continue
        tensor, usual = full_tensor(part), usual_name(name)
        if layer := adapted.get(usual) if BASE in name else None:
            tensor = merged(tensor.float(), *_factors(state, name, layer), layer.scaling["default"])
        yield usual, tensor


def adapter_tensors(model: nn.Module, gather: bool = True) -> Iterator[tuple[str, Tensor]]:
    """Yield the adapters of each weight as ``merged`` takes them, on the model's device.

    All ranks that share the model must call this at the same time.

    Args:
        model: the trained model.
        gather: whether to yield full tensors; without it they are empty ones on ``meta``, and no rank has to take part.
    """
    state = model.state_dict()  # with several ranks, this also brings the parameters back into shards
    for name, layer in _adapted(model):
        for part, tensor in zip((FIRST, SECOND), _factors(state, name, layer, gather), strict=True):
            yield name + part, tensor


def base_digest(model: nn.Module, dtype: torch.dtype) -> str:
    """The digest, in ``dtype``, of all weights that have adapters. All ranks must call this at the same time."""
    state = {usual_name(name): tensor for name, tensor in model.state_dict().items()}
    return digest_of((name, full_tensor(state[name]).to(dtype)) for name, _ in _adapted(model))


def usual_name(name: str) -> str:
    """The name that a tensor has in a model without adapters."""
    return name.replace(BASE, ".")


def _adapted(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """The usual name of each weight that has adapters, and its layer."""
    return ((f"{name}.weight", layer) for name, layer in model.named_modules() if hasattr(layer, "lora_A"))


def _factors(state: Mapping[str, Tensor], name: str, layer: Any, gather: bool = True) -> tuple[Tensor, Tensor]:
    """The adapters of weight ``name``: [rank, columns] and [rows, rank]."""
    prefix = usual_name(name).removesuffix("weight")
    found = [state[f"{prefix}{part}.default.weight"] for part in ("lora_A", "lora_B")]
    if not gather:
        found = [torch.empty(tensor.shape, dtype=tensor.dtype, device="meta") for tensor in found]
    first, second = map(full_tensor, found)
    if getattr(layer, "fan_in_fan_out", False):  # such a layer stores its weight transposed
        return second.T.contiguous(), first.T.contiguous()
    return first, second
