"""The weights that a learner sends to engines: all of them with adapters merged, or the adapters alone."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...rollout.engines.weight_transport.layout import Layout, layout_of
from .lora import ADAPTER, adapter_tensors, merged_tensors, usual_name


class OutgoingWeights(NamedTuple):
    """Tensors to be sent. All ranks that share the model must read them at the same time.

    Attributes:
        layout: of the tensors; nothing is gathered for it.
        tensors: each with its name, in this order, on the model's device.
    """

    layout: Layout
    tensors: Iterator[tuple[str, Tensor]]


def whole_weights(model: nn.Module, dtype: torch.dtype) -> OutgoingWeights:
    """All weights of ``model`` in ``dtype``, with adapters merged; a tied tensor under its first name only."""

    def sent(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    once = {name for name, _ in model.named_parameters()}  # tied parameters have one name here
    again = {name for name, _ in model.named_parameters(remove_duplicate=False)} - once
    parts = {usual_name(name): part for name, part in model.state_dict().items() if ADAPTER not in name}
    empty = {
        name: sent(torch.empty(part.shape, dtype=part.dtype, device="meta"))
        for name, part in parts.items()
        if name not in again
    }
    tensors = ((name, sent(one)) for name, one in merged_tensors(model) if name not in again)
    return OutgoingWeights(layout_of(empty), tensors)


def adapters_alone(model: nn.Module) -> OutgoingWeights:
    """The adapters of ``model`` as they are trained."""
    return OutgoingWeights(layout_of(dict(adapter_tensors(model, gather=False))), adapter_tensors(model))
