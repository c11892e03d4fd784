"""The verifiers ``pairwise`` and ``preference``: a language model says which of two replies is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import aiohttp

from ..case import Case
from ..errors import ConfigError, DataError, EngineError, InfrastructureError
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .agreement import agreement
from .answers import Answers
from .judge import shown_reply, task_text
from .model import JudgeModel, NoVerdict, gathered, judge_models
from .prompt import CONTROL, Question
from .settings import JudgeSettings

FIRST, SECOND = "REPLY 1", "REPLY 2"
ANSWERS = Answers(labels={"1": 1.0, "2": 0.0, "tie": 0.5})
_INSTRUCTIONS = (
    f"You compare {FIRST} and {SECOND} to the TASK. The answer is 1 if {FIRST} is better, 2 if {SECOND} is better, and "
    "tie if neither is. Their order means nothing, and a longer reply is not better for its length."
)


class Match(NamedTuple):
    """The result of a comparison.

    Attributes:
        first: the share of the point that the first text gets: 1, 0, 0.5 for a tie, or between for several judges.
        second: that of the second text; both get 0 if both keep the judge from giving a verdict.
        shares: what each judge gave the first text.
        steady: whether every judge said the same in both orders.
    """

    first: float
    second: float
    shares: tuple[float, ...] = ()
    steady: bool = True

    @property
    def turned(self) -> "Match":
        """The same result for the texts in the other order."""
        return Match(self.second, self.first, tuple(1 - share for share in self.shares), self.steady)


@dataclass(frozen=True, kw_only=True)
class _Comparison(JudgeSettings):
    """A judge of two replies."""

    rubric: str
    reasoning: bool = False
    row_params: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.rubric.strip():
            raise ConfigError("a judge's rubric is text with the criteria, found ''")

    async def _match(self, session: aiohttp.ClientSession, task: str, first: str, second: str) -> Match:
        """Compare two texts with all judges.

        Raises:
            InfrastructureError: an endpoint failed, or a judge gives no verdict and neither text is the reason.
        """
        if first == second or not first or not second:
            share = 0.5 if first == second else float(bool(first))
            return Match(share, 1 - share)
        models = judge_models(self)
        try:
            found = await gathered(_both_orders(session, model, self.rubric, task, first, second) for model in models)
        except NoVerdict as failure:
            return await self._forfeit(session, models, task, (first, second), failure)
        shares = tuple(share for share, _ in found)
        share = sum(shares) / len(shares)
        return Match(share, 1 - share, shares, all(steady for _, steady in found))

    async def _forfeit(
        self,
        session: aiohttp.ClientSession,
        models: list[JudgeModel],
        task: str,
        texts: tuple[str, str],
        failure: NoVerdict,
    ) -> Match:
        """The match that a text loses by keeping the judges from a verdict, also against a harmless text."""
        at_fault = []
        for text in texts:
            question = _question(self.rubric, task, text, CONTROL)
            try:
                await gathered(model.ask(session, question, FIRST) for model in models)
                at_fault.append(False)
            except NoVerdict:  # the judge can compare two harmless texts, so this one is the reason
                at_fault.append(True)
        if not any(at_fault):
            raise EngineError(f"the judge gives no verdict on two replies, and neither is the reason: {failure}")
        return Match(float(not at_fault[0]), float(not at_fault[1]))


@verifier("pairwise")
@dataclass(frozen=True, kw_only=True)
class Pairwise(_Comparison):
    """An attempt scores the share of the other attempts at its task that a language model finds worse.

    Each pair is judged in both orders, so that a preference for a position cancels out; a judge that contradicts itself
    makes a tie. Identical replies tie, and an empty one loses, without a call. It is a group verifier and sees all
    attempts at once; the score is a number without a pass mark.

    Attributes:
        rubric: what makes a reply better, in your own words.
        rounds: how many others each attempt meets at least; 0 for all.
        reasoning: show the reasoning of the replies, too.
        url, model, key_variable, temperature, max_tokens, options, cache, concurrency, deadline, tries, backoff: as in
            ``judge``.
        longest, prices, budget: as in ``judge``; a reply that is too long counts as empty.

    Example:
        {"verifier": "pairwise", "completions": ["4", "4", "<think>so</think>"], "params":
        {"url": "http://localhost:8000/v1", "model": "a-judge", "rubric": "Better is shorter."}} -> [0.75, 0.75, 0.0]
    """

    rounds: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.rounds, bool) or not isinstance(self.rounds, int) or self.rounds < 0:
            raise ConfigError(f"verifier 'pairwise': rounds is 0 or more, found {self.rounds!r:.80}")

    async def verify_group(self, cases: Sequence[Case]) -> list[Verdict]:
        """Return the share of won matches for each attempt; all are an ``infra_error`` if the judge failed."""
        texts = [shown_reply(case, self.reasoning) for case in cases]
        texts = [text if len(text) <= self.longest else "" for text in texts]
        pairs = schedule(len(cases), self.rounds)
        try:
            async with judge_models(self)[0].endpoint.session() as session:
                task = task_text(cases[0])
                matches = await gathered(self._match(session, task, texts[a], texts[b]) for a, b in pairs)
        except InfrastructureError as error:
            return [infra_error(str(error))] * len(cases)
        played: list[list[Match]] = [[] for _ in cases]
        for (a, b), match in zip(pairs, matches, strict=True):
            played[a].append(match)
            played[b].append(match.turned)
        return [_verdict(own) for own in played]


@verifier("preference")
@dataclass(frozen=True, kw_only=True)
class Preference(_Comparison):
    """A language model finds the reply better than the task's answer, or as good.

    Both orders are judged, as in ``pairwise``: better scores 1, a tie 0.5, worse 0. Unlike ``pairwise``, it needs no
    group.

    Attributes:
        rubric: what makes a reply better, in your own words.
        reasoning: show the reasoning of the reply, too.
        url, model, key_variable, temperature, max_tokens, options, cache, concurrency, deadline, tries, backoff: as in
            ``judge``.
        longest, prices, budget: as in ``judge``.

    Example:
        {"verifier": "preference", "completion": "4", "answer": "4", "params":
        {"url": "http://localhost:8000/v1", "model": "a-judge", "rubric": "Better is shorter."}} -> 0.5
    """

    def check_expected(self, answer: Any, info: Any) -> None:
        """Raise ``DataError`` if the task's answer is no text to compare with."""
        if not isinstance(answer, str) or not answer.strip():
            raise DataError(f"the task's answer is the text to compare with, found {answer!r:.80}; repair the dataset")

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` for a score of at least 0.5, else ``wrong``."""
        reply = shown_reply(case, self.reasoning)
        if not reply:
            return unparseable("the reply is empty")
        if len(reply) > self.longest:
            return Verdict(0.0, "limit", f"the reply has {len(reply)} characters, more than longest = {self.longest}")
        try:
            self.check_expected(case.answer, case.task.info)
            async with judge_models(self)[0].endpoint.session() as session:
                match = await self._match(session, task_text(case), reply, case.answer)
        except (InfrastructureError, DataError) as error:
            return infra_error(str(error))
        give = passed if match.first >= 0.5 else wrong
        return give("compared with the task's answer", match.first, **_evidence([match]))


def schedule(players: int, rounds: int) -> list[tuple[int, int]]:
    """The pairs of a round-robin tournament by the circle method.

    Args:
        players: how many.
        rounds: how many others each player meets at least; 0 for all.
    """
    rests = players % 2  # with an odd number, a different player rests in each round, so there is one round more
    seats: list[int] = list(range(players)) + [-1] * rests
    pairs = []
    for _ in range(min(rounds + rests if rounds else players, len(seats) - 1)):
        half = len(seats) // 2
        pairs += [pair for pair in zip(seats[:half], reversed(seats[half:]), strict=True) if -1 not in pair]
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return pairs


async def _both_orders(
    session: aiohttp.ClientSession, model: JudgeModel, rubric: str, task: str, first: str, second: str
) -> tuple[float, bool]:
    """The share of the first text in one judge's view, and whether the judge said the same in both orders."""
    one, other = await gathered(
        model.ask(session, _question(rubric, task, *texts)) for texts in ((first, second), (second, first))
    )
    shares = ANSWERS.score(one.text), 1 - ANSWERS.score(other.text)
    return sum(shares) / 2, shares[0] == shares[1]


def _question(rubric: str, task: str, first: str, second: str) -> Question:
    return Question(_INSTRUCTIONS, rubric, (("TASK", task), (FIRST, first), (SECOND, second)), ANSWERS)


def _verdict(matches: list[Match]) -> Verdict:
    if not matches:
        return Verdict(0.5, reason="there is no other attempt to compare it with", graded=True)
    score = sum(match.first for match in matches) / len(matches)
    return Verdict(score, reason=f"compared with {len(matches)} others", evidence=_evidence(matches), graded=True)


def _evidence(matches: list[Match]) -> dict[str, Any]:
    """How many comparisons there were, the share that was equal in both orders, and the agreement of several judges."""
    agreements = [found for match in matches if (found := agreement(match.shares)) is not None]
    shown = {"matches": len(matches), "steady": sum(match.steady for match in matches) / len(matches)}
    return shown | ({"agreement": sum(agreements) / len(agreements)} if agreements else {})
