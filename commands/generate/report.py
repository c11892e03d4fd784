"""What ``lachesis generate`` prints in the end: how many rows there are, and why trajectories were left out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..terminal import printable

UNITS = {
    "messages": "conversations",
    "completion": "replies",
    "tokens": "segments of tokens",
    "preference": "pairs",
    "skills": "skills",
}
"""What a row of each kind is."""


def print_report(out: Path, manifest: Mapping[str, Any], rows: int, names: Sequence[str]) -> None:
    """Print the report.

    Args:
        out: the folder.
        manifest: as it was written.
        rows: how many rows there are.
        names: of the files.
    """
    console = Console(highlight=False, emoji=False)
    if manifest["left_out"]:
        table = Table("left out because", "conversations", box=None, header_style="bold")
        table.columns[1].justify = "right"
        for reason, count in manifest["left_out"].items():
            table.add_row(Text(printable(reason)), f"{count:,}")
        console.print(table)
    console.print(
        f"{rows:,} rows ({UNITS[manifest['kind']]}) of {manifest['tasks']:,} tasks, from "
        f"{manifest['conversations']:,} conversations in {manifest['trajectories']:,} trajectories",
        markup=False,
        soft_wrap=True,
    )
    if "tokens" in manifest:
        console.print(f"{manifest['tokens']:,} tokens, {manifest['trained_tokens']:,} of them trained", markup=False)
    shown = names[0] if len(names) == 1 else f"{len(names)} files {names[0]} …" if names else "no file"
    console.print(f"rows: {out}, {shown}", markup=False, soft_wrap=True)
