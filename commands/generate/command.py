"""The click command of ``lachesis generate``."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click

from ...rollout.training_rows.candidate import Kind
from ..arguments import PASS_ON, split
from ..eval.command import command as evaluate
from .generation import generate
from .recipe import recipe_of

_PLAYING = {"split": "train", "attempts": 4, "temperature": 1.0}
"""Defaults of the options that are those of ``lachesis eval``; the other options have eval's."""


@click.command("generate", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[ENV or RUN or EVAL or FOLDER]...")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the rows and their manifest.")
@click.option(
    "--rows",
    type=click.Choice(get_args(Kind)),
    default="messages",
    show_default=True,
    help="A conversation, one reply after its prompt, sampled tokens with labels, a chosen and a rejected reply, or "
    "the conversation that wrote a skill which helped later.",
)
@click.option(
    "--files", type=click.Choice(["jsonl", "parquet"]), default="jsonl", show_default=True, help="Format of the files."
)
@click.option(
    "--shard-rows", type=click.IntRange(1), default=50_000, show_default=True, help="Maximum number of rows in a file."
)
@click.option("--pack", type=click.IntRange(1), help="Put rows of tokens together, up to this many tokens.")
@click.option(
    "--replies",
    type=click.Choice(["parsed", "text"]),
    default="parsed",
    show_default=True,
    help="Calls and reasoning in fields of their own, or in the text.",
)
@click.option(
    "--reasoning",
    type=click.Choice(["keep", "strip", "close"]),
    default="keep",
    show_default=True,
    help="What becomes of reasoning; close cuts it at --budget.",
)
@click.option("--budget", type=click.IntRange(1), help="Tokens of reasoning, with --reasoning close.")
@click.option("--tokenizer", default="", help="Model that counts the budget's tokens. Default: --model.")
@click.option(
    "--choose",
    type=click.Choice(["best", "diverse", "random"]),
    default="best",
    show_default=True,
    help="Which attempts are taken if a task has more than --per-task.",
)
@click.option("--per-task", type=click.IntRange(1), help="Maximum number of rows (or pairs) of a task and agent.")
@click.option("--success", is_flag=True, help="Take successes only.")
@click.option("--least", type=float, help="Take total rewards from this one on.")
@click.option("--component", multiple=True, metavar="LABEL=MIN", help="Least score of a component; repeat for more.")
@click.option("--finished", is_flag=True, help="Take only episodes that no limit ended.")
@click.option(
    "--pass-rate",
    type=click.FloatRange(0, 1),
    nargs=2,
    metavar="LOW HIGH",
    help="Take only tasks with a share of successes in this range.",
)
@click.option(
    "--deduplicate",
    type=click.Choice(["exact", "near", "none"]),
    default="exact",
    show_default=True,
    help="Which duplicates are left out.",
)
@click.option(
    "--similarity",
    type=click.FloatRange(0, 1),
    default=0.8,
    show_default=True,
    help="Share of common n-grams from which on replies are near duplicates.",
)
@click.option("--agent", multiple=True, help="Take this agent's conversations only; repeat for more.")
@click.option(
    "--pairs",
    type=click.Choice(["best-worst", "all"]),
    default="best-worst",
    show_default=True,
    help="Which attempts are paired, with --rows preference.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Least difference of the rewards of a pair; never zero.",
)
@click.option(
    "--length-ratio", type=click.FloatRange(1), help="Most that one reply of a pair is longer than the other."
)
def command(words: Sequence[str], **options: Any) -> None:
    """Make training rows of an environment's episodes, or of those in a run or an evaluation.

    ENV is what lachesis eval takes: a name, module:Class, file.py, or a suite. Its train tasks are played with --model,
    and the attempts are kept in the file attempts.jsonl in --out: the same command continues after an interruption, and
    with other options of selection it only selects again. RUN is a run's folder, EVAL a file that eval wrote, and
    FOLDER is searched for both; nothing is played then.

    Settings are given as for eval: --config.key, --model.key, --rollout.key, --sampling.key, --endpoint.key,
    --agents.NAME.key, --sandbox.key and --cluster.key.
    """
    plain, overrides = split(words)
    generate(plain, overrides, recipe_of(options), options)


def _playing() -> list[click.Parameter]:
    """The options of ``lachesis eval``, besides its file, with the defaults that suit sampling."""
    found: list[click.Parameter] = []
    for parameter in evaluate.params:
        if isinstance(parameter, click.Option) and parameter.name != "out":
            parameter = copy.copy(parameter)
            parameter.default = _PLAYING.get(str(parameter.name), parameter.default)
            found.append(parameter)
    return found


command.params += _playing()
