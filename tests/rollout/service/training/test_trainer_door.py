import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from lachesis.rollout.service.training.scored_data import FIELDS, Limits
from lachesis.rollout.service.training.source import STAMP
from lachesis.rollout.service.training.trainer_door import TrainerDoor, bad_body
from lachesis.rollout.service.wire import BadBody, ScoredData
from lachesis.verifiers.errors import DataError

Rooms = Callable[..., Any]
QUESTION = [{"role": "user", "content": "what is the sum of 2 and 2?"}]


def door(room: Any, **options: Any) -> TrainerDoor:
    return TrainerDoor(limits=Limits(4096, 1 << 20), current=lambda: 7, memory=room.memory, **options)


def sampled(room: Any) -> tuple[list[int], list[int]]:
    """Prompt and reply of one sample that the engine has made."""

    async def ask() -> None:
        async with room.client() as client:
            await room.chat(client, QUESTION)

    asyncio.run(ask())
    (turn,) = room.memory._turns
    return turn.tokens()[: turn.start].tolist(), turn.completion.tokens.tolist()


def posted(prompt: list[int], reply: list[int], **fields: Any) -> ScoredData:
    data = {"tokens": [prompt + reply], "masks": [[-100] * len(prompt) + reply], "scores": [1.0], **fields}
    return msgspec.convert(data, ScoredData)


def test_what_the_engine_sampled_gets_its_logprobs_and_versions_though_none_were_posted(room: Rooms) -> None:
    served = room()
    prompt, reply = sampled(served)
    group = posted(prompt, reply)
    door(served).check(group)
    assert group.tokens == [prompt + reply]
    assert group.inference_logprobs is not None
    assert group.inference_logprobs[0][: len(prompt)] == [1.0] * len(prompt)
    assert all(value <= 0 for value in group.inference_logprobs[0][len(prompt) :])
    assert group.generation_params is not None
    stamped = group.generation_params[STAMP]
    assert stamped["version"] == 7
    assert stamped["versions"][0][: len(prompt)] == [-1] * len(prompt)
    assert all(version >= 0 for version in stamped["versions"][0][len(prompt) :])
    assert group.overrides == [{"temperature": 1.0}]


def test_a_sequence_that_nobody_sampled_is_kept_as_it_is_or_refused_by_choice(room: Rooms) -> None:
    served = room()
    group = posted([1, 2], [3, 4])
    door(served).check(group)
    assert group.tokens == [[1, 2, 3, 4]]
    assert group.inference_logprobs is None
    assert group.generation_params == {STAMP: {"version": 7, "versions": [None]}}
    with pytest.raises(BadBody, match=r"tokens\[0\]: "):
        door(served, refuse_unprovable=True).check(posted([1, 2], [3, 4]))


def test_an_environments_own_version_counts_more_than_that_at_arrival_and_no_stamp_of_its_own_does(room: Rooms) -> None:
    group = posted([1, 2], [3], generation_params={"weights_version": 5, STAMP: {"version": 99}})
    door(room()).check(group)
    assert group.generation_params == {"weights_version": 5, STAMP: {"version": 5, "versions": [None]}}


def test_what_the_trainer_cannot_take_is_refused_with_field_and_index(room: Rooms) -> None:
    with pytest.raises(BadBody) as refused:
        door(room()).check(posted([1, 2], [3], scores=[1e300]))
    assert refused.value.detail[0]["loc"] == ["body", "scores", 0]
    with pytest.raises(BadBody) as refused:
        door(room()).check(posted([1, 2], [1 << 20]))
    assert refused.value.detail[0]["loc"] == ["body", "tokens", 0, 2]


@pytest.mark.parametrize(
    ("message", "loc"),
    [
        ("tokens[1][2]: bad", ["body", "tokens", 1, 2]),
        ("overrides[0].temperature: bad", ["body", "overrides", 0, "temperature"]),
        ("a prompt is: text", ["body"]),
    ],
)
def test_the_place_that_a_message_begins_with_becomes_the_place_of_the_error(message: str, loc: list[Any]) -> None:
    assert bad_body(DataError(message)).detail[0]["loc"] == loc


def test_the_fields_are_those_of_the_wire() -> None:
    assert set(FIELDS) == {field.name for field in msgspec.structs.fields(ScoredData)}
