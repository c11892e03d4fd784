"""Verifiers that score how alike the answer and a reference are: ROUGE, and the edit distance."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..case import Case
from ..errors import ConfigError, nearest
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .normalization import normalized, references
from .think import split_reasoning

VARIANTS = ("rouge1", "rouge2", "rougeL")
MAX_ITEMS = 20_000
"""Most words, or characters, of an answer; a longer one gets status ``limit``."""


@verifier("rouge")
@dataclass(frozen=True)
class Rouge:
    """The answer shares words with ``task.answer``; the score is the F-measure of ROUGE (Lin, 2004).

    Texts are normalised first (see ``exact``). If ``task.answer`` is a list, the best item counts.

    Attributes:
        variant: ``rouge1`` (words), ``rouge2`` (pairs of neighbouring words) or ``rougeL`` (the longest common
            subsequence of words).
        pass_mark: smallest score with status ``ok``; the score is the F-measure itself in either case.

    Example:
        {"verifier": "rouge", "completion": "the cat sat down", "answer": "the cat lay down"} -> 0.6666666666666666
        {"verifier": "rouge", "completion": "It rains.", "answer": "it rains", "params": {"variant": "rouge2"}} -> 1.0
    """

    variant: str = "rougeL"
    pass_mark: float = 0.5
    instances: ClassVar[tuple[str, ...]] = VARIANTS
    row_params: ClassVar[frozenset[str]] = frozenset({"variant"})

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ConfigError(f"verifier 'rouge': unknown variant {self.variant!r}; {nearest(self.variant, VARIANTS)}")
        _check_pass_mark("rouge", self.pass_mark)

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` or ``wrong`` with the F-measure, ``unparseable`` for an empty answer, or ``limit``."""
        return _best(case, self.pass_mark, lambda text: normalized(text).split(), self._score)

    def _score(self, found: Sequence[str], expected: Sequence[str]) -> float:
        if self.variant == "rougeL":
            return _f_measure(common_length(found, expected), len(found), len(expected))
        size = 1 if self.variant == "rouge1" else 2
        grams = [Counter(zip(*(words[n:] for n in range(size)), strict=False)) for words in (found, expected)]
        return _f_measure((grams[0] & grams[1]).total(), grams[0].total(), grams[1].total())


@verifier("edit_distance")
@dataclass(frozen=True)
class EditDistance:
    """The answer is nearly ``task.answer``; the score is 1 minus the edit distance, as a share of the longer text.

    The distance is Levenshtein's: the fewest insertions, deletions and replacements. White space at the ends and
    between words is ignored. If ``task.answer`` is a list, the nearest item counts.

    Attributes:
        unit: ``characters`` or ``words``; with words, the score is 1 minus a word error rate.
        ignore_case: compare in lower case.
        pass_mark: smallest score with status ``ok``; the score is the similarity itself in either case.

    Example:
        {"verifier": "edit_distance", "completion": "kitten", "answer": "mitten"} -> 0.8333333333333334
        {"verifier": "edit_distance", "completion": "a b x", "answer": "a b c d", "params": {"unit": "words"}} -> 0.5
    """

    unit: str = "characters"
    ignore_case: bool = False
    pass_mark: float = 0.8
    instances: ClassVar[tuple[str, ...]] = ("characters", "words")
    row_params: ClassVar[frozenset[str]] = frozenset({"unit", "ignore_case"})

    def __post_init__(self) -> None:
        if self.unit not in self.instances:
            raise ConfigError(
                f"verifier 'edit_distance': unknown unit {self.unit!r}; {nearest(self.unit, self.instances)}"
            )
        _check_pass_mark("edit_distance", self.pass_mark)

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` or ``wrong`` with the similarity, ``unparseable`` for an empty answer, or ``limit``."""
        return _best(case, self.pass_mark, self._items, lambda a, b: 1 - distance(a, b) / max(len(a), len(b)))

    def _items(self, text: str) -> Sequence[str]:
        words = (text.casefold() if self.ignore_case else text).split()
        return words if self.unit == "words" else " ".join(words)


def common_length(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence, with a bit for each item of ``a`` (Hyyrö, 2004)."""
    places = _places(a)
    row = whole = (1 << len(a)) - 1
    for item in b:
        shared = row & places.get(item, 0)
        row = ((row + shared) | (row - shared)) & whole
    return len(a) - row.bit_count()


def distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Return Levenshtein's distance, with a bit for each item of ``a`` (Myers, 1999)."""
    if not a:
        return len(b)
    places = _places(a)
    whole, last, score = (1 << len(a)) - 1, 1 << (len(a) - 1), len(a)
    above, below = whole, 0  # where the next row is one more, or one less, than the row before
    for item in b:
        equal = places.get(item, 0)
        across = (((equal & above) + above) ^ above) | equal
        up, down = below | ~(across | above), above & across
        score += bool(up & last) - bool(down & last)
        up, down = (up << 1) | 1, down << 1
        above, below = (down | ~(equal | below | up)) & whole, up & (equal | below) & whole
    return score


def _places(items: Sequence[Hashable]) -> dict[Hashable, int]:
    """Return the bits of the places of each item."""
    found: dict[Hashable, int] = {}
    for place, item in enumerate(items):
        found[item] = found.get(item, 0) | 1 << place
    return found


def _f_measure(shared: int, found: int, expected: int) -> float:
    return 2 * shared / (found + expected) if shared else 0.0


def _check_pass_mark(name: str, value: float) -> None:
    if isinstance(value, bool) or not 0 < value <= 1:
        raise ConfigError(f"verifier {name!r}: pass_mark must be above 0 and at most 1, found {value!r}")


def _best(
    case: Case,
    pass_mark: float,
    items: Callable[[str], Sequence[str]],
    score: Callable[[Sequence[str], Sequence[str]], float],
) -> Verdict:
    """Return the verdict for the reference that is most like the answer."""
    expected = [(items(text), text) for text in references(case.answer)]
    if not expected or not all(part for part, _ in expected):
        return infra_error("the task has no answer to compare with; repair the dataset")
    found = items(split_reasoning(case.completion)[1])
    if not found:
        return unparseable("the answer is empty")
    if max(len(found), *(len(part) for part, _ in expected)) > MAX_ITEMS:
        return Verdict(0.0, "limit", f"the answer or the reference has more than {MAX_ITEMS} words or characters")
    value, text = max((score(found, part), text) for part, text in expected)
    verdict = passed if value >= pass_mark else wrong
    return verdict(f"{value:.3f} alike with {text!r:.80}", value, reference=text[:200])
