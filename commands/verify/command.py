"""The click command of ``lachesis verify``."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from ...trainer.overrides import sandbox_settings
from ..arguments import PASS_ON, split_one
from ..sources.stored import holds_episodes
from .rescoring import verify_file, verify_stored


@click.command("verify", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="FILE [--sandbox.key VALUE]...")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="JSONL file for the verdicts; an existing one is continued."
)
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, help="Rows scored at the same time.")
def command(words: Sequence[str], out: Path | None, jobs: int) -> None:
    """Score the completions in FILE: JSONL, a run's folder, or an evaluation.

    A row of a JSONL file is {"verifier", "completion", "answer", "params"}, and each gets a verdict. A run or an
    evaluation is scored again, and only the verdicts that have changed are shown and written to -o.

    The exit code is 1 if a row could not be scored; its verdict is infra_error and gives the reason.
    """
    name, overrides = split_one(words, "FILE")
    file = Path(name)
    if holds_episodes(file):
        verify_stored(file, out, jobs, overrides)
    else:
        verify_file(file, out, jobs, sandbox_settings(overrides))
