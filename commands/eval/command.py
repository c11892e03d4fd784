"""The click command of ``lachesis eval``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ...verifiers.errors import ConfigError
from ..arguments import PASS_ON, split
from .evaluation import run_evaluation
from .request import evaluation_of


@click.command("eval", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="ENV... [--part.key VALUE]...")
@click.option("--model", default="", help="Model folder or Hub id; with --url, the endpoint's name for the model.")
@click.option(
    "--url",
    multiple=True,
    help="OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY. Several are asked in turn.",
)
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
@click.option(
    "--time-limit", type=click.FloatRange(0, min_open=True), help="Seconds after which no more attempts are made."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of tasks and sampling.")
@click.option("--out", type=click.Path(path_type=Path), help="JSONL file for the scores; an existing one is continued.")
@click.option("--inline", is_flag=True, help="Run everything in this process, without Ray.")
def command(words: Sequence[str], **options: Any) -> None:
    """Evaluate a model on environments.

    ENV is a name, module:Class, file.py, or a suite: a TOML file with a table [[environments]] for each environment
    (use, and if wanted label, config, rubric, split, tasks, attempts, temperature, max_tokens). Several ENV are
    evaluated together.

    Settings of the environments are given as --config.key VALUE; settings of the model, the rollout, the sandbox and
    the cluster as --model.key, --rollout.key, --sandbox.key and --cluster.key, as in a run's CONFIG. --sampling.top_p,
    top_k, min_p, stop and include_stop work everywhere; with --url, any other --sampling.key is a field of the request.
    --endpoint.key sets headers.NAME, prices.prompt and prices.completion (dollars per million tokens) and key of the
    endpoint, and --agents.NAME.key says how an agent is played that the model does not play.
    """
    environments, overrides = split(words)
    if not environments:
        raise ConfigError("eval needs an environment, such as gsm8k or ./mine.py; lachesis envs lists them")
    evaluation = evaluation_of(environments, overrides, options)
    run_evaluation(evaluation, options["concurrency"], options["out"], options["time_limit"])
