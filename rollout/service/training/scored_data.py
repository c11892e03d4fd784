"""Conversions between Atropos' ScoredData (one JSON object for a group of sequences) and a ``Group``.

A sequence is an attempt with one segment. ``None``, and an empty list where one value a sequence is expected, both mean
that a field is absent: ``BaseEnv.collect_trajectories`` fills fields that nobody set with empty lists.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....verifiers.errors import DataError
from ....verifiers.group import Group
from ....verifiers.message import ROLES, Message
from ....verifiers.reward import Component, Reward
from ....verifiers.segment import Segment
from ....verifiers.task import Task
from ....verifiers.trajectory import POLICY, Trajectory
from ....verifiers.verdict import Verdict
from .sequences import Floats, Json, array_of, finite, floats, integers, rows_of, rows_up_to, score_of

CONTEXT = -100
"""In ``masks``: the token is context. Elsewhere a mask holds the token id itself."""

UNKNOWN = 1.0
"""In ``inference_logprobs``: there is no logprob, because the token is context or because nobody kept it."""

FORCED = "forced"
"""Name in ``Segment.extra`` of trained tokens without a sampler's logprob: the trainer takes its own in its place."""

REFERENCE, TEACHER_TOKEN, TEACHER_LOGPROB = "ref_logprobs", "distill_token_{}", "distill_logprob_{}"
"""Names in ``Segment.extra``, float32, so that a loss finds them in ``Tokens.extra_N``: the reference policy's
logprobs, and the teacher's k-th token (NaN for none) and its logprob, k from 0."""

SCORE = "score"
"""Label of the reward that a ScoredData's score becomes."""

MOST_TEACHER = 128
"""Most teacher tokens at one position."""

FIELDS = (
    *("tokens", "masks", "scores", "advantages", "ref_logprobs", "messages", "generation_params", "inference_logprobs"),
    *("overrides", "group_overrides", "images", "env_id", "distill_token_ids", "distill_logprobs"),
)
"""Keys of a ScoredData; all are present in what is sent."""


@dataclass(frozen=True)
class Limits:
    """What the trained model can take.

    Attributes:
        context: most tokens of a sequence.
        vocabulary: token ids are below it.
    """

    context: int = 1 << 31
    vocabulary: int = 1 << 31


@dataclass(frozen=True)
class Arrival:
    """What the service knows of a group beside the group itself.

    Attributes:
        number: of the group in the queue.
        version: of the weights when it arrived.
        versions: for each sequence, the version that sampled each token; None where the engine does not remember, and
            ``version`` stands for all.
    """

    number: int = 0
    version: int = 0
    versions: tuple[Sequence[int] | None, ...] = ()


def group_of(
    data: Json, arrival: Arrival, *, index: int = 0, environment: str = "", limits: Limits | None = None
) -> Group:
    """The group that a ScoredData describes.

    - ``scores`` become the reward ``score``, a plain number.
    - Tokens whose mask is not -100 are trained; the first one of a sequence never is, since nothing predicts it.
    - A trained token without a logprob is ``forced``: the trainer's own logprob counts.
    - ``advantages`` are used as they are.
    - ``set_advantage_to_zero`` in a sequence's overrides: it takes part in the comparison, and is not trained.
    - ``temperature`` is that of the sequence's overrides, else of ``generation_params``, else of ``group_overrides``.

    Args:
        data: with the keys of ``FIELDS``; absent ones may be left out.
        arrival: what the service knows of it.
        index: admission index of the group.
        environment: label of the environment in the run.
        limits: of the trained model.

    Raises:
        DataError: a value is not possible; the message begins with the field and its indices.
    """
    tokens = data.get("tokens")
    if not isinstance(tokens, Sequence) or isinstance(tokens, str) or not tokens:
        raise DataError(f"tokens: a group has at least one sequence, found {tokens!r:.80}")
    size = len(tokens)
    segments = [_segment(data, place, size, arrival, limits or Limits()) for place in range(size)]
    if not any(segment.mask.any() for segment in segments):
        raise DataError("masks: no token of the group is to be trained; every mask is -100")
    scores = [score_of(value, place) for place, value in enumerate(rows_of(data, "scores", size) or ())]
    if not scores:
        raise DataError(f"scores: one number for each of the {size} sequences, found none")
    messages = [_messages(data, place, size) for place in range(size)]
    task = _task(arrival, data.get("env_id"), messages[0])
    attempts = tuple(
        Trajectory(
            task,
            environment,
            {POLICY: tuple(messages[place] or ())},
            (segments[place],),
            _artifacts(data, place, size, messages[place] is None),
            rewards={POLICY: Reward((Component(SCORE, 1.0, Verdict(scores[place], graded=True)),))},
        )
        for place in range(size)
    )
    return Group(index, task, attempts)


