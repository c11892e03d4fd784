"""Publications to engines that are late, lost or wrong; the engines answer by a script."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from lachesis.rollout.engines.engine import EngineInfo, Ids, Logprobs
from lachesis.rollout.engines.probe import Probe
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import Shipment, ship
from lachesis.rollout.workers.engine_fleet import EngineFleet
from lachesis.rollout.workers.fleet.keeper import ActorSilent, Keeper, Pulse
from lachesis.rollout.workers.fleet.patience import Patience
from lachesis.rollout.workers.fleet.state import State
from lachesis.verifiers.errors import EngineError, EngineLost

TOKENS = np.arange(4, dtype=np.int32)
LOGPROBS = np.array([np.nan, -1, -2, -3], np.float32)
PROBE = Probe(TOKENS, LOGPROBS, 0.1)


class Scripted:
    """The handle of an engine that takes weights when it is let; ``fates`` are raised first, one for each refit."""

    def __init__(self, *fates: Exception) -> None:
        self.fates = list(fates)
        self.open = asyncio.Event()
        self.open.set()
        self.process, self.version, self.kills = 1, -1, 0
        self.sent: list[int] = []
        self.logprobs, self.damaged, self.silent = LOGPROBS, False, False

    async def hello(self, deadline: float) -> Pulse:
        return await self.pulse(deadline)

    async def pulse(self, deadline: float) -> Pulse:
        await asyncio.sleep(0)
        if self.silent:
            raise ActorSilent("no pulse")
        return Pulse(self.process)

    async def kill(self, restart: bool) -> None:
        self.process, self.version, self.kills = self.process + 1, -1, self.kills + restart

    async def refit(self, stored: Shipment, probe: Ids | None) -> tuple[str, Logprobs | None]:
        self.sent.append(stored.version)
        await self.open.wait()
        if self.fates:
            raise self.fates.pop(0)
        self.version = stored.version
        return "damaged" if self.damaged else stored.digest, None if probe is None else self.logprobs

    async def info(self, deadline: float | None = None) -> EngineInfo:
        return EngineInfo("scripted", self.version)

    async def close(self) -> None:
        return None

    def warnings(self) -> list[str]:
        return []


def weights(version: int) -> Shipment:
    return ship(ObjectStoreSender(), version, {})


def with_fleet(use: Callable[..., Awaitable[None]], *engines: Callable[[], Scripted]) -> None:
    async def session() -> None:
        made = [make() for make in engines]
        fleet = EngineFleet(made, 600.0, lambda shipment: shipment)  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(60):
                await use(fleet, *made)
        finally:
            await fleet.close()

    asyncio.run(session())


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Keeper, "EVERY", 0.001)


async def until(true: Callable[[], Any]) -> None:
    while not true():  # noqa: ASYNC110 - whatever the test waits for
        await asyncio.sleep(0)


def states(fleet: EngineFleet) -> list[State]:
    return [member.state for member in fleet.members]


def test_a_publication_goes_on_without_a_late_engine_which_is_stale_until_it_has_the_newest_weights() -> None:
    async def use(fleet: EngineFleet, late: Scripted, other: Scripted) -> None:
        await fleet.publish(weights(0), PROBE)
        await until(lambda: states(fleet) == [State.HEALTHY] * 2)
        late.open.clear()
        fleet._publications = Patience(0.3, 0.3, 1)
        await fleet.publish(weights(1), PROBE)
        await fleet.publish(weights(2), PROBE)
        assert states(fleet) == [State.STALE, State.HEALTHY]
        assert fleet.metrics()["rate/engines_stale"] == 0.5
        late.open.set()
        await until(lambda: states(fleet) == [State.HEALTHY] * 2)
        assert (late.sent, late.version) == ([0, 1, 2], 2)
        assert other.sent == [0, 1, 2]

    with_fleet(use, Scripted, Scripted)


def test_what_a_late_engine_says_of_old_weights_fails_no_later_publication() -> None:
    async def use(fleet: EngineFleet, late: Scripted, _: Scripted) -> None:
        await fleet.publish(weights(0), PROBE)
        await until(lambda: states(fleet) == [State.HEALTHY] * 2)
        late.open.clear()
        late.fates = [EngineError("weights version 1 is not here; the trainer holds version 2")]
        fleet._publications = Patience(0.3, 0.3, 1)
        await fleet.publish(weights(1), PROBE)
        publishing = asyncio.create_task(fleet.publish(weights(2), PROBE))
        await asyncio.sleep(0.001)
        late.open.set()
        await publishing
        await until(lambda: states(fleet) == [State.HEALTHY] * 2)
        assert late.version == 2

    with_fleet(use, Scripted, Scripted)


def test_a_refit_that_got_lost_is_tried_again_and_one_that_is_refused_fails_the_publication() -> None:
    async def use(fleet: EngineFleet, engine: Scripted) -> None:
        await fleet.publish(weights(0), PROBE)
        engine.fates = [EngineLost("a link was down")]
        assert await fleet.publish(weights(1), PROBE) == 0.0
        assert engine.sent[-2:] == [1, 1]
        engine.fates = [EngineError("another shape")]
        with pytest.raises(EngineError, match="another shape"):
            await fleet.publish(weights(2), PROBE)

    with_fleet(use, Scripted)


@pytest.mark.parametrize("wrong", [{"damaged": True}, {"logprobs": LOGPROBS - 1}, {"logprobs": LOGPROBS * np.nan}])
def test_an_engine_with_wrong_weights_is_replaced_and_ends_the_publication(wrong: dict[str, Any]) -> None:
    async def use(fleet: EngineFleet, engine: Scripted) -> None:
        await fleet.publish(weights(0), PROBE)
        vars(engine).update(wrong)
        with pytest.raises(EngineError, match=r"arrived damaged at engine 0|arrived whole but have no effect"):
            await fleet.publish(weights(1), PROBE)
        assert engine.kills == 1
        vars(engine).update(damaged=False, logprobs=LOGPROBS)
        await until(lambda: states(fleet) == [State.HEALTHY])
        assert engine.version == 1

    with_fleet(use, Scripted)


def test_an_engine_that_was_silent_for_a_moment_is_not_sent_the_same_weights_again() -> None:
    async def use(fleet: EngineFleet, engine: Scripted) -> None:
        await fleet.publish(weights(0))
        await until(lambda: states(fleet) == [State.HEALTHY])
        engine.silent = True
        await until(lambda: states(fleet) == [State.SUSPECT])
        engine.silent = False
        await until(lambda: states(fleet) == [State.HEALTHY])
        assert (engine.sent, engine.kills) == ([0], 0)

    with_fleet(use, Scripted)


def test_without_engines_there_is_nothing_to_publish_to() -> None:
    async def use(fleet: EngineFleet) -> None:
        assert await fleet.publish(weights(0), PROBE) == 0.0
        assert fleet.metrics() == {}
        assert await fleet.infos() == []

    with_fleet(use)
