"""The training loop: groups, advantages, one policy step, new weights for the engines, and again."""

import logging
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from ..environments.environment import Environment
from ..rollout.config import ModelConfig
from ..rollout.dispatcher import Batch
from ..rollout.engines.activity import Span, rounded
from ..rollout.models.tokenizer import load_tokenizer
from ..rollout.orders import Failure, Outcome, Passed
from ..rollout.workers.open_pool import open_pool
from ..rollout.workers.pool import Pool
from ..verifiers.errors import ConfigError
from ..verifiers.sandbox.shared import close_sandbox
from .config import RunConfig
from .learner.async_learner import AsyncLearner
from .learner.sample import Sample
from .learner.schedule import learning_rate
from .run.control.config import STEERABLE
from .run.error_log import ErrorLog
from .run.generation import open_dispatcher, open_mixture, pool_spec
from .run.head_of_line import HeadOfLine
from .run.loop import RunLoop, prefix_errors
from .run.metrics import Metrics, advantage_metrics, queue_metrics, scoring_seconds, step_metrics
from .run.model import prepare_model
from .run.parts import part_of, part_samples, part_sizes
from .run.progress import Progress, loading, starting, waiting
from .run.replay.history import start_facts
from .run.sandbox_check import check_sandbox, warn_if_weak
from .run.services import RunServices
from .run.step_record import record_step
from .run.storage import checkpoint
from .run.storage.fingerprint import fingerprint
from .run.storage.folder import RunFolder
from .run.storage.run_state import RunState
from .run.storage.saver import Saver
from .run.storage.summary import Summary, write_summary
from .run.timesheet import Timesheet
from .run.warm_start import Demonstrations
from .run.weight_sync import PROBE_TOLERANCE, WeightSync

log = logging.getLogger("lachesis")


async def train(
    config: RunConfig,
    environments: Sequence[Environment],
    folder: RunFolder,
    progress: Progress,
    resume: bool = False,
    changed: bool = False,
) -> Summary:
    """Train in ``folder`` and return the run's summary.

    Args:
        config: the run's configuration.
        environments: the environments of ``config``, built.
        folder: the run's folder.
        progress: shows the progress to the user.
        resume: continue from the newest checkpoint.
        changed: whether a resumed run's environments may differ from those that it began with.

    Raises:
        LachesisError: The run failed; the message is one line. Checkpoints that were written stay.
    """
    begun = checkpoint.to_resume(folder.checkpoints) if resume else None
    state = RunState.read(begun) if begun else RunState()
    progress.phase(f"preparing the model ({config.model.path})")
    model = prepare_model(config.model, config.seed, folder.path, resumed=begun is not None)
    folder.write_fingerprint(fingerprint(environments, config.seed, load_tokenizer(model.path)), changed or not resume)
    sandbox = check_sandbox(config.sandbox, environments, config.seed)
    warn_if_weak(sandbox)
    if not config.rollout.inline:
        close_sandbox()  # the workers open their own
    progress.phase(starting(config.rollout, address=config.cluster.address))
    async with AsyncExitStack() as closing:  # closes the trainer first, and the pool whatever is raised
        pool = open_pool(pool_spec(config, model), folder.events)
        closing.push_async_callback(pool.close)
        closing.callback(progress.phase, "stopping")
        progress.phase(loading(config.trainer.compile))
        trainer = Trainer(config, environments, folder, progress, pool, model, state)
        closing.push_async_callback(trainer.close)
        if begun:
            trainer.learner.load(begun)
        trainer.rewind()
        folder.write_config(config)  # a resumed run may have new settings; only now, so a refused run changes nothing
        await trainer.run()
        return write_summary(
            folder, config, trainer.state, sandbox, trainer.alerts.given, trainer.stopped_by, trainer.errors.problems
        )


