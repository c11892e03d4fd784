"""Calls in the format of a model's template: read as calls, kept as sampled in prompts, as Hermes elsewhere."""

import asyncio
from typing import Any

import pytest
from tokenizers import AddedToken

from lachesis.environments.chat import Reply, read_reply
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.chats.token_chat import TokenChat, TokenPolicy
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.formats.format import FORMATS, format_of_template, tool_format

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"properties": {"n": {"type": "integer"}}}}}
CALL = ToolCall("look", {"n": 1})
BODY = (
    "{%- for m in messages -%}{{ '<|start|>' + m.role + '\n' + m.content + '<|stop|>' }}{%- endfor -%}"
    "{{ '<|start|>assistant\n' if add_generation_prompt }}"
)
READ_IN_CHATS = sorted({*FORMATS} - {"hermes", "qwen", "harmony", "llama_pythonic", "glm47", "mistral_list"})


def template(name: str) -> str:
    """A template that shows an example of the format before the conversation."""
    example = tool_format(name).write_calls([ToolCall("name", {"key": 1})])
    mark = "<|python_tag|>" if name == "llama" else ""
    return "{%- if tools -%}{% raw %}" + mark + example + "{% endraw %}{%- endif -%}" + BODY


def played(shown: str, *lines: str, tools: Any = (TOOL,)) -> tuple[list[Reply], str, TokenChat, Any]:
    """The replies to a question and a result, the last prompt as text, the chat, and the tokenizer."""
    tokenizer = build_tiny_tokenizer()
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=True) for t in ("<|start|>", "<|stop|>")])
    tokenizer.eos_token, tokenizer.chat_template = "<|endoftext|>", shown
    script = list(lines)

    def answer(request: Request) -> list[int]:
        said = tokenizer.encode(script.pop(0), add_special_tokens=False)
        return [*said, tokenizer.convert_tokens_to_ids("<|stop|>")]

    engine = ScriptedEngine(answer, context=8192)
    chat = TokenPolicy(engine, Renderer(tokenizer), Sampling(max_tokens=4096), context=8192).open("policy", (1,), tools)

    async def play() -> list[Reply]:
        chat.add("user", "Look.")
        first = await chat.reply()
        chat.add("tool", "42", name="look")
        return [first, await chat.reply()]

    replies = asyncio.run(play())
    return replies, str(tokenizer.decode(engine.requests[-1].prompt)), chat, tokenizer


@pytest.mark.parametrize("name", READ_IN_CHATS)
def test_a_call_in_the_templates_form_is_a_call_and_stays_as_it_was_sampled(name: str) -> None:
    sampled = tool_format(name).write_calls([CALL])
    (first, second), prompt, chat, tokenizer = played(template(name), sampled, "Done.")
    assert (first.tool_calls, first.text, first.raw) == ((CALL,), "", sampled)
    assert (second.tool_calls, second.text) == ((), "Done.")
    said = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": sampled},
        {"role": "tool", "content": "42"},
    ]
    assert prompt == tokenizer.apply_chat_template(said, tools=[TOOL], add_generation_prompt=True, tokenize=False)
    assert (len(chat.segments()), chat.breaks) == (1, 0)
    written = chat.messages[1]["content"]
    assert read_reply(written, "stop", 0).tool_calls == (CALL,)


def test_a_call_that_cannot_be_read_stays_one_in_the_messages() -> None:
    cut = "<think>hm</think><tool_call>look\n<arg_key>n</arg_key>\n<arg_value>1"
    (first, _), prompt, chat, _ = played(template("glm45"), cut, "Done.")
    assert [bool(call.error) for call in first.tool_calls] == [True]
    assert "cut off" in chat.messages[1]["content"]
    assert cut in prompt
    assert first.reasoning == "hm"


@pytest.mark.parametrize("name", READ_IN_CHATS)
def test_a_call_in_hermes_form_as_a_warm_start_teaches_it_is_read_too(name: str) -> None:
    sampled = tool_format("hermes").write_calls([CALL])
    (first, _), prompt, chat, _ = played(template(name), sampled, "Done.")
    assert first.tool_calls == (CALL,)
    assert chat.messages[1]["content"] == sampled
    assert sampled in prompt


@pytest.mark.parametrize("name", READ_IN_CHATS)
def test_an_argument_that_quotes_a_call_in_hermes_form_is_an_argument(name: str) -> None:
    tool = {"type": "function", "function": {"name": "edit", "parameters": {"properties": {"s": {"type": "string"}}}}}
    call = ToolCall("edit", {"s": tool_format("hermes").write_calls([CALL])})
    (first, _), _, chat, _ = played(template(name), tool_format(name).write_calls([call]), "Done.", tools=(tool,))
    assert first.tool_calls == (call,)
    assert read_reply(chat.messages[1]["content"], "stop", 0).tool_calls == (call,)


def test_mistrals_reasoning_is_reasoning_to_environments() -> None:
    (first, second), prompt, chat, _ = played(template("mistral"), "[THINK]hm[/THINK]Wait.", "Done.")
    assert (first.reasoning, first.text, second.text) == ("hm", "Wait.", "Done.")
    assert chat.messages[1]["content"] == "<think>\nhm\n</think>\n\nWait."
    assert "[THINK]hm[/THINK]Wait." in prompt


def test_a_history_that_is_rendered_again_and_a_fork_have_the_calls_as_sampled() -> None:
    sampled = tool_format("glm45").write_calls([CALL])
    _, _, chat, tokenizer = played(template("glm45"), sampled, "Done.", "More.", "Fork.")
    chat.rewrite(chat.messages)

    async def ask(one: TokenChat) -> None:
        one.add("user", "And?")
        await one.reply()

    fork = chat.fork()
    for one in (chat, fork):
        asyncio.run(ask(one))
        segment = one.segments()[-1]
        assert sampled in tokenizer.decode(segment.tokens)


@pytest.mark.parametrize("name", FORMATS)
def test_the_format_is_told_from_the_template(name: str) -> None:
    same = {
        "qwen": "hermes",
        "glm47": "glm45",
        "mistral_list": "mistral",
        "harmony": "hermes",
        "llama_pythonic": "hermes",
    }
    assert format_of_template(template(name)) == same.get(name, name)
    assert format_of_template(BODY) == "hermes"
