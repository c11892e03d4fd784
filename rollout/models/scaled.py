"""A model with its rotary positions scaled, so that it can attend to more tokens than it was made for."""

import json
import os
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from ...verifiers.errors import ConfigError
from ...verifiers.files import new_folder
from ..config import ModelConfig

CONFIG = "config.json"
SCALED = "scaled"
"""The folder within a run."""


def scaled_model(model: ModelConfig, run: Path) -> ModelConfig:
    """The model's settings with the path of a folder in ``run`` that is the model but for its positions.

    Its files are links; only ``config.json`` is another. Trainer and engines load that one folder, and checkpoints keep
    what it says, so that none of them knows about it.

    Raises:
        ConfigError: the model has no rotary positions of one kind, or scaled ones already; or the run began otherwise.
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
        raise ConfigError(f"{path!r} is no folder, and not to be had from the Hub ({reason:.160})") from None


def _scaled(model: ModelConfig, source: Path) -> dict[str, Any]:
    """The config of the model in ``source``, with its positions scaled as ``model`` asks for."""
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
    theta = rope.get("rope_theta", text.get("rope_theta", 10_000.0))
    text["rope_parameters"] = {
        **rope,
        "rope_type": model.rope.kind,
        "rope_theta": theta,
        "factor": model.rope.factor,
        "original_max_position_embeddings": positions,
    }
    text["max_position_embeddings"] = int(positions * model.rope.factor)
    return config
