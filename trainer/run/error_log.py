"""What went wrong in a run's episodes, counted by the place in the code that raised it, in ``errors.json``."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...rollout.orders import Failure
from ...verifiers.errors import DataError
from ...verifiers.files import replace_text
from ...verifiers.group import Group
from ...verifiers.rows.jsonl import read_json

ERRORS = "errors.json"
"""The file's name in a run's folder."""

MOST = 200
"""Most places that are kept; later ones are counted as one."""


@dataclass
class Problem:
    """One place, or one reason without a place, and how often it occurred.

    Attributes:
        what: the type and text of the first exception there, or the reason.
        file: the file that raised it; empty if there is none.
        line: the line in that file.
        count: attempts, or groups that could not be made.
        first: the first step with it.
        last: the last step with it.
        traceback: of the first exception there, if it is known.
    """

    what: str
    file: str = ""
    line: int = 0
    count: int = 0
    first: int = 0
    last: int = 0
    traceback: str = ""

    def __str__(self) -> str:
        where = f" at {self.file}:{self.line}" if self.file else ""
        steps = f"step {self.first}" if self.first == self.last else f"steps {self.first} to {self.last}"
        return f"{self.count} × {' '.join(self.what.split())[:200]}{where} ({steps})"


class ErrorLog:
    """Collects the errors of a run. A resumed run goes on counting, and counts the steps that it repeats again.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / ERRORS
        self._problems: dict[str, Problem] = {}
        if self._path.exists():
            try:
                rows: Any = read_json(self._path, "delete it")["problems"]
                self._problems = {_key(problem): problem for problem in (Problem(**row) for row in rows)}
            except (DataError, KeyError, TypeError):  # damaged, or of another version: it is only for reading
                pass

    @property
    def problems(self) -> list[Problem]:
        """The problems, the most frequent first."""
        return sorted(self._problems.values(), key=lambda problem: -problem.count)

    def note(self, step: int, groups: Sequence[Group] = (), failures: Sequence[Failure] = ()) -> None:
        """Count the errors of a step: of attempts that were scored all the same, of those left out, and of groups."""
        reasons = [attempt.error for group in groups for attempt in group.trajectories if attempt.error]
        reasons += [lost.reason for group in groups for lost in group.lost]
        reasons += [failure.reason for failure in failures]
        for reason in reasons:
            self._count(step, problem_of(reason))
        made: list[Group | Failure] = [*groups, *failures]
        for fault in (fault for one in made for fault in one.faults):
            problem = self._problems.get(f"{fault.file}:{fault.line}")
            if problem and not problem.traceback:
                problem.traceback = fault.traceback
        if reasons:
            replace_text(self._path, json.dumps({"problems": [asdict(one) for one in self.problems]}, indent=1) + "\n")

    def _count(self, step: int, problem: Problem) -> None:
        key = _key(problem)
        if key not in self._problems and len(self._problems) >= MOST:
            problem = Problem("other errors")
            key = _key(problem)
        known = self._problems.setdefault(key, problem)
        known.first = min(known.first or step, step)
        known.last = max(known.last, step)
        known.count += 1


def problem_of(reason: str) -> Problem:
    """A problem from the text of a ``Fault``, whose place stands at the end, or from another reason."""
    if found := re.fullmatch(r"(.*) \((.+), line (\d{1,9})\)", reason, re.DOTALL):
        return Problem(found[1], found[2], int(found[3]))
    return Problem(reason)


def _key(problem: Problem) -> str:
    """Texts without a place are one problem if only their numbers differ."""
    return f"{problem.file}:{problem.line}" if problem.file else re.sub(r"\d+", "#", problem.what)[:300]
