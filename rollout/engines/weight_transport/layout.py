"""The layout of a model's weights: name, type and shape of each tensor, and whether those that arrive fit the model."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ....verifiers.errors import EngineError

if TYPE_CHECKING:  # settings and workers import this file, and do without torch
    from torch import Tensor


class TensorSpec(NamedTuple):
    """One tensor: its name as Hugging Face has it, torch's name of its type, and its shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]


Layout = tuple[TensorSpec, ...]
"""A model's tensors in the order in which they are sent."""


def layout_of(state: "Mapping[str, Tensor]") -> Layout:
    """The layout of ``state``, in the order of its keys."""
    return tuple(
        TensorSpec(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in state.items()
    )


def check_layout(arriving: Layout, own: Layout, optional: Collection[str] = ()) -> None:
    """Raise ``EngineError`` unless the tensors that arrive are those of the model.

    Args:
        arriving: what the trainer sends.
        own: what the model has.
        optional: names that may be left out, because another name brings the same tensor.
    """
    expected = {spec.name: spec for spec in own}
    for spec in arriving:
        if spec.name not in expected:
            raise EngineError(f"the model has no tensor {spec.name!r}; do trainer and engine have the same model?")
        if spec != expected[spec.name]:
            there = expected[spec.name]
            raise EngineError(
                f"tensor {spec.name!r} arrived as {spec.shape} {spec.dtype}, the model has {there.shape} {there.dtype}"
            )
    given = {spec.name for spec in arriving}
    missing = [name for name in expected if name not in given and name not in optional]
    if missing:
        raise EngineError(f"the update lacks {len(missing)} of the model's tensors, the first is {missing[0]!r}")
