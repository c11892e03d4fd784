"""Obeys the commands that a run gets from outside: at once if they only ask, and otherwise between two steps."""

import asyncio
import logging
import math
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ....verifiers.errors import ConfigError, InfrastructureError, nearest
from ....verifiers.settings import validated
from ...config import RunConfig
from ..progress import Progress
from ..storage.folder import RunFolder
from ..storage.run_state import RunState
from ..storage.saver import Saver
from .mailbox import Letter, Mailbox

log = logging.getLogger("lachesis")

ACTIONS = ("show", "pause", "resume", "checkpoint", "set", "stop")
"""What a command can ask for."""

Answer = dict[str, Any]
"""``done`` (bool), ``text`` (one line), and for ``show`` the ``state``."""


class Steered(Protocol):
    """A run as its control sees it."""

    config: RunConfig
    folder: RunFolder
    progress: Progress
    state: RunState
    saver: Saver
    steerable: Sequence[str]

    def reconfigure(self, config: RunConfig) -> None:
        """Go on with ``config``, from the next step on, and keep it for ``--resume``."""

    async def save_between(self) -> bool:
        """Begin a checkpoint of the last step; False if there is one."""


class Control:
    """The commands to a run.

    Args:
        run: the run.

    Attributes:
        paused: whether the run takes no steps for now.
        stopped: whether it was told to end.
    """

    POLL = 0.5
    """Seconds between two looks for commands."""
    SIGN = 10.0
    """Seconds between two events of a run that is paused, which show that it is alive."""

    def __init__(self, run: Steered) -> None:
        self._run, self._mailbox = run, Mailbox(run.folder.path)
        self._bounds = {key: run.config.control.of(key, run.config) for key in run.steerable}
        self._changed: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = False
        self.paused = self.stopped = False

    def _waits(self) -> bool:
        return self.paused and not self.stopped

    def listen(self) -> None:
        """Begin to look for commands; a folder in which nobody may write them is only warned of."""
        try:
            self._mailbox.open()
        except OSError as error:
            log.warning("lachesis control cannot reach this run: %s: %s", error.strerror or error, self._mailbox.path)
            return
        self._listening = True
        self._begin(self._listen())

    async def attend(self) -> None:
        """Obey the commands that wait, and while the run is paused those that come."""
        await self._obey_all()
        if not self._waits():
            return
        self._run.progress.phase(f"paused after step {self._run.state.step}; lachesis control resume continues")
        while self._waits():
            began = time.time()
            while self._waits() and time.time() - began < self.SIGN:
                await asyncio.sleep(self.POLL)
                await self._obey_all()
            self._run.folder.events.note("trainer", phase="paused", t=began, seconds=round(time.time() - began, 4))
            self._run.folder.events.flush()
        self._run.progress.training(self._run.state.step, self._run.config.trainer.steps)

    async def close(self) -> None:
        """Stop looking for commands, and tell those that wait that the run has ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listening:
            for letter in self._mailbox.commands():
                self._settle(letter, refused(f"the run ends after step {self._run.state.step}; nothing was changed"))

    async def _listen(self) -> None:
        """Answer at once what changes nothing."""
        while True:
            for letter in self._mailbox.commands():
                if answer := self._answer_at_once(letter):
                    self._settle(letter, answer)
            await asyncio.sleep(self.POLL)

    async def _obey_all(self) -> None:
        for letter in self._mailbox.commands() if self._listening else ():
            if answer := self._answer_at_once(letter):
                self._settle(letter, answer)
            elif self._mailbox.take(letter.name):
                await self._obey(letter)

    def _settle(self, letter: Letter, answer: Answer) -> None:
        if self._mailbox.take(letter.name):
            if letter.command.get("action") != "show":
                self._note(letter, answer)
            self._mailbox.answer(letter.name, answer)

    def _answer_at_once(self, letter: Letter) -> Answer | None:
        """Answer ``show`` and what is impossible; None for a command to be obeyed between two steps."""
        if letter.fault:
            return refused(letter.fault)
        action = letter.command.get("action")
        if action == "show":
            return {**done(""), "state": self._state()}
        if action not in ACTIONS:
            return refused(f"there is no command {action!r:.80}; choose one of {', '.join(ACTIONS)}")
        if action == "set":
            try:
                self._with(letter.command)
            except ConfigError as error:
                return refused(str(error))
        return None

    async def _obey(self, letter: Letter) -> None:
        """Do what a command asks for; the answer to ``checkpoint`` comes when that is complete."""
        action, step = letter.command["action"], self._run.state.step
        try:
            if action == "checkpoint" and await self._run.save_between():
                self._begin(self._answer_when_sealed(letter, step))
                return
            answer = await self._obeyed(action, step, letter.command)
        except InfrastructureError as error:
            answer = refused(f"{error}; the run goes on as before")
        self._note(letter, answer)
        self._mailbox.answer(letter.name, answer)

    async def _obeyed(self, action: str, step: int, command: Mapping[str, Any]) -> Answer:
        if action == "set":
            return self._set(command)
        if action == "checkpoint":
            return done(f"step {step} has a checkpoint already")
        if action == "stop":
            await self._run.save_between()
            self.stopped = True
            self._run.progress.note(f"lachesis control ends the run after step {step}")
            return done(f"the run ends after step {step}, with a checkpoint; --resume continues it")
        self.paused = action == "pause"
        return done(f"paused after step {step}" if self.paused else f"goes on after step {step}")

    async def _answer_when_sealed(self, letter: Letter, step: int) -> None:
        answer = refused(f"the run ended before the checkpoint of step {step} was complete")
        try:
            await asyncio.shield(self._run.saver.wait())
            answer = done(f"the checkpoint of step {step} is complete")
        except InfrastructureError as error:  # the run ends with it, too
            answer = refused(str(error))
        finally:
            self._note(letter, answer)
            self._mailbox.answer(letter.name, answer)

    def _set(self, command: Mapping[str, Any]) -> Answer:
        config, key = self._with(command), str(command["setting"])
        was, value, step = value_of(self._run.config, key), value_of(config, key), self._run.state.step + 1
        if was == value:
            return done(f"{key} is {value} already")
        self._run.reconfigure(config)
        self._changed[key] = step
        since = "for groups that are admitted from now on" if key.startswith("rollout.") else f"from step {step} on"
        text = f"{key} is {value} {since}; it was {was}"
        self._run.progress.note(f"{text} (lachesis control)")
        return done(text)

    def _with(self, command: Mapping[str, Any]) -> RunConfig:
        """Return the run's config with the setting that a command changes.

        Raises:
            ConfigError: the setting cannot be changed, or not to this value.
        """
        key, value, config = command.get("setting"), command.get("value"), self._run.config
        if not isinstance(key, str) or key not in self._bounds:
            raise ConfigError(f"{key!r:.80} cannot be changed while the run trains; {nearest(str(key), self._bounds)}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{key} is a number, found {value!r:.80}")
        least, most = self._bounds[key]
        if not least <= value <= most:
            raise ConfigError(
                f"{key} may be {least:g} to {most:g} in this run, found {value!r:.80}; declare other bounds in "
                "control.bounds before you start or resume it"
            )
        changes = {key: value}
        if key == "rollout.sampling.max_tokens":
            if config.trainer.loss.normalize == "constant":
                raise ConfigError(f'{key} divides the loss with trainer.loss.normalize = "constant", so it stays')
            # evaluations stay as they were, so that their results can be compared
            changes["eval.max_tokens"] = config.eval.max_tokens or config.rollout.sampling.max_tokens
        values = config.model_dump()
        for name, changed in changes.items():
            *parents, last = name.split(".")
            part = values
            for parent in parents:
                part = part[parent]
            part[last] = changed
        return validated(type(config), values, "lachesis control")

    def _state(self) -> dict[str, Any]:
        run = self._run
        settings = {
            key: {"value": value_of(run.config, key), "bounds": list(bounds), "since": self._changed.get(key)}
            for key, bounds in self._bounds.items()
        }
        return {
            "step": run.state.step,
            "steps": run.config.trainer.steps,
            "paused": self.paused,
            "stopping": self.stopped,
            "doing": run.progress.doing,
            "version": run.state.version,
            "held_out": run.state.held_out.last,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "settings": settings,
        }

    def _note(self, letter: Letter, answer: Answer) -> None:
        """Record a command in the event log and the log."""
        names = ("action", "setting", "value", "by")
        facts = {name: _plain(letter.command[name]) for name in names if letter.command.get(name) is not None}
        self._run.folder.events.note("control", step=self._run.state.step, **facts, **answer)
        self._run.folder.events.flush()
        log.info("control: %s: %s", " ".join(map(str, facts.values())), answer["text"])

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work, name="control")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _plain(value: Any) -> float | str:
    """Return a number as it is, and anything else as a short text that can be printed."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return (
        value
        if type(value) is int and abs(value) < 1 << 53
        else "".join(char if char.isprintable() else "?" for char in str(value)[:200])
    )


def done(text: str) -> Answer:
    """Return the answer to a command that was obeyed."""
    return {"done": True, "text": text}


def refused(text: str) -> Answer:
    """Return the answer to a command that was not obeyed."""
    return {"done": False, "text": text}


def value_of(config: RunConfig, key: str) -> Any:
    """Return the value at a dotted key."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value
