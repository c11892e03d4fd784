"""Bodies that nobody would send: every one is answered, none with 500, and the service goes on."""

import asyncio
import gc
import gzip
import json
import os
import tracemalloc
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import REGISTRATION, Client, group

EXAMPLES = int(os.environ.get("LACHESIS_FUZZ", "150"))
NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans(), st.just(10**400), st.just("1"), st.just("x"))
JSON = st.recursive(
    st.one_of(st.none(), NUMBERS, st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [*group(), "advantages", "ref_logprobs", "messages", "generation_params", "inference_logprobs", "overrides"]
FIELDS += ["group_overrides", "images", "env_id", "distill_token_ids", "distill_logprobs"]
ROWS = st.lists(st.lists(NUMBERS, max_size=4), max_size=4)
CHANGED = st.dictionaries(st.sampled_from(FIELDS), JSON | ROWS, max_size=3).map(lambda changes: group() | changes)
REGISTERED = st.dictionaries(st.sampled_from(list(REGISTRATION)), JSON, max_size=2).map(
    lambda changes: REGISTRATION | changes
)
ENVIRONMENT = {"max_token_length": 64, "desired_name": "x", "weight": 1.0, "group_size": 4, "min_batch_allocation": 0.5}
ENVIRONMENTS = st.dictionaries(st.sampled_from(list(ENVIRONMENT)), JSON, max_size=2).map(
    lambda changes: ENVIRONMENT | changes
)
REQUESTS = st.one_of(
    st.tuples(st.just("/scored_data"), CHANGED),
    st.tuples(st.just("/scored_data_list"), st.lists(CHANGED, max_size=3)),
    st.tuples(st.just("/register"), REGISTERED),
    st.tuples(st.just("/register-env"), ENVIRONMENTS),
    st.tuples(st.sampled_from(["/disconnect-env", "/status-env"]), st.fixed_dictionaries({"env_id": NUMBERS})),
    st.tuples(st.sampled_from(["/scored_data", "/scored_data_list", "/register", "/register-env"]), JSON),
)
READ = ("/batch", "/status", "/info", "/wandb_info", "/latest_example", "/metrics", "/quarantine")


async def send(client: Client, path: str, body: bytes, **headers: str) -> None:
    method = "GET" if path == "/status-env" else "POST"
    status = await client.status(method, path, data=body, headers=headers)
    assert status in {200, 400, 404, 413, 422}, (path, body, status)


def test_no_request_is_answered_with_500(talk: Callable[..., None]) -> None:
    async def session(client: Client) -> None:
        loop = asyncio.get_running_loop()

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(st.lists(REQUESTS, min_size=1, max_size=4), st.binary(max_size=40), st.integers(0, 200))
        def fuzz(requests: list[tuple[str, Any]], noise: bytes, cut: int) -> None:
            async def ask() -> None:
                for path, value in requests:
                    body = json.dumps(value).encode()
                    await send(client, path, body)
                    await send(client, path, body[:cut] + noise)
                    await send(client, path, gzip.compress(body)[:cut] + noise, **{"Content-Encoding": "gzip"})
                for path in READ:
                    async with client.session.get(client.address + path) as response:
                        assert response.status == 200, (path, requests)
                        text = await response.text()
                        if path != "/metrics":
                            json.loads(text, parse_constant=_refuse)

            asyncio.run_coroutine_threadsafe(ask(), loop).result(60)

        await asyncio.to_thread(fuzz)
        await client.get("/reset_data")
        await client.post("/register", REGISTRATION)
        await client.post("/scored_data_list", [group(1), group(2)])
        assert await client.batch() == [1, 2]

    talk(session, seconds=60 + EXAMPLES)


def test_refused_bodies_leave_nothing_behind_but_a_bounded_quarantine(talk: Callable[..., None]) -> None:
    async def session(client: Client) -> None:
        async def refuse(times: int) -> int:
            for n in range(times):
                long = "x" * 100_000 + str(n)
                key = group(generation_params={long: float("nan")})
                for path, body in (("/scored_data", key), ("/scored_data", {"tokens": long}), ("/register-env", long)):
                    assert await client.status("POST", path, json=body) == 422
                name = {**ENVIRONMENT, "desired_name": long}
                assert await client.status("POST", "/register-env", json=name) == 422
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        await client.post("/register", REGISTRATION)
        await client.batch()
        tracemalloc.start()
        try:
            before = await refuse(10)
            grown = await refuse(45) - before
        finally:
            tracemalloc.stop()
        assert grown < 1 << 20, "of 18 MB that were refused"
        assert await client.get("/status") == {"current_step": 3, "queue_size": 0}
        kept = (await client.get("/quarantine"))["refused"]
        assert len(kept) == 100
        assert max(len(one["reason"]) for one in kept) < 1000
        assert not client.service.environments

    talk(session)


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
