"""Replies that people have labelled, and the calibration of a judge or a reward model on them."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..case import Case
from ..errors import ConfigError, DataError, InfrastructureError
from ..rows.jsonl import read_numbered_jsonl
from ..task import Task
from ..trajectory import POLICY, Trajectory
from ..verdict import Verdict
from .calibration import Calibration, calibrate


class Labelled(NamedTuple):
    """A reply, and whether a person accepts it."""

    case: Case
    accepted: bool


class Calibratable(Protocol):
    """A verifier whose scores can be calibrated: a ``Judge`` or a ``RewardModel``."""

    @property
    def calibration(self) -> str:
        """The file of its calibration; empty if it has none."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that decide the score, as JSON."""
        ...

    @property
    def pass_mark(self) -> float:
        """The least score that passes."""
        ...

    async def verify(self, case: Case) -> Verdict:
        """The verdict on a reply."""
        ...


class LabelledScores(NamedTuple):
    """Scores of replies, and people's labels of the same replies.

    Attributes:
        scores: of the replies.
        labels: whether a person accepts each.
        unjudged: how many replies got no score, because they are empty, too long or confuse the judge.
    """

    scores: list[float]
    labels: list[bool]
    unjudged: int


def calibrate_on(path: str | Path, judge: Calibratable, method: str = "isotonic") -> Calibration:
    """Ask the judge about the labelled replies of a file, and fit a calibration to the labels.

    Works in a notebook too. A judge's verdicts are cached, so a second call continues after a failure. Replies on which
    the judge gives no verdict are left out.

    Args:
        path: JSON Lines, each row with ``completion``, ``label`` (true or false) and, as the judge needs them,
            ``prompt``, ``answer`` and ``info``.
        judge: without a calibration.
        method: ``isotonic``, for some hundred labels and more, or ``platt``, for fewer.

    Raises:
        DataError: a row is not such a row; the message has its line.
        ConfigError: the judge is calibrated already, or the labels cannot be used (see ``calibrate``).
        InfrastructureError: the judge failed on some replies.
    """
    found = score_labels(path, judge)
    return calibrate(judge.identity, found.scores, found.labels, method, judge.pass_mark)


def score_labels(path: str | Path, judge: Calibratable) -> LabelledScores:
    """Ask the judge about the labelled replies of a file; arguments and errors are those of ``calibrate_on``."""
    if judge.calibration:
        raise ConfigError(f"the judge is calibrated by {judge.calibration}; make one without calibration=")
    labelled = list(read_labels(path))

    async def verify() -> list[Verdict]:
        return await asyncio.gather(*(judge.verify(reply.case) for reply in labelled))

    with ThreadPoolExecutor(1) as thread:
        verdicts = thread.submit(lambda: asyncio.run(verify())).result()
    failed = [verdict.reason for verdict in verdicts if verdict.score is None]
    if failed:
        raise InfrastructureError(f"{len(failed)} of {len(verdicts)} replies were not judged; the first: {failed[0]}")
    judged = [
        (verdict.score, reply.accepted)
        for verdict, reply in zip(verdicts, labelled, strict=True)
        if verdict.status in ("ok", "wrong") and verdict.score is not None
    ]
    scores, labels = [score for score, _ in judged], [accepted for _, accepted in judged]
    return LabelledScores(scores, labels, len(verdicts) - len(judged))


def read_labels(path: str | Path) -> Iterator[Labelled]:
    """The labelled replies of a file, as ``calibrate_on`` describes it.

    Raises:
        DataError: a row is not such a row; the message has its line.
    """
    for number, row in read_numbered_jsonl(path):
        where = f"{path}, line {number}"
        if not isinstance(row.get("completion"), str):
            raise DataError(f"{where}: 'completion' is the text of a reply, found {row.get('completion')!r:.80}")
        if row.get("label") not in (True, False):  # 0 and 1 are equal to them
            raise DataError(f"{where}: 'label' is true or false, found {row.get('label')!r:.80}")
        try:
            task = Task(row.get("prompt", ""), answer=row.get("answer"), info=row.get("info") or {})
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        said: Any = (*(task.messages if task.prompt else ()), {"role": "assistant", "content": row["completion"]})
        yield Labelled(Case(Trajectory(task, messages={POLICY: said})), bool(row["label"]))
