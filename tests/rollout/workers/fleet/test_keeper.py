"""Who looks after an actor: replaces what is silent or hangs, leaves alone what is busy, and outlives every error."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from lachesis.rollout.event_log import EventLog
from lachesis.rollout.workers.fleet.keeper import ActorLost, ActorSilent, Keeper, Limits, Pulse
from lachesis.rollout.workers.fleet.state import Event, Member, State

Answer = Pulse | Exception


class Scripted:
    """An actor that answers from lists of first answers, of pulses and of kills; the last of a list is repeated."""

    def __init__(self, hello: list[Answer], pulse: list[Answer], kill: list[Exception | None] | None = None) -> None:
        self.answers = {"hello": hello, "pulse": pulse}
        self.kills: list[bool] = []
        self.refusals = kill or [None]

    def next(self, name: str) -> Pulse:
        answers = self.answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def hello(self, deadline: float) -> Pulse:
        await asyncio.sleep(0)
        return self.next("hello")

    async def pulse(self, deadline: float) -> Pulse:
        await asyncio.sleep(0)
        return self.next("pulse")

    async def kill(self, restart: bool) -> None:
        self.kills.append(restart)
        refusal = self.refusals.pop(0) if len(self.refusals) > 1 else self.refusals[0]
        if refusal:
            raise refusal


SILENT, LOST = ActorSilent("no pulse"), ActorLost("it died")


class Kept:
    """A keeper of a scripted actor, and what it has told."""

    def __init__(self, actor: Scripted, fit: Exception | None = None, **limits: float) -> None:
        self.actor, self.gone, self.states, self.fits = actor, [], [], 0  # type: ignore[var-annotated]
        self.member = Member("engine", 0, EventLog())
        self.refusal = fit
        found = Limits.of(limits.get("silence", 15.0), 600.0)
        self.keeper = Keeper(actor, self.member, "engine 0", found, self.fit, self.gone.append, self.note)

    def note(self) -> None:
        self.states.append(self.member.state)

    async def fit(self) -> None:
        self.fits += 1
        if self.refusal:
            refusal, self.refusal = self.refusal, None
            raise refusal
        self.keeper.happened(Event.REFITTED, "fit")

    def until(self, true: Callable[[], bool]) -> "Kept":
        async def session() -> None:
            tending = asyncio.create_task(self.keeper.tend())
            async with asyncio.timeout(60):
                while not true() and not tending.done():  # noqa: ASYNC110 - whatever the test waits for
                    await asyncio.sleep(0)
            tending.cancel()
            await asyncio.gather(tending, return_exceptions=True)

        asyncio.run(session())
        return self


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Keeper, "EVERY", 0.0)


def test_three_missed_pulses_in_a_row_are_a_kill_and_the_next_process_is_refitted_before_it_is_healthy() -> None:
    actor = Scripted([Pulse(1), Pulse(2)], [Pulse(1), SILENT, SILENT, Pulse(1), SILENT, SILENT, SILENT, Pulse(2)])
    kept = Kept(actor)
    kept.until(lambda: kept.member.restarts == 1 and kept.member.state is State.HEALTHY)
    assert actor.kills == [True]
    assert kept.fits == 3  # after the start, the first silence, and the new start
    assert kept.states[-5:] == [State.SUSPECT, State.DEAD, State.RESTARTING, State.STALE, State.HEALTHY]


def test_the_patience_with_an_actor_that_was_killed_doubles() -> None:
    pulses: list[Answer] = [SILENT, SILENT, SILENT, Pulse(1), *[SILENT] * 5, Pulse(1), *[SILENT] * 6, Pulse(1)]
    kept = Kept(Scripted([Pulse(1)], pulses))
    kept.until(lambda: len(pulses) == 1)
    assert len(kept.actor.kills) == 2  # five misses were no kill, six were


def test_a_busy_actor_is_left_alone_and_one_that_takes_no_step_is_replaced() -> None:
    pulses: list[Answer] = [Pulse(1, stalled=119.0), Pulse(1), Pulse(1, stalled=121.0), Pulse(1)]
    kept = Kept(Scripted([Pulse(1)], pulses))
    kept.until(lambda: len(pulses) == 2)
    assert kept.actor.kills == []
    kept.until(lambda: bool(kept.actor.kills))
    assert kept.states[-2:] == [State.DEAD, State.RESTARTING]


@pytest.mark.parametrize("found", [LOST, Pulse(2)])
def test_a_process_that_died_is_waited_for_also_if_another_one_is_there_already(found: Answer) -> None:
    kept = Kept(Scripted([Pulse(1), LOST, SILENT, Pulse(2)], [Pulse(1), found, Pulse(2)]))
    kept.until(lambda: kept.member.restarts == 1 and kept.member.state is State.HEALTHY)
    assert kept.actor.kills == []
    assert kept.states[2:] == [State.DEAD, State.RESTARTING, State.STALE, State.HEALTHY]


def test_a_process_that_never_starts_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Scripted([SILENT], [Pulse(1)])
    kept = Kept(actor)
    monkeypatch.setattr(kept.member, "since", kept.member.since - 601)
    kept.until(lambda: bool(actor.kills))
    assert kept.member.restarts == 1


def test_an_actor_without_a_place_is_told_once_with_a_cure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Keeper, "UNPLACED", 0.0)
    hellos: list[Answer] = [Pulse(1), LOST, SILENT, LOST, Pulse(1)]
    kept = Kept(Scripted(hellos, [LOST, Pulse(1)]))
    with caplog.at_level(logging.WARNING, "lachesis"):
        kept.until(lambda: kept.member.state is State.HEALTHY and kept.member.restarts == 1)
    lines = [record.getMessage() for record in caplog.records]
    assert sum("no node has room" in line and "`ray status`" in line for line in lines) == 1
    assert lines[-1] == "engine 0 is back"


def test_a_kill_that_ray_does_not_take_gives_ray_up() -> None:
    kept = Kept(Scripted([Pulse(1)], [Pulse(1, stalled=1e6)], kill=[TimeoutError()]))
    kept.until(lambda: bool(kept.gone))
    assert kept.gone[0] == "Ray did not end the process of engine 0 in time"


def test_an_actor_whose_kill_failed_is_taken_back_if_it_answers() -> None:
    pulses: list[Answer] = [SILENT, SILENT, SILENT, Pulse(1)]
    kept = Kept(Scripted([Pulse(1)], pulses, kill=[RuntimeError("odd"), None]))
    kept.until(lambda: kept.member.restarts == 1 and kept.member.state is State.HEALTHY)


def test_whatever_a_refit_raises_the_actor_is_looked_after(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(Scripted([Pulse(1)], [Pulse(1)]), fit=RuntimeError("odd"))
    kept.until(lambda: kept.member.state is State.HEALTHY)
    assert kept.fits == 2
    assert "engine 0: odd" in caplog.text


def test_a_retired_actor_is_asked_no_more() -> None:
    kept = Kept(Scripted([Pulse(1)], [Pulse(1)]))
    kept.member.happened(Event.LEFT, "the run ends")
    kept.until(lambda: False)
    assert kept.states == []
