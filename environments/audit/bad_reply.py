"""Replies that must not pass, made from one that does: empty, echoed, cut, swapped, changed, hedged or hidden."""

import json
import random
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...verifiers.task import Task
from ...verifiers.text.think import split_reasoning

Script = tuple[str, ...]
"""A player's replies, turn by turn."""

HOSTILE = (
    "\\boxed{",
    '<tool_call>\n{"name": ',
    "{" * 2000,
    "9" * 5000,
    "```python\nwhile True",
    "nan",
    "-",
    "1/0",
    "\x00\u202e💥",
    "</think>",
)
"""Replies on which careless verifiers raise."""

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


class BadReply(NamedTuple):
    """A script that must not pass.

    Attributes:
        kind: the kind of finding if it passes.
        script: the replies.
        swapped: for a script with two answers, the same with the answers in the other order. One of the two orders may
            pass, because a verifier may take the last answer; both may not.
    """

    kind: str
    script: Script
    swapped: Script = ()


class Shown(NamedTuple):
    """A task with the script that solves it, and with the scripts of all agents."""

    task: Task
    script: Script
    cast: Mapping[str, Script] = {}


def bad_replies(shown: Shown, others: Sequence[Shown]) -> Iterator[BadReply]:
    """Replies that are wrong for ``shown``, as far as text alone can tell.

    Args:
        shown: a task and its perfect script.
        others: other tasks; the first with another script and another answer lends its script.
    """
    task, script = shown.task, shown.script
    if any(said.strip() for said in script):
        yield BadReply("empty", ("",) * len(script))
        yield BadReply("empty", (" \n",) * len(script))
    yield BadReply("echo", (prompt_text(task),) * len(script))
    answers = [split_reasoning(said)[1] or said for said in script]  # a </think> in them would end the reasoning
    yield BadReply("in_think", tuple(f"<think>\n{said}\n</think>" for said in answers))
    if not any("<tool_call" in said or "<function" in said for said in script):  # a call ends reasoning left open
        yield BadReply("in_think", tuple(f"<think>\n{said}" for said in answers))
    if len(script) == 1 and (cut := truncated(script[0], answer_text(task.answer))):
        yield BadReply("truncated", (cut,))
    for other in others:
        if other.script != script and not _same(other.task.answer, task.answer):
            yield BadReply("shuffled", other.script)
            break
    yield from _changed(script, answer_text(task.answer))


def _changed(script: Script, answer: str) -> Iterator[BadReply]:
    """The script with other answers instead of the right one, or next to it."""
    *before, last = script
    found = list(_standing(answer).finditer(last)) if answer else []
    if not found:
        return
    wrongs = wrong_answers(answer)
    changed = [_standing(answer).sub(wrong.replace("\\", r"\\"), last) for wrong in wrongs]
    for said in changed:
        yield BadReply("mutated", (*before, said))
    for wrong, said in zip(wrongs[:1], changed[:1], strict=True):
        start, end = found[-1].span()
        orders = [last[:start] + both + last[end:] for both in (f"{answer} or {wrong}", f"{wrong} or {answer}")]
        yield BadReply("hedged", (*before, orders[0]), (*before, orders[1]))
        yield BadReply("hedged", (*before, f"{last}\n\nor\n\n{said}"), (*before, f"{said}\n\nor\n\n{last}"))


def wrong_answers(answer: str) -> list[str]:
    """Wrong answers close to ``answer``: with a changed digit or letter, one more digit, the other sign, or negated."""
    wrongs = []
    if _NUMBER.fullmatch(answer):
        place = next(number for number, char in enumerate(answer) if char.isdigit())
        place = next((number for number, char in enumerate(answer) if char in "123456789"), place)
        digit = int(answer[place])
        changed = str(digit + 1 if digit < 9 else 8)
        wrongs = [answer[:place] + changed + answer[place + 1 :]]
        if "." not in answer:
            wrongs.append(answer + "7")
        if float(answer):
            wrongs.append(answer.lstrip("-+") if answer.startswith("-") else f"-{answer.lstrip('+')}")
        return wrongs
    letters = [number for number, char in enumerate(answer) if char in string.ascii_letters]
    for place in letters[:1]:
        case = string.ascii_lowercase if answer[place].islower() else string.ascii_uppercase
        wrongs.append(answer[:place] + case[(case.index(answer[place]) + 1) % 26] + answer[place + 1 :])
    if len(answer) > 1 and answer.replace(" ", "").isalpha():
        wrongs.append(f"not {answer}")
    return wrongs


def truncated(reply: str, answer: str) -> str:
    """The first half of ``reply``; empty if it is blank, is the whole reply, or still contains the answer."""
    cut = reply[: len(reply) // 2].rstrip()
    if not cut or cut == reply.strip() or (answer and _standing(answer).search(cut)):
        return ""
    return cut


def random_reply(script: Script, rng: random.Random) -> Script:
    """Random characters, as many and of the same kinds as in ``script``."""

    def other(char: str) -> str:
        for kind in (string.digits, string.ascii_lowercase, string.ascii_uppercase):
            if char in kind:
                return rng.choice(kind)
        return char

    return tuple("".join(map(other, said[:2000])) for said in script)


def answer_text(answer: Any) -> str:
    """The answer as text if it is a short text or a number, else empty."""
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        return ""
    text = str(answer).strip()
    return text if len(text) <= 200 else ""


def prompt_text(task: Task) -> str:
    """The text of the task's prompt, without its system message."""
    return "\n".join(message["content"] for message in task.messages if message["role"] != "system")


def holds(text: str, answer: str) -> bool:
    """Whether ``text`` contains ``answer`` as a separate word."""
    return bool(_standing(answer).search(text))


def _standing(answer: str) -> re.Pattern[str]:
    return re.compile(rf"(?i)(?<!\w)(?<!\d[.,]){re.escape(answer)}(?!\w)(?![.,]\d)")


def _same(one: Any, other: Any) -> bool:
    """Whether two answers are equal and not None."""
    return one is not None and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
