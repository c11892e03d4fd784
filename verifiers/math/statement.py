r"""Answers that a text states outside boxes: ``<answer>…</answer>``, "the answer is …", or its last values.

Several values joined by "and", "or" or a comma are one list, so that naming several never pays for one of them.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from .notation.markup import without_markdown
from .notation.names import KNOWN
from .notation.plain import to_plain, without_delimiters
from .quantity import NUMERAL, read_quantity
from .units import canonical_unit, is_known

PERCENT = re.compile(r"\s*\$?\s*(?:\\?%|per ?cent(?:age)?\b|pct\b)")
"""A percent sign after an answer."""

_NUMBER = rf"[-−]?\$?[-−]?(?>{NUMERAL})(?:\s?/\s?\d+)?(?:\s?\\?%)?"
_NUMBERS = re.compile(rf"(?<![\w.\-]){_NUMBER}", re.ASCII)
_FORMULAS = re.compile(r"\$\$.+?\$\$|\$(?:\\.|[^$\\])+\$|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL)
_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_NOUN = r"(?:answers?|ans|results?|solutions?|(?:correct|right)\s+(?:option|choice))"
_MARK = re.compile(
    rf"\b(?P<final>final\s+)?{_NOUN}\b(?:\s+(?:to|of|for)\s+[^.:\n]{{1,60}}?)?"
    r"(?:\s+(?:is|are)\b\s*:?|\s*(?:[:=]+|→)|[ \t]*\n)\s*"
    r"(?:(?:therefore|thus|then|simply|just|equal to|given by|either|about|approximately|exactly)\b[\s,:]*)?[\"']?",
    re.IGNORECASE,
)
_LEAD_IN = re.compile(rf"^.*(?:{_NOUN})\s*(?:is|are|:|=)+\s*:?\s*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)(?!\s*or\b)")
_DENIED = re.compile(
    r"(?:\b(?:not|cannot\s+be|never|rather\s+than|anything\s+but|instead\s+of)|n't)(?:\s+be)?(?:\s+equal\s+to)?[\s:$*\"'(]*$",
    re.IGNORECASE,
)
_REJECTED = re.compile(r"[\s$*\"')]*(?:is|was|are|would\s+be)\s+(?:too|wrong|incorrect|not)\b", re.IGNORECASE)
"""Words before or after a value that say that it is not the answer."""
_RETRACTION = re.compile(
    r"\b(?:wait|no,|not quite|actually|correction|sorry|mistake|wrong|I mean|or rather|instead|alternatively|on second"
    r" thought|hmm|maybe|perhaps|possibly|could also be)\b",
    re.IGNORECASE,
)
_CONNECTIVE = re.compile(
    r"(?:[\s$,;.&(]|\\[()\[\],;! ]|\\q?quad|\\(?:text|mathrm)\{[\s,]*(?:and|or)?[\s,]*\}"
    r"|\b(?:and|or|also|as well as|together with|either|both|maybe|perhaps|possibly|else|it is)\b"
    r"|/|(?<=\n)\s*(?:[-*•]|\d[.)])\s"
    r"|(?:\\[A-Za-z]+|\b[A-Za-z])(?:_(?:\w|\{\w+\}))?\s*=)*"
)
_NOUN_BETWEEN = re.compile(r"[\s$]*[A-Za-z]{2,15}[\s$]*,?\s*\b(?:and|or)\b[\s$]*")
"""``\\boxed{1} papers and \\boxed{2} bins``."""
_JOINS = re.compile(
    r"[,;&/]|\b(?:and|or|also|as well as|together with|maybe|perhaps|possibly)\b|^\s*[-*•]", re.MULTILINE
)
_VALUE = re.compile(
    r"[$\\(\[\s]*(?:\\?[A-Za-z]+(?:_(?:\w|\{\w+\}))?(?:\(\w\))?|\([^()]*\))\s*(?:=|\\approx)|[^=]*$", re.DOTALL
)
"""A value with or without a name; another equation is a step on the way to it."""
_ALTERNATIVE = re.compile(r"[^.\n]{0,40}?\b(?:or|alternatively|maybe|perhaps|possibly)\b[^.\n\d]{0,30}")
_BEFORE = re.compile(
    r"\b(?:or|alternatively|maybe|perhaps|possibly)\b\W*(?:the\s+|my\s+)?(?:final\s+|correct\s+)?$", re.IGNORECASE
)
_CHOICES = re.compile(r"\(?\b[A-J]\b\)?")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_SMALL_WORDS = frozenset(
    ("is", "it", "so", "we", "to", "of", "at", "on", "by", "as", "be", "an", "no", "if", "my", "me", "up", "he")
)
_TEXT = re.compile(r"\\(?:text|mathrm|operatorname)\s*\{[^{}]*\}")
_MAX_VALUES = 64


def is_joined(gap: str) -> bool:
    """Return whether the text between two values joins them to one list: only "and", commas, names, one noun."""
    return len(gap) < 80 and bool(_CONNECTIVE.fullmatch(gap) or _NOUN_BETWEEN.fullmatch(gap))


def last_tags(text: str) -> tuple[int, int, tuple[str, ...]]:
    """Return where the last closed ``<answer>`` starts and ends, and its content and those joined to it."""
    tags = [tag for tag in _TAG.finditer(text) if tag[1].strip()]
    group = tags[-1:]
    for tag in reversed(tags[-_MAX_VALUES:-1]):
        if not _is_list(text[tag.end() : group[0].start()]):
            break
        group.insert(0, tag)
    contents = dict.fromkeys(without_markdown(tag[1]).strip() for tag in group)
    return (group[-1].start(), group[-1].end(), tuple(contents)) if group else (-1, -1, ())


def commitments(text: str, numeric: bool, kinds: Sequence[str], final: bool) -> tuple[int, str]:
    """Return where the last "the answer is" starts, and the values that directly follow it; empty if there is none.

    Args:
        text: the end of a reply.
        numeric: whether numbers are expected.
        kinds: what may be an answer: ``latex`` formulas, ``expr`` plain text.
        final: whether only mathematics counts as an answer, because another one was found.
    """
    text = without_markdown(text)
    start, stated = -1, ""
    for mark in reversed(list(_MARK.finditer(text))[-_MAX_VALUES:]):
        rest = text[mark.end() :]
        value, end = _leading_values(rest, numeric, kinds, final)
        if not value:
            continue
        if stated:  # "the answer is 5, or the answer is 6"
            return start, f"{value}, {stated}"
        if retraction := _RETRACTION.search(rest, end):
            others = [match[0] for match in _values(rest[retraction.end() :], kinds)]
            others += _CHOICES.findall(rest[retraction.end() :]) if _CHOICES.fullmatch(value) else []
            value = ", ".join([value, *map(without_delimiters, others[:1])])
        start, stated = mark.start(), value
        if not offers_alternative(text[:start]):
            break
    return start, stated


def offers_alternative(before: str) -> bool:
    """Return whether the text before a commitment makes it one of several: "or", "alternatively", "maybe"."""
    return bool(_BEFORE.search(before[-60:]))


def last_statement(text: str, numeric: bool, kinds: Sequence[str]) -> str:
    """Return the answer at the end of ``text``: its last line if it is a number, else its last formulas or numbers."""
    text = without_markdown(text)
    lines = text.strip().splitlines()
    line = _LEAD_IN.sub("", lines[-1]).strip().removesuffix(".") if lines else ""
    if read_quantity(line) is not None:
        return line
    formulas = _claimed(text, _FORMULAS) if "latex" in kinds else []
    numbers = _claimed(text, _NUMBERS)
    if formulas and not (numeric and numbers and numbers[-1].start() > formulas[-1].end()):
        return _joined(text, _last_group(text, formulas, _is_list))
    if numeric:
        return _joined(text, _last_group(text, numbers, _is_alternative))
    return line


def _claimed(text: str, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """Return the formulas or numbers in ``text``, without those that it says are not the answer."""
    return [
        value
        for value in pattern.finditer(text)
        if not (_DENIED.search(text[max(0, value.start() - 40) : value.start()]) or _REJECTED.match(text, value.end()))
    ]


def is_mathematical(text: str) -> bool:
    """Return whether ``text`` is one answer in plain text or LaTeX, without words that only prose has."""
    words = _WORD.findall(_TEXT.sub(" ", text))
    return bool(text.strip()) and all(_is_mathematical_word(word) for word in words)


def _is_mathematical_word(word: str) -> bool:
    if word in KNOWN or word in ("and", "or") or word.isupper() or is_known(canonical_unit(word.lower())):
        return True
    return len(word) == 2 and word.lower() not in _SMALL_WORDS


def _leading_values(text: str, numeric: bool, kinds: Sequence[str], final: bool) -> tuple[str, int]:
    """Return the answer with which ``text`` begins and where it ends; empty if it begins with something else."""
    end = _SENTENCE_END.search(text + "\n")
    stop = min(end.start() if end else len(text), (text + "\n").index("\n"))
    sentence = text[:stop].strip(" \t\"'")
    formula = any(mark in sentence for mark in ("$", r"\(", r"\["))
    if not formula and is_mathematical(sentence) and "expr" in kinds and (not numeric or re.search(r"\d", sentence)):
        return sentence, stop
    group: list[re.Match[str]] = []
    for value in _values(text, kinds):
        gap = text[group[-1].end() if group else 0 : value.start()]
        if not (_is_alternative(gap) if group else not gap.strip(" \t\n\"'(")):
            break
        group.append(value)
    if group:
        return _joined(text, group), group[-1].end()
    if not final and not numeric and not formula and 0 < len(sentence.split()) <= 4:
        return sentence, stop
    return "", 0


def _values(text: str, kinds: Sequence[str]) -> Iterator[re.Match[str]]:
    """Yield the formulas and the numbers outside formulas in ``text``, in their order."""
    place = 0
    for _ in range(_MAX_VALUES):
        formula = _FORMULAS.search(text, place) if "latex" in kinds else None
        number = _NUMBERS.search(text, place)
        if formula and not ("\\" in formula[0] or is_mathematical(formula[0])):
            formula = None  # two prices with prose between them
        found = min(filter(None, (formula, number)), key=lambda match: match.start(), default=None)
        if found is None:
            return
        yield found
        place = found.end()


def _last_group(text: str, values: list[re.Match[str]], joins: Callable[[str], bool]) -> list[re.Match[str]]:
    """Return the last of ``values`` and those before it that are joined to it."""
    group = values[-1:]
    for value in reversed(values[-_MAX_VALUES:-1]):
        if not joins(text[value.end() : group[0].start()]) or not _VALUE.match(value[0]):
            break
        group.insert(0, value)
    return group


def _joined(text: str, group: list[re.Match[str]]) -> str:
    """Return the values of ``group`` as one list; a percent sign after the last one belongs to it."""
    values = [value[0] for value in group]
    if group and PERCENT.match(text, group[-1].end()) and not values[-1].endswith("%"):
        values[-1] = to_plain(values[-1]) + r"\%"
    return ", ".join(map(without_delimiters, values)) if len(values) > 1 else "".join(values)


def _is_list(gap: str) -> bool:
    """Return whether a connective joins two formulas; formulas on two lines or in two sentences are steps."""
    return is_joined(gap) and bool(_JOINS.search(gap))


def _is_alternative(gap: str) -> bool:
    return is_joined(gap) or bool(_ALTERNATIVE.fullmatch(gap))
