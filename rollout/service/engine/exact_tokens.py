"""Exact tokens: a posted training sequence is matched with what was sampled, and repaired where that can be proven."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ....verifiers.errors import DataError
from ...engines.engine import Ids, Logprobs
from .conversations import Conversations, Turn

Outcome = Literal["exact", "repaired", "unprovable"]
Flags = npt.NDArray[np.bool_]

UNTRAINED = -100
"""What a mask has where a token is not trained, and the id of the token elsewhere."""

_CLOSE = 1e-2  # logprobs of one sample differ by less, after JSON and a client's float32


@dataclass(frozen=True, eq=False)
class Repair:
    """A posted sequence as it was sampled, as far as that is known; all arrays have one length.

    Attributes:
        outcome: ``exact``: the posted ids are those that were sampled, and all that is trained was sampled.
            ``repaired``: ids or mask were replaced. ``unprovable``: everything is as it was posted.
        tokens: int32.
        mask: whether the token is trained.
        sampled: whether the token was sampled; none is where that is unprovable.
        logprobs: float32, from the sampler; NaN where the token was not sampled, and where it was drawn with top_p or
            top_k, because its logprob is not the policy's then.
        versions: int32, of the weights that sampled the token; -1 where it was not sampled.
        temperature: of the trained tokens; 1 where it is not known.
        dropped: how many tokens the posted mask trains that were not sampled, and are not trained now.
        reason: why it is unprovable.
    """

    outcome: Outcome
    tokens: Ids
    mask: Flags
    sampled: Flags
    logprobs: Logprobs
    versions: Ids
    temperature: float = 1.0
    dropped: int = 0
    reason: str = ""

    def wire_mask(self) -> list[int]:
        """The mask as Atropos writes it."""
        return [int(value) for value in np.where(self.mask, self.tokens, UNTRAINED)]

    def wire_logprobs(self) -> list[float]:
        """The logprobs as Atropos writes them: 1.0 where there is none."""
        return [float(value) for value in np.where(np.isnan(self.logprobs), 1.0, self.logprobs)]


def repaired(memory: Conversations, tokens: list[int], mask: list[int], logprobs: list[float] | None) -> Repair:
    """Match a posted sequence with what ``memory`` holds, and count the outcome there.

    Equal ids are exact. The one exception is a sequence whose text was sampled with other ids too, and whose logprobs
    do not tell which of the samples it is. Otherwise the text has to be that of exactly one remembered conversation:
    the text of each prompt, and of each reply, up to white space around replies, the token that ends the last turn and
    the one that begins the text.

    Args:
        memory: what was sampled.
        tokens: the ids.
        mask: -100 where a token is not trained.
        logprobs: one for each token, if the environment has them.

    Raises:
        DataError: the lengths differ, a token is no id, or nothing is trained.
    """
    if len(mask) != len(tokens) or (logprobs is not None and len(logprobs) != len(tokens)):
        found = f"{len(tokens)} tokens, {len(mask)} in the mask, {'no' if logprobs is None else len(logprobs)} logprobs"
        raise DataError(f"tokens, mask and logprobs have one length, found {found}")
    if not all(0 <= token < 1 << 31 for token in tokens):
        raise DataError("token ids are 0 or more and fit 32 bits")
    posted = _Posted(np.asarray(tokens, np.int32), np.asarray(mask) != UNTRAINED, logprobs)
    if not posted.mask.any():
        raise DataError("a sequence trains at least one token; its mask is -100 everywhere")
    try:
        repair = _by_ids(memory, posted) or _by_text(memory, posted)
    except Unprovable as error:
        size = len(tokens)
        nothing = np.full(size, np.nan, np.float32), np.full(size, -1, np.int32)
        repair = Repair("unprovable", posted.tokens, posted.mask, np.zeros(size, np.bool_), *nothing, reason=str(error))
    setattr(memory.counts, repair.outcome, getattr(memory.counts, repair.outcome) + 1)
    return repair


class Unprovable(Exception):
    """Nobody can tell what was sampled."""


class _Posted(NamedTuple):
    tokens: Ids
    mask: Flags
    logprobs: list[float] | None


def _by_ids(memory: Conversations, posted: _Posted) -> Repair | None:
    """The repair if the ids are those of a remembered conversation, as far as anything of them is trained."""
    size = posted.tokens.size
    found = [
        (int((posted.mask & ~_laid_out(turn, size).sampled).sum()), turn)
        for turn in memory.with_prompt(posted.tokens)
        if _has_ids(memory, turn, posted)
    ]
    if not found:
        return None
    _, turn = min(found, key=lambda each: each[0])  # the one that knows most of what is trained
    alike = [(other, other.tokens()) for other in memory.alike(turn)]
    same = [other for other, ids in alike if np.array_equal(ids, turn.tokens())] or [turn]
    repairs = [_limited(posted.tokens, posted.mask, _laid_out(other, size)) for other in reversed(same)]
    repair = next((repair for repair in repairs if _agree(posted, repair)), repairs[0])
    if len(same) < len(alike) and not _agree(posted, repair):
        raise Unprovable("this text was sampled with other ids too, and no logprobs tell which sample this is")
    return repair


def _has_ids(memory: Conversations, turn: Turn, posted: _Posted) -> bool:
    """Whether the posted ids are the turn's: fewer where they were cut off, more where nothing of the rest counts."""
    whole = turn.tokens()
    both = min(whole.size, posted.tokens.size)
    rest = posted.tokens[both:][posted.mask[both:]]
    return (
        both > turn.start
        and np.array_equal(whole[:both], posted.tokens[:both])
        and _is_closing(memory, memory.renderer.decode(rest, ()))
    )


