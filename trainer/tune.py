"""The tuning loop: rows in batches, one supervised or preference step on each, and evaluations in between."""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from ..environments.environment import Environment
from ..rollout.chats.renderer import Renderer
from ..rollout.cluster.demand import Actors
from ..rollout.config import ModelConfig
from ..rollout.event_log import EventLog
from ..rollout.models.tokenizer import load_tokenizer
from ..rollout.workers.open_pool import open_pool
from ..rollout.workers.pool import Pool
from ..verifiers.sandbox.shared import close_sandbox
from .datasets.batches import Batches
from .datasets.dataset import Rows, digest, read_splits
from .datasets.demonstration import read_demonstration
from .datasets.preference import read_pair
from .datasets.reference import with_reference
from .learner.async_learner import AsyncLearner
from .learner.schedule import learning_rate
from .learner.tuning import ByPreference, Supervised, Tuning
from .run.generation import pool_spec
from .run.loop import RunLoop, prefix_errors
from .run.metrics import Metrics
from .run.model import check_tokens, prepare_model
from .run.progress import Progress, loading, starting, waiting
from .run.sandbox_check import check_sandbox, warn_if_weak
from .run.storage import checkpoint
from .run.storage.fingerprint import fingerprint
from .run.storage.folder import RunFolder
from .run.storage.run_state import RunState
from .run.storage.saver import Saver
from .run.storage.summary import Summary, write_summary
from .run.weight_sync import PROBE_TOLERANCE, WeightSync
from .tune_config import DpoConfig, TuneConfig

VALIDATION = "validation/"
"""The beginning of the names of metrics on the validation rows."""


async def tune(
    config: TuneConfig,
    environments: Sequence[Environment],
    folder: RunFolder,
    progress: Progress,
    resume: bool = False,
    changed: bool = False,
) -> Summary:
    """Train on the rows of ``config`` in ``folder`` and return the run's summary.

    The loss is that of preference pairs if ``config`` is a ``DpoConfig``, and cross-entropy otherwise.

    Args:
        config: the run's configuration.
        environments: the environments of ``config``, built; only their held-out tasks are played.
        folder: the run's folder.
        progress: shows the progress to the user.
        resume: continue from the newest checkpoint.
        changed: whether a resumed run's rows and environments may differ from those that it began with.

    Raises:
        LachesisError: The run failed; the message is one line. Checkpoints that were written stay.
    """
    begun = checkpoint.to_resume(folder.checkpoints) if resume else None
    state = RunState.read(begun) if begun else RunState()
    progress.phase(f"preparing the model ({config.model.path})")
    model = prepare_model(config.model, config.seed, folder.path, resumed=begun is not None)
    progress.phase(f"reading the rows ({config.data.path})")
    splits = _read(config, model, progress)
    found = fingerprint(environments, config.seed, load_tokenizer(model.path))
    digests = {"train": digest(splits[0].examples), "validation": digest(splits[1].examples)}
    folder.write_fingerprint({**found, "rows": digests}, changed or not resume)
    sandbox = check_sandbox(config.sandbox, environments, config.seed) if environments else None
    warn_if_weak(sandbox)
    if environments and not config.rollout.inline:
        close_sandbox()  # the workers open their own
    async with AsyncExitStack() as closing:  # closes the trainer first, and the pool whatever is raised
        pool = _open_pool(config, model, closing, progress, folder.events) if environments else None
        if pool is None and config.trainer.ranks > 1:
            _start_ray(config, closing)
        closing.callback(progress.phase, "stopping")
        progress.phase(loading(config.trainer.compile))
        tuner = Tuner(config, environments, folder, progress, pool, model, state, splits)
        closing.push_async_callback(tuner.close)
        if isinstance(config, DpoConfig):  # before the checkpoint is loaded: the reference is the initial model
            tuner.keep_reference("-".join(digests.values()))
        if begun:
            tuner.learner.load(begun)
        tuner.rewind()
        folder.write_config(config)  # a resumed run may have new settings; only now, so a refused run changes nothing
        await tuner.run()
        summary = write_summary(folder, tuner.config, tuner.state, sandbox, tuner.alerts.given, tuner.stopped_by)
        summary |= tuner.results()
        folder.write_summary(summary)
        return summary


