"""Runs all benchmarks in this folder and prints one table: what Lachesis reaches, and what the same machine allows.

Each benchmark is a file with a function ``rows`` that yields (name, figure, unit, limit). The figure is that of
Lachesis; the limit is measured in the same run by doing the bare work without it. ``make bench ARGS=math`` runs only
the files that have "math" in their names.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: comparisons want one thread on both sides
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import sys
import time
from importlib import import_module
from pathlib import Path

import torch
import transformers

from ._table import new_console, new_table, rounded


def main(wanted: str = "") -> None:
    """Run the benchmarks one after the other and print the table."""
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    console = new_console()
    table = new_table("measured", "figure", "limit", "unit", "figure / limit")
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        if wanted not in path.stem:
            continue
        start = time.perf_counter()
        for name, figure, unit, limit in import_module(f".{path.stem}", __package__).rows():
            table.add_row(name, rounded(figure), rounded(limit), unit, f"{figure / limit:.2f}")
        console.print(f"{path.stem}: {time.perf_counter() - start:.0f} s", style="dim")
    console.print(table)


if __name__ == "__main__":
    main(*sys.argv[1:])
