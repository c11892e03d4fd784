"""The safetensors files in which a model folder keeps its weights."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import cached_file


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

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all tensors."""
        found: dict[str, tuple[int, ...]] = {}
        for file in set(self.files.values()):
            with safe_open(file, "pt") as opened:
                found |= {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        return found

    def rows(self, name: str, start: int, end: int) -> Tensor:
        """Read a part of a tensor's first axis; nothing else of its file is read."""
        with safe_open(self.files[name], "pt") as opened:
            part: Tensor = opened.get_slice(name)[start:end]
            return part

    def difference(self, model: PreTrainedModel, dtype: torch.dtype) -> str:
        """Say why ``model``, loaded in ``dtype``, has other tensors than the files; empty if it has the same."""
        if not self.files:
            return "its weights are not in safetensors files"
        if get_model_conversion_mapping(model, add_legacy=False):
            return f"transformers converts the weights of {model.config.model_type} while it loads them"
        if getattr(model.config, "quantization_config", None):
            return "its weights are quantized"
        if dtype != torch.float32 and model._keep_in_fp32_modules_strict:
            return f"parts of {model.config.model_type} stay in float32"
        shapes = self.shapes()
        for name, parameter in model.named_parameters():
            if shapes.get(name) != tuple(parameter.shape):
                return f"its files hold no {name} of shape {tuple(parameter.shape)}"
        return ""
