"""Stored trajectories with the environments that scored them, of a run or of an evaluation, to score or play again."""

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from ...environments.environment import tasks_of
from ...environments.loading import EnvironmentSpec, describe
from ...rollout.orders import EVALUATION, TRAINING
from ...rollout.store import Stored
from ...trainer.overrides import parts_of
from ...trainer.run.storage.reader import TRAJECTORIES, Run
from ...verifiers.errors import ConfigError, DataError
from ...verifiers.sandbox.settings import SandboxSettings
from ...verifiers.settings import validated
from ...verifiers.trajectory import Trajectory
from .eval_source import EvalSource
from .trajectory_files import eval_lines, read_header

log = logging.getLogger("lachesis")

SEARCHED = 100_000
"""Most tasks of an environment that are drawn to find the numbers of an evaluation's tasks."""


@dataclass(frozen=True)
class StoredEpisodes:
    """Trajectories on disk, and what is needed to make the same again.

    Attributes:
        path: the run's folder or the evaluation's file.
        specs: label → environment.
        sandbox: where its verifiers ran programs.
        stored: yields the trajectories, the attempts of a group one after the other; of a run, only those of its last
            step if it is called with True.
        seed: gives the seed of a stored episode.
    """

    path: Path
    specs: Mapping[str, EnvironmentSpec]
    sandbox: SandboxSettings
    stored: Callable[[bool], Iterator[Stored]]
    seed: Callable[[Stored], tuple[int, ...]]

    def read(self, last: bool = False) -> Iterator[Stored]:
        """Yield what ``stored`` yields.

        Raises:
            ConfigError: an environment of theirs is not among ``specs``.
        """
        for one in self.stored(last):
            label = one.trajectory.environment
            if label not in self.specs:
                raise ConfigError(f"{self.path} holds trajectories of {label!r}, which its config does not list")
            yield one


def holds_episodes(path: Path) -> bool:
    """Whether ``path`` is a run's folder, the trajectories in one, or an evaluation's file."""
    return path.is_dir() or path.name == TRAJECTORIES or (path.is_file() and read_header(path) is not None)


def open_episodes(path: Path, overrides: Sequence[str] = ()) -> StoredEpisodes:
    """Open the trajectories of a run or of an evaluation.

    Args:
        path: a run's folder, the file of trajectories in it, or a file that ``eval`` wrote.
        overrides: ``--part.key value`` for the run's config; for an evaluation ``--config.key`` and ``--sandbox.key``.

    Raises:
        ConfigError: there is nothing of that kind, or its environments cannot be found.
    """
    if path.is_file() and path.name != TRAJECTORIES:
        return _open_eval(path, overrides)
    folder = path.parent if path.name == TRAJECTORIES else path
    if not (folder / TRAJECTORIES).is_file():
        raise ConfigError(
            f"{path} holds no {TRAJECTORIES}; give a run's folder, its trajectories, an evaluation, or a JSONL file"
        )
    run = Run(folder)
    config = run.config(overrides)
    specs = {spec.label: spec for spec in (entry.spec() for entry in config.environments)}

    def stored(last: bool) -> Iterator[Stored]:
        steps = run.steps()
        return run.trajectories(steps[-1] if last and steps else None)

    def seed(one: Stored) -> tuple[int, ...]:
        return (config.seed, TRAINING, one.group, one.attempt)

    return StoredEpisodes(folder, specs, config.sandbox, stored, seed)


def _open_eval(path: Path, overrides: Sequence[str]) -> StoredEpisodes:
    header = read_header(path)
    if header is None:
        raise ConfigError(f"{path} is not an evaluation: its first line is no header; give the file that eval wrote")
    parts = parts_of(overrides, config={}, sandbox={})
    asked: Any = header.get("environments")
    if not isinstance(asked, dict) or not all(isinstance(one, dict) and "use" in one for one in asked.values()):
        raise ConfigError(f"the header of {path} names no environments; it was written by another version")
    specs = {
        label: describe(
            one["use"],
            config={**one.get("config", {}), **parts["config"]},
            weights=one.get("rubric", {}),
            label=label,
        )
        for label, one in asked.items()
    }
    sandbox = validated(SandboxSettings, {**header.get("sandbox", {}), **parts["sandbox"]}, "--sandbox")
    source = EvalSource(path.name, path)

    def stored(last: bool) -> Iterator[Stored]:
        for line in eval_lines(path):
            try:
                made = Trajectory.from_json(msgspec.json.decode(line.text))
            except (DataError, msgspec.DecodeError) as error:
                log.warning("%s, group %d, attempt %d: %s; it is left out", path, line.group, line.attempt, error)
                continue
            yield Stored(0, line.group, line.attempt, made)

    numbers = cache(lambda: _numbers(source, specs))  # a replay needs them, and scoring does not

    def seed(one: Stored) -> tuple[int, ...]:
        number = numbers().get(one.group, one.group)
        return (int(header.get("seed", 0)), EVALUATION, number, one.attempt)

    return StoredEpisodes(path, specs, sandbox, stored, seed)


def _numbers(source: EvalSource, specs: Mapping[str, EnvironmentSpec]) -> dict[int, int]:
    """The number that seeded each task's episodes, by the task's number in the file.

    The evaluation counted the distinct tasks of each environment in the order of drawing, and its file has them as they
    ended.
    """
    found: dict[int, int] = {}
    for label, spec in specs.items():
        wanted = {row.task: row.group for row in source.rows() if row.environment == label}
        split = source.header["environments"][label].get("split", "test")
        distinct: dict[str, int] = {}
        missing = set(wanted.values())
        for task in itertools.islice(tasks_of(spec.build(), split, int(source.header.get("seed", 0))), SEARCHED):
            if not missing:
                break
            number = distinct.setdefault(task.hash, len(distinct))
            if task.id in wanted and wanted[task.id] in missing:
                found[wanted[task.id]] = number
                missing.remove(wanted[task.id])
    return found
