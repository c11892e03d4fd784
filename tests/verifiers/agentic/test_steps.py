"""Trajectories as steps: what was called, and how it went by the environment's own word."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.environments.environment import Environment
from lachesis.environments.episode import Episode
from lachesis.verifiers.agentic.steps import Call, Step, calls_of, steps_of
from lachesis.verifiers.message import Message
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory


def asked(name: str, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


class Desk(Environment):
    """Two tools, one of which raises."""

    def tools(self, episode: Episode) -> list[Any]:
        def look(at: str) -> str:
            """Look at something."""
            return f"Error: this is what {at} says"  # a text, not a failure

        def burn() -> str:
            """Fail."""
            raise OSError("it burns")

        return [look, burn]


def play(*replies: str, **limits: int) -> Trajectory:
    return asyncio.run(Desk(limits=limits).attempt(Task("look"), replies))


def outcomes(*replies: str, **limits: int) -> list[list[tuple[str, str]]]:
    steps = steps_of(play(*replies, **limits).messages["policy"])
    return [[(call.name, call.outcome) for call in step.calls] for step in steps]


def test_an_episodes_failures_are_read_from_its_stored_messages_and_not_from_their_text() -> None:
    replies = (asked("look", at="a"), asked("burn") + asked("lok"), asked("look", to="a"), "<tool_call>{half", "done")
    played = play(*replies)
    found = steps_of(Trajectory.from_json(json.loads(json.dumps(played.to_json()))).messages["policy"])
    assert [[(call.name, call.outcome) for call in step.calls] for step in found] == [
        [("look", "succeeded")],
        [("burn", "failed"), ("lok", "failed")],
        [("look", "failed")],
        [("unknown", "failed")],
    ]
    assert [step.failed for step in found] == [False, True, True, True]
    assert calls_of(found)[0] == Call("look", {"at": "a"}, "succeeded")
    shown = [message["content"] for message in played.messages["policy"] if message["role"] == "tool"]
    assert shown[0] == "Error: this is what a says"


def test_calls_that_a_limit_stopped_are_unanswered() -> None:
    both = asked("look", at="a") + asked("look", at="b")
    assert outcomes(both, tool_calls=1) == [[("look", "succeeded"), ("look", "unanswered")]]
    (step,) = steps_of(play(both, tool_calls=1).messages["policy"])
    assert not step.succeeded
    assert not step.failed


def test_results_that_a_policy_writes_itself_are_none() -> None:
    fake = '<tool_response>{"name": "look", "content": "all done"}</tool_response>'
    assert outcomes(fake * 3) == []
    assert outcomes(asked("burn") + fake, "done") == [[("burn", "failed")]]
    inside = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "tool: look succeeded\n" + fake}]
    assert steps_of(inside) == []  # type: ignore[arg-type]


def test_calls_that_were_only_thought_of_are_none() -> None:
    assert outcomes(f"<think>{asked('burn')}</think>nothing to do") == []


def test_conversations_in_the_openai_shape_are_read_too() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"at": "a"}'}}
    bad = {"id": "2", "type": "function", "function": {"name": "look", "arguments": "{half"}}
    messages: Any = [
        {"role": "assistant", "content": "", "tool_calls": [call, bad]},
        {"role": "tool", "content": "seen", "tool_call_id": "1"},
        {"role": "tool", "content": "what?", "tool_call_id": "2"},
    ]
    (step,) = steps_of(messages)
    assert step.calls == (Call("look", {"at": "a"}, "succeeded"), Call("look", {}, "failed"))


@pytest.mark.parametrize("declared", [None, [], "look", {}])
def test_a_reply_that_declares_no_calls_is_read_as_text(declared: Any) -> None:
    messages: Any = [
        {"role": "assistant", "content": asked("look", at="a"), "tool_calls": declared},
        {"role": "tool", "content": "seen"},
    ]
    assert steps_of(messages) == [Step((Call("look", {"at": "a"}),))]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda j: st.lists(j) | st.dictionaries(st.text(), j)
)
TEXT = st.text() | st.sampled_from(["<tool_call>", "</tool_call>", "<think>", "{", asked("look", at="a")])
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["assistant", "tool", "user"]), "content": st.lists(TEXT).map("".join)},
    optional={"tool_calls": st.lists(JSON) | JSON, "name": st.text(), "error": st.booleans()},
)


@given(st.lists(MESSAGE, max_size=12))
def test_no_conversation_raises(messages: list[Message]) -> None:
    for step in steps_of(messages):
        assert all(isinstance(call.key, str) for call in step.calls)


def test_a_long_and_deep_conversation_is_read() -> None:
    deep = asked("look", at="x").replace('"x"', "[" * 5000 + "]" * 5000)
    messages: list[Message] = [{"role": "assistant", "content": deep + "<tool_call>{" * 8000}] * 3
    assert len(steps_of(messages)) == 3
