"""The states of an actor: healthy again only by a refit, whatever happens in whatever order."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lachesis.rollout.event_log import EventLog
from lachesis.rollout.workers.fleet.state import MOVES, Event, Member, State, state_metrics

EVENTS = st.lists(st.sampled_from(Event), max_size=60)


@given(EVENTS)
def test_an_actor_is_healthy_only_from_a_refit_of_the_process_that_answered_until_it_is_lost_or_late(
    events: list[Event],
) -> None:
    member = Member("engine", 0, EventLog())
    answered = refitted = False
    for event in events:
        before = member.state
        moved = member.happened(event, "")
        assert moved == (member.state is not before)
        if event in (Event.LOST, Event.STARTED) and moved:
            answered = refitted = False
        answered |= event is Event.ANSWERED
        if before is State.STALE and event is Event.REFITTED:
            refitted = True
        if event in (Event.LATE, Event.SILENT):
            refitted = False
        assert member.state is not State.HEALTHY or (answered and refitted)


@given(EVENTS)
def test_a_dead_process_is_started_again_before_anything_else_and_a_retired_actor_stays_so(events: list[Event]) -> None:
    member = Member("worker", 3, EventLog())
    started = 0
    for event in events:
        before = member.state
        member.happened(event, "")
        started += before is State.DEAD and member.state is State.RESTARTING
        if before is State.DEAD:
            assert member.state in (State.DEAD, State.RESTARTING, State.RETIRED)
        if before is State.RETIRED:
            assert member.state is State.RETIRED
    assert member.restarts == started


def test_nothing_but_a_refit_leads_to_healthy_and_every_other_state_can_be_reached() -> None:
    into = {after: {(before, event) for (before, event), to in MOVES.items() if to is after} for after in State}
    assert into[State.HEALTHY] == {(State.STALE, Event.REFITTED)}
    assert all(into.values())
    processless = (State.ABSENT, State.DEAD, State.RETIRED)
    assert all(MOVES[state, Event.LOST] is State.DEAD for state in State if state not in processless)


def test_every_change_is_in_the_event_log_with_its_reason_and_nothing_else_is(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    member = Member("engine", 1, log)
    for event in (Event.ANSWERED, Event.ANSWERED, Event.REFITTED, Event.SILENT, Event.LOST):
        member.happened(event, "reason é 🙂" * 100)
    log.close()
    found = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(row["was"], row["state"]) for row in found] == [
        ("restarting", "stale"),
        ("stale", "healthy"),
        ("healthy", "suspect"),
        ("suspect", "dead"),
    ]
    assert all(row["event"] == "engine_state" and row["engine"] == 1 and len(row["reason"]) == 300 for row in found)


def test_the_metrics_are_the_share_in_each_state() -> None:
    members = [Member("engine", number, EventLog()) for number in range(4)]
    assert state_metrics(members) == {"rate/engines_healthy": 0.0, "rate/engines_restarting": 1.0}
    for member in members[:3]:
        member.happened(Event.ANSWERED, "")
        member.happened(Event.REFITTED, "")
    members[0].happened(Event.SILENT, "")
    assert state_metrics(members) == {
        "rate/engines_healthy": 0.5,
        "rate/engines_suspect": 0.25,
        "rate/engines_restarting": 0.25,
    }
    assert state_metrics([]) == {}
