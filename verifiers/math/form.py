r"""Form of an answer: whether it is evaluated as far as the expected one, or only restates the question.

``\sum_{i=1}^{100} i`` equals 5050, but whoever writes it has not added anything. The form of the expected answer
decides: operations that it does not have, and arithmetic of numbers that it has carried out, must not be in the answer.
"""

import math
import re

from .collection import read_chain, read_collection, split
from .literal import has_letters
from .notation import to_plain

_OPERATORS = {
    "a sum": r"\\sum(?![a-z])",
    "a product": r"\\prod(?![a-z])",
    "an integral": r"\\i*int(?![a-z])|\\oint",
    "a limit": r"\\lim(?![a-z])",
    "a determinant": r"\\det(?![a-z])|\\begin\s*\{vmatrix\}",
    "a derivative": r"\\frac\s*\{\s*(?:d|\\partial)\s*(?:\^[^{}]*|\^\{\d+\})?[^{}]{0,40}\}\s*"
    r"\{\s*(?:d|\\partial)\s*[A-Za-z]|\bd\s*/\s*d[a-z]\b|\\nabla",
}
_OF_NUMBERS = {
    "a factorial or binomial": r"!|\\binom(?![a-z])",
    "a rounding": r"\\lfloor|\\lceil",
    "a greatest divisor, multiple or remainder": r"\\(?:gcd|lcm|bmod|mod)(?![a-z])",
    "a maximum or minimum": r"\\(?:max|min|sup|inf)(?![a-z])",
}
"""Operations that are an answer about variables, but are carried out for numbers."""

_LITERAL = r"(?:\\frac\{-?\d+\}\{-?\d+\}|\d+(?:\.\d+)?(?:/\d+)?)"
_ALONE = r"(?!\s*(?:[\^_!A-Za-z\\({\d.*]|/))"
_FACTOR = rf"(?:{_LITERAL}|\d+\^(?:\d|\{{\d+\}}))"
_NUMERIC_PRODUCT = re.compile(
    rf"(?<![\d.^_{{]){_FACTOR}\s*(?:\\times|\\cdot|\*)\s*(?!10\s*\^){_FACTOR}(?!\s*[\d.^A-Za-z])"
    rf"|\(\s*-?{_LITERAL}\s*\)\s*(?:\\times|\\cdot|\*)?\s*\(\s*-?{_LITERAL}\s*\)"
)
_NUMERIC_SUM = re.compile(rf"(?<![\d.^_{{A-Za-z\\/]){_LITERAL}\s*[-+]\s*{_LITERAL}{_ALONE}")
_SMALL_SUM = re.compile(r"\(?\s*\d\s*[-+]\s*\d\s*\)?")
"""The sum of two digits is read at sight."""

_SUM_FACTOR = re.compile(r"\((?P<inner>[^()]*)\)(?:\s*\^\s*(?:\d|\{\d+\}))?")
_OPERATION = re.compile(r"[-+*/^!|]|\\(?!pi(?![a-z])|infty|text)[A-Za-z]+")
_SQUASHED = re.compile(r"\\left|\\right|\\displaystyle|\\[,;!: ]|[\s$]|\\[()\[\]]")
_FRACTION = re.compile(r"-?(?:\\frac(?:\{(\d+)\}\{(\d+)\}|(\d)(\d))|(\d+)/(\d+))")


def why_unevaluated(gold: str, answer: str, prompt: str = "") -> str:
    """Return what an answer, which equals ``gold``, leaves to do, such as "a sum"; empty if nothing.

    Args:
        gold: the expected answer, as raw text.
        answer: the given answer, as raw text.
        prompt: the question; an answer that is only its expression restates it.
    """
    if restates(gold, answer, prompt):
        return "the question's own expression"
    expected, found = to_plain(gold), " , ".join(_values(to_plain(answer)))
    if "".join(found.split()) == "".join(expected.split()):
        return ""
    operators = dict(_OPERATORS)
    if not has_letters(_value(expected)):
        operators |= _OF_NUMBERS
    for name, pattern in operators.items():
        if re.search(pattern, found) and not re.search(pattern, expected):
            return name
    if has_letters(_value(expected)):
        return _why_not_factored(_value(expected), found)
    if _NUMERIC_PRODUCT.search(found) and not _NUMERIC_PRODUCT.search(expected):
        return "a product of numbers"
    return "a sum of numbers" if _has_sum(found) and not _has_sum(expected) else ""


