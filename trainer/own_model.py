"""The tiny model of a run, made from nothing in its folder."""

import json
from pathlib import Path

from ..rollout.config import ModelConfig, TinyConfig
from ..rollout.tiny_model import build_tiny_model
from ..verifiers.errors import ConfigError


def own_model(model: ModelConfig, seed: int, run: Path) -> ModelConfig:
    """The model's settings with a path that can be loaded; the tiny model is made in the run's folder.

    Raises:
        ConfigError: the run began with a tiny model of another shape.
    """
    if model.path != "tiny":
        return model
    path = run / "model"
    if not path.exists():
        draft = run / "model.draft"
        build_tiny_model(draft, seed=seed, context=model.context, **model.tiny.model_dump())
        draft.rename(path)  # a crash leaves no half of it
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
