"""Trains the recorded batches of a run again, step by step, on one rank and the CPU."""

import asyncio
import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ....environments.environment import Environment
from ....rollout.chats.renderer import Renderer
from ....rollout.config import ModelConfig
from ....rollout.models.tokenizer import load_tokenizer
from ....verifiers.errors import ConfigError, DataError
from ....verifiers.group import Group
from ....verifiers.rows.jsonl import read_json
from ....verifiers.sandbox.shared import configure_sandbox
from ...config import RunConfig
from ...learner.factory import open_learner
from ...learner.learner import Learner
from ..generation import open_mixture
from ..model import prepare_model
from ..parts import part_samples, part_sizes
from ..step_record import RECORDED
from ..storage.checkpoint import damage
from ..storage.fingerprint import differences, fingerprint
from ..storage.reader import Run
from ..warm_start import Demonstrations
from .comparison import checkpoint_difference, metrics_difference, step_difference
from .history import History

log = logging.getLogger("lachesis")


class Retrained(NamedTuple):
    """One step that was trained again; step 0 is the start: the warm start, or the checkpoint to begin with.

    Attributes:
        step: its number.
        numbers: the first difference from the advantages, logprobs and metrics that the run recorded; empty if there
            is none.
        weights: the first difference from the run's checkpoint of the step; empty if there is none, None if there is
            no such checkpoint.
    """

    step: int
    numbers: str
    weights: str | None


