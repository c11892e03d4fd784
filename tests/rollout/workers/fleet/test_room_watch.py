"""Actors that join when there is room and leave a node that will go; the cluster and the actors answer by scripts."""

import asyncio
import math
from collections.abc import Callable

import pytest

from lachesis.rollout.cluster.room import RoomView
from lachesis.rollout.event_log import EventLog
from lachesis.rollout.workers.fleet.keeper import ActorLost, ActorSilent, Keeper, Limits, Pulse
from lachesis.rollout.workers.fleet.room_watch import RoomWatch, members_of
from lachesis.rollout.workers.fleet.state import Event, Member, State

SEAT = ("engines", 0)


class Cluster:
    """A cluster with one seat, and the actor on it."""

    def __init__(self, placed: bool) -> None:
        self.placed, self.leaving = placed, {}  # type: ignore[var-annotated]
        self.process, self.running, self.moves = 1, 0, 0
        self.refuses: Exception | None = None
        self.elastic = True

    def look(self) -> RoomView:
        return RoomView({SEAT: self.placed} if self.elastic else {}, dict(self.leaving))

    async def hello(self, deadline: float) -> Pulse:
        await asyncio.sleep(0)
        if not self.placed:
            raise ActorSilent("it waits for a node")
        return Pulse(self.process, node=f"node {self.process}")

    async def pulse(self, deadline: float) -> Pulse:
        await asyncio.sleep(0)
        if not self.placed:
            raise ActorLost("its node is gone")
        return Pulse(self.process, running=self.running)

    async def kill(self, restart: bool) -> None:
        raise AssertionError("nothing here is killed")

    async def move(self) -> None:
        if self.refuses:
            raise self.refuses
        self.moves, self.process, self.placed = self.moves + 1, self.process + 1, False


class Kept:
    """The keeper of the seat."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.room = cluster, RoomWatch(cluster.look)
        [self.member] = members_of("engine", 1, EventLog(), self.room)
        self.states, self.gone = [self.member.state], []  # type: ignore[var-annotated]
        limits = Limits.of(15.0, 600.0)
        self.keeper = Keeper(cluster, self.member, "engine 0", limits, self.fit, self.gone.append, self.note, self.room)

    def note(self) -> None:
        self.states.append(self.member.state)

    async def fit(self) -> None:
        self.keeper.happened(Event.REFITTED, "fit")

    def session(self, *steps: Callable[[], bool]) -> None:
        """Wait until each of the steps is true, one after the other."""

        async def run() -> None:
            tasks = [asyncio.create_task(self.keeper.tend()), asyncio.create_task(self.room.look_on())]
            try:
                async with asyncio.timeout(60):
                    for step in steps:
                        while not step():  # noqa: ASYNC110 - whatever the test waits for
                            await asyncio.sleep(0)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run(run())

    def reached(self, state: State) -> Callable[[], bool]:
        return lambda: self.member.state is state


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Keeper, "EVERY", 0.0)
    monkeypatch.setattr(RoomWatch, "EVERY", 0.0)


def then(change: Callable[[], object]) -> Callable[[], bool]:
    """A step that changes something."""
    return lambda: (change(), True)[1]


def test_an_actor_without_a_place_is_absent_and_joins_by_a_refit_once_there_is_room(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster(placed=False)
    kept = Kept(cluster)
    kept.session(lambda: True, then(lambda: vars(cluster).update(placed=True)), kept.reached(State.HEALTHY))
    assert kept.states == [State.ABSENT, State.RESTARTING, State.STALE, State.HEALTHY]
    assert not kept.member.restarts
    assert "engine 0 has joined the run" in caplog.text


def test_an_actor_that_joins_late_is_not_one_that_everybody_waits_for() -> None:
    cluster = Cluster(placed=False)
    late = Kept(cluster).member
    late.happened(Event.PLACED, "")
    assert (late.state, late.begins) == (State.RESTARTING, False)
    assert Member("engine", 0, EventLog()).begins


def test_an_actor_whose_node_is_lost_is_absent_until_there_is_room_again(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster(placed=True)
    kept = Kept(cluster)
    lose, find = (lambda: vars(cluster).update(placed=False)), (lambda: vars(cluster).update(placed=True, process=2))
    healthy = kept.reached(State.HEALTHY)
    kept.session(healthy, then(lose), kept.reached(State.ABSENT), then(find), healthy)
    assert kept.states[3:6] == [State.DEAD, State.RESTARTING, State.ABSENT]
    assert "engine 0 is back" in caplog.text


def test_an_actor_leaves_a_node_that_will_go_when_its_work_is_done_and_not_before() -> None:
    cluster = Cluster(placed=True)
    cluster.running = 3
    kept = Kept(cluster)
    warn = then(lambda: cluster.leaving.update({"node 1": 60.0}))
    looks = iter(range(50))
    wait = lambda: next(looks, None) is None  # noqa: E731
    kept.session(kept.reached(State.HEALTHY), warn, kept.reached(State.DRAINING), wait)
    assert (cluster.moves, kept.member.state, kept.member.working) == (0, State.DRAINING, False)
    kept.session(then(lambda: vars(cluster).update(running=0)), kept.reached(State.ABSENT))
    assert cluster.moves == 1
    assert kept.member.node == ""  # so that nobody says that it is lost with the node


@pytest.mark.parametrize(("left", "leaves"), [(Keeper.MARGIN - 1, True), (-3.0, True), (math.inf, False)])
def test_an_actor_with_work_leaves_when_the_time_is_up(left: float, leaves: bool) -> None:
    cluster = Cluster(placed=True)
    cluster.running = 1
    cluster.leaving["node 1"] = left
    kept = Kept(cluster)
    looks = iter(range(50))
    done = kept.reached(State.ABSENT) if leaves else lambda: next(looks, None) is None
    kept.session(kept.reached(State.DRAINING), done)
    assert cluster.moves == leaves


def test_an_actor_with_a_fixed_place_gets_no_new_work_and_stays_until_its_node_goes() -> None:
    cluster = Cluster(placed=True)
    cluster.elastic = False
    cluster.leaving["node 1"] = 1.0
    kept = Kept(cluster)
    looks = iter(range(50))
    kept.session(kept.reached(State.DRAINING), lambda: next(looks, None) is None)
    assert cluster.moves == 0
    assert kept.member.state is State.DRAINING


def test_a_warning_that_is_taken_back_ends_with_a_refit() -> None:
    cluster = Cluster(placed=True)
    cluster.running = 1
    cluster.leaving["node 1"] = 60.0
    kept = Kept(cluster)
    kept.session(kept.reached(State.DRAINING), then(cluster.leaving.clear), kept.reached(State.HEALTHY))
    assert kept.states[-3:] == [State.DRAINING, State.STALE, State.HEALTHY]


def test_a_move_that_ray_does_not_take_gives_ray_up() -> None:
    cluster = Cluster(placed=True)
    cluster.leaving["node 1"] = 60.0
    cluster.refuses = TimeoutError()
    kept = Kept(cluster)
    kept.session(lambda: bool(kept.gone))
    assert "did not take the order to place engine 0 elsewhere" in kept.gone[0]


def test_a_look_that_fails_leaves_the_one_before() -> None:
    cluster = Cluster(placed=True)
    kept = Kept(cluster)

    def fail() -> RoomView:
        cluster.process += 1000
        raise OSError("no answer")

    kept.room._look = fail
    kept.session(lambda: cluster.process > 2000)
    assert kept.room.has_place(kept.member)
