import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from lachesis.environments.environment import Environment
from lachesis.environments.episode import Episode
from lachesis.environments.interop.verifiers.conversation import Conversations, messages_of, sampling_of, wire_of
from lachesis.environments.play import play
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory

from .exact_policy import ExactPolicy

Run = Callable[[Conversations], Coroutine[Any, Any, None]]
USER = {"role": "user", "content": "2 + 2?"}
ADD = {"name": "add", "description": "", "parameters": {"type": "object", "properties": {}}}
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>'


def answered(lines: list[str], run: Run, apart: bool = False, error: str = "", **config: Any) -> Trajectory:
    """The trajectory of an episode in which another process asks as ``run`` does; its tokens are checked."""

    class Other(Environment):
        async def run(self, episode: Episode) -> None:
            await run(Conversations(episode, apart))

    policy = ExactPolicy(lines)
    played = asyncio.run(play(Other(**config), Task("?"), {"policy": policy.policy}, (1,)))
    assert error in (played.error or "")
    assert bool(error) == bool(played.error), played.error
    policy.check(played.segments)
    return played


def assistant(said: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", **said}


def test_a_conversation_that_goes_on_is_one_segment() -> None:
    async def run(all_: Conversations) -> None:
        messages: list[Any] = [{"role": "system", "content": "Be brief."}, USER]
        for line in ("one", "two", "three"):
            said = await all_.answer({"messages": messages})
            assert said["content"] == line
            messages += [assistant(said), {"role": "user", "content": "And then?"}]

    played = answered(["one", "two", "three"], run)
    assert len(played.segments) == 1
    assert [message["role"] for message in played.messages["policy"]] == ["system", *["user", "assistant"] * 3]


def test_a_history_that_was_edited_is_a_new_segment() -> None:
    async def run(all_: Conversations) -> None:
        said = await all_.answer({"messages": [USER]})
        edited = {**assistant(said), "content": "(left out)"}
        await all_.answer({"messages": [USER, edited, {"role": "user", "content": "And then?"}]})
        await all_.answer({"messages": [USER]})

    played = answered(["one", "two", "again"], run)
    assert len(played.segments) == 3
    assert [message["content"] for message in played.messages["policy"]] == ["2 + 2?", "again"]


def test_another_conversation_leaves_the_first_one_whole() -> None:
    async def run(all_: Conversations) -> None:
        first = await all_.answer({"messages": [USER]})
        await all_.answer({"messages": [{"role": "user", "content": "Sum this up."}]})
        await all_.answer({"messages": [USER, assistant(first), {"role": "user", "content": "And then?"}]})

    played = answered(["one", "aside", "two"], run)
    assert len(played.segments) == 2
    assert [message["content"] for message in played.messages["policy"]] == ["2 + 2?", "one", "And then?", "two"]


def test_calls_at_the_same_time_have_chats_of_their_own() -> None:
    async def run(all_: Conversations) -> None:
        said = await asyncio.gather(*(all_.answer({"messages": [USER]}) for _ in range(3)))
        assert sorted(one["content"] for one in said) == ["one", "three", "two"]

    assert len(answered(["one", "two", "three"], run).segments) == 3


@pytest.mark.parametrize("shape", ["flat", "openai"])
def test_calls_and_their_results_go_on_in_the_same_tokens(shape: str) -> None:
    async def run(all_: Conversations) -> None:
        tools = [ADD] if shape == "flat" else [{"type": "function", "function": ADD}]
        said = await all_.answer({"messages": [USER], "tools": tools})
        (call,) = said["tool_calls"]
        assert (said["content"], call["name"], call["arguments"]) == ("I ask.", "add", '{"a": 2}')
        if shape == "openai":
            call = {"id": call["id"], "type": "function", "function": {k: call[k] for k in ("name", "arguments")}}
        result = {"role": "tool", "tool_call_id": call["id"], "content": "4"}
        reply = {"role": "assistant", "content": "I ask.", "tool_calls": [call]}
        assert (await all_.answer({"messages": [USER, reply, result], "tools": tools}))["content"] == "4"

    played = answered([f"I ask.{CALL}", "4"], run)
    assert len(played.segments) == 1
    assert played.messages["policy"][2]["name"] == "add"


def test_a_call_that_cannot_be_read_or_that_nobody_can_answer_stays_text() -> None:
    async def run(all_: Conversations) -> None:
        broken = await all_.answer({"messages": [USER], "tools": [ADD]})
        assert (broken["content"], broken["tool_calls"]) == ("<tool_call>{nonsense", [])

    async def without_tools(all_: Conversations) -> None:
        assert (await all_.answer({"messages": [USER]}))["content"] == CALL

    async def surrogate(all_: Conversations) -> None:
        said = await all_.answer({"messages": [USER], "tools": [ADD]})
        assert said["tool_calls"][0]["arguments"] == '{"a": "?"}'

    answered(['<tool_call>{"name": "add", "arguments": {"a": "\\ud800"}}</tool_call>'], surrogate)
    answered(["<tool_call>{nonsense"], run)
    answered([CALL], without_tools)


@pytest.mark.parametrize(("apart", "content"), [(False, "<think>\neasy\n</think>\n\n4"), (True, "4")])
def test_reasoning_is_in_the_content_or_apart_and_the_tokens_go_on_without_it(apart: bool, content: str) -> None:
    async def run(all_: Conversations) -> None:
        said = await all_.answer({"messages": [USER]})
        assert (said["content"].strip(), said["reasoning"]) == (content, "easy" if apart else "")
        reply = {"role": "assistant", "content": said["content"]}
        await all_.answer({"messages": [USER, reply, {"role": "user", "content": "And then?"}]})

    assert len(answered(["<think>\neasy\n</think>\n\n4", "5"], run, apart).segments) == 1


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        ({"messages": [USER], "sampling": {"n": 2}}, "n = 2 replies at once"),
        ({"messages": [USER], "sampling": {"stop": ["x"]}}, "sampling argument 'stop'"),
        ({"messages": [{"role": "robot"}]}, "no message of a chat"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "no text or image"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "a call without a name"),
        ({"messages": [USER], "tools": [{"description": "no name"}]}, "a tool must be an object with a name"),
    ],
)
def test_what_is_not_possible_here_is_refused(ask: dict[str, Any], says: str) -> None:
    async def run(all_: Conversations) -> None:
        await all_.answer(ask)

    answered(["never"], run, error=says)