class Retraining:
    """A run's training, repeated from its stored trajectories and its event log; the run's folder stays as it is.

    Args:
        run: the run.
        scratch: an empty folder for the weights that are compared.

    Raises:
        InputError: the run cannot be trained again; the message says why.
    """

    def __init__(self, run: Run, scratch: Path) -> None:
        self._run, self._scratch = run, scratch
        self._history = History(run.path)
        self._rows = {row["step"]: row for row in run.metrics()}
        self._checkpoints = {int(path.name.removeprefix("step-")): path for path in run.checkpoints()}
        self._steps = [step for step in run.steps() if step > 0]
        self._last = max([*self._steps, *self._rows], default=0)  # a row is written after the step's trajectories
        self._config = self._history.config(0)
        self._learner: Learner | None = None
        self._reference = scratch / "reference"

    def count(self, begin: int | None = None) -> int:
        """Return how many steps there are after ``begin``."""
        return max(0, self._last - (begin or 0))

    def steps(self, begin: int | None = None) -> Iterator[Retrained]:
        """Train each stored step again, in order.

        Args:
            begin: the step of the checkpoint to begin with; None repeats the warm start of the initial model.

        Raises:
            LachesisError: a step cannot be trained again.
        """
        if begin is not None and begin not in self._checkpoints:
            known = ", ".join(map(str, self._checkpoints)) or "none"
            raise ConfigError(f"{self._run.path} has no checkpoint of step {begin}; choose one of: {known}")
        if begin is not None and (fault := damage(self._checkpoints[begin])):
            raise DataError(f"cannot begin with the checkpoint of step {begin}: {fault}; choose another one")
        expected = range((begin or 0) + 1, self._last + 1)
        if missing := sorted(set(expected) - set(self._steps)):
            raise DataError(f"{self._run.path}: the trajectories of step {missing[0]} are missing; {_RESTORE}")
        try:
            yield from self._begun(begin)
            for step in expected:
                yield self._step(step)
        finally:
            if self._learner is not None:
                self._learner.close()

    def _begun(self, begin: int | None) -> Iterator[Retrained]:
        self._config = self._history.config(0 if begin is None else begin + 1)
        learner, model = self._open(self._config)
        difference = ""
        if begin is None:
            difference = self._warm_start(learner, model)
        else:
            learner.load(self._checkpoints[begin])
            if (kept := self._run.path / "reference").exists():
                self._reference = kept
        self._keep_reference(learner)
        if begin is None:
            yield Retrained(0, difference, self._compared(0))

    def _open(self, config: RunConfig) -> tuple[Learner, ModelConfig]:
        if config.trainer.ranks > 1:
            raise ConfigError(
                f"trainer.ranks = {config.trainer.ranks}: the sums over several ranks cannot be repeated bit for bit; "
                "only runs of one rank can be trained again"
            )
        model = prepare_model(config.model, config.seed, self._run.path, resumed=True)
        trainer = config.trainer.model_copy(update={"device": "cpu"})
        self._learner = open_learner(model, trainer, config.rollout.sampling.max_tokens)
        return self._learner, model

    def _warm_start(self, learner: Learner, model: ModelConfig) -> str:
        """Take the supervised steps that the run took; return the first difference from the recorded losses."""
        taken = sorted(step for step in self._rows if step < 0)
        if not taken:
            return ""
        config = self._config
        configure_sandbox(config.sandbox)
        environments = config.build_environments()
        self._warn_of_changes(environments, model)
        demonstrations = Demonstrations(environments, config, Renderer.load(model.path))
        draws = open_mixture(config, environments, config.seed + 1, played=True)
        difference = ""
        with asyncio.Runner() as runner:
            for step in taken:
                batch = runner.run(demonstrations.batch(draws, config.warm_start.batch))
                loss = learner.supervised_step(batch, config.warm_start.lr)["loss"]
                found = metrics_difference({_WARM_LOSS: loss}, self._rows[step], [_WARM_LOSS])
                difference = difference or (found and f"warm start, step {step - taken[0] + 1}: {found}")
        learner.reset_optimizer()
        return difference

    def _warn_of_changes(self, environments: Sequence[Environment], model: ModelConfig) -> None:
        kept = self._run.path / "fingerprint.json"
        if not kept.is_file():
            return
        now = fingerprint(environments, self._config.seed, load_tokenizer(model.path))
        for change in differences(read_json(kept, "delete it; then nothing is compared"), now):
            log.warning("the warm start may differ, because an environment has changed since: %s", change)

    def _step(self, step: int) -> Retrained:
        config = self._history.config(step)
        if config != self._config:
            self._change(config)
        assert self._learner is not None
        trained, groups = self._history.trained(step), self._groups(step)
        if (found := tuple(group.index for group in groups)) != trained.groups:
            raise DataError(
                f"{self._run.path}, step {step}: the groups {trained.groups} were trained, but {found} are stored; "
                f"{_RESTORE}"
            )
        bare = [_without_record(group) for group in groups]
        ends = list(itertools.accumulate(part_sizes(len(bare), config.trainer.parts)))
        parts = [part_samples(bare[begin:end], config, begin) for begin, end in zip([0, *ends], ends, strict=False)]
        for part in parts[:-1]:
            self._learner.add_gradient(part)
        result = self._learner.policy_step(parts[-1], trained.lr)
        samples = [sample for part in parts for sample in part]
        numbers = step_difference(groups, samples, result, self._rows.get(step, {}))
        return Retrained(step, numbers, self._compared(step))

    def _groups(self, step: int) -> list[Group]:
        groups = []
        for index, rows in itertools.groupby(self._run.trajectories(step), key=lambda stored: stored.group):
            stored = list(rows)
            attempts = tuple(one.attempt for one in stored)
            trajectories = tuple(one.trajectory for one in stored)
            groups.append(Group(index, trajectories[0].task, trajectories, attempts))
        return groups

    def _change(self, config: RunConfig) -> None:
        """Go on with the settings of a later start, as a resumed run does: from a checkpoint."""
        assert self._learner is not None
        path = self._saved("change")
        self._learner.close()
        self._config = config
        learner, _ = self._open(config)
        learner.load(path)
        self._keep_reference(learner)

    def _keep_reference(self, learner: Learner) -> None:
        if learner.objective.needs_reference:
            learner.keep_reference(self._reference)

    def _compared(self, step: int) -> str | None:
        """Compare with the run's checkpoint of ``step``."""
        if step not in self._checkpoints:
            return None
        if fault := damage(self._checkpoints[step]):
            return fault
        return checkpoint_difference(self._saved(f"step-{step}"), self._checkpoints[step])

    def _saved(self, name: str) -> Path:
        assert self._learner is not None
        path = self._scratch / name
        path.mkdir()
        self._learner.save(path)
        while not self._learner.saved():
            time.sleep(0.01)
        return path


_RESTORE = "restore trajectories.jsonl.zst from a backup, or begin with a later checkpoint (--from)"
_WARM_LOSS = "warm_start/loss"


def _without_record(group: Group) -> Group:
    """Return the group as it was before the trainer's own numbers were added to its segments."""
    return replace(
        group,
        trajectories=tuple(
            replace(
                attempt,
                segments=tuple(
                    replace(
                        segment, extra={name: value for name, value in segment.extra.items() if name not in RECORDED}
                    )
                    for segment in attempt.segments
                ),
            )
            for attempt in group.trajectories
        ),
    )
