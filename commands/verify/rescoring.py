"""Scores computed again offline: rows of completions from a file, or the stored trajectories of a run."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from ...environments.environment import Environment
from ...rollout.store import Stored, TrajectoryStore
from ...trainer.config import load_config
from ...trainer.run.progress import counting
from ...verifiers.errors import ConfigError, DataError, InfrastructureError
from ...verifiers.sandbox.settings import SandboxSettings
from ...verifiers.sandbox.shared import configure_sandbox
from ...verifiers.trajectory import POLICY, Trajectory
from ...verifiers.verdict import Verdict
from ..in_order import in_order
from ..terminal import standard_output
from .line import Line, lines_of
from .verdict_file import VerdictFile, verdict_row

STORE = "trajectories.jsonl.zst"
"""The name of the trajectories in a run's folder."""


class Change(NamedTuple):
    """A stored trajectory's component that is judged otherwise now."""

    where: str
    label: str
    before: Verdict | None
    after: Verdict | None


@dataclass
class Tally:
    """What judging a run again came to.

    Attributes:
        trajectories: how many.
        before: sum of the total rewards as stored.
        after: the same as judged now.
        changes: what differs.
    """

    trajectories: int = 0
    before: float = 0.0
    after: float = 0.0
    changes: list[Change] = field(default_factory=list)

    def add(self, before: Stored, after: Trajectory) -> None:
        """Count one trajectory."""
        self.trajectories += 1
        self.before += _total(before.trajectory)
        self.after += _total(after)
        self.changes += differences(before, after)


def verify_file(path: Path, out: Path | None, jobs: int, sandbox: SandboxSettings | None = None) -> None:
    """Judge each row of ``path``, in order; a row that cannot be judged gets a verdict that says why, by its line.

    Args:
        path: JSON Lines, see ``row.read_row``; blank lines are no rows.
        out: gets a line {"score", "status", "reason", "elapsed_ms", "row"} for each row; standard output where None.
            Where it exists, it is gone on with.
        jobs: most rows under way.
        sandbox: where verifiers run programs.

    Raises:
        InputError: ``path`` cannot be read, ``out`` is not of ``path``, or a row needs a sandbox and none is here; what
            was written before stays.
        InfrastructureError: some rows could not be judged, or could not be written; the others were.
    """
    if not path.exists():
        raise DataError(f"cannot read {path}: there is no such file; check the path")
    configure_sandbox(sandbox or SandboxSettings())
    lines = lines_of(path)
    if out is None:
        counts: Counter[str] = Counter()
        with standard_output():
            _judge_rows(path, lines, _Printer(counts).add, jobs, 0)
    else:
        with VerdictFile(out, path, lines) as file:
            counts, before = file.counts, file.counts.total()
            try:
                _judge_rows(path, lines, file.add, jobs, before)
            except KeyboardInterrupt:
                done = f"stopped with {counts.total()} verdicts in {out}; the same command goes on"
                raise KeyboardInterrupt(done) from None
        if before:
            print(f"{before} verdicts were in {out} before", file=sys.stderr)
    print(f"{counts.total()} rows: {_listed(counts) or 'none'}", file=sys.stderr)
    if counts["infra_error"]:
        raise InfrastructureError(
            f"{counts['infra_error']} rows could not be judged; the reason stands in each verdict"
        )


def verify_run(path: Path, out: Path | None, jobs: int, overrides: Sequence[str] = ()) -> None:
    """Judge every stored trajectory of a run again and print what changed; ``out`` gets a line for each change.

    Args:
        path: the run's folder, or the trajectories in it; the environments are those of the config beside them.
        out: JSON Lines, overwritten.
        jobs: most trajectories under way.
        overrides: ``--part.key value`` on that config.
    """
    file = path / STORE if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(f"{path} holds no {STORE}; give a run's folder, its trajectories, or a JSONL file")
    config = load_config(file.parent / "config.toml", overrides)
    configure_sandbox(config.sandbox)
    environments = {spec.label: spec.build() for spec in (entry.spec() for entry in config.environments)}
    tally = Tally()
    with counting("judging again", None) as tick:
        asyncio.run(_judge_store(TrajectoryStore(file), environments, jobs, tally, tick))
    if out:
        _write(out, "".join(json.dumps(_change_row(change)) + "\n" for change in tally.changes))
    _print_changes(tally)


