"""``lachesis envs``: the environments and verifiers that are installed, with their settings, and how many there are."""

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

import click
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...environments.dataset import DatasetEnvironment
from ...environments.environment import EnvironmentConfig
from ...environments.loading import describe, find_environment, known_environments
from ...environments.shipped.puzzles.catalogue import FAMILIES, LEVELS
from ...environments.shipped.reasoning_gym.process import dataset_count
from ...verifiers.errors import ConfigError, InfrastructureError, LachesisError
from ...verifiers.registry import known_verifiers, verifier_class
from ...verifiers.rows.example import examples_of
from ..terminal import printable


@click.command("envs")
@click.argument("name", required=False)
@click.option("--verifiers", is_flag=True, help="List verifiers instead of environments.")
def command(name: str | None, verifiers: bool) -> None:
    """List the installed environments, or verifiers, with their settings.

    With NAME, show one of them and explain each of its settings.
    """
    if name:
        (print_verifier if verifiers else print_environment)(name)
    else:
        (print_verifiers if verifiers else print_environments)()


def print_environments() -> None:
    """Print a row for each environment: its name, what it is, and its own settings with their defaults."""
    rows = []
    for name in known_environments():
        try:
            environment = find_environment(name)
        except (ImportError, LachesisError) as error:  # an installed package's entry point that does not load
            rows.append((name, f"does not load: {error}", ""))
            continue
        own = [_setting(key, field) for key, field in environment.Config.model_fields.items() if key not in _COMMON]
        rows.append((name, _first_line(environment), "\n".join(own)))
    _print(("environment", "what it is", "settings"), rows)
    console = Console(highlight=False)
    console.print(f"Every environment also has the settings {', '.join(_COMMON)}.", style="dim")
    console.print("lachesis envs NAME explains the settings of one.", style="dim")


def print_environment(name: str) -> None:
    """Print what an environment is, each of its settings with its default and its meaning, and the rows that it reads.

    Raises:
        ConfigError: the name is unknown; the message names the nearest one.
    """
    environment = describe(name).environment_class()
    print(f"{name}: {_PAIR.sub('', inspect.getdoc(environment) or 'it has no documentation')}\n\nSettings:")
    for key, field in environment.Config.model_fields.items():
        meaning = " ".join((field.description or "").split())
        print(f"  {_setting(key, field)}\n      {_PAIR.sub('', meaning) or 'it has no description'}")
    if issubclass(environment, DatasetEnvironment):
        print_rows(environment.example_rows)


def print_rows(examples: Mapping[str, Any]) -> None:
    """Print examples of the rows that an environment reads, each with the setting that it needs."""
    print("\nRows (shown as JSON; a file of them is Parquet, Arrow, JSONL, JSON or CSV):")
    for setting, row in examples.items():
        print(
            f"  {setting or 'with these settings'}\n      {printable(json.dumps(row, ensure_ascii=False, default=str))}"
        )
    if not examples:
        print("  its class gives no example; write one into the attribute example_rows")


def _setting(key: str, field: FieldInfo) -> str:
    """The setting with its default; without one if there is none."""
    if field.is_required():
        return f"{key} (required)"
    default = field.get_default(call_default_factory=True)
    return key if default is None else f"{key} = {default!r}"


def print_verifiers() -> None:
    """Print a row for each verifier, how many things can be verified, and an example of each as a row of JSON."""
    rows, examples, counts = [], [], {"verifiers": 0}
    for name in known_verifiers():
        try:
            verifier: Any = verifier_class(name)
        except (ImportError, LachesisError) as error:  # an installed package's entry point that does not load
            rows.append((name, f"does not load: {error}", "", ""))
            continue
        params = fields(verifier) if is_dataclass(verifier) else ()
        settings = [param.name if _required(param) else f"{param.name} = {_default(param)!r}" for param in params]
        kinds: tuple[str, ...] = getattr(verifier, "instances", (name,))
        kind = _COUNTED_APART.get(name, "verifiers")
        counts[kind] = counts.get(kind, 0) + len(kinds)
        examples += [example.row for example in examples_of(verifier)[:1] if "completions" not in example.row]
        rows.append((name, _first_line(verifier), ", ".join(kinds) if len(kinds) > 1 else "", "\n".join(settings)))
    _print(("verifier", "passes when", "instances", "parameters"), rows)
    print_counts(counts)
    print("\nAn example of each verifier, as a row for lachesis verify:\n")
    for row in examples:
        print(json.dumps(row, ensure_ascii=False))
    print("\nlachesis envs --verifiers NAME explains the parameters of one.")


def print_counts(counts: Mapping[str, int]) -> None:
    """Print ``counts`` of verifiers with those of procedural tasks, each of which has a verifier, and the total."""
    rows = [*counts.items(), (f"puzzles: {len(FAMILIES)} families at {LEVELS} levels", len(FAMILIES) * LEVELS)]
    try:
        rows.append(("reasoning_gym: datasets", dataset_count()))
    except (ConfigError, InfrastructureError) as error:
        rows.append((f"reasoning_gym: not counted, {error}", 0))
    _print(("what is counted", "number"), [(name, str(count)) for name, count in rows])
    total = sum(count for _, count in rows)
    once = total - len(FAMILIES) * (LEVELS - 1)
    print(f"{total} in total, or {once} if a family of puzzles counts once. A verifier counts once for each instance.")


def print_verifier(name: str) -> None:
    """Print the documentation of one family: when it passes, what its parameters mean, and its examples.

    Raises:
        ConfigError: the name is unknown; the message names the nearest one.
    """
    text = inspect.getdoc(verifier_class(name)) or "it has no documentation"
    print(f"{name}: {_PAIR.sub('', text)}")


def _required(param: Field[Any]) -> bool:
    return param.default is MISSING and param.default_factory is MISSING


def _default(param: Field[Any]) -> Any:
    return param.default if param.default_factory is MISSING else param.default_factory()


_PAIR = re.compile("(?<!`)``(?!`)")
"""Around code in a docstring; three of them are a fence in an example."""
_COUNTED_APART = {"answer_form": "answer forms (answer_form)", "instruction": "kinds of instruction (instruction)"}
"""Verifiers whose instances have a line of their own."""
_COMMON = tuple(EnvironmentConfig.model_fields)


def _print(head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    table = Table(header_style="bold", show_lines=True)
    for name in head:
        table.add_column(name, overflow="fold")  # a long name wraps instead of ending in dots
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def _first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").split("\n")[0].replace("``", "")
