r"""LaTeX commands in plain notation: one name for each, complete braces, ``\text{…}`` as ``⟨…⟩``, no spacing."""

import re

from .names import closing

_SPACES = re.compile(r"(?<!\\)\\[,!;: ]|~|\\q?quad|[\u00a0\u2009\u202f]")
_SIZES = re.compile(r"\\(?:left|right|middle|[bB]igg?[lrm]?|displaystyle|textstyle|limits|nolimits)(?![A-Za-z])\.?")
_TEXT = re.compile(
    r"\\(?:text|mathrm|mbox|hbox|textrm|textnormal|textbf|textit|textsf|texttt|textsc|operatorname)\*?\s*\{([^{}]*)\}"
)
_DEGREE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|\\degree(?![A-Za-z])")
_ANGLE = re.compile(r"(\\(?:sin|cos|tan|cot|sec|csc)\s*[({]?\s*)(\d+(?:\.\d+)?)\s*⟨degree⟩")
_RENAMED = {
    "dfrac": "frac",
    "tfrac": "frac",
    "cfrac": "frac",
    "leq": "le",
    "geq": "ge",
    "leqslant": "le",
    "geqslant": "ge",
    "leqq": "le",
    "geqq": "ge",
    "lt": "<",
    "gt": ">",
    "neq": "ne",
    "langle": "(",
    "rangle": ")",
    "lbrace": r"\{",
    "rbrace": r"\}",
    "lbrack": "[",
    "rbrack": "]",
    "lvert": "|",
    "rvert": "|",
    "vert": "|",
    "varnothing": "emptyset",
    "dbinom": "binom",
    "tbinom": "binom",
    "vee": "lor",
    "wedge": "land",
    "backslash": "setminus",
    "rightarrow": "to",
    "minus": "-",
    "varphi": "phi",
    "varepsilon": "epsilon",
    "vartheta": "theta",
}
_COMMAND = re.compile(r"\\(" + "|".join(sorted(_RENAMED, key=len, reverse=True)) + r")(?![A-Za-z])")
_SEPARATE = frozenset(("le", "ge", "ne", "to", "lor", "land", "setminus"))
_NUMBER = re.compile(r"\s*-?(?:\\?[$€£₹])?\s*\d[\d,]*(?:\.\d+)?(?:\s*[:/]\s*\d+)*(?:\s*[ap]\.?m\.?)?\s*", re.IGNORECASE)
_REPEATING = re.compile(
    r"(?<![\d.,])(\d{0,20})\.(\d{0,20})\\(?:overline|bar|dot)\s*(?:\{\s*(\d{1,20})\s*\}|(\d))(?!\d)"
)
_ORDINAL = re.compile(
    r"(?<=\d)\s*(?:\^\s*)?(?:\{\s*)?⟨\s*(?:st|nd|rd|th)\s*⟩(?:\s*\})?|(?<=\d)\s*\^\s*\{\s*(?:st|nd|rd|th)\s*\}"
)
_WRITTEN_BASE = re.compile(
    r"(?<![\w)])(?P<open>\(\s*)?(?P<digits>(?=[⟨\sA-F]*\d)(?:⟨\s*[0-9A-F]+\s*⟩|[0-9A-F]+(?:⟨\s*[A-F]\s*⟩)?))"
    r"(?(open)\s*\))\s*"
    r"(?:_\s*(?:\{\s*\(?\s*(?P<base>\d{1,2})\s*\)?\s*\}|(?P<digit>\d{1,2})(?!\d)|\((?P<bracket>\d{1,2})\))"
    r"|⟨?[\s⟨⟩(]*(?:in\s+)?base[\s⟨⟩-]+(?P<word>\d{1,2})[\s⟩)]*$)"
)
"""``(1011)_2``, ``1011_{(2)}``, ``\\text{2A}_{16}`` and ``1011\\text{ (base 2)}``."""
_MEASURE = re.compile(r"\s*(?P<before>(?:Rs|USD|EUR|INR)\.?\s*)?(?P<number>-?\d[\d.,]*)(?P<unit>\s[\sA-Za-z./]+)?\s*")
_CHOICES = re.compile(r"[\s(]*[A-J]\b[\s)]*(?:(?:,|\band\b|,\s*and\b)[\s(]*[A-J]\b[\s)]*)+")
_BASE_WORD = re.compile(
    r"_\s*(?:\{\s*)?⟨\s*(two|three|four|five|six|seven|eight|nine|ten|twelve|sixteen)\s*⟩(?:\s*\})?"
)
_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9}
_BASES |= {"ten": 10, "twelve": 12, "sixteen": 16}
_MODULUS = re.compile(r"\\pmod\s*(\d+|[A-Za-z])")
_PRIME = re.compile(r"\^\s*(?:\{\s*((?:\\prime\s*)+)\}|\\prime(?![A-Za-z]))")
_NATURAL = re.compile(r"\\log\s*_\s*(?:e(?![A-Za-z])|\{\s*e\s*\})")
_BIG_O = re.compile(r"\\(?:mathcal|mathrm)\s*(?:\{\s*O\s*\}|O)\s*(?=\()")
_EXTREME = re.compile(r"(\\(?:max|min|gcd|lcm))\s*\\\{([^{}]*)\\\}")
_NOT_EQUAL = re.compile(r"\\not\s*=")
_ROW_SPACE = re.compile(r"(?<=\\\\)\s*\[\s*-?[\d.]+\s*(?:pt|ex|em|mm|cm|in)\s*\]")
_SMALL_MATRIX = re.compile(r"(?<=\{)([pbBvV]?)smallmatrix(?=\*?\})")
_TRANSPOSED = re.compile(
    r"(\\begin\{[pbB]?matrix\})((?:(?!\\\\)[^{}])+)(\\end\{[pbB]?matrix\})\s*\^\s*(?:\{\s*(?:T|\\top)\s*\}|T|\\top)"
)
"""A row that is transposed."""
_EITHER_VALUE = re.compile(r"\\lor\s+(?=[A-Za-z\\_\d{}]{1,12}\s*=)")
_NUMBERS_SET = re.compile(r"\\mathbb\s*([A-Z])(?![A-Za-z])")
_SYSTEM = re.compile(
    r"\\\{\s*\\begin\s*\{(?:array|matrix)\}(?:(?<=array\})\s*\{[clr|]*\})?([^&]*)\\end\s*\{(?:array|matrix)\}"
)
_MEASURE_OF_ANGLE = re.compile(r"(?<![A-Za-z\\])m\s*(?=\\angle(?![a-z]))")
_CHOOSE = re.compile(r"\{([^{}]*)\\choose(?![a-z])([^{}]*)\}|^([^{}]+?)\\choose(?![a-z])([^{}]+)$")
_CASES = re.compile(r"\\begin\s*\{(cases|aligned|gathered)\}([^&]*)\\end\s*\{\1\}")
_TWO_ARGUMENTS = re.compile(r"\\(frac|binom)(?![A-Za-z])\s*")
_ONE = re.compile(r"\\[A-Za-z]+\s*(?![A-Za-z{\[(_^])|[0-9A-Za-z]")


