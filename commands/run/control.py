"""``lachesis control``: a run that is under way, shown and steered from another terminal or another machine."""

import getpass
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import click

from ...trainer.overrides import parse_overrides
from ...trainer.run.control.mailbox import Mailbox
from ...trainer.run.storage.reader import Run
from ...verifiers.errors import ConfigError, DeadlineExceeded, InfrastructureError
from ..sources.run_source import RunSource
from ..terminal import printable

CHANGES = {"pause": 0, "resume": 0, "checkpoint": 0, "stop": 0, "set": 2}
"""Each action that changes something, with the number of its arguments."""

PATIENCE = 600.0
"""Seconds that a command waits by default: steps may take minutes."""

LOOK = 0.2
"""Seconds between two looks for the answer."""

SILENT = 10.0
"""Seconds in which a run that has taken a command may answer it when the deadline has passed."""


@click.command("control")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.argument(
    "action", type=click.Choice(["show", *CHANGES]), default="show", metavar="[show|pause|resume|checkpoint|stop|set]"
)
@click.argument("words", nargs=-1, metavar="[SETTING VALUE]")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 1e6), default=PATIENCE, show_default=True, help="Seconds to wait at most."
)
@click.option("--json", "as_json", is_flag=True, help="With show: print one JSON object.")
def command(run: Path, action: str, words: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Show or steer the run in the folder RUN while it trains.

    Without an action, its state and the settings that can be changed are shown. pause, resume, checkpoint, stop and set
    take effect between two steps, and the command waits for that. `set trainer.lr 1e-6` changes a setting within the
    bounds of control.bounds. A changed setting is kept in RUN/config.toml, so --resume RUN continues with it.
    """
    read = Run(run)
    if len(words) != CHANGES.get(action, 0):
        takes = "a setting and a value: set trainer.lr 1e-6" if action == "set" else "nothing"
        raise ConfigError(f"control RUN {action} takes {takes}; found {' '.join(words) or 'nothing'}")
    if action == "show" and not read.alive():
        _show_ended(run, as_json)
        return
    what: dict[str, Any] = {"action": action, "by": _sender()}
    if action == "set":
        [(setting, value)] = parse_overrides([f"--{words[0]}", words[1]])
        what |= {"setting": setting, "value": value if isinstance(value, bool | int | float) else str(value)}
    answer = ask(read, what, timeout)
    if not answer.get("done"):
        raise ConfigError(f"{run}: {answer.get('text')}")
    if action != "show":
        click.echo(printable(f"{run}: {answer.get('text')}"))
    elif as_json:
        click.echo(json.dumps(answer.get("state")))
    else:
        _show(run, answer["state"])


def ask(run: Run, what: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Send a command to a run that is alive, and return its answer.

    Args:
        run: the run.
        what: the command.
        timeout: seconds; after that the command is taken back.

    Raises:
        ConfigError: the run is not alive, or belongs to another user.
        DeadlineExceeded: it has not obeyed the command in time; the command is taken back.
        InfrastructureError: it ended after it had taken the command.
        DataError: the answer cannot be read.
    """
    if not run.alive():
        raise _not_alive(run)
    mailbox, deadline = Mailbox(run.path), time.monotonic() + timeout
    name = _sent(mailbox, what, deadline)
    try:
        while time.monotonic() < deadline:
            time.sleep(LOOK)
            if answer := mailbox.answered(name):
                return answer
            if not run.alive():
                break
    finally:
        taken_back = mailbox.take_back(name)
    if not taken_back:
        return _late_answer(mailbox, name, run)
    if not run.alive():
        raise _not_alive(run)
    raise DeadlineExceeded(
        f"{run.path} is alive, but has not taken the command within {timeout:g} s, so nothing was changed: it has "
        "not begun its steps, or its step takes longer; give it more time with --timeout"
    )


def _sent(mailbox: Mailbox, what: dict[str, Any], deadline: float) -> str:
    """Send a command as soon as the run has opened its mailbox."""
    while True:
        try:
            return mailbox.send(what)
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise ConfigError(f"{mailbox.path} is missing: the run has not begun to listen; try again") from None
            time.sleep(LOOK)
        except OSError as error:
            raise ConfigError(f"cannot write into {mailbox.path}: {error.strerror}; only the run's user can") from None


def _late_answer(mailbox: Mailbox, name: str, run: Run) -> dict[str, Any]:
    """Wait for the answer of a run that has taken the command already."""
    end = time.monotonic() + SILENT
    while time.monotonic() < end:
        if answer := mailbox.answered(name):
            return answer
        time.sleep(LOOK)
    raise InfrastructureError(f"{run.path} has taken the command but gives no answer; events.jsonl says what it did")


def _not_alive(run: Run) -> ConfigError:
    return ConfigError(
        f"{run.path} is not running, so nothing was changed; lachesis train --resume {run.path} continues it, with "
        "other settings if you add them (--trainer.lr 1e-6)"
    )


def _sender() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _show_ended(run: Path, as_json: bool) -> None:
    state = RunSource("", run).state()
    if as_json:
        click.echo(json.dumps({"step": state["steps"], "steps": state["planned"], "doing": state["state"]}))
        return
    click.echo(printable(f"{run}: not running; {state['state']} after step {state['steps']}"))


def _show(run: Path, state: dict[str, Any]) -> None:
    doing = "paused" if state["paused"] else state["doing"]
    held_out = "" if state["held_out"] is None else f", held-out result {state['held_out']:.3f}"
    click.echo(
        printable(
            f"{run}: step {state['step']} of {state['steps']}, {doing}, weights version {state['version']}{held_out} "
            f"(process {state['pid']} on {state['host']})"
        )
    )
    for key, setting in state["settings"].items():
        least, most = setting["bounds"]
        since = f", since step {setting['since']}" if setting["since"] else ""
        click.echo(printable(f"  {key} = {setting['value']}   ({least:g} to {most:g}{since})"))
