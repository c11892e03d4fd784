"""The click command of ``lachesis eval``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..arguments import PASS_ON, split_one
from .evaluation import evaluation_of, run_evaluation


@click.command("eval", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="ENV [--part.key VALUE]...")
@click.option("--model", default="", help="Model folder or Hub id; with --url, the endpoint's name for the model.")
@click.option("--url", default="", help="OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY.")
@click.option(
    "--engine", default="torch", show_default=True, help="torch, vllm or module:name; the same as --rollout.engine."
)
@click.option(
    "--split", type=click.Choice(["train", "test"]), default="test", show_default=True, help="Which tasks to use."
)
@click.option("--tasks", type=click.IntRange(1), default=1000, show_default=True, help="Maximum number of tasks.")
@click.option("--attempts", type=click.IntRange(1), default=1, show_default=True, help="Attempts at each task.")
@click.option(
    "--temperature",
    type=click.FloatRange(0, 99),
    default=0.0,
    show_default=True,
    help="Sampling temperature; 0 is greedy.",
)
@click.option("--max-tokens", type=click.IntRange(1), default=1024, show_default=True, help="Token limit of one reply.")
@click.option(
    "--concurrency", type=click.IntRange(1), default=64, show_default=True, help="Episodes that run at the same time."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of tasks and sampling.")
@click.option("--out", type=click.Path(path_type=Path), help="JSONL file for the scores; an existing one is continued.")
@click.option("--inline", is_flag=True, help="Run everything in this process, without Ray.")
def command(words: Sequence[str], **options: Any) -> None:
    """Evaluate a model on the environment ENV.

    ENV is a name, module:Class or file.py. Settings of the environment are given as --config.key VALUE; settings of the
    model, the rollout and the sandbox as --model.key, --rollout.key and --sandbox.key, as in a run's CONFIG.
    """
    use, overrides = split_one(words, "environment")
    evaluation = evaluation_of(use, overrides, options)
    run_evaluation(evaluation, options["tasks"], options["attempts"], options["concurrency"], options["out"])
