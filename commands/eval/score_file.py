"""The scores of an evaluation on disk: a header line, then one JSON line for each trajectory; it can be continued."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self, TextIO

from ...verifiers.errors import ConfigError, DataError, InfrastructureError
from ...verifiers.files import cut_torn_line
from ...verifiers.reward import Reward
from ...verifiers.rows.jsonl import read_numbered_jsonl
from ...verifiers.trajectory import POLICY, Trajectory


class Score(NamedTuple):
    """What the summary needs of one trajectory.

    Attributes:
        environment: the environment's label.
        task: the task's hash.
        attempt: number of the attempt at it.
        rewards: label → unweighted score, with the weighted ``total``; another agent's labels begin with its name.
        success: ``Reward.success`` of the first agent; None if it is undefined.
        stop: why the episode ended.
        scored: whether it has a score at all.
        answer: the answer that the first agent's decisive verifier extracted; empty if it extracted none.
        tokens: agent → tokens of its prompts and of its replies, where the policy counts them.
        seconds: of the episode.
    """

    environment: str
    task: str
    attempt: int
    rewards: dict[str, float]
    success: bool | None
    stop: str
    scored: bool
    answer: str = ""
    tokens: Mapping[str, tuple[float, float]] = MappingProxyType({})
    seconds: float = 0.0


class ScoreFile:
    """Scores on disk, a context manager. If ``path`` exists, its scores are kept and added to.

    Attributes:
        scores: (environment, task hash, attempt) → score; the last one if an attempt was made twice.

    Args:
        path: JSON Lines.
        header: identifies the evaluation; an existing file must have the same.

    Raises:
        ConfigError: the file belongs to another evaluation, and the message says where they differ; or it cannot be
            changed.
        DataError: a line is not a score; the message has its number.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self.scores: dict[tuple[str, str, int], Score] = {}
        self._header = header
        self._file: TextIO | None = None
        try:
            old = path.exists() and path.stat().st_size > 0
            if old:
                cut_torn_line(path)
        except OSError as error:
            raise ConfigError(f"cannot continue {path}: {error.strerror}; choose another --out") from None
        if old:
            self._take_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError):  # what a full disk did not take was reported by ``add``
                self._file.close()

    def add(self, attempt: int, trajectory: Trajectory) -> Score:
        """Write one trajectory, on disk when this returns."""
        try:
            self._write({"attempt": attempt, **trajectory.to_json()})
        except OSError as error:
            raise InfrastructureError(
                f"cannot write {self.path}: {error.strerror}; make room and run the same command again"
            ) from None
        return self._note(attempt, trajectory)

    def has(self, environment: str, task: str, attempt: int) -> bool:
        """Whether this attempt at the environment's task with this hash has a score already."""
        score = self.scores.get((environment, task, attempt))
        return score is not None and score.scored

    def _note(self, attempt: int, trajectory: Trajectory) -> Score:
        score = score_of(attempt, trajectory)
        self.scores[score.environment, score.task, attempt] = score
        return score

    def _write(self, row: Mapping[str, Any]) -> None:
        if self._file is None:
            self._file = self._open()
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self._file.flush()

    def _open(self) -> TextIO:
        """The file, created with its header on the first write: an evaluation without scores leaves no file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a")
        if not file.tell():
            file.write(json.dumps({"header": self._header}) + "\n")
        return file

    def _take_over(self) -> None:
        rows = read_numbered_jsonl(self.path)
        _, first = next(rows, (1, {}))
        if "header" not in first:
            raise ConfigError(
                f"{self.path} is not a file of scores (its first line is not a header); choose another --out"
            )
        there, here = _flat(first["header"]), _flat(json.loads(json.dumps(self._header)))
        for key in sorted({*there, *here}):
            if there.get(key) != here.get(key):
                raise ConfigError(
                    f"{self.path} was made with {key} {there.get(key)!r}, not {here.get(key)!r}; choose another --out"
                )
        for number, row in rows:
            try:
                self._note(row["attempt"], Trajectory.from_json(row))
            except (KeyError, TypeError, AttributeError, DataError) as error:
                raise DataError(f"{self.path}, line {number}: not a score ({error}); remove the line") from None


def score_of(attempt: int, trajectory: Trajectory) -> Score:
    """The trajectory's score."""
    rewards: dict[str, float] = {}
    for agent, reward in trajectory.rewards.items():
        prefix = "" if agent == POLICY else f"{agent}/"
        for label, _, verdict in reward.components:
            if verdict.score is not None:
                rewards[prefix + label] = verdict.score
        if reward.scored:
            rewards[prefix + "total"] = reward.total
    first = next(iter(trajectory.rewards.values()), None)
    success = first.success if first and trajectory.scored else None
    return Score(
        trajectory.environment,
        trajectory.task.hash,
        attempt,
        rewards,
        success,
        trajectory.stop.value,
        trajectory.scored,
        extracted_answer(first),
        _tokens(trajectory),
        sum(trajectory.timings.values()),
    )


def extracted_answer(reward: Reward | None) -> str:
    """The answer that the decisive verifier found in the completion; empty if it found none."""
    decisive = reward.decisive if reward else None
    found = decisive.verdict.evidence.get("found") if decisive else None
    return found if isinstance(found, str) else ""


def _tokens(trajectory: Trajectory) -> dict[str, tuple[float, float]]:
    """The tokens of prompts and replies by agent; an episode of one agent counts them without its name."""
    found = {}
    for agent in trajectory.messages:
        prefix = f"{agent}/" if len(trajectory.messages) > 1 else ""
        prompt, completion = (
            trajectory.metrics.get(f"{prefix}{kind}_tokens", 0.0) for kind in ("prompt", "completion")
        )
        if prompt or completion:
            found[agent] = prompt, completion
    return found


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested objects as dotted keys."""
    if not isinstance(value, dict):
        return {prefix: value}
    leaves: dict[str, Any] = {}
    for name, inner in value.items():
        leaves |= _flat(inner, f"{prefix}.{name}".lstrip("."))
    return leaves
