"""The time that a run has taken, in total and by phase, including the time before it was resumed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...rollout.event_log import EventLog
from .storage.run_state import RunState

PHASES = ("generation", "scoring", "update", "weight_sync", "evaluation", "warm_start")


class Clock:
    """Measures time and adds it to the time in the state that the run resumes from.

    Args:
        before: the state that the run resumes from.
        show: is told each phase that begins, and after its end what comes between phases.
        events: is told each phase that has ended, and each wait for groups.
        between: what comes between phases; by default the run waits for groups.

    Attributes:
        phases: seconds by phase.
    """

    def __init__(
        self, before: RunState, show: Callable[[str], None], events: EventLog, between: str = "generation"
    ) -> None:
        self._before, self._show, self._events, self._between = before.seconds, show, events, between
        self._started = time.perf_counter()
        self.phases = {phase: before.phases.get(phase, 0.0) for phase in PHASES}

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of the run, including the time before it was resumed."""
        return self._before + time.perf_counter() - self._started

    @contextmanager
    def phase(self, name: str, **facts: Any) -> Iterator[None]:
        """Add the time that the body takes to the phase ``name``; ``facts`` go into its event."""
        start = time.perf_counter()
        self._show(name)
        try:
            with self._events.span("trainer", phase=name, **facts):
                yield
        finally:
            self.phases[name] += time.perf_counter() - start
            self._show(self._between)

    def waited(self, seconds: float, scoring: float, **facts: Any) -> None:
        """Add a wait for groups that ends now: ``scoring`` seconds to scoring, and the rest to generation."""
        self._events.note("trainer", phase="waiting", t=time.time() - seconds, seconds=round(seconds, 4), **facts)
        self.phases["generation"] += max(0.0, seconds - scoring)
        self.phases["scoring"] += scoring