class Tuner(RunLoop):
    """The loop over batches of rows.

    Args:
        splits: the rows that are trained on, and those for validation.
    """

    config: TuneConfig
    between = ""

    def __init__(
        self,
        config: TuneConfig,
        environments: Sequence[Environment],
        folder: RunFolder,
        progress: Progress,
        pool: Pool | None,
        model: ModelConfig,
        state: RunState,
        splits: tuple[Rows[Any], Rows[Any]],
    ) -> None:
        rows, data = splits[0].examples, config.data
        lengths = [sum(sample.tokens.size for sample in example.samples) for example in rows]
        self.batches = Batches(lengths, data.batch, data.batch_tokens, config.seed, data.shuffle)
        steps = config.trainer.steps or self.batches.steps(data.epochs)
        config = config.model_copy(update={"trainer": config.trainer.model_copy(update={"steps": steps})})
        super().__init__(config, environments, folder, progress, pool, model, state)
        self.splits, self.rows, self.validation = splits, rows, splits[1].examples
        every = [sample for example in (*self.rows, *self.validation) for sample in example.samples]
        check_tokens(max(int(sample.tokens.max()) for sample in every), self.learner.vocabulary)
        self.order = self.batches.after(state.step)
        self.compute = AsyncLearner(self.learner, apart=False)
        self.tuning: Tuning = (
            ByPreference(self.compute, config.dpo) if isinstance(config, DpoConfig) else Supervised(self.compute)
        )
        self.saver = Saver(folder.path, folder.checkpoints, self.compute, self.renderer, config.trainer.keep, _nothing)
        if pool is not None:
            tolerance = config.trainer.probe_tolerance or PROBE_TOLERANCE[config.model.dtype]
            probe = rows[0].samples[0].tokens[: config.model.context - 1]
            self.weights = WeightSync(pool, self.compute, probe, tolerance)
        self.sinks = self.open_sinks()

    def keep_reference(self, name: str) -> None:
        """Give all pairs the logprobs of the model as it is now, or those that the file of this ``name`` holds."""
        count = len(self.rows)
        self.progress.phase("computing the reference's logprobs", count + len(self.validation), label="pairs")
        pairs = with_reference(
            [*self.rows, *self.validation],
            self.learner,
            self.folder.path / f"reference-{name}.npy",
            lambda done: self.progress.advance(done, [], line=False),
        )
        self.rows, self.validation = pairs[:count], pairs[count:]

    async def run(self) -> None:
        """Train until the run is finished and its last checkpoint is written."""
        self.folder.events.note("started", step=self.state.step, resumed=self.resumed)
        self.control.listen()
        if self.pool is not None:
            self.progress.phase(waiting(self.config.rollout))
            await self.weights.meet_engines(self.learner.vocabulary)
        if self.resumed:
            self.progress.training(self.state.step, self.config.trainer.steps)
        else:
            await self.begin()
        await self.take_steps()
        self.progress.phase("writing the last checkpoint and the summary")
        await self.saver.wait()
        self.state = self.snapshot()

    async def begin(self) -> None:
        """Evaluate and save before the first step."""
        self.progress.phase("evaluating before the first step")
        row = await self.evaluate()
        self.progress.training(0, self.config.trainer.steps)
        if row:
            self.log_metrics(0, row)
            self.progress.update(0, row)
        await self.save()

    async def step(self) -> None:
        """Take one step on the next batch."""
        start, number = time.perf_counter(), self.state.step + 1
        epoch, chosen = next(self.order)
        examples = [self.rows[place] for place in chosen]
        samples = [sample for example in examples for sample in example.samples]
        forward = float(sum(sample.tokens.size for sample in samples))
        lr = learning_rate(self.config.trainer, self.state.step)
        with self.clock.phase("update"), prefix_errors(f"step {number}"):
            self.settled = None
            metrics = await self.tuning.step(examples, lr)
        seconds = time.perf_counter() - start
        metrics |= {
            "lr": lr,
            "epoch": epoch,
            "rows": float(len(examples)),
            "tokens/trained": float(sum(int(sample.mask.sum()) for sample in samples)),
            "tokens/forward": forward,
            "rate/tokens_per_s": forward / seconds,
            "time/step": seconds,
            "memory/trainer_gib": self.learner.memory(),
            **self.learner.scale.throughput(forward, seconds),
        }
        self.state = replace(self.state, step=number)
        self.folder.events.note("step", step=number, version=self.state.version)
        self.folder.events.flush()
        await self.after_step(metrics)

    async def measure(self) -> Metrics:
        """Return the metrics on the validation rows and the held-out tasks."""
        metrics: Metrics = {}
        if self.validation:
            found = await self.tuning.evaluate(self.validation)
            metrics |= {f"{VALIDATION}{name}": value for name, value in found.items()}
        if self.pool is not None:
            metrics |= await self.publish()
        return metrics | await super().measure()

    def value(self, metrics: Metrics) -> float | None:
        """Return ``eval.metric``; without environments, the loss on the validation rows.

        The loss is a negative number, because the state keeps the highest value as the best.
        """
        if self.pool is None and self.validation:
            return -metrics[f"{VALIDATION}loss"]
        return super().value(metrics)

    def results(self) -> Summary:
        """Return what the summary has beside that of every run."""
        rows = self.folder.metrics()
        losses = [row[f"{VALIDATION}loss"] for row in rows if row.get(f"{VALIDATION}loss") is not None]
        found: Summary = {
            "rows": {"train": self.splits[0].to_json(), "validation": self.splits[1].to_json()},
            "validation_start": losses[0] if losses else None,
            "validation_final": losses[-1] if losses else None,
            "validation_best": min(losses, default=None),
        }
        if self.pool is None:  # the state then holds the loss on the validation rows
            found |= {"metric": f"{VALIDATION}loss", "heldout_start": None, "heldout_final": None, "heldout_best": None}
        return found


def _read(config: TuneConfig, model: ModelConfig, progress: Progress) -> tuple[Rows[Any], Rows[Any]]:
    """The rows that are trained on, and those for validation."""
    read: Any = read_pair if isinstance(config, DpoConfig) else read_demonstration
    splits = read_splits(config.data, model.context, config.seed, Renderer.load(model.path), read)
    for name, rows in zip(("training", "validation"), splits, strict=True):
        if rows.examples:
            progress.note(f"{name}: {rows}")
    return splits


def _open_pool(
    config: TuneConfig, model: ModelConfig, closing: AsyncExitStack, progress: Progress, events: EventLog
) -> Pool:
    progress.phase(starting(config.rollout, address=config.cluster.address))
    pool = open_pool(pool_spec(config, model), events)
    closing.push_async_callback(pool.close)
    return pool


def _start_ray(config: TuneConfig, closing: AsyncExitStack) -> None:
    """Start Ray for the ranks of the trainer, which the pool of a run with environments does."""
    from ..rollout.cluster.session import Session

    actors = Actors(ranks=config.trainer.ranks, gpus_per_rank=config.trainer.gpus_per_rank)
    closing.callback(Session(config.cluster, actors).close)


async def _nothing(state: RunState) -> None:
    """What is left to do once a checkpoint is complete."""
