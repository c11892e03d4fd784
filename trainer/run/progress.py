"""The progress of a command in the terminal: its phase and, for a run, step, rewards, accuracy and time left."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...rollout.config import RolloutConfig

_SPARKS = "▁▂▃▄▅▆▇█"
_HISTORY = 40
_NOT_LABELS = frozenset({"reward/total", "reward/std"})
_ACTIVITIES = {
    "generation": "waiting for rollouts",
    "update": "updating the weights",
    "weight_sync": "publishing the weights",
    "evaluation": "evaluating on the held-out tasks",
}
"""What the live line calls the phases of a run's clock."""


_NUMBERS = {
    "warm_start/loss": "loss",
    "loss": "loss",
    "validation/loss": "validation loss",
    "token_accuracy": "token accuracy",
    "rewards/accuracies": "pairs right",
}
"""Metric → what a line of progress calls it."""


class Phases:
    """Shows what a command is doing now: live on a terminal, and otherwise as plain lines that begin with the time.

    Warnings of the logger ``lachesis`` are shown as well, each as one line of text.

    Args:
        console: the console to print to; by default standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._start = self._phase_start = time.monotonic()
        self._phase, self._label, self._activity = "starting", "", ""
        self._total: int | None = None
        self._done = self._first = 0
        self._numbers: Sequence[str] = ()
        self._changing = threading.Lock()  # a thread of rich draws the live line
        self._logs = _Warnings(self)
        self._live = Live(console=self.console, get_renderable=self._render, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        logging.getLogger("lachesis").addHandler(self._logs)
        if self.console.is_interactive:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keep()
        self._live.stop()
        logging.getLogger("lachesis").removeHandler(self._logs)

    def phase(self, text: str, total: int | None = None, done: int = 0, label: str = "") -> None:
        """Begin a phase.

        Args:
            text: what happens in it.
            total: how many steps it has; None if it is not counted.
            done: how many of them are done.
            label: what plain lines call a step; ``text`` by default.
        """
        self._keep()
        with self._changing:
            self._phase, self._label, self._activity = text, label, ""
            self._total, self._done, self._first, self._numbers = total, done, done, ()
            self._phase_start = time.monotonic()
        if self._live.is_started:
            self._live.refresh()  # an import that holds the interpreter may follow
        else:
            self.note(text)

    @property
    def doing(self) -> str:
        """What the command does now."""
        return self._activity or self._phase

    def activity(self, text: str) -> None:
        """Show what happens within a step; plain lines leave it out."""
        self._activity = text

    def note(self, text: str) -> None:
        """Print a line that stays."""
        clock = "" if self._live.is_started else f"{_clock(time.monotonic() - self._start)}  "
        self.console.print(Text(clock + text), soft_wrap=not self._live.is_started)

    def advance(self, done: int, numbers: Sequence[str], line: bool = True) -> None:
        """Show that ``done`` steps of the phase are done.

        Args:
            done: the number of steps.
            numbers: the results so far, the most important first.
            line: whether they get a line if the output is no terminal.
        """
        self._done, self._numbers = done, numbers
        if line and not self._live.is_started:
            parts = [f"{self._label or self._phase} {done}/{self._total}", *numbers, self._time_left()]
            self.note("  ".join(part for part in parts if part))

    def _time_left(self) -> str:
        """Estimate the time left from the pace of this phase; empty before its first step is done."""
        if self._total is None or self._done <= self._first:
            return ""
        pace = (time.monotonic() - self._phase_start) / (self._done - self._first)
        return f"{_clock(pace * max(0, self._total - self._done))} left"

    def _keep(self) -> None:
        """Leave the last state of a phase with steps on the terminal."""
        if self._live.is_started and self._total is not None and self._done > self._first:
            self._activity = ""
            self.console.print(self._render())

    def _render(self) -> Group:
        with self._changing:
            return self._drawn()

    def _drawn(self) -> Group:
        now = time.monotonic()
        head = Table.grid(padding=(0, 2))
        phase = Text(self._phase, style="bold cyan")
        if self._total is None:
            head.add_row(phase, Text(_clock(now - self._phase_start), style="dim"))
            return Group(head)
        head.add_row(
            phase,
            ProgressBar(total=max(1, self._total), completed=max(0, self._done), width=32),
            f"{self._label} {self._done}/{self._total}".strip(),
            Text(_clock(now - self._start), style="dim"),
            self._time_left(),
            Text(self._activity, style="dim"),
        )
        return Group(head, self._details())

    def _details(self) -> Text:
        return Text("  ".join(self._numbers))


class Progress(Phases):
    """The progress of a run; if the output is no terminal, every training step gets exactly one line.

    Args:
        total_steps: number of training steps.
        quiet: whether to show nothing.
        console: the console to print to; by default standard output.
    """

    def __init__(self, total_steps: int, quiet: bool = False, console: Console | None = None) -> None:
        super().__init__(console or Console(quiet=quiet, highlight=False))
        self._steps, self._every = total_steps, 1
        self._metrics: dict[str, float] = {}
        self._rewards: list[float] = []

    def training(self, done: int, total: int | None = None) -> None:
        """Begin the training, of which ``done`` steps are done; ``total`` replaces the number of steps."""
        self._every = 1
        self._steps = self._steps if total is None else total
        self._metrics.pop("warm_start/loss", None)
        self.phase("training", self._steps, done, "step")

    def warm_start(self, total: int, every: int) -> None:
        """Begin at most ``total`` supervised steps, with a line for every ``every`` of them and for the last one."""
        self._every = every
        self.phase("warm start", total)

    def working_on(self, phase: str) -> None:
        """Show the phase of the run's clock."""
        self.activity(_ACTIVITIES.get(phase, ""))

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show that ``step`` is done. Metrics that are not given keep their last values."""
        self._metrics.update(metrics)
        if "reward/total" in metrics:
            self._rewards = [*self._rewards, metrics["reward/total"]][-_HISTORY:]
        self.advance(step, _numbers(self._metrics), line=step % self._every == 0 or step == self._total)

    def _details(self) -> Text:
        line = super()._details()
        return line.append("  " + _sparkline(self._rewards), style="green") if len(self._rewards) > 1 else line


def starting(rollout: RolloutConfig, engines: bool = True, address: str = "") -> str:
    """Describe how engines and workers are started, as the text of a phase.

    Args:
        rollout: settings.
        engines: whether there are engines.
        address: of the Ray cluster that is joined; empty if Ray is started on this machine.
    """
    if rollout.inline:
        return (
            f"loading the model into the {rollout.engine} engine{_compiling(rollout)}"
            if engines
            else "starting the worker"
        )
    workers = f"{rollout.workers} worker{'s' * (rollout.workers != 1)}"
    counted = f"{rollout.engines} {rollout.engine} engine{'s' * (rollout.engines != 1)} and " if engines else ""
    return f"{f'joining the Ray cluster {address}' if address else 'starting Ray'} for {counted}{workers}"


def loading(compiled: bool) -> str:
    """Describe the loading of a trainer's model, which may be ``compiled`` later, as the text of a phase."""
    return "loading the model into the trainer" + ", whose first steps compile it" * compiled