def scored_data_of(group: Group) -> list[dict[str, Any]]:
    """The ScoredData of a scored group: one for each agent that learns, since Atropos compares all that are in one.

    Each segment with a trained token is a sequence, with the total of its agent's reward as the score.
    """
    parts = [
        (attempt, segment)
        for attempt in group.trajectories
        for segment in attempt.segments
        if segment.mask.any() and segment.agent in attempt.rewards
    ]
    agents = dict.fromkeys(segment.agent for _, segment in parts if segment.trainable)
    return [_scored_data([part for part in parts if part[1].agent == agent]) for agent in agents]


def _segment(data: Json, place: int, size: int, arrival: Arrival, limits: Limits) -> Segment:
    tokens = integers(rows_of(data, "tokens", size), "tokens", place)
    length = tokens.size
    if length > limits.context:
        raise DataError(f"tokens[{place}]: {length} tokens are more than the context of {limits.context}")
    bad = (tokens < 0) | (tokens >= limits.vocabulary)
    if bad.any():
        at = int(bad.argmax())
        raise DataError(f"tokens[{place}][{at}]: a token id is 0 to {limits.vocabulary - 1}, found {tokens[at]}")
    trained = _trained(integers(rows_of(data, "masks", size), "masks", place, length), tokens, place)
    logprobs = _logprobs(data, place, size, trained)
    known = trained & ~np.isnan(logprobs)
    extra: dict[str, npt.NDArray[Any]] = {}
    if (trained & ~known).any():
        extra[FORCED] = trained & ~known
    if (reference := floats(data, "ref_logprobs", place, size, length)) is not None:
        extra[REFERENCE] = reference
    extra |= _teacher(data, place, size, length)
    own = (rows_up_to(data, "overrides", size)[place : place + 1] or [None])[0] or {}
    advantages = floats(data, "advantages", place, size, length)
    zero = bool(own.get("set_advantage_to_zero"))
    return Segment(
        tokens.astype(np.int32),
        known,
        trained,
        np.where(known, logprobs, np.nan).astype(np.float32),
        _versions(arrival, place, known),
        _temperature(data, own, place),
        trainable=not zero or advantages is not None,
        advantages=np.zeros_like(advantages) if zero and advantages is not None else advantages,
        extra=extra,
    )


def _trained(masks: npt.NDArray[np.int64], tokens: npt.NDArray[np.int64], place: int) -> npt.NDArray[np.bool_]:
    """Which tokens are trained: those that the mask repeats, or marks with 1 in a row of 0 and 1; never the first."""
    trained: npt.NDArray[np.bool_] = masks != CONTEXT
    if (bad := trained & (masks != tokens)).any():
        if not np.isin(masks, (0, 1)).all():
            at = int(bad.argmax())
            raise DataError(f"masks[{place}][{at}]: -100 or the token {tokens[at]} at this place, found {masks[at]}")
        trained = masks == 1
    trained[0] = False
    return trained


