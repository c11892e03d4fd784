"""Normalisation of mathematics in LaTeX, Unicode or plain text to the plain notation in which answers are compared."""

import re
from functools import lru_cache

from .commands import expand_commands, with_written_base
from .markup import without_decoration
from .names import closing, upright_to_italic, with_backslashes
from .symbols import to_ascii

_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_DOUBLED = re.compile(r"\\\\(?=[A-Za-z]{2}|[{}%$])")
_THOUSANDS = re.compile(r"(?<=\d)\s*(?:\{\s*,\s*\}|,\\!)\s*(?=\d{3}(?!\d))")
_ZERO_COMMA = re.compile(r"(?<![\d.])0\s*\{\s*,\s*\}\s*(?=\d)")
_DECIMAL_COMMA = re.compile(r"(?<=\d)\s*\{\s*,\s*\}\s*(?=\d)")
_SPACED_COLON = re.compile(r"(?<![A-Za-z])\{\s*:\s*\}|\\colon(?![A-Za-z])|\\mathbin\s*\{\s*:\s*\}")
_RELATIONS = {"!=": r"\ne ", "<=": r"\le ", ">=": r"\ge ", "=<": r"\le "}
_RELATION = re.compile(r"(?<![\d)])!=|<=|>=|=<")
_EXPONENT = re.compile(r"\^\s*(?:([-+]\s*(?:\d+|[A-Za-z]|\\(?!frac|sqrt|log|ln)[A-Za-z]+\s*))|(\d{2,})(?!\d))")
_INDEX = re.compile(r"_(\d{2,})(?!\d)")
_POWER_OPENS = re.compile(r"\^\s*([-+]?)\s*\(")
_IDLE_SPACE = re.compile(r"(?<=[^\w\s]) | (?=[^\w\s])")
_LETTERS = re.compile(r"[A-Za-z]{2}")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)(?![A-Za-z])(?!\s+of\b)")
_OUTWARD = re.compile(r"(?:^|\\in|\\cup)\s*\]|\[\s*(?:\\cup|$)")
_OUTWARD_INTERVAL = re.compile(r"([\[\]])([^\[\],;]+[,;][^\[\],;]+)([\[\]])")
"""``]0,1[``, as in ISO 80000."""
_APOSTROPHES = re.compile(r"(?<![\w'.])\d{1,3}(?:'\d{3})+(?![\w'])")
"""Separators of thousands, as in Switzerland."""
_SCIENTIFIC = re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)")
_COMBINATIONS = re.compile(
    r"(?:\{\s*\}|(?<![\w)}]))\s*[\^_]\s*(?:\{(?P<n>\w+)\}|(?P<n1>\w))\s*C\s*_\s*(?:\{(?P<k>\w+)\}|(?P<k1>\w))"
    r"|(?<![A-Za-z\\⟨])C\s*_\s*(?:\{(?P<low>[a-z]|\d+)\}|(?P<low1>[a-z3-9]))\s*\^\s*(?:\{(?P<high>\w+)\}|(?P<high1>\w))"
    r"|(?<![A-Za-z\\⟨])C\s*\(\s*(?P<top>[a-z])\s*,\s*(?P<bottom>\w+)\s*\)"
)
r"""``{}_nC_k``, ``C_n^k`` and ``C(n, k)``; ``C(5, 2)`` may be a point."""
_MAX_POWERS = 20
MAX_LENGTH = 4000
"""Longest text, in characters, that is normalised."""


@lru_cache(maxsize=1024)
def to_plain(text: str) -> str:
    r"""Return ``text`` in plain notation: without delimiters, decoration and spacing, names with a backslash, as ASCII.

    The content of ``\text{…}`` is put in ``⟨…⟩``, to distinguish a unit from a product of variables.
    """
    if len(text) > MAX_LENGTH:
        return text.strip()
    text = without_delimiters(without_decoration(text))
    if "'" in text:
        text = _APOSTROPHES.sub(lambda match: match[0].replace("'", ""), text)
    if not text.isascii():
        text = to_ascii(text)
    if "\\" in text or "{" in text or "~" in text:
        text = _from_latex(text)
    if any(sign in text for sign in _RELATIONS):
        text = _RELATION.sub(lambda match: _RELATIONS[match[0]], text)
    if _LETTERS.search(text) or "U" in text or not text.isascii():
        text = with_backslashes(text)
        text = _ORDINAL.sub("", text)
    if "C" in text:
        text = _COMBINATIONS.sub(_binomial, text)
    if "_" in text or "base" in text:
        text = with_written_base(text)
    if "^" in text:
        text = _SCIENTIFIC.sub(r"\\times ", text)
    if ("[" in text or "]" in text) and _OUTWARD.search(text):
        text = _OUTWARD_INTERVAL.sub(_inward, text)
    if r"\mp" in text and r"\pm" not in text:
        text = text.replace(r"\mp", r"\pm")
    return _with_braces(text.replace("**", "^")).strip()


def without_delimiters(text: str) -> str:
    """Return ``text`` without the dollar signs or brackets that make it one formula."""
    for start, end in _DELIMITERS if text[:1] in ("$", "\\") else ():
        if len(text) > len(start + end) and text.startswith(start) and text.endswith(end):
            inner = text[len(start) : -len(end)]
            text = text if start in inner.replace(r"\$", "") else without_decoration(inner)
    return text


def without_spaces(text: str) -> str:
    """Return text in plain notation without the spaces that separate nothing: beside signs, and doubled ones."""
    return _IDLE_SPACE.sub("", " ".join(text.split()))


def to_latex(text: str) -> str:
    """Return LaTeX for text that ``to_plain`` returned."""
    text = text.replace("⟨degree⟩", r"^\circ ").replace("%", r"\%")
    return text.replace("⟨", r"\text{").replace("⟩", "}").replace("$", r"\$")


def _from_latex(text: str) -> str:
    if "\\\\" in text:
        text = _undouble(text)
    text = _DECIMAL_COMMA.sub(".", _THOUSANDS.sub("", _ZERO_COMMA.sub("0.", text)))
    return expand_commands(upright_to_italic(_SPACED_COLON.sub(":", text)))


def _undouble(text: str) -> str:
    """Return ``text`` without the backslashes that were escaped twice in JSON; the end of a matrix row stays."""
    if r"\begin" not in text:
        return _DOUBLED.sub(r"\\", text)
    return text.replace("\\\\", "\\") if r"\\begin" in text else text


def _inward(match: re.Match[str]) -> str:
    return f"{'[' if match[1] == '[' else '('}{match[2]}{']' if match[3] == ']' else ')'}"


def _binomial(match: re.Match[str]) -> str:
    top, bottom = (part for part in match.groups() if part is not None)
    return rf"\binom{{{top}}}{{{bottom}}}"


def _with_braces(text: str) -> str:
    """Return ``text`` with braces around exponents and indexes that have none: ``2^-n``, ``10^12``, ``e^(x+1)``."""
    if "_" in text:
        text = _INDEX.sub(r"_{\1}", text)
    if "^" not in text:
        return text
    text = _EXPONENT.sub(lambda match: f"^{{{match[1] or match[2]}}}", text)
    for _ in range(_MAX_POWERS):
        match = _POWER_OPENS.search(text)
        stop = closing(text, match.end()) if match else None
        if match is None or stop is None:
            break
        inner = text[match.end() : stop]
        inner = f"-({inner})" if match[1] == "-" else inner
        text = f"{text[: match.start()]}^{{{inner}}}{text[stop + 1 :]}"
    return text
