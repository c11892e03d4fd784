"""The wire: what Atropos clients are answered, what is refused, and that nothing is lost."""

import asyncio
import gzip
import json
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from lachesis.rollout.service.app import BodyLimits, Door, Times
from lachesis.rollout.service.openapi import document

from .conftest import REGISTRATION, Client, group

Talking = Callable[..., None]


def test_a_whole_session_as_the_wire_describes_it(talk: Talking) -> None:
    async def session(client: Client) -> None:
        assert await client.get("/") == {"message": "AtroposLib API"}
        assert await client.get("/info") == {"batch_size": -1, "max_token_len": -1}
        assert await client.get("/wandb_info") == {"group": None, "project": None}
        assert await client.get("/status") == {"current_step": 0, "queue_size": 0}
        assert (await client.get("/batch"))["batch"] == []
        assert (await client.post("/register", REGISTRATION))["uuid"] < 2**128
        environment = {"max_token_length": 64, "desired_name": "sums", "weight": "1", "group_size": 4}
        assert await client.post("/register-env", environment) == {"status": "wait for trainer to start"}
        assert await client.batch() is None
        answer = await client.post("/register-env", environment)
        assert answer == {
            "status": "success",
            "env_id": 0,
            "wandb_name": "sums_0",
            "checkpoint_dir": "folder",
            "starting_step": 3,
            "checkpoint_interval": 5,
            "num_steps": 100,
        }
        assert await client.environment() == 1
        assert await client.post("/scored_data", group(1, env_id=0)) == {"status": "received"}
        listed = [group(2, env_id=0), group(3, sequences=3, env_id=1), group(4)]
        assert await client.post("/scored_data_list", listed) == {
            "status": "received",
            "groups_processed": 3,
            "buffered": 1,
            "last_buffer_size": 3,
        }
        odd = await client.post("/scored_data", group(5, sequences=1, env_id=1))
        assert odd == {"status": "buffered", "buffer_size": 0}
        assert (await client.get("/latest_example"))["tokens"] == group(5, sequences=1)["tokens"]
        assert await client.get("/status") == {"current_step": 3, "queue_size": 5}
        assert await client.batch() == [1, 2]
        assert await client.batch() == [4, 3, 5]
        assert await client.get("/status") == {"current_step": 5, "queue_size": 0}
        assert await client.post("/disconnect-env", {"env_id": 1}) == {"status": "success"}
        assert (await client.post("/disconnect-env", {"env_id": 7}))["status"] == "failure"
        assert await client.get("/reset_data") == "Reset successful"
        assert await client.get("/info") == {"batch_size": -1, "max_token_len": -1}
        assert await client.get("/status") == {"current_step": 0, "queue_size": 0}

    talk(session)


def test_every_key_is_in_a_batch(talk: Talking) -> None:
    async def session(client: Client) -> None:
        await client.post("/register", {**REGISTRATION, "batch_size": 4})
        posted = group(1, overrides=[{"set_advantage_to_zero": True}] * 4, group_overrides={"a": 1}, images=["x"])
        await client.post("/scored_data", {**posted, "unknown": 1})
        (found,) = (await client.get("/batch"))["batch"]
        assert len(found) == 14
        assert {key: value for key, value in found.items() if value is not None} == posted

    talk(session)


def test_the_status_of_an_environment_counts_what_the_wire_says(talk: Talking) -> None:
    async def session(client: Client) -> None:
        await client.post("/register", REGISTRATION)
        await client.batch()
        await client.environment(weight=3.0, min_batch_allocation=0.25)
        await client.environment()
        await client.post("/scored_data_list", [group(n, env_id=0) for n in range(3)])
        await client.post("/scored_data_list", [group(n, env_id=1) for n in range(2)])
        assert await client.get("/status-env", json={"env_id": 1}) == {
            "current_step": 3,
            "queue_size": (8 + 12 - 2) // 4,
            "unallocated_fraction": 0.75,
            "self_queue_size": 2,
            "max_group_size": 4,
            "env_weight": 0.25,
        }
        assert await client.status("GET", "/status-env", json={"env_id": 2}) == 404
        assert await client.status("GET", "/status-env", params={"env_id": 1}) == 422

    talk(session)


@pytest.mark.parametrize(
    ("bad", "loc"),
    [
        (group(scores=[0.5]), ["body", "scores"]),
        (group(scores=[0.5, float("nan"), 0.5, 0.5]), ["body", "scores", 1]),
        (group(tokens=[]), ["body", "tokens"]),
        (group(inference_logprobs=[[0.0]] * 4), ["body", "inference_logprobs", 0]),
        ([group(), group(masks=[[-100, 7, 8]] * 4)], ["body", 1, "masks", 0, 2]),
    ],
)
def test_a_bad_group_is_refused_with_its_place_and_kept_in_quarantine(talk: Talking, bad: Any, loc: list[Any]) -> None:
    async def session(client: Client) -> None:
        path = "/scored_data_list" if isinstance(bad, list) else "/scored_data"
        async with client.session.post(client.address + path, json=bad) as response:
            assert response.status == 422
            (error,) = (await response.json())["detail"]
            assert error["loc"] == loc
            assert error["msg"]
        (kept,) = (await client.get("/quarantine"))["refused"]
        assert kept["body"] == json.dumps(bad)
        assert await client.get("/status") == {"current_step": 0, "queue_size": 0}
        assert "lachesis_bodies_refused_total{" in await client.get("/metrics")

    talk(session)


