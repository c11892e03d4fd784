r"""Names of functions, Greek letters and constants without a backslash or upright: ``ln(2)``, ``\mathrm{e}``."""

import re

_SPELLINGS = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "arctg": "arctan",
    "cosec": "csc",
}
_FUNCTIONS = (
    *("sin", "cos", "tan", "cot", "csc", "sinh", "cosh", "tanh", "coth", "ln", "log", "exp"),
    *("arcsin", "arccos", "arctan", "arccot"),
    *_SPELLINGS,
)
_SHORT = {"tg": "tan", "ctg": "cot"}
_CALLED = ("sec", "lg", "min", "max", "gcd", "lcm", "det", *_SHORT)
"""Names that are also units or words, so that they are functions only before a parenthesis."""
_GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda"),
    *("mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "varphi", "chi", "psi", "omega"),
    *("Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega"),
)
_CONSTANTS = {"oo": "infty", "inf": "infty", "infty": "infty", "infinity": "infty"}
_STANDARD = _CONSTANTS | _SPELLINGS | _SHORT | {"varphi": "phi", "varepsilon": "epsilon"}
_AFTER_NUMBER = frozenset(("mu", "nu", "psi", "rho", "tau"))
"""Greek letters whose names are units or words after a number: ``30 psi``."""

_BARE = re.compile(
    r"(?<![A-Za-z\\])(?:(?P<base>log)(?P<digits>2|10)(?=\s*\()"
    rf"|(?P<function>{'|'.join(sorted(_FUNCTIONS, key=len, reverse=True))})(?![A-Za-z])"
    rf"|(?P<called>{'|'.join(_CALLED)})(?=\s*(?:\^\s*(?:\d|\{{\d+\}})\s*)?[({{])(?![A-Za-z])"
    rf"|(?P<greek>{'|'.join(sorted((*_GREEK, *_CONSTANTS), key=len, reverse=True))})(?![A-Za-z]))"
)
_GLUED = re.compile(
    r"(?<![A-Za-z\\])(?:(?:sin|cos|tan|cot|sec|csc|ln|log)[xytnuz])+(?![A-Za-z])|\\(?:sin|cos|tan|ln|log)[xytnuz](?![A-Za-z])"
)
"""Functions of a letter without a space: ``sinxcosx``."""
_GLUED_LOG = re.compile(r"(?<![A-Za-z\\])([nkmx])(?=(?:log|ln)(?:[nkmx](?![A-Za-z])|[\s(_]))")
_GLUED_PART = re.compile(r"\\?(sin|cos|tan|cot|sec|csc|ln|log)([a-z])")
_BARE_ROOT = re.compile(r"(?<![A-Za-z\\])sqrt\s*(?:(\d+(?:\.\d+)?|[a-z](?![A-Za-z]))|(?=\{))")
_UNION = re.compile(r"(?<=[)\]])\s*U\s*(?=[(\[])")
_WRAPPED = re.compile(r"(?<![A-Za-z\\])(?P<name>sqrt|cbrt|floor|ceil|ceiling|abs)\s*\(|\\sqrt\s*\(|[√∛∜]\s*\(")
_AROUND = {
    "sqrt": (r"\sqrt{", "}"),
    "cbrt": (r"\sqrt[3]{", "}"),
    "floor": (r"\lfloor ", r"\rfloor "),
    "ceil": (r"\lceil ", r"\rceil "),
    "ceiling": (r"\lceil ", r"\rceil "),
    "abs": ("|", "|"),
}
_ROOTS = {"√": r"\sqrt{", "∛": r"\sqrt[3]{", "∜": r"\sqrt[4]{"}
_UPRIGHT = re.compile(
    r"\\(?:mathrm|operatorname|rm|text|textrm|mathit)\s*(?:\*\s*)?(?:\{\s*\\?(?P<braced>[A-Za-z]+)\s*\}|\s(?P<letter>[eid])"
    r"(?![A-Za-z]))"
)
_LETTERS = frozenset("eid")
"""Letters whose upright form is a constant or a differential; other upright letters are units."""
_MAX_WRAPS = 20

KNOWN = frozenset((*_FUNCTIONS, *_CALLED, *_GREEK, *_CONSTANTS, "sqrt", "cbrt", "floor", "ceil", "abs", "mod"))
"""All names that are read as mathematics although they look like words."""


def with_backslashes(text: str) -> str:
    r"""Return ``text`` with a command for each bare name: ``2sin(theta)`` becomes ``2\sin(\theta)``."""
    text = _GLUED_LOG.sub(r"\1 ", text)
    text = _UNION.sub(r"\\cup ", _GLUED.sub(lambda match: _GLUED_PART.sub(r"\\\1 \2 ", match[0]), text))
    text = _BARE_ROOT.sub(lambda match: rf"\sqrt{{{match[1]}}}" if match[1] else r"\sqrt", text)
    return _BARE.sub(_command, _wrap(text))


def upright_to_italic(text: str) -> str:
    r"""Return ``text`` with ``\mathrm{e}`` as ``e``, and ``\operatorname{arctan}`` as ``\arctan``."""
    return _UPRIGHT.sub(_italic, text)


def closing(text: str, start: int, pair: str = "()") -> int | None:
    """Return the position of the bracket that closes the one before ``start``, or None."""
    depth = 1
    for place in range(start, len(text)):
        depth += (text[place] == pair[0]) - (text[place] == pair[1])
        if not depth:
            return place
    return None


def _wrap(text: str) -> str:
    """Return ``text`` with the bracketed arguments of roots, absolute values and rounding as LaTeX has them."""
    for _ in range(_MAX_WRAPS):
        match = _WRAPPED.search(text)
        stop = closing(text, match.end()) if match else None
        if match is None or stop is None:
            break
        before, after = _AROUND.get(match["name"] or "sqrt", ("", ""))
        if match[0][0] in _ROOTS:
            before = _ROOTS[match[0][0]]
        text = text[: match.start()] + before + text[match.end() : stop] + after + text[stop + 1 :]
    return text


def _command(match: re.Match[str]) -> str:
    if match["base"]:
        return rf"\log_{{{match['digits']}}}"
    name = match["function"] or match["called"] or match["greek"]
    if name in _AFTER_NUMBER and match.string[: match.start()].rstrip()[-1:].isdigit():
        return name
    return f"\\{_STANDARD.get(name, name)} "


def _italic(match: re.Match[str]) -> str:
    name = match["braced"] or match["letter"]
    if len(name) == 1:
        return f" {name} " if name in _LETTERS else match[0]
    called = match.string[match.end() :].lstrip()[:1] in ("(", "{", "_", "\\", "^")
    known = name in _FUNCTIONS or (name in _CALLED and called)  # ``30\text{ min}`` has a unit
    return f"\\{_STANDARD.get(name, name)} " if known else match[0]
