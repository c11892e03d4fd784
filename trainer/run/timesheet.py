"""Which share of each step the parts of a run worked, and what engines sampled meanwhile."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from statistics import fmean
from typing import Any

from ...rollout.engines.activity import Activity, Interval, Span, busy_share
from ...rollout.event_log import EventLog
from .metrics import Metrics

PHASES = {"update": "rate/updating", "weight_sync": "rate/publishing"}
"""Phase of the trainer → the metric of its share."""

NAMED = 16
"""Up to so many engines have a metric each for the tokens that they sample."""


class Timesheet:
    """Watches the spans of an event log, and adds them up for each step.

    Args:
        events: the log.
        workers: how many workers play groups.
    """

    def __init__(self, events: EventLog, workers: int) -> None:
        self._workers = workers
        self._spans: dict[tuple[str, Any], Activity] = defaultdict(Activity)
        self._looked = 0.0
        events.watch = self._watch

    def metrics(self, step: Span, waits: Sequence[Span], engines: Sequence[Sequence[Interval]]) -> Metrics:
        """Return which share of a step each part worked or waited.

        Args:
            step: when the step was taken.
            waits: when the trainer waited for groups meanwhile.
            engines: when each engine had requests since the last call; without an interval if it does not answer.
        """
        seconds = step[1] - step[0]
        waited = sum(end - begin for begin, end in waits)
        metrics = {"rate/trainer_waiting": waited / seconds if seconds > 0 else 0.0}
        spans = {key: activity.take() for key, activity in self._spans.items()}
        for phase, name in PHASES.items():
            metrics[name] = busy_share(spans.get(("trainer", phase), []), [step])
        working = sum(busy_share(intervals, [step]) for (kind, _), intervals in spans.items() if kind == "worker")
        metrics["rate/workers_idle"] = max(0.0, 1 - working / self._workers)
        if engines:
            metrics["rate/engines_idle"] = 1 - fmean(busy_share(busy, [step]) for busy in engines)
            metrics["rate/engines_busy"] = fmean(busy_share(busy, waits) for busy in engines)
            metrics |= self._sampled(step, engines)
        self._looked = step[1]
        return metrics

    def _sampled(self, step: Span, engines: Sequence[Sequence[Interval]]) -> Metrics:
        """Return how many requests an engine had on average, and how many tokens each sampled a second."""
        seconds = max(step[1] - (self._looked or step[0]), 1e-9)
        work = sum(interval.work for busy in engines for interval in busy)
        rates = [sum(interval.tokens for interval in busy) / seconds for busy in engines]
        each = {f"rate/engine_tokens_per_s/{number}": rate for number, rate in enumerate(rates)}
        return {
            "rate/engine_requests": work / seconds / len(engines),
            "rate/engine_tokens_per_s_least": min(rates),
            "rate/engine_tokens_per_s_most": max(rates),
            **(each if 1 < len(engines) <= NAMED else {}),
        }

    def _watch(self, event: str, facts: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Count a span while it lasts."""
        if event == "worker":
            return self._spans["worker", facts.get("worker")].request()
        if event == "trainer" and facts.get("phase") in PHASES:
            return self._spans["trainer", facts["phase"]].request()
        return nullcontext()
