"""How a reply that ended with a stop token goes on: one end token, the sampled one or the next turn's."""

import asyncio
from typing import Any

import pytest
from tokenizers import AddedToken

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.chats.token_chat import TokenChat, TokenPolicy
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer

GLM = (
    "{{'[gMASK]<sop>'}}{%- for m in messages -%}{%- if m.role=='user' -%}{{'<|user|>\n'+m.content}}"
    "{%- elif m.role=='tool' -%}{{'<|observation|>\n'+m.content}}"
    "{%- elif m.role=='assistant' -%}{{'<|assistant|>\n'+m.content}}"
    "{%- endif -%}{%- endfor -%}{%- if add_generation_prompt -%}{{'<|assistant|>\n'}}{%- endif -%}"
)
LLAMA = (
    "{%- for m in messages -%}{{ '<|start_header_id|>' + ('ipython' if m.role == 'tool' else m.role)"
    " + '<|end_header_id|>' + '\n\n' + m.content + '<|eot_id|>' }}{%- endfor -%}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' if add_generation_prompt }}"
)
TOKENS = {
    GLM: ("[gMASK]", "<sop>", "<|user|>", "<|observation|>", "<|assistant|>"),
    LLAMA: ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>"),
}


def ended_by(template: str, end: str, role: Any, stops: tuple[str, ...]) -> tuple[str, str, TokenChat]:
    """The prompt after a reply that ended with a token and a message of a role, what the template renders, the chat."""
    tokenizer = build_tiny_tokenizer()
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=True) for t in TOKENS[template]], special_tokens=True)
    tokenizer.eos_token, tokenizer.chat_template = "<|endoftext|>", template
    lines = ["call", "B"]

    def script(request: Request) -> list[int]:
        return [*tokenizer.encode(lines.pop(0), add_special_tokens=False), tokenizer.convert_tokens_to_ids(end)]

    renderer = Renderer(tokenizer, stop_ids=tokenizer.convert_tokens_to_ids(list(stops)))
    engine = ScriptedEngine(script, context=4096)
    chat = TokenPolicy(engine, renderer, Sampling(), context=4096).open("policy", (1,), ())

    async def play() -> None:
        chat.add("user", "1")
        assert (await chat.reply()).raw == "call"
        chat.add(role, "2")
        await chat.reply()

    asyncio.run(play())
    said = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "call"}, {"role": role, "content": "2"}]
    wanted = str(tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False))
    return str(tokenizer.decode(engine.requests[-1].prompt)), wanted, chat


@pytest.mark.parametrize("end", ["<|user|>", "<|observation|>", "<|endoftext|>"])
@pytest.mark.parametrize("role", ["user", "tool"])
@pytest.mark.parametrize("stops", [(), ("<|user|>", "<|observation|>")])
def test_the_token_that_opens_the_next_turn_stands_once_and_is_the_templates(
    end: str, role: str, stops: tuple[str, ...]
) -> None:
    prompt, wanted, chat = ended_by(GLM, end, role, stops)
    assert prompt == wanted
    goes_on = end == {"user": "<|user|>", "tool": "<|observation|>"}[role]
    assert (len(chat.segments()), chat.breaks) == ((1, 0) if goes_on else (2, 1))
    assert sum(int(segment.sampled.sum()) for segment in chat.segments()) == len("call") + len("B") + 2


@pytest.mark.parametrize("end", ["<|eom_id|>", "<|eot_id|>", "<|endoftext|>"])
@pytest.mark.parametrize("role", ["user", "tool"])
def test_a_turn_has_one_end_token_the_sampled_one(end: str, role: str) -> None:
    prompt, wanted, chat = ended_by(LLAMA, end, role, ("<|eom_id|>", "<|eot_id|>"))
    assert prompt == wanted.replace("call<|eot_id|>", f"call{end}")
    assert (len(chat.segments()), chat.breaks) == (1, 0)


def test_a_demonstrated_call_ends_with_the_token_that_opens_its_result() -> None:
    tokenizer = build_tiny_tokenizer()
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=True) for t in TOKENS[GLM]], special_tokens=True)
    tokenizer.chat_template = GLM
    renderer = Renderer(tokenizer)
    call = '<tool_call>{"name": "look", "arguments": {}}</tool_call>'
    ends = [tokenizer.convert_ids_to_tokens(int(renderer.reply(text)[-1])) for text in (call, "4")]
    assert ends == ["<|observation|>", "<|user|>"]
