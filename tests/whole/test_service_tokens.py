"""A chat-based environment over the torch engine: what would be trained with its own tokens, and with repaired ones."""

import asyncio
import random
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.local import LocalEngine
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.models.tokenizer import load_tokenizer
from lachesis.rollout.service.engine.conversations import Conversations
from lachesis.rollout.service.engine.exact_tokens import repaired
from lachesis.rollout.service.engine.routes import engine_routes

SAMPLES = 32
WORDS = ("the", "answer", "is", "hello", "er", "an", "in", "on", "re", "th", "he")


@pytest.mark.parametrize(("lessons", "least"), [(0, 0.9), (40, 0.05)])
def test_the_trainers_logprobs_are_the_samplers_only_after_the_repair(
    tmp_path: Path, lessons: int, least: float
) -> None:
    """``lessons``: steps on text as the tokenizer writes it; ``least``: share of sequences that have other ids then."""
    build_tiny_model(tmp_path, hidden=64, words=WORDS, context=256)
    renderer, tokenizer = Renderer.load(str(tmp_path)), load_tokenizer(str(tmp_path))
    question = [{"role": "user", "content": "what is the answer?"}]
    teach(tmp_path, renderer, question, lessons)
    engine = LocalEngine(TorchEngine.from_path(str(tmp_path), dtype="float32", slots=16, context=256, device="cpu"))
    memory = Conversations(renderer)

    async def play() -> list[str]:
        app = web.Application()
        app.add_routes(engine_routes(engine, renderer, context=256, version=lambda: 0, memory=memory))
        async with TestClient(TestServer(app)) as client:
            body = {"model": "policy", "messages": question, "n": SAMPLES, "max_tokens": 24, "seed": 1}
            answer = await (await client.post("/v1/chat/completions", json=body)).json()
            return [choice["message"]["content"] for choice in answer["choices"]]

    replies = asyncio.run(play())
    sampled = {turn.shown: turn for turn in memory._turns}
    before, after, others = [], [], []
    for reply in replies:
        turn = sampled[reply]
        tokens, mask = tokenized(tokenizer, [*question, {"role": "assistant", "content": reply}])
        repair = repaired(memory, tokens, mask, None)
        assert repair.outcome in ("exact", "repaired")
        assert repair.tokens.tolist()[: turn.size] == turn.tokens().tolist()
        truth = float(turn.completion.logprobs.sum())
        others.append(share_of_others([token for token in mask if token != -100], turn.completion.tokens.tolist()))
        before.append(abs(trained(engine, tokens, np.array(mask) != -100) - truth))
        after.append(abs(trained(engine, repair.tokens.tolist(), repair.mask) - truth))
    wrong = np.mean([difference > 0.01 for difference in before])
    print(
        f"{lessons} lessons: other ids for {np.mean(others):.0%} of the tokens, in {wrong:.0%} of {SAMPLES} sequences; "
        f"the logprob differs by {np.mean(before):.2f} nats, repaired {max(after):.5f}"
    )
    assert wrong >= least
    assert np.mean(before) > 5 * least
    assert after == pytest.approx([0] * SAMPLES, abs=1e-3)


def teach(folder: Path, renderer: Renderer, question: list[Any], lessons: int) -> None:
    """Supervised steps on replies of a few words, so that the model writes them mostly as the tokenizer does."""
    rng, model = random.Random(0), load_model(str(folder), torch.float32, "cpu")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    prompt = renderer.prompt(question)
    for _ in range(lessons):
        replies = [renderer.reply(" ".join(rng.choices(WORDS, k=5))) for _ in range(16)]
        longest = max(reply.size for reply in replies)
        rows = [[*prompt, *reply, *[-100] * (longest - reply.size)] for reply in replies]
        labels = torch.tensor(rows, dtype=torch.long)
        loss = model(
            labels.clamp(min=0), labels=labels.masked_fill(torch.arange(labels.shape[1]) < prompt.size, -100)
        ).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)


def share_of_others(posted: list[int], sampled: list[int]) -> float:
    """The share of the posted ids that are not those that were sampled, in the best alignment."""
    same = sum(block.size for block in SequenceMatcher(None, posted, sampled, autojunk=False).get_matching_blocks())
    return 1 - same / max(1, len(posted))


def tokenized(tokenizer: Any, messages: list[dict[str, str]]) -> tuple[list[int], list[int]]:
    """What ``atroposlib.utils.tokenize_for_trainer`` makes of a conversation's last turn."""
    tokens = list(tokenizer.apply_chat_template(messages)["input_ids"])
    size = len(tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True)["input_ids"])
    return tokens, [-100] * size + tokens[size:]


def trained(engine: LocalEngine, tokens: list[int], mask: Any) -> float:
    """The logprob of all that is trained, as a trainer computes it."""
    logprobs = asyncio.run(engine.compute_logprobs(np.array(tokens, np.int32)))
    return float(logprobs[mask].sum())