def expand_commands(text: str) -> str:
    """Return LaTeX with standard command names and complete braces, without spacing, sizes and text commands."""
    if r"\begin" in text:
        text = _SMALL_MATRIX.sub(r"\1matrix", _ROW_SPACE.sub("", text))
    text = _MEASURE_OF_ANGLE.sub("", text)
    text = _SPACES.sub(" ", _SIZES.sub("", _NOT_EQUAL.sub(r"\\ne ", text)))
    text = _CASES.sub(_joined_rows, _SYSTEM.sub(r"\\begin{cases}\1\\end{cases}", text))
    text = _NUMBERS_SET.sub(r"\\mathbb{\1}", _CHOOSE.sub(_binomial, text))
    text = _REPEATING.sub(_repeating, text)
    text = _PRIME.sub(lambda match: "'" * (match[1] or "p").count("p"), _MODULUS.sub(r"\\pmod{\1}", text))
    text = _NATURAL.sub(r"\\ln ", _COMMAND.sub(_rename, _BIG_O.sub("O", text)))
    text = _ANGLE.sub(r"\1\\frac{\2\\pi}{180}", _DEGREE.sub("⟨degree⟩", text))
    text = _ORDINAL.sub("", _TEXT.sub(_marked, text))
    text = _BASE_WORD.sub(lambda match: f"_{{{_BASES[match[1]]}}}", text)
    if r"\begin" in text:
        text = _TRANSPOSED.sub(lambda match: match[1] + match[2].replace("&", "\\\\") + match[3], text)
    if "=" in text and r"\lor" in text:
        text = _EITHER_VALUE.sub("⟨or⟩", text)
    text = _with_two_arguments(_EXTREME.sub(r"\1(\2)", text))
    return text.replace(r"\$", "$").replace(r"\%", "%").replace(r"\&", "&")