def test_stale_and_overlong_groups_are_refused(talk: Talking) -> None:
    async def session(client: Client) -> None:
        await client.post("/register", REGISTRATION)
        for version, status in ((3, 200), (2, 200), (1, 422), (4, 422), ("x", 422)):
            body = group(generation_params={"weights_version": version})
            assert await client.status("POST", "/scored_data", json=body) == status
        long = {"tokens": [[1] * 65], "masks": [[1] * 65], "scores": [0]}
        assert await client.status("POST", "/scored_data", json=long) == 422

    talk(session, door=Door(max_staleness=1))


def test_data_posted_before_the_trainer_registers_is_kept_for_it(talk: Talking) -> None:
    async def session(client: Client) -> None:
        await client.post("/scored_data_list", [group(1), group(2)])
        await client.post("/register", REGISTRATION)
        assert await client.get("/info") == {"batch_size": 8, "max_token_len": 64}
        assert await client.batch() == [1, 2]

    talk(session)


def test_a_batch_comes_back_after_its_lease_and_after_a_new_register_but_not_after_the_next_ask(
    talk: Talking,
) -> None:
    async def session(client: Client) -> None:
        await client.post("/register", REGISTRATION)
        await client.post("/scored_data_list", [group(n) for n in (1, 2, 3, 4)])
        assert await client.batch() == [1, 2]
        await client.post("/register", REGISTRATION)  # the trainer was started again
        assert await client.batch() == [1, 2]
        assert await client.batch() == [3, 4]
        client.service.queue.clock = lambda: time.monotonic() + Times().lease
        assert await client.batch(params={"trainer": "another"}) == [3, 4]
        assert await client.batch() is None
        assert await client.batch(params={"trainer": "another"}) is None
        assert await client.get("/status") == {"current_step": 5, "queue_size": 0}

    talk(session)


def test_two_trainers_never_get_the_same_group_and_acknowledge_only_their_own(talk: Talking) -> None:
    async def session(client: Client) -> None:
        for _ in range(2):
            await client.post("/register", REGISTRATION)
        await client.post("/scored_data_list", [group(n) for n in range(1, 9)])
        one, two = {"trainer": "1"}, {"trainer": "2"}
        assert await client.batch(params=one) == [1, 2]
        assert await client.batch(params=two) == [3, 4]
        assert await client.batch(params=two) == [5, 6]
        client.service.queue.clock = lambda: time.monotonic() + Times().lease  # and 1 and 2 were not acknowledged
        assert await client.batch(params=two) == [1, 2]
        assert await client.batch(params=two) == [7, 8]

    talk(session)


def test_a_later_trainer_changes_nothing_while_the_first_lives(talk: Talking) -> None:
    async def session(client: Client) -> None:
        await client.post("/register", REGISTRATION)
        await client.batch()
        await client.post("/register", {**REGISTRATION, "batch_size": 16})
        assert (await client.get("/info"))["batch_size"] == 8

    async def after_a_restart(client: Client) -> None:
        await client.post("/register", {**REGISTRATION, "batch_size": 16})
        assert (await client.get("/info"))["batch_size"] == 16

    talk(session)
    talk(after_a_restart)


def test_trainer_environments_groups_and_step_survive_a_restart(talk: Talking) -> None:
    async def before(client: Client) -> None:
        await client.post("/register", REGISTRATION)
        await client.batch()
        await client.environment()
        await client.post("/scored_data_list", [group(n, env_id=0) for n in range(1, 7)])
        assert await client.batch() == [1, 2]
        assert await client.batch() == [3, 4]

    async def after(client: Client) -> None:
        assert await client.get("/status") == {"current_step": 4, "queue_size": 4}  # 3 and 4 were not acknowledged
        assert (await client.get("/status-env", json={"env_id": 0}))["self_queue_size"] == 4
        assert await client.environment() == 1
        assert await client.batch() == [3, 4]
        assert await client.batch() == [5, 6]

    talk(before)
    talk(after)


def test_a_silent_environment_with_a_minimum_does_not_hold_up_batches_for_ever(talk: Talking) -> None:
    async def session(client: Client) -> None:
        await client.post("/register", REGISTRATION)
        await client.batch()
        silent = await client.environment(min_batch_allocation=0.5)
        busy = await client.environment()
        await client.post("/scored_data_list", [group(n, env_id=busy) for n in (1, 2, 3, 4)])
        assert await client.batch() is None
        client.service.environments[silent].heard -= Times().silence
        assert await client.batch() == [1, 2]
        await client.post("/scored_data", group(5, env_id=silent))  # it is back, and so is its share
        assert await client.batch() == [3, 5]

    talk(session)


