"""``lachesis train``: a run begun or resumed, from the command line to its summary."""

import sys
from collections.abc import Sequence

import click
from click.core import ParameterSource

from ...trainer.config import RunConfig
from ...verifiers.errors import ConfigError
from ..arguments import PASS_ON
from ..terminal import printable
from .training_run import Resumption, Start, checked_config, run


@click.command("train", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="CONFIG [--part.key VALUE]...")
@click.option("--inline", is_flag=True, help="Run everything in this process, without Ray, so that breakpoints work.")
@click.option("--resume", metavar="RUN", help="Continue the run in this folder; CONFIG may then be left out.")
@click.option("--changed", is_flag=True, help="With --resume: continue even if an environment has changed since.")
@click.option("--supervise", is_flag=True, help="Run it in a process of its own, and resume it whenever that is lost.")
@click.option(
    "--restarts",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="With --supervise: restarts in a row without a newer checkpoint.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=1),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="With --supervise: a run without progress for this long, or for ten of its steps, is restarted.",
)
def command(
    words: Sequence[str],
    inline: bool,
    resume: str | None,
    changed: bool,
    supervise: bool,
    restarts: int,
    patience: float,
) -> None:
    """Train the model that CONFIG (a TOML file) describes.

    Options such as --trainer.lr 1e-5 override its settings; docs/settings.md lists them. The results go into the new
    folder runs/NAME-K. The exit code is 3 if an alert of trainer.stop_on ended the run.
    """
    if supervise:
        options = ["--inline"] * inline + ["--changed"] * changed
        sys.exit(_supervised([*options, *words], resume, restarts, patience))
    for name in ("restarts", "patience"):
        if click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise ConfigError(f"--{name} is of no use without --supervise; add it")
    resumption = Resumption(resume, changed)
    config = checked_config(RunConfig, words, resumption, ["--rollout.inline=true"] * inline)
    run(config, resumption, _start, ("train", "test"))  # it is evaluated on the held-out tasks of what it plays


def _supervised(words: Sequence[str], resume: str | None, restarts: int, patience: float) -> int:
    """The exit code of a run that is restarted whenever it is lost."""
    from ...trainer.run.supervision.supervisor import Supervisor

    def say(line: str) -> None:
        click.echo(printable(f"lachesis: {line}"), err=True)

    command = [sys.executable, "-P", "-m", f"{__package__.rpartition('.')[0]}.cli", "train", *words]
    return Supervisor(command, resume, restarts, patience, say).supervise()


def _start() -> Start:
    from ...trainer.train import train

    return train
