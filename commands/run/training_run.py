"""A run of a command that trains, from its words on the command line to its summary."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from ...environments.environment import Environment, Split, endless
from ...rollout.cluster.leftovers import clean, sign
from ...rollout.models.source import check_source
from ...trainer.config import RunConfig, load_config_of
from ...trainer.datasets.row_files import row_files
from ...trainer.run.sandbox_check import check_sandbox
from ...trainer.run.supervision.heartbeat import Heartbeat
from ...trainer.tune_config import DpoConfig, SftConfig, TuneConfig, kind_of
from ...verifiers.errors import ConfigError
from ...verifiers.secrets import REDACTED
from ..arguments import split
from ..terminal import printable

STOPPED = 3
"""Exit code of a run that an alert ended."""

_COMMANDS: dict[type[RunConfig], str] = {RunConfig: "train", SftConfig: "sft", DpoConfig: "dpo"}
"""The command that a config belongs to."""

Config = TypeVar("Config", bound=RunConfig)
Start = Callable[..., Coroutine[Any, Any, dict[str, Any]]]
"""A trainer's loop: config, environments, folder, progress, resume, changed → summary."""


class Resumption(NamedTuple):
    """Whether a run continues an earlier one.

    Attributes:
        folder: of the earlier run; None for a new run.
        changed: whether its environments and rows may have changed since.
    """

    folder: str | None = None
    changed: bool = False


def checked_config(
    kind: type[Config], words: Sequence[str], resumption: Resumption, overrides: Sequence[str] = ()
) -> Config:
    """Read the config that the words name, or that of the run to resume; nothing that takes time is checked yet.

    Raises:
        ConfigError: there is not one config, or it is not valid.
    """
    paths, found_overrides = split(words, kind.model_fields)
    name, resume = click.get_current_context().info_name, resumption.folder
    if len(paths) != 1 and not (resume and not paths):
        found = f"{len(paths)}: {' '.join(paths)}" if paths else "none"
        raise ConfigError(f"{name} takes one CONFIG file, found {found}; lachesis {name} --help shows the usage")
    kept = Path(resume or "") / "config.toml"
    if resume and kept.is_file() and (begun := _COMMANDS[kind_of(kept)]) != _COMMANDS[kind]:
        raise ConfigError(f"{resume} is a run of lachesis {begun}; continue it with lachesis {begun} --resume {resume}")
    beside = Path(paths[0]).parent if paths else None
    config = load_config_of(kind, paths[0] if paths else kept, [*found_overrides, *overrides], beside)
    if not paths and REDACTED in kept.read_text():
        raise ConfigError(f"{kept} was written without its secrets; give the CONFIG file beside --resume")
    return config


def checked_environments(config: RunConfig, splits: Sequence[Split]) -> list[Environment]:
    """Build the run's environments, after a check of all that the run needs: own code, tasks, sandbox and model.

    Nothing has been created when this raises.
    """
    config.check_own()
    environments = config.build_environments()
    for environment in environments:
        if not environment.played and "train" not in splits:
            raise ConfigError(
                f"{environment.label} gets its groups from outside, so no model can be evaluated on it; leave it out"
            )
        for split_name in splits if environment.played else ():
            next(endless(environment, split_name, config.seed))
    check_sandbox(config.sandbox, environments, config.seed)
    if config.model.path != "tiny":
        check_source(config.model.path)
    return environments


def run(config: RunConfig, resumption: Resumption, start: Callable[[], Start], splits: Sequence[Split]) -> None:
    """Run a trainer in a folder, show its progress, and print its summary. Exits with 3 if an alert ended the run.

    Args:
        config: the run's configuration.
        resumption: whether it continues an earlier run.
        start: imports the trainer's loop, which takes seconds.
        splits: the splits of which each environment must have a task.
    """
    heartbeat = Heartbeat.of_environment()
    try:
        summary, folder = _run(config, resumption, start, splits, heartbeat)
    except Exception as error:
        heartbeat.failed(error)
        raise
    report(summary, folder)
    if summary["stopped_by"]:
        click.echo(
            f"ended by the alert {summary['stopped_by']} (trainer.stop_on); the best checkpoint is that of step "
            f"{summary['heldout_best_step']}",
            err=True,
        )
        sys.exit(STOPPED)


def _run(
    config: RunConfig,
    resumption: Resumption,
    start: Callable[[], Start],
    splits: Sequence[Split],
    heartbeat: Heartbeat,
) -> tuple[dict[str, Any], Path]:
    """Run a trainer in a folder; return its summary and the folder."""
    from ...trainer.run.progress import Progress  # only now: a wrong config is refused at once

    name = click.get_current_context().info_name
    with Progress(config.trainer.steps) as progress:
        if found := clean():
            progress.note(f"removed what a killed run had left behind: {', '.join(found)}")
        sign()
        progress.phase("checking the config, the environments and the sandbox")
        environments = checked_environments(config, splits)
        progress.phase("importing torch")

        from ...trainer.run.storage.checkpoint import latest
        from ...trainer.run.storage.folder import RunFolder

        trainer = start()
        folder = RunFolder.open(resumption.folder) if resumption.folder else RunFolder.create(config)
        progress.note(f"run: {folder.path}")
        heartbeat.in_folder(folder.path)
        folder.events.told = heartbeat.event
        if heartbeat.restarted:
            folder.events.note("restarted", reason=heartbeat.restarted)
        resume = resumption.folder is not None
        run = trainer(config, environments, folder, progress, resume, resumption.changed)
        waits = any(not environment.played for environment in environments)
        try:
            summary = asyncio.run(heartbeat.during(run, waits))
        except KeyboardInterrupt:
            last = latest(folder.checkpoints)
            cure = f"; lachesis {name} --resume {folder.path} continues" if last else ""
            raise KeyboardInterrupt(f"stopped; last checkpoint: {last or 'none'}{cure}") from None
        finally:
            folder.close()
    return summary, folder.path


def tune_on(kind: type[TuneConfig], words: Sequence[str], inline: bool, resumption: Resumption) -> None:
    """Train on rows: what ``sft`` and ``dpo`` do with their words.

    Raises:
        ConfigError: the config is not valid, there are no rows, or an environment is not played here.
    """
    config = checked_config(kind, words, resumption, ["--rollout.inline=true"] * inline)
    for path in filter(None, (config.data.path, config.data.validation)):
        row_files(path)

    def start() -> Start:
        from ...trainer.tune import tune

        return tune

    run(config, resumption, start, ("test",))


def report(summary: dict[str, Any], folder: Path) -> None:
    """Print the result of a run."""
    metric, start, final = summary["metric"], summary["heldout_start"], summary["heldout_final"]
    first, last = summary.get("validation_start"), summary.get("validation_final")
    results = [] if start is None else [f"held-out {metric} {start:.3f} → {final:.3f}"]
    results += [] if first is None else [f"validation loss {first:.4f} → {last:.4f}"]
    result = f"{', '.join(results)} in" if results else "no held-out tasks:"
    click.echo(f"{result} {summary['steps']} steps, {summary['wall_s']} s")
    for problem in summary["errors"][:5]:
        click.echo(printable(f"went wrong: {problem}"))
    if names := sorted({alert["name"] for alert in summary["alerts"]}):
        click.echo(f"alerts: {', '.join(names)}; summary.json has their texts, and lachesis view shows them")
    trajectories = "trajectories, " if "rows" not in summary else ""
    click.echo(f"in {folder}: summary.json, learning_curve.png, metrics.jsonl, {trajectories}checkpoints")