def restates(gold: str, answer: str, prompt: str) -> bool:
    """Return whether ``answer`` is an expression that stands in ``prompt``, and ``gold`` has another form."""
    expected, found = _squash(gold), _squash(answer)
    if not prompt or not _OPERATION.search(found.lstrip("-")) or _is_reduced(found):
        return False
    if found in expected or sorted(found) == sorted(expected):
        return False
    asked = _squash(prompt)
    around = rf"(?<![\d.^_*/+\-\\]){re.escape(found)}(?![\d^_*/+\-]|\.\d)"
    return bool(re.search(around, asked)) and expected not in asked


def _is_reduced(text: str) -> bool:
    """Return whether ``text`` is a fraction in lowest terms, which nobody can evaluate further."""
    match = _FRACTION.fullmatch(text)
    if match is None:
        return False
    top, bottom = (int(part) for part in match.groups() if part is not None)
    return bottom > 1 and math.gcd(top, bottom) == 1


def _why_not_factored(gold: str, answer: str) -> str:
    """Return what is missing if ``gold`` is a product of sums, or is reduced, and ``answer`` is not."""
    if _is_factored(gold) and len(split(_signed(answer), "+")) > 1:
        return "an expanded product"
    if has_letters(gold) and not _has_quotient_of_sums(gold) and _has_quotient_of_sums(answer):
        return "a fraction that can be reduced"
    return ""


def _is_factored(text: str) -> bool:
    """Return whether ``text`` is a product with at least two sums of variables as factors, or a power of one."""
    sums = [
        match
        for match in _SUM_FACTOR.finditer(text)
        if re.search(r".[-+]", match["inner"]) and has_letters(match["inner"])
    ]
    rest = _SUM_FACTOR.sub("", text)
    if not sums or re.search(r"[-+=<>/,|\\]", rest.strip().removeprefix("-")):
        return False
    return len(sums) > 1 or "^" in sums[0][0].removeprefix(f"({sums[0]['inner']})")


def _has_quotient_of_sums(text: str) -> bool:
    bottoms = re.findall(r"\\frac\{(?:[^{}]|\{[^{}]*\})*\}\{((?:[^{}]|\{[^{}]*\})*)\}|/\s*\(([^()]*)\)", text)
    return any(re.search(r".[-+]", part) and has_letters(part) for pair in bottoms for part in pair if part)


def _has_sum(text: str) -> bool:
    return bool(_NUMERIC_SUM.search(text)) and not _SMALL_SUM.fullmatch(text.strip())


def _values(text: str) -> list[str]:
    """Return the parts of an answer, each without the name or the computation before its last equals sign."""
    collection = read_collection(text)
    return [_value(item) for item in (collection.items if collection else (text,))]


def _value(text: str) -> str:
    chain = read_chain(text)
    return chain.sides[-1] if chain and not chain.member else text


def _signed(text: str) -> str:
    """Return ``text`` with ``+-`` for each minus sign, so that a sum can be split at plus signs."""
    return re.sub(r"(?<=[^\s({^+*/-])\s*-", "+-", text)


def _squash(text: str) -> str:
    text = (
        re.sub(r"\\[dt]frac", r"\\frac", _SQUASHED.sub("", text))
        .replace(r"\cdot", "*")
        .replace(r"\times", "*")
        .replace("×", "*")
    )
    return text.replace("**", "^").rstrip(".,;")
