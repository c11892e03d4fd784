"""Low-rank adapters: trained weights beside frozen ones, merged when the weights are sent or saved."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

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
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


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
    for name, part in model.state_dict().items():
        if ADAPTER in name:
            continue
        tensor = full_tensor(part)
        if BASE in name:
            layer = model.get_submodule(name.partition(BASE)[0])
            if name.endswith(".weight"):
                tensor = tensor.float() + _product(layer)
        yield usual_name(name), tensor


def usual_name(name: str) -> str:
    """The name that a tensor has in a model without adapters."""
    return name.replace(BASE, ".")


def _product(layer: Any) -> Tensor:
    """Return the matrix that an adapter adds to its layer's weight."""
    first, second = full_tensor(layer.lora_A["default"].weight), full_tensor(layer.lora_B["default"].weight)
    product = (second @ first) * layer.scaling["default"]
    oriented: Tensor = product.T if getattr(layer, "fan_in_fan_out", False) else product
    return oriented
