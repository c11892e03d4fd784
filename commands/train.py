"""``lachesis train``: a run begun or resumed, from the command line to its summary."""

from collections.abc import Sequence

import click

from ..trainer.config import RunConfig
from .arguments import PASS_ON
from .training_run import Resumption, Start, checked_config, run


@click.command("train", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="CONFIG [--part.key VALUE]...")
@click.option("--inline", is_flag=True, help="Run everything in this process, without Ray, so that breakpoints work.")
@click.option("--resume", metavar="RUN", help="Continue the run in this folder; CONFIG may then be left out.")
@click.option("--changed", is_flag=True, help="With --resume: continue even if an environment has changed since.")
def command(words: Sequence[str], inline: bool, resume: str | None, changed: bool) -> None:
    """Train the model that CONFIG (a TOML file) describes.

    Options such as --trainer.lr 1e-5 override its settings; docs/settings.md lists them. The results go into the new
    folder runs/NAME-K. The exit code is 3 if an alert of trainer.stop_on ended the run.
    """
    resumption = Resumption(resume, changed)
    config = checked_config(RunConfig, words, resumption, ["--rollout.inline=true"] * inline)
    run(config, resumption, _start, ("train", "test"))  # it is evaluated on the held-out tasks of what it plays


def _start() -> Start:
    from ..trainer.train import train

    return train