def _by_text(memory: Conversations, posted: _Posted) -> Repair:
    """The repair if the text is that of exactly one remembered conversation."""
    reading = _read(memory, posted)
    known = memory.with_root(reading.text)
    if not known:
        raise Unprovable("no remembered conversation begins with this prompt")
    fits = [fit for turn in known if (fit := _fit(memory, turn, reading))]
    if not fits:
        raise Unprovable("the text differs from all remembered conversations that begin with this prompt")
    earlier = {id(turn) for fit in fits for turn in fit.turn.chain()[:-1]}
    fits = [fit for fit in fits if id(fit.turn) not in earlier]  # a longer conversation says more than its beginning
    fits = [fit for fit in fits if fit.strict] or fits
    different = {fit.turn.tokens().tobytes() for fit in fits}
    if len(different) > 1:
        raise Unprovable(f"remembered samples with {len(different)} different ids read like this")
    fit = fits[-1]  # the newest of those with the same ids
    if fit.open_ended:
        raise Unprovable("the text may be a longer sample that was cut off")
    return _told(memory, posted, reading, fit)


def _told(memory: Conversations, posted: _Posted, reading: _Reading, fit: _Fit) -> Repair:
    """The remembered ids, with the mask that the posted one means."""
    turn, chain = fit.turn, fit.turn.chain()
    mask = np.zeros(turn.size, np.bool_)
    for each, place, end in zip(chain, fit.places, fit.ends, strict=True):
        share = reading.trained_share(*place)
        if share is None:
            raise Unprovable("the mask trains a part of a reply, and the ids of the reply are others")
        at = slice(each.start, each.size)
        mask[at] = share
        if each.end and end is not None and share:
            mask[each.size - 1] = reading.trained_share(*end) is not False
    repair = _limited(turn.tokens(), mask, _laid_out(turn, turn.size))
    dropped = sum(
        count for start, stop, count in reading.runs if not any(a < stop and start < b for a, b in fit.places)
    )
    return replace(repair, outcome="repaired", dropped=repair.dropped + dropped)


class _Laid(NamedTuple):
    """What is known of each token."""

    sampled: Flags
    logprobs: Logprobs
    versions: Ids
    temperatures: npt.NDArray[np.float64]


def _laid_out(last: Turn, size: int) -> _Laid:
    """What is known of the first ``size`` tokens of the conversation that ends with ``last``."""
    laid = _Laid(
        np.zeros(size, np.bool_),
        np.full(size, np.nan, np.float32),
        np.full(size, -1, np.int32),
        np.full(size, np.nan),
    )
    for turn in last.chain():
        kept = max(0, min(turn.size, size) - turn.start)
        span = slice(turn.start, turn.start + kept)
        laid.sampled[span] = True
        laid.logprobs[span] = np.nan if turn.filtered else turn.completion.logprobs[:kept]
        laid.versions[span] = turn.completion.versions[:kept]
        laid.temperatures[span] = turn.temperature
    return laid


def _limited(tokens: Ids, wanted: Flags, laid: _Laid) -> Repair:
    """The repair that trains what is wanted, was sampled, and has the temperature of the last such token."""
    mask = wanted & laid.sampled
    if not mask.any():
        raise Unprovable("nothing of what the mask trains was sampled in this conversation")
    temperature = float(laid.temperatures[mask][-1])
    mask &= laid.temperatures == temperature
    dropped = int((wanted & ~mask).sum())
    outcome: Outcome = "repaired" if dropped else "exact"
    return Repair(outcome, tokens, mask, laid.sampled, laid.logprobs, laid.versions, temperature, dropped)