def differences(before: Stored, after: Trajectory) -> list[Change]:
    """The components whose score or status differs."""
    found = []
    for agent in sorted({*before.trajectory.rewards, *after.rewards}):
        old, new = _verdicts(before.trajectory, agent), _verdicts(after, agent)
        for label in sorted({*old, *new}):
            a, b = old.get(label), new.get(label)
            if (a and (a.score, a.status)) != (b and (b.score, b.status)):
                where = f"step {before.step}, group {before.group}, attempt {before.attempt}"
                found.append(Change(where, label if agent == POLICY else f"{agent}/{label}", a, b))
    return found


def _judge_rows(
    path: Path, lines: Iterator[Line], write: Callable[[list[dict[str, Any]]], None], jobs: int, before: int
) -> None:
    async def judge(line: Line) -> dict[str, Any]:
        return verdict_row(line, await line.verify())

    with counting("verifying", _rows_in(path), before) as tick:

        def emit(rows: list[dict[str, Any]]) -> None:
            write(rows)
            tick(len(rows))

        asyncio.run(in_order(lines, judge, emit, jobs))


class _Printer:
    """Verdicts on standard output."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Write verdicts."""
        sys.stdout.write("".join(json.dumps(row) + "\n" for row in rows))
        sys.stdout.flush()
        self._counts.update(row["status"] for row in rows)


def _rows_in(path: Path) -> int | None:
    """How many rows the progress bar goes to: counted where one is shown, unknown for a pipe, which is read once."""
    return sum(1 for _ in lines_of(path)) if sys.stderr.isatty() and path.is_file() else None


async def _judge_store(
    store: TrajectoryStore, environments: dict[str, Environment], jobs: int, tally: Tally, tick: Callable[[int], None]
) -> None:
    async def judge(group: list[Stored]) -> list[tuple[Stored, Trajectory]]:
        label = group[0].trajectory.environment
        if label not in environments:
            raise ConfigError(f"the run's config has no environment labelled {label!r}, as its trajectories say")
        attempts = [await environments[label].score_trajectory(stored.trajectory) for stored in group]
        return list(zip(group, await environments[label].score_group(attempts), strict=True))

    def emit(groups: list[list[tuple[Stored, Trajectory]]]) -> None:
        judged = [pair for group in groups for pair in group]
        for before, after in judged:
            tally.add(before, after)
        tick(len(judged))

    groups = (list(group) for _, group in groupby(store.read(), key=lambda stored: (stored.step, stored.group)))
    await in_order(groups, judge, emit, jobs, window=64)


def _total(trajectory: Trajectory) -> float:
    return sum(reward.total for reward in trajectory.rewards.values() if reward.scored)


def _verdicts(trajectory: Trajectory, agent: str) -> dict[str, Verdict]:
    reward = trajectory.rewards.get(agent)
    return {part.label: part.verdict for part in reward.components} if reward else {}


def _change_row(change: Change) -> dict[str, Any]:
    verdicts = {"before": change.before, "after": change.after}
    return {"where": change.where, "label": change.label} | {
        name: verdict.to_json() if verdict else None for name, verdict in verdicts.items()
    }


def _print_changes(tally: Tally, show: int = 10) -> None:
    print(
        f"{tally.trajectories} trajectories, {len(tally.changes)} verdicts changed; "
        f"sum of totals {tally.before:g} → {tally.after:g}"
    )
    for change in tally.changes[:show]:
        old, new = (f"{v.score} {v.status}" if v else "absent" for v in (change.before, change.after))
        print(
            f"  {change.where}, {change.label}: {old} → {new}  {change.after.reason if change.after else ''}".rstrip()
        )
    if len(tally.changes) > show:
        print(f"  and {len(tally.changes) - show} more")


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}; choose another -o") from None


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counts.most_common())
