"""Prepares the model of a run: makes the tiny model, or a copy with scaled positions, in the run's folder."""

import json
import math
from pathlib import Path

from ...rollout.config import ModelConfig, TinyConfig
from ...rollout.models.rope import SCALED, scaled_model
from ...rollout.models.tiny import build_tiny_model
from ...verifiers.errors import ConfigError
from ...verifiers.files import new_folder


def prepare_model(model: ModelConfig, seed: int, run: Path, resumed: bool) -> ModelConfig:
    """Make the run's own model if it needs one; return the settings with a path that can be loaded.

    Raises:
        ConfigError: A resumed run began with a tiny model of another shape, or with other positions.
    """
    if model.path == "tiny":
        context = math.ceil(model.context / model.rope.factor)
        model = _tiny(model.model_copy(update={"context": context}), seed, run).model_copy(
            update={"context": model.context}
        )
    scaled = model.rope.factor > 1
    if resumed and scaled != (run / SCALED).exists():
        raise ConfigError(
            f"the run in {run} began {'without' if scaled else 'with'} scaled positions; set model.rope as it was, or "
            "start a new run"
        )
    return scaled_model(model, run) if scaled else model


def check_tokens(highest: int, vocabulary: int) -> None:
    """Raise ``ConfigError`` if the tokenizer gives ids that the model, of ``vocabulary`` tokens, does not have."""
    if highest >= vocabulary:
        raise ConfigError(
            f"the tokenizer gives token {highest}, but its model has only {vocabulary} tokens; give a model with its "
            "own tokenizer (model.path)"
        )


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
        words=model.tiny.words,  # not compared: the folder keeps the tokenizer that it was made with
    )
    if shape != model.tiny or made["max_position_embeddings"] < model.context:
        raise ConfigError(
            f"the run in {run} began with another model ({shape}, context {made['max_position_embeddings']}) "
            f"than model.tiny and model.context ask for ({model.tiny}, {model.context}); start a new run"
        )
    return model.model_copy(update={"path": str(path.resolve())})