class Trainer(RunLoop):
    """The loop over steps of an algorithm on groups of rollouts."""

    pool: Pool
    steerable = tuple(STEERABLE)

    def __init__(
        self,
        config: RunConfig,
        environments: Sequence[Environment],
        folder: RunFolder,
        progress: Progress,
        pool: Pool,
        model: ModelConfig,
        state: RunState,
    ) -> None:
        super().__init__(config, environments, folder, progress, pool, model, state)
        self.labels = [environment.label for environment in environments]
        self.services = RunServices(environments, config, folder.path, lambda: self.state, self.learner.vocabulary)
        self.compute = AsyncLearner(self.learner, apart=self.services.hosted or not config.rollout.inline)
        self.saver = Saver(
            folder.path, folder.checkpoints, self.compute, self.renderer, config.trainer.keep, self.services.sealed
        )
        self.mixture = open_mixture(config, environments, config.seed)
        self.demonstrations = Demonstrations(environments, config, self.renderer)
        if state.mixture:
            self.mixture.restore(state.mixture)
        self.dispatcher = open_dispatcher(
            config, self.services.over(pool), self.mixture, state.admitted, self.learn, folder.events
        )
        tolerance = config.trainer.probe_tolerance or PROBE_TOLERANCE[config.model.dtype]
        first_task = next(open_mixture(config, environments, config.seed))
        probe = self.demonstrations.probe(first_task, self.learner.vocabulary)
        self.weights = WeightSync(pool, self.compute, probe, tolerance)
        self.stalls = HeadOfLine(config.trainer.prompts, config.trainer.parts)
        self.timesheet = Timesheet(folder.events, config.rollout.parallel_workers)
        self.errors = ErrorLog(folder.path)
        self.sinks = self.open_sinks()

    async def run(self) -> None:
        """Train until the run is finished and its last checkpoint is written."""
        self.folder.events.note("started", step=self.state.step, resumed=self.resumed, **start_facts(self.config))
        self.control.listen()
        self.progress.phase(waiting(self.config.rollout))
        await self.weights.meet_engines(self.learner.vocabulary)
        if self.resumed:
            self.keep_reference()
        self.progress.phase("publishing the weights")
        await self.publish()
        await self.services.open(self.pool.generator, self.renderer)
        if self.resumed:
            self.progress.training(self.state.step)
        else:
            await self.begin()
        await self.services.start()
        for label, address in self.services.addresses.items():
            self.progress.note(f"{label}: waiting for groups at {address}")
        await self.take_steps()
        self.progress.phase("writing the last checkpoint and the summary")
        await self.saver.wait()
        self.state = self.snapshot()

    async def begin(self) -> None:
        """Take the supervised steps, then evaluate and save before the first policy step."""
        taken = await self.warm_start()
        self.state = replace(self.state, warm_start_steps=taken)
        self.keep_reference()
        self.progress.phase("evaluating on the held-out tasks")
        row = await self.evaluate()
        self.log_metrics(0, row)
        self.progress.training(0)
        self.progress.update(0, row)
        await self.save()

    async def warm_start(self) -> int:
        """Take supervised steps on demonstrations until ``warm_start.target`` is reached; return how many."""
        settings, taken = self.config.warm_start, 0
        if not settings.steps:
            return 0
        self.progress.warm_start(settings.steps, settings.every)
        tasks = open_mixture(self.config, self.mixture.environments, self.config.seed + 1, played=True)
        for taken in range(1, settings.steps + 1):
            with self.clock.phase("warm_start"), prefix_errors(f"warm start, step {taken}"):
                batch = await self.demonstrations.batch(tasks, settings.batch)
                row = {"warm_start/loss": (await self.compute.supervised_step(batch, settings.lr))["loss"]}
            if evaluated := taken % settings.every == 0 or taken == settings.steps:
                await self.publish()
                with self.clock.phase("evaluation"):
                    row |= await self.measure()
            self.log_metrics(taken - settings.steps - 1, row)  # step 0 is the state after the warm start
            self.progress.update(taken, row)
            value = self.value(row) if evaluated else None
            if settings.target is not None and value is not None and value >= settings.target:
                break
        self.learner.reset_optimizer()
        return taken

    async def step(self) -> None:
        """Take one step of the algorithm."""
        start, number, config = time.perf_counter(), self.state.step + 1, self.config.trainer
        begun_at, queue = time.time(), queue_metrics(*self.dispatcher.queue)
        with prefix_errors(f"step {number}"):
            batch, parts, added = await self.add_gradients()
        samples = [sample for part in parts for sample in part]
        metrics = {**queue, **step_metrics(batch, self.labels, self.state.version), **self.mixture.metrics()}
        metrics |= self.services.metrics()
        with self.clock.phase("update", **part_of(len(parts), len(parts))), prefix_errors(f"step {number}"):
            if not metrics["tokens/sampled"] + metrics.get("tokens/forced", 0):
                raise ConfigError(
                    f"step {number}: no reply has a token, so there is nothing to learn from; does the environment's "
                    "run() ask the policy for a reply?"
                )
            metrics |= advantage_metrics(samples)
            lr = learning_rate(config, self.state.step)
            if self.config.rollout.sleep:
                await self.pool.sleep()
            begun = time.perf_counter()
            self.settled = None
            result = await self.compute.policy_step(parts[-1], lr)
            metrics |= {**result.metrics, "lr": lr, "memory/trainer_gib": self.learner.memory()}
            computing = added + time.perf_counter() - begun
            metrics |= self.learner.scale.throughput(metrics["tokens/forward"], computing)
        self.folder.events.note("trained", step=number, lr=lr, groups=[group.index for group in batch.groups])
        sampled = self.state.tokens_generated + int(metrics["tokens/sampled"])
        self.state = replace(self.state, step=number, admitted=self.dispatcher.position, tokens_generated=sampled)
        metrics |= await self.publish()
        metrics["time/step"] = time.perf_counter() - start
        metrics |= self.stalls.metrics(batch, metrics["time/step"], self.dispatcher.staleness)
        metrics |= await self.note_activity(begun_at, batch.waits, metrics["time/step"])
        metrics["rate/tokens_per_s"] = metrics["tokens/sampled"] / metrics["time/step"]
        self.errors.note(number, (*batch.groups, *batch.passed_over))
        await self.after_step(metrics, record_step(batch.groups, samples, result))

    async def add_gradients(self) -> tuple[Batch, list[list[Sample]], float]:
        """Wait for the groups of a step, and compute the gradient of each part but the last as soon as it is made.

        Returns:
            The groups, the samples of each part, and the seconds that the gradients took.
        """
        batch, parts, seconds = Batch((), ()), list[list[Sample]](), 0.0
        sizes = part_sizes(self.config.trainer.prompts, self.config.trainer.parts)
        for number, size in enumerate(sizes, 1):
            if parts:
                begun = time.perf_counter()
                with self.clock.phase("update", **part_of(number - 1, len(sizes))):
                    await self.compute.add_gradient(parts[-1])
                seconds += time.perf_counter() - begun
            new = await self.dispatcher.next_groups(size)
            scoring = scoring_seconds(new.groups) / self.config.rollout.parallel_workers
            self.clock.waited(new.seconds, scoring, **part_of(number, len(sizes)))
            parts.append(part_samples(new.groups, self.config, first=len(batch.groups)))
            batch += new
        return batch, parts, seconds

    async def note_activity(self, begun: float, waits: Sequence[Span], seconds: float) -> Metrics:
        """Log when the engines were busy; return which share of the step each part of the run worked or waited.

        Args:
            begun: when the step began.
            waits: when the trainer waited for groups.
            seconds: what the step took.
        """
        activity = await self.pool.activity()
        for engine, busy in enumerate(activity):
            if busy:
                self.folder.events.note(
                    "engine", engine=engine, t=busy[0].begin, busy=rounded(busy), tokens=busy[-1].tokens
                )
        self.folder.events.note("step", step=self.state.step, version=self.state.version)
        self.folder.events.flush()
        return self.timesheet.metrics((begun, begun + seconds), waits, activity)

    async def publish(self) -> Metrics:
        """Give the engines the learner's weights as a new version; then the dispatcher may admit more groups."""
        metrics = await super().publish()
        self.dispatcher.trained(self.state.version, steps_left=self.config.trainer.steps - self.state.step)
        return metrics

    def snapshot(self) -> RunState:
        """Return the state with the current position in the tasks and the time that the run has taken."""
        return replace(super().snapshot(), mixture=self.mixture.state, services=self.services.consumed)

    def learn(self, outcome: Outcome | Passed) -> None:
        """Report the result of the next order, in admission order."""
        if isinstance(outcome, Failure):  # now, since it may be the one that ends the run
            self.errors.note(self.state.step + 1, failures=[outcome])
        self.mixture.learn(outcome)
        self.services.learn(outcome)

    def reconfigure(self, config: RunConfig) -> None:
        """As in ``RunLoop``; new limits hold for the groups that are admitted from now on."""
        super().reconfigure(config)
        self.dispatcher.change(
            staleness=config.rollout.staleness,
            max_tokens=config.rollout.sampling.max_tokens,
            steps_left=config.trainer.steps - self.state.step,
        )

    def keep_reference(self) -> None:
        """Freeze the policy after the warm start, if the loss has a KL penalty against it."""
        if self.learner.objective.needs_reference:
            self.learner.keep_reference(self.folder.path / "reference")

    async def close(self) -> None:
        """End the dispatcher, the services and what every loop has."""
        async with AsyncExitStack() as closing:  # calls all of these, the last one first, even if one raises
            closing.push_async_callback(super().close)
            closing.push_async_callback(self.services.close)
            closing.push_async_callback(self.dispatcher.close)
