"""A suite: a TOML file that lists environments to evaluate together, each with its own settings."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...verifiers.errors import ConfigError
from ...verifiers.settings import Settings, validated


class SuiteEntry(Settings):
    """One environment of a suite. What is left out comes from the options of the command."""

    use: str
    """Name of an installed environment, ``module:Class`` or ``file.py[:Class]``; a file is relative to the suite."""
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
    entries = validated(Suite, values, str(path)).environments
    return [_beside(entry, path.parent) for entry in entries]


def _beside(entry: SuiteEntry, folder: Path) -> SuiteEntry:
    """The entry with its environment's file looked for beside the suite, and its name as the suite writes it."""
    file, colon, name = entry.use.partition(":")
    if not file.endswith(".py"):
        return entry
    place = f"{folder / file}{colon}{name}"
    return validated(SuiteEntry, {**entry.model_dump(), "use": place, "label": entry.label or entry.use}, "suite")
