"""The settings that all judges share: where the models are, how they are asked, and what they may cost."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..endpoint import Endpoint
from ..errors import ConfigError, nearest
from ..rows.jsonl import check_json
from ..secrets import is_secret, without_secrets
from .cache import Cache, default_path, open_cache

BUDGETS = ("calls", "tokens", "money")
PRICES = ("input", "output")
_RESERVED = frozenset({"messages", "model", "stream", "n", "temperature", "max_tokens"})
_LEAST = {"max_tokens": 0, "concurrency": 1, "deadline": 0.001, "tries": 1, "backoff": 0, "longest": 1}


@dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """Where the models of a judge are, and how they are asked; see ``Judge`` for the meaning of each field."""

    url: str | Sequence[str]
    model: str | Sequence[str]
    key_variable: str = "OPENAI_API_KEY"
    temperature: float | None = 0.0
    max_tokens: int = 2048
    options: Mapping[str, Any] = field(default_factory=dict)
    cache: str = ""
    concurrency: int = 16
    deadline: float = 120.0
    tries: int = 4
    backoff: float = 1.0
    longest: int = 100_000
    prices: Mapping[str, float] = field(default_factory=dict)
    budget: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_endpoints()
        for name, least in _LEAST.items():
            check_number(name, getattr(self, name), least)
        for name in ("max_tokens", "concurrency", "tries", "longest"):
            if not isinstance(getattr(self, name), int):
                raise ConfigError(f"a judge's {name} is a whole number, found {getattr(self, name)!r:.80}")
        if self.temperature is not None:
            check_number("temperature", self.temperature, 0)
        for name, known in (("prices", PRICES), ("budget", BUDGETS)):
            for key, value in _table(name, getattr(self, name)).items():
                if key not in known:
                    raise ConfigError(f"a judge's {name} have no {key!r:.80}; {nearest(str(key), known)}")
                check_number(f"{name}.{key}", value, 0)
        if "money" in self.budget and not self.prices:
            raise ConfigError("a judge's budget of money needs prices: {'input': …, 'output': …} per million tokens")
        for key in _table("options", self.options):
            if key in _RESERVED:
                raise ConfigError(f"a judge's options cannot set {key!r}: the judge sets it")
            if is_secret(str(key)):
                raise ConfigError(f"a judge's options have no secrets such as {key!r}; put the key into a variable")
        check_json(dict(self.options), "a judge's options")

    @property
    def urls(self) -> tuple[str, ...]:
        """The URL of each model."""
        if isinstance(self.url, str):
            return (self.url,) * len(self.models)
        return tuple(self.url)

    @property
    def models(self) -> tuple[str, ...]:
        """The models; one that occurs several times is asked as often."""
        return (self.model,) if isinstance(self.model, str) else tuple(self.model)

    @property
    def file(self) -> Cache:
        """The cache."""
        return open_cache(Path(self.cache).expanduser() if self.cache else default_path(), os.getpid())

    @property
    def shared(self) -> dict[str, Any]:
        """The settings that all judges have, for a judge that is made of another."""
        return {known.name: getattr(self, known.name) for known in fields(JudgeSettings)}

    def _check_endpoints(self) -> None:
        for name in ("url", "model"):
            value = getattr(self, name)
            texts = [value] if isinstance(value, str) else value
            if not isinstance(texts, list | tuple) or not texts or not all(isinstance(t, str) and t for t in texts):
                raise ConfigError(f"a judge's {name} is text or a list of texts, found {_shown(value)}")
        if len(self.urls) != len(self.models):
            raise ConfigError(f"a judge has one url, or one for each of its {len(self.models)} models")
        for url in self.urls:
            if without_secrets(url) != url:
                raise ConfigError(
                    f"the URL {without_secrets(url)} has a key in it; put it into a variable: key_variable"
                )
            Endpoint(url, key_variable="", deadline=1.0, tries=1, backoff=0.0)
        if not isinstance(self.key_variable, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.key_variable):
            raise ConfigError("a judge's key_variable is the name of an environment variable, never the key itself")
        if not isinstance(self.cache, str):
            raise ConfigError(f"a judge's cache is the path of a file, found {self.cache!r:.80}")


def check_number(name: str, value: Any, least: float, owner: str = "judge") -> None:
    """Raise ``ConfigError`` if ``value`` is not a finite number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < least:
        raise ConfigError(f"a {owner}'s {name} is a number of at least {least:g}, found {value!r:.80}")


def _table(name: str, value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"a judge's {name} is a table, found {value!r:.80}")
    return value


def _shown(value: Any) -> str:
    return without_secrets(f"{value!r:.80}")
