"""What a renderer remembers of conversations: none that are long."""

from typing import Any

import pytest

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.models.tiny import TEMPLATE, build_tiny_tokenizer

LONG = "x" * (1 << 18)


@pytest.mark.parametrize(
    ("asked", "declared"),
    [([LONG], []), ([""] * 4096, []), (["q"], [{"type": "function", "function": {"name": "f", "description": LONG}}])],
    ids=["text", "messages", "tools"],
)
def test_long_conversations_and_tools_are_rendered_and_not_remembered(asked: list[str], declared: list[Any]) -> None:
    tokenizer = build_tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE.read_text(encoding="utf-8")
    renderer = Renderer(tokenizer)
    messages: list[Any] = [{"role": "user", "content": text} for text in asked]
    assert renderer.prompt(messages, declared).size > 4096
    assert renderer.bridge(messages, "r", None, messages, declared) is not None
    assert renderer._prompt.cache_info().currsize == renderer._bridge.cache_info().currsize == 0
    assert all(len(text) < 100 for text in renderer._codec.marked_tools)
    renderer.prompt([{"role": "user", "content": "q"}])
    assert renderer._prompt.cache_info().currsize == 1
