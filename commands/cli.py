"""The command line.

Every command imports what it needs inside itself: torch, Ray and the verifiers cost seconds that ``--help`` and a
misspelt key need not wait for.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ..verifiers.errors import ConfigError, InputError, LachesisError, nearest

if TYPE_CHECKING:
    from ..environments.environment import Environment
    from ..trainer.config import RunConfig
    from ..trainer.run.folder import RunFolder

_PASS_ON = {"ignore_unknown_options": True}
"""Options with a dot are overrides, for us to read."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lachesis-rl", prog_name="lachesis")
def cli() -> None:
    """Reinforcement-learning environments, verifiers and a GRPO trainer for language models."""


@cli.command(context_settings=_PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="CONFIG [--part.key VALUE]...")
@click.option("--inline", is_flag=True, help="Everything in this process, without Ray, so that a breakpoint works.")
@click.option("--resume", metavar="RUN", help="Go on with the run in this folder; CONFIG may be left out.")
@click.option("--changed", is_flag=True, help="With --resume: also where an environment is not what it was.")
def train(words: Sequence[str], inline: bool, resume: str | None, changed: bool) -> None:
    """Train the model that CONFIG (a TOML file) describes; any field can be overridden, as in --trainer.lr 1e-5."""
    from ..trainer.config import RunConfig

    paths, overrides = _split(words, RunConfig.model_fields)
    if len(paths) != 1 and not (resume and not paths):
        raise ConfigError(f"train takes one CONFIG file, found {len(paths)}: {' '.join(paths) or 'none'}")
    config, environments = _load(paths[0] if paths else "", overrides + ["--rollout.inline=true"] * inline, resume)

    from ..trainer.run.checkpoint import latest
    from ..trainer.run.folder import RunFolder

    folder = RunFolder.open(resume) if resume else RunFolder.create(config)
    click.echo(f"run: {folder.path}")
    try:
        summary = _train(config, environments, folder, resume is not None, changed)
    except KeyboardInterrupt:
        folder.close()
        last = latest(folder.checkpoints)
        cure = f"; lachesis train --resume {folder.path} goes on" if last else ""
        _fail(f"stopped; last checkpoint: {last or 'none'}{cure}", 130)
    start, final, steps, seconds = (summary[key] for key in ("heldout_start", "heldout_final", "steps", "wall_s"))
    click.echo(f"held-out accuracy {start} → {final} in {steps} steps, {seconds} s")
    click.echo(f"in {folder.path}: summary.json, learning_curve.png, metrics.jsonl, trajectories, checkpoints")


def _load(path: str, overrides: list[str], resume: str | None) -> "tuple[RunConfig, list[Environment]]":
    """The run's configuration and its environments, which have tasks and the sandbox that they need."""
    from ..environments.environment import endless
    from ..trainer.config import load_config
    from ..trainer.run.containment import containment
    from ..trainer.run.redaction import REDACTED

    kept = Path(resume or "") / "config.toml"
    config = load_config(path or kept, overrides)
    if not path and REDACTED in kept.read_text():
        raise ConfigError(f"{kept} was written without its secrets; give the CONFIG file beside --resume")
    environments = config.build_environments()
    for environment in environments:
        for split in ("train", "test"):  # both are used: a run is evaluated on what is held out
            next(endless(environment, split, config.seed))
    containment(config.sandbox, environments, config.seed)
    return config, environments


def _train(
    config: "RunConfig", environments: "list[Environment]", folder: "RunFolder", resume: bool, changed: bool
) -> dict[str, Any]:
    from ..trainer.run.progress import Progress
    from ..trainer.train import train as run

    try:
        with Progress(config.trainer.steps) as progress:
            summary: dict[str, Any] = asyncio.run(run(config, environments, folder, progress, resume, changed))
    finally:
        folder.close()
    return summary