def _agree(posted: _Posted, repair: Repair) -> bool:
    """Whether the posted logprobs are those of the sample."""
    if posted.logprobs is None:
        return False
    given = np.asarray(posted.logprobs, np.float64)[repair.mask]
    return bool(np.isfinite(given).all() and np.allclose(given, repair.logprobs[repair.mask], rtol=0, atol=_CLOSE))


class _Reading(NamedTuple):
    """A posted sequence as text.

    Attributes:
        text: the whole, without what may stand before it.
        runs: start, end and number of tokens of each stretch of the text that is trained.
    """

    text: str
    runs: list[tuple[int, int, int]]

    def trained_share(self, start: int, end: int) -> bool | None:
        """Whether all of this part is trained, or nothing of it; None for a part of it."""
        if any(a <= start and end <= b and a < b for a, b, _ in self.runs):
            return True
        return None if any(a < end and start < b for a, b, _ in self.runs) else False


def _read(memory: Conversations, posted: _Posted) -> _Reading:
    """The text of each stretch that is trained, or is not, one after the other."""
    cuts = np.flatnonzero(np.diff(posted.mask.astype(np.int8))) + 1
    text, runs = "", []
    for ids, flags in zip(np.split(posted.tokens, cuts), np.split(posted.mask, cuts), strict=True):
        start, text = len(text), text + memory.renderer.decode(ids, ())
        if flags[0]:
            runs.append((start, len(text), int(ids.size)))
    cut = len(text) - len(memory.root_text(text))
    return _Reading(text[cut:], [(max(0, a - cut), max(0, b - cut), count) for a, b, count in runs])


class _Fit(NamedTuple):
    """A remembered conversation that reads like the posted text.

    Attributes:
        turn: its last reply.
        places: where each reply stands in the posted text.
        ends: where the token stands that ended each reply; None where the text does not have it.
        strict: whether the white space around replies is the same too.
        open_ended: whether the text ends within the last reply, or where a longer reply could have gone on.
    """

    turn: Turn
    places: list[tuple[int, int]]
    ends: list[tuple[int, int] | None]
    strict: bool
    open_ended: bool


def _fit(memory: Conversations, turn: Turn, reading: _Reading) -> _Fit | None:
    """How the posted text goes along with a remembered conversation; None where they differ."""
    text, at, strict = reading.text, 0, True
    places: list[tuple[int, int]] = []
    ends: list[tuple[int, int] | None] = []
    for number, each in enumerate(turn.chain()):
        context = each.context_text if number else memory.root_text(each.context_text)
        at, same = _passed(text, at, context)
        if at < 0:
            return None
        forms = [each.text] + [each.shown] * (each.shown != each.text)
        found = [(_passed(text, at, form), form) for form in forms]
        (after, exactly), form = next((item for item in found if item[0][0] >= 0), found[0])
        if after < 0:
            rest = text[at:].strip()
            cut_off = each is turn and bool(rest) and each.text.strip().startswith(rest)
            return _Fit(turn, [], [], False, True) if cut_off else None
        places.append((after - len(form.strip()), after))
        strict = strict and same and exactly
        at = after
        space = len(text) - len(text[at:].lstrip())
        ends.append((space, space + len(each.end)) if each.end and text.startswith(each.end, space) else None)
        at = ends[-1][1] if ends[-1] else at
    if any(not _is_closing(memory, text[max(at, a) : b]) for a, b, _ in reading.runs if b > at):
        return None
    longer = ends[-1] is None and not text[at:].strip() and _goes_on(memory, turn)
    return _Fit(turn, places, ends, strict, longer)


def _passed(text: str, at: int, part: str) -> tuple[int, bool]:
    """Where ``part`` ends in ``text``, white space around it aside, and whether that is equal too; -1 if it differs."""
    core = part.strip()
    start = at + len(text[at:]) - len(text[at:].lstrip()) if core else at
    if not text.startswith(core, start):
        return -1, False
    return start + len(core), text.startswith(part, at)


def _goes_on(memory: Conversations, turn: Turn) -> bool:
    """Whether another reply to the same prompt begins with this one: a text without an end may be either."""
    said = turn.text.strip()
    others = (other for other in memory.with_prompt(turn.tokens()[: turn.start]) if other.start == turn.start)
    return any(other.text.strip() != said and other.text.strip().startswith(said) for other in others)


def _is_closing(memory: Conversations, text: str) -> bool:
    """Whether a text is white space and tokens that end a turn, which templates add behind the last reply."""
    for stop in memory.stop_texts:
        text = text.replace(stop, "")
    return not text.strip()
