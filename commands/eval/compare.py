"""``lachesis compare``: two evaluations compared task by task in the terminal."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...verifiers.errors import ConfigError
from ..sources.eval_source import EvalSource, compare
from ..sources.library import open_source
from ..terminal import printable


@click.command("compare")
@click.argument("one", metavar="A", type=click.Path(path_type=Path))
@click.argument("other", metavar="B", type=click.Path(path_type=Path))
@click.option("--tasks", type=click.IntRange(0), default=10, show_default=True, help="How many tasks to show.")
def command(one: Path, other: Path, tasks: int) -> None:
    """Compare the evaluations A and B task by task.

    A and B are files that lachesis eval wrote. The difference is B minus A, of the mean reward over the tasks that both
    have, with a paired 95% confidence interval.
    """
    found = compare(_opened(one), _opened(other))
    if not found["tasks"]:
        raise ConfigError(f"{one} and {other} have no scored task in common; compare evaluations of the same tasks")
    _print(found, tasks)


def _opened(path: Path) -> EvalSource:
    if not path.is_file():
        raise ConfigError(f"{path} is no file; give the file of scores that lachesis eval wrote")
    source = open_source(path)
    assert isinstance(source, EvalSource)  # a file is never a run
    return source


def _print(found: dict[str, Any], most: int) -> None:
    console = Console(highlight=False, emoji=False)
    for name in ("one", "other"):
        about = found[name]
        line = f"{'A' if name == 'one' else 'B'}: {about['path']} ({about['model']})"
        console.print(printable(line), markup=False, soft_wrap=True)
    means = [sum(task[name]["total"] for task in found["tasks"]) / len(found["tasks"]) for name in ("one", "other")]
    difference = found["difference"]
    table = Table("", "mean reward", "95% interval", box=None, header_style="bold")
    table.add_row("A", f"{means[0]:.4f}", "")
    table.add_row("B", f"{means[1]:.4f}", "")
    known = difference["low"] is not None
    bounds = f"{difference['low']:+.4f} to {difference['high']:+.4f}" if known else "needs two tasks"
    table.add_row("B minus A", f"{difference['mean']:+.4f}", bounds)
    console.print(table)
    counts = f"B won {found['won']}, lost {found['lost']} and tied {found['tied']} of {len(found['tasks'])} tasks"
    console.print(f"{counts}; {found['only_one']} are only in A, {found['only_other']} only in B")
    largest = [task for task in found["tasks"][:most] if task["difference"]]
    if largest:
        shown = Table("largest differences", "A", "B", "B minus A", box=None, header_style="bold")
        for task in largest:
            name = f"{task['environment']} {task['task']}".strip()
            values = f"{task['one']['total']:.4f}", f"{task['other']['total']:.4f}", f"{task['difference']:+.4f}"
            shown.add_row(Text(printable(name)), *values)
        console.print(shown)