def waiting(rollout: RolloutConfig) -> str:
    """Describe what the command waits for after ``starting``, as the text of a phase."""
    return f"waiting for the engines{_compiling(rollout)}"


def _compiling(rollout: RolloutConfig) -> str:
    return ", where vLLM may compile the model" if rollout.engine == "vllm" else ""


@contextmanager
def counting(title: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error if that is a terminal; yields a function that advances the bar."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total, completed=done)
        yield lambda number: bar.advance(task, number)


class _Warnings(logging.Handler):
    """Shows warnings and errors of the log between the lines of progress."""

    def __init__(self, phases: Phases) -> None:
        super().__init__(logging.WARNING)
        self._phases = phases

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record as one line, without characters that a terminal could take for a command."""
        try:
            text = " ".join(f"{record.levelname.lower()}: {record.getMessage()}".split())
            self._phases.note("".join(char if char.isprintable() else ascii(char)[1:-1] for char in text))
        except Exception:  # noqa: BLE001 - as every handler does: logging never breaks the code that logs
            self.handleError(record)


def _numbers(metrics: Mapping[str, float]) -> list[str]:
    """Return a run's numbers as text, each with its name first, the most important first."""
    labels = [name for name in sorted(metrics) if name.startswith("reward/") and name not in _NOT_LABELS]
    numbers = []
    if "reward/total" in metrics:
        by_label = ", ".join(f"{name.removeprefix('reward/')} {metrics[name]:.3f}" for name in labels)
        numbers.append(f"reward {metrics['reward/total']:.3f}" + (f" ({by_label})" if by_label else ""))
    if held_out := next((name for name in ("accuracy", "reward") if f"heldout/{name}" in metrics), ""):
        numbers.append(f"held-out {held_out} {metrics[f'heldout/{held_out}']:.3f}")
    numbers += [f"{title} {metrics[name]:.4f}" for name, title in _NUMBERS.items() if name in metrics]
    if "rate/tokens_per_s" in metrics:
        numbers.append(f"tokens/s {metrics['rate/tokens_per_s']:.0f}")
    return numbers


def _sparkline(values: list[float]) -> str:
    """Draw the values as blocks of different heights, between their minimum and maximum."""
    low, high = min(values), max(values)
    return "".join(_SPARKS[round((value - low) / ((high - low) or 1) * (len(_SPARKS) - 1))] for value in values)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
