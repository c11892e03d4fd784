r"""Sets of real numbers, written as intervals or as inequalities in one variable: ``x\in(0,1]`` and ``0<x\le 1``."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise

from .collection import read_collection, same_in_any_order, split

_RELATION = re.compile(r"(<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z]))")
_VARIABLE = re.compile(r"(?:\\?[A-Za-z]+(?:_(?:\w|\{\w+\}))?(?:\([A-Za-z]\))?)'*")
_CONSTANTS = re.compile(r"\\(?:pi|infty)|[ei]")
_EITHER = re.compile(r"⟨\s*,?\s*or\s*⟩|(?<![A-Za-z\\])or(?![a-z])|\\cup(?![A-Za-z])|\\lor(?![A-Za-z])")
_BOTH = re.compile(r"⟨\s*,?\s*and\s*⟩|(?<![A-Za-z\\])and(?![a-z])|\\cap(?![A-Za-z])|\\land(?![A-Za-z])")
_EXCEPT = re.compile(
    r"(?:(?P<name>.+?)\s*\\in\s*)?\\mathbb\s*\{\s*R\s*\}\s*(?:\\setminus|-)\s*\\\{(?P<items>[^{}]*)\\\}"
)
_BUILDER = re.compile(
    r"\\\{\s*(?P<name>[A-Za-z])\s*(?:\\in\s*\\mathbb\s*(?:\{R\}|R)\s*)?(?:\\mid(?![a-z])|\||:)\s*(?P<rest>[^{}|:]+)\\\}"
)
_EVERYTHING = re.compile(r"\\mathbb\s*(?:\{\s*R\s*\}|R)")
_REAL_NUMBERS = re.compile(
    r"[A-Za-z]\s*\\in\s*\\mathbb\{R\}\s*[,;]\s*(?P<rest>.*(?:\\ne|[<>]|\\le|\\ge).*)"
    r"|(?P<first>.*(?:\\ne|[<>]|\\le|\\ge).*?)\s*[,;]\s*[A-Za-z]\s*\\in\s*\\mathbb\{R\}"
)
_IN_WORDS = re.compile(
    r"⟨?\s*all\s+real(?:s|\s+numbers?)(?:\s+[a-z])?(?:\s+(?:except|but)(?:\s+for)?\s*⟩?\s*(?=\S)|\s*⟩?)"
    r"(?P<rest>[^A-Za-z⟩]*)"
)
_LOWEST, _HIGHEST = r"-\infty", r"\infty"
_MAX_PIECES = 16


@dataclass(frozen=True)
class Piece:
    """An interval: its ends in plain notation, and whether each belongs to it."""

    low: str
    high: str
    has_low: bool
    has_high: bool


@dataclass(frozen=True)
class RealSet:
    """A union of intervals.

    Attributes:
        pieces: the intervals, as written.
        excluded: the numbers that are left out, if the set is all other real numbers; then ``pieces`` is empty.
        variable: the variable of which it is the solution set, empty if none is named.
        bound: whether it is written as a set of all x with a property; the name x has no meaning then.
    """

    pieces: tuple[Piece, ...]
    excluded: tuple[str, ...] = ()
    variable: str = ""
    bound: bool = False


def read_real_set(text: str) -> RealSet | None:
    """Return ``text``, in plain notation, as a set of real numbers, or None if it is not one interval or inequality."""
    if (real := _REAL_NUMBERS.fullmatch(text)) and (real["rest"] or real["first"]):
        text = (real["rest"] or real["first"]).strip()
    if match := _EXCEPT.fullmatch(text):
        items = tuple(split(match["items"], ","))
        return RealSet((), items, (match["name"] or "").strip()) if all(items) else None
    if match := _BUILDER.fullmatch(text):
        inner = read_real_set(match["rest"])
        named = inner and inner.variable == match["name"]
        return RealSet(inner.pieces, inner.excluded, bound=True) if inner and named else None
    member = split(text, (r"\in",))
    if len(member) == 2 and _is_variable(member[0]):
        inner = read_real_set(member[1])
        return RealSet(inner.pieces, inner.excluded, member[0]) if inner and not inner.variable else None
    parts = [part.strip() for part in _EITHER.split(text)]
    if len(parts) > _MAX_PIECES or not all(parts):
        return None
    found = [_read_part(part) for part in parts]
    known = [part for part in found if part is not None]
    variables = {part.variable for part in known}
    if len(known) < len(found) or len(variables) != 1:
        return None
    if any(part.excluded for part in known):
        return known[0] if len(known) == 1 else None
    return _as_excluded(RealSet(tuple(piece for part in known for piece in part.pieces), (), variables.pop()))


def without_words(text: str) -> str:
    r"""Return "all real numbers except 2" as ``\mathbb{R}\setminus\{2\}``; any other text unchanged."""
    everything = _IN_WORDS.fullmatch(text) if "real" in text else None
    if everything is None:
        return text
    rest = everything["rest"].strip()
    return rf"\mathbb{{R}}\setminus\{{{rest}\}}" if rest else r"\mathbb{R}"


async def same_real_sets(expected: RealSet, found: RealSet, same: Callable[[str, str], Awaitable[bool]]) -> bool:
    """Return whether two sets are the same by their written intervals, if ``same`` says which ends are."""

    async def same_piece(gold: Piece, answer: Piece) -> bool:
        if (gold.has_low, gold.has_high) != (answer.has_low, answer.has_high):
            return False
        return await same(gold.low, answer.low) and await same(gold.high, answer.high)

    if expected.variable and found.variable and expected.variable != found.variable:
        return False
    if expected.excluded or found.excluded:
        return await same_in_any_order(expected.excluded, found.excluded, same)
    return await same_in_any_order(expected.pieces, found.pieces, same_piece)


def _read_part(text: str) -> RealSet | None:
    """Return one interval, or inequalities that hold together."""
    if collection := read_collection(text):
        brackets = collection.brackets
        if len(collection.items) == 2 and brackets in ("()", "[]", "[)", "(]"):
            low, high = map(_end, collection.items)
            return RealSet((Piece(low, high, brackets[0] == "[", brackets[1] == "]"),))
    if _EVERYTHING.fullmatch(text):
        return RealSet((Piece(_LOWEST, _HIGHEST, False, False),))
    pieces = [_read_inequality(part) for part in map(str.strip, _BOTH.split(text))]
    known = [piece for piece in pieces if piece is not None]
    if len(known) < len(pieces) or len({name for name, _, _ in known}) != 1:
        return None
    excluded = [other for _, _, other in known if other]
    if excluded:
        return RealSet((), tuple(excluded), known[0][0]) if len(excluded) == len(known) else None
    both = known[0][1]
    for _, piece, _ in known[1:]:
        merged = _intersection(both, piece)
        if merged is None:
            return None
        both = merged
    return RealSet((both,), (), known[0][0])


def _read_inequality(text: str) -> tuple[str, Piece, str] | None:
    r"""Return (variable, interval, excluded number) of ``x>3``, ``1<x\le 2`` or ``x\ne 2``."""
    unequal = split(text, (r"\ne",))
    if len(unequal) == 2 and all(unequal):
        name, other = unequal if _is_variable(unequal[0]) else unequal[::-1]
        everything = Piece(_LOWEST, _HIGHEST, False, False)
        return (name, everything, other) if _is_variable(name) and not _is_variable(other) else None
    sides = [side.strip() for side in _RELATION.split(text)]
    if len(sides) not in (3, 5) or not all(sides) or "=" in text or r"\ne" in text:
        return None
    if len(sides) == 5 and (not _is_variable(sides[2]) or _is_up(sides[1]) is not _is_up(sides[3])):
        return None
    if len(sides) == 3 and not _is_variable(sides[0]):
        sides = [sides[2], {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}[sides[1]], sides[0]]
    if not _is_up(sides[1]):
        sides = [*reversed([{">": "<", r"\ge": r"\le"}.get(side, side) for side in sides])]
    if len(sides) == 3 and _is_variable(sides[0]):
        return sides[0], Piece(_LOWEST, _end(sides[2]), False, sides[1] == r"\le"), ""
    if len(sides) == 3 and _is_variable(sides[2]):
        return sides[2], Piece(_end(sides[0]), _HIGHEST, sides[1] == r"\le", False), ""
    if len(sides) == 5:
        return sides[2], Piece(_end(sides[0]), _end(sides[4]), sides[1] == r"\le", sides[3] == r"\le"), ""
    return None


def _is_up(relation: str) -> bool:
    return relation in ("<", r"\le")


def _intersection(left: Piece, right: Piece) -> Piece | None:
    """Return the part in both, if one bounds only below and the other only above."""
    if left.high == _HIGHEST and right.low == _LOWEST:
        return Piece(left.low, right.high, left.has_low, right.has_high)
    if right.high == _HIGHEST and left.low == _LOWEST:
        return Piece(right.low, left.high, right.has_low, left.has_high)
    return None


def _as_excluded(found: RealSet) -> RealSet:
    """Return all real numbers but some as such, if the intervals follow one another and touch at open ends."""
    pieces = found.pieces
    touching = all(left.high == right.low for left, right in pairwise(pieces))
    closed = any(piece.has_low or piece.has_high for piece in pieces)
    if len(pieces) < 2 or closed or not touching or (pieces[0].low, pieces[-1].high) != (_LOWEST, _HIGHEST):
        return found
    return RealSet((), tuple(piece.high for piece in pieces[:-1]), found.variable)


def _end(text: str) -> str:
    return "".join(text.split()).removeprefix("+") if r"\infty" in text else text


def _is_variable(text: str) -> bool:
    return bool(_VARIABLE.fullmatch(text)) and not _CONSTANTS.fullmatch(text)
