"""An Atropos-style trainer (register, batch) is fed by an environment of Lachesis, through a bare service."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientSession, web

from lachesis.environments.loading import describe
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import RolloutConfig
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.service.app import Service, make_app, make_runner
from lachesis.rollout.service.engine.conversations import Conversations
from lachesis.rollout.service.engine.routes import engine_routes
from lachesis.rollout.service.remote_workers import atropos_client, feeder
from lachesis.rollout.service.remote_workers.atropos_client import AtroposClient
from lachesis.rollout.service.remote_workers.client import GroupRefused
from lachesis.rollout.service.remote_workers.feeder import Feeder
from lachesis.rollout.service.storage.queue import GroupQueue
from lachesis.verifiers.errors import EngineError
from lachesis.verifiers.sandbox.settings import SandboxSettings

from .conftest import group, until

CONTEXT, STEPS = 64, 3
SUMS = describe("arithmetic", config={"digits": 1}, label="arithmetic")
RENDERER = Renderer(build_tiny_tokenizer())
TRAINER = {"wandb_group": "", "wandb_project": "", "batch_size": 8, "max_token_len": CONTEXT, "checkpoint_dir": ""}
TRAINER |= {"save_checkpoint_interval": 1, "starting_step": 0, "num_steps": STEPS}


@pytest.fixture(autouse=True)
def asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeder, "POLL", 0.05)
    monkeypatch.setattr(atropos_client, "WAIT", 0.05)


def guess(request: Request) -> tuple[list[int], list[float]]:
    """One of two answers, by the seed, and the token that ends the turn."""
    return [48 + request.sampling.seed % 2, request.sampling.stop_ids[0]], [-0.5, -0.25]


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    runner = make_runner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def both(
    path: Path, script: Callable[[Request], Any] = guess, **options: Any
) -> AsyncIterator[tuple[Service, AtroposClient, ClientSession]]:
    """A bare service, a client that has not registered yet, and a trainer's session."""
    queue = GroupQueue(path / "store.sqlite", max_groups=100, max_bytes=1 << 30)
    service = Service(queue)
    engine = ScriptedEngine(script, version=0, context=CONTEXT)
    routes = engine_routes(engine, RENDERER, context=CONTEXT, version=lambda: 0, memory=Conversations(RENDERER))
    app = web.Application()
    app.add_routes(routes)
    async with listening(make_app(service)) as url, listening(app) as engine_url, ClientSession(url) as session:
        settings: dict[str, Any] = {"name": "sums", "group_size": 4, "patience": 5.0, **options}
        async with AtroposClient(url, engine_url, RENDERER, **settings) as client:
            yield service, client, session
    queue.close()


async def register(session: ClientSession) -> None:
    async with session.post("/register", json=TRAINER) as answer:
        assert answer.status == 200


async def next_batch(session: ClientSession) -> list[dict[str, Any]] | None:
    async with session.get("/batch") as answer:
        found = await answer.json()
        return found["batch"]  # type: ignore[no-any-return]


def bounded(talk: Any) -> Any:
    async def run() -> Any:
        async with asyncio.timeout(60):
            return await talk

    return asyncio.run(run())


def test_a_trainer_that_registers_and_asks_for_batches_is_fed_until_its_last_step(tmp_path: Path) -> None:
    async def talk() -> None:
        async with both(tmp_path, sampling=Sampling(max_tokens=4)) as (service, client, session):
            fed = Feeder(client, SUMS, RolloutConfig(threads=1, retries=0), SandboxSettings(), seed=5)
            feeding = asyncio.create_task(fed.run())
            await asyncio.sleep(0.1)
            assert not service.environments, "it waits for the trainer"
            await register(session)
            batches: list[list[dict[str, Any]]] = []
            while len(batches) < STEPS:
                batch = await next_batch(session)
                batches += [batch] if batch else []
                await asyncio.sleep(0.01)
            await feeding
            assert [len(batch) for batch in batches] == [2] * STEPS
            assert service.environments[0].name == "sums_0"
            for data in (data for batch in batches for data in batch):
                assert data["env_id"] == 0
                assert len(data["tokens"]) == len(data["scores"]) == 4
                assert data["generation_params"] == {"temperature": 1.0}
                rows = zip(data["tokens"], data["masks"], data["inference_logprobs"], strict=True)
                for tokens, mask, logprobs in rows:
                    assert mask == [-100] * (len(tokens) - 2) + tokens[-2:]
                    assert logprobs == [1.0] * (len(tokens) - 2) + [-0.5, -0.25]
                    assert tokens[-2] in (48, 49)
                assert {message["role"] for message in data["messages"][0]} >= {"user", "assistant"}
        assert not service.environments[0].connected, "it said goodbye"

    bounded(talk())


