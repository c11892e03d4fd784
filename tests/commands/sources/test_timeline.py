"""The timeline of a run: lanes of a range of steps, faults, resumed runs, damaged lines, Chrome trace events."""

import json
from pathlib import Path
from typing import Any

import pytest

from lachesis.commands.sources.timeline import MOST_STEPS, Timeline
from lachesis.rollout.event_log import EVENTS


def write(folder: Path, *events: dict[str, Any], more: str = "") -> Path:
    with (folder / EVENTS).open("a") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
        file.write(more)
    return folder


def step(number: int, t: float) -> list[dict[str, Any]]:
    """One step of ten seconds that ends at ``t``."""
    return [
        {"t": t - 10, "event": "trainer", "phase": "waiting", "seconds": 8.0},
        {"t": t - 2, "event": "trainer", "phase": "update", "seconds": 2.0},
        {"t": t - 9, "event": "worker", "worker": 0, "groups": [number, number + 1], "seconds": 6.0},
        {"t": t, "event": "published", "version": number},
        {"t": t - 9, "event": "engine", "engine": 0, "busy": [[t - 9, t - 5], [t - 4, t - 3]]},
        {"t": t, "event": "step", "step": number, "version": number},
    ]


BEGUN = {"t": 1000.0, "event": "started", "step": 0, "resumed": False}


def events(steps: int) -> list[dict[str, Any]]:
    return [BEGUN, *(event for number in range(1, steps + 1) for event in step(number, 1000.0 + 10 * number))]


def test_the_last_three_steps_have_a_lane_for_everyone(tmp_path: Path) -> None:
    page = Timeline(write(tmp_path, *events(5))).page()
    assert (page["steps"], page["first"], page["last"]) == ([1, 5], 3, 5)
    assert [lane["name"] for lane in page["lanes"]] == ["trainer", "engine 0", "worker 0"]
    trainer, engine, worker = (lane["spans"] for lane in page["lanes"])
    assert trainer[:2] == [[0.0, 8.0, "waiting", ""], [8.0, 10.0, "update", ""]]
    assert engine[:2] == [[1.0, 5.0, "busy", ""], [6.0, 7.0, "busy", ""]]
    assert worker[0] == [1.0, 7.0, "training", "groups 3 to 4"]
    assert [version for _, version in page["published"]] == [3, 4, 5]


def test_waits_and_updates_of_a_step_in_parts_say_which_part_they_are_of(tmp_path: Path) -> None:
    of_trainer = [
        {"t": 1001.0, "event": "trainer", "phase": phase, "seconds": 1.0, "part": part, "parts": 2}
        for part in (1, 2)
        for phase in ("waiting", "update")
    ]
    timeline = Timeline(write(tmp_path, BEGUN, *of_trainer, *step(1, 1010.0)))
    spans = [(name, details) for _, _, name, details in timeline.page()["lanes"][0]["spans"]]
    assert spans == [
        ("waiting", "part 1 of 2"),
        ("update", "part 1 of 2"),
        ("waiting", "part 2 of 2"),
        ("update", "part 2 of 2"),
        ("waiting", ""),
        ("update", ""),
    ]
    traced = [event["args"]["details"] for event in timeline.trace()["traceEvents"] if event["ph"] == "X"]
    assert traced[:4] == ["part 1 of 2", "part 1 of 2", "part 2 of 2", "part 2 of 2"]


def test_a_range_is_bounded_by_what_there_is_and_by_the_most(tmp_path: Path) -> None:
    timeline = Timeline(write(tmp_path, *events(80)))
    assert [timeline.page(7, 7)[name] for name in ("first", "last")] == [7, 7]
    assert [timeline.page(-5, 10**12)[name] for name in ("first", "last")] == [80 - MOST_STEPS + 1, 80]
    assert [timeline.page(90, 3)[name] for name in ("first", "last")] == [3, 3]


def test_a_run_that_goes_on_and_one_that_takes_steps_again(tmp_path: Path) -> None:
    timeline = Timeline(write(tmp_path, *events(3)))
    assert timeline.steps() == [1, 3]
    write(tmp_path, *step(4, 1040.0), more='{"t": 1045.0, "event": "st')
    assert timeline.steps() == [1, 4]
    write(tmp_path, more='ep", "step": 5}\n')
    assert timeline.steps() == [1, 5]
    write(tmp_path, {"t": 2000.0, "event": "started", "step": 3, "resumed": True}, *step(4, 2010.0))
    page = timeline.page(4, 4)
    assert page["steps"] == [1, 4]
    assert (page["begin"], page["end"]) == (2000.0, 2010.0)


def test_a_span_that_ends_in_a_later_step_is_cut_to_the_range(tmp_path: Path) -> None:
    late = {"t": 1005.0, "event": "worker", "worker": 1, "groups": [9, 9], "seconds": 12.0, "purpose": "evaluation"}
    page = Timeline(write(tmp_path, *events(1), late, *step(2, 1020.0))).page(1, 1)
    assert page["lanes"][-1] == {"name": "worker 1", "spans": [[5.0, 10.0, "evaluation", "group 9"]]}


def test_faults_are_told_in_words(tmp_path: Path) -> None:
    lost = {"t": 1004.0, "event": "worker_lost", "worker": 1, "reason": "died: <b>x</b>"}
    odd = {"t": 1005.0, "event": "engine_state", "state": "dead"}
    page = Timeline(write(tmp_path, BEGUN, lost, odd, *step(1, 1010.0))).page()
    assert page["marks"] == [[4.0, "worker 1 was lost: died: <b>x</b>"], [5.0, "engine  is dead: "]]


DAMAGED = ["", "nonsense", "[1]", '{"event": "worker", "t": 1}', '{"event": 3, "t": 1}', "[" * 9000]


@pytest.mark.parametrize("line", DAMAGED)
def test_a_damaged_line_is_left_out(tmp_path: Path, line: str) -> None:
    write(tmp_path, BEGUN, more=line + "\n")
    now = {"t": 1001.0}
    broken = [{**now, "event": "worker", "worker": "x", "groups": 3}, {**now, "event": "engine", "busy": [[1]]}]
    page = Timeline(write(tmp_path, *broken, *step(1, 1010.0))).page()
    assert [lane["name"] for lane in page["lanes"]] == ["trainer", "engine 0", "worker 0"]


def test_no_events_and_no_steps_give_an_empty_timeline(tmp_path: Path) -> None:
    assert Timeline(tmp_path).page()["lanes"] == []
    assert Timeline(write(tmp_path, BEGUN)).trace()["traceEvents"] == []


def test_the_trace_has_a_thread_for_each_lane(tmp_path: Path) -> None:
    trace = Timeline(write(tmp_path, *events(1))).trace()["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in trace if event["ph"] == "M"}
    spans = [(names[event["tid"]], event["name"], event["ts"], event["dur"]) for event in trace if event["ph"] == "X"]
    assert ("trainer", "update", 8_000_000, 2_000_000) in spans
    assert [event["name"] for event in trace if event["ph"] == "i"] == ["weights version 1"]
