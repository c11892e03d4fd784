"""Extraction of the final answer from a text: in boxes, after ``####``, in ``<answer>``, or stated at its end."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from .notation.plain import to_plain
from .quantity import read_quantity
from .statement import PERCENT, commitments, is_joined, last_statement, last_tags, offers_alternative

WAYS = ("boxed", "hash", "last")
"""Extraction methods; the one whose answer comes last in the text decides, the earlier one if both are the same."""

MAX_ANSWER = 2000
"""Longest answer, in characters, that is compared, and longest end of a text in which a statement is looked for."""
MAX_BOXES = 8

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_HASH = re.compile(r"####[ \t]*(.+)")
_PART = re.compile(r"(?:^|(?<=[\s,;.]))(?:\\text\{\s*)?(?:[Pp]art\s+)?\(?([a-h])[).:](?:\s*\})?\s*")
_FINAL = re.compile(r"\bfinal\s+(?:answer|result|solution)\b|\bthe\s+answer\s+is\b|\banswer\s*:", re.IGNORECASE)


class Box(NamedTuple):
    """A closed box: where it starts, and where its content starts and ends."""

    start: int
    inside: int
    stop: int


def expected_answer(text: str) -> str:
    """Return the answer in a dataset's field: the content of its box, the text after ``####``, or the whole field."""
    if found := find_answer(text, ("boxed", "hash"), numeric=False):
        return found
    opened = list(_BOX.finditer(text))  # a truncated box contains the rest
    return (text[opened[-1].end() :] if opened else text).strip()


def find_answer(text: str, ways: Sequence[str], numeric: bool) -> str:
    """Return the final answer in ``text``, by the last commitment that one of ``ways`` finds, else an empty string."""
    answers = find_answers(text, ways, numeric)
    return answers[-1] if answers else ""


def find_answers(
    text: str, ways: Sequence[str], numeric: bool, kinds: Sequence[str] = ("latex", "expr")
) -> tuple[str, ...]:
    """Return the final answers in ``text``; more than one is a hedge, or the answer to several parts.

    What follows the last commitment decides: a box, a ``####`` line, an ``<answer>`` or a stated final answer. Only
    without any of them, and if ``ways`` has ``last``, the end of the text is read.
    """
    found: list[tuple[int, tuple[str, ...]]] = []
    if "boxed" in ways and (boxes := boxed_answers(text)):
        found.append((list(_boxes(text, 1))[-1].start, boxes))
    if "hash" in ways and (lines := list(_HASH.finditer(text))):
        found.append((lines[-1].start(), (lines[-1][1],)))
    if "last" in ways:
        tail = max(0, len(text) - MAX_ANSWER)
        after = max((start for start, _ in found), default=-1) - tail
        boxed = bool(found)
        start, end, tagged = last_tags(text[tail:])
        if tagged and start > after and "\\boxed" not in "".join(tagged):
            found.append((start + tail, (", ".join(tagged),)))
        start, stated = commitments(text[tail:], numeric, kinds, final=boxed)
        if stated and start > after and not (tagged and start < end) and "\\boxed" not in stated:
            found.append((start + tail, (stated,)))
        if not found:
            found.append((0, (last_statement(text[tail:], numeric, kinds),)))
    answers = max(found, key=lambda one: one[0])[1] if found else ()
    return tuple(answer for answer in (answer.strip() for answer in answers) if answer)


def parts_of(answer: str) -> str:
    """Return the answer to parts (a), (b), … as a tuple of their answers; any other answer unchanged."""
    labels = list(_PART.finditer(answer))
    if len(labels) < 2 or labels[0].start() or "".join(label[1] for label in labels) != "abcdefgh"[: len(labels)]:
        return answer
    ends = [*(label.start() for label in labels[1:]), len(answer)]
    parts = [answer[label.end() : end].strip(" ,;.\n") for label, end in zip(labels, ends, strict=True)]
    return f"({', '.join(parts)})" if all(parts) else answer


def last_box(text: str) -> str:
    r"""Return the content of the last ``\boxed{…}`` whose braces are balanced, else an empty string."""
    boxes = _boxes(text, 1)
    return text[boxes[-1].inside : boxes[-1].stop] if boxes else ""


def boxed_answers(text: str) -> tuple[str, ...]:
    """Return the distinct contents of the boxes; boxes joined only by "and", a comma or a name form one list.

    Boxes before the last "the answer is" with a box are steps on the way to it, and do not count.
    """
    answers: dict[str, str] = {}
    joined, end = "", -1
    boxes = _boxes(text, MAX_BOXES)
    marks = [mark.start() for mark in _FINAL.finditer(text, 0, boxes[-1].start if boxes else 0)]
    for start, inside, stop in boxes:
        content = _flatten_boxes(text[inside:stop]).strip()
        if percent := PERCENT.match(text, stop + 1):
            content += r"\%" if read_quantity(content) else ""
        if marks and start < marks[-1] and not offers_alternative(text[: marks[-1]]):
            continue
        if joined and is_joined(text[end:start]):
            answers.pop(_key(joined), None)
            joined = joined if _key(content) == _key(joined) else f"{joined}, {content}"
        else:
            joined = content
        answers.pop(_key(joined), None)
        answers[_key(joined)] = joined
        end = percent.end() if percent else stop + 1
    return tuple(answers.values())


def _key(content: str) -> str:
    return to_plain(content).replace(" ", "")


def _boxes(text: str, most: int) -> list[Box]:
    """Return the last ``most`` closed boxes, only the outermost if they nest."""
    found: list[Box] = []
    for match in reversed(list(_BOX.finditer(text))[-2 * MAX_BOXES :]):
        stop = _closing_brace(text, match.end())
        if stop is not None:
            while most > 1 and found and found[-1].stop < stop:  # a box around the one before
                found.pop()
            found.append(Box(match.start(), match.end(), stop))
            if len(found) == most:
                break
    return found[::-1]


def _flatten_boxes(content: str) -> str:
    """Return the content of a box with nested boxes replaced by their content."""
    for _ in range(MAX_BOXES):
        inner = _BOX.search(content)
        stop = _closing_brace(content, inner.end()) if inner else None
        if inner is None or stop is None:
            break
        content = content[: inner.start()] + content[inner.end() : stop] + content[stop + 1 :]
    return content


def _closing_brace(text: str, start: int) -> int | None:
    """Return the position of the brace that closes the one before ``start``, or None."""
    depth = 1
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if not depth:
            return match.start()
    return None
