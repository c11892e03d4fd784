"""Low-rank adapters: a few trained weights beside frozen ones, merged wherever the model leaves the trainer."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ...verifiers.errors import ConfigError
from .config import LoraConfig
from .sharding import whole

BASE, ADAPTER = ".base_layer.", ".lora_"


def adapt(model: PreTrainedModel, config: LoraConfig, dtype: torch.dtype = torch.float32) -> None:
    """Freeze ``model`` and put adapters into it, of ``dtype``, whose product is 0 at first.

    Raises:
        ConfigError: peft is not installed, or no layer has such a name.
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
            torch.manual_seed(0)  # of every rank alike
            peft.inject_adapter_in_model(settings, model)
    except ValueError as error:
        raise ConfigError(f"trainer.lora.targets {config.targets}: {str(error).splitlines()[0]:.200}") from None
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


def merged_state(model: nn.Module, dtype: torch.dtype, keep: bool = True, copy: bool = False) -> dict[str, Tensor]:
    """The model's tensors under their usual names: whole, with adapters added, floats as ``dtype``, on the CPU.

    Every rank that shares the model calls this at once.

    Args:
        model: what is trained.
        dtype: of floats.
        keep: whether this rank wants them; it takes part all the same.
        copy: whether they go on as they are now; if not they may be the model's own.
    """
    state = {}
    for name, part in model.state_dict().items():
        if ADAPTER in name:
            continue
        tensor = whole(part)
        if BASE in name:
            name, layer = name.replace(BASE, "."), model.get_submodule(name.partition(BASE)[0])
            if name.endswith(".weight"):
                tensor = tensor.float() + _product(layer)
        if keep:
            state[name] = tensor.to("cpu", dtype if tensor.is_floating_point() else tensor.dtype, copy=copy)
    return state


def _product(layer: Any) -> Tensor:
    """What an adapter adds to its layer's weight."""
    first, second = whole(layer.lora_A["default"].weight), whole(layer.lora_B["default"].weight)
    product = (second @ first) * layer.scaling["default"]
    turned: Tensor = product.T if getattr(layer, "fan_in_fan_out", False) else product
    return turned
