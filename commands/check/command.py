"""The click command of ``lachesis check``."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from ...environments.audit.finding import KINDS
from ...environments.loading import describe
from ...rollout.models.source import check_source
from ...trainer.overrides import parts_of
from ...verifiers.errors import ConfigError, nearest
from ..arguments import PASS_ON, split_one
from .check import Check, print_report


@click.command("check", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="ENV [--config.key VALUE]...")
@click.option("--tasks", type=click.IntRange(2), default=16, show_default=True, help="Tasks to play.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of tasks and players.")
@click.option(
    "--deadline", type=click.FloatRange(1), default=60.0, show_default=True, help="Seconds that one step may take."
)
@click.option("--tokenizer", default="", help="Model folder or Hub id; checks every token id with its tokenizer.")
@click.option("--allow", multiple=True, metavar="KIND", help="Treat findings of this kind as warnings; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(words: Sequence[str], as_json: bool, allow: Sequence[str], **options: Any) -> None:
    """Audit the environment ENV: leaks, hangs, wrong replies that pass.

    ENV is a name, module:Class or file.py. Settings of the environment are given as --config.key VALUE, those of the
    sandbox as --sandbox.key VALUE.

    The exit code is 0 if there are no errors (warnings do not count), 1 if there are some, and 2 if there is no such
    environment.
    """
    use, overrides = split_one(words, "environment")
    for kind in allow:
        if kind not in KINDS:
            raise ConfigError(f"no kind of finding is named {kind!r}; {nearest(kind, KINDS)}")
    parts = parts_of(overrides, config={}, sandbox={})
    if options["tokenizer"]:
        check_source(options["tokenizer"])
    spec = describe(use, config=parts["config"], label=use)
    report = Check(spec, sandbox=parts["sandbox"], allow=allow, **options).run()
    print_report(report, as_json)
    sys.exit(0 if report["clean"] else 1)
