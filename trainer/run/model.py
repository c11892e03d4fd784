"""Builds the model of runs that need one of their own in their folder: tiny, or with scaled positions."""

import json
import math
from pathlib import Path

from ...rollout.config import ModelConfig, TinyConfig
from ...rollout.models.scaled import SCALED, scaled_model
from ...rollout.models.tiny import build_tiny_model
from ...verifiers.errors import ConfigError
from ...verifiers.files import new_folder


def own_model(model: ModelConfig, seed: int, run: Path, resumed: bool) -> ModelConfig:
    """The model's settings with a path that can be loaded; the tiny model is made in the run's folder.

    Raises:
        ConfigError: the run began with a tiny model of another shape, or with other positions.
    """
    if model.path == "tiny":
        context = math.ceil(model.context / model.rope.factor)
        model = _tiny(model.model_copy(update={"context": context}), seed, run).model_copy(
            update={"context": model.context}
        )
    scaled = model.rope.factor > 1
    if resumed and scaled != (run / SCALED).exists():
        raise ConfigError(
            f"the run in {run} began {'without' if scaled else 'with'} scaled positions (model.rope); leave model.rope "
            "as it was, or start a new run"
        )
    return scaled_model(model, run) if scaled else model


def _tiny(model: ModelConfig, seed: int, run: Path) -> ModelConfig:
    path = run / "model"
    if not path.exists():
        with new_folder(path) as draft:
            build_tiny_model(draft, seed=seed, context=model.context, **model.tiny.model_dump())
    made = json.loads((path / "config.json").read_text(encoding="utf-8"))
    shape = TinyConfig(
        hidden=made["hidden_size"],
        layers=made["num_hidden_layers"],
        tied=made["tie_word_embeddings"],
        words=model.tiny.words,  # the folder's tokenizer stays as it was made
    )
    if shape != model.tiny or made["max_position_embeddings"] < model.context:
        raise ConfigError(
            f"the run in {run} began with another model ({shape}, context {made['max_position_embeddings']}) "
            f"than model.tiny and model.context ask for ({model.tiny}, {model.context}); start a new run"
        )
    return model.model_copy(update={"path": str(path.resolve())})
