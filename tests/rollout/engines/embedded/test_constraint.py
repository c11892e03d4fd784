"""Replies held to a JSON schema, of a model that would otherwise say anything; and their logprobs, which stay right."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonschema import validate

from lachesis.environments.thinking import Thinking
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.chats.text_chat import TextPolicy
from lachesis.rollout.chats.token_chat import TokenPolicy
from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.embedded.sampling import draw
from lachesis.rollout.engines.engine import Completion, Request, Sampling
from lachesis.rollout.engines.local import LocalEngine
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.verifiers.errors import ConfigError, DataError, EngineError

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "kind": {"enum": ["cat", "dog"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "kind", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model") / "tiny", hidden=32, layers=1, context=256)


def completions(folder: Path, *samplings: Sampling) -> list[tuple[Completion, str]]:
    """What an untrained model says, all at once."""
    renderer = Renderer.load(str(folder))
    engine = LocalEngine(TorchEngine.from_path(str(folder), slots=8, context=256))
    prompt = renderer.prompt([{"role": "user", "content": "A pet?"}])

    async def ask() -> list[Completion]:
        return await asyncio.gather(*(engine.generate(Request(prompt, sampling)) for sampling in samplings))

    return [(made, renderer.decode(made.tokens)) for made in asyncio.run(ask())]


def held(folder: Path, seed: int, **settings: Any) -> Sampling:
    stop = Renderer.load(str(folder)).stop_ids
    return Sampling(**{"max_tokens": 200, "stop_ids": stop, "seed": seed, "schema": json.dumps(SCHEMA), **settings})


@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.0])
def test_whatever_the_model_would_say_it_says_json_by_the_schema(folder: Path, temperature: float) -> None:
    made = completions(folder, *(held(folder, seed, temperature=temperature) for seed in range(8)))
    ended = [text for completion, text in made if completion.stop == "stop"]
    for text in ended:
        validate(json.loads(text), SCHEMA)
    assert len(ended) == 8
    assert len(set(ended)) > 3 or temperature == 0


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_are_the_policys_own(folder: Path, temperature: float) -> None:
    renderer, core = Renderer.load(str(folder)), TorchEngine.from_path(str(folder), slots=8, context=256)
    prompt = renderer.prompt([{"role": "user", "content": "A pet?"}])
    for completion, _ in completions(folder, *(held(folder, seed, temperature=temperature) for seed in range(3))):
        whole = np.concatenate([prompt, completion.tokens])
        expected = core.compute_logprobs(whole, temperature)[prompt.size :]
        assert np.abs(completion.logprobs - expected).max() < 1e-4
        assert completion.logprobs.mean() < -3  # it would not have said that


def test_company_changes_nothing_and_those_without_a_schema_are_free(folder: Path) -> None:
    alone = completions(folder, held(folder, 5))[0][0]
    free = held(folder, 6, schema="")
    ((same, _), (other, said)) = completions(folder, held(folder, 5), free)
    assert same.tokens.tolist() == alone.tokens.tolist()
    assert same.logprobs.tobytes() == alone.logprobs.tobytes()
    assert other.tokens.tolist() == completions(folder, free)[0][0].tokens.tolist()
    assert not said.lstrip().startswith("{")


def test_a_budget_for_thinking_does_not_cut_what_has_none(folder: Path) -> None:
    engine = LocalEngine(TorchEngine.from_path(str(folder), slots=8, context=256))
    policy = TokenPolicy(engine, Renderer.load(str(folder)), Sampling(max_tokens=100), context=256)

    async def talk() -> str:
        chat = policy.open("policy", (3,), (), Thinking(mode="free", budget=3))
        chat.add("user", "A pet?")
        return (await chat.reply(schema={"enum": ["catcatcatcat", "dogdogdogdog"]})).raw

    assert json.loads(asyncio.run(talk())) in ("catcatcatcat", "dogdogdogdog")


def test_a_chat_asks_for_it_by_reply_and_the_next_reply_is_free(folder: Path) -> None:
    renderer = Renderer.load(str(folder))
    engine = LocalEngine(TorchEngine.from_path(str(folder), slots=8, context=256))
    policy = TokenPolicy(engine, renderer, Sampling(max_tokens=100), context=256)

    async def talk() -> list[str]:
        chat = policy.open("policy", (3,))
        chat.add("user", "A pet?")
        first = (await chat.reply(schema={"enum": ["cat", "dog"]})).raw
        chat.add("user", "Why?")
        second = (await chat.reply(max_tokens=10)).raw
        assert chat.segments()[0].mask.any()
        return [first, second]

    first, second = asyncio.run(talk())
    assert json.loads(first) in ("cat", "dog")
    assert not second.startswith('"')


@pytest.mark.parametrize("schema", ["no json", "[]", 7, '{"type": "nonsense"}'])
def test_what_is_no_schema_is_refused(folder: Path, schema: Any) -> None:
    engine = LocalEngine(TorchEngine.from_path(str(folder), slots=8, context=256))
    policy = TokenPolicy(engine, Renderer.load(str(folder)), Sampling(max_tokens=9), context=256)

    async def talk() -> None:
        chat = policy.open("policy", (3,))
        chat.add("user", "A pet?")
        await chat.reply(schema=schema)

    with pytest.raises((DataError, EngineError), match="schema"):
        asyncio.run(talk())


def test_an_endpoint_is_asked_in_its_own_words() -> None:
    body = TextPolicy("http://localhost:1/v1", "x", Sampling()).open("policy", (0,))._body({"schema": SCHEMA})
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert "schema" not in body


def test_only_allowed_tokens_are_drawn_and_other_rows_are_as_before() -> None:
    logits = torch.randn(3, 10, generator=torch.Generator().manual_seed(0))
    ones, zeros = torch.ones(3), torch.zeros(3, dtype=torch.int64)
    uniform = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    allowed = torch.zeros(10, dtype=torch.bool)
    allowed[[2, 7]] = True
    tokens, logprobs = draw(logits, ones, zeros, ones, 0 * ones, uniform, {1: allowed})
    before, plain = draw(logits, ones, zeros, ones, 0 * ones, uniform)
    assert tokens[1] in (2, 7)
    assert logprobs[1] == logits[1].log_softmax(-1)[tokens[1]]
    assert (tokens[[0, 2]] == before[[0, 2]]).all()
    assert (logprobs[[0, 2]] == plain[[0, 2]]).all()


def test_a_reply_by_a_schema_has_no_room_for_reasoning(folder: Path) -> None:
    from lachesis.environments.thinking import Thinking

    policy = TokenPolicy(None, Renderer.load(str(folder)), Sampling(), context=256)  # type: ignore[arg-type]
    chat = policy.open("policy", (0,), (), Thinking(mode="on"))
    chat.add("user", "x")
    with pytest.raises(ConfigError, match="no room for reasoning"):
        asyncio.run(chat.reply(schema={"type": "object"}))
