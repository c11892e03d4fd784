"""Extraction of the final answer from a text: in a box, after ``####``, or at its end."""

import re
from collections.abc import Callable, Sequence

from .notation import to_plain
from .quantity import NUMERAL, read_quantity

WAYS = ("boxed", "hash", "last")
"""Extraction methods, in the order in which they are tried."""

MAX_ANSWER = 2000
"""Longest answer, in characters, that is given to math-verify."""
MAX_BOXES = 8

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_HASH = re.compile(r"####[ \t]*(.+)")
_NUMBER = rf"[-−]?\$?[-−]?(?>{NUMERAL})(?:\s?/\s?\d+)?(?:\s?\\?%)?"
_LAST_NUMBER = re.compile(rf"(?<![\w.\-]){_NUMBER}", re.ASCII)
_FORMULA = re.compile(r"\$\$.+?\$\$|\$(?:\\.|[^$\\])+\$|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL)
_LEAD_IN = re.compile(r"^.*(?:answer|result|solution)\s*(?:is|:|=)+\s*:?\s*", re.IGNORECASE)
_FINALLY = re.compile(r"final answer is:?\s*[\"'\\]{0,3}(?=[$\\\d-])", re.IGNORECASE)
_HEDGE = re.compile(
    rf"({_NUMBER})\s*,?\s+or\s+(?:maybe\s+|perhaps\s+|possibly\s+|else\s+|it is\s+)*({_NUMBER})\W*$", re.ASCII
)
_PERCENT = re.compile(r"\s*\$?\s*(?:\\?%|percent\b|pct\b)")
_CONNECTIVE = re.compile(
    r"(?:[\s$,;.&]|\\[()\[\],;! ]|\\q?quad|\\(?:text|mathrm)\{[\s,]*(?:and|or)?[\s,]*\}|\b(?:and|or|also)\b"
    r"|[A-Za-z](?:_(?:\w|\{\w+\}))?\s*=)*"
)


def expected_answer(text: str) -> str:
    """Return the answer in a dataset's field: the content of its box, the text after ``####``, or the whole field."""
    if found := find_answer(text, ("boxed", "hash"), numeric=False):
        return found
    opened = list(_BOX.finditer(text))  # a truncated box contains the rest
    return (text[opened[-1].end() :] if opened else text).strip()


def find_answer(text: str, ways: Sequence[str], numeric: bool) -> str:
    """Return the final answer in ``text``, by the first of ``ways`` that finds one, else an empty string."""
    answers = find_answers(text, ways, numeric)
    return answers[-1] if answers else ""


def find_answers(
    text: str, ways: Sequence[str], numeric: bool, kinds: Sequence[str] = ("latex", "expr")
) -> tuple[str, ...]:
    """Return all final answers in ``text``, by the first way that finds any; more than one is a hedge."""
    readers: dict[str, Callable[[], tuple[str, ...]]] = {
        "boxed": lambda: boxed_answers(text),
        "hash": lambda: tuple(_HASH.findall(text)[-1:]),
        "last": lambda: (_last_answer(text[-MAX_ANSWER:], numeric, kinds),),
    }
    for way in ways:
        if answers := tuple(filter(None, (answer.strip() for answer in readers[way]()))):
            return answers
    return ()


def last_box(text: str) -> str:
    r"""Return the content of the last ``\boxed{…}`` whose braces are balanced, else an empty string."""
    boxes = _boxes(text, 1)
    return text[boxes[-1][1] : boxes[-1][2]] if boxes else ""


def boxed_answers(text: str) -> tuple[str, ...]:
    """Return the distinct contents of the boxes; boxes joined only by "and", a comma or a name form one list."""
    answers: dict[str, str] = {}
    joined, end = "", -1
    for start, inside, stop in _boxes(text, MAX_BOXES):
        content = _flatten_boxes(text[inside:stop]).strip()
        if percent := _PERCENT.match(text, stop + 1):
            content += r"\%" if read_quantity(content) else ""
        gap = text[end:start]
        if joined and len(gap) < 80 and _CONNECTIVE.fullmatch(gap):
            answers.pop(to_plain(joined), None)
            joined = joined if to_plain(content) == to_plain(joined) else f"{joined}, {content}"
        else:
            joined = content
        answers.pop(to_plain(joined), None)
        answers[to_plain(joined)] = joined
        end = percent.end() if percent else stop + 1
    return tuple(answers.values())


def _boxes(text: str, most: int) -> list[tuple[int, int, int]]:
    """Return (start, content start, content end) of the last ``most`` closed boxes, only the outermost if they nest."""
    found: list[tuple[int, int, int]] = []
    for match in reversed(list(_BOX.finditer(text))[-2 * MAX_BOXES :]):
        stop = _closing_brace(text, match.end())
        if stop is not None:
            while most > 1 and found and found[-1][2] < stop:  # a box around the one before
                found.pop()
            found.append((match.start(), match.end(), stop))
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


def _last_answer(text: str, numeric: bool, kinds: Sequence[str]) -> str:
    lines = text.strip().splitlines()
    line = _LEAD_IN.sub("", lines[-1]).strip().removesuffix(".") if lines else ""
    if read_quantity(line) is not None:
        return line
    if hedge := _HEDGE.search(line):
        return f"{hedge[1]} or {hedge[2]}"
    for finally_ in reversed(list(_FINALLY.finditer(text))):
        for pattern in (_FORMULA, _LAST_NUMBER):
            if stated := pattern.match(text, finally_.end()):
                return stated[0]
    formulas = list(_FORMULA.finditer(text)) if "latex" in kinds else []
    formula = formulas[-1] if formulas else None
    number = ([None, *_LAST_NUMBER.finditer(text)])[-1]
    if formula and not (numeric and number and number.start() > formula.end()):
        percent = _PERCENT.match(text, formula.end())
        return formula[0] if not percent else to_plain(formula[0]) + r"\%"
    if numeric:
        return number[0] if number else ""
    return line