@cli.command("eval", context_settings=_PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="ENV [--part.key VALUE]...")
@click.option("--model", default="", help="Folder or Hub id; with --url, the endpoint's own name for it.")
@click.option("--url", default="", help="OpenAI-compatible endpoint; its key is taken from OPENAI_API_KEY.")
@click.option("--engine", type=click.Choice(["torch", "vllm"]), default="torch", show_default=True)
@click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True)
@click.option("--tasks", type=click.IntRange(1), default=1000, show_default=True, help="Most tasks.")
@click.option("--attempts", type=click.IntRange(1), default=1, show_default=True, help="Attempts at each task.")
@click.option("--temperature", type=click.FloatRange(0, 99), default=0.0, show_default=True)
@click.option("--max-tokens", type=click.IntRange(1), default=1024, show_default=True, help="Of one reply.")
@click.option("--concurrency", type=click.IntRange(1), default=64, show_default=True, help="Episodes under way.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="JSONL file of scores; continued where it exists.")
@click.option("--inline", is_flag=True, help="Everything in this process, without Ray.")
def evaluate(words: Sequence[str], **options: Any) -> None:
    """Score a model on the environment ENV: its name, module:Class or file.py.

    Settings are given as --config.key (of the environment), and --model.key, --rollout.key and --sandbox.key (as in a
    run's CONFIG).
    """
    from .eval.evaluation import evaluation_of, run_evaluation

    names, overrides = _split(words)
    if len(names) != 1:
        raise ConfigError(f"eval takes one environment, found {len(names)}: {' '.join(names) or 'none'}")
    evaluation = evaluation_of(names[0], overrides, options)
    run_evaluation(evaluation, options["tasks"], options["attempts"], options["concurrency"], options["out"])


@cli.command(context_settings=_PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="FILE [--sandbox.key VALUE]...")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Where verdicts go; continued where it exists.")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, help="Verdicts under way.")
def verify(words: Sequence[str], out: Path | None, jobs: int) -> None:
    """Score FILE again: JSONL rows {"verifier", "completion", "answer", "params"}, or a run's folder.

    Exit code 1 where some row could not be judged: its verdict is infra_error, and says why.
    """
    from ..trainer.config import sandbox_settings
    from .verify.rescoring import verify_file, verify_run

    files, overrides = _split(words)
    if len(files) != 1:
        raise ConfigError(f"verify takes one FILE, found {len(files)}: {' '.join(files) or 'none'}")
    file = Path(files[0])
    if file.is_dir() or file.suffix == ".zst":
        verify_run(file, out, jobs, overrides)
    else:
        verify_file(file, out, jobs, sandbox_settings(overrides))


@cli.command(context_settings=_PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="FILE [--sandbox.key VALUE]...")
@click.option("--backend", type=click.Choice(["auto", "process", "docker"]), help="As in --sandbox.backend.")
@click.option("--stdin", default="", metavar="F", help="What it reads: a file, or - for what we are given.")
@click.option(
    "--file", "files", multiple=True, type=click.Path(path_type=Path), help="Put into its folder; repeatable."
)
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="An environment variable; repeatable.")
@click.option("--timeout", type=float, metavar="S", help="Seconds of wall-clock and of CPU time.  [default: 10]")
@click.option("--memory", type=int, metavar="MIB", help="Memory, over all of its processes.  [default: 256]")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="New or empty folder for the files that it leaves.")
@click.option("--json", "as_json", is_flag=True, help="How it went, as one JSON object and nothing else.")
def sandbox(words: Sequence[str], backend: str | None, as_json: bool, out: Path | None, **options: Any) -> None:
    """Run the Python program FILE in a sandbox, and say how it went.

    Exit code 0 where its status is ok, 1 where it is anything else, 2 where it was not run.
    """
    from ..trainer.config import sandbox_settings
    from .sandbox import job_of, run_job

    files, overrides = _split(words)
    if len(files) != 1:
        raise ConfigError(f"sandbox takes one FILE, found {len(files)}: {' '.join(files) or 'none'}")
    settings = sandbox_settings([*overrides, *([f"--sandbox.backend={backend}"] if backend else [])])
    execution = run_job(job_of(Path(files[0]), **options), settings, as_json, out)
    sys.exit(0 if execution.status == "ok" else 1)


