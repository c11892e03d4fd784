"""Expected answers as datasets have them: text, numbers, whole solutions and lists, read or refused with the reason."""

import math
import re
from functools import lru_cache
from typing import Any

from ..errors import DataError
from .extraction import expected_answer, find_answers
from .notation.plain import MAX_LENGTH, to_plain
from .statement import is_mathematical

_MISSING = frozenset(("nan", "null", "n/a", "na", "<na>", "none.", "undefined.", "unknown", "?", "tbd"))
"""Texts that stand for a missing value in tables."""
_MAX_PROSE = 12
"""Words after which an unmarked text without a stated answer is a solution, not an answer."""
_OPERATOR_END = re.compile(r"(?:[*/=^_<]|\\(?:cdot|times|frac|sqrt|le|ge|ne|pm|text))\s*$")
_STATES = re.compile(r"\b(?:answer|result|solution)s?\s+(?:is|are)\b|\banswer\s*:", re.IGNORECASE)
_ESCAPED = re.compile(r"\\[{}$%&#_\\]")
_WRITTEN_LIST = re.compile(r"""\[\s*(['"])(?P<only>(?:(?!\1).)*)\1\s*\]""", re.DOTALL)
"""A list of one text, as Python or JSON writes it."""
_WRITTEN_TEXTS = re.compile(r"""\[\s*(['"]).*\1\s*\]""", re.DOTALL)
_MARKED_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textbf|operatorname)\s*\{[^{}]*\}")


def read_gold(value: Any) -> str:
    r"""Return the answer in a dataset's field, ready to be compared.

    The field may be a number, a text, a list with one of them, or a solution that gives its answer in ``\boxed{…}``,
    after ``####``, or after "the answer is".

    Raises:
        DataError: the field holds no answer that anybody could match; the message says why.
    """
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, list | tuple):
        raise DataError(f"the task's answer is a list of {len(value)}: {value!r:.80}; write one text, such as '1, 2'")
    if value is None or isinstance(value, bool | dict) or not isinstance(value, str | int | float):
        raise DataError(f"the task has no answer to compare with, found {value!r:.80}; repair the dataset")
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"the task's answer is {value}, as tables have for missing values; repair the dataset")
    return _read_text(str(value))


@lru_cache(maxsize=1024)
def _read_text(field: str) -> str:
    if field.isdecimal():
        return field
    if written := _WRITTEN_LIST.fullmatch(field.strip()):
        field = written["only"]
    elif _WRITTEN_TEXTS.fullmatch(field.strip()):
        raise DataError(f"the task's answer is a list of several: {field:.80}; write one text, such as '1, 2'")
    text = expected_answer(field)
    if _is_prose(text):
        text = _stated(text)
    if not text or text.strip().lower() in _MISSING or text.strip() == "None" or not to_plain(text).strip(". "):
        raise DataError(f"the task has no answer to compare with, found {field!r:.80}; repair the dataset")
    if problem := _why_broken(text):
        raise DataError(f"the task's answer is not mathematics, because {problem}: {text!r:.80}; repair the dataset")
    return text


def _is_prose(text: str) -> bool:
    """Return whether ``text`` is sentences around an answer, not an answer."""
    bare = _MARKED_TEXT.sub(" ", text)
    words = re.findall(r"(?<![\\A-Za-z])[A-Za-z]{2,}", re.sub(r"\$[^$]*\$", " ", bare))
    return len(words) > _MAX_PROSE or (len(words) >= 3 and "$" in bare) or bool(_STATES.search(bare))


def _stated(text: str) -> str:
    """Return the answer that a text states at its end, if it is one; the text itself if it is short."""
    stated = find_answers(text, ("last",), numeric=bool(re.search(r"\d", text)))
    answer = stated[-1] if stated else ""
    if answer and is_mathematical(answer):
        return answer
    if len(text.split()) <= _MAX_PROSE:
        return text
    raise DataError(
        f"the task's answer is a whole text that states no answer: {text[:80]!r}; give the answer alone, or in a box"
    )


def _why_broken(text: str) -> str:
    if len(text) > MAX_LENGTH:
        return f"it has {len(text)} characters, more than {MAX_LENGTH}"
    bare = _ESCAPED.sub(" ", text.replace("\\\\", "  "))
    depth = 0
    for sign in bare:
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            break
    if depth:
        return "its braces do not match"
    if bare.count("(") > bare.count(")") + bare.count("]"):
        return "a bracket does not close"
    if bare.count(r"\begin") != bare.count(r"\end"):
        return r"a \begin has no \end"
    if _OPERATOR_END.search(to_plain(text)):
        return "it ends with an operator"
    return ""
