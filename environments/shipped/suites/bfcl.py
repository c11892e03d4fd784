"""The single-turn part of the Berkeley Function-Calling Leaderboard (BFCL), from the leaderboard's own files."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from ....verifiers.errors import DataError
from ....verifiers.rows.row_file import read_placed_rows
from ....verifiers.task import Task
from ....verifiers.tool_calling.bfcl import CATEGORIES
from ...dataset import Examples, Source
from ...rows.column import Row
from ...rows.source import all_files, hub_folder
from ..tool_calling import EXAMPLE_ANSWERS, EXAMPLE_ROW, ToolCalling

_ANSWERS = "possible_answer"
_ID = re.compile(r"(?:live_)?([a-z_]+?)(?:_python)?_[0-9]")
"""The category in a row's id, such as ``live_simple_3-0-1`` or ``parallel_multiple_7``."""


class Bfcl(ToolCalling):
    """A request and declared Python functions; a success makes the calls that the leaderboard's checker accepts.

    The tools are shown in the model's own format, as in the leaderboard's mode FC. Rows of other languages, of several
    turns or of agents are left out.
    """

    class Config(ToolCalling.Config):
        """Where the leaderboard's files are."""

        dataset: str = "gorilla-llm/Berkeley-Function-Calling-Leaderboard"
        """If there is no ``path``: a dataset id on the Hugging Face Hub, or a folder of its files."""
        splits: dict[str, str] = Field(default_factory=lambda: {"test": "test"})
        """The only split; in a folder, it is all files named BFCL_…, with the answers in possible_answer/."""

    example_rows: ClassVar[Examples] = {
        "in BFCL_v4_simple.json": EXAMPLE_ROW,
        "in possible_answer/BFCL_v4_simple.json": {"id": EXAMPLE_ROW["id"], "ground_truth": EXAMPLE_ANSWERS},
    }

    def rows(self, source: Source) -> Iterator[tuple[str, Row]]:
        """The rows of single-turn Python files, each with its category and its possible answers."""
        for file in map(Path, source):
            beside = file.parent / _ANSWERS / file.name
            answers = (
                {row.get("id"): row.get("ground_truth") for _, row in read_placed_rows(beside)}
                if beside.exists()
                else {}
            )
            for place, row in read_placed_rows(file):
                found = _ID.match(str(row.get("id") or ""))
                if found and found[1] in CATEGORIES:
                    yield place, {**row, "category": found[1], "possible_answers": answers.get(row["id"])}

    def task_of(self, row: Row) -> Task | None:
        """The request with its tools."""
        if row["possible_answers"] is None and row["category"] not in ("irrelevance", "relevance"):
            raise DataError(
                f"there is no answer to {row['id']!r}; put the leaderboard's folder {_ANSWERS}/ beside the file"
            )
        return super().task_of(row)

    def source_of(self, name: str) -> Source:
        """All files of the leaderboard but those with the answers."""
        path = self.config.path or hub_folder(self.config.dataset, ["BFCL_v*.json", f"{_ANSWERS}/BFCL_v*.json"])
        files = all_files(path.expanduser())
        return tuple(file for file in files if file.name.startswith("BFCL_") and file.parent.name != _ANSWERS)