def test_other_tools_within_an_episode_are_refused() -> None:
    async def run(all_: Conversations) -> None:
        await all_.answer({"messages": [USER], "tools": [ADD]})
        await all_.answer({"messages": [{"role": "user", "content": "Judge."}]})

    answered(["one", "two"], run, error="other tools within an episode")


def test_sampling_arguments_without_effect_are_left_out() -> None:
    given = {"n": 1, "extra_body": {}, "seed": 3, "temperature": 0.5, "max_completion_tokens": 9, "top_p": None}
    assert sampling_of(given) == {"temperature": 0.5, "max_tokens": 9}
    with pytest.raises(ConfigError):
        sampling_of({"logit_bias": {}})


def test_text_that_is_no_unicode_and_several_parts_become_one_text() -> None:
    parts = [{"type": "text", "text": "a\ud800"}, {"type": "text", "text": "b"}]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}
    (message,) = messages_of([wire_of({"role": "developer", "content": [*parts, image]})])
    assert message == {"role": "system", "content": "a?\nb", "images": ["data:image/png;base64,"]}
    with pytest.raises(DataError):
        wire_of("text")


def test_the_system_prompt_of_the_run_stands_before_theirs_in_one_message() -> None:
    async def run(all_: Conversations) -> None:
        theirs = {"role": "system", "content": "Be brief."}
        await all_.answer({"messages": [theirs, USER]})
        await all_.answer({"messages": [theirs, {"role": "user", "content": "And then?"}]})
        await all_.answer({"messages": [USER]})

    played = answered(["one", "two", "three"], run, system_prompt="Think.")
    assert [message["content"] for message in played.messages["policy"]] == ["Think.\n\nBe brief.", "And then?", "two"]
