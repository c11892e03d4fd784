"""The main job: rollouts, advantages, a GRPO step, new weights for the engines; again until it is done."""

import itertools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from ..rollout.chats.renderer import Renderer
from ..rollout.config import ModelConfig
from ..rollout.dispatcher import Dispatcher
from ..rollout.engines.engine import Sampling
from ..rollout.models.loading import load_tokenizer
from ..rollout.tasks.mixture import Draw, Mixture
from ..rollout.workers.agents import AgentPolicies
from ..rollout.workers.opening import open_pool
from ..rollout.workers.pool import Pool, PoolSpec
from ..verifiers.errors import ConfigError, EngineError, InfrastructureError
from ..verifiers.group import Group
from ..verifiers.sandbox.shared import close_sandbox
from .config import RunConfig
from .learner.opening import open_learner
from .learner.packing import Sample, samples_of
from .learner.schedule import learning_rate
from .run import checkpoint
from .run.alerts import Symptoms
from .run.checkpoint import Position
from .run.containment import Containment, containment, warn_of
from .run.fingerprint import fingerprint
from .run.folder import RunFolder
from .run.held_out import HeldOut
from .run.metrics import Metrics, advantage_metrics, scoring_seconds, step_metrics, version_age
from .run.model import own_model
from .run.progress import Progress
from .run.saver import Saver
from .run.step_record import recorded
from .run.warm_start import demonstration_samples, opening

log = logging.getLogger("lachesis")

PROBE_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.5}
"""Largest difference of logprobs, trainer against engine, that kernels may cause."""

PHASES = ("generation", "scoring", "update", "weight_sync", "evaluation", "warm_start")


async def train(
    config: RunConfig, folder: RunFolder, progress: Progress, resume: bool = False, changed: bool = False
) -> dict[str, Any]:
    """Run the main job in ``folder`` and return its summary.

    Args:
        config: of the run.
        folder: where it goes.
        progress: is told how it goes.
        resume: go on from the newest checkpoint.
        changed: whether a resumed run's environments may be others than it was begun with.

    Raises:
        LachesisError: with one clear line; checkpoints written so far stay.
    """
    resumed = checkpoint.latest(folder.checkpoints) if resume else None
    model = own_model(config.model, config.seed, folder.path)
    specs = tuple(entry.spec() for entry in config.environments)
    environments = [spec.build() for spec in specs]
    folder.write_fingerprint(fingerprint(environments, config.seed, load_tokenizer(model.path)), changed or not resume)
    held = containment(config.sandbox, environments, config.seed)
    warn_of(held)
    if not config.rollout.inline:
        close_sandbox()  # the workers have their own
    agents = tuple(entry.agents for entry in config.environments)
    spec = PoolSpec(model, config.rollout, specs, sandbox=config.sandbox, agents=agents)
    if not spec.needs_engine:
        raise ConfigError("every agent is played through a URL, so nothing is trained; leave one agent's url out")
    pool = open_pool(spec)
    run = None
    try:
        run = _Run(config, folder, progress, pool, model, resumed, held)
        folder.write_config(config)  # what a resumed run was told anew; a run that is refused changes nothing
        await run.check_engines()
        await run.publish()
        if not resumed:
            await run.warm_start()
            await run.begin()
        progress.phase("training")
        while not run.finished:
            await run.step()
        await run.saver.sealed()
        return run.summary()
    finally:
        if run:
            await run.close()
        await pool.close()


