"""Redaction of secrets in the files that a run writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....verifiers.secrets import REDACTED, is_secret, without_secrets


def redacted(value: Any, key: str = "") -> Any:
    """Return ``value`` as plain tables, lists and scalars, without None, secret texts, and secrets in addresses."""
    if isinstance(value, Mapping):
        return {name: redacted(inner, name) for name, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [redacted(inner, key) for inner in value]
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str) or not value:
        return value
    return REDACTED if is_secret(key) else without_secrets(value) if "://" in value else value
