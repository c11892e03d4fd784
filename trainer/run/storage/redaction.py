"""Redaction of secrets in the files that a run writes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REDACTED = "<redacted>"
"""The text that replaces a secret."""

_SECRET = re.compile(
    r"(^|[_-])(token|password|passwd|secret|credentials?|(api|access|private)[_-]?key)$", re.IGNORECASE
)


def redacted(value: Any, key: str = "") -> Any:
    """Return ``value`` as plain tables, lists and scalars, without None and with texts under secret keys replaced."""
    if isinstance(value, Mapping):
        return {name: redacted(inner, name) for name, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [redacted(inner, key) for inner in value]
    if isinstance(value, Path):
        return str(value)
    return REDACTED if isinstance(value, str) and value and _SECRET.search(key) else value
