"""Parser for answers with several parts: tuples, sets, lists, intervals, matrices and chains of equations."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Part = TypeVar("Part")

MAX_ITEMS = 64
"""Largest number of parts; an answer with more is not split."""

_TOKENS = re.compile(r"\\begin|\\end|\\[{}]|[()\[\]{}⟨⟩]|\\[A-Za-z]+|\\.|.", re.DOTALL)
_OPENING = frozenset(["(", "[", "{", r"\{", "⟨", r"\begin"])
_CLOSING = frozenset([")", "]", "}", r"\}", "⟩", r"\end"])
_MATRIX = re.compile(
    r"[(\[]?\s*\\begin\s*\{(?P<kind>[pbB]?matrix|array)\}(?:(?<=array\})\s*\{[clr|]*\})?(?P<cells>.*)"
    r"\\end\s*\{(?P=kind)\}\s*[)\]]?",
    re.DOTALL,
)
_CONGRUENCE = re.compile(r"([^=<>\\]+)\\equiv([^=<>\\]+)\\pmod\s*\{([^{}]+)\}")
_CONNECTIVE = re.compile(r",?\s*(?:⟨\s*,?\s*(?:and|or)\s*⟩|(?<![A-Za-z\\])(?:and|or)(?![a-z]))\s*")
_RELATION = re.compile(r"[<>]|\\(?:le|ge|ne|equiv|subset|subseteq|to|mapsto|Rightarrow|implies)(?![A-Za-z])")
_SINGLE = r"(?:\\?[A-Za-z]+)'*(?:\s*_\s*(?:\w|\{[^{}]*\}))?"
_NAME = re.compile(
    rf"{_SINGLE}(?:\s*\((?:[^()]|\([^()]*\))*\))?|\|[A-Z]{{1,2}}\||\[[A-Z]{{3,6}}\]"
    rf"|(?:⟨[^⟨⟩]+⟩|\\mathbb\{{[EP]\}}|[EP](?=\s*\[))\s*(?:_\s*(?:\w|\{{[^{{}}]*\}}))?(?:\s*[(\[][^()\[\]]*[)\]])?"
    rf"|\\(?:overline|overrightarrow|vec|hat|bar|widehat)\s*\{{\s*[A-Za-z]{{1,3}}\s*\}}"
    rf"|[A-Z]+:[A-Z]+|\\frac\{{[A-Z]{{2}}\}}\{{[A-Z]{{2}}\}}"
    rf"|\(\s*{_SINGLE}(?:\s*,\s*{_SINGLE})+\s*\)|\\angle\s*[A-Z]+"
)
_POINT = re.compile(r"^[A-Z]'*(?:_\w)?\s*(\([^()]+,[^()]+\))$")
_NOT_NAMES = re.compile(r"\\(?:pi|sin|cos|tan|log|ln|exp|sqrt|infty|pm|times|cdot|emptyset)(?![A-Za-z])|[ei]$")


@dataclass(frozen=True)
class Collection:
    r"""An answer with several parts.

    Attributes:
        brackets: ``()``, ``[]``, ``[)``, ``(]``, ``{}`` for a set, empty for a list without brackets.
        items: parts between top-level commas, semicolons and connectives.
    """

    brackets: str
    items: tuple[str, ...]

    @property
    def ordered(self) -> bool:
        """Whether the order of the items counts."""
        return self.brackets not in ("", "{}")


@dataclass(frozen=True)
class Chain:
    """A chain of equations, ``name = … = value``.

    Attributes:
        sides: the sides, without anything after an approximation sign unless it directly follows the name.
        name: the first side that is only a name, such as ``x_1`` or ``f(x)``; empty if there is none.
        member: whether it is a membership, ``x \\in S``.
    """

    sides: tuple[str, ...]
    name: str = ""
    member: bool = False

    @property
    def head(self) -> str:
        """The name without function arguments, since ``W(n)`` and ``W(x)`` name the same function."""
        return self.name.partition("(")[0].replace(" ", "") or self.name.replace(" ", "")


def read_collection(text: str) -> Collection | None:
    """Return ``text``, in plain notation, as a collection, or None if it is not one."""
    items = split(_CONNECTIVE.sub(",", text), ",;")
    if len(items) > MAX_ITEMS:
        return None
    if len(items) > 1:
        return Collection("", tuple(items))
    for opening, closings in ((r"\{", (r"\}",)), ("(", (")", "]")), ("[", ("]", ")")), ("{", ("}",))):
        for closing in closings:
            if text.startswith(opening) and text.endswith(closing) and _is_wrapped(text):
                return _bracketed(opening, text[len(opening) : -len(closing)].strip(), closing)
    return None


def read_chain(text: str) -> Chain | None:
    """Return ``text``, in plain notation, as a chain of equations, or None if it is not one."""
    if _RELATION.search(text) or not any(sign in text for sign in ("=", r"\approx", r"\in")):
        return None
    if sum("=" in item for item in split(_CONNECTIVE.sub(",", text), ",;")) > 1:
        return None  # a list of equations
    if len(parts := split(text, (r"\in",))) == 2 and _is_name(parts[0]):
        return Chain((parts[0], parts[1]), parts[0], member=True)
    exact, *rounded = split(text, (r"\approx",))
    if rounded and _is_name(exact):
        return Chain((exact, rounded[0]), exact)
    whole = split(exact, "=")
    if len(whole) == 1 and not rounded:
        return None
    sides = tuple(whole if whole[0] or not whole[1:] else whole[1:])  # "= 5" continues an earlier expression
    if not all(sides):
        return None
    return Chain(sides, next((side for side in sides[:-1] if _is_name(side)), ""))


def read_matrix(text: str) -> tuple[tuple[str, ...], ...] | None:
    """Return the rows of ``text``, in plain notation, if it is one matrix, else None; a determinant is not a matrix.

    A congruence is returned as one row: its sign, its sides and its modulus.
    """
    if congruence := _CONGRUENCE.fullmatch(text):
        left, right, modulus = (part.strip() for part in congruence.groups())
        if all(len(part) < 20 and part.removeprefix("-").isdecimal() for part in (right, modulus)) and int(modulus):
            right = str(int(right) % int(modulus))
        return ((r"\equiv", left, right, modulus),)
    match = _MATRIX.fullmatch(text)
    if match is None or r"\begin" in match["cells"] or text.count(r"\end") != 1:
        return None
    rows = split(match["cells"].strip(), ("\\\\",))
    cells = tuple(tuple(split(row, "&")) for row in (rows if rows[-1] else rows[:-1]))
    if sum(map(len, cells)) > MAX_ITEMS or not all(all(row) for row in cells):
        return None
    return cells


def without_point(text: str) -> str:
    """Return the coordinates of a point with a name, ``P(3,-1)``; any other text unchanged."""
    return _POINT.sub(r"\1", text)


def as_matrix(text: str, columns: int) -> tuple[tuple[str, ...], ...] | None:
    """Return a tuple, or a list of lists, as the rows of a matrix; None if it is neither.

    Args:
        text: the answer, in plain notation.
        columns: the number of columns of the other matrix; a tuple is a column if it is 1, else a row.
    """
    whole = read_collection(re.sub(r"(?<=\))\s*\^\s*(?:\{\s*)?(?:T|\\top)\s*\}?$", "", text))
    if whole is None or whole.brackets not in ("()", "[]"):
        return None
    rows = [read_collection(item) for item in whole.items]
    if all(row is not None and row.brackets == "[]" for row in rows):
        return tuple(row.items for row in rows if row is not None)
    if any(rows) or whole.brackets == "[]":
        return None
    return tuple((item,) for item in whole.items) if columns == 1 else (whole.items,)


def plus_or_minus(text: str) -> Collection | None:
    r"""Return the two values of ``a \pm b`` as a list, or None without one sign outside brackets, or one at all."""
    parts = split(text, (r"\pm",))
    if len(parts) == 1 and text.count(r"\pm") == 1:  # within a fraction or a tuple
        both = text.replace(r"\pm", "+"), text.replace(r"\pm", "-")
        return Collection("", tuple(re.sub(r"(?<=[({,])\s*\+", "", part) for part in both))
    if len(parts) != 2 or not parts[1]:
        return None
    return Collection("", (f"{parts[0]}+{parts[1]}".removeprefix("+"), f"{parts[0]}-{parts[1]}"))


def has_relation(text: str) -> bool:
    """Return whether ``text`` contains an inequality or a relation other than equality."""
    return bool(_RELATION.search(text))


def split(text: str, separators: str | tuple[str, ...]) -> list[str]:
    """Return the stripped parts of ``text`` between separators that are outside brackets."""
    parts, part, depth = [], "", 0
    for match in _TOKENS.finditer(text):
        token = match[0]
        depth += (token in _OPENING) - (token in _CLOSING)
        if depth == 0 and token in separators:
            parts.append(part.strip())
            part = ""
        else:
            part += token
    return [*parts, part.strip()]


async def same_in_any_order(
    wanted: Sequence[Part], given: Sequence[Part], same: Callable[[Part, Part], Awaitable[bool]]
) -> bool:
    """Return whether each of ``wanted`` is the same as another one of ``given``, and none is left."""
    free = list(given)
    if len(wanted) != len(given):
        return False
    for gold in wanted:
        for answer in sorted(free, key=gold.__ne__):  # the likely partner first, since ``same`` may be slow
            if await same(gold, answer):
                free.remove(answer)
                break
        else:
            return False
    return True


def depth(text: str) -> int:
    """Return how deep the brackets in ``text`` nest."""
    level = deepest = 0
    for match in _TOKENS.finditer(text):
        level += (match[0] in _OPENING) - (match[0] in _CLOSING)
        deepest = max(deepest, level)
    return deepest


def _bracketed(opening: str, inner: str, closing: str) -> Collection | None:
    items = tuple(split(_CONNECTIVE.sub(",", inner), ",;")) if inner else ()
    if opening == r"\{" and not re.search(r"\\mid|:|\|", inner) and len(items) <= MAX_ITEMS:
        return Collection("{}", items)
    if len(items) < 2 or len(items) > MAX_ITEMS:
        return None
    return Collection("" if opening == "{" else opening + closing, items)


def _is_wrapped(text: str) -> bool:
    """Return whether the bracket that opens ``text`` closes only at its end."""
    level = 0
    tokens = list(_TOKENS.finditer(text))
    for match in tokens[:-1]:
        level += (match[0] in _OPENING) - (match[0] in _CLOSING)
        if level <= 0:
            return False
    return level == 1


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and not _NOT_NAMES.match(text)
