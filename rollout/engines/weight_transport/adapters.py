"""Low-rank adapters on their way: their names, what they belong to, and the weights that they make of a base."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....verifiers.errors import EngineError
from .layout import Layout

if TYPE_CHECKING:  # settings and workers import this file, and do without torch
    from torch import Tensor

FIRST, SECOND = ".lora_A", ".lora_B"
"""What follows the name of a weight in the names of its two factors, which are sent in this order."""


@dataclass(frozen=True)
class Adapters:
    """Says that a shipment holds adapters alone, which belong to the weights in the model's folder.

    Attributes:
        base: digest of the folder's weights that have adapters, in the order of the layout (``BaseWeights.digest``).
        scale: factor of each product of two adapters.
    """

    base: str
    scale: float


def merged(base: "Tensor", first: "Tensor", second: "Tensor", scale: float) -> "Tensor":
    """``base`` + ``scale`` · ``second`` @ ``first``, computed in float32 and returned as ``base`` (arXiv:2106.09685).

    Args:
        base: [rows, columns], as the model stores them.
        first: [rank, columns].
        second: [rows, rank].
        scale: ``alpha`` / ``rank``.
    """
    return base.float().addmm(second.float(), first.float(), alpha=scale).to(base.dtype)


def adapted_names(layout: Layout) -> list[str]:
    """The names of the weights whose adapters ``layout`` describes."""
    return [spec.name.removesuffix(FIRST) for spec in layout[::2]]


def check_adapters(arriving: Layout, own: Layout) -> None:
    """Raise ``EngineError`` unless the tensors that arrive are pairs of adapters that fit the model's weights.

    Args:
        arriving: what the trainer sends.
        own: what the model has.
    """
    shapes = {spec.name: spec.shape for spec in own}
    names = adapted_names(arriving)
    if [spec.name for spec in arriving] != [name + part for name in names for part in (FIRST, SECOND)]:
        raise EngineError(f"adapters arrive in pairs, NAME{FIRST} before NAME{SECOND}; found {_shown(arriving)}")
    for name, first, second in zip(names, arriving[::2], arriving[1::2], strict=True):
        if name not in shapes:
            raise EngineError(f"the model has no tensor {name!r}; do trainer and engine have the same model?")
        fits = len(first.shape) == len(second.shape) == 2 and first.shape[0] == second.shape[1]
        if not fits or shapes[name] != (second.shape[0], first.shape[1]):
            raise EngineError(
                f"the adapters of {name!r} arrived as {first.shape} and {second.shape}, which do not make the model's "
                f"{shapes[name]}"
            )


def pairs(tensors: "Iterator[tuple[str, Tensor]]") -> "Iterator[tuple[str, Tensor, Tensor]]":
    """The name of each weight with its two adapters, from tensors whose layout was checked."""
    for name, first in tensors:
        _, second = next(tensors)
        yield name.removesuffix(FIRST), first, second


def _shown(layout: Layout) -> str:
    return f"{', '.join(spec.name for spec in layout):.160}"
