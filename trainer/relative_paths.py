"""Paths of environments and rows in a run's TOML: relative to its folder, or else to the working directory."""

import typing
from pathlib import Path
from typing import Any

from ..environments.loading import describe
from ..verifiers.errors import ConfigError, LachesisError


def resolve_paths(values: dict[str, Any], folder: Path) -> None:
    """Make the paths of ``environments`` and ``data`` absolute, as far as they exist relative to ``folder``.

    These are the file in ``use``, the environments' settings whose type is a path, and the files of rows. What does not
    exist there stays as it is, relative to the working directory.

    Raises:
        ConfigError: a path exists in both places, as two different files.
    """
    data = values.get("data")
    if isinstance(data, dict):
        for key in ("path", "validation"):
            if isinstance(data.get(key), str):
                data[key] = _resolved(data[key], folder)
    entries = values.get("environments")
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or not isinstance(entry.get("use"), str):
            continue  # the config's own check names the fault
        target, colon, class_name = entry["use"].partition(":")
        if target.endswith(".py"):
            entry["use"] = _resolved(target, folder) + colon + class_name
        settings = entry.get("config")
        if isinstance(settings, dict):
            for key in _path_settings(entry["use"]) & settings.keys():
                settings[key] = _resolved_all(settings[key], folder)


def _path_settings(use: str) -> set[str]:
    """The names of an environment's settings that hold paths; none if the environment cannot be loaded."""
    try:
        fields = describe(use).environment_class().Config.model_fields
    except (ImportError, LachesisError):  # reported when the environment is built
        return set()
    return {key for key, field in fields.items() if _holds_path(field.annotation)}


def _holds_path(annotation: Any) -> bool:
    return annotation is Path or any(map(_holds_path, typing.get_args(annotation)))


def _resolved_all(value: Any, folder: Path) -> Any:
    if isinstance(value, str):
        return _resolved(value, folder)
    if isinstance(value, list):
        return [_resolved_all(item, folder) for item in value]
    return {key: _resolved_all(item, folder) for key, item in value.items()} if isinstance(value, dict) else value


def _resolved(text: str, folder: Path) -> str:
    path = Path(text).expanduser()
    beside, here = (folder / path).absolute(), path.absolute()
    if path.is_absolute() or not beside.exists():
        return text
    if here.exists() and not here.samefile(beside):
        raise ConfigError(
            f"{text} is {beside}, beside the config, but also {here}, in the working directory; write the absolute "
            "path of the one that is meant"
        )
    return str(beside)
