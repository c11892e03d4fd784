import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lachesis.rollout.service.remote_workers.packed_groups import MAGIC, pack_group, unpack_group
from lachesis.rollout.service.training.scored_data import Limits
from lachesis.rollout.service.wire import BadBody, place
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.group import Group
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import StopReason, Trajectory
from lachesis.verifiers.verdict import Verdict

from .conftest import altered, group

TEXT = st.text(st.characters(), max_size=8)  # half of a surrogate pair too, as a model may write
NAMES = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=3)
SCORES = st.floats(-100, 100)
EXTRA = st.sampled_from(["bool", "int64", "uint8", "float16", "float32", "float64"])


@st.composite
def segments(draw: st.DrawFn, agent: str, given_advantages: bool) -> Segment:
    size = draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    sampled = rng.random(size) < 0.7
    sampled[0], sampled[-1] = False, True
    mask = sampled & (rng.random(size) < 0.8)
    mask[-1] = True
    extra = {name: rng.integers(0, 2, size).astype(draw(EXTRA)) for name in draw(st.lists(NAMES, max_size=2))}
    versions = np.sort(rng.integers(0, 9, size)).astype(np.int32)
    return Segment(
        rng.integers(0, 2**31 - 1, size).astype(np.int32),
        sampled,
        mask,
        np.where(sampled, -rng.exponential(size=size), np.nan).astype(np.float32),
        np.where(sampled, np.maximum.accumulate(versions), -1).astype(np.int32),
        draw(st.floats(0, 2)),
        agent,
        advantages=rng.normal(size=size).astype(np.float32) if given_advantages else None,
        extra=extra,
    )


@st.composite
def groups(draw: st.DrawFn) -> Group:
    task = Task(draw(TEXT), draw(JSON), draw(OBJECTS), draw(TEXT), tuple(draw(st.lists(OBJECTS, max_size=2))))
    advantages = draw(st.booleans())
    attempts = [
        Trajectory(
            task,
            messages={
                "policy": ({"role": "user", "content": draw(TEXT)}, {"role": "assistant", "content": draw(TEXT)})
            },
            segments=(draw(segments("policy", advantages)), draw(segments("other", advantages))),
            artifacts=draw(OBJECTS),
            stop=draw(st.sampled_from([StopReason.DONE, StopReason.LENGTH])),
            error=draw(st.none() | TEXT),
            metrics=draw(st.dictionaries(TEXT, SCORES, max_size=2)),
            timings={"run": draw(SCORES)},
            rewards={
                "policy": Reward(
                    (
                        Component("a", draw(SCORES), Verdict(draw(SCORES), evidence=draw(OBJECTS), elapsed=0.25)),
                        Component("b", 0.0, Verdict(None, "infra_error", draw(TEXT))),
                        Component("c", 1.0, Verdict.of_steps([draw(SCORES)])),
                    ),
                    clip=draw(st.none() | st.just((-5.0, 5.0))),
                    success_total=draw(st.none() | SCORES),
                ),
                "other": Reward((Component("gate", 1.0, Verdict(0.0, "wrong")),), gate="gate", skipped=("x",)),
            },
        )
        for _ in range(draw(st.integers(1, 3)))
    ]
    numbers = draw(st.sets(st.integers(0, 9), min_size=len(attempts), max_size=len(attempts)))
    return Group(0, task, tuple(attempts), tuple(sorted(numbers)))


@settings(max_examples=60, deadline=None)
@given(groups())
def test_a_group_arrives_as_it_was_sent_to_the_bit(sent: Group) -> None:
    found = unpack_group(pack_group(sent), index=5, environment="remote")
    assert (found.index, found.attempts, found.task) == (5, sent.attempts, sent.task)
    assert found.task.hash == sent.task.hash
    for one, other in zip(found.trajectories, sent.trajectories, strict=True):
        assert one.to_json() == {**other.to_json(), "environment": "remote"}
        for mine, theirs in zip(one.segments, other.segments, strict=True):
            for (name, array), (_, original) in zip(mine._arrays(), theirs._arrays(), strict=True):
                assert array.dtype == original.dtype, name
                assert array.tobytes() == original.tobytes(), name


def set_at(*path: Any) -> Callable[[Any], None]:
    """Sets the value at a path: the last element is the value."""

    def change(parts: Any) -> None:
        *keys, last, value = path
        for key in keys:
            parts = parts[key]
        parts[last] = value(parts[last]) if callable(value) else value

    return change


