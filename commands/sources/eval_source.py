"""An evaluation as the viewer shows it: means with confidence intervals, its tasks, and its trajectories."""

import math
from collections import Counter, defaultdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from ...verifiers.trajectory import POLICY
from ..eval.score_file import Score
from ..eval.summary import interval, summarise
from .row import Filter, Row
from .row_index import RowIndex
from .token_texts import TokenTexts
from .trajectory_files import EvalTrajectories, read_header


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

    @property
    def environments(self) -> list[str]:
        """The labels of the environments that its header lists."""
        found = self.header.get("environments")
        return [str(label) for label in found] if isinstance(found, dict) else []

    def state(self) -> dict[str, Any]:
        """Return a line of the list of evaluations."""
        return {
            "key": self.key,
            "kind": self.kind,
            "name": self.path.name,
            "path": str(self.path),
            "environment": ", ".join(self.environments),
            "model": str(self.header.get("model", "")),
            "changed": self.path.stat().st_mtime,
            "bytes": self.path.stat().st_size,
        }

    def rows(self) -> list[Row]:
        """Return every trajectory's row, the last one if an attempt was made again."""
        self.index.fill(60)
        return list({(row.group, row.attempt): row for row in self.index.find(Filter(), seconds=60).rows}.values())

    def page(self) -> dict[str, Any]:
        """Return the means with 95% confidence intervals, and what each task's attempts came to.

        If there are several environments, the label of a mean begins with its environment's.
        """
        rows = self.rows()
        by_environment: dict[str, list[Score]] = defaultdict(list)
        tasks: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            tasks[row.group].append(row)
            by_environment[row.environment].append(_score(row))
        summaries = {label: summarise(scores) for label, scores in by_environment.items()}
        named = {
            f"{environment}: {label}" if len(summaries) > 1 else label: estimate
            for environment, summary in summaries.items()
            for label, estimate in summary.named("success").items()
        }
        stops = Counter(row.stop for row in rows)
        return {
            **self.state(),
            "header": self.header,
            "means": [interval(label, mean, error) for label, (mean, error) in named.items()],
            "stops": dict(stops.most_common()),
            "scored": sum(summary.scored for summary in summaries.values()),
            "unscored": sum(summary.unscored for summary in summaries.values()),
            "tasks": [_task(group, sorted(attempts, key=lambda row: row.attempt)) for group, attempts in tasks.items()],
            "damages": self.index.damages[:20],
        }


def compare(one: EvalSource, other: EvalSource) -> dict[str, Any]:
    """Compare two evaluations task by task: which tasks each of them wins, by the mean total of their attempts.

    The difference is that of the means over the tasks that both have, with a paired 95% confidence interval.
    """
    first, second = _by_task(one), _by_task(other)
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
            {
                "environment": task.environment,
                "task": task.id,
                "one": first[task]._asdict(),
                "other": second[task]._asdict(),
                "difference": value,
            }
            for task, value in sorted(differences.items(), key=lambda pair: -abs(pair[1]))
        ],
    }


class _Asked(NamedTuple):
    """A task's environment, empty if the file has only one, and its id."""

    environment: str
    id: str


class _Result(NamedTuple):
    """A task's number in its file, its prompt's beginning, and the mean total of its scored attempts."""

    group: int
    asked: str
    total: float


def _by_task(source: EvalSource) -> dict[_Asked, _Result]:
    """The result of each task; the label of a file's only environment does not matter."""
    totals: dict[_Asked, list[float]] = defaultdict(list)
    named: dict[_Asked, Row] = {}
    several = len(source.environments) > 1
    for row in source.rows():
        if row.total is not None:
            task = _Asked(row.environment if several else "", row.task)
            totals[task].append(row.total)
            named[task] = row
    return {task: _Result(named[task].group, named[task].asked, fmean(values)) for task, values in totals.items()}


def _score(row: Row) -> Score:
    rewards = {label: score for label, score in row.parts if score is not None}
    rewards |= {"total" if agent == POLICY else f"{agent}/total": total for agent, total in row.totals}
    success = row.success if row.totals else None
    return Score(row.environment, str(row.group), row.attempt, rewards, success, row.stop, bool(row.totals), row.answer)


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
