"""Normalisation of mathematics in LaTeX, Unicode or plain text to the plain notation in which answers are compared."""

import re
import unicodedata

_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_SPACES = re.compile(r"(?<!\\)\\[,!;: ]|~|\\q?quad|[\u00a0\u2009\u202f]")
_SIZES = re.compile(r"\\(?:left|right|big|Big|bigg|Bigg|displaystyle|textstyle|limits)(?![A-Za-z])\.?")
_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textrm|textnormal|textbf|mathbf|textit|operatorname)\s*\{([^{}]*)\}")
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d|\{[^{}]*\})\s*(\d|\{[^{}]*\})")
_THOUSANDS = re.compile(r"(?<=\d)\s*(?:\{\s*,\s*\}|,\\!)\s*(?=\d{3}(?!\d))")
_DOUBLED = re.compile(r"\\\\(?=[A-Za-z]{2})")
_DEGREE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_ANGLE = re.compile(r"(\\(?:sin|cos|tan|cot|sec|csc)\s*[({]?\s*)(\d+(?:\.\d+)?)\s*⟨degree⟩")
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?|[A-Za-z]|\\pi ))")
_SUPERSCRIPT = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ]+")
_RENAMED = {
    "dfrac": "frac",
    "tfrac": "frac",
    "cfrac": "frac",
    "leq": "le",
    "geq": "ge",
    "leqslant": "le",
    "geqslant": "ge",
    "lt": "<",
    "gt": ">",
    "neq": "ne",
    "langle": "(",
    "rangle": ")",
    "lbrace": r"\{",
    "rbrace": r"\}",
    "varnothing": "emptyset",
    "dbinom": "binom",
    "tbinom": "binom",
}
_BOLD_NUMBER = re.compile(r"\s*-?\d[\d,]*(?:\.\d+)?\s*")
_LETTER = re.compile(r"\\(?:mathbf|mathit|mathsf|boldsymbol|bm)\s*(?:\{\s*([A-Za-z])\s*\}|\s([A-Za-z])(?![A-Za-z]))")
_REPEATING = re.compile(
    r"(?<![\d.,])(\d{0,20})\.(\d{0,20})\\(?:overline|bar|dot)\s*(?:\{\s*(\d{1,20})\s*\}|(\d))(?!\d)"
)
_ORDINAL = re.compile(r"(?<=\d)\s*(?:\^\s*)?(?:\{\s*)?⟨\s*(?:st|nd|rd|th)\s*⟩(?:\s*\})?")
_BASE_WORD = re.compile(
    r"_\s*(?:\{\s*)?⟨\s*(two|three|four|five|six|seven|eight|nine|ten|twelve|sixteen)\s*⟩(?:\s*\})?"
)
_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9}
_BASES |= {"ten": 10, "twelve": 12, "sixteen": 16}
_MODULUS = re.compile(r"\\pmod\s*(\d+|[A-Za-z])")
_PRIME = re.compile(r"\^\s*(?:\{\s*((?:\\prime\s*)+)\}|\\prime(?![A-Za-z]))")
_NATURAL = re.compile(r"\\log\s*_\s*(?:e(?![A-Za-z])|\{\s*e\s*\})")
_BARE = re.compile(r"(?<![A-Za-z\\])(?:(pi|oo)(?![A-Za-z])|sqrt\s*\(([^()]*)\))")
_COMMAND = re.compile(r"\\(" + "|".join(sorted(_RENAMED, key=len, reverse=True)) + r")(?![A-Za-z])")
_SYMBOLS = {
    "−": "-",
    "–": "-",
    "×": r"\times ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "÷": "/",
    "±": r"\pm ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "≈": r"\approx ",
    "∞": r"\infty ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "π": r"\pi ",
    "θ": r"\theta ",
    "°": "⟨degree⟩",
    "∅": r"\emptyset ",
    "α": r"\alpha ",
    "β": r"\beta ",
    "γ": r"\gamma ",
    "λ": r"\lambda ",
    "μ": r"\mu ",
    "φ": r"\phi ",
    "ω": r"\omega ",
}


