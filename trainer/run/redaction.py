"""Secrets kept out of the files that a run leaves behind."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REDACTED = "<redacted>"
"""What stands in a file for a secret."""

_SECRET = re.compile(
    r"(^|[_-])(token|password|passwd|secret|credentials?|(api|access|private)[_-]?key)$", re.IGNORECASE
)


def redacted(value: Any, key: str = "") -> Any:
    """``value`` as plain tables, lists and scalars, without None and without texts under keys like ``api_key``."""
    if isinstance(value, Mapping):
        return {name: redacted(inner, name) for name, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [redacted(inner, key) for inner in value]
    if isinstance(value, Path):
        return str(value)
    return REDACTED if isinstance(value, str) and value and _SECRET.search(key) else value
