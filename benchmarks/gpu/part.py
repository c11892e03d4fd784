"""One part in a process of its own: ``python -m benchmarks.gpu.part NAME MODEL FILE`` appends its rows to FILE."""

import json
import sys
import traceback
from importlib import import_module
from pathlib import Path

import transformers

from . import sizes
from .row import Row, failed


def main(name: str, model: str, file: str) -> None:
    """Measure one part; what goes wrong in it is its last row."""
    transformers.logging.disable_progress_bar()
    chosen = sizes.chosen()
    with Path(file).open("a", buffering=1) as out:

        def add(row: Row) -> None:
            out.write(json.dumps(row.to_json(chosen.small)) + "\n")
            value = row.problem or row.against if row.figure is None else f"{row.figure:.4g} {row.unit}"
            print(f"       {row.what}: {value}", flush=True)

        try:
            for row in import_module(f".{name}", __package__).rows(chosen, model):
                add(row)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a row
            traceback.print_exc()
            lines = str(error).strip().splitlines() or [""]
            add(failed(name, f"{type(error).__name__}: {lines[0]}"))


if __name__ == "__main__":
    main(*sys.argv[1:])
