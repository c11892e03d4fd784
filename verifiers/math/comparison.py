"""Comparison of an answer with the expected one: exact rules first, then math-verify in a worker."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from ..processes.worker import Outcome
from .algebra.identity import FormulaCache
from .collection import (
    Chain,
    Collection,
    as_matrix,
    depth,
    has_relation,
    plus_or_minus,
    read_chain,
    read_collection,
    read_matrix,
    same_in_any_order,
    split,
    without_point,
)
from .extraction import MAX_ANSWER
from .interval import read_real_set, same_real_sets, without_words
from .literal import compare_literals, has_letters
from .notation.plain import to_latex, to_plain, without_spaces
from .quantity import read_quantity
from .renaming import renamed, same_parameter, value_for, without_quantifier
from .solutions import read_solutions, read_values, same_solutions, same_values
from .units import split_unit, unit_ratio

MAX_DEPTH = 40
"""Deepest nesting of brackets in an answer that is compared."""
MAX_DIGITS = 400
"""Most digits of one number in an answer that is compared."""

_SET_SIGNS = re.compile(r"[<>()\[\]]|\\(?:le|ge|ne|in|cup|mathbb)(?![A-Za-z])")
_SET_RELATIONS = re.compile(r"[<>]|\\(?:le|ge|ne|in|cup|setminus)(?![A-Za-z])")
_BOUND_INDEX = re.compile(r"\\(?:sum|prod)\s*_\s*\{\s*([A-Za-z])\s*=.*_\s*(?:\1|\{[^{}]*\1)")
_BINDS = re.compile(r"\\(?:sum|prod|int|lim)(?![a-z])")
_RADIANS = re.compile(r"\\pi(?![A-Za-z])")


class Undecided(Exception):
    """The comparison ended without a decision.

    Attributes:
        status: ``infra_error`` if the checker or the dataset is at fault, else the fault of the answer.
    """

    def __init__(self, status: Literal["unparseable", "timeout", "limit", "infra_error"], reason: str) -> None:
        super().__init__(reason)
        self.status: Literal["unparseable", "timeout", "limit", "infra_error"] = status


class UnreadableGold(Undecided):
    """The expected answer cannot be parsed."""


@dataclass
class Comparison:
    """Comparison of one answer with one expected answer; all its requests to workers share ``cpu_seconds``.

    Attributes:
        ask: sends one request, with its CPU limit, to a worker.
        cpu_seconds: CPU seconds that are left.
        places: decimals to which a number with a decimal point may be rounded; None requires equality.
        strict: whether variable names must agree, and tuples differ from sets.
        set_relations: whether an inequality may be given for an expected interval.
        formulas: cache of the formulas that are decided without a worker.
    """

    ask: Callable[[dict[str, Any], float], Awaitable[Outcome]]
    cpu_seconds: float
    places: int | None = None
    strict: bool = True
    set_relations: bool = False
    formulas: FormulaCache = field(default_factory=FormulaCache)

    async def equal(self, gold: str, answer: str) -> bool:
        """Return whether ``answer`` equals ``gold``; both are raw texts.

        Raises:
            Undecided: the answer is too large for the checker, or cannot be parsed.
        """
        if len(answer) > MAX_ANSWER:
            raise Undecided("limit", f"the answer has {len(answer)} characters, more than {MAX_ANSWER}")
        gold, answer = (without_words(without_quantifier(to_plain(text).rstrip(". "))) for text in (gold, answer))
        if gold.startswith("(") != answer.startswith("("):
            gold, answer = without_point(gold), without_point(answer)
        if depth(answer) > MAX_DEPTH or re.search(rf"\d{{{MAX_DIGITS + 1}}}", answer):
            raise Undecided(
                "limit", f"the answer nests deeper than {MAX_DEPTH} or has numbers of over {MAX_DIGITS} digits"
            )
        return await self._same(gold, answer if self.strict else renamed(gold, answer))

    async def _same(self, gold: str, answer: str) -> bool:
        if gold == answer or without_spaces(gold) == without_spaces(answer):
            return True
        if r"\approx" in answer and (number := read_quantity(gold)) and number.decimal:
            return await self._same(gold, split(answer, (r"\approx",))[-1])  # the rounded value is asked for
        if bodies := same_parameter(gold, answer):
            return await self._same(*bodies)
        decided = compare_literals(gold, answer, self.places)
        if decided is not None:
            return decided
        if (decided := await self._same_structure(gold, answer)) is not None:
            return decided
        matrix, other = read_matrix(gold), read_matrix(answer)
        if other is not None and matrix is None:
            matrix = as_matrix(gold, len(other[0]))
        elif matrix is not None and other is None:
            other = as_matrix(answer, len(matrix[0]))
        if matrix is not None and other is not None:
            return await self._same_cells(matrix, other)
        expected, found = _collection(gold), _collection(answer)
        if _is_list(found) and expected is None:
            expected = _expand_plus_minus(expected, gold)
        for whole, one in ((expected, found), (found, expected)):
            if whole and one and whole.brackets == "{}" and len(whole.items) == 1 and one.brackets == "()":
                return await self._same(*((whole.items[0], answer) if whole is expected else (gold, whole.items[0])))
        if expected is not None and found is not None and _is_several(expected) and _is_several(found):
            return await self._same_items(expected, found)
        chains = read_chain(gold), read_chain(answer)
        if _is_list(expected) and found is None and chains[1] and chains[1].name:
            return await self._same(gold, chains[1].sides[-1])  # x = \\pm 2 is a list of two
        if (chains[0] or chains[1]) and not (_is_list(expected) and chains[0] is None):
            decided = await self._same_chains(gold, answer, *chains)
            if decided is not None:
                return decided
        expected, found = _expand_plus_minus(expected, gold), _expand_plus_minus(found, answer)
        if expected is not None and found is not None:
            return await self._same_items(expected, found)
        if _is_list(expected) or _is_list(found):
            return False  # several answers against one
        if expected and expected.ordered and read_quantity(answer) is not None:
            return False  # a number against a tuple
        for whole, part in ((expected, answer), (found, gold)):
            if whole and whole.brackets == "{}" and len(whole.items) == 1 and not has_relation(part):
                if r"\emptyset" in whole.items[0]:
                    return False  # the set of the empty set
                pair = (whole.items[0], part) if whole is expected else (part, whole.items[0])
                return await self._same(*pair)  # a set of one element equals that element
        return await self._same_measure(gold, answer)

    async def _same_structure(self, gold: str, answer: str) -> bool | None:
        """Return whether both are the same set of real numbers, solutions or values; None if one of them is neither."""
        if _SET_SIGNS.search(gold) and _SET_SIGNS.search(answer) and _SET_RELATIONS.search(gold + answer):
            sets = read_real_set(gold), read_real_set(answer)
            named = sets[0] and (sets[0].variable or sets[0].bound)
            if sets[0] and sets[1] and (named or self.set_relations or not sets[1].variable):
                same = await same_real_sets(sets[0], sets[1], self._same)
                several = len(sets[0].pieces) > 1 and len(sets[1].pieces) > 1  # they may overlap in another way
                return None if several and not same else same
        if "=" not in gold + answer and r"\in" not in gold + answer:
            return None
        solutions = read_solutions(gold), read_solutions(answer)
        if solutions[0] and solutions[1] and any(one.names for one in (*solutions[0], *solutions[1])):
            same = await same_solutions(solutions[0], solutions[1], self._same)
            if same:
                return True
        values = read_values(gold), read_values(answer)
        if values[0] and solutions[1] and len(set(values[0].names)) == 1 < len(values[0].values):
            return False  # two values of one unknown are no tuple
        if values[0] and values[1] and r"\pm" not in gold + answer:
            return await same_values(values[0], values[1], self._same)
        return None

    async def _same_measure(self, gold: str, answer: str) -> bool:
        """Return whether both are equal without units; units are compared only if both have one."""
        (expected, unit), (found, given) = split_unit(gold), split_unit(answer)
        for angle, other, name in ((gold, found, unit), (answer, expected, given)):
            if name == "degree" and _RADIANS.search(other) and {unit, given} <= {"degree", "radian", ""}:
                turned = rf"({split_unit(angle)[0]})\frac{{\pi}}{{180}}"
                return await self._compare_formulas(
                    *((turned, other) if angle is gold else (other, turned)), self.set_relations
                )
        ratio = unit_ratio(given, unit) if unit and given and given != unit else Fraction(1)
        if ratio is None:
            return False
        if ratio != 1:
            found = rf"\frac{{{ratio.numerator}}}{{{ratio.denominator}}}({found})"
        return await self._compare_formulas(expected, found, self.set_relations)

    async def _same_items(self, expected: Collection, found: Collection) -> bool:
        ordered = expected.ordered or found.ordered
        if ordered and not self._brackets_agree(expected, found):
            if self.strict:
                return False
            ordered = False
        wanted, given = _all_items(expected, ordered), _all_items(found, ordered)
        if ordered:
            wanted, given = _sorted_by_name(wanted), _sorted_by_name(given)
        if len(wanted) != len(given):
            return False
        if ordered:
            for gold, answer in zip(wanted, given, strict=True):
                if not await self._same(gold, answer):
                    return False
            return True
        return await same_in_any_order(wanted, given, self._same)

    async def _same_cells(self, expected: tuple[tuple[str, ...], ...], found: tuple[tuple[str, ...], ...]) -> bool:
        if [len(row) for row in expected] != [len(row) for row in found]:
            return False
        for gold, answer in zip(expected, found, strict=True):
            for wanted, given in zip(gold, answer, strict=True):
                if not await self._same(wanted, given):
                    return False
        return True

    def _brackets_agree(self, expected: Collection, found: Collection) -> bool:
        """Return whether the brackets are compatible: interval ends must agree, a bare list may be a tuple."""
        if expected.brackets == found.brackets:
            return True
        pair = {expected.brackets, found.brackets}
        return pair == {"", "()"} or (pair <= {"", "()", "[]"} and len(expected.items) > 2)

    async def _same_chains(self, gold: str, answer: str, expected: Chain | None, found: Chain | None) -> bool | None:
        """Return whether equations are equal; None if neither side is the value of a name or a computation."""
        variables = has_letters(gold) or has_letters(answer)
        if expected and found and variables and not (expected.name and found.name):
            return await self._compare_formulas(gold, answer, self.set_relations)
        if expected and found and {expected.head[:6], found.head[:6]} == {r"\angle"} and expected.head != found.head:
            return expected.head[6:] == found.head[:5:-1]  # the angles ABC and CBA are one
        if expected and found and expected.head != found.head and not _same_function(expected, found):
            if len(expected.sides) != 2 or len(found.sides) != 2:
                return False
            return await self._compare_formulas(gold, answer, self.set_relations)  # y = x is x = y
        if expected and not expected.name and len(expected.sides) > 1 and has_letters(gold):
            return None if has_relation(answer) else False  # an equation differs from its right side
        if found and not found.name and not await self._holds(found):
            return False
        if found and has_relation(gold) and not found.member:
            return None
        if expected and expected.member and has_relation(answer):
            return await self._compare_formulas(to_latex(expected.sides[-1]), answer, True)
        value = expected.sides[-1] if expected else gold
        if found and found.member and has_relation(gold):
            return await self._same(gold, found.sides[-1])
        given = value_for(expected, found) if expected and found else found.sides[-1] if found else answer
        return await self._same(value, given)

    async def _holds(self, chain: Chain) -> bool:
        """Return whether an unnamed computation is true at every step; sides in different units are skipped."""
        for left, right in zip(chain.sides, chain.sides[1:], strict=False):
            if any(has_letters(side) and not _BINDS.search(side) for side in (left, right)):
                return False
            values = read_quantity(left), read_quantity(right)
            units = {value.unit for value in values if value is not None}
            try:
                if len(units) < 2 and not await self._same(right, left):
                    return False
            except UnreadableGold:  # both sides come from the reply, so the dataset is not at fault
                return False
        return True

    async def _compare_formulas(self, gold: str, answer: str, set_relations: bool) -> bool:
        """Return whether two texts in plain notation are equal, by exact rules where possible, else by math-verify."""
        same = self.formulas.equal(gold, answer)
        rounded = self.places is not None and "." in gold + answer
        if same or (same is False and not rounded):
            return same
        if self.cpu_seconds <= 0.01:
            raise Undecided("timeout", "the comparison of all parts took too much CPU time")
        if ("'" in gold) is not ("'" in answer):
            return False  # math-verify equates a derivative with its function
        if _BOUND_INDEX.search(gold) or _BOUND_INDEX.search(answer):
            return False  # sympy takes a_k in a sum over k for a constant
        request = {"gold": to_latex(gold), "answer": to_latex(answer), "places": self.places, "strict": True}
        outcome = await self.ask({**request, "set_relations": set_relations}, self.cpu_seconds)
        if outcome.status != "ok":
            raise Undecided(outcome.status, f"math-verify: {outcome.reason}")
        self.cpu_seconds -= outcome.answer.get("seconds", 0.0)
        match outcome.answer.get("unparseable"):
            case "gold":
                if read_real_set(gold):
                    return False  # it is read here, and the answer is something else
                raise UnreadableGold(
                    "infra_error", f"the task's answer is not mathematics: {gold!r:.80}; repair the dataset"
                )
            case "answer":
                raise Undecided("unparseable", f"the answer is not mathematics: {answer!r:.80}")
        return bool(outcome.answer["equal"])


def _collection(text: str) -> Collection | None:
    """Return ``text`` as a collection, or None; ``1,000,000`` is a number."""
    collection = read_collection(text) if read_quantity(text) is None else None
    if collection and collection.ordered and r"\pm" in text:
        return plus_or_minus(text) or collection
    return collection


def _same_function(expected: Chain, found: Chain) -> bool:
    """Return whether one name is a function of a variable and the other is ``y``."""
    heads, called = (expected.head, found.head), ("(" in expected.name, "(" in found.name)
    return (heads[1] == "y" and called[0]) or (heads[0] == "y" and called[1])


def _is_list(collection: Collection | None) -> bool:
    return collection is not None and not collection.brackets


def _is_several(collection: Collection) -> bool:
    return len(collection.items) != 1 or collection.brackets == "{}"


def _expand_plus_minus(collection: Collection | None, text: str) -> Collection | None:
    return collection if collection is not None or "=" in text else plus_or_minus(text)


def _all_items(collection: Collection, ordered: bool) -> list[str]:
    """Return the items; if unordered, without duplicates and with both values of each plus-or-minus sign."""
    if ordered:
        return list(collection.items)
    pairs = ((item, plus_or_minus(item) if "=" not in item else None) for item in collection.items)
    parts = [part for item, pair in pairs for part in (pair.items if pair else (item,))]
    return list({part.replace(" ", ""): part for part in parts}.values())


def _sorted_by_name(items: list[str]) -> list[str]:
    """Return named items sorted by name, so that ``y=1, x=2`` is a tuple of x and y; others stay unchanged."""
    chains = [read_chain(item) for item in items]
    names = [chain.name if chain else "" for chain in chains]
    if not all(names) or len(set(names)) < len(names):
        return items
    return [item for _, item in sorted(zip(names, items, strict=True))]
