"""A run's recorded batches, trained again, and the first difference from the run."""

import tempfile
from pathlib import Path

import click

from ...trainer.config import RunConfig
from ...trainer.run.progress import counting
from ...trainer.run.replay.retraining import Retraining
from ...trainer.run.storage.reader import CONFIG, Run
from ...trainer.tune_config import kind_of
from ...verifiers.errors import ConfigError
from ...verifiers.processes.temporary import own_prefix
from ..terminal import printable


def retrain(path: Path, begin: int | None) -> bool:
    """Train the recorded batches of the run in ``path`` again, and print the first difference of each kind.

    Args:
        path: the run's folder.
        begin: the step of the checkpoint to begin with; None for the initial model.

    Returns:
        Whether everything is the same, bit for bit.

    Raises:
        LachesisError: there is no such run, or it cannot be trained again.
    """
    run = Run(path)
    if kind_of(path / CONFIG) is not RunConfig:
        raise ConfigError(
            f"{path} was trained on rows and has no rollouts; only runs of lachesis train can be replayed"
        )
    numbers, weights, equal, taken = "", "", [], 0
    with tempfile.TemporaryDirectory(prefix=own_prefix("replay")) as scratch:
        retraining = Retraining(run, Path(scratch))
        with counting("training again", retraining.count(begin)) as tick:
            for one in retraining.steps(begin):
                taken += one.step > 0
                tick(int(one.step > 0))
                if one.numbers and not numbers:
                    numbers = f"step {one.step}: {one.numbers}"
                    click.echo(printable(numbers))
                if one.weights:
                    weights = f"the checkpoint of step {one.step} differs: {one.weights}"
                    click.echo(printable(weights))
                    break
                equal += [one.step] if one.weights == "" else []
    steps = f"steps {', '.join(map(str, equal))}" if equal else "none"
    click.echo(f"{taken} steps trained again; checkpoints that are equal bit for bit: {steps}")
    return not numbers and not weights