def to_plain(text: str) -> str:
    r"""Return ``text`` in plain notation: without dollar delimiters, LaTeX spacing and sizes, Unicode as ASCII.

    The content of ``\text{…}`` is put in ``⟨…⟩``, to distinguish a unit from a product of variables.
    """
    text = text.strip()
    for opening, closing in _DELIMITERS if text[:1] in ("$", "\\") else ():
        if len(text) > len(opening + closing) and text.startswith(opening) and text.endswith(closing):
            inner = text[len(opening) : -len(closing)]
            text = text if opening in inner.replace(r"\$", "") else inner.strip()
    if not text.isascii():
        text = _from_unicode(text)
    if "\\" in text or "{" in text or "~" in text:
        text = _from_latex(text)
    if any(name in text for name in ("pi", "oo", "sqrt")):
        text = _BARE.sub(_command, text)
    return text.replace("**", "^").strip()


def to_latex(text: str) -> str:
    """Return LaTeX for text that ``to_plain`` returned."""
    text = text.replace("⟨degree⟩", r"^\circ ").replace("%", r"\%")
    return text.replace("⟨", r"\text{").replace("⟩", "}").replace("$", r"\$")


def _from_latex(text: str) -> str:
    if "\\\\" in text and r"\begin" not in text:
        text = _DOUBLED.sub(r"\\", text)  # backslashes that were escaped twice in JSON
    text = _THOUSANDS.sub("", text)
    text = _SPACES.sub(" ", _SIZES.sub("", text))
    text = _REPEATING.sub(_repeating, _LETTER.sub(lambda match: f" {match[1] or match[2]} ", text))
    text = _PRIME.sub(lambda match: "'" * (match[1] or "p").count("p"), _MODULUS.sub(r"\\pmod{\1}", text))
    text = _NATURAL.sub(r"\\ln ", _COMMAND.sub(_rename, text))
    text = _ANGLE.sub(r"\1\\frac{\2\\pi}{180}", _DEGREE.sub("⟨degree⟩", text))
    text = _ORDINAL.sub("", _TEXT.sub(_marked, text))
    text = _BASE_WORD.sub(lambda match: f"_{{{_BASES[match[1]]}}}", text)
    text = _SHORT_FRACTION.sub(lambda match: r"\frac" + _braced(match[1]) + _braced(match[2]), text)
    return text.replace(r"\$", "$").replace(r"\%", "%")


def _rename(match: re.Match[str]) -> str:
    name = _RENAMED[match[1]]
    return "\\" + name + (" " if name in ("le", "ge", "ne") else "") if name.isalpha() else name


def _command(match: re.Match[str]) -> str:
    """Return the command for a name without its backslash."""
    return {"pi": r"\pi ", "oo": r"\infty "}.get(match[1], rf"\sqrt{{{match[2]}}}")


def _marked(match: re.Match[str]) -> str:
    """Return the text in ``⟨…⟩``, but a bold number as a number."""
    return match[1] if _BOLD_NUMBER.fullmatch(match[1]) else f"⟨{match[1]}⟩"


def _repeating(match: re.Match[str]) -> str:
    """Return a repeating decimal as a fraction."""
    whole, fixed, period = match[1], match[2], match[3] or match[4]
    bottom = (10 ** len(period) - 1) * 10 ** len(fixed)
    top = int(f"{whole}{fixed}{period}") - int(f"{whole}{fixed}" or 0)
    return rf"\frac{{{top}}}{{{bottom}}}"


def _from_unicode(text: str) -> str:
    text = _SUPERSCRIPT.sub(lambda match: "^{" + unicodedata.normalize("NFKC", match[0]).replace("−", "-") + "}", text)
    text = "".join(char if char.isascii() else _ascii(char) for char in text)
    return _ROOT.sub(lambda match: r"\sqrt{" + (match[1] or match[2]) + "}", text) if "√" in text else text


def _ascii(char: str) -> str:
    if char in _SYMBOLS:
        return _SYMBOLS[char]
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    if char.isspace():
        return " "
    if 0xFF01 <= ord(char) <= 0xFF5E:  # the full-width forms of ASCII
        return chr(ord(char) - 0xFEE0)
    if unicodedata.decomposition(char).startswith("<fraction>"):
        top, _, bottom = unicodedata.normalize("NFKC", char).partition("⁄")
        return rf"\frac{{{top}}}{{{bottom}}}" if bottom else char
    return char


def _braced(part: str) -> str:
    return part if part.startswith("{") else f"{{{part}}}"
