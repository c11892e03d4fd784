"""Scores computed again offline: rows of completions from a file, or the stored trajectories of a run."""

import asyncio
import json
import os
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeVar

from ..environments.environment import Environment
from ..rollout.store import Stored, TrajectoryStore
from ..verifiers.case import Case
from ..verifiers.errors import ConfigError, DataError, InfrastructureError, InputError
from ..verifiers.jsonl import read_numbered_jsonl
from ..verifiers.rubric import Rubric, Use
from ..verifiers.task import Task
from ..verifiers.trajectory import POLICY, Trajectory
from ..verifiers.verdict import Verdict
from .config import load_config
from .progress import counting

Result = TypeVar("Result")
STORE = "trajectories.jsonl.zst"
"""The name of the trajectories in a run's folder."""


class Row(NamedTuple):
    """One completion to judge."""

    rubric: Rubric
    case: Case


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


def verify_file(path: Path, out: Path | None, jobs: int) -> None:
    """Judge each row {"verifier", "completion", "answer", "params"} of ``path``, in order.

    Writes a line {"score", "status", "reason", "elapsed_ms"} for each row to ``out`` (standard output where None). An
    ``out`` that holds k lines already is continued at row k.

    Raises:
        DataError: a row cannot be what it should, by its line; found before anything is written.
        InfrastructureError: some rows could not be judged; their verdicts say why.
    """
    total = sum(1 for _ in _rows(path))
    done = _lines_in(out) if out else 0
    if done > total:
        raise DataError(f"{out} holds {done} verdicts, but {path} only {total} rows; choose another -o")
    with counting("verifying", total, done) as tick, _output(out) as file:
        counts = asyncio.run(_judge_rows(islice(_rows(path), done, None), file, jobs, tick))
    print(f"{total} rows, {done} done before: {_listed(counts) or 'none left'}", file=sys.stderr)
    if counts["infra_error"]:
        raise InfrastructureError(f"{counts['infra_error']} rows could not be judged; see their reasons")


def verify_run(path: Path, out: Path | None, jobs: int) -> None:
    """Judge every stored trajectory of a run again and print what changed; ``out`` gets a line for each change.

    Args:
        path: the run's folder, or the trajectories in it; the environments are those of the config beside them.
        out: JSON Lines, overwritten.
        jobs: most trajectories under way.
    """
    file = path / STORE if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(f"{path} holds no {STORE}; give a run's folder, its trajectories, or a JSONL file")
    config = load_config(file.parent / "config.toml")
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
                where = f"step {before.step}, group {before.group}, sample {before.sample}"
                found.append(Change(where, label if agent == POLICY else f"{agent}/{label}", a, b))
    return found


async def in_order(work: Iterable[Coroutine[Any, Any, Result]], limit: int) -> AsyncIterator[Result]:
    """The results of ``work`` in its order, with at most ``limit`` under way."""
    window: deque[asyncio.Task[Result]] = deque()
    try:
        for coroutine in work:
            window.append(asyncio.create_task(coroutine))
            if len(window) >= limit:
                yield await window.popleft()
        while window:
            yield await window.popleft()
    finally:
        for task in window:
            task.cancel()


def _rows(path: Path) -> Iterator[Row]:
    for number, row in read_numbered_jsonl(path):
        try:
            yield _row(row)
        except (InputError, TypeError, ValueError) as error:  # a verifier given parameters of the wrong type
            raise DataError(f"{path}, line {number}: {error}") from None


def _row(row: dict[str, Any]) -> Row:
    for key, kind in (("verifier", str), ("completion", str)):
        if not isinstance(row.get(key), kind):
            raise DataError(f"{key!r} is text, found {row.get(key)!r:.80}; a row has verifier, completion and answer")
    params = row.get("params") or {}
    if not isinstance(params, dict):
        raise DataError(f"'params' is an object, found {params!r:.80}")
    if "answer" not in row:
        raise DataError("'answer' is missing")
    task = Task("", answer=row["answer"])
    said = Trajectory(task, messages={POLICY: ({"role": "assistant", "content": row["completion"]},)})
    return Row(_rubric(row["verifier"], json.dumps(params, sort_keys=True)), Case(said))


@lru_cache(maxsize=256)
def _rubric(verifier: str, params: str) -> Rubric:
    return Rubric(Use(verifier, label=verifier, params=json.loads(params)))


async def _judge_rows(rows: Iterable[Row], file: TextIO, jobs: int, tick: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    async for reward in in_order((row.rubric.judge(row.case) for row in rows), jobs):
        verdict = reward.components[0].verdict
        counts[verdict.status] += 1
        line = {"score": verdict.score, "status": verdict.status, "reason": verdict.reason}
        file.write(json.dumps(line | {"elapsed_ms": round(1000 * verdict.elapsed, 3)}) + "\n")
        file.flush()
        tick()
    return counts


async def _judge_store(
    store: TrajectoryStore, environments: dict[str, Environment], jobs: int, tally: Tally, tick: Any
) -> None:
    async def judge(stored: Stored) -> tuple[Stored, Trajectory]:
        label = stored.trajectory.environment
        if label not in environments:
            raise ConfigError(f"the run's config has no environment labelled {label!r}, as its trajectories say")
        return stored, await environments[label].judge(stored.trajectory)

    async for before, after in in_order((judge(stored) for stored in store.read()), jobs):
        tally.add(before, after)
        tick()


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


def _lines_in(out: Path) -> int:
    """How many whole lines ``out`` holds; a last one that was cut off is removed."""
    if not out.exists():
        return 0
    data = out.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(out, whole)
    return data.count(b"\n")


@contextmanager
def _output(out: Path | None) -> Iterator[TextIO]:
    """``out``, appended to, or standard output."""
    if out is None:
        yield sys.stdout
        return
    try:
        with out.open("a") as file:
            yield file
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}; choose another -o") from None


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}; choose another -o") from None


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counts.most_common())
