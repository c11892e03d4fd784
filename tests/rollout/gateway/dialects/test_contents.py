"""Conversations that an agent sends again and again: what it sent before is not read again, every change is read."""

import copy
from typing import Any

import pytest

from lachesis.rollout.gateway.dialects.contents import Conversations, read_one
from lachesis.rollout.service.engine.requests import Refusal
from lachesis.verifiers.message import Message


def talk(arguments: Any = '{"x": 1}') -> list[dict[str, Any]]:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": arguments}}
    return [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ]


def fresh(given: list[dict[str, Any]]) -> tuple[Message, ...]:
    return tuple(read_one(number, message) for number, message in enumerate(given))


def test_what_was_sent_before_is_not_read_again() -> None:
    known = Conversations()
    first = known.read(talk()[:2])
    second = known.read(talk())
    assert second == fresh(talk())
    assert all(one is other for one, other in zip(first, second[:2], strict=True))
    assert all(one is other for one, other in zip(second, known.read(talk()), strict=True))


@pytest.mark.parametrize("at", range(4))
def test_a_changed_message_and_a_shorter_conversation_are_read(at: int) -> None:
    known = Conversations()
    known.read(talk())
    changed = talk()
    changed[at]["content"] = "another"
    assert known.read(changed) == fresh(changed)
    assert known.read(talk()[: at + 1]) == fresh(talk()[: at + 1])
    assert known.read(talk()) == fresh(talk())


def test_values_that_python_finds_equal_are_told_apart() -> None:
    known = Conversations()
    for value in (1, True, 1.0, 0, False):
        given = talk({"x": value})
        assert known.read(given) == fresh(given)
        numbered = [{"role": "assistant", "content": "a", "tool_calls": [{**talk()[2]["tool_calls"][0], "id": value}]}]
        assert known.read(numbered) == fresh(numbered)


def test_readers_do_not_share_what_they_read_and_only_some_conversations_are_kept() -> None:
    known = Conversations()

    def loud(number: int, given: dict[str, Any]) -> Message:
        return {"role": "user", "content": f"{number}: {given['content']}"}

    assert known.read(talk()[:2]) == fresh(talk()[:2])
    assert known.read(talk()[:2], loud) == tuple(loud(number, one) for number, one in enumerate(talk()[:2]))
    for number in range(20):
        known.read([{"role": "user", "content": str(number)}])
    assert len(known._latest) == 8


def test_a_conversation_that_is_refused_leaves_what_is_known_as_it_was() -> None:
    known = Conversations()
    first = known.read(talk())
    with pytest.raises(Refusal, match=r"messages\.4\.role"):
        known.read([*talk(), {"role": "nobody", "content": "x"}])
    assert all(one is other for one, other in zip(first, known.read(copy.deepcopy(talk())), strict=True))


def test_the_order_of_keys_in_arguments_is_read_and_numbers_are_remembered() -> None:
    known = Conversations()
    for arguments in ({"x": "1", "y": "2"}, {"y": "2", "x": "1"}):
        assert known.read(talk(arguments)) == fresh(talk(arguments))
    first = known.read(talk({"x": 1}))
    assert all(one is other for one, other in zip(first, known.read(talk({"x": 1})), strict=True))


@pytest.mark.parametrize("junk", [[[] for _ in range(1 << 20)], "x" * (5 << 20)])
def test_only_the_first_part_of_a_long_conversation_is_remembered(junk: Any) -> None:
    known = Conversations()
    given = [*talk(), {"role": "user", "content": "q", "junk": junk}, {"role": "user", "content": "r"}]
    first, second = known.read(given), known.read(given)
    assert first == second == fresh(given)
    assert [one is other for one, other in zip(first, second, strict=True)] == [True] * 4 + [False] * 2
    many = [{"role": "user", "content": ""}] * 20_000
    assert known.read(many) == fresh(many)
    assert len(known._latest[0][2]) < 10_000
