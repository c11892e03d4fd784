r"""Names without meaning for an answer: parameters (``k\in\mathbb{Z}``), arguments of functions, and free renaming."""

import re
from typing import NamedTuple

from .collection import Chain

_NAMES = re.compile(
    r"(?<![\\A-Za-z⟨])[A-DF-HJ-Za-df-hj-z](?![A-Za-z])|\\(?:alpha|beta|gamma|theta|lambda|phi)(?![a-z])"
)
_MORE_THAN_NAMES = re.compile(r"[\d+*/^=(|]|\\(?:frac|sqrt|sin|cos|tan|ln|log|exp)")
_ARGUMENT = re.compile(r"[A-Za-z]+\s*\(\s*([A-Za-z])\s*\)")
_FRESH = "w_{0}"
_FAMILY = re.compile(
    r"(?P<body>.+?)[\s,;(]*(?:⟨[\s,;(]*(?:where|for|with|for some|for all|for any)?\s*⟩\s*)?(?:\\forall\s*)?"
    r"(?P<name>[A-Za-z])\s*(?:\\in\s*\\mathbb\s*(?:\{\s*Z\s*\}|Z)|⟨\s*(?:is\s+)?(?:an\s+|any\s+)?integer\s*⟩)[\s).]*",
    re.DOTALL,
)

_QUANTIFIER = re.compile(
    r"(?P<body>.+?)[\s,;(]*(?:⟨[\s,;(]*(?:for\s+(?:all|any|every|each)|where)[^⟨⟩]*⟩|\\forall(?![a-z])"
    r"|\bfor\s+(?:all|any|every|each)\b(?:\s+real)?)"
    r"\s*[A-Za-z](?:_\w)?(?:\s*\\in\s*\\mathbb\{[RC]\}|⟨\s*(?:is|are)[^⟨⟩]*constants?\s*⟩)?[\s).]*",
    re.DOTALL,
)
"""``f(x)=x^2`` for all real x; ``e^x+C`` where C is a constant."""


class Family(NamedTuple):
    """An answer for every integer value of its parameter."""

    body: str
    name: str


def without_quantifier(text: str) -> str:
    """Return a formula in plain notation without "for all x" after it, if x is any number."""
    match = _QUANTIFIER.fullmatch(text) if r"\forall" in text or "for" in text or "where" in text else None
    return match["body"].strip() if match else text


def read_family(text: str) -> Family | None:
    """Return ``text``, in plain notation, as a family of answers, or None if it names no integer parameter."""
    if r"\mathbb" not in text and "integer" not in text:
        return None
    match = _FAMILY.fullmatch(text)
    return Family(match["body"].strip(), match["name"]) if match else None


def same_parameter(gold: str, answer: str) -> tuple[str, str] | None:
    """Return both bodies with the same name of the parameter, or None if neither is a family."""
    expected, found = read_family(gold), read_family(answer)
    if expected is None and found is None:
        return None
    body = found.body if found else answer
    if expected and found:
        body = rename(body, found.name, expected.name)
    return (expected.body if expected else gold), body


def value_for(expected: Chain, found: Chain) -> str:
    """Return the value of ``found``, with the argument of ``expected``: ``f(t)=t^2`` is the function ``f(x)=x^2``."""
    arguments = [match[1] if (match := _ARGUMENT.fullmatch(chain.name)) else "" for chain in (found, expected)]
    value, (old, new) = found.sides[-1], arguments
    if not (old and new) or old == new:
        return value
    return rename(rename(value, new, _FRESH), old, new)  # a free variable must not be taken for the argument


def rename(text: str, old: str, new: str) -> str:
    """Return ``text`` with another name of a variable, unchanged if the new name already occurs."""
    if old == new or re.search(rf"(?<![\\A-Za-z⟨]){re.escape(new)}(?![A-Za-z])", text):
        return text
    return re.sub(rf"(?<![\\A-Za-z⟨]){old}(?![A-Za-z])", new, text)


def renamed(gold: str, answer: str) -> str:
    """Return ``answer`` with the names of ``gold``, if each of its names stands for one name there.

    A name alone is an answer itself, such as a choice, so it keeps its name.
    """
    names, others = (list(dict.fromkeys(_NAMES.findall(text))) for text in (answer, gold))
    if names == others or len(names) != len(others) or not _MORE_THAN_NAMES.search(gold):
        return answer
    new = dict(zip(names, others, strict=True))
    return _NAMES.sub(lambda match: new[match[0]], answer)
