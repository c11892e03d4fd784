"""An evaluation as the viewer shows it: means with confidence intervals, its tasks, and its trajectories."""

import math
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from ...verifiers.trajectory import POLICY
from ..eval.score_file import Score, summarise
from .row import Filter, Row
from .row_index import RowIndex
from .token_texts import TokenTexts
from .trajectory_files import EvalTrajectories, read_header

Z95 = 1.959964
"""Standard errors on each side of a 95% confidence interval."""


class EvalSource:
    """A file of scores. It may be written while it is shown.

    Args:
        key: how links name it.
        path: the file.
    """

    kind = "eval"

    def __init__(self, key: str, path: Path) -> None:
        self.key, self.path = key, path
        self.header = read_header(path) or {}
        self.index = RowIndex(EvalTrajectories(path))
        self.texts = TokenTexts(str(self.header.get("model", "")))

    def state(self) -> dict[str, Any]:
        """Return a line of the list of evaluations."""
        environment = self.header.get("environment")
        return {
            "key": self.key,
            "kind": self.kind,
            "name": self.path.name,
            "path": str(self.path),
            "environment": environment.get("use", "") if isinstance(environment, dict) else str(environment or ""),
            "model": str(self.header.get("model", "")),
            "changed": self.path.stat().st_mtime,
            "bytes": self.path.stat().st_size,
        }

    def rows(self) -> list[Row]:
        """Return every trajectory's row, the last one if an attempt was made again."""
        self.index.fill(60)
        return list({(row.group, row.attempt): row for row in self.index.find(Filter(), seconds=60).rows}.values())

    def page(self) -> dict[str, Any]:
        """Return the means with 95% confidence intervals, and what each task's attempts came to."""
        rows = self.rows()
        summary = summarise(_score(row) for row in rows)
        tasks: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            tasks[row.group].append(row)
        named = {**summary.means, **({"success": summary.accuracy} if summary.accuracy else {})}
        return {
            **self.state(),
            "header": self.header,
            "means": [interval(label, mean, error) for label, (mean, error) in named.items()],
            "stops": summary.stops,
            "scored": summary.scored,
            "unscored": summary.unscored,
            "tasks": [_task(group, sorted(attempts, key=lambda row: row.attempt)) for group, attempts in tasks.items()],
            "damages": self.index.damages[:20],
        }


def compare(one: EvalSource, other: EvalSource) -> dict[str, Any]:
    """Compare two evaluations task by task: which tasks each of them wins, by the mean total of their attempts.

    The difference is that of the means over the tasks that both have, with a paired 95% confidence interval.
    """
    first, second = _by_task(one.rows()), _by_task(other.rows())
    shared = [task for task in first if task in second]
    differences = {task: second[task].total - first[task].total for task in shared}
    values = list(differences.values())
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return {
        "one": one.state(),
        "other": other.state(),
        "difference": interval("total", fmean(values) if values else math.nan, error),
        "won": sum(value > 0 for value in values),
        "lost": sum(value < 0 for value in values),
        "tied": sum(value == 0 for value in values),
        "only_one": len(first) - len(shared),
        "only_other": len(second) - len(shared),
        "tasks": [
            {"task": task, "one": first[task]._asdict(), "other": second[task]._asdict(), "difference": value}
            for task, value in sorted(differences.items(), key=lambda pair: -abs(pair[1]))
        ],
    }


def interval(label: str, mean: float, error: float) -> dict[str, Any]:
    """A mean with the bounds of its 95% confidence interval; null where a number is not known."""
    known = math.isfinite(error)
    return {
        "label": label,
        "mean": mean if math.isfinite(mean) else None,
        "low": mean - Z95 * error if known else None,
        "high": mean + Z95 * error if known else None,
    }


class _Result(NamedTuple):
    """A task's number in its file, its prompt's beginning, and the mean total of its scored attempts."""

    group: int
    asked: str
    total: float


def _by_task(rows: list[Row]) -> dict[str, _Result]:
    """The result of each task by its id."""
    totals: dict[str, list[float]] = defaultdict(list)
    named: dict[str, Row] = {}
    for row in rows:
        if row.total is not None:
            totals[row.task].append(row.total)
            named[row.task] = row
    return {task: _Result(named[task].group, named[task].asked, fmean(values)) for task, values in totals.items()}


def _score(row: Row) -> Score:
    rewards = {label: score for label, score in row.parts if score is not None}
    rewards |= {"total" if agent == POLICY else f"{agent}/total": total for agent, total in row.totals}
    return Score(str(row.group), row.attempt, rewards, row.success, row.stop, bool(row.totals))


def _task(group: int, attempts: list[Row]) -> dict[str, Any]:
    return {
        "group": group,
        "task": attempts[0].task,
        "asked": attempts[0].asked,
        "attempts": [
            {"attempt": row.attempt, "total": row.total, "success": row.success, "stop": row.stop} for row in attempts
        ],
        "reply": attempts[0].reply,
    }
