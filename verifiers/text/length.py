"""Verifier for length limits, with hard or soft edges."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from ..case import Case
from ..errors import ConfigError, nearest
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, wrong
from .instructions.wording import lines, sentences, words
from .think import split_reasoning

PARTS = ("answer", "reasoning", "both")
_COUNTS: Mapping[str, Callable[[str], int]] = {
    "characters": len,
    "words": lambda text: len(words(text)),
    "sentences": lambda text: len(sentences(text)),
    "lines": lambda text: len(lines(text)),
}
UNITS = (*_COUNTS, "tokens")


@verifier("length")
@dataclass(frozen=True)
class Length:
    """The length of the answer, the reasoning, or both is within bounds; outside them the score falls to 0.

    Tokens are counted over everything the agent sampled in the episode. DAPO's soft overlong punishment, with a limit
    of 20480 tokens of which the last 4096 are punished, is ``unit="tokens", of="both", minimum=0, maximum=16384,
    margin=4096, penalty=True``. Without ``penalty`` every score is higher by 1 and the advantages are the same.

    Attributes:
        maximum: largest length that scores 1; None for no bound.
        minimum: smallest length that scores 1; an empty text scores 0 unless this is 0.
        unit: ``characters`` (without surrounding white space), ``words`` (runs of letters and digits), ``sentences``,
            ``lines`` (non-blank ones), or ``tokens`` (only with ``of="both"``).
        of: ``answer``, ``reasoning`` or ``both``.
        margin: number of units outside a bound over which the score falls linearly from 1 to 0; 0 is a hard edge.
        penalty: score 0 within the bounds and down to -1 outside, so that the verifier only takes away.

    Example:
        {"verifier": "length", "completion": "one two three", "answer": null, "params": {"maximum": 3, "unit": "words"}}
        -> 1.0
        {"verifier": "length", "completion": "one two three four", "answer": null,
         "params": {"maximum": 3, "unit": "words", "margin": 4}} -> 0.75
    """

    maximum: int | None = None
    minimum: int = 1
    unit: str = "characters"
    of: str = "answer"
    margin: int = 0
    penalty: bool = False
    instances: ClassVar[tuple[str, ...]] = tuple(
        f"{unit} of {of}" for unit in UNITS for of in PARTS if unit != "tokens" or of == "both"
    )
    row_params: ClassVar[frozenset[str]] = frozenset({"maximum", "minimum", "unit", "of", "margin"})

    def __post_init__(self) -> None:
        for name, known in (("unit", UNITS), ("of", PARTS)):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(f"verifier 'length': unknown {name} {value!r}; {nearest(str(value), known)}")
        if self.unit == "tokens" and self.of != "both":
            raise ConfigError(f"verifier 'length': tokens cannot be counted for the {self.of} alone; set of = 'both'")
        for name in ("minimum", "margin", "maximum"):
            value = getattr(self, name)
            if name == "maximum" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ConfigError(f"verifier 'length': {name} must not be negative, found {value!r}")
        if self.maximum is not None and self.maximum < self.minimum:
            raise ConfigError(f"verifier 'length': maximum {self.maximum} is below minimum {self.minimum}; swap them")

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` within the bounds, else ``wrong`` with the score of the soft edge."""
        count = self._count(case)
        if count is None:
            return infra_error("the trajectory has no tokens; count characters or words, or sample with an engine")
        share = self._share(count)
        score = share - 1.0 if self.penalty else share
        if share == 1.0:
            best = {"best": 0.0} if self.penalty else {}
            return passed(f"{count} {self.unit}", score, count=count, **best)
        bound = f"at most {self.maximum}" if count > self.minimum else f"at least {self.minimum}"
        return wrong(f"{count} {self.unit}, expected {bound}", score, count=count)

    def _count(self, case: Case) -> int | None:
        if self.unit == "tokens":
            own = [segment for segment in case.trajectory.segments if segment.agent == case.agent]
            return sum(int(segment.sampled.sum()) for segment in own) if own else None
        reasoning, answer = split_reasoning(case.visible)
        text = {"answer": answer, "reasoning": reasoning, "both": f"{reasoning}\n{answer}".strip()}[self.of]
        return _COUNTS[self.unit](text)

    def _share(self, count: int) -> float:
        if self.maximum is not None and count > self.maximum:
            return max(0.0, 1 - (count - self.maximum) / self.margin) if self.margin else 0.0
        if count < self.minimum:  # an empty text scores 0, however wide the margin
            margin = min(self.margin, self.minimum)
            return max(0.0, 1 - (self.minimum - count) / margin) if margin else 0.0
        return 1.0
