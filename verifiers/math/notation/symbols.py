"""Unicode in mathematics as ASCII and LaTeX: operators, Greek letters, superscripts, fractions, roots, wide digits."""

import re
import unicodedata

_SUPERSCRIPT = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ⁽⁾ⁱˣʸ]+")
_SUBSCRIPT = re.compile(r"[₀₁₂₃₄₅₆₇₈₉ₙₖᵢⱼₘₓ]+")
_ROOT = re.compile(r"([√∛∜])\s*(\d+(?:\.\d+)?|[A-Za-z]|\\pi |\\[a-z]+ )")
_DEGREES = {"√": r"\sqrt{", "∛": r"\sqrt[3]{", "∜": r"\sqrt[4]{"}
_GREEK = {
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "epsilon",
    "ϵ": "epsilon",
    "ζ": "zeta",
    "η": "eta",
    "θ": "theta",
    "ϑ": "theta",
    "κ": "kappa",
    "λ": "lambda",
    "μ": "mu",
    "µ": "mu",
    "ν": "nu",
    "ξ": "xi",
    "π": "pi",
    "ρ": "rho",
    "σ": "sigma",
    "τ": "tau",
    "φ": "phi",
    "ϕ": "phi",
    "χ": "chi",
    "ψ": "psi",
    "ω": "omega",
    "Γ": "Gamma",
    "Δ": "Delta",
    "Θ": "Theta",
    "Λ": "Lambda",
    "Π": "Pi",
    "Σ": "Sigma",
    "Φ": "Phi",
    "Ψ": "Psi",
    "Ω": "Omega",
}
_COMMANDS = {
    "×": "times",
    "·": "cdot",
    "⋅": "cdot",
    "∙": "cdot",
    "•": "cdot",
    "±": "pm",
    "∓": "mp",
    "≤": "le",
    "≦": "le",
    "⩽": "le",
    "≥": "ge",
    "≧": "ge",
    "⩾": "ge",
    "≠": "ne",
    "≈": "approx",
    "≡": "equiv",
    "∞": "infty",
    "∪": "cup",
    "∩": "cap",
    "∈": "in",
    "∖": "setminus",
    "∅": "emptyset",
    "→": "to",
    "⌊": "lfloor",
    "⌋": "rfloor",
    "⌈": "lceil",
    "⌉": "rceil",
    "∑": "sum",
    "∏": "prod",
    "∫": "int",
    "∠": "angle",
    "△": "triangle",
    "∧": "land",
    "∨": "lor",
}
_SIGNS = dict.fromkeys("−–—‐‑‒﹣", "-") | {"÷": "/", "⁄": "/", "∕": "/", "∶": ":", "°": "⟨degree⟩", "′": "'", "∗": "*"}
_SIGNS |= {"ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}"}
_SYMBOLS = _SIGNS | {sign: f"\\{name} " for sign, name in (_COMMANDS | _GREEK).items()}


def to_ascii(text: str) -> str:
    """Return ``text`` with each mathematical symbol as ASCII or LaTeX; symbols without a meaning here stay."""
    text = _SUPERSCRIPT.sub(lambda match: f"^{{{_lowered(match[0])}}}", text)
    text = _SUBSCRIPT.sub(lambda match: f"_{{{_lowered(match[0])}}}", text)
    text = "".join(char if char.isascii() else _ascii(char) for char in text)
    return _ROOT.sub(lambda match: f"{_DEGREES[match[1]]}{match[2]}}}", text)


def _lowered(run: str) -> str:
    return unicodedata.normalize("NFKC", run).replace("−", "-")


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
