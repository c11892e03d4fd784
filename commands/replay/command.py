"""``lachesis replay``, from the command line to its exit code."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ...trainer.overrides import parts_of
from ...verifiers.errors import ConfigError
from ..arguments import PASS_ON, split_one
from .episodes import record, replay


@click.command("replay", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="FILE [--config.key VALUE]...")
@click.option(
    "--record",
    "source",
    metavar="SOURCE",
    help="Write FILE instead, from an environment, a run's folder or an evaluation.",
)
@click.option("--tasks", type=click.IntRange(1), default=16, show_default=True, help="With --record: tasks to record.")
@click.option("--jobs", type=click.IntRange(1), default=16, show_default=True, help="Episodes played at the same time.")
@click.option("--events", is_flag=True, help="FILE is a run's folder: train its recorded batches again instead.")
@click.option("--from", "begin", type=click.IntRange(0), metavar="STEP", help="With --events: begin with a checkpoint.")
def command(words: Sequence[str], source: str | None, tasks: int, jobs: int, events: bool, begin: int | None) -> None:
    """Play recorded replies again, or train a run's recorded batches again, and show differences.

    FILE is a recording, which --record writes, a run's folder, or an evaluation's file. The replies are played with the
    environment as it is now, and every difference is shown. The exit code is 1 if there are any.

    With --events, the run's stored trajectories are trained again in the order and with the learning rates of its event
    log, and compared with what the run recorded and with its checkpoints.
    """
    file, overrides = split_one(words, "FILE")
    config = parts_of(overrides, config={})["config"]
    if events and (source or config):
        raise ConfigError("--events trains with the settings of the run; leave out --record and --config.key")
    if begin is not None and not events:
        raise ConfigError("--from names a checkpoint of the run that --events trains again; add --events")
    if events:
        from .training import retrain  # only now: it imports torch

        sys.exit(0 if retrain(Path(file), begin) else 1)
    if source:
        click.echo(f"{record(Path(file), source, tasks, config)} episodes recorded in {file}")
        return
    if config:
        raise ConfigError("settings are part of the recording; give --config.key together with --record")
    sys.exit(1 if replay(Path(file), jobs) else 0)
