"""The tasks that an environment yields, and problems with them that show before anyone plays."""

import itertools
import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...verifiers.errors import DataError, LachesisError
from ...verifiers.message import is_reply
from ...verifiers.task import Task
from ..environment import Environment, Split, tasks_of
from .bad_reply import answer_text, holds, prompt_text
from .finding import Finding

MOST = 1000
"""Most tasks of a split that are examined."""
SECONDS = 5.0
"""Seconds after which no further task is drawn, if there are enough to play."""
SHORT = 4
"""Answers with fewer characters occur in prompts by chance."""


@dataclass
class Draw:
    """The first tasks of one split.

    Attributes:
        tasks: the tasks in order.
        ended: whether the split has no more tasks.
        seconds: seconds that each task took.
        failure: the error that ended the drawing, empty if there was none.
        refused: why tasks cannot be judged, which a run would refuse.
    """

    tasks: list[Task] = field(default_factory=list)
    ended: bool = False
    seconds: list[float] = field(default_factory=list)
    failure: str = ""
    refused: list[DataError] = field(default_factory=list)


def draw(environment: Environment, split: Split, seed: int, least: int, most: int = MOST) -> Draw:
    """Up to ``most`` tasks, and at least ``least`` if there are as many; an error is recorded, not raised."""
    drawn = Draw(ended=True)
    end = time.perf_counter() + SECONDS
    start = time.perf_counter()
    try:
        for task in itertools.islice(tasks_of(environment, split, seed, drawn.refused), most + 1):
            drawn.seconds.append(time.perf_counter() - start)
            if len(drawn.tasks) >= most or (len(drawn.tasks) >= least and time.perf_counter() > end):
                drawn.ended = False
                break
            drawn.tasks.append(task)
            start = time.perf_counter()
    except LachesisError as error:
        drawn.failure = str(error)
    return drawn


def audit_draws(draws: Mapping[Split, Draw]) -> list[Finding]:
    """The problems within and between the splits."""
    findings = []
    for split, drawn in draws.items():
        if drawn.failure:
            findings.append(Finding("tasks", drawn.failure))
        elif not drawn.tasks and not drawn.refused:
            findings.append(Finding("tasks", f"split {split!r} has no tasks; a run draws from train and from test"))
        findings += [Finding("gold", str(error)) for error in drawn.refused]
        findings += [*_duplicates(split, drawn), *_conflicts(split, drawn.tasks), *_leaks(split, drawn.tasks)]
    return findings + _overlap(draws)


def compare_draws(split: Split, here: Sequence[str], elsewhere: Sequence[str], whole: bool) -> list[Finding]:
    """A finding if two draws with the same seed differ.

    Args:
        split: the split of both.
        here: hashes of the tasks in the first draw.
        elsewhere: hashes of the tasks in the second draw; either draw may have run out of time.
        whole: whether both draws reached the end of the split, so that their lengths must be equal.
    """
    place = next((number for number, pair in enumerate(zip(here, elsewhere, strict=False)) if len(set(pair)) > 1), None)
    if place is None and not (whole and len(here) != len(elsewhere)):
        return []
    seen = f"task {place} of split {split!r} differs" if place is not None else f"the length of split {split!r} differs"
    cure = "draw random numbers from random.Random(seed) only, and never depend on the order of a set"
    return [Finding("unseeded", f"{seen} in a second process with the same seed; {cure}")]


def _told(task: Task) -> str:
    """The whole text that a policy sees before its first reply."""
    return "\n".join(message["content"] for message in task.messages if not is_reply(message))


def _duplicates(split: Split, drawn: Draw) -> list[Finding]:
    findings = []
    hashes = {task.hash for task in drawn.tasks}
    by_id = defaultdict(set)
    for task in drawn.tasks:
        by_id[task.id].add(task.hash)
    shared = [name for name, found in by_id.items() if len(found) > 1]
    if shared:
        message = (
            f"{len(shared)} ids of split {split!r} name more than one task; without an id, the content's hash is used"
        )
        findings.append(Finding("duplicate", message, tasks=tuple(shared[:3])))
    again = len(drawn.tasks) - len(hashes)
    if again and (drawn.ended or again > len(drawn.tasks) / 2):  # drawing with replacement repeats some tasks
        most = Counter(task.id for task in drawn.tasks).most_common(1)[0][0]
        message = (
            f"{again} of {len(drawn.tasks)} tasks of split {split!r} are repeated; a task counts as often as it occurs"
        )
        findings.append(Finding("duplicate", message, "warning", (most,)))
    return findings


def _conflicts(split: Split, tasks: Sequence[Task]) -> list[Finding]:
    answers: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for task in tasks:
        if task.answer is not None:
            answers[prompt_text(task), repr(task.info)][repr(task.answer)] = task.id
    torn = [tuple(found.values()) for found in answers.values() if len(found) > 1]
    if not torn:
        return []
    message = f"{len(torn)} prompts of split {split!r} have several answers; the prompt does not say which is right"
    return [Finding("conflict", message, "warning", torn[0][:3])]


def _leaks(split: Split, tasks: Sequence[Task]) -> list[Finding]:
    eligible = [task for task in tasks if len(answer_text(task.answer)) >= SHORT and not _offers(task)]
    leaking = [task for task in eligible if holds(_told(task), answer_text(task.answer))]
    if not leaking:
        return []
    usual = len(leaking) > len(eligible) / 2
    message = (
        f"the prompt contains the answer in {len(leaking)} of {len(eligible)} tasks of split {split!r} "
        f"(not counting answers under {SHORT} characters and multiple choice)"
    )
    shown = tuple(task.id for task in leaking[:3])
    return [Finding("leak", message, "error" if usual else "warning", shown, answer_text(leaking[0].answer))]


def _offers(task: Task) -> bool:
    """Whether the prompt lists options, one of which is the answer."""
    options: Any = task.info.get("options", task.info.get("choices"))
    lines = [line.strip().lower() for line in prompt_text(task).splitlines()]
    marked = sum(line[:2] in ("a.", "b.", "a)", "b)", "(a", "(b") for line in lines)
    answer = re.escape(answer_text(task.answer))
    among = rf"(?:[,/]|\bor\b)\W{{0,3}}{answer}\b|\b{answer}\W{{0,3}}(?:[,/]|\bor\b)"
    return bool(options) or marked >= 2 or bool(re.search(among, prompt_text(task), re.IGNORECASE))


def _overlap(draws: Mapping[Split, Draw]) -> list[Finding]:
    train, test = (draws[split].tasks if split in draws else [] for split in ("train", "test"))
    shared = {task.hash: task.id for task in train}.keys() & {task.hash for task in test}
    if not shared:
        return []
    named = tuple(sorted(task.id for task in test if task.hash in shared)[:3])
    asked = any(task.answer is not None for task in test)
    message = f"{len(shared)} tasks are in both train and test; held-out tasks must never be trained on"
    return [Finding("overlap", message, "error" if asked else "warning", named)]
