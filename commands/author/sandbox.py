"""``lachesis sandbox``: one program run as a sandbox job, with its output and a line about how it went."""

import asyncio
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

import click

from ...trainer.overrides import sandbox_settings
from ...verifiers.errors import ConfigError
from ...verifiers.sandbox.backends import open_sandbox
from ...verifiers.sandbox.job import MIB, Execution, Job, Limits, is_plain_name
from ...verifiers.sandbox.settings import SandboxSettings
from ..arguments import PASS_ON, split_one
from ..terminal import printable


@click.command("sandbox", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="FILE [--sandbox.key VALUE]...")
@click.option("--backend", help="auto, process, docker or module:name; the same as --sandbox.backend.")
@click.option(
    "--stdin",
    default="",
    metavar="FILE",
    help="File for the program's standard input; - passes on that of this command.",
)
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File to copy into the program's folder; repeatable.",
)
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="Environment variable of the program; repeatable.")
@click.option("--timeout", type=float, metavar="S", help="Seconds of wall-clock time and of CPU time.  [default: 10]")
@click.option(
    "--memory", type=int, metavar="MIB", help="Memory for all processes of the program together.  [default: 256]"
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="New or empty folder for the files that the program leaves."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the program's output.")
def command(words: Sequence[str], backend: str | None, as_json: bool, out: Path | None, **options: Any) -> None:
    """Run the Python program FILE in a sandbox and report how it went.

    The exit code is 0 if its status is ok, 1 for any other status, and 2 if the program was not run.
    """
    file, overrides = split_one(words, "FILE")
    settings = sandbox_settings([*overrides, *([f"--sandbox.backend={backend}"] if backend else [])])
    execution = run_job(job_of(Path(file), **options), settings, as_json, out)
    sys.exit(0 if execution.status == "ok" else 1)


def job_of(
    file: Path, stdin: str, files: Iterable[Path], env: Iterable[str], timeout: float | None, memory: int | None
) -> Job:
    """The job that the command line describes.

    Args:
        file: the program.
        stdin: a file for its standard input, ``-`` for our own standard input, empty for none.
        files: copied into its working directory, under their own names.
        env: environment variables as ``NAME=VALUE``.
        timeout: seconds of wall-clock time and of CPU time.
        memory: MiB.

    Raises:
        InputError: a file cannot be read, two files have one name, or a limit is not possible.
    """
    given: dict[str, bytes] = {}
    for path in files:
        if path.name in given:
            raise ConfigError(f"two files are named {path.name!r}; they share the job's folder: rename one")
        given[path.name] = _read(path)
    variables = {}
    for word in env:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"--env takes NAME=VALUE, found {word!r}")
        variables[name] = value
    try:
        code = _read(file).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8: {error}; give a Python program") from None
    limits: dict[str, float] = {} if timeout is None else {"wall": timeout, "cpu": timeout}
    if memory is not None:
        limits["memory"] = memory * MIB
    fed = sys.stdin.buffer.read() if stdin == "-" else _read(Path(stdin)) if stdin else b""
    return Job(code, fed, given, variables, Limits(**limits))  # type: ignore[arg-type]


def run_job(job: Job, settings: SandboxSettings, as_json: bool, out: Path | None) -> Execution:
    """Run ``job``, and print its output with one line about it on stderr, or one JSON object.

    Args:
        job: the program with its input and limits.
        settings: of the sandbox.
        as_json: print one JSON object on standard output and nothing else.
        out: a new or empty folder for the files that the job leaves.

    Raises:
        ConfigError: no sandbox reaches the level that the settings require, or ``out`` cannot be used.
    """
    if out:
        _prepare(out)
    sandbox = open_sandbox(settings)
    try:
        execution = asyncio.run(sandbox.run(job))
    finally:
        sandbox.close()
    if out:
        _save(execution, out)
    _pass_on(json.dumps(execution.to_json()) + "\n" if as_json else execution.stdout, sys.stdout)
    if not as_json:
        _pass_on(execution.stderr, sys.stderr)
        print(summary(execution, sandbox.name), file=sys.stderr)
    return execution


def summary(execution: Execution, backend: str) -> str:
    """One line about how the job went."""
    used = execution.usage
    ended = execution.signal or (f"exit code {execution.exit_code}" if execution.exit_code is not None else "")
    reason = "" if execution.reason == ended else execution.reason
    facts = [
        " ".join(filter(None, (execution.status, f"({ended})" if ended else "", reason))),
        f"{used.wall:.3f} s, {used.cpu:.3f} of CPU" + (f", {used.memory / MIB:.1f} MiB" if used.memory else ""),
        f"{backend} at {execution.level.name.lower()}",
    ]
    if execution.truncated:
        facts.append(f"cut off: {', '.join(execution.truncated)}")
    if execution.files:
        facts.append(f"files: {', '.join(execution.files)}")
    facts += [f"refused {name}: {why}" for name, why in execution.refused.items()]
    return printable("sandbox: " + "; ".join(facts)).replace("\n", " ")


def _pass_on(text: str, stream: TextIO) -> None:
    if not text:
        return
    text = printable(text) if stream.isatty() else text
    stream.flush()
    stream.buffer.write(text.encode(errors="replace"))
    stream.flush()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; check the path") from None


def _prepare(out: Path) -> None:
    """Make ``out``, and refuse a folder in which the job's files could overwrite others."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise ConfigError(f"{out} is not empty; choose another -o")
    except OSError as error:
        raise ConfigError(f"cannot use {out}: {error.strerror}; choose another -o") from None


def _save(execution: Execution, out: Path) -> None:
    for name, content in execution.files.items():
        try:
            if not is_plain_name(name):
                raise OSError(0, "its name is not plain")
            with (out / name).open("xb") as file:
                file.write(content)
        except OSError as error:
            print(printable(f"lachesis: {name!r} was not saved: {error.strerror}"), file=sys.stderr)
