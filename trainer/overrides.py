"""Settings on the command line, given as ``--part.key value``."""

import tomllib
from collections.abc import Sequence
from typing import Any

from ..verifiers.errors import ConfigError, nearest
from ..verifiers.sandbox.settings import SandboxSettings
from ..verifiers.settings import validated


def parse_overrides(words: Sequence[str]) -> list[tuple[str, Any]]:
    """``["--trainer.lr", "1e-5", "--name=x"]`` → ``[("trainer.lr", 1e-5), ("name", "x")]``.

    A value is read as TOML, or as plain text if it is not valid TOML.

    Raises:
        ConfigError: A word is not a key, or a key has no value.
    """
    pairs, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise ConfigError(f"expected --part.key value, found {word!r}; a key begins with --")
        key, equals, value = word[2:].partition("=")
        if not equals:
            if not rest:
                raise ConfigError(f"--{key} needs a value: --{key} VALUE")
            value = rest.pop(0)
        pairs.append((key, _literal(value)))
    return pairs


def apply_overrides(values: dict[str, Any], words: Sequence[str]) -> list[str]:
    """Put each value of ``--part.key value`` into ``values`` at its dotted key. Numbers in a key index lists.

    Returns:
        The keys.

    Raises:
        ConfigError: A word is not a key, or a key leads nowhere.
    """
    pairs = parse_overrides(words)
    for key, value in pairs:
        _put(values, key, value)
    return [key for key, _ in pairs]


def parts_of(words: Sequence[str], **parts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Put each value of ``--part.key value`` into its part, and return the parts.

    Raises:
        ConfigError: An override belongs to none of the parts. The message names the nearest one.
    """
    for key, value in parse_overrides(words):
        first, dot, _ = key.partition(".")
        if not dot or first not in parts:
            raise ConfigError(f"--{key}: there are no settings {first!r} here; {nearest(first, parts)}")
        _put(parts, key, value)
    return parts


def sandbox_settings(words: Sequence[str]) -> SandboxSettings:
    """Read sandbox settings from ``--sandbox.key value``, for commands that take no other settings."""
    return validated(SandboxSettings, parts_of(words, sandbox={})["sandbox"], "--sandbox")


def _literal(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # TOMLDecodeError is a ValueError
        return text


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    place: Any = values
    for parent in parents:
        place = _enter(place, parent, key)
    if isinstance(place, list):
        place[_index(place, last, key)] = value
    else:
        place[last] = value


def _enter(place: Any, part: str, key: str) -> Any:
    inner = place[_index(place, part, key)] if isinstance(place, list) else place.setdefault(part, {})
    if not isinstance(inner, dict | list):
        raise ConfigError(f"--{key}: {part!r} is a value, not a table, so it has no keys of its own")
    return inner


def _index(place: list[Any], part: str, key: str) -> int:
    numbers = [str(number) for number in range(len(place))]
    if part not in numbers:
        raise ConfigError(f"--{key}: {part!r:.80} is not one of the {len(place)} entries, which are counted from 0")
    return numbers.index(part)
