"""``lachesis train``: a run begun or resumed, from the command line to its summary."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ..environments.environment import Environment, endless
from ..rollout.models.source import check_source
from ..trainer.config import RunConfig, load_config
from ..trainer.run.sandbox_check import check_sandbox
from ..verifiers.errors import ConfigError
from ..verifiers.secrets import REDACTED
from .arguments import PASS_ON, split
from .terminal import printable

STOPPED = 3
"""Exit code of a run that an alert ended."""


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
    paths, overrides = split(words, RunConfig.model_fields)
    if len(paths) != 1 and not (resume and not paths):
        found = f"{len(paths)}: {' '.join(paths)}" if paths else "none"
        raise ConfigError(f"train takes one CONFIG file, found {found}; lachesis train --help shows the usage")
    config = _checked_config(paths[0] if paths else "", overrides + ["--rollout.inline=true"] * inline, resume)

    from ..trainer.run.progress import Progress  # only now: a wrong config is refused at once

    with Progress(config.trainer.steps) as progress:
        progress.phase("checking the config, the environments and the sandbox")
        environments = _checked_environments(config)
        progress.phase("importing torch")

        from ..trainer.run.storage.checkpoint import latest
        from ..trainer.run.storage.folder import RunFolder
        from ..trainer.train import train

        folder = RunFolder.open(resume) if resume else RunFolder.create(config)
        progress.note(f"run: {folder.path}")
        try:
            summary = asyncio.run(train(config, environments, folder, progress, resume is not None, changed))
        except KeyboardInterrupt:
            last = latest(folder.checkpoints)
            cure = f"; lachesis train --resume {folder.path} continues" if last else ""
            raise KeyboardInterrupt(f"stopped; last checkpoint: {last or 'none'}{cure}") from None
        finally:
            folder.close()
    metric, start, final = summary["metric"], summary["heldout_start"], summary["heldout_final"]
    result = "no held-out tasks:" if start is None else f"held-out {metric} {start} → {final} in"
    click.echo(f"{result} {summary['steps']} steps, {summary['wall_s']} s")
    for problem in summary["errors"][:5]:
        click.echo(printable(f"went wrong: {problem}"))
    if names := sorted({alert["name"] for alert in summary["alerts"]}):
        click.echo(f"alerts: {', '.join(names)}; summary.json has their texts, and lachesis view shows them")
    click.echo(f"in {folder.path}: summary.json, learning_curve.png, metrics.jsonl, trajectories, checkpoints")
    if summary["stopped_by"]:
        click.echo(
            f"ended by the alert {summary['stopped_by']} (trainer.stop_on); the best checkpoint is that of step "
            f"{summary['heldout_best_step']}",
            err=True,
        )
        sys.exit(STOPPED)


def _checked_config(path: str, overrides: list[str], resume: str | None) -> RunConfig:
    """The run's configuration; nothing that takes time is checked yet."""
    kept = Path(resume or "") / "config.toml"
    config = load_config(path or kept, overrides, beside=Path(path).parent if path else None)
    if not path and REDACTED in kept.read_text():
        raise ConfigError(f"{kept} was written without its secrets; give the CONFIG file beside --resume")
    return config


def _checked_environments(config: RunConfig) -> list[Environment]:
    """The run's environments, after a check of all that the run needs: the user's own code, tasks, sandbox and model.

    Nothing has been created when this raises.
    """
    config.check_own()
    environments = config.build_environments()
    for environment in environments:
        # a run needs both: it is evaluated on the held-out tasks of what it plays
        for split_name in ("train", "test") if environment.played else ():
            next(endless(environment, split_name, config.seed))
    check_sandbox(config.sandbox, environments, config.seed)
    if config.model.path != "tiny":
        check_source(config.model.path)
    return environments