class _Run:
    """What the main job holds while it runs."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        progress: Progress,
        pool: Pool,
        model: ModelConfig,
        resumed: Path | None,
        held: Containment | None,
    ) -> None:
        self.held = held
        self.config, self.folder, self.progress, self.pool = config, folder, progress, pool
        self.started = time.perf_counter()
        self.environments = [entry.spec().build() for entry in config.environments]
        self.learners = [
            AgentPolicies(environment, entry.agents).learners
            for environment, entry in zip(self.environments, config.environments, strict=True)
        ]
        self.learner = open_learner(model, config.trainer, config.rollout.sampling.max_tokens)
        if resumed:
            self._keep_reference()
        self.renderer = Renderer.load(model.path)
        self.saver = Saver(folder.path, folder.checkpoints, self.learner, self.renderer, config.trainer.keep)
        self.position = self._rewound(resumed)
        self.before = self._fact("seconds")
        self.seconds = {phase: self._fact(f"seconds/{phase}") for phase in PHASES}
        self.tokens_generated = int(self._fact("tokens_generated"))
        self.mixture = self._mixture(config.seed)
        if self.position.mixture:
            self.mixture.restore(self.position.mixture)
        self.dispatcher = self._dispatcher()
        reply = config.eval.max_tokens or config.rollout.sampling.max_tokens
        self.heldout = HeldOut(self.environments, config.seed, config.eval.tasks, reply)
        self.probe = self._probe()
        self.symptoms = Symptoms(folder.metrics())

    @property
    def finished(self) -> bool:
        """Whether the steps are done or the goal is reached."""
        reached = self._fact("heldout_final") >= self.config.eval.stop_at
        return self.position.step >= self.config.trainer.steps or reached

    async def check_engines(self) -> None:
        """Raise ``ConfigError`` where engines have other tokens than the trainer."""
        for info in await self.pool.infos():
            if info.vocabulary != self.learner.vocabulary:
                raise ConfigError(
                    f"a {info.name} engine has a vocabulary of {info.vocabulary} tokens, and the trainer's model one "
                    f"of {self.learner.vocabulary}; leave the vocabulary out of rollout.engine_options"
                )

    async def warm_start(self) -> None:
        """Supervised steps on demonstrations, until held-out accuracy first reaches its target."""
        settings = self.config.warm_start
        if not settings.steps:
            return
        self.progress.phase("warm start", settings.steps)
        draws = iter(self._mixture(self.config.seed + 1))
        taken = 0
        for taken in range(1, settings.steps + 1):
            with self._timed("warm_start"), _named(f"warm start, step {taken}"):
                drawn = itertools.islice(draws, settings.batch)
                batch = [sample for draw in drawn for sample in await self._demonstration(draw)]
                metrics = self.learner.supervised_step(batch, settings.lr)
            row = {"warm_start/loss": metrics["loss"]}
            if taken % settings.every == 0 or taken == settings.steps:
                await self.publish()
                row |= await self.evaluate()
            self.folder.log_metrics(taken - settings.steps - 1, row)  # 0 is the state after the last of them
            self.progress.update(taken, row)
            if row.get("heldout/accuracy", 0.0) >= settings.target:
                break
        self.learner.reset_optimizer()
        self._learn_fact("warm_start_steps", float(taken))

    async def begin(self) -> None:
        """The state before the first GRPO step, evaluated and saved."""
        self._keep_reference()
        row = await self.evaluate()
        self._learn_fact("heldout_start", row["heldout/accuracy"])
        self._judged(row["heldout/accuracy"])
        self.folder.log_metrics(0, row)
        self.progress.update(0, row)
        await self.save()

    def _keep_reference(self) -> None:
        """Where the loss asks for it: the policy after the warm start, in the run's folder."""
        if self.learner.objective.needs_reference:
            self.learner.keep_reference(self.folder.path / "reference")

    async def step(self) -> None:
        """One step of the algorithm, logged."""
        config = self.config.trainer
        start = time.perf_counter()
        wait = await self.dispatcher.next_step()
        scoring = scoring_seconds(wait.groups) / self._workers
        self.seconds["generation"] += max(0.0, wait.seconds - scoring)
        self.seconds["scoring"] += scoring
        metrics: Metrics = {**step_metrics(wait, [env.label for env in self.environments]), **self.mixture.metrics()}
        metrics["staleness"] = float(version_age(wait.groups, self.position.version))
        with self._timed("update"), _named(f"step {self.position.step + 1}"):
            samples = samples_of(wait.groups, config.advantage, self.config.model.context, config.loss.overlong)
            if not metrics["tokens/sampled"]:
                raise ConfigError(
                    f"step {self.position.step + 1}: no reply has a token, so there is nothing to learn from; does the "
                    "environment's run() ask the policy for a reply?"
                )
            lr = learning_rate(config, self.position.step)
            begun = time.perf_counter()
            metrics |= {**self.learner.policy_step(samples, lr), "lr": lr}
            metrics |= self.learner.scale.throughput(metrics["tokens/forward"], time.perf_counter() - begun)
            metrics |= {**advantage_metrics(samples), "memory/trainer_gib": self.learner.memory()}
        self.position = replace(self.position, step=self.position.step + 1, admitted=self.dispatcher.position)
        metrics |= await self.publish()
        self.tokens_generated += int(metrics["tokens/sampled"])
        await self._after_step(metrics, recorded(wait.groups, samples, self.learner.logprobs), start)

    async def _after_step(self, metrics: Metrics, groups: tuple[Group, ...], start: float) -> None:
        """Evaluate, log and save where they are due."""
        step = self.position.step
        last = step == self.config.trainer.steps
        metrics["time/step"] = time.perf_counter() - start
        metrics["rate/tokens_per_s"] = metrics["tokens/sampled"] / metrics["time/step"]
        better = False
        if last or (self.config.eval.every and step % self.config.eval.every == 0):
            metrics |= await self.evaluate()
            better = self._judged(metrics["heldout/accuracy"])
        metrics |= {f"time/{phase}": seconds for phase, seconds in self.seconds.items()}
        self.folder.log_metrics(step, metrics)
        for sign in self.symptoms.seen(metrics):
            log.warning("step %d: %s", step, sign)
        self.folder.log_trajectories(step, groups)
        self.progress.update(step, metrics)
        if self.finished or better or step % self.config.trainer.checkpoint_every == 0:
            await self.save()
        await self.saver.check()

    async def close(self) -> None:
        """End what goes on beside the steps."""
        self.saver.cancel()
        await self.dispatcher.close()
        self.learner.close()

    async def publish(self) -> Metrics:
        """Give the engines the learner's weights under a new version, and prove that they arrived and took effect.

        Raises:
            EngineError: a checksum or the probe's logprobs differ.
        """
        with self._timed("weight_sync"):
            version = self.position.version + 1
            shipment = self.learner.send(self.pool.sender(), version)
            await self.pool.publish(shipment)
            self.position = replace(self.position, version=version)
            self.dispatcher.trained(version)
            expected = self.learner.compute_logprobs(self.probe)[1:]
            answers = await self.pool.compute_logprobs(self.probe)
            gap = float(np.max([np.abs(answer[1:] - expected).max() for answer in answers]))  # NaN where any is
        allowed = self.config.trainer.probe_tolerance or PROBE_TOLERANCE[self.config.model.dtype]
        if not gap <= allowed:
            raise EngineError(
                f"weights version {version} arrived whole but have no effect: the probe's logprobs differ by {gap:.3g} "
                f"(trainer against engine, allowed {allowed:g}); check the engine's support for this model, or set "
                "trainer.probe_tolerance"
            )
        return {"probe_gap": gap, "version": float(version)}

    async def evaluate(self) -> Metrics:
        """Held-out scores under the current weights: greedy, one attempt a task."""
        with self._timed("evaluation"):
            return await self.heldout.evaluate(self.pool, self.position.version)

    def _judged(self, accuracy: float) -> bool:
        """Note how the current weights did on held-out tasks; whether none did better before."""
        better = accuracy > self._fact("heldout_best", -1.0)
        self._learn_fact("heldout_final", accuracy)
        if better:
            self._learn_fact("heldout_best", accuracy)
            self._learn_fact("heldout_best_step", float(self.position.step))
        return better

    async def save(self) -> None:
        """Begin a checkpoint; the training goes on while it is written.

        Raises:
            InfrastructureError: the disk refuses; earlier checkpoints stay.
        """
        self._learn_fact("seconds", self._wall())
        self._learn_fact("tokens_generated", float(self.tokens_generated))
        for phase, seconds in self.seconds.items():
            self._learn_fact(f"seconds/{phase}", seconds)
        self.position = replace(self.position, mixture=self.mixture.state)
        await self.saver.begin(self.position)

    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` holds, over all sittings of the run; written, and the curve drawn."""
        facts = self.position.facts
        mismatches = [row["mismatch_kl"] for row in self.folder.metrics() if row.get("mismatch_kl") is not None]
        summary: dict[str, Any] = {
            "engine": self.config.rollout.engine,
            "seed": self.config.seed,
            "steps": self.position.step,
            "warm_start_steps": int(self._fact("warm_start_steps")),
            "wall_s": round(self._wall(), 2),
            "heldout_start": facts.get("heldout_start"),
            "heldout_final": facts.get("heldout_final"),
            "tokens_generated": self.tokens_generated,
            "mismatch_kl": fmean(mismatches) if mismatches else None,
            "phases": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "sandbox": self.held.to_json() if self.held else None,
            "checkpoint": str(checkpoint.latest(self.folder.checkpoints)),
        }
        self.folder.write_summary(summary)
        self.folder.plot(self.config.eval.stop_at)
        return summary

    def _rewound(self, resumed: Path | None) -> Position:
        """Where the run goes on; what was logged after that is cut off, and its versions are not used again."""
        rows = self.folder.metrics()
        if not resumed:
            self.folder.rewind(min((row["step"] for row in rows), default=0) - 1)
            return Position(0, -1, 0, {})
        position = checkpoint.position_of(resumed)
        self.learner.load(resumed)
        self.folder.rewind(position.step)
        newest = max([position.version, *(int(row.get("version") or 0) for row in rows)])
        return replace(position, version=newest + 1)  # that one may have been published, but not logged

    @property
    def _workers(self) -> int:
        return 1 if self.config.rollout.inline else self.config.rollout.workers

    def _dispatcher(self) -> Dispatcher:
        settings, trainer = self.config.rollout, self.config.trainer
        sampling = Sampling(**settings.sampling.model_dump())
        return Dispatcher(
            self.pool,
            self.mixture,
            seed=self.config.seed,
            sampling=sampling,
            prompts=trainer.prompts,
            staleness=settings.staleness,
            start=self.position.admitted,
            chunks=self._workers * (4 if settings.staleness else 1),  # a synchronous step waits for all of them anyway
            on_failure=settings.on_failure,
            learn=self.mixture.learn,
            refill=int(trainer.refill * trainer.prompts) if trainer.zero_variance == "refill" else 0,
        )

    def _mixture(self, seed: int) -> Mixture:
        portions = [entry.portion() for entry in self.config.environments]
        return Mixture(self.environments, portions, "train", seed)

    async def _demonstration(self, draw: Draw) -> list[Sample]:
        environment, learners = self.environments[draw.environment], self.learners[draw.environment]
        samples = await demonstration_samples(environment, draw.task, self.renderer, learners)
        longest = max(sample.tokens.size for sample in samples)
        if longest > self.config.model.context:
            raise ConfigError(
                f"the demonstration of task {draw.task.id} has {longest} tokens, more than model.context = "
                f"{self.config.model.context}; raise it, or set warm_start.steps = 0"
            )
        return samples

    def _probe(self) -> npt.NDArray[np.int32]:
        """A fixed prompt and the first reply of its demonstration, cut to the context."""
        draw = next(iter(self._mixture(self.config.seed)))
        tokens = opening(self.environments[draw.environment], draw.task, self.renderer)
        vocabulary = self.learner.vocabulary
        if tokens.max() >= vocabulary:
            raise ConfigError(
                f"the tokenizer of {self.config.model.path!r} gives token {tokens.max()}, but its model has "
                f"only {vocabulary}; give a tokenizer and a model of one kind"
            )
        return tokens[: self.config.model.context - 1]

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - start

    def _wall(self) -> float:
        """Seconds of this sitting and of those before its checkpoint."""
        return self.before + time.perf_counter() - self.started

    def _fact(self, name: str, default: float = 0.0) -> float:
        return self.position.facts.get(name, default)

    def _learn_fact(self, name: str, value: float) -> None:
        self.position = replace(self.position, facts={**self.position.facts, name: value})


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Say where in the run the machinery failed."""
    try:
        yield
    except InfrastructureError as error:
        raise InfrastructureError(f"{place}: {error}") from error