@cli.command(context_settings=_PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="ENV [--config.key VALUE]...")
@click.option("--tasks", type=click.IntRange(2), default=16, show_default=True, help="Tasks that players play.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--deadline", type=click.FloatRange(1), default=60.0, show_default=True, help="Seconds of one step.")
@click.option("--tokenizer", default="", help="Folder or Hub id; proves that the tokens are exact.")
@click.option("--allow", multiple=True, metavar="KIND", help="A kind of finding that is a warning here; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check(words: Sequence[str], as_json: bool, allow: Sequence[str], **options: Any) -> None:
    """Audit the environment ENV (its name, module:Class or file.py): tasks, verifiers, leaks, times.

    Exit code 0 where nothing is wrong, 1 where something is (warnings aside), 2 where there is no such thing to check.
    Settings are given as --config.key (of the environment) and --sandbox.key.
    """
    from ..environments.audit.finding import KINDS
    from ..environments.loading import describe
    from ..trainer.config import parts_of
    from .check.check import Check, print_report
    from .terminal import standard_output

    names, overrides = _split(words)
    if len(names) != 1:
        raise ConfigError(f"check takes one environment, found {len(names)}: {' '.join(names) or 'none'}")
    for kind in allow:
        if kind not in KINDS:
            raise ConfigError(f"no kind of finding is named {kind!r}; {nearest(kind, KINDS)}")
    parts = parts_of(overrides, config={}, sandbox={})
    spec = describe(names[0], config=parts["config"], label=names[0])
    report = Check(spec, sandbox=parts["sandbox"], allow=allow, **options).run()
    with standard_output():
        print_report(report, as_json)
        sys.stdout.flush()
    sys.exit(0 if report["clean"] else 1)


@cli.command(context_settings=_PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="FILE [--config.key VALUE]...")
@click.option(
    "--record", "source", metavar="SOURCE", help="Write FILE: of a run's folder, or of players of an environment."
)
@click.option("--tasks", type=click.IntRange(1), default=16, show_default=True, help="That are recorded.")
@click.option("--jobs", type=click.IntRange(1), default=16, show_default=True, help="Episodes under way.")
def replay(words: Sequence[str], source: str | None, tasks: int, jobs: int) -> None:
    """Play recorded replies again, and show what environment and rewards make otherwise of them now.

    FILE is what --record wrote, or a run's folder. Exit code 1 where anything came out otherwise.
    """
    from ..trainer.config import parts_of
    from .replay import record
    from .replay import replay as play_again
    from .terminal import standard_output

    files, overrides = _split(words)
    if len(files) != 1:
        raise ConfigError(f"replay takes one FILE, found {len(files)}: {' '.join(files) or 'none'}")
    config = parts_of(overrides, config={})["config"]
    if source:
        click.echo(f"{record(Path(files[0]), source, tasks, config)} episodes recorded in {files[0]}")
        return
    if config:
        raise ConfigError("settings are part of what was recorded; give --config.key with --record")
    with standard_output():
        changed = play_again(Path(files[0]), jobs)
        sys.stdout.flush()
    sys.exit(1 if changed else 0)


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("trajectory", required=False)
@click.option("--step", type=click.IntRange(1), help="Without TRAJECTORY: whose to list.  [default: the last]")
@click.option("--sampled", is_flag=True, help="Only tokens that the policy sampled.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def explain(run: Path, trajectory: str | None, step: int | None, sampled: bool, as_json: bool) -> None:
    """Show a stored TRAJECTORY (GROUP/ATTEMPT) of RUN: where its reward came from, and what is known of each token.

    Of a token: id and text, whether it was trained, its logprob by sampler and trainer, the version that sampled it,
    and its advantage. Without TRAJECTORY, list those of a step.
    """
    from .explain import explain as find
    from .explain import print_explanation, print_list
    from .terminal import standard_output

    with standard_output():
        if not trajectory:
            print_list(run, step)
        elif as_json:
            click.echo(json.dumps(find(run, trajectory).to_json()))
        else:
            print_explanation(find(run, trajectory), context=not sampled)
        sys.stdout.flush()


@cli.command()
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), default=".", help="Folder to make it in.  [default: here]")
def new(name: str, out: Path) -> None:
    """Make a folder NAME with a new environment, its test and its README, which work at once."""
    from ..environments.scaffold import scaffold

    for path in scaffold(name, out):
        click.echo(path)


@cli.command()
@click.argument("name", required=False)
@click.option("--verifiers", is_flag=True, help="Verifiers instead of environments; with NAME all about that one.")
def envs(name: str | None, verifiers: bool) -> None:
    """List what is installed, with its settings."""
    from .envs import print_environments, print_verifier, print_verifiers

    if name and not verifiers:
        raise ConfigError(f"envs takes the name of a verifier: lachesis envs --verifiers {name}")
    if name:
        print_verifier(name)
    elif verifiers:
        print_verifiers()
    else:
        print_environments()


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--build-image", is_flag=True, help="First make the Docker sandbox's image from this machine's Python.")
def doctor(as_json: bool, build_image: bool) -> None:
    """Show what this machine can do, what it lacks, and the cure."""
    from .doctor import examine, print_findings

    if build_image:
        from ..verifiers.sandbox.docker.image import build_image as build

        build(report=lambda line: click.echo(line, err=True))
    print_findings(examine(), as_json)


def _split(words: Sequence[str], fields: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """Tell positional words from overrides: ``--part.key value``, or ``--field value`` for one of ``fields``."""
    plain: list[str] = []
    overrides: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        key = word[2:].partition("=")[0]
        if "." not in key and key not in fields:
            raise ConfigError(
                f"no option --{key}; {nearest('--' + key, [*_options(), *('--' + name for name in fields)])}"
            )
        overrides.append(word)
        if "=" not in word and rest:
            overrides.append(rest.pop(0))
    return plain, overrides


def _options() -> list[str]:
    """The options of the command that runs."""
    return [name for parameter in click.get_current_context().command.params for name in parameter.opts if "--" in name]


def main() -> None:
    """Run the command line; errors end in one line on stderr: exit code 2 for what was given, 1 for what failed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background job is started deaf to it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # a scheduler's stop is a Ctrl-C
    os.environ.setdefault("TQDM_DISABLE", "1")  # other packages' bars would stand between ours
    try:
        cli.main(prog_name="lachesis", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _fail(f"error: {error.format_message()}", 2)
    except InputError as error:
        _fail(f"error: {error}", 2)
    except LachesisError as error:
        _fail(f"error: {error}", 1)
    except (KeyboardInterrupt, click.Abort) as stopped:
        _fail(str(stopped.__cause__ or stopped) or "stopped", 130)  # click makes an Abort of what we said
    except Exception as error:  # noqa: BLE001 - the last line of defence: a user gets one line, a developer the traceback
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
        _fail(f"error: a bug: {place}; LACHESIS_DEBUG=1 shows all of it", 1)


def _fail(message: str, code: int) -> NoReturn:
    """One line on stderr, or the whole traceback where LACHESIS_DEBUG asks for it."""
    if os.environ.get("LACHESIS_DEBUG") and sys.exc_info()[0] is not None:
        traceback.print_exc()
    print("lachesis: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
