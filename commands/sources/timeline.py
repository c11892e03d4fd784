"""The timeline of a run: what its trainer, workers and engines did in a range of steps, from its event log."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...rollout.event_log import EVENTS, event_of
from ...verifiers.files import whole_lines

MOST_STEPS = 50
"""Most steps of one answer."""
MOST_SPANS = 20_000
"""Most spans of one answer; later ones are left out, and the answer says so."""

FAULTS = {
    "worker_lost": "worker {worker} was lost: {reason}",
    "engine_state": "engine {engine} is {state}: {reason}",
    "worker_state": "worker {worker} is {state}: {reason}",
    "failed": "group {group} was not made: {reason}",
    "control": "lachesis control: {text}",
}
"""Events that something went wrong or was changed, and how the timeline words them."""


class Place(NamedTuple):
    """Where a step is in the file.

    Attributes:
        step: its number; the step that a run began or resumed with, too.
        t: when it ended, in seconds since 1970.
        offset: the byte after its last event.
    """

    step: int
    t: float
    offset: int


class Timeline:
    """Reads the event log of a run, which may be written at the same time.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / EVENTS
        self._places: list[Place] = []
        self._read = 0

    def steps(self) -> list[int]:
        """Return the first and the last step that have events; empty if there are none."""
        self._scan()
        return [self._places[0].step + 1, self._places[-1].step] if len(self._places) > 1 else []

    def page(self, first: int | None = None, last: int | None = None) -> dict[str, Any]:
        """Return the lanes of a range of steps; the last three steps if none is given.

        Returns:
            ``steps`` (first and last that exist), ``first`` and ``last`` (shown), ``begin`` and ``end`` in seconds
            since 1970, ``lanes`` (name and spans: begin, end in seconds after ``begin``, name, details), ``marks``
            (seconds and text), ``published`` (seconds and version), and ``cut``, whether spans were left out.
        """
        known = self.steps()
        if not known:
            return {"steps": [], "lanes": [], "marks": [], "published": [], "cut": False}
        last = min(max(known[1] if last is None else last, known[0]), known[1])
        first = min(max(last - 2 if first is None else first, known[0], last - MOST_STEPS + 1), last)
        before = max((place for place in self._places if place.step < first), key=lambda place: place.step)
        until = next(place for place in self._places if place.step >= last)
        lanes: dict[str, list[list[Any]]] = defaultdict(list)
        marks, published, count = [], [], 0
        later = [place.offset for place in self._places if place.step > last][:3]  # spans are written when they end
        for event in self._events(before.offset, later[-1] if later else self._read):
            for lane, begin, end, name, details in spans_of(event):
                if end >= before.t and begin <= until.t and (count := count + 1) <= MOST_SPANS:
                    begin, end = max(begin, before.t), min(end, until.t)
                    lanes[lane].append([round(begin - before.t, 4), round(end - before.t, 4), name, details])
            if before.t <= event["t"] <= until.t:
                at = round(event["t"] - before.t, 4)
                if event["event"] in FAULTS:
                    marks.append([at, FAULTS[event["event"]].format_map(defaultdict(str, event))])
                elif event["event"] == "published":
                    published.append([at, event.get("version")])
        ordered = sorted(lanes.items(), key=lambda lane: _order(lane[0]))
        return {
            "steps": known,
            "first": first,
            "last": last,
            "begin": before.t,
            "end": until.t,
            "lanes": [{"name": name, "spans": spans} for name, spans in ordered],
            "marks": marks,
            "published": published,
            "cut": count > MOST_SPANS,
        }

    def trace(self, first: int | None = None, last: int | None = None) -> dict[str, Any]:
        """Return the same range as Chrome trace events, which Perfetto and chrome://tracing open."""
        page = self.page(first, last)
        events: list[dict[str, Any]] = []
        for number, lane in enumerate(page["lanes"]):
            events.append({"ph": "M", "name": "thread_name", "pid": 1, "tid": number, "args": {"name": lane["name"]}})
            events += [
                {
                    "ph": "X",
                    "name": name,
                    "pid": 1,
                    "tid": number,
                    "ts": round(begin * 1e6),
                    "dur": round((end - begin) * 1e6),
                    "args": {"details": details},
                }
                for begin, end, name, details in lane["spans"]
            ]
        instants = [*page["marks"], *((at, f"weights version {version}") for at, version in page["published"])]
        instant = {"ph": "i", "s": "g", "pid": 1, "tid": 0}
        events += [{**instant, "name": text, "ts": round(at * 1e6)} for at, text in instants]
        return {"traceEvents": events, "displayTimeUnit": "ms"}

    def _scan(self) -> None:
        """Find the steps in what was written since the last call; only their lines are parsed."""
        if not self._path.is_file():
            return
        if self._path.stat().st_size < self._read:  # another file than before
            self._places, self._read = [], 0
        lines, end = whole_lines(self._path, self._read)
        offset = self._read
        for line in lines:
            offset += len(line) + 1
            if b'"event": "step"' in line or b'"event": "started"' in line:
                event = event_of(line)
                if event is None or type(event.get("step")) is not int:
                    continue
                while self._places and self._places[-1].step >= event["step"]:
                    self._places.pop()  # a resumed run takes these steps again
                self._places.append(Place(event["step"], event["t"], offset))
        self._read = end

    def _events(self, begin: int, end: int) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as file:
            file.seek(begin)
            for line in file.read(end - begin).split(b"\n"):
                if (event := event_of(line)) is not None:
                    yield event


def spans_of(event: dict[str, Any]) -> Iterator[tuple[str, float, float, str, str]]:
    """Yield the lane, begin, end, name and details of each span that an event describes; a damaged event has none."""
    try:
        kind, begin, end = event["event"], float(event["t"]), float(event["t"]) + float(event.get("seconds", 0))
        if kind == "trainer":
            part = f"part {int(event['part'])} of {int(event['parts'])}" if "part" in event else ""
            yield "trainer", begin, end, str(event["phase"]), part
        elif kind == "worker":
            first, last = event["groups"]
            groups = f"group {first}" if first == last else f"groups {first} to {last}"
            yield f"worker {int(event['worker'])}", begin, end, str(event.get("purpose", "training")), groups
        elif kind == "engine":
            for one in event["busy"]:
                yield f"engine {int(event['engine'])}", float(one[0]), float(one[1]), "busy", ""
    except (KeyError, TypeError, ValueError, IndexError):
        return


def _order(lane: str) -> tuple[int, int]:
    kind, _, number = lane.partition(" ")
    return ["trainer", "engine", "worker"].index(kind), int(number or 0)
