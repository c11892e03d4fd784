"""The progress of a run in the terminal: phase, step, rewards, held-out accuracy, speed and time left."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_SPARKS = "▁▂▃▄▅▆▇█"
_HISTORY = 40
_NOT_LABELS = frozenset({"reward/total", "reward/std"})


class Progress:
    """Redraws a few lines on a terminal. If the output is no terminal, prints a plain line every few seconds.

    Args:
        total_steps: number of training steps.
        quiet: whether to show nothing.
        console: the console to print to; by default standard output.
        interval: seconds between plain lines.
    """

    def __init__(
        self, total_steps: int, quiet: bool = False, console: Console | None = None, interval: float = 5.0
    ) -> None:
        self.console = console or Console(quiet=quiet, highlight=False)
        self._interval = interval
        self._total_steps = total_steps
        self._metrics: dict[str, float] = {}
        self._rewards: list[float] = []
        self._start = time.monotonic()
        self._printed, self._shown = float("-inf"), True
        self._logs = RichHandler(logging.WARNING, self.console, show_path=False, show_time=False)
        self._phase, self._total, self._step = "starting", total_steps, 0
        self._phase_start = self._start
        self._first_step: int | None = None
        self._live = Live(console=self.console, get_renderable=self._render, refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        logging.getLogger("lachesis").addHandler(self._logs)
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()
        elif self._step > 0 and not self._shown:
            self._print()
        logging.getLogger("lachesis").removeHandler(self._logs)

    def phase(self, text: str, total: int | None = None) -> None:
        """Show a new phase. ``total`` is its number of steps, if it differs from that of the training."""
        self._metrics.pop("warm_start/loss", None)
        self._phase, self._step = text, 0
        self._total = self._total_steps if total is None else total
        self._phase_start = time.monotonic()
        self._first_step = None
        if not self.console.is_terminal:
            self.console.print(f"{_clock(time.monotonic() - self._start)}  {text}", markup=False)

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show that ``step`` is done. Metrics that are not given keep their last values."""
        if self._first_step is None:
            self._first_step = step
        self._step, self._shown = step, False
        self._metrics.update(metrics)
        if "reward/total" in metrics:
            self._rewards = [*self._rewards, metrics["reward/total"]][-_HISTORY:]
        due = time.monotonic() - self._printed >= self._interval
        if not self.console.is_terminal and (due or any(name.startswith("heldout/") for name in metrics)):
            self._print()

    def _time_left(self) -> str:
        """Estimate the time left from the pace of this phase; empty before its second step."""
        if self._first_step is None or self._step <= self._first_step:
            return ""
        done = self._step - self._first_step + 1
        seconds = (time.monotonic() - self._phase_start) / done * max(0, self._total - self._step)
        return f"{_clock(seconds)} left"

    def _numbers(self) -> list[str]:
        """Return the current numbers as text, the most important first."""
        metrics = self._metrics
        labels = [name for name in sorted(metrics) if name.startswith("reward/") and name not in _NOT_LABELS]
        numbers = []
        if held_out := next((name for name in ("accuracy", "reward") if f"heldout/{name}" in metrics), ""):
            numbers.append(f"held-out {held_out} {metrics[f'heldout/{held_out}']:.3f}")
        if "reward/total" in metrics:
            by_label = ", ".join(f"{name.removeprefix('reward/')} {metrics[name]:.3f}" for name in labels)
            numbers.append(f"reward {metrics['reward/total']:.3f}" + (f" ({by_label})" if by_label else ""))
        numbers += [f"loss {metrics[name]:.4f}" for name in ("warm_start/loss", "loss") if name in metrics]
        if "rate/tokens_per_s" in metrics:
            numbers.append(f"{_count(metrics['rate/tokens_per_s'])} tokens/s")
        return numbers

    def _print(self) -> None:
        self._printed, self._shown = time.monotonic(), True
        parts = [_clock(self._printed - self._start), f"{self._phase} {self._step}/{self._total}", *self._numbers()]
        self.console.print("  ".join([*parts, self._time_left()]).rstrip(), markup=False, soft_wrap=True)

    def _render(self) -> Group:
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(self._phase, style="bold cyan"),
            ProgressBar(total=max(1, self._total), completed=max(0, self._step), width=32),
            f"step {self._step}/{self._total}",
            Text(_clock(time.monotonic() - self._start), style="dim"),
            self._time_left(),
        )
        line = Text("  ".join(self._numbers()))
        if len(self._rewards) > 1:
            line.append("  " + _sparkline(self._rewards), style="green")
        return Group(head, line)


@contextmanager
def counting(title: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error if that is a terminal; yields a function that advances the bar."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total, completed=done)
        yield lambda number: bar.advance(task, number)


def _sparkline(values: list[float]) -> str:
    """Draw the values as blocks of different heights, between their minimum and maximum."""
    low, high = min(values), max(values)
    return "".join(_SPARKS[round((value - low) / ((high - low) or 1) * (len(_SPARKS) - 1))] for value in values)


def _count(value: float) -> str:
    return f"{value / 1000:.1f}k" if value >= 10_000 else f"{value:,.0f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
