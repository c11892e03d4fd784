"""What the loops of all commands that train have in common: model, logs, held-out tasks and checkpoints."""

import asyncio
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import replace

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
"""Most seconds that a run which is stopped takes for the checkpoint of its last step."""


class RunLoop:
    """The parts of a run, and what is done with them beside its steps.

    A subclass opens ``compute``, ``saver`` and ``sinks``, and ``weights`` if there is a pool.

    Attributes:
        state: the run's position and results so far.
        learner: the model and its optimizer; calls that take long go through ``compute``.
        pool: plays the environments; None if there are none.
        weights: gives the engines of the pool new weights.
        stopped_by: the alert that ended the run.
        settled: the position after the last step; None while a step changes the weights.
    """

    compute: AsyncLearner
    saver: Saver
    sinks: Sinks
    weights: WeightSync
    stopped_by: Alert | None = None
    settled: RunState | None = None
    saved = -1
    """The step of the newest checkpoint of this process."""
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
        self.clock = Clock(state, progress.working_on, folder.events, self.between)
        self.learner = open_learner(model, config.trainer, config.rollout.sampling.max_tokens)
        self.renderer = Renderer.load(model.path)
        self.held_out = HeldOut(environments, config)
        self.alerts = Alerts()

    def open_sinks(self) -> Sinks:
        """Open the sinks of ``logging.sinks``."""
        facts = redacted(self.config.model_dump(mode="json"))
        logging_ = self.config.logging
        return Sinks(logging_.sinks, RunFacts(self.folder.path, logging_.project, facts, self.resumed))

    @property
    def finished(self) -> bool:
        """Whether all steps are done, ``eval.stop_at`` is reached, or an alert of ``trainer.stop_on`` was given."""
        goal, last = self.config.eval.stop_at, self.state.held_out.last
        reached = goal is not None and last is not None and last >= goal
        return self.state.step >= self.config.trainer.steps or reached or self.stopped_by is not None

    async def step(self) -> None:
        """Take one step. ``settled`` is None from the moment on at which the weights may change."""
        raise NotImplementedError

    async def take_steps(self) -> None:
        """Take steps until the run is finished. A stop between two updates leaves a checkpoint of the last step."""
        try:
            while not self.finished:
                await self.step()
                self.settled = self.snapshot()
                await asyncio.sleep(0)  # steps without a wait would never notice a stop
        except asyncio.CancelledError:
            if self.settled and self.settled.step > self.saved:
                self.progress.phase("stopping: writing a checkpoint; a second Ctrl-C ends at once")
                with suppress(TimeoutError):  # the checkpoints before it stay
                    async with asyncio.timeout(LAST_CHECKPOINT):
                        await self.saver.begin(self.settled)
                        await self.saver.wait()
            raise

    async def after_step(self, metrics: Metrics, groups: tuple[Group, ...] = ()) -> None:
        """Log the step, and evaluate and save when that is due."""
        step, every = self.state.step, self.config.eval.every
        if step == self.config.trainer.steps or (every and step % every == 0):
            metrics |= await self.evaluate()
        metrics |= {f"time/{phase}": seconds for phase, seconds in self.clock.phases.items()}
        self.log_metrics(step, metrics)
        if groups:
            self.folder.log_trajectories(step, groups)
            if self.config.logging.samples_every and step % self.config.logging.samples_every == 0:
                self.sinks.samples(sample_rows(step, groups, self.config.logging.samples))
        self.progress.update(step, metrics)
        best = self.state.held_out.best_step == step
        if self.finished or best or step % self.config.trainer.checkpoint_every == 0:
            await self.save()
        await self.saver.check()

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
        """Return held-out metrics under the current weights, and put ``eval.metric`` into the state."""
        metrics = await self.held_out_metrics()
        self.state = self.state.evaluated(self.held_out.chosen(metrics))
        return metrics

    async def held_out_metrics(self) -> Metrics:
        """Return held-out metrics under the published weights; the state stays as it is."""
        if self.pool is None:
            return {}
        with self.clock.phase("evaluation"):
            return await self.held_out.evaluate(self.pool, self.state.version)

    async def save(self) -> None:
        """Begin a checkpoint; training goes on while it is written.

        Raises:
            InfrastructureError: The disk refuses. Earlier checkpoints stay.
        """
        with self.folder.events.span("trainer", phase="checkpoint"):  # what holds the run up; the rest is written later
            await self.saver.begin(self.snapshot())
        self.saved = self.state.step

    def snapshot(self) -> RunState:
        """Return the state with the time that the run has taken."""
        return replace(self.state, seconds=self.clock.seconds, phases=dict(self.clock.phases))

    def rewind(self) -> None:
        """Cut off the logs after the state that the run resumes from, and skip weights versions that were published."""
        rows = self.folder.metrics()
        if not self.resumed:
            self.folder.rewind(min((row["step"] for row in rows), default=0) - 1)
            return
        self.folder.rewind(self.state.step)
        self.sinks.rewind(self.state.step)
        self.alerts = Alerts(self.folder.metrics())
        newest = max([self.state.version, *(int(row.get("version") or 0) for row in rows)])
        self.state = replace(self.state, version=newest + 1)  # one more may have been published without being logged

    async def close(self) -> None:
        """End the checkpoint writer, the sinks and the learner."""
        async with AsyncExitStack() as closing:  # calls all of these, the last one first, even if one raises
            closing.callback(self.learner.close)
            closing.callback(self.compute.close)
            closing.callback(self.saver.cancel)
            closing.callback(self.sinks.close)


@contextmanager
def prefix_errors(place: str) -> Iterator[None]:
    """Begin the message of infrastructure errors with ``place``."""
    try:
        yield
    except InfrastructureError as error:
        raise InfrastructureError(f"{place}: {error}") from error
