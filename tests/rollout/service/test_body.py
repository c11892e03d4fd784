"""Bodies on every route that takes one, the engine's included: packed with gzip, within bounds, and never otherwise."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from lachesis.rollout.service.app import BodyLimits
from lachesis.rollout.service.body import is_loopback
from lachesis.rollout.service.engine.openapi import engine_part
from lachesis.rollout.service.openapi import document

from .conftest import REGISTRATION, Client, group

GOOD: dict[str, Any] = {
    "/register": REGISTRATION,
    "/register-env": {"max_token_length": 64, "desired_name": "x", "weight": 1.0, "group_size": 4},
    "/disconnect-env": {"env_id": 0},
    "/scored_data": group(),
    "/scored_data_list": [group()],
    "/v1/chat/completions": {"model": "policy", "messages": [{"role": "user", "content": "hello"}]},
    "/v1/completions": {"model": "policy", "prompt": "hello"},
    "/generate": {"prompt": "hello"},
    "/generate/": {"prompts": ["hello"]},
}
BOMB = gzip.compress(b" " * 10_000_000)


def test_every_route_with_a_body_is_tried() -> None:
    paths = document(engine_part())["paths"]
    assert {path for path, methods in paths.items() if "post" in methods} == GOOD.keys()


@pytest.mark.parametrize("path", GOOD)
def test_a_body_may_be_gzip_within_bounds_and_nothing_else(
    talk: Callable[..., None], room: Callable[..., Any], path: str
) -> None:
    async def session(client: Client) -> None:
        async def status(body: bytes, encoding: str) -> int:
            return await client.status("POST", path, data=body, headers={"Content-Encoding": encoding})

        plain = json.dumps(GOOD[path]).encode()
        packed = gzip.compress(plain)
        assert [await status(packed, name) for name in ("gzip", "x-gzip", " GZIP ")] == [200, 200, 200]
        assert await status(plain, "identity") == 200
        assert await status(plain, "gzip") == await status(packed[:-1], "gzip") == 400
        assert await status(BOMB, "gzip") == await status(b" " * 200_000, "identity") == 413
        for unknown in ("br", "deflate", "zstd", "gzip, gzip", "x"):
            assert await status(packed, unknown) == 415

    talk(session, limits=BodyLimits(bytes=100_000), room=room())


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *((host, True) for host in ("localhost", "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "")),
        *((host, False) for host in ("127.0.0.1.evil.example", "127.evil.example", "10.0.0.1", "0.0.0.0", "::")),
    ],
)
def test_a_loopback_address_is_told_from_a_name_that_looks_like_one(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback
