"""``lachesis sft``: supervised training on rows, begun or resumed."""

from collections.abc import Sequence

import click

from ...trainer.tune_config import SftConfig
from ..arguments import PASS_ON
from .training_run import Resumption, tune_on


@click.command("sft", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="CONFIG [--part.key VALUE]...")
@click.option("--inline", is_flag=True, help="Play environments in this process, without Ray.")
@click.option("--resume", metavar="RUN", help="Continue the run in this folder; CONFIG may then be left out.")
@click.option("--changed", is_flag=True, help="With --resume: continue even if rows or an environment have changed.")
def command(words: Sequence[str], inline: bool, resume: str | None, changed: bool) -> None:
    """Train a model on the conversations that CONFIG (a TOML file) names.

    Its table [data] names a file or folder whose rows have messages, a prompt with a completion, or token ids with
    labels. If CONFIG names environments, the model is evaluated on their held-out tasks. Options such as --trainer.lr
    1e-5 override settings. The results go into the new folder runs/NAME-K.
    """
    tune_on(SftConfig, words, inline, Resumption(resume, changed))
