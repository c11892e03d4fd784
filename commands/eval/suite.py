"""A suite: a TOML file that lists environments to evaluate together, each with its own settings."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...trainer.relative_paths import resolve_paths
from ...verifiers.errors import ConfigError
from ...verifiers.settings import Settings, validated


class SuiteEntry(Settings):
    """One environment of a suite. What is left out comes from the options of the command."""

    use: str
    """Name of an installed environment, ``module:Class`` or ``file.py[:Class]``; paths are relative to the suite."""
    label: str = ""
    """Name in the results; unique. If empty, ``use`` is the name."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The environment's own settings, which ``lachesis envs`` lists."""
    rubric: dict[str, float] = Field(default_factory=dict)
    """Weights by label that replace those of the environment's rubric."""
    split: Literal["train", "test"] | None = None
    """Which tasks to use."""
    tasks: int | None = Field(None, ge=1)
    """The most tasks."""
    attempts: int | None = Field(None, ge=1)
    """Attempts at each task."""
    temperature: float | None = Field(None, ge=0, lt=100)
    """Sampling temperature; 0 is greedy."""
    max_tokens: int | None = Field(None, ge=1)
    """The most tokens of one reply."""


class Suite(Settings):
    """The environments of a suite file."""

    environments: list[SuiteEntry] = Field(min_length=1)
    """One table ``[[environments]]`` for each."""


def read_suite(path: Path) -> list[SuiteEntry]:
    """The entries of a suite file.

    Raises:
        ConfigError: the file cannot be read, or has an unknown or impossible setting.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        raise ConfigError(f"cannot read the suite {path}: {error}; give a TOML file with [[environments]]") from None
    labels = [entry.label or entry.use for entry in validated(Suite, values, str(path)).environments]
    resolve_paths(values, path.parent)  # changes ``use``, which is the label of an entry without one
    entries = validated(Suite, values, str(path)).environments
    return [entry.model_copy(update={"label": label}) for entry, label in zip(entries, labels, strict=True)]
