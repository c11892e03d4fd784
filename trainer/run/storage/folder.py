"""The folder of a run, as the run writes it: config, metrics, trajectories, checkpoints, log and summary."""

import fcntl
import itertools
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import tomli_w

from ....rollout.event_log import EVENTS, EventLog
from ....rollout.store import TrajectoryStore, listed
from ....verifiers.errors import ConfigError, InfrastructureError
from ....verifiers.files import replace_text
from ....verifiers.group import Group
from ....verifiers.rows.jsonl import read_json
from ...config import RunConfig
from ..plot import plot_learning_curve
from .fingerprint import Fingerprint, differences
from .reader import CHECKPOINTS, CONFIG, LOCK, METRICS, SUMMARY, TRAJECTORIES, read_metrics
from .redaction import redacted


class RunFolder:
    """A run's folder, made by ``create`` or reopened by ``open``, and locked for this process until ``close``.

    Attributes:
        path: the folder.
        trajectories: the store of its trajectories.
        events: what engines, workers and the trainer did, for the timeline.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _locked(path)
        self.checkpoints.mkdir(exist_ok=True)
        self.trajectories = TrajectoryStore(path / TRAJECTORIES)
        self.events = EventLog(path / EVENTS)
        self._metrics = (path / METRICS).open("a", buffering=1)
        self._log = logging.FileHandler(path / "log")
        self._log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger = logging.getLogger("lachesis")
        logger.addHandler(self._log)
        logger.setLevel(logging.INFO)

    @classmethod
    def create(cls, config: RunConfig) -> "RunFolder":
        """Make ``<config.out>/<config.name>-<k>`` with the first free k from 1, and write the resolved config into it.

        Raises:
            ConfigError: The folder cannot be made.
        """
        for k in itertools.count(1):
            path = config.out / f"{config.name}-{k}"
            try:
                config.out.mkdir(parents=True, exist_ok=True)
                path.mkdir()
                break
            except FileExistsError:
                if not config.out.is_dir():
                    raise ConfigError(f"out = {config.out} is a file; choose a folder") from None
            except OSError as error:
                raise ConfigError(
                    f"cannot make the run's folder {path}: {error.strerror}; change out or name"
                ) from None
        with _writing(path):
            folder = cls(path)
        folder.write_config(config)
        return folder

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Open the folder of an earlier run to continue it.

        Raises:
            ConfigError: There is no run in ``path``, or it is still being written.
        """
        path = Path(path)
        if not (path / CONFIG).is_file():
            raise ConfigError(f"{path} is not a run's folder (it has no config.toml); check the path")
        with _writing(path):
            return cls(path)

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / CHECKPOINTS

    def write_config(self, config: RunConfig) -> None:
        """Write the resolved ``config.toml``, which ``load_config`` can read; secrets are redacted."""
        with _writing(self.path):
            replace_text(self.path / CONFIG, tomli_w.dumps(redacted(config.model_dump())))

    def write_fingerprint(self, fingerprint: Fingerprint, changed: bool = False) -> None:
        """Write the fingerprint of the run's environments, after comparing it with an earlier one in the folder.

        Args:
            fingerprint: the current fingerprint.
            changed: whether it may differ from the earlier one.

        Raises:
            ConfigError: It differs; the message says where.
            DataError: The earlier one is damaged.
        """
        path = self.path / "fingerprint.json"
        if path.exists():
            found = differences(read_json(path, "delete it; then nothing is compared"), fingerprint)
            what = "rows" if all(one.startswith("rows.") for one in found) else "environments"
            if found and not changed:
                raise ConfigError(
                    f"the {what} have changed since {self.path} was started: {'; '.join(found)}. Undo the changes, "
                    "start a new run, or continue all the same with --changed"
                )
            for difference in found:
                logging.getLogger("lachesis").warning("resumed with a changed %s: %s", what[:-1], difference)
        with _writing(self.path):
            replace_text(path, json.dumps(fingerprint, indent=1) + "\n")

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a row to ``metrics.jsonl``; NaN and infinity become null.

        Raises:
            InfrastructureError: The disk refuses.
        """
        row = {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}
        with _writing(self.path):
            self._metrics.write(json.dumps({"step": step, **row}) + "\n")

    def log_trajectories(self, step: int, groups: Sequence[Group]) -> None:
        """Store the groups that ``step`` was trained on."""
        self.trajectories.append(step, groups)

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows of ``metrics.jsonl`` in order, without a last line that a crash cut off."""
        return read_metrics(self.path / METRICS)

    def rewind(self, step: int, rows: int | None = None) -> None:
        """Remove what was logged after ``step``, so that a resumed run's logs have no gaps and no duplicates.

        Args:
            step: the last whose trajectories stay.
            rows: the last whose metrics stay, if that is another one.
        """
        last = step if rows is None else rows
        kept = [row for row in self.metrics() if row["step"] <= last]
        target = self.path / METRICS
        with _writing(self.path):
            self._metrics.close()
            replace_text(target, "".join(json.dumps(row) + "\n" for row in kept))
            self._metrics = target.open("a", buffering=1)
            self.trajectories.rewind(step)
        steps = {row["step"] for row in kept}
        trained = {row["step"] for row in kept if "tokens/sampled" in row and row["step"] <= step}
        self._warn_of_holes(self.trajectories.path, trained - set(self.trajectories.steps))
        self._warn_of_holes(target, set(range(1, last + 1)) - steps)

    def _warn_of_holes(self, file: Path, missing: set[int]) -> None:
        """Say which steps a file has lost, for example because it was cut off while the run was not under way."""
        if missing:
            logging.getLogger("lachesis").warning(
                "%s lacks %s; the run goes on, and does not make them again. Only a backup has them",
                file,
                listed(sorted(missing)),
            )

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json`` atomically."""
        with _writing(self.path):
            replace_text(self.path / SUMMARY, json.dumps(summary, indent=2) + "\n")

    def plot(self, target: float | None = None) -> Path:
        """Draw ``learning_curve.png`` from the metrics, with a line at the held-out value ``target``."""
        path = self.path / "learning_curve.png"
        with _writing(self.path):
            plot_learning_curve(self.metrics(), path, title=self.path.name, target=target)
        return path

    def close(self) -> None:
        """Close every file and unlock the folder."""
        with _writing(self.path):
            self._metrics.close()
            self.events.close()
            logging.getLogger("lachesis").removeHandler(self._log)
            self._log.close()
            self._lock.close()


def _locked(path: Path) -> IO[str]:
    """Lock ``path`` for this process until the returned file is closed; the lock ends with the process.

    Raises:
        ConfigError: Another process holds the lock.
    """
    file = (path / LOCK).open("w")
    for _ in range(10):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        time.sleep(0.05)  # a reader that checks whether the run is alive holds the lock for a moment
    file.close()
    raise ConfigError(f"a run is under way in {path}; stop it or wait for its end before you use --resume")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` into an ``InfrastructureError`` that names the folder and the cure."""
    try:
        yield
    except OSError as error:
        raise InfrastructureError(
            f"cannot write into {path}: {error.strerror or error}; free the disk and continue with --resume {path}"
        ) from None
