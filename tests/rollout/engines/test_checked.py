"""A user's own engine that breaks the protocol: each mistake is one error that names the setting and the cure."""

import asyncio
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lachesis.rollout.engines.checked import open_engine
from lachesis.rollout.engines.engine import Completion, Engine, EngineInfo, Request, Sampling
from lachesis.rollout.engines.registry import EngineSetup
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.engines.weight_transport.transport import Shipment
from lachesis.verifiers.errors import EngineError, EngineStale

TOKENS = np.arange(3, dtype=np.int32)
REQUEST = Request(TOKENS, Sampling(max_tokens=4), version=2)


class Good(ScriptedEngine):
    def __init__(self, setup: EngineSetup) -> None:
        super().__init__(lambda request: [5, 6], version=2)


async def ask(engine: Engine) -> None:
    """Use every method once."""
    await engine.update(Shipment(2, (), "digest", types.SimpleNamespace))
    await engine.info()
    await engine.generate(REQUEST)
    await engine.compute_logprobs(TOKENS)


class Own(Good):
    """Answers as it should, but for one method."""

    async def update(self, shipment: Shipment) -> str:
        return shipment.digest


@pytest.fixture
def own() -> Iterator[types.ModuleType]:
    """A module of a user's own."""
    module = types.ModuleType("a_users_engine")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def opened(own: types.ModuleType, made: Any) -> Engine:
    own.Mine = made  # type: ignore[attr-defined]
    return open_engine("a_users_engine:Mine", EngineSetup("model"))


def answering(method: str, answer: Any) -> type[Own]:
    """An engine whose ``method`` returns ``answer``."""

    async def answers(self: Own, *arguments: Any) -> Any:
        return answer

    return type("Odd", (Own,), {method: answers})


def completion(**fields: Any) -> Completion:
    ones = {"tokens": TOKENS, "logprobs": np.zeros(3, np.float32), "versions": np.full(3, 2), "stop": "stop"}
    return Completion(**{**ones, **fields})


def test_an_engine_that_keeps_the_protocol_is_served_as_it_is(own: types.ModuleType) -> None:
    asyncio.run(ask(opened(own, Own)))
    found = asyncio.run(opened(own, answering("generate", made := completion())).generate(REQUEST))
    assert found is made


@pytest.mark.parametrize(
    ("method", "answer", "message"),
    [
        ("generate", None, "returned no Completion but NoneType None"),
        ("generate", completion(tokens=[1, 2, 3]), r"tokens that are no array of whole numbers: list \[1, 2, 3\]"),
        ("generate", completion(tokens=TOKENS * 0.5), "tokens that are no array of whole numbers"),
        ("generate", completion(tokens=TOKENS[None]), "tokens that are no array"),
        ("generate", completion(logprobs=np.zeros(2, np.float32)), "3 tokens, 2 logprobs and 3 versions"),
        ("generate", completion(logprobs=np.full(3, np.nan, np.float32)), "the logprob nan"),
        ("generate", completion(logprobs=np.ones(3, np.float32)), "the logprob 1.0"),
        ("generate", completion(tokens=TOKENS - 1), "the token id -1"),
        ("generate", completion(versions=np.full(3, 1)), "tokens of weights version 1, where 2 is needed"),
        ("generate", completion(stop="end"), "the stop 'end', which is none of stop, length, abort"),
        (
            "generate",
            Completion(np.zeros(9, np.int32), np.zeros(9, np.float32), np.full(9, 2), "stop"),
            "9 tokens, more than the 4",
        ),
        ("compute_logprobs", [0.0, 0.0, 0.0], "returns an array with a float .*, found list"),
        ("compute_logprobs", np.zeros(2, np.float32), "each of the 3 tokens, found ndarray"),
        ("update", None, "returns the digest .* found NoneType None"),
        ("info", {"version": 2}, "returns an EngineInfo, found dict"),
    ],
)
def test_what_a_method_returns_against_the_protocol_is_named(
    own: types.ModuleType, method: str, answer: Any, message: str
) -> None:
    engine = opened(own, answering(method, answer))
    with pytest.raises(
        EngineError, match=rf"rollout.engine = 'a_users_engine:Mine': {method} .*{message}.*docs/engines.md"
    ):
        asyncio.run(ask(engine))


@pytest.mark.parametrize("error", [ZeroDivisionError("oh"), TimeoutError(), SystemExit(3), GeneratorExit()])
@pytest.mark.parametrize("method", ["generate", "compute_logprobs", "update", "info"])
def test_what_a_method_raises_names_the_setting_and_its_line(
    own: types.ModuleType, method: str, error: BaseException
) -> None:
    async def raises(self: Own, *arguments: Any) -> Any:
        raise error

    engine = opened(own, type("Odd", (Own,), {method: raises}))
    line = raises.__code__.co_firstlineno + 1
    expected = f"'a_users_engine:Mine': {method} raised {type(error).__name__}: .*test_checked.py, line {line}"
    with pytest.raises(EngineError, match=expected):
        asyncio.run(ask(engine))


def test_errors_of_lachesis_and_cancellation_pass(own: types.ModuleType) -> None:
    class Stale(Own):
        async def generate(self, request: Request) -> Completion:
            raise EngineStale("not yet")

    class Slow(Own):
        async def generate(self, request: Request) -> Completion:
            await asyncio.sleep(60)
            raise AssertionError

    with pytest.raises(EngineStale, match=r"^not yet$"):
        asyncio.run(opened(own, Stale).generate(REQUEST))
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(opened(own, Slow).generate(REQUEST), 0.01))


def test_what_cannot_be_made_lacks_a_method_or_is_not_async_is_named(own: types.ModuleType) -> None:
    class Sync(Own):
        def info(self) -> EngineInfo:  # type: ignore[override]
            return EngineInfo("sync")

    class Half:
        def __init__(self, setup: EngineSetup) -> None:
            pass

        def update(self) -> None:
            """It takes no shipment."""

    def raising(setup: EngineSetup) -> Engine:
        raise RuntimeError("no server")

    with pytest.raises(EngineError, match=r"its constructor raised RuntimeError: no server .*line"):
        opened(own, raising)
    with pytest.raises(EngineError, match="its constructor raised TypeError: 'int' object is not callable; correct"):
        opened(own, 3)
    with pytest.raises(EngineError, match="has no method generate, compute_logprobs, info, close; correct"):
        opened(own, Half)
    with pytest.raises(EngineError, match="info is not async; write `async def info`"):
        asyncio.run(opened(own, Sync).info())
    engine = opened(own, type("Odd", (Own,), {"update": Half.update}))
    with pytest.raises(EngineError, match=r"update raised TypeError: .*takes 1 positional argument but 2 .*; correct"):
        asyncio.run(ask(engine))


def test_an_error_while_it_closes_is_logged_and_stops_nothing(
    own: types.ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    async def raises(self: Own) -> None:
        raise OSError("the server is gone")

    asyncio.run(opened(own, type("Odd", (Own,), {"close": raises})).close())
    assert "rollout.engine = 'a_users_engine:Mine': close raised OSError: the server is gone" in caplog.text
