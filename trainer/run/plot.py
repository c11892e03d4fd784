"""The plot of a run's learning curve: held-out accuracy and mean reward over optimizer steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ACCURACY, HELD_OUT_REWARD, REWARD = "heldout/accuracy", "heldout/reward", "reward/total"
_WINDOW = 10
_BLUE, _ORANGE, _GREY = "#1f6fb4", "#d9731a", "#6b6b6b"

Floats = npt.NDArray[np.float64]


def plot_learning_curve(
    rows: Sequence[Mapping[str, Any]], path: Path, title: str = "", target: float | None = None
) -> None:
    """Plot the rows of a ``metrics.jsonl`` into a PNG file.

    Steps below 0 are the supervised warm start; they are moved so that they end where training begins. The axis of the
    accuracy goes from 0 to 1. If the reward leaves this range, it gets its own panel. A run without an accuracy
    shows its held-out reward instead, and a run without rewards its losses.

    Args:
        rows: have ``step`` and, where measured, ``heldout/accuracy``, ``heldout/reward`` and ``reward/total``.
        path: the PNG file; an existing one is overwritten.
        title: the run's name.
        target: held-out value at which the run stops; drawn as a dashed line.
    """
    held_out, reward = _series(rows, ACCURACY), _series(rows, REWARD)
    has_accuracy = bool(held_out[1].size)
    if not has_accuracy:
        held_out = _series(rows, HELD_OUT_REWARD)
    if not (held_out[1].size or reward[1].size):
        _save_losses(rows, path, title)
        return
    own_panel = has_accuracy and bool(reward[1].size) and not (reward[1].min() >= 0 and reward[1].max() <= 1)
    figure = Figure(figsize=(8, 6.5 if own_panel else 4.5), dpi=130, layout="constrained")
    panels: list[Axes] = list(figure.subplots(1 + own_panel, 1, sharex=True, squeeze=False)[:, 0])
    _draw_reward(panels[-1], *reward)
    _draw_held_out(panels[0], *held_out, target, "held-out accuracy" if has_accuracy else "held-out reward")
    if has_accuracy:
        panels[0].set_ylim(0, 1.02)
    if not own_panel:
        panels[0].set_ylabel("held-out accuracy, mean reward" if has_accuracy else "mean reward")
    first = min((series[0].min() for series in (held_out, reward) if series[0].size), default=0)
    for panel in panels:
        if first < 0:
            panel.axvspan(first, 0, color=_GREY, alpha=0.12, lw=0, label="supervised warm start")
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(frameon=False, loc="best")
    panels[0].set_title(title or "learning curve", loc="left")
    panels[-1].set_xlabel("optimizer step" + (" (warm start below 0)" if first < 0 else ""))
    figure.savefig(path, format="png")


def _save_losses(rows: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    figure = Figure(figsize=(8, 4.5), dpi=130, layout="constrained")
    panel = figure.subplots()
    for name, color, width in (("loss", _ORANGE, 1), ("validation/loss", _BLUE, 2)):
        steps, values = _series(rows, name)
        if steps.size:
            panel.plot(steps, values, color=color, lw=width, label=f"{name} (last: {values[-1]:.3f})")
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    if panel.get_legend_handles_labels()[0]:
        panel.legend(frameon=False, loc="best")
    panel.set_title(title or "learning curve", loc="left")
    panel.set_xlabel("optimizer step")
    figure.savefig(path, format="png")


def _draw_held_out(panel: Axes, steps: Floats, values: Floats, target: float | None, name: str) -> None:
    panel.set_ylabel(name)
    if steps.size:
        panel.plot(steps, values, color=_BLUE, marker="o", ms=4, lw=2, label=f"{name} (last: {values[-1]:.3f})")
    if target is not None:
        panel.axhline(target, color=_GREY, ls="--", lw=1, label=f"target {target:g}")


def _draw_reward(panel: Axes, steps: Floats, values: Floats) -> None:
    panel.set_ylabel("mean reward")
    if not steps.size:
        return
    panel.plot(steps, values, color=_ORANGE, lw=1, alpha=0.35)
    smooth = np.array([values[max(0, end - _WINDOW) : end].mean() for end in range(1, values.size + 1)])
    panel.plot(steps, smooth, color=_ORANGE, lw=2, label=f"mean training reward (mean of {_WINDOW} steps; thin: each)")


def _series(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[Floats, Floats]:
    """Return steps and values of one metric; the steps of the warm start are moved so that they end at -1."""
    points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    steps, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
    last_warm = max((row["step"] for row in rows if row["step"] < 0), default=-1)
    return np.where(steps < 0, steps - last_warm - 1, steps), values
