r"""Form of an answer: whether it is evaluated as far as the expected one, or only restates the question.

``\sum_{i=1}^{100} i`` equals 5050, but whoever writes it has not added anything. The form of the expected answer
decides: operations that it does not have, and arithmetic of numbers that it has carried out, must not be in the answer.
"""

import math
import re

from .collection import has_relation, read_chain, read_collection, split, without_point
from .literal import has_letters
from .notation.plain import to_plain, without_spaces
from .quantity import read_quantity
from .units import split_unit

_MATRICES = "arithmetic of matrices"
_OPERATORS = {
    "a sum": r"\\sum(?![a-z])",
    "a product": r"\\prod(?![a-z])",
    "an integral": r"\\i*int(?![a-z])|\\oint",
    "a limit": r"\\lim(?![a-z])",
    "a determinant": r"\\det(?![a-z])|\\begin\s*\{vmatrix\}",
    _MATRICES: r"\\end\s*\{[pbB]matrix\}\s*(?:\^|\\times|\\cdot|[-+*]|\\begin)",
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
    rf"(?<![\d.^_])(?<!\^\{{){_FACTOR}\s*(?:\\times|\\cdot|\\div|\*)\s*(?!10\s*\^){_FACTOR}(?!\s*[\d.^A-Za-z])"
    rf"|(?:\(\s*-?{_LITERAL}\s*\)|(?<![\d.^_A-Za-z\\}}]){_LITERAL})\s*(?:\\times|\\cdot|\*)?\s*\(\s*-?{_LITERAL}\s*\)"
)
_NUMERIC_SUM = re.compile(rf"(?<![\d.^_{{A-Za-z\\/]){_LITERAL}\s*[-+]\s*{_LITERAL}{_ALONE}")
_POWER = r"\d+\^(?:\d|\{\d+\})"
_SUM_OF_POWERS = re.compile(
    rf"(?<![\d.^_{{A-Za-z\\/]){_POWER}\s*[-+]\s*{_POWER}|{_LITERAL}\)?\s*[-+]\s*\(\s*-{_LITERAL}\s*\)"
)
_EXPONENT = re.compile(r"\^(?:\{[^{}]*\}|\w)")
_INNER_SUM = re.compile(r"[{(|][^{}()|]*\d\s*[-+]\s*\d")
_SMALL_SUM = re.compile(r"\(?\s*\d\s*[-+]\s*\d\s*\)?")
"""The sum of two digits is read at sight."""

_VARIABLE = re.compile(r"(?<![\\A-Za-z⟨])[a-df-hj-zA-DF-HJ-Z](?![A-Za-z⟩])")
_SUM = re.compile(r".[-+]")
_MONOMIAL = re.compile(r"^[\sA-Za-z0-9^{}]+$")
_POLYNOMIAL = re.compile(r"(?:[\sA-Za-z0-9+*()-]|\^(?:\d|\{\d+\}))+")
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
    expected, found = to_plain(gold), " , ".join(_values(without_point(to_plain(answer))))
    if "".join(found.split()) == "".join(expected.split()):
        return ""
    operators = dict(_OPERATORS)
    if not has_letters(_value(expected)):
        operators |= _OF_NUMBERS
    for name, pattern in operators.items():
        repeated = name == _MATRICES and without_spaces(expected) in without_spaces(found)  # times the identity
        if re.search(pattern, found) and not re.search(pattern, expected) and not repeated:
            return name
    if has_letters(_value(expected)):
        return _why_not_factored(_value(expected), found)
    if not has_letters(expected) and "⟨" not in expected and _has_variable(found):
        return "a variable"
    if _NUMERIC_PRODUCT.search(found) and not _NUMERIC_PRODUCT.search(expected):
        return "a product of numbers"
    rational = read_quantity(expected) is not None
    return "a sum of numbers" if _has_sum(found, rational) and not _has_sum(expected, rational) else ""


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


def without_question(answer: str, prompt: str) -> str:
    """Return ``answer`` without "m+n =" before its value, if ``prompt`` asks for m+n and does not give it."""
    left, _, value = answer.partition("=")
    asked = _squash(left) if value and prompt else ""
    if not _OPERATION.search(asked) or not re.search(r"[A-Za-z]", asked):
        return answer
    written = r"\s*".join(map(re.escape, asked))
    stands = rf"(?<![\w^+*/=<>-]){written}(?![\w^+*/-])(?!\s*[=<>])"
    return value if re.search(stands, prompt.replace("$", " ")) else answer


def is_undivided(gold: str, answer: str) -> bool:
    """Return whether a whole number is expected, and the answer is a fraction of two that can be divided."""
    match = _FRACTION.fullmatch(_squash(answer))
    if match is None or _FRACTION.fullmatch(_squash(gold)):
        return False
    top, bottom = (int(part) for part in match.groups() if part is not None)
    return bottom > 1 and top % bottom == 0


def _is_reduced(text: str) -> bool:
    """Return whether ``text`` is a fraction in lowest terms, which nobody can evaluate further."""
    match = _FRACTION.fullmatch(text)
    if match is None:
        return False
    top, bottom = (int(part) for part in match.groups() if part is not None)
    return bottom > 1 and math.gcd(top, bottom) == 1


def _why_not_factored(gold: str, answer: str) -> str:
    """Return what is missing if ``gold`` is a product of sums, or is reduced, and ``answer`` is not."""
    if re.search(_OF_NUMBERS["a factorial or binomial"], gold):
        return ""  # a quotient of factorials is another way to write it
    if _is_factored(gold) and len(split(_signed(answer), "+")) > 1:
        return "an expanded product"
    if not _has_quotient(gold, _SUM) and _has_quotient(answer, _SUM):
        return "a fraction that can be reduced"
    if _POLYNOMIAL.fullmatch(gold) and _has_quotient(answer, _MONOMIAL):
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


def _has_quotient(text: str, kind: re.Pattern[str]) -> bool:
    """Return whether a fraction has a denominator of this kind with variables."""
    bottoms = re.findall(r"\\frac\{(?:[^{}]|\{[^{}]*\})*\}\{((?:[^{}]|\{[^{}]*\})*)\}|/\s*\(([^()]*)\)", text)
    bottoms += [(bottom, "") for bottom in re.findall(r"/\s*([A-Za-z])(?![A-Za-z])", text)]
    return any(kind.search(part) and has_letters(part) for pair in bottoms for part in pair if part)


def _has_variable(text: str) -> bool:
    """Return whether a formula has a variable; units and relations are not formulas."""
    return bool(_VARIABLE.search(text)) and not (split_unit(text)[1] or has_relation(text) or r"\in" in text)


def _has_sum(text: str, inside: bool) -> bool:
    """Return whether numbers are added, also ``inside`` roots and fractions; 2^{10}-1 is finished."""
    if _SMALL_SUM.fullmatch(text.strip()):
        return False
    inner = inside and _INNER_SUM.search(_EXPONENT.sub("", text))
    return bool(_NUMERIC_SUM.search(text) or _SUM_OF_POWERS.search(text) or inner)


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
