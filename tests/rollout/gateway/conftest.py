"""An engine whose every token can be told apart, behind a gateway, and what agents do with their history."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import numpy as np
import pytest

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.chats.token_chat import TokenPolicy
from lachesis.rollout.engines.engine import Completion, Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.gateway.dialects.chat_completions import ChatCompletions
from lachesis.rollout.gateway.episode import Opened
from lachesis.rollout.gateway.gateway import Gateway
from lachesis.rollout.gateway.recording import Recording
from lachesis.rollout.models.tiny import TEMPLATE, build_tiny_tokenizer

CHAT = ChatCompletions()
CALLED = '<tool_call>\n{"name": "look", "arguments": {"at": "x"}}\n</tool_call>'
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
PLAIN = (
    "{%- if tools -%}{{ '<|im_start|>system\n' + tools | tojson + '<|im_end|>\n' }}{%- endif -%}"
    "{%- for message in messages -%}{{ '<|im_start|>' + message.role + '\n' + message.content }}"
    "{%- for call in message.tool_calls or [] -%}{{ call.function | tojson }}{%- endfor -%}{{ '<|im_end|>\n' }}"
    "{%- endfor -%}{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
)
# As Qwen3's does, this drops the reasoning of turns before the last question, and opens the reply's reasoning itself.
THINKS = PLAIN.replace(
    "{{ '<|im_start|>' + message.role + '\n' + message.content }}",
    "{%- set text = message.content.split('</think>')[-1].lstrip('\n') if message.role == 'assistant' and "
    "'user' in (messages[loop.index0:] | map(attribute='role')) else message.content -%}"
    "{{ '<|im_start|>' + message.role + '\n' + text }}",
).replace("'<|im_start|>assistant\n' if add", "'<|im_start|>assistant\n<think>\n' if add")
TEMPLATES = {"hermes": TEMPLATE.read_text(encoding="utf-8"), "plain": PLAIN, "thinks": THINKS}
HELLO = {"model": "policy", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 64}
BODIES = {
    "/v1/chat/completions": HELLO,
    "/v1/messages": HELLO,
    "/v1/responses": {"model": "policy", "input": "hello"},
    "/v1/completions": {"model": "policy", "prompt": "hello"},
    "/inference/v1/generate": {"model": "policy", "token_ids": [66, 67], "sampling_params": {"max_tokens": 9}},
}
_TOKENIZERS: dict[str, Any] = {}


@dataclass
class Engine:
    """Says given lines, in ids that no tokenizer would give; the logprob of each token names it.

    Attributes:
        lines: what it says next, one line a request; ``say`` is asked where there are none left.
        returned: what it sampled: (request, completion).
        gate: while it is clear, no request ends.
    """

    template: str = "hermes"
    lines: list[str] = field(default_factory=list)
    say: Callable[[Request], str] = lambda request: "the answer is 4"
    context: int = 8192
    max_tokens: int = 512
    ends: bool = True

    def __post_init__(self) -> None:
        if self.template not in _TOKENIZERS:
            tokenizer = build_tiny_tokenizer(words=("the", "answer", "is", "hello"))
            tokenizer.chat_template = TEMPLATES[self.template]
            _TOKENIZERS[self.template] = tokenizer, Renderer(tokenizer)
        self.tokenizer, self.renderer = _TOKENIZERS[self.template]
        self.scripted = ScriptedEngine(self.script, context=self.context)
        self.rng = np.random.default_rng(0)
        self.named = 0
        self.returned: list[tuple[Request, Completion]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = 0

    @property
    def policy(self) -> TokenPolicy:
        return TokenPolicy(self, self.renderer, Sampling(max_tokens=self.max_tokens), context=self.context)

    async def generate(self, request: Request) -> Completion:
        self.begun += 1
        await self.gate.wait()
        completion = await self.scripted.generate(request)
        self.returned.append((request, completion))
        return completion

    def script(self, request: Request) -> tuple[list[int], list[float]]:
        ids: list[int] = []
        text = self.lines.pop(0) if self.lines else self.say(request)
        for word in self.renderer.written(text).tolist():
            letters = self.renderer.decode(np.array([word]), ())
            spelled = "<" not in letters and letters.isascii() and self.rng.random() < 0.5
            ids += [token for letter in letters for token in self.renderer.written(letter)] if spelled else [word]
        ids += [self.tokenizer.eos_token_id] * self.ends
        names = [-(self.named + place + 1) / 4096 for place in range(len(ids))]  # exact in float32
        self.named += len(ids)
        return [int(token) for token in ids], names


@asynccontextmanager
async def opened(engine: Engine, **options: Any) -> AsyncIterator[Opened]:
    """An episode over the engine."""
    async with Gateway(heartbeat=0.02) as gateway, gateway.open(engine.policy, **options) as episode:
        yield episode


async def ask(episode: Opened, messages: list[Any], *, retried: bool = False, **more: Any) -> dict[str, Any]:
    """The gateway's answer to a chat completion, without the way through HTTP."""
    body = json.dumps({"model": "policy", "messages": messages, **more})
    digest = hashlib.sha256(body.encode()).digest()
    call = replace(CHAT.read(json.loads(body), episode.conversations), digest=digest, retried=retried)
    answer = await episode.answer(call)
    episode.delivered(call, answer, whole=True)
    return dict(json.loads(json.dumps(CHAT.write(call, answer))))


async def post(opened: Any, path: str, body: Any, key: str | None = None, retried: str = "0") -> tuple[int, Any]:
    """Status and JSON of the gateway's answer to a body, which is sent as it is if it is bytes."""
    headers = {"Authorization": f"Bearer {opened.key if key is None else key}", "x-stainless-retry-count": retried}
    data = body if isinstance(body, bytes) else json.dumps(body)
    async with aiohttp.ClientSession(headers=headers) as session, session.post(opened.url + path, data=data) as answer:
        return answer.status, await answer.json()


async def until(condition: Callable[[], Any]) -> None:
    """Wait until ``condition()`` holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for is not known
            await asyncio.sleep(0)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(answer: dict[str, Any], choice: int = 0) -> dict[str, Any]:
    return dict(answer["choices"][choice]["message"])


def result(reply: dict[str, Any], text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": reply["tool_calls"][0]["id"], "content": text}


def check_exact(engine: Engine, recording: Recording) -> None:
    """Every token is trained once, after exactly the ids that the engine read, or the proof says why it is not."""
    places: dict[float, tuple[Any, int]] = {}
    for segment in recording.segments:
        for at in np.flatnonzero(segment.mask).tolist():
            name = float(segment.logprobs[at])
            assert name not in places, "a sampled token is trained twice"
            places[name] = segment, at
    untrained = 0
    for request, completion in engine.returned:
        prompt, names = request.prompt, completion.logprobs.tolist()
        for number, (token, name) in enumerate(zip(completion.tokens.tolist(), names, strict=True)):
            if name not in places:
                untrained += 1
                continue
            segment, at = places.pop(name)
            assert segment.tokens[at] == token
            assert segment.tokens[: at - number].tolist() == prompt.tolist()
    assert not places, "a trained token was never sampled"
    assert untrained == sum(recording.proof.untrained.values()), recording.proof
    assert recording.proof.complete
    sampled = sum(int(completion.tokens.size) for _, completion in engine.returned)
    assert recording.proof.sampled == sampled


@pytest.fixture
def engine() -> Callable[..., Engine]:
    """``engine(lines=[…], …)``; see ``Engine``."""
    return Engine
