"""A chat-based environment over the torch engine: what would be trained with its own tokens, and with repaired ones."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.local import LocalEngine
from lachesis.rollout.models.loading import load_tokenizer
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.service.engine.conversations import Conversations
from lachesis.rollout.service.engine.exact_tokens import repaired
from lachesis.rollout.service.engine.routes import engine_routes

SAMPLES = 32
WORDS = ("the", "answer", "is", "hello", "er", "an", "in", "on", "re", "th", "he")


def test_the_trainers_logprobs_are_the_samplers_only_after_the_repair(tmp_path: Path) -> None:
    build_tiny_model(tmp_path, words=WORDS, context=256)
    renderer, tokenizer = Renderer.load(str(tmp_path)), load_tokenizer(str(tmp_path))
    engine = LocalEngine(TorchEngine.from_path(str(tmp_path), dtype="float32", slots=16, context=256, device="cpu"))
    memory = Conversations(renderer)
    question = [{"role": "user", "content": "what is the answer?"}]

    async def play() -> list[str]:
        app = web.Application()
        app.add_routes(engine_routes(engine, renderer, context=256, version=lambda: 0, memory=memory))
        async with TestClient(TestServer(app)) as client:
            body = {"model": "policy", "messages": question, "n": SAMPLES, "max_tokens": 24, "seed": 1}
            answer = await (await client.post("/v1/chat/completions", json=body)).json()
            return [choice["message"]["content"] for choice in answer["choices"]]

    replies = asyncio.run(play())
    sampled = {turn.shown: turn for turn in memory._turns}
    before, after = [], []
    for reply in replies:
        turn = sampled[reply]
        tokens, mask = tokenized(tokenizer, [*question, {"role": "assistant", "content": reply}])
        repair = repaired(memory, tokens, mask, None)
        assert repair.outcome == "repaired"
        assert repair.tokens.tolist()[: turn.size] == turn.tokens().tolist()
        truth = float(turn.completion.logprobs.sum())
        before.append(abs(trained(engine, tokens, np.array(mask) != -100) - truth))
        after.append(abs(trained(engine, repair.tokens.tolist(), repair.mask) - truth))
    wrong = sum(difference > 0.01 for difference in before)
    print(
        f"another logprob in {wrong} of {SAMPLES} sequences, by {np.mean(before):.1f} nats; repaired {max(after):.5f}"
    )
    assert wrong > 0.9 * SAMPLES
    assert np.mean(before) > 5
    assert after == pytest.approx([0] * SAMPLES, abs=1e-3)


def tokenized(tokenizer: Any, messages: list[dict[str, str]]) -> tuple[list[int], list[int]]:
    """What ``atroposlib.utils.tokenize_for_trainer`` makes of a conversation's last turn."""
    tokens = list(tokenizer.apply_chat_template(messages)["input_ids"])
    size = len(tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True)["input_ids"])
    return tokens, [-100] * size + tokens[size:]


def trained(engine: LocalEngine, tokens: list[int], mask: Any) -> float:
    """The logprob of all that is trained, as a trainer computes it."""
    logprobs = asyncio.run(engine.compute_logprobs(np.array(tokens, np.int32)))
    return float(logprobs[mask].sum())
