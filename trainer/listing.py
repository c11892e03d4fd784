"""What ``lachesis envs`` prints: environments and verifiers that are installed, with their settings."""

import inspect
from collections.abc import Iterable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..environments.environment import EnvironmentConfig
from ..environments.loading import find_environment, known_environments
from ..verifiers.errors import LachesisError
from ..verifiers.registry import known_verifiers, verifier_class


def print_environments() -> None:
    """One row an environment: name, what it asks, and its own settings with their defaults."""
    rows = []
    for name in known_environments():
        try:
            environment = find_environment(name)
        except (ImportError, LachesisError) as error:  # an installed package's entry point that does not load
            rows.append((name, f"does not load: {error}", ""))
            continue
        own = {key: field for key, field in environment.Config.model_fields.items() if key not in _COMMON}
        settings = [f"{key} = {field.get_default(call_default_factory=True)!r}" for key, field in own.items()]
        rows.append((name, _first_line(environment), "\n".join(settings)))
    _print("environment", rows)
    Console().print(f"every environment has also: {', '.join(_COMMON)}", style="dim", highlight=False)


def print_verifiers() -> None:
    """One row a verifier: name, when it passes, and its parameters with their defaults."""
    rows = []
    for name in known_verifiers():
        verifier: Any = verifier_class(name)
        params = fields(verifier) if is_dataclass(verifier) else ()
        settings = [param.name if param.default is MISSING else f"{param.name} = {param.default!r}" for param in params]
        rows.append((name, _first_line(verifier), "\n".join(settings)))
    _print("verifier", rows)


_COMMON = tuple(EnvironmentConfig.model_fields)


def _print(kind: str, rows: Iterable[tuple[str, str, str]]) -> None:
    table = Table(kind, "what it is", "settings", header_style="bold", show_lines=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def _first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").split("\n")[0].replace("``", "")
