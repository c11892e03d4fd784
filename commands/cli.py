"""The command line: every command by name, imported when it is called, with errors as one line and an exit code."""

import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from importlib import import_module
from typing import NamedTuple, NoReturn, cast

import click

from ..verifiers.errors import InputError, LachesisError, nearest
from .terminal import printable, standard_output


class Entry(NamedTuple):
    """Where a command is, and what ``lachesis --help`` says about it."""

    module: str
    """Its module within this package, which calls its click command ``command``."""
    summary: str
    """The first line of the command's own help."""


COMMANDS: Mapping[str, Entry] = {
    "train": Entry("run.train", "Train the model that CONFIG (a TOML file) describes."),
    "sft": Entry("run.sft", "Train a model on the conversations that CONFIG (a TOML file) names."),
    "dpo": Entry("run.dpo", "Train a model on the preference pairs that CONFIG (a TOML file) names."),
    "serve": Entry("serve.serve", "Serve a queue of groups between Atropos environments and a trainer."),
    "work": Entry("serve.work", "Play an environment here, and feed the trainer at URL."),
    "eval": Entry("eval.command", "Evaluate a model on environments."),
    "generate": Entry(
        "generate.command", "Make training rows of an environment's episodes, or of those in a run or an evaluation."
    ),
    "compare": Entry("eval.compare", "Compare the evaluations A and B task by task."),
    "calibrate": Entry("verify.calibrate", "Calibrate a judge or a reward model on the replies in LABELS."),
    "verify": Entry("verify.command", "Score the completions in FILE: JSONL, a run's folder, or an evaluation."),
    "gateway": Entry("serve.gateway", "Serve a model to agent programs through a URL and a key, and record them."),
    "view": Entry(
        "view.command", "Show runs, evaluations and training rows as a page that follows them while they are written."
    ),
    "runs": Entry("run.runs", "List the runs in FOLDER, the last written first."),
    "control": Entry("run.control", "Show or steer the run in the folder RUN while it trains."),
    "explain": Entry("run.explain", "Show a stored trajectory: its conversation and its rewards."),
    "replay": Entry(
        "replay.command", "Play recorded replies again, or train a run's recorded batches again, and show differences."
    ),
    "sandbox": Entry("author.sandbox", "Run the Python program FILE in a sandbox and report how it went."),
    "serve-sandbox": Entry("serve.serve_sandbox", "Let other machines run jobs in the sandbox of this one."),
    "serve-reward": Entry("serve.serve_reward", "Serve the reward model MODEL for the verifier reward_model."),
    "new": Entry("author.new", "Create an environment in the folder NAME, as an installable package."),
    "check": Entry("check.command", "Audit the environment ENV: leaks, hangs, wrong replies that pass."),
    "envs": Entry("author.envs", "List the installed environments, or verifiers, with their settings."),
    "doctor": Entry("doctor.command", "Show what this machine can run, what is missing, and how to get it."),
}


class _Commands(Mapping[str, click.Command]):
    """The click commands by name; a command's module is imported when it is looked up."""

    def __getitem__(self, name: str) -> click.Command:
        command: click.Command = import_module(f".{COMMANDS[name].module}", __package__).command
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Group(click.Group):
    """A group whose help needs none of its commands: torch, Ray and the verifiers take seconds to import."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that ``args`` begin with; an unknown name is answered with the nearest."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.UsageError(f"no command is named {args[0]!r}; {nearest(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(
    cls=_Group,
    commands=cast("MutableMapping[str, click.Command]", _Commands()),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="lachesis-rl", prog_name="lachesis")
def cli() -> None:
    """Reinforcement-learning environments, verifiers and a GRPO trainer for language models."""


def main() -> None:
    """Run the command line; an error ends in one line on stderr, with exit code 2 for bad input and 1 for a failure."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell script starts background jobs without it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # a scheduler's stop is a Ctrl-C
    sys.path.append(os.getcwd())  # where module:name looks for a user's own file
    os.environ.setdefault("TQDM_DISABLE", "1")  # other packages' progress bars would interrupt ours
    try:
        with standard_output():
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
        _fail(str(stopped.__cause__ or stopped) or "stopped", 130)  # click raises Abort from our KeyboardInterrupt
    except Exception as error:  # noqa: BLE001 - the last line of defence: a user gets one line, or the traceback on request
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
        _fail(f"error: a bug: {place}; LACHESIS_DEBUG=1 shows the traceback", 1)


def _fail(message: str, code: int) -> NoReturn:
    """One line on stderr, after the whole traceback if LACHESIS_DEBUG asks for it."""
    try:
        if os.environ.get("LACHESIS_DEBUG") and sys.exc_info()[0] is not None:
            traceback.print_exc()
        print(printable("lachesis: " + " ".join(message.split())), file=sys.stderr, flush=True)
    except OSError:  # standard error may be full, too; the exit code still tells, if nothing is left to be written
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