def test_a_full_queue_answers_503_and_goes_on_when_there_is_room(talk: Talking) -> None:
    async def session(client: Client) -> None:
        await client.post("/register", REGISTRATION)
        await client.post("/scored_data_list", [group(1), group(2)])
        async with client.session.post(f"{client.address}/scored_data", json=group(3)) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
        waiting = asyncio.ensure_future(client.post("/scored_data", group(4)))
        await asyncio.sleep(0.05)
        assert await client.batch() == [1, 2]
        assert await waiting == {"status": "received"}

    talk(session, max_groups=2)


def test_a_trainer_that_hangs_up_loses_no_batch(talk: Talking) -> None:
    async def session(client: Client) -> None:
        await client.post("/register", {**REGISTRATION, "batch_size": 4, "max_token_len": 10**6})
        tokens = [list(range(100_000)) for _ in range(4)]
        await client.post("/scored_data", {"tokens": tokens, "masks": tokens, "scores": [1] * 4})
        port = int(client.address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /batch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.read(1000)
        writer.close()
        async with asyncio.timeout(30):
            while client.service.queue.leases:  # noqa: ASYNC110 - the server notices it
                await asyncio.sleep(0.01)
        assert await client.batch() == [0]

    talk(session)


def test_gzip_is_taken_within_bounds(talk: Talking) -> None:
    async def session(client: Client) -> None:
        packed = gzip.compress(json.dumps(group(1)).encode())
        bomb = gzip.compress(b" " * 10_000_000)

        async def status(body: bytes) -> int:
            headers = {"Content-Encoding": "gzip"}
            return await client.status("POST", "/scored_data", data=body, headers=headers)

        assert await status(packed) == 200
        assert await status(packed[:20] + packed[20:]) == 200
        assert await status(gzip.compress(json.dumps(group(1)).encode()[:50]) + gzip.compress(b"")) == 422
        for damaged in (b"no gzip", packed[:-9], packed[:-1], packed + b"rest"):
            assert await status(damaged) == 400
        assert await status(bomb) == 413
        assert await client.status("POST", "/scored_data", data=b" " * 200_000) == 413
        assert await client.status("POST", "/scored_data", data=_stream(200_000)) == 413

    talk(session, limits=BodyLimits(bytes=100_000))


async def _stream(length: int) -> Any:
    for _ in range(length // 1000):
        yield b" " * 1000


def test_a_body_that_never_ends_is_cut_off(talk: Talking) -> None:
    async def session(client: Client) -> None:
        port = int(client.address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /scored_data HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        writer.close()

    talk(session, limits=BodyLimits(seconds=0.3))


def test_the_token_is_asked_for_on_every_route(talk: Talking) -> None:
    async def session(client: Client) -> None:
        for path in document()["paths"]:
            assert await client.status("GET", path) == 401
        good = {"headers": {"Authorization": "Bearer secret"}}
        assert await client.status("GET", "/status", **good) == 200
        for header in ("Bearer wrong", "Bearer", "Basic !", "Basic c2VjcmV0", "secret", "Bearer s\u00e9cret"):
            assert await client.status("GET", "/status", headers={"Authorization": header}) == 401
        async with ClientSession() as session:  # what an unmodified client makes of the token in its URL
            in_url = client.address.replace("http://", "http://any:secret@")
            async with session.get(f"{in_url}/status") as response:
                assert response.status == 200

    talk(session, token="secret")


def test_a_web_page_cannot_reach_a_service_without_a_token(talk: Talking) -> None:
    async def session(client: Client) -> None:
        origin = {"headers": {"Origin": "http://elsewhere.example"}}
        assert await client.status("POST", "/scored_data", json=group(), **origin) == 403
        async with client.session.get(f"{client.address}/status") as response:
            assert not [name for name in response.headers if name.lower().startswith("access-control")]

    talk(session)


def test_the_document_names_every_route_and_every_field(talk: Talking) -> None:
    async def session(client: Client) -> None:
        served = await client.get("/openapi.json")
        assert served == json.loads(json.dumps(document()))
        for path, operations in served["paths"].items():
            for method in operations:
                assert await client.status(method.upper(), path) in {200, 422}
        assert len(served["components"]["schemas"]["ScoredData"]["properties"]) == 14
        assert await client.status("GET", "/nowhere") == 404
        assert await client.status("PUT", "/batch") == 405

    talk(session)


def test_the_service_needs_neither_torch_nor_ray() -> None:
    module = import_module("lachesis.rollout.service.app")
    text = "".join(path.read_text() for path in Path(module.__file__ or "").parent.glob("*.py"))
    assert "import torch" not in text
    assert "import ray" not in text
