"""Digests of a run's environments (code, data, rewards, settings) and chat template, to notice changes on resume."""

import hashlib
import inspect
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from ....environments.environment import Environment, tasks_of
from ....verifiers.rubric import Rubric, Use
from .redaction import redacted

TASKS = 64
"""How many tasks of each split are digested."""

Fingerprint = dict[str, Any]
"""JSON: ``environments`` (label → ``settings``, ``rewards``, ``code``, ``data``) and ``template``."""


def fingerprint(environments: Sequence[Environment], seed: int, tokenizer: PreTrainedTokenizerBase) -> Fingerprint:
    """Compute the fingerprint of a run.

    - ``settings``: the environment's settings, without secrets.
    - ``rewards``: the rubric's entries, with their weights and parameters.
    - ``code``: module or file name → digest of the source, for the classes of the environment and of its verifiers.
      Modules that these import are not included.
    - ``data``: digests of the first ``TASKS`` tasks of both splits, and of files and folders that settings name.
    - ``template``: a digest of the chat template and the tokenizer.
    """
    backend = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else ""
    return {
        "environments": {environment.label: _environment(environment, seed) for environment in environments},
        "template": _digest(f"{tokenizer.chat_template}\n{backend}".encode()),
    }


def differences(before: Fingerprint, now: Fingerprint) -> list[str]:
    """List what changed, a line for each value: its path, the old value and the new one."""
    lines = []
    old, new = dict(_leaves(before)), dict(_leaves(now))
    for place in [*old, *(place for place in new if place not in old)]:
        was, has = old.get(place, "nothing"), new.get(place, "nothing")
        if was != has:
            lines.append(f"{place}: {was} → {has}")
    return lines


def _environment(environment: Environment, seed: int) -> dict[str, Any]:
    settings = redacted(environment.config.model_dump(mode="json"))
    data = {
        split: _digest(
            " ".join(task.hash for task in itertools.islice(tasks_of(environment, split, seed), TASKS)).encode()
        )
        for split in environment.splits
    }
    files = {name: _file_digest(Path(value)) for name, value in _paths(environment.config) if Path(value).exists()}
    return {
        "settings": settings,
        "rewards": _rewards(environment.rubric),
        "code": dict(_code(environment)),
        "data": {**data, **files},
    }


def _rewards(rubric: Rubric) -> dict[str, Any]:
    parts = {one.label: {name: value for name, value in asdict(one).items() if name != "label"} for one in rubric.uses}
    whole = {"clip": rubric.clip, "gated": rubric.gated, "parts": parts}
    return dict(json.loads(json.dumps(whole, default=repr)))


def _code(environment: Environment) -> Iterator[tuple[str, str]]:
    """Yield module (or file name) and digest for each class of the environment and of its verifiers."""
    bases = [cls for cls in type(environment).__mro__ if cls not in Environment.__mro__]
    verifiers = [
        type(verifier) for verifier in environment.rubric.verifiers if type(verifier).__module__ != Use.__module__
    ]
    for cls in dict.fromkeys([*bases, *verifiers]):
        try:
            source = inspect.getsource(sys.modules[cls.__module__])
        except (OSError, KeyError, TypeError):  # the class was made in a console, so it has no file
            continue
        inside = cls.__module__.startswith(f"{__package__.partition('.')[0]}.")
        file = Path(str(sys.modules[cls.__module__].__file__))
        yield cls.__module__ if inside or "." in cls.__module__ else file.name, _digest(source.encode())


def _paths(config: Any) -> Iterator[tuple[str, Path]]:
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, Path):
            yield name, value


def _file_digest(path: Path) -> str:
    """Return the digest of a file, or of all files in a folder and their names."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    whole = hashlib.blake2b(digest_size=8)
    for file in files:
        whole.update(str(file.relative_to(path)).encode())
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "blake2b").digest())
    return whole.hexdigest()


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{place}.{name}" if place else name)
    else:
        yield place, json.dumps(value)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
