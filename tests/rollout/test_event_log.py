"""The event log: whole lines in order, nothing of a crash in between, and no run that ends because of it."""

import json
import time
from pathlib import Path

from lachesis.rollout.event_log import EventLog


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_events_have_their_time_and_spans_their_length(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    before = time.time()
    log.note("admitted", groups=[0, 3])
    with log.span("trainer", phase="update"):
        pass
    log.note("earlier", t=7.00004)
    log.flush()
    first, second, third = rows(tmp_path / "events.jsonl")
    assert first == {"t": first["t"], "event": "admitted", "groups": [0, 3]}
    assert before - 0.001 <= float(str(first["t"])) <= time.time()
    assert (second["event"], second["phase"]) == ("trainer", "update")
    assert float(str(second["seconds"])) >= 0
    assert third["t"] == 7.0


def test_a_span_whose_body_raises_is_logged(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    try:
        with log.span("worker", worker=1):
            raise ValueError
    except ValueError:
        log.close()
    assert rows(tmp_path / "events.jsonl")[0]["worker"] == 1


def test_a_line_that_a_crash_cut_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"t": 1, "event": "a"}\n{"t": 2, "ev')
    log = EventLog(path)
    log.note("b")
    log.close()
    lines = path.read_text().splitlines()
    assert json.loads(lines[0])["event"] == "a"
    assert json.loads(lines[2])["event"] == "b"


def test_a_full_disk_and_a_closed_log_end_nothing() -> None:
    full = EventLog(Path("/dev/full"))
    for _ in range(2000):
        full.note("x", reason="y" * 100)
    full.flush()
    full.note("x")
    full.close()
    nothing = EventLog()
    nothing.note("x")
    nothing.close()
