"""Everything that a run leaves behind, in one folder: config, metrics, trajectories, checkpoints, log and summary."""

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
from torch.utils.tensorboard import SummaryWriter

from ...rollout.store import TrajectoryStore
from ...verifiers.errors import ConfigError, InfrastructureError
from ...verifiers.files import replace_text
from ...verifiers.group import Group
from ..config import RunConfig
from .fingerprint import Fingerprint, differences
from .plot import plot_learning_curve
from .reader import CHECKPOINTS, CONFIG, LOCK, METRICS, SUMMARY, TRAJECTORIES, read_metrics
from .redaction import redacted


class RunFolder:
    """A run's folder, made by ``create`` or found by ``open``.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _locked(path)
        self.checkpoints.mkdir(exist_ok=True)
        self.trajectories = TrajectoryStore(path / TRAJECTORIES)
        self._metrics = (path / METRICS).open("a", buffering=1)
        self._board = SummaryWriter(str(path / "tensorboard"))
        self._log = logging.FileHandler(path / "log")
        self._log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger = logging.getLogger("lachesis")
        logger.addHandler(self._log)
        logger.setLevel(logging.INFO)

    @classmethod
    def create(cls, config: RunConfig) -> "RunFolder":
        """Make ``<config.out>/<config.name>-<k>`` with the first free k from 1, with the resolved config in it.

        Raises:
            ConfigError: the folder cannot be made.
        """
        for k in itertools.count(1):
            path = config.out / f"{config.name}-{k}"
            try:
                config.out.mkdir(parents=True, exist_ok=True)
                path.mkdir()
                break
            except FileExistsError:
                if not config.out.is_dir():
                    raise ConfigError(f"out is {config.out}, which is a file; choose a folder") from None
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
        """The folder of an earlier run, to go on with it.

        Raises:
            ConfigError: there is no run.
        """
        path = Path(path)
        if not (path / CONFIG).is_file():
            raise ConfigError(f"{path} is not a run's folder (it has no config.toml); check the path")
        with _writing(path):
            return cls(path)

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints go."""
        return self.path / CHECKPOINTS

    def write_config(self, config: RunConfig) -> None:
        """Write the resolved ``config.toml``, which ``load_config`` reads again; secrets in it are redacted."""
        with _writing(self.path):
            replace_text(self.path / CONFIG, tomli_w.dumps(redacted(config.model_dump())))

    def write_fingerprint(self, fingerprint: Fingerprint, changed: bool = False) -> None:
        """Keep what the run's environments are; where it is kept already, see that they still are the same.

        Args:
            fingerprint: of now.
            changed: whether they may be others by now.

        Raises:
            ConfigError: they are others; the message says what differs.
        """
        path = self.path / "fingerprint.json"
        if path.exists():
            found = differences(json.loads(path.read_text()), fingerprint)
            if found and not changed:
                raise ConfigError(
                    f"{self.path} was begun with other environments: {'; '.join(found)}. Put that back, begin a new "
                    "run, or go on all the same with --changed"
                )
            for difference in found:
                logging.getLogger("lachesis").warning("resumed with another environment: %s", difference)
        with _writing(self.path):
            replace_text(path, json.dumps(fingerprint, indent=1) + "\n")

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a row to ``metrics.jsonl``, on disk when this returns, and to TensorBoard; NaN and infinity become null.

        Raises:
            InfrastructureError: the disk refuses.
        """
        row = {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}
        with _writing(self.path):
            self._metrics.write(json.dumps({"step": step, **row}) + "\n")
            for name, value in metrics.items():
                self._board.add_scalar(name, value, step)

    def log_trajectories(self, step: int, groups: Sequence[Group]) -> None:
        """Store the groups that ``step`` learned from."""
        self.trajectories.append(step, groups)

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of ``metrics.jsonl``, in order; a last line that a crash cut off is left out."""
        return read_metrics(self.path / METRICS)

    def rewind(self, step: int) -> None:
        """Cut off what was logged after ``step``, so that a resumed run's history has neither hole nor double."""
        kept = [row for row in self.metrics() if row["step"] <= step]
        target = self.path / METRICS
        with _writing(self.path):
            self._metrics.close()
            replace_text(target, "".join(json.dumps(row) + "\n" for row in kept))
            self._metrics = target.open("a", buffering=1)
            self._board.close()
            self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=step + 1)
            self.trajectories.rewind(step)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json`` in one piece."""
        with _writing(self.path):
            replace_text(self.path / SUMMARY, json.dumps(summary, indent=2) + "\n")

    def plot(self, target: float | None = None) -> Path:
        """Draw ``learning_curve.png`` from the metrics, with a line at the held-out accuracy ``target``."""
        path = self.path / "learning_curve.png"
        with _writing(self.path):
            plot_learning_curve(self.metrics(), path, title=self.path.name, target=target)
        return path

    def close(self) -> None:
        """Flush and let go of every file."""
        with _writing(self.path):
            self._metrics.close()
            self._board.close()
            logging.getLogger("lachesis").removeHandler(self._log)
            self._log.close()
            self._lock.close()


def _locked(path: Path) -> IO[str]:
    """A file that holds ``path`` for this process until it is closed; the system lets go where the process dies.

    Raises:
        ConfigError: another run holds it.
    """
    file = (path / LOCK).open("w")
    for _ in range(10):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        time.sleep(0.05)  # a reader that looks whether the run is alive holds the lock for a moment
    file.close()
    raise ConfigError(f"a run is under way in {path}; stop it or wait for its end before --resume")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn a disk's refusal into one clear error."""
    try:
        yield
    except OSError as error:
        raise InfrastructureError(
            f"cannot write into {path}: {error.strerror or error}; free the disk and go on with --resume {path}"
        ) from None
