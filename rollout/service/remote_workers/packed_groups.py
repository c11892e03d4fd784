"""Whole groups as bytes: MessagePack with raw arrays and JSON records, checked by field and index when read."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, TypedDict

import msgspec
import numpy as np
import numpy.typing as npt

from ....verifiers.errors import DataError
from ....verifiers.group import Group
from ....verifiers.segment import Segment
from ....verifiers.trajectory import SCHEMA_VERSION, Trajectory
from ..training.scored_data import FORCED, Limits
from ..training.sequences import MOST
from ..wire import loc_of, refused

MAGIC = b"\x00lachesis group 1\n"
"""The first bytes of a packed group; no JSON begins like this."""

MOST_ATTEMPTS = 4096
"""Attempts that a group may have in any case; a larger number is refused before it is read."""

_ARRAYS = {"tokens": "int32", "sampled": "bool", "mask": "bool", "logprobs": "float32", "versions": "int32"}
_DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    )
}

_Reward = Annotated[float, msgspec.Meta(ge=-MOST, le=MOST)]
_Figure = Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]  # a sum of many is finite too
_Object = dict[str, Any]


class _ComponentRow(TypedDict):
    label: str
    weight: _Reward
    score: _Reward | None
    status: str
    reason: str
    evidence: _Object
    elapsed: _Figure
    steps: list[_Reward]
    graded: bool


class _RewardRow(TypedDict):
    components: list[_ComponentRow]
    gate: str
    gated: _Reward
    skipped: list[str]
    clip: tuple[_Reward, _Reward] | None
    success_label: str
    success_total: _Reward | None


class _TrajectoryRow(TypedDict):
    """``Trajectory.to_json`` without the task, the environment and the segments."""

    messages: dict[str, list[_Object]]
    artifacts: _Object
    stop: str
    error: str | None
    metrics: dict[str, _Figure]
    timings: dict[str, _Figure]
    rewards: dict[str, _RewardRow]


class _TaskRow(TypedDict):
    prompt: str | list[_Object]
    answer: Any
    info: _Object
    id: str
    verify: list[_Object]


class _PackedArray(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    dtype: str
    values: bytes


class _PackedSegment(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    agent: str
    trainable: bool
    temperature: Annotated[float, msgspec.Meta(ge=0, lt=100)]
    tokens: bytes
    sampled: bytes
    mask: bytes
    logprobs: bytes
    versions: bytes
    advantages: bytes | None
    extra: Annotated[dict[str, _PackedArray], msgspec.Meta(max_length=256)]


class _PackedAttempt(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    number: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    record: bytes
    segments: Annotated[list[_PackedSegment], msgspec.Meta(max_length=4096)]


class _PackedGroup(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    task: bytes
    attempts: Annotated[list[_PackedAttempt], msgspec.Meta(min_length=1, max_length=MOST_ATTEMPTS)]


_decoder = msgspec.msgpack.Decoder(_PackedGroup)


def pack_group(group: Group) -> bytes:
    """The group as bytes, all of it but its index and the label of its environment.

    Raises:
        DataError: a number in it is not finite, an array is of a type that is not sent, or the name of an agent or of
            an array is no Unicode text.
    """
    attempts = [
        _PackedAttempt(number, _packed_record(attempt), [_packed_segment(segment) for segment in attempt.segments])
        for number, attempt in zip(group.attempts, group.trajectories, strict=True)
    ]
    try:
        return MAGIC + msgspec.msgpack.encode(_PackedGroup(_to_json(group.task.to_json()), attempts))
    except UnicodeEncodeError as error:  # texts of a model are in JSON, which can hold these too
        name = error.object
        raise DataError(
            f"the name {name!r:.40} has half of a surrogate pair; name agents and arrays otherwise"
        ) from None


def unpack_group(
    body: bytes, *, index: int = 0, environment: str = "", limits: Limits | None = None, most: int = MOST_ATTEMPTS
) -> Group:
    """The group in ``body``, if a trainer can take it.

    Args:
        body: from ``pack_group``.
        index: admission index of the group.
        environment: label of the environment in the run.
        limits: of the trained model.
        most: attempts that a group may have.

    Raises:
        BadBody: with the field and its indexes.
    """
    packed = _decoded(body)
    if len(packed.attempts) > most:
        raise refused(["attempts"], f"a group has at most {most} attempts, found {len(packed.attempts)}", "size")
    task_row = _from_json(packed.task, _TaskRow, ["task"])
    attempts = tuple(
        _attempt(one, task_row, environment, ["attempts", place], limits or Limits())
        for place, one in enumerate(packed.attempts)
    )
    trained = [segment for attempt in attempts for segment in attempt.segments if segment.trainable]
    if not any((segment.mask & segment.sampled).any() for segment in trained):
        raise refused(["attempts"], "no token of the group was sampled and is to be trained", "mask")
    try:
        return Group(index, attempts[0].task, attempts, tuple(one.number for one in packed.attempts))
    except DataError as error:
        raise refused(["attempts"], str(error)) from None


def _decoded(body: bytes) -> _PackedGroup:
    if not body.startswith(MAGIC):
        raise refused([], f"a packed group begins with {MAGIC!r}, found {body[: len(MAGIC)]!r}", "format")
    try:
        return _decoder.decode(memoryview(body)[len(MAGIC) :])
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise refused(loc_of(where.rstrip("`")), message, "type") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise refused([], f"not MessagePack: {error}", "format") from None


def _attempt(packed: _PackedAttempt, task: Any, environment: str, place: list[str | int], limits: Limits) -> Trajectory:
    row: Any = _from_json(packed.record, _TrajectoryRow, [*place, "record"])
    segments = tuple(_segment(one, [*place, "segments", n], limits) for n, one in enumerate(packed.segments))
    whole = {**row, "schema": SCHEMA_VERSION, "task": task, "environment": environment, "segments": []}
    try:
        attempt = replace(Trajectory.from_json(whole), segments=segments)
        if not attempt.scored:
            raise DataError("an attempt has a score; leave out those that were not scored")
        for agent, reward in attempt.rewards.items():
            if not abs(reward.total) <= MOST:
                raise DataError(f"the reward of {agent!r} is within ±{MOST:g}, found {reward.total:g}")
    except DataError as error:
        raise refused([*place, "record"], str(error)) from None
    return attempt


def _segment(packed: _PackedSegment, place: list[str | int], limits: Limits) -> Segment:
    tokens = _array(packed.tokens, "int32", [*place, "tokens"])
    if not 1 <= tokens.size <= limits.context:
        message = f"a segment has 1 to {limits.context} tokens, found {tokens.size}"
        raise refused([*place, "tokens"], message, "size")
    if (bad := (tokens < 0) | (tokens >= limits.vocabulary)).any():
        at = int(bad.argmax())
        message = f"a token id is 0 to {limits.vocabulary - 1}, found {tokens[at]}"
        raise refused([*place, "tokens", at], message, "out_of_range")
    named = {name: _array(getattr(packed, name), dtype, [*place, name]) for name, dtype in _ARRAYS.items()}
    given = packed.advantages
    advantages = None if given is None else _array(given, "float32", [*place, "advantages"])
    extra = {name: _array(one.values, one.dtype, [*place, "extra", name]) for name, one in packed.extra.items()}
    if FORCED in extra and extra[FORCED].dtype != np.bool_:
        raise refused([*place, "extra", FORCED], f"this array is of bool, found {extra[FORCED].dtype}", "type")
    try:
        segment = Segment(
            **named,
            temperature=packed.temperature,
            agent=packed.agent,
            trainable=packed.trainable,
            advantages=advantages,
            extra=extra,
        )
        _check_trained(segment)
    except DataError as error:
        raise refused(place, str(error)) from None
    return segment


def _check_trained(segment: Segment) -> None:
    """Only tokens that were sampled, or are forced, are trained; and never the first."""
    forced = segment.extra.get(FORCED, np.zeros_like(segment.mask))
    unknown = segment.mask & ~segment.sampled & ~forced
    unknown[0] |= segment.mask[0]
    if unknown.any():
        at = int(unknown.argmax())
        raise DataError(f"mask[{at}]: a trained token was sampled, and is not the first of its segment")
    if segment.advantages is not None and not (np.abs(segment.advantages) <= MOST).all():
        raise DataError(f"advantages are within ±{MOST:g}, found {np.abs(segment.advantages).max():g}")


def _array(values: bytes, dtype: str, place: list[str | int]) -> npt.NDArray[Any]:
    wire = _DTYPES.get(dtype)
    if wire is None:
        raise refused(place, f"an array is of one of {', '.join(_DTYPES)}, found {dtype!r:.40}", "type")
    if len(values) % wire.itemsize:
        raise refused(place, f"{len(values)} bytes are no whole number of {dtype}", "length")
    if dtype == "bool":
        flags = np.frombuffer(values, np.uint8)
        if (flags > 1).any():
            raise refused([*place, int((flags > 1).argmax())], f"a flag is 0 or 1, found {flags.max()}", "type")
        return flags.astype(np.bool_)
    return np.frombuffer(values, wire).astype(dtype)


def _packed_record(attempt: Trajectory) -> bytes:
    row = replace(attempt, segments=()).to_json()
    return _to_json({name: row[name] for name in _TrajectoryRow.__annotations__})


def _packed_segment(segment: Segment) -> _PackedSegment:
    named = {name: _bytes(getattr(segment, name)) for name in _ARRAYS}
    advantages = None if segment.advantages is None else _bytes(segment.advantages)
    extra = {name: _PackedArray(str(array.dtype), _bytes(array)) for name, array in segment.extra.items()}
    temperature = float(segment.temperature)
    return _PackedSegment(segment.agent, segment.trainable, temperature, **named, advantages=advantages, extra=extra)


def _bytes(array: npt.NDArray[Any]) -> bytes:
    wire = _DTYPES.get(str(array.dtype))
    if wire is None:
        raise DataError(f"an array of a segment is of one of {', '.join(_DTYPES)}, found {array.dtype}; convert it")
    return array.astype(wire, copy=False).tobytes()


def _to_json(value: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"a record to be sent is JSON only: {error}; convert the value first") from None


def _from_json(text: bytes, kind: Any, place: Sequence[str | int]) -> Any:
    """The JSON in ``text`` if it has the form of ``kind``; by ``json``, as stored trajectories are read."""
    try:
        return msgspec.convert(json.loads(text.decode()), kind)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise refused([*place, *loc_of(where.rstrip("`"))], message, "type") from None
    except (ValueError, RecursionError, OverflowError) as error:
        raise refused(place, f"not JSON: {error}", "format") from None