def _binomial(match: re.Match[str]) -> str:
    top, bottom = (part.strip() for part in match.groups() if part is not None)
    return rf"\binom{{{top}}}{{{bottom}}}"


def _rename(match: re.Match[str]) -> str:
    name = _RENAMED[match[1]]
    return "\\" + name + (" " if name in _SEPARATE else "") if name.isalpha() else name


def _joined_rows(match: re.Match[str]) -> str:
    """Return equations on several rows as a list of equations."""
    rows = [row.strip(" ,;\n") for row in match[2].strip().removesuffix("\\\\").split("\\\\")]
    return ", ".join(rows) if all("=" in row for row in rows) else match[0]


def _marked(match: re.Match[str]) -> str:
    """Return the text in ``⟨…⟩``, but a number, a ratio, a time, a price, a sign or infinity without a mark."""
    if match[1].strip().lower() == "infinity":
        return r"\infty "
    operator = match.string[: match.start()].rstrip()[-1:]
    bare = match[1].strip() in (":", "=", "/", ",", ";") or (
        len(match[1]) == 1 and match[1].isalpha() and operator and operator in "+-*=^_("
    )
    if measure := _MEASURE.fullmatch(match[1]):
        return f"{measure['before'] or ''}{measure['number']}⟨{measure['unit']}⟩" if measure["unit"] else match[1]
    if _CHOICES.fullmatch(match[1]):
        return re.sub(r"\s*(?:,\s*)?\band\b", ",", match[1])
    return match[1] if bare or _NUMBER.fullmatch(match[1]) else f"⟨{match[1]}⟩"


def _repeating(match: re.Match[str]) -> str:
    """Return a repeating decimal as a fraction."""
    whole, fixed, period = match[1], match[2], match[3] or match[4]
    bottom = (10 ** len(period) - 1) * 10 ** len(fixed)
    top = int(f"{whole}{fixed}{period}") - int(f"{whole}{fixed}" or 0)
    return rf"\frac{{{top}}}{{{bottom}}}"


def with_written_base(text: str) -> str:
    """Return ``text`` with the base of a number as an index in braces: ``(1011)_2`` becomes ``1011_{2}``."""
    return _WRITTEN_BASE.sub(_based, text)


def _based(match: re.Match[str]) -> str:
    digits = "".join(char for char in match["digits"] if char.isalnum())
    base = match["base"] or match["digit"] or match["bracket"] or match["word"]
    return f"{digits}_{{{base}}}"


def _with_two_arguments(text: str) -> str:
    r"""Return ``text`` with braces around each argument of a fraction: ``\frac1x`` becomes ``\frac{1}{x}``."""
    parts, done = [], 0
    for match in _TWO_ARGUMENTS.finditer(text):
        if match.start() < done:
            continue
        first = _ONE.match(text, match.end()) if text[match.end() : match.end() + 1] != "{" else None
        stop = closing(text, match.end() + 1, "{}") if first is None and text[match.end() : match.end() + 1] else None
        if first is None and stop is None:
            continue
        after = first.end() if first else stop + 1 if stop is not None else 0
        start = after + len(text[after:]) - len(text[after:].lstrip())
        second = _ONE.match(text, start)
        if first is None and second is None:
            continue  # both arguments have braces, or the fraction is broken
        top = first[0].strip() if first else text[match.end() + 1 : stop]
        parts += [text[done : match.start()], rf"\{match[1]}{{{_with_two_arguments(top)}}}"]
        done = start
        if second is not None:
            parts.append(f"{{{second[0].strip()}}}")
            done = second.end()
    return "".join(parts) + text[done:] if parts else text