def record(**fields: Any) -> Callable[[Any], None]:
    """Changes the first attempt's record."""
    return set_at("attempts", 0, "record", lambda old: json.dumps({**json.loads(old), **fields}).encode())


def ints(*values: int) -> bytes:
    return np.array(values, "<i4").tobytes()


def floats(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


SEGMENT = ("attempts", 1, "segments", 0)
REWARD = {"components": [], "gate": "", "gated": 0, "skipped": [], "clip": None, "success_label": ""}
PART = {"label": "x", "weight": 1, "score": 1, "status": "ok", "reason": "", "evidence": {}, "elapsed": 0, "steps": []}


def reward(**fields: Any) -> Callable[[Any], None]:
    parts = [{**PART, "graded": False, **fields}]
    return record(rewards={"policy": {**REWARD, "success_total": None, "components": parts}})


BAD: dict[str, tuple[Callable[[Any], None], str]] = {
    "no attempts": (set_at("attempts", []), "attempts"),
    "too many attempts": (set_at("attempts", lambda old: old * 50), "attempts"),
    "far too many attempts": (set_at("attempts", lambda old: old * 5000), "attempts"),
    "far too many arrays": (
        set_at(*SEGMENT, "extra", {str(n): {"dtype": "bool", "values": b""} for n in range(300)}),
        "attempts[1].segments[0].extra",
    ),
    "the same number twice": (set_at("attempts", 1, "number", 0), "attempts"),
    "an attempt's number": (set_at("attempts", 1, "number", -1), "attempts[1].number"),
    "unknown field": (set_at("pickle", b"x"), "body"),
    "a token of the model": (set_at(*SEGMENT, "tokens", ints(1, 99, 3)), "attempts[1].segments[0].tokens[1]"),
    "a token below 0": (set_at(*SEGMENT, "tokens", ints(1, -1, 3)), "attempts[1].segments[0].tokens[1]"),
    "longer than the context": (set_at(*SEGMENT, "tokens", ints(*[1] * 65)), "attempts[1].segments[0].tokens"),
    "no tokens": (set_at(*SEGMENT, "tokens", b""), "attempts[1].segments[0].tokens"),
    "half of an integer": (set_at(*SEGMENT, "tokens", b"123"), "attempts[1].segments[0].tokens"),
    "lengths": (set_at(*SEGMENT, "logprobs", floats(-1, -1)), "attempts[1].segments[0]"),
    "NaN logprob": (set_at(*SEGMENT, "logprobs", floats(np.nan, -1, np.nan)), "attempts[1].segments[0]"),
    "infinite logprob": (set_at(*SEGMENT, "logprobs", floats(np.nan, -1, -np.inf)), "attempts[1].segments[0]"),
    "positive logprob": (set_at(*SEGMENT, "logprobs", floats(np.nan, -1, 2)), "attempts[1].segments[0]"),
    "no flag": (set_at(*SEGMENT, "sampled", b"\0\1\7"), "attempts[1].segments[0].sampled[2]"),
    "the first token is trained": (set_at(*SEGMENT, "mask", b"\1\1\1"), "attempts[1].segments[0]"),
    "an unsampled token is trained": (
        lambda parts: [
            set_at(*SEGMENT, name, value)(parts)
            for name, value in {
                "sampled": b"\0\0\1",
                "logprobs": floats(np.nan, np.nan, -1),
                "versions": ints(-1, -1, 0),
            }.items()
        ],
        "attempts[1].segments[0]",
    ),
    "falling versions": (set_at(*SEGMENT, "versions", ints(-1, 2, 1)), "attempts[1].segments[0]"),
    "temperature": (set_at(*SEGMENT, "temperature", 1e9), "attempts[1].segments[0].temperature"),
    "NaN temperature": (set_at(*SEGMENT, "temperature", float("nan")), "attempts[1].segments[0].temperature"),
    "NaN advantage": (set_at(*SEGMENT, "advantages", floats(0, np.nan, 1)), "attempts[1].segments[0]"),
    "huge advantage": (set_at(*SEGMENT, "advantages", floats(0, 1e30, 1)), "attempts[1].segments[0]"),
    "advantages of some": (set_at(*SEGMENT, "advantages", floats(0, 1, 1)), "attempts"),
    "objects": (
        set_at(*SEGMENT, "extra", {"x": {"dtype": "object", "values": b"x" * 24}}),
        "attempts[1].segments[0].extra.x",
    ),
    "forced": (
        set_at(*SEGMENT, "extra", {"forced": {"dtype": "int32", "values": ints(0, 1, 1)}}),
        "attempts[1].segments[0].extra.forced",
    ),
    "nothing trained": (
        lambda parts: [set_at("attempts", n, "segments", 0, "mask", b"\0\0\0")(parts) for n in (0, 1)],
        "attempts",
    ),
    "no segments": (lambda parts: [set_at("attempts", n, "segments", [])(parts) for n in (0, 1)], "attempts"),
    "no JSON": (set_at("attempts", 0, "record", b"{"), "attempts[0].record"),
    "deep JSON": (set_at("attempts", 0, "record", b"[" * 100_000), "attempts[0].record"),
    "unscored": (record(rewards={}), "attempts[0].record"),
    "infrastructure error": (reward(score=None, status="infra_error"), "attempts[0].record"),
    "huge score": (reward(score=1e300), "attempts[0].record.rewards.components[0].score"),
    "huge total": (reward(score=1e8, weight=1e8), "attempts[0].record"),
    "score that is not finite": (
        set_at("attempts", 0, "record", lambda old: old.replace(b'"score": 0.0', b'"score": 1e999')),
        "attempts[0].record.rewards.components[0].score",
    ),
    "NaN score": (
        set_at("attempts", 0, "record", lambda old: old.replace(b'"score": 0.0', b'"score": NaN')),
        "attempts[0].record.rewards.components[0].score",
    ),
    "status": (reward(status="great"), "attempts[0].record"),
    "metric": (record(metrics={"x": "1"}), "attempts[0].record.metrics"),
    "timing": (record(timings={"x": None}), "attempts[0].record.timings"),
    "stop": (record(stop="never"), "attempts[0].record"),
    "role": (record(messages={"policy": [{"role": "root", "content": ""}]}), "attempts[0].record"),
    "artifact": (
        set_at("attempts", 0, "record", lambda old: old.replace(b'"artifacts": {', b'"artifacts": {"x": 1e999')),
        "attempts[0].record",
    ),
    "task": (set_at("task", b'{"prompt": 1, "answer": 1, "info": {}, "id": "", "verify": []}'), "task.prompt"),
    "task without messages": (
        set_at("task", b'{"prompt": [], "answer": 1, "info": {}, "id": "", "verify": []}'),
        "attempts[0].record",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_a_trainer_cannot_take_is_refused_with_field_and_index(name: str) -> None:
    change, where = BAD[name]
    body = altered(pack_group(group()), change)
    with pytest.raises(BadBody) as refusal:
        unpack_group(body, limits=Limits(64, 90), most=99)
    assert place(refusal.value.detail[0]["loc"]) == where, refusal.value


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_bytes_do_more_than_be_refused(data: st.DataObject) -> None:
    body = bytearray(pack_group(group()))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(len(MAGIC), len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        if len(body) <= len(MAGIC):
            break
    with contextlib.suppress(BadBody):
        for attempt in unpack_group(bytes(body), limits=Limits(64, 90), most=99).trajectories:
            json.dumps(attempt.to_json(), allow_nan=False)


@pytest.mark.parametrize("body", [b"", b"{}", MAGIC, MAGIC + b"\xdd\xff\xff\xff\xff", MAGIC + b"\xc6\xff\xff\xff\xff"])
def test_what_is_no_packed_group_is_refused_without_making_room_for_it(body: bytes) -> None:
    with pytest.raises(BadBody):
        unpack_group(body)


def test_what_is_no_json_is_not_sent() -> None:
    good = group()
    (first, second) = good.trajectories
    timed = Group(0, good.task, (Trajectory(good.task, timings={"x": float("nan")}, rewards=first.rewards), second))
    with pytest.raises(DataError, match="JSON only"):
        pack_group(timed)


def test_an_array_whose_name_is_no_text_is_not_sent() -> None:
    good = group()
    first = good.trajectories[0]
    segment = replace(first.segments[0], extra={"\ud800": np.zeros(len(first.segments[0].tokens))})
    with pytest.raises(DataError, match="surrogate"):
        pack_group(Group(0, good.task, (replace(first, segments=(segment,)),)))
