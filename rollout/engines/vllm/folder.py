"""The model's folder behind a vLLM engine: its tensors before vLLM fuses any, and whether a shipment fits them."""

import functools
from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from ....verifiers.errors import EngineError
from ...models.loading import load_empty_model
from ..weight_transport.base_weights import NO_BASE, BaseWeights
from ..weight_transport.layout import Layout, check_layout, layout_of
from ..weight_transport.transport import Shipment

OTHER_WEIGHTS = (
    "model",
    "revision",
    "load_format",
    "quantization",
    "hf_overrides",
    "dtype",
    "model_loader_extra_config",
)
"""Settings with which vLLM may hold other weights than the folder's, so that adapters cannot be added to these."""


class ModelFolder:
    """A folder or Hub id, as Hugging Face's model has its tensors.

    Args:
        path: the folder or Hub id.
        dtype: torch's name of the type of the trainer's weights.
        extra: settings for vLLM that a user chose.
        sleep: vLLM's sleep level; at level 2 its weights are gone after each sleep, so all must come again.
    """

    def __init__(self, path: str, dtype: str, extra: Mapping[str, Any], sleep: int) -> None:
        self._path, self._dtype = path, getattr(torch, dtype)
        self._replaced = sleep > 1 or any(name in extra for name in OTHER_WEIGHTS)

    @property
    def base(self) -> BaseWeights | None:
        """The weights that adapters are added to; None if the engine does not hold the folder's."""
        return None if self._replaced else self._base

    def base_for(self, shipment: Shipment) -> BaseWeights | None:
        """Check a shipment that is about to be loaded; return the weights that it is added to, None if it has all.

        Raises:
            EngineError: a tensor is unknown, missing, or of another shape; or adapters belong to other weights.
        """
        if not shipment.adapters:
            tied = {"lm_head.weight"} if self._empty.config.get_text_config().tie_word_embeddings else set()
            arriving = tuple(spec._replace(dtype="") for spec in shipment.layout)  # vLLM converts types
            check_layout(arriving, self._layout, optional=tied)
            self._replaced = True
            return None
        if self.base is None:
            raise EngineError(NO_BASE)
        self.base.check(shipment, self._layout)
        return self.base

    @functools.cached_property
    def _empty(self) -> PreTrainedModel:
        return load_empty_model(self._path, self._dtype)

    @functools.cached_property
    def _base(self) -> BaseWeights | None:
        return BaseWeights.of(self._path, self._empty, self._dtype)

    @functools.cached_property
    def _layout(self) -> Layout:
        """All tensors, without types."""
        return tuple(spec._replace(dtype="") for spec in layout_of(self._empty.state_dict()))
