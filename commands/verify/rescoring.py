"""Scores computed again offline: for the rows of a JSONL file, or for the trajectories of a run or an evaluation."""

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
from ...rollout.store import Stored
from ...trainer.run.progress import counting
from ...verifiers.errors import ConfigError, DataError, InfrastructureError
from ...verifiers.sandbox.settings import SandboxSettings
from ...verifiers.sandbox.shared import configure_sandbox
from ...verifiers.trajectory import POLICY, Trajectory
from ...verifiers.verdict import Verdict
from ..in_order import in_order
from ..sources.stored import StoredEpisodes, open_episodes
from ..terminal import printable
from .line import Line, lines_of
from .verdict_file import VerdictFile, verdict_row


class Change(NamedTuple):
    """A component of a stored trajectory whose score or status has changed."""

    where: str
    label: str
    before: Verdict | None
    after: Verdict | None


@dataclass
class Tally:
    """The result of scoring stored trajectories again.

    Attributes:
        trajectories: how many were scored.
        before: sum of the stored total rewards.
        after: sum of the new total rewards.
        changes: the components that differ.
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
    """Score each row of ``path`` in order; a row that cannot be scored gets a verdict with the reason and its line.

    Args:
        path: JSON Lines, see ``line.read_row``; blank lines are skipped.
        out: gets a line {"score", "status", "reason", "elapsed_ms", "row"} for each row; standard output if None. An
            existing file is continued.
        jobs: most rows scored at once.
        sandbox: where verifiers run programs.

    Raises:
        InputError: ``path`` cannot be read, ``out`` belongs to another file, or a row needs a sandbox and there is
            none; what was written before stays.
        InfrastructureError: some rows could not be scored or written; the others were.
    """
    if not path.exists():
        raise DataError(f"cannot read {path}: there is no such file; check the path")
    configure_sandbox(sandbox or SandboxSettings())
    lines = lines_of(path)
    if out is None:
        counts: Counter[str] = Counter()
        _score_rows(path, lines, _Printer(counts).add, jobs, 0)
    else:
        with VerdictFile(out, path, lines) as file:
            counts, before = file.counts, file.counts.total()
            try:
                _score_rows(path, lines, file.add, jobs, before)
            except KeyboardInterrupt:
                done = f"stopped with {counts.total()} verdicts in {out}; the same command continues"
                raise KeyboardInterrupt(done) from None
        if before:
            print(f"{before} verdicts were in {out} before", file=sys.stderr)
    print(f"{_rows(counts.total())}: {_listed(counts) or 'none'}", file=sys.stderr)
    if counts["infra_error"]:
        raise InfrastructureError(f"{_rows(counts['infra_error'])} could not be scored; each verdict gives the reason")


def verify_stored(path: Path, out: Path | None, jobs: int, overrides: Sequence[str] = ()) -> None:
    """Score every stored trajectory again and print the changes; ``out`` gets a line for each change.

    Args:
        path: a run's folder, the file of trajectories in it, or an evaluation's file.
        out: JSON Lines, overwritten.
        jobs: most groups scored at once.
        overrides: for its environments and the sandbox, see ``open_episodes``.

    Raises:
        ConfigError: there is no such run or evaluation, its config lacks an environment, or ``out`` cannot be written.
    """
    episodes = open_episodes(path, overrides)
    configure_sandbox(episodes.sandbox)
    environments = {label: spec.build() for label, spec in episodes.specs.items()}
    tally = Tally()
    with counting("scoring again", None) as tick:
        asyncio.run(_score_again(episodes, environments, jobs, tally, tick))
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
                step = f"step {before.step}, " if before.step else ""
                where = f"{step}group {before.group}, attempt {before.attempt}"
                found.append(Change(where, label if agent == POLICY else f"{agent}/{label}", a, b))
    return found


def _score_rows(
    path: Path, lines: Iterator[Line], write: Callable[[list[dict[str, Any]]], None], jobs: int, before: int
) -> None:
    async def score(line: Line) -> dict[str, Any]:
        return verdict_row(line, await line.verify())

    with counting("verifying", _rows_in(path), before) as tick:

        def emit(rows: list[dict[str, Any]]) -> None:
            write(rows)
            tick(len(rows))

        asyncio.run(in_order(lines, score, emit, jobs))


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
    """How many rows the progress bar counts to; None if no bar is shown, or for a pipe, which can be read only once."""
    return sum(1 for _ in lines_of(path)) if sys.stderr.isatty() and path.is_file() else None


async def _score_again(
    episodes: StoredEpisodes,
    environments: dict[str, Environment],
    jobs: int,
    tally: Tally,
    tick: Callable[[int], None],
) -> None:
    async def score(group: list[Stored]) -> list[tuple[Stored, Trajectory]]:
        environment = environments[group[0].trajectory.environment]
        attempts = [await environment.score_trajectory(stored.trajectory) for stored in group]
        return list(zip(group, await environment.score_group(attempts), strict=True))

    def emit(groups: list[list[tuple[Stored, Trajectory]]]) -> None:
        scored = [pair for group in groups for pair in group]
        for before, after in scored:
            tally.add(before, after)
        tick(len(scored))

    groups = (list(group) for _, group in groupby(episodes.read(), key=lambda stored: (stored.step, stored.group)))
    await in_order(groups, score, emit, jobs, window=64)


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
        reason = change.after.reason if change.after else ""
        print(printable(f"  {change.where}, {change.label}: {old} → {new}  {reason}".rstrip()))
    if len(tally.changes) > show:
        print(f"  and {len(tally.changes) - show} more")


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}; choose another -o") from None


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count != 1)}"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counts.most_common())
