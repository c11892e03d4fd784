"""A model whose rotary positions are scaled, so that it can attend to more tokens than it was trained for."""

import json
import os
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from transformers import AutoConfig

from ...verifiers.errors import ConfigError
from ...verifiers.files import new_folder
from ..config import ModelConfig

CONFIG = "config.json"
SCALED = "scaled"
"""The folder within a run."""


def scaled_model(model: ModelConfig, run: Path) -> ModelConfig:
    """The settings with a path inside ``run``: a folder that holds the model with scaled positions.

    All files are links except ``config.json``. Trainer and engines load this one folder, and checkpoints keep its
    config, so none of them has to know about the scaling.

    Raises:
        ConfigError: the model's layers have no rotary positions or different ones; its positions are scaled already; or
            the run began with other positions.
    """
    source = _folder(model.path)
    config = _scaled(model, source)
    path = run / SCALED
    if not path.exists():
        with new_folder(path) as draft:
            for file in source.iterdir():
                if file.name != CONFIG:
                    (draft / file.name).symlink_to(os.path.realpath(file))
            (draft / CONFIG).write_text(json.dumps(config, indent=2))
    if json.loads((path / CONFIG).read_text()) != config:
        raise ConfigError(f"the run in {run} began with other positions than model.rope asks for; start a new run")
    return model.model_copy(update={"path": str(path.resolve())})


def _folder(path: str) -> Path:
    if Path(path).is_dir():
        return Path(path)
    try:
        return Path(snapshot_download(path))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ConfigError(f"{path!r} is no folder, and the Hub does not give it ({reason:.160})") from None


def _scaled(model: ModelConfig, source: Path) -> dict[str, Any]:
    """The config of the model in ``source``, with the scaling that ``model`` asks for."""
    try:
        config: dict[str, Any] = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{source / CONFIG} cannot be read: {error}; give a folder with a model") from None
    text = config.get("text_config", config)
    rope = text.pop("rope_parameters", None) or text.pop("rope_scaling", None) or {}
    positions = text.get("max_position_embeddings")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if positions is None or any(isinstance(value, dict) for value in rope.values()):
        raise ConfigError(f"{model.path!r} has no rotary positions of one kind for all layers; leave model.rope out")
    if kind != "default":
        raise ConfigError(f"{model.path!r} has scaled positions already ({kind}); leave model.rope out")
    text["rope_parameters"] = {
        **rope,
        "rope_type": model.rope.kind,
        "rope_theta": rope.get("rope_theta") or text.get("rope_theta") or _default_theta(source),
        "factor": model.rope.factor,
        "original_max_position_embeddings": positions,
    }
    text["max_position_embeddings"] = int(positions * model.rope.factor)
    return config


def _default_theta(source: Path) -> float:
    """The rotary base that the model's architecture takes when its config.json names none."""
    try:
        config = AutoConfig.from_pretrained(source).get_text_config()
        theta: float = config.rope_parameters["rope_theta"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigError(f"{source / CONFIG} has no rope_theta, and its architecture no default: {error}") from None
    return theta