def test_it_makes_no_more_groups_than_the_batches_that_may_wait(tmp_path: Path) -> None:
    async def talk() -> None:
        async with both(tmp_path, ahead=2) as (_, client, session):
            await register(session)
            await next_batch(session)
            welcome = await client.welcome()
            assert (welcome.context, welcome.group_size, welcome.figures.steps) == (CONTEXT, 4, STEPS)
            assert welcome.figures.wanted == 4
            figures = [await client.send(1, group(attempts=4)) for _ in range(4)]
            assert [one.wanted for one in figures] == [3, 2, 1, 0]
            assert (await client.welcome()).figures.wanted == 0

    bounded(talk())


def test_a_service_that_was_reset_is_joined_again(tmp_path: Path) -> None:
    async def talk() -> None:
        async with both(tmp_path) as (service, client, session):
            fed = Feeder(client, SUMS, RolloutConfig(threads=1, retries=0), SandboxSettings(), groups=6)
            await register(session)
            await next_batch(session)
            feeding = asyncio.create_task(fed.run())
            await until(lambda: fed.tally.sent == 2)
            await session.get("/reset_data")
            await asyncio.sleep(0.2)
            await register(session)
            while not feeding.done():
                await next_batch(session)
                await asyncio.sleep(0.05)
            await feeding
            assert len(service.environments) == 1

    bounded(talk())


def test_a_group_that_is_refused_is_told_with_field_and_index(tmp_path: Path) -> None:
    async def talk() -> None:
        async with both(tmp_path) as (_, client, session):
            await register(session)
            await next_batch(session)
            await client.welcome()
            good = group()
            untrained = replace(good, trajectories=tuple(replace(one, segments=()) for one in good.trajectories))
            with pytest.raises(GroupRefused, match="no agent"):
                await client.send(1, untrained)
            (segment,) = good.trajectories[0].segments
            names = ("tokens", "sampled", "mask", "logprobs", "versions")
            long = replace(segment, **{name: np.resize(getattr(segment, name), 3 * CONTEXT) for name in names})
            too_long = replace(good, trajectories=tuple(replace(one, segments=(long,)) for one in good.trajectories))
            with pytest.raises(GroupRefused, match=r"tokens.0: a sequence has 1 to 64 tokens, found 192"):
                await client.send(2, too_long)

    bounded(talk())


def test_a_post_whose_answer_was_lost_is_not_sent_again(tmp_path: Path) -> None:
    posts = []

    async def cut(request: web.Request) -> web.Response:
        posts.append(await request.json())
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def talk() -> None:
        app = web.Application()
        app.router.add_post("/scored_data", cut)
        async with listening(app) as url, AtroposClient(url, url, RENDERER, name="sums", patience=5) as client:
            with pytest.raises(GroupRefused, match="may have been taken"):
                await client.send(1, group())

    bounded(talk())
    assert len(posts) == 1


def test_a_prompt_that_fills_the_context_gives_no_tokens(tmp_path: Path) -> None:
    async def talk() -> None:
        async with both(tmp_path) as (_, client, session):
            await register(session)
            await next_batch(session)
            await client.welcome()
            found = await client.generate(Request(np.full(CONTEXT, 7, np.int32), Sampling()))
            assert (found.tokens.size, found.stop) == (0, "length")
            with pytest.raises(EngineError, match="schema"):
                await client.generate(Request(np.array([7], np.int32), Sampling(schema="{}")))

    bounded(talk())


@pytest.mark.parametrize(
    "answer",
    [{"text": ["4"]}, {"logprobs": [], "finish_reasons": []}, {"logprobs": [[[{"a": 1}]]], "finish_reasons": [""]}],
)
def test_an_engine_without_ids_and_logprobs_is_named(answer: dict[str, Any]) -> None:
    async def generate(request: web.Request) -> web.Response:
        return web.json_response(answer)

    async def talk() -> None:
        app = web.Application()
        app.router.add_post("/generate", generate)
        async with listening(app) as url, AtroposClient(url, url, RENDERER, name="sums", patience=5) as client:
            client._context = CONTEXT
            with pytest.raises(EngineError, match="no token ids and logprobs"):
                await client.generate(Request(np.array([7], np.int32), Sampling()))

    bounded(talk())
