"""A run as the viewer shows it: its state, its curves with their alerts, and its trajectories."""

import logging
import os
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...trainer.config import RunConfig
from ...trainer.run.alerts import Alerts
from ...trainer.run.error_log import ERRORS, ErrorLog
from ...trainer.run.storage.reader import CONFIG, LOCK, METRICS, SUMMARY, TRAJECTORIES, Mark, Run
from ...verifiers.errors import LachesisError
from .row_index import RowIndex
from .timeline import Timeline
from .token_texts import TokenTexts
from .trajectory_files import RunTrajectories, check_files

log = logging.getLogger("lachesis")


class RunSource:
    """A run's folder. It may be written while it is shown.

    Args:
        key: how links name it.
        path: the folder.

    Attributes:
        run: reads its files.
        index: finds its trajectories.
        timeline: reads its events.
    """

    kind = "run"

    def __init__(self, key: str, path: Path) -> None:
        self.key, self.path = key, path
        self.run = Run(path)
        self.index = RowIndex(RunTrajectories(path / TRAJECTORIES))
        self.timeline = Timeline(path)
        self._curves = Curves()
        self._generation = 0
        self._mark = Mark()
        self._lock = threading.Lock()

    @property
    def texts(self) -> TokenTexts:
        """Decodes tokens with the run's model."""
        config = self._config()
        model = config.model.path if config else "tiny"
        return TokenTexts(str(self.path / "model") if model == "tiny" else model)

    def state(self) -> dict[str, Any]:
        """Return a line of the list of runs: whether it is alive, its steps, and its best held-out result."""
        curves = self.curves()
        summary = self._summary()
        alive = self.run.alive()
        held_out = "heldout/accuracy" if "heldout/accuracy" in curves.columns else "heldout/reward"
        values = [value for value in curves.columns.get(held_out, ()) if value is not None]
        return {
            "key": self.key,
            "kind": self.kind,
            "name": self.path.name,
            "path": str(self.path),
            "state": "running" if alive else "ended" if summary else "stopped",
            "steps": max(curves.steps, default=0),
            "planned": self._planned(),
            "metric": held_out.partition("/")[2],
            "best": max(values, default=None),
            "last": values[-1] if values else None,
            "alerts": len(curves.alerts),
            "changed": max((found.st_mtime for found in _files(self.path, deep=False)), default=0.0),
            "bytes": sum(found.st_size for found in _files(self.path)),
            "checkpoints": len(self.run.checkpoints()),
        }

    def page(self) -> dict[str, Any]:
        """Return what the run's page shows beside its curves."""
        curves = self.curves()
        config = (self.path / CONFIG).read_text(encoding="utf-8", errors="replace")
        return {
            **self.state(),
            "summary": self._summary(),
            "names": sorted(curves.columns),
            "alert_list": curves.alerts,
            "config": config,
            "settings": _settings(config),
            "trajectory_steps": self.index.steps(),
            "problems": [asdict(problem) | {"text": str(problem)} for problem in ErrorLog(self.path).problems[:50]],
        }

    def curves(self) -> "Curves":
        """Return the curves, after reading the rows that were added."""
        check_files(*(self.path / name for name in (CONFIG, METRICS, SUMMARY, LOCK, ERRORS)))
        with self._lock:
            rows, self._mark, again = self.run.new_metrics(self._mark)
            if again:
                self._generation += 1
                self._curves = Curves(self._generation)
            if rows:
                self._curves.extend(rows, self._config())
            return self._curves

    def _summary(self) -> dict[str, Any] | None:
        try:
            return self.run.summary()
        except LachesisError as error:
            return {"error": str(error)}

    def _planned(self) -> int | None:
        config = self._config()
        return config.trainer.steps if config else None

    def _config(self) -> RunConfig | None:
        try:
            return self.run.config()
        except LachesisError:  # it is of another version
            return None


def _files(folder: Path, deep: bool = True) -> Iterator[os.stat_result]:
    """What the system says of each file in a folder, and below it if ``deep``."""
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # a run under way replaces files and deletes old checkpoints
                yield os.stat(os.path.join(place, name), follow_symlinks=False)
        if not deep:
            return


def _settings(config: str) -> dict[str, Any]:
    """The settings of a config by their dotted keys; none if it is not TOML."""
    try:
        left: list[tuple[str, Any]] = list(tomllib.loads(config).items())
    except (ValueError, RecursionError):
        return {}
    found = {}
    while left:
        key, value = left.pop()
        if isinstance(value, dict):
            left += [(f"{key}.{inner}", deeper) for inner, deeper in value.items()]
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            left += [(f"{key}.{number}", one) for number, one in enumerate(value)]
        else:
            found[key] = value if isinstance(value, bool | int | float) else str(value)
    return found


class Curves:
    """The rows of ``metrics.jsonl`` as columns.

    Attributes:
        steps: the step of each row; steps below 0 are the warm start.
        columns: metric → its value in each row, None where the row lacks it.
        alerts: the alerts that the rows raise, each with its step.

    Args:
        generation: how often a resumed run has replaced the file, after which earlier rows no longer count.
    """

    def __init__(self, generation: int = 0) -> None:
        self.generation = generation
        self.steps: list[int] = []
        self.columns: dict[str, list[float | None]] = {}
        self.alerts: list[dict[str, Any]] = []
        self._rules = Alerts()

    def extend(self, rows: Sequence[Mapping[str, Any]], config: RunConfig | None = None) -> None:
        """Add rows of a run with ``config``; None if that is not known."""
        self._rules.reconfigure(config)
        for row in rows:
            for name, value in row.items():
                if name != "step":
                    column = self.columns.setdefault(name, [])
                    column.extend([None] * (len(self.steps) - len(column)))
                    column.append(value)
            self.steps.append(row["step"])
            try:
                news = self._rules.seen(row)
            except (KeyError, TypeError, ZeroDivisionError) as error:  # rows of another version
                log.debug("no alerts for step %s: %r", row["step"], error)
                continue
            self.alerts += [alert._asdict() for alert in news]

    def chosen(self, names: Sequence[str], since: int = 0) -> dict[str, Any]:
        """Return the named columns from row ``since`` on, with six digits each."""
        rows = len(self.steps)
        columns = {}
        for name in names:
            values = self.columns.get(name, [])
            values = values + [None] * (rows - len(values))
            columns[name] = [None if value is None else float(f"{value:.6g}") for value in values[since:]]
        return {"steps": self.steps[since:], "columns": columns, "rows": rows, "generation": self.generation}
