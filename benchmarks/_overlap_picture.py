"""Draws what two engines and the trainer do with several settings, from runs of the benchmark of the overlap.

    python -m benchmarks._overlap_picture docs/images/overlap.png

The runs take a few minutes, and are those of ``benchmarks/overlap.py``: engines and trainer wait as GPUs would compute.
"""

import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lachesis.rollout.event_log import EVENTS

from ._device import DECODE
from .overlap import ENGINES, PARTS, SLOTS, TAIL, played

CASES = ((0, 1), (1, 1), (1, PARTS), (2, 1))
"""Staleness, and the parts of a step."""
STEPS, SHOWN = 8, 16.5
"""Steps of a run, and the seconds of it that are drawn: the last ones in which the engines have enough to do."""
LATE = 0.2
"""Seconds of a decode step that is no longer taken as late, but as the first one after a pause."""
BLUE, ORANGE, GREEN, GREY = "#1f6fb4", "#d9731a", "#2a8a4a", "#6b6b6b"

Trace = list[tuple[float, int]]


def main(picture: str) -> None:
    """Make the runs and draw them into ``picture``."""
    figure = Figure(figsize=(9, 8.6), dpi=110, layout="constrained")
    heights = ([1.0] * ENGINES + [0.6, 0.35]) * len(CASES)  # engines, trainer, and a gap
    lanes = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights))
    for number, (staleness, parts) in enumerate(CASES):
        *mine, gap = lanes[number * (ENGINES + 2) : (number + 1) * (ENGINES + 2)]
        gap.set_axis_off()
        with tempfile.TemporaryDirectory() as out:
            traces = Path(out) / "traces"
            traces.mkdir()
            folder = played(out, staleness, {**TAIL, "trace": str(traces)}, steps=STEPS, parts=parts)
            events = [json.loads(line) for line in (folder.path / EVENTS).read_text().splitlines()]
            slots = [_trace_of(path) for path in sorted(traces.iterdir())]
        _draw(mine, f"S = {staleness}{f' in {parts} parts' if parts > 1 else ''}", slots, events)
    mine[-1].set_xlabel("seconds")
    mine[-1].tick_params(labelbottom=True)  # the gaps below share its axis
    names = {BLUE: f"slots in use, of {SLOTS}", ORANGE: "update", GREEN: "publication of weights"}
    patches = [Patch(color=color, label=name) for color, name in names.items()]
    figure.legend(handles=patches, loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    figure.savefig(picture, format="png")


def _trace_of(path: Path) -> Trace:
    """When each decode step ended, and how many slots it used."""
    lines = path.read_text().splitlines()
    return [(float(when), int(used)) for when, used in (line.split() for line in lines)]


def _draw(lanes: list[Axes], name: str, slots: list[Trace], events: list[dict[str, Any]]) -> None:
    """One run: a lane for each engine, with the slots in use, and one for the trainer."""
    published = [event["t"] for event in events if event["event"] == "published"][1:]
    until = published[STEPS - 1]
    begin = until - SHOWN
    per_step = (until - published[1]) / (STEPS - 2)
    lanes[0].set_title(f"{name}: {per_step:.2f} s a step", loc="left", fontsize=10)
    for lane, trace in zip(lanes, slots, strict=False):
        _draw_engine(lane, [(when - begin, used) for when, used in trace if begin <= when <= until])
    for event in events:
        if event["event"] == "trainer" and event["phase"] in ("update", "weight_sync"):
            color = ORANGE if event["phase"] == "update" else GREEN
            lanes[-1].barh(0.5, event["seconds"], left=event["t"] - begin, height=0.8, color=color)
    lanes[-1].set(ylim=(0, 1), yticks=[])
    labels = [*(f"engine {number}" for number in range(ENGINES)), "trainer"]
    for lane, label in zip(lanes, labels, strict=True):
        for when in published:
            lane.axvline(when - begin, color=GREY, lw=0.8, ls=":")
        lane.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        lane.set_xlim(0, SHOWN)
        lane.tick_params(labelsize=8)
        lane.spines[["top", "right"]].set_visible(False)


def _draw_engine(lane: Axes, steps: Trace) -> None:
    """The slots in use; ``steps`` has when each decode step ended, in seconds of the picture."""
    for (before, _), (after, used) in pairwise([(0.0, 0), *steps]):
        began = before if after - before < LATE else after - DECODE
        lane.fill_between([began, after], 0, used, color=BLUE, lw=0)
    lane.set(ylim=(0, SLOTS), yticks=[0, SLOTS])


if __name__ == "__main__":
    main(*sys.argv[1:])