def _logprobs(data: Json, place: int, size: int, trained: npt.NDArray[np.bool_]) -> Floats:
    """Logprobs of one sequence's tokens, NaN where they are not known."""
    found = floats(data, "inference_logprobs", place, size, trained.size, within=np.inf)
    if found is None:
        return np.full(trained.size, np.nan, np.float32)
    logprobs = np.where(found == UNKNOWN, np.nan, found).astype(np.float32)
    bad = trained & (logprobs > 1e-3)
    if bad.any():
        at = int(bad.argmax())
        raise DataError(
            f"inference_logprobs[{place}][{at}]: 0 or less, or 1.0 for none, found {logprobs[at]:g} on a trained token"
        )
    return logprobs


def _versions(arrival: Arrival, place: int, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """The version that sampled each token of one sequence; never decreasing, as records want it."""
    given = arrival.versions[place] if place < len(arrival.versions) else None
    versions = np.full(known.size, max(0, arrival.version), np.int32)
    if given is not None and len(given) == known.size:
        versions[known] = np.maximum.accumulate(np.maximum(np.asarray(given, np.int32)[known], 0))
    versions[~known] = -1
    return versions


def _temperature(data: Json, own: Json, place: int) -> float:
    named = (
        (f"overrides[{place}].temperature", own),
        ("generation_params.temperature", data.get("generation_params") or {}),
        ("group_overrides.temperature", data.get("group_overrides") or {}),
    )
    for name, values in named:
        if not isinstance(values, Mapping):
            raise DataError(f"{name.partition('.')[0]}: an object, found {values!r:.80}")
    name, value = next(((name, values["temperature"]) for name, values in named if "temperature" in values), ("", 1.0))
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < 100:
        raise DataError(f"{name}: a number from 0 to 100, found {value!r:.80}")
    return float(value)


def _teacher(data: Json, place: int, size: int, length: int) -> dict[str, Floats]:
    """The teacher's tokens and logprobs of one sequence, an array for each k."""
    named = ("distill_token_ids", "distill_logprobs")
    tokens, logprobs = (rows_of(data, name, size) for name in named)
    if tokens is None and logprobs is None:
        return {}
    if tokens is None or logprobs is None:
        raise DataError(f"{named[tokens is not None]}: missing, while {named[tokens is None]} is given; give both")
    for name, rows in ((named[0], tokens), (named[1], logprobs)):
        if not isinstance(rows[place], Sequence) or len(rows[place]) != length:
            raise DataError(f"{name}[{place}]: one list for each of {length} tokens, found {rows[place]!r:.80}")
    width = 0
    for at, (ids, values) in enumerate(zip(tokens[place], logprobs[place], strict=True)):
        if not isinstance(ids, Sequence) or not isinstance(values, Sequence) or len(ids) != len(values):
            raise DataError(f"distill_logprobs[{place}][{at}]: one logprob for each of {ids!r:.80}")
        width = max(width, len(ids))
    if width > MOST_TEACHER:
        raise DataError(f"distill_token_ids[{place}]: at most {MOST_TEACHER} tokens a position, found {width}")
    table = np.full((2, width, length), np.nan, np.float32)
    for at, (ids, values) in enumerate(zip(tokens[place], logprobs[place], strict=True)):
        if len(ids):
            known = array_of(ids, f"distill_token_ids[{place}][{at}]", "iu")
            if ((known < 0) | (known >= 1 << 24)).any():  # float32 holds these exactly
                raise DataError(f"distill_token_ids[{place}][{at}]: ids from 0 to {(1 << 24) - 1}, found {ids!r:.80}")
            table[0, : len(ids), at] = known
            table[1, : len(ids), at] = finite(values, f"distill_logprobs[{place}][{at}]", np.inf)
    return {
        name.format(k): values
        for name, part in zip((TEACHER_TOKEN, TEACHER_LOGPROB), table, strict=True)
        for k, values in enumerate(part)
    }


def _messages(data: Json, place: int, size: int) -> list[Message] | None:
    """One sequence's messages; empty if there are none, None if a record of ours cannot hold them."""
    rows = rows_of(data, "messages", size)
    if not rows or not isinstance(rows[place], Sequence):
        return []
    found: list[Message] = []
    for message in rows[place]:
        if not isinstance(message, Mapping) or message.get("role") not in ROLES:
            return None
        if not isinstance(message.get("content"), str) or "images" in message:
            return None
        found.append({**message})  # type: ignore[typeddict-item]
    return found


def _task(arrival: Arrival, env_id: Any, messages: list[Message] | None) -> Task:
    """The task of a group: what stands before the first reply, as far as messages were sent."""
    prompt: list[Message] = []
    for message in messages or ():
        if message["role"] == "assistant":
            break
        prompt.append(message)
    name = f"service-{arrival.number}"
    return Task(prompt or f"Group {arrival.number} of the trajectory service.", info=_origin(arrival, env_id), id=name)


def _origin(arrival: Arrival, env_id: Any) -> dict[str, Any]:
    return {"number": arrival.number, "version": arrival.version, "env_id": env_id}


def _artifacts(data: Json, place: int, size: int, with_messages: bool) -> dict[str, Any]:
    """What has no place of its own in a trajectory; whatever belongs to no single sequence goes to the first."""
    found = {name: data[name] for name in ("generation_params", "group_overrides") if data.get(name) and not place}
    if own := rows_up_to(data, "overrides", size)[place : place + 1]:
        found |= {"overrides": own[0]} if own[0] else {}
    images = data.get("images")
    if isinstance(images, Sequence) and not isinstance(images, str) and len(images) == size:
        found |= {"images": images[place]} if images[place] else {}
    elif images and not place:
        found["images"] = images
    if with_messages:
        found["messages"] = list((rows_of(data, "messages", size) or ())[place])
    return found


def _scored_data(parts: Sequence[tuple[Trajectory, Segment]]) -> dict[str, Any]:
    segments = [segment for _, segment in parts]
    data: dict[str, Any] = dict.fromkeys(FIELDS)
    data["tokens"] = [segment.tokens.tolist() for segment in segments]
    data["masks"] = [np.where(segment.mask, segment.tokens, CONTEXT).tolist() for segment in segments]
    data["scores"] = [attempt.rewards[segment.agent].total for attempt, segment in parts]
    data["inference_logprobs"] = [
        np.where(segment.mask & segment.sampled, segment.logprobs, UNKNOWN).tolist() for segment in segments
    ]
    if all(segment.advantages is not None for segment in segments):
        data["advantages"] = [segment.advantages.tolist() for segment in segments if segment.advantages is not None]
    if all(REFERENCE in segment.extra for segment in segments):
        data["ref_logprobs"] = [segment.extra[REFERENCE].tolist() for segment in segments]
    if any(TEACHER_TOKEN.format(0) in segment.extra for segment in segments):
        pairs = [_teacher_lists(segment) for segment in segments]
        data["distill_token_ids"], data["distill_logprobs"] = map(list, zip(*pairs, strict=True))
    if any(attempt.messages.get(segment.agent) for attempt, segment in parts):
        data["messages"] = [list(attempt.messages.get(segment.agent, ())) for attempt, segment in parts]
    if any("images" in attempt.artifacts for attempt, _ in parts):
        data["images"] = [attempt.artifacts.get("images") for attempt, _ in parts]
    temperatures = [segment.temperature for segment in segments]
    data["generation_params"] = {"temperature": temperatures[0]}
    overrides: list[dict[str, Any]] = [
        ({"temperature": segment.temperature} if segment.temperature != temperatures[0] else {})
        | ({} if segment.trainable else {"set_advantage_to_zero": True})
        for segment in segments
    ]
    data["overrides"] = overrides if any(overrides) else None
    return data


def _teacher_lists(segment: Segment) -> tuple[list[list[int]], list[list[float]]]:
    tokens: list[list[int]] = [[] for _ in range(len(segment))]
    logprobs: list[list[float]] = [[] for _ in range(len(segment))]
    k = 0
    while (ids := segment.extra.get(TEACHER_TOKEN.format(k))) is not None:
        values = segment.extra[TEACHER_LOGPROB.format(k)]
        for at in np.flatnonzero(~np.isnan(ids)):
            tokens[at].append(int(ids[at]))
            logprobs[at].append(float(values[at]))
        k += 1
    return tokens, logprobs
