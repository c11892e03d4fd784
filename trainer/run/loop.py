"""What the loops of all commands that train have in common: model, logs, held-out tasks and checkpoints."""

import asyncio
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

from ...environments.environment import Environment
from ...rollout.chats.renderer import Renderer
from ...rollout.config import ModelConfig
from ...rollout.workers.pool import Pool
from ...verifiers.errors import InfrastructureError
from ...verifiers.group import Group
from ..config import RunConfig
from ..learner.async_learner import AsyncLearner
from ..learner.factory import open_learner
from .alerts import Alert, Alerts
from .clock import Clock
from .control.config import ALWAYS
from .control.control import Control
from .held_out import HeldOut
from .metrics import Metrics
from .progress import Progress
from .sinks.sink import RunFacts, Sinks, sample_rows
from .storage.folder import RunFolder
from .storage.redaction import redacted
from .storage.run_state import RunState
from .storage.saver import Saver
from .weight_sync import WeightSync

log = logging.getLogger("lachesis")

LAST_CHECKPOINT = 120.0
"""Most seconds that a run which ends early takes to end an update and a checkpoint."""


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that runs beside the making of the next step's groups.

    Attributes:
        row: the metrics of its step, which are logged together with its results.
        results: ends with its metrics.
    """

    row: Metrics
    results: asyncio.Task[Metrics]


class RunLoop:
    """The parts of a run, and what is done with them beside its steps.

    A subclass opens ``compute``, ``saver`` and ``sinks``, and ``weights`` if there is a pool.

    Attributes:
        state: the run's position and results so far.
        learner: the model and its optimizer; calls that take long go through ``compute``.
        pool: plays the environments; None if there are none.
        weights: gives the engines of the pool new weights.
        stopped_by: the alert that ended the run.
        saved: the step of the newest checkpoint; -1 if there is none.
        stopping: whether the run was asked to end, so that no further step may begin.
        settled: the position after the last step; None while a step changes the weights, or its results are logged.
        evaluation: of the last step's weights, while it runs.
    """

    compute: AsyncLearner
    saver: Saver
    sinks: Sinks
    weights: WeightSync
    stopped_by: Alert | None = None
    stopping = False
    settled: RunState | None = None
    evaluation: Evaluation | None = None
    steerable: Sequence[str] = ALWAYS
    """The settings that ``lachesis control`` can change."""
    between = "generation"
    """What a run does between the phases of its clock."""

    def __init__(
        self,
        config: RunConfig,
        environments: Sequence[Environment],
        folder: RunFolder,
        progress: Progress,
        pool: Pool | None,
        model: ModelConfig,
        state: RunState,
    ) -> None:
        self.config, self.folder, self.progress, self.pool, self.state = config, folder, progress, pool, state
        self.resumed = state != RunState()
        self.saved = state.step if self.resumed else -1
        self.clock = Clock(state, progress.working_on, folder.events, self.between)
        self.learner = open_learner(model, config.trainer, config.rollout.sampling.max_tokens)
        self.renderer = Renderer.load(model.path)
        self.held_out = HeldOut(environments, config)
        self.alerts = Alerts(config=config)
        self.control = Control(self)

    def open_sinks(self) -> Sinks:
        """Open the sinks of ``logging.sinks``."""
        facts = redacted(self.config.model_dump(mode="json"))
        logging_ = self.config.logging
        return Sinks(logging_.sinks, RunFacts(self.folder.path, logging_.project, facts, self.resumed))

    @property
    def finished(self) -> bool:
        """Whether all steps are done, ``eval.stop_at`` is reached, or an alert or a command ended the run."""
        goal, last = self.config.eval.stop_at, self.state.held_out.last
        reached = goal is not None and last is not None and last >= goal
        return (
            self.state.step >= self.config.trainer.steps
            or reached
            or self.stopped_by is not None
            or self.control.stopped
        )

    async def step(self) -> None:
        """Take one step. ``settled`` is None from the moment on at which the weights may change."""
        raise NotImplementedError

    async def take_steps(self) -> None:
        """Take steps until the run is finished.

        A stop ends the update that runs, and leaves a checkpoint behind it. A failed step leaves the checkpoint that
        was being written, and one of the step before unless the weights may have changed since.
        """
        steps = asyncio.create_task(self._steps(), name="steps")
        try:
            await asyncio.shield(steps)
        except asyncio.CancelledError:
            with suppress(TimeoutError):  # the checkpoints before stay
                async with asyncio.timeout(LAST_CHECKPOINT):
                    await self._stop(steps)
            raise
        except Exception as failed:
            self.progress.phase("a step failed: completing a checkpoint; Ctrl-C ends at once")
            try:
                async with asyncio.timeout(LAST_CHECKPOINT):
                    await self._save_settled()
            except Exception as error:  # noqa: BLE001 - what failed first is the error that counts
                if error is not failed:
                    log.warning("no checkpoint could be completed: %s", str(error) or type(error).__name__)
            raise
        finally:
            steps.cancel()

    async def _steps(self) -> None:
        if self.state.unlogged is not None:
            row, self.state = dict(self.state.unlogged), replace(self.state, unlogged=None)
            self._begin_evaluation(row)
        self.settled = self.snapshot()
        while not self.stopping:
            await self._end_evaluation()
            await self.control.attend()
            if self.finished or self.stopping:
                return
            await self.step()
            self.settled = self.snapshot()
            await asyncio.sleep(0)  # steps without a wait would never notice a stop

    async def _stop(self, steps: asyncio.Task[None]) -> None:
        """End ``steps`` after the update that runs, and write a checkpoint if one is missing."""
        self.stopping = True
        if self.settled:
            steps.cancel()
        self.progress.phase("stopping: ending the step and writing a checkpoint; a second Ctrl-C ends at once")
        await asyncio.wait([steps])
        if not steps.cancelled() and (error := steps.exception()):
            log.warning("the last step is lost: %s", error)
        await self._save_settled()

    async def _save_settled(self) -> None:
        """Write a checkpoint of the last step if it has none and can have one; wait until the newest is complete."""
        if self.settled and self.settled.step > self.saved:
            unlogged = self.evaluation.row if self.evaluation else None
            await self.saver.begin(replace(self.settled, unlogged=unlogged))
        await self.saver.wait()

    async def after_step(self, metrics: Metrics, groups: tuple[Group, ...] = ()) -> None:
        """Log the step and save when that is due, or begin the evaluation that is due and do both when it has ended.

        The weights do not change before it has ended, since its results decide about this step's checkpoint and
        whether the run goes on. Groups of the next step are made meanwhile.
        """
        step, every = self.state.step, self.config.eval.every
        if groups:
            await self._aside(self.folder.log_trajectories, step, groups)
            if self.config.logging.samples_every and step % self.config.logging.samples_every == 0:
                self.sinks.samples(sample_rows(step, groups, self.config.logging.samples))
        if step == self.config.trainer.steps or (every and step % every == 0):
            self._begin_evaluation(metrics)
        else:
            await self._log_step(metrics)

    def _begin_evaluation(self, row: Metrics) -> None:
        self.evaluation = Evaluation(row, asyncio.create_task(self.measure(), name="evaluation"))

    async def _end_evaluation(self) -> None:
        """Wait for the evaluation that runs, and log its step with the results."""
        if self.evaluation is None:
            return
        with self.clock.phase("evaluation"):
            results = await self.evaluation.results
        row, self.evaluation, self.settled = self.evaluation.row, None, None
        self.state = self.state.evaluated(self.value(results))
        await self._log_step(row | results)
        self.settled = self.snapshot()

    async def _log_step(self, metrics: Metrics) -> None:
        step = self.state.step
        metrics |= {f"time/{phase}": seconds for phase, seconds in self.clock.phases.items()}
        self.log_metrics(step, metrics)
        self.progress.update(step, metrics)
        best = self.state.held_out.best_step == step
        due = self.finished or best or step % self.config.trainer.checkpoint_every == 0
        if due and step > self.saved:  # a run that was stopped while it evaluated has resumed from this step's
            await self.save()
        await self.saver.check()

    async def _aside(self, function: Callable[..., object], *arguments: object) -> None:
        """Call ``function`` in a thread, so that the event loop goes on. A run in one process calls it on the loop.

        With staleness in one process, bits follow from the order of the loop's turns, and threads would change it.
        """
        if self.config.rollout.inline:
            function(*arguments)
        else:
            await asyncio.to_thread(function, *arguments)

    def log_metrics(self, step: int, metrics: Metrics) -> None:
        """Write a row of metrics, give its finite values to the sinks, and log the alerts that it raises."""
        self.folder.log_metrics(step, metrics)
        self.sinks.log(step, {name: float(value) for name, value in metrics.items() if math.isfinite(value)})
        for alert in self.alerts.seen({"step": step, **metrics}):
            log.warning("step %d, %s: %s", step, alert.name, alert.text)
            if alert.name in self.config.trainer.stop_on:
                self.stopped_by = alert

    async def publish(self) -> Metrics:
        """Give the engines the learner's weights as a new version."""
        with self.clock.phase("weight_sync"):
            metrics = await self.weights.publish(self.state.version + 1)
        self.state = replace(self.state, version=self.state.version + 1)
        self.folder.events.note("published", version=self.state.version)
        return metrics

    async def evaluate(self) -> Metrics:
        """Return the metrics of the current weights, and put the value that counts into the state."""
        with self.clock.phase("evaluation"):
            metrics = await self.measure()
        self.state = self.state.evaluated(self.value(metrics))
        return metrics

    async def measure(self) -> Metrics:
        """Return the held-out metrics of the published weights; none without a pool."""
        return await self.held_out.evaluate(self.pool, self.state.version) if self.pool else {}

    def value(self, metrics: Metrics) -> float | None:
        """Return the value of ``eval.metric`` among the metrics of an evaluation; None if there is none."""
        return self.held_out.chosen(metrics) if self.pool else None

    async def save(self) -> None:
        """Begin a checkpoint; training goes on while it is written.

        Raises:
            InfrastructureError: The disk refuses. Earlier checkpoints stay.
        """
        with self.folder.events.span("trainer", phase="checkpoint"):  # what holds the run up; the rest is written later
            await self.saver.begin(self.snapshot())
        self.saved = self.state.step

    async def save_between(self) -> bool:
        """Begin a checkpoint between two steps, unless the last one has one; return whether it was begun."""
        if self.state.step <= self.saved:
            return False
        self.settled = None  # a stop waits for it
        try:
            await self.save()
        finally:
            self.settled = self.snapshot()
        return True

    def reconfigure(self, config: RunConfig) -> None:
        """Go on with ``config``, which differs in settings that are ``steerable``; ``--resume`` continues with it.

        Raises:
            InfrastructureError: The disk refuses the new ``config.toml``. The run goes on with the old config.
        """
        self.folder.write_config(config)
        self.config = config
        self.alerts.reconfigure(config)

    def snapshot(self) -> RunState:
        """Return the state with the time that the run has taken."""
        return replace(self.state, seconds=self.clock.seconds, phases=dict(self.clock.phases))

    def rewind(self) -> None:
        """Cut off the logs after the state that the run resumes from, and skip weights versions that were published."""
        rows = self.folder.metrics()
        if not self.resumed:
            self.folder.rewind(min((row["step"] for row in rows), default=0) - 1)
            return
        self.folder.rewind(self.state.step, rows=self.state.step - (self.state.unlogged is not None))
        self.sinks.rewind(self.state.step)
        self.alerts = Alerts(self.folder.metrics(), self.config)
        newest = max([self.state.version, *(int(row.get("version") or 0) for row in rows)])
        self.state = replace(self.state, version=newest + 1)  # one more may have been published without being logged

    async def close(self) -> None:
        """End the evaluation that runs, the checkpoint writer, the sinks and the learner."""
        if self.evaluation:
            self.evaluation.results.cancel()
            await asyncio.gather(self.evaluation.results, return_exceptions=True)
        async with AsyncExitStack() as closing:  # calls all of these, the last one first, even if one raises
            closing.callback(self.learner.close)
            closing.callback(self.compute.close)
            closing.callback(self.saver.cancel)
            closing.callback(self.sinks.close)
            closing.push_async_callback(self.control.close)


@contextmanager
def prefix_errors(place: str) -> Iterator[None]:
    """Begin the message of infrastructure errors with ``place``."""
    try:
        yield
    except InfrastructureError as error:
        raise InfrastructureError(f"{place}: {error}") from error
