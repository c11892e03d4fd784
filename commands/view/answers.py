"""What the viewer's page asks for, as JSON: the same answers for the server and for an exported file."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from ...verifiers.errors import DataError, LachesisError
from ..sources.eval_source import EvalSource, compare
from ..sources.library import Library, Listed, Source
from ..sources.row import Filter, Row
from ..sources.run_source import RunSource
from ..sources.training_rows_source import TrainingRowsSource
from ..sources.trajectory_page import trajectory_page

LISTED = 200
"""Most rows of one answer."""

SORTS: dict[str, Callable[[Row], Any]] = {
    "": lambda row: (row.step, row.group, row.attempt),
    "reward": lambda row: (row.total is None, row.total or 0.0),
    "turns": lambda row: row.turns,
}
"""How a list is sorted, by name; a name that begins with a minus reverses it."""


class Missing(Exception):
    """There is no such source or trajectory."""


class Answers:
    """Answers the page's requests.

    Args:
        library: what it shows.
    """

    def __init__(self, library: Library) -> None:
        self.library = library

    def home(self) -> dict[str, Any]:
        """Return the state of everything in the library, or why it cannot be read."""
        return {"sources": [_state(source) for source in self.library.sources()]}

    def source(self, key: str) -> Source:
        """Return a source of trajectories, or raise ``Missing``."""
        found = self.library.get(key)
        if found is None or isinstance(found, TrainingRowsSource):
            raise Missing(f"there is no run or evaluation {key}; go back to the list")
        return found

    def page(self, key: str) -> dict[str, Any]:
        """Return the own page of a run, an evaluation, or training rows."""
        found = self.library.get(key)
        return found.page() if isinstance(found, TrainingRowsSource) else self.source(key).page()

    def sample(self, key: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Return some training rows, from number ``first`` on."""
        found = self.library.get(key)
        if not isinstance(found, TrainingRowsSource):
            raise Missing(f"there are no training rows {key}; go back to the list")
        return found.sample(max(0, _whole(query, "first") or 0))

    def curves(self, key: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the columns ``names`` (separated by commas) of a run's metrics, from row ``since`` on."""
        run = self._run(key)
        names = [name for name in query.get("names", "").split(",") if name]
        curves = run.curves()
        since = min(_whole(query, "since") or 0, len(curves.steps))
        return {**curves.chosen(names, since), "alerts": curves.alerts, "alive": run.run.alive()}

    def timeline(self, key: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the timeline of a run's steps ``first`` to ``last``."""
        return self._run(key).timeline.page(_whole(query, "first"), _whole(query, "last"))

    def trace(self, key: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the same as Chrome trace events."""
        return self._run(key).timeline.trace(_whole(query, "first"), _whole(query, "last"))

    def rows(self, key: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the trajectories that the query chooses, with the counts that its form offers."""
        index = self.source(key).index
        chosen = Filter(
            step=_whole(query, "step"),
            group=_whole(query, "group"),
            environment=query.get("environment", ""),
            stop=query.get("stop", ""),
            task=query.get("task", ""),
            success=query.get("success", ""),
            least=_number(query, "least"),
            most=_number(query, "most"),
            error=query.get("error", ""),
        )
        found = index.find(chosen, query.get("text", ""))
        order = query.get("sort", "")
        rows = sorted(found.rows, key=SORTS.get(order.lstrip("-"), SORTS[""]), reverse=order.startswith("-"))
        first = _whole(query, "first") or 0
        return {
            "rows": [row_json(row) for row in rows[first : first + LISTED]],
            "first": first,
            "total": len(rows),
            "means": _means(rows),
            "complete": found.complete,
            "known": index.known,
            "indexed": index.indexed,
            "damages": index.damages[:20],
            **index.counts(),
        }

    def trajectory(self, key: str, group: int, attempt: int) -> dict[str, Any]:
        """Return one trajectory, with the rows of its group."""
        source = self.source(key)
        rows = source.index.find(Filter(group=group), seconds=60).rows
        chosen = next((row for row in reversed(rows) if row.attempt == attempt), None)
        if chosen is None:
            raise Missing(f"{source.path.name} has no trajectory {group}/{attempt}")
        page = trajectory_page(chosen, source.index.text(chosen), source.texts)
        siblings = [row_json(row) for row in sorted(rows, key=lambda row: row.attempt)]
        return {**page, "siblings": siblings, "groups": _neighbours(source, chosen)}

    def group(self, key: str, group: int) -> dict[str, Any]:
        """Return all attempts of a group with their conversations, side by side, without tokens."""
        source = self.source(key)
        rows = sorted(source.index.find(Filter(group=group), seconds=60).rows, key=lambda row: row.attempt)
        if not rows:
            raise Missing(f"{source.path.name} has no group {group}")
        pages = [trajectory_page(row, source.index.text(row), lambda ids: None) for row in rows]
        return {"group": group, "attempts": [{**page, "segments": []} for page in pages]}

    def comparison(self, one: str, other: str) -> dict[str, Any]:
        """Return the comparison of two evaluations."""
        first, second = self.source(one), self.source(other)
        if not (isinstance(first, EvalSource) and isinstance(second, EvalSource)):
            raise Missing("only two evaluations can be compared task by task; runs are compared by their curves")
        return compare(first, second)

    def _run(self, key: str) -> RunSource:
        found = self.source(key)
        if not isinstance(found, RunSource):
            raise Missing(f"{key} is an evaluation and has no curves")
        return found


def _state(source: Listed) -> dict[str, Any]:
    try:
        return source.state()
    except (LachesisError, OSError) as error:
        known = {"key": source.key, "kind": source.kind, "name": source.path.name, "path": str(source.path)}
        return {**known, "changed": 0, "bytes": 0, "error": str(error)}


def row_json(row: Row) -> dict[str, Any]:
    """A row for the page."""
    return {
        "step": row.step,
        "group": row.group,
        "attempt": row.attempt,
        "environment": row.environment,
        "task": row.task,
        "asked": row.asked,
        "stop": row.stop,
        "total": row.total,
        "totals": dict(row.totals),
        "parts": dict(row.parts),
        "success": row.success,
        "turns": row.turns,
        "reply": row.reply,
        "error": row.error,
    }


def _means(rows: Sequence[Row]) -> dict[str, Any]:
    """The means over rows: of the totals, of each component, of success and of the turns; None where there is none."""
    parts: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for label, score in row.parts:
            if score is not None:
                parts[label].append(score)
    return {
        "total": _mean([row.total for row in rows if row.total is not None]),
        "parts": {label: _mean(scores) for label, scores in parts.items()},
        "success": _mean([float(row.success) for row in rows if row.success is not None]),
        "turns": _mean([row.turns for row in rows]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _neighbours(source: Source, chosen: Row) -> list[int | None]:
    """The groups before and after a row's in its step; None at an end."""
    groups = {row.group for row in source.index.find(Filter(step=chosen.step)).rows}
    return [
        max((group for group in groups if group < chosen.group), default=None),
        min((group for group in groups if group > chosen.group), default=None),
    ]


def as_json(value: Any) -> str:
    """``value`` as JSON text, with null for each number that JSON does not have."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _whole(query: Mapping[str, str], name: str) -> int | None:
    number = _number(query, name)
    return None if number is None else int(number)


def _number(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name, "")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        raise DataError(f"{name} is a number, found {text!r:.80}") from None
    if abs(number) > 1e18 or number != number:
        raise DataError(f"{name} is a number below 1e18, found {text!r:.80}")
    return number
