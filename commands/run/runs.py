"""``lachesis runs``: a table of runs: which is alive, how far it came, and which can be resumed."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ..sources.library import Library
from ..sources.run_source import RunSource
from ..terminal import printable

_WHOLE = 32
"""Names of at most so many characters are not broken, so that they can be copied; other columns are."""


@click.command("runs")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path), metavar="[FOLDER]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each run.")
def command(folders: Sequence[Path], as_json: bool) -> None:
    """List the runs in FOLDER, the last written first.

    Without FOLDER, the runs in the folder runs are listed. A run is running while a process writes it; a run that was
    stopped before its end can be resumed if it has a checkpoint.
    """
    sources = Library(folders or [Path("runs")]).sources()
    states = [source.state() for source in sources if isinstance(source, RunSource)]
    states.sort(key=lambda state: -state["changed"])
    if as_json:
        for state in states:
            click.echo(json.dumps(state))
        return
    console = Console(highlight=False, emoji=False)
    if not states:
        console.print("no runs here; lachesis train CONFIG makes one")
        return
    console.print(table(states, time.time()))
    if any(resumable(state) for state in states):
        console.print(
            "lachesis train --resume RUN continues a run that was stopped; if sft or dpo began it, they do", style="dim"
        )


def table(states: Sequence[dict[str, Any]], now: float) -> Table:
    """The table of runs; ``now`` is in seconds since 1970."""
    made = Table(
        "run", "state", "steps", "held out", "best", "last", "alerts", "written", "size", box=None, pad_edge=False
    )
    made.header_style = "bold"
    names = [printable(min(state["path"], os.path.relpath(state["path"]), key=len)) for state in states]
    made.columns[0].overflow = "fold"
    made.columns[0].no_wrap = all(len(name) <= _WHOLE for name in names)
    for column in (2, 4, 5, 6, 8):
        made.columns[column].justify = "right"
    for name, state in zip(names, states, strict=True):
        planned = f"/{state['planned']}" if state["planned"] else ""
        note = ", can be resumed" if resumable(state) else ""
        made.add_row(
            name,
            state["state"] + note,
            f"{state['steps']}{planned}",
            state["metric"] if state["best"] is not None else "",
            *("" if state[name] is None else f"{state[name]:.3f}" for name in ("best", "last")),
            str(state["alerts"] or ""),
            _ago(now - state["changed"]),
            f"{size:,.0f} MB" if (size := state["bytes"] / 1e6) >= 10 else f"{size:.1f} MB",
        )
    return made


def resumable(state: dict[str, Any]) -> bool:
    """Whether ``--resume`` continues the run: nobody writes it, it has not ended, and it has a checkpoint."""
    return bool(state["state"] == "stopped" and state["checkpoints"])


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0, seconds):.0f} s ago"
