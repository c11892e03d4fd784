"""The supervisor of a run: a process that starts it as a child, ends it if it hangs, and resumes it if it was lost."""

import json
import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

from ....rollout.cluster.leftovers import clean
from ....verifiers.errors import InfrastructureError
from .heartbeat import PIPE, RESTARTED, STEP

_ENDINGS = (0, 2, 3, 130)
"""Exit codes after which a restart makes no sense: done, wrong input, an alert of trainer.stop_on, stopped."""


class Patience:
    """How long a run may show no progress.

    Before its first step that is ``START`` times the floor, because models are loaded and compiled then. Afterwards it
    is the most of: the floor, ``STEPS`` times the median duration of a step, and ``LONGEST`` times the longest pause
    between two signs of progress. Both are of the last ``MEMORY`` steps, so that a fault that it waited out does not
    make it wait longer for ever.

    Args:
        floor: seconds.
    """

    START, STEPS, LONGEST, MEMORY = 6, 10, 2, 200

    def __init__(self, floor: float) -> None:
        self._floor = floor
        self._durations: deque[float] = deque(maxlen=self.MEMORY)
        self._pauses: deque[float] = deque(maxlen=self.MEMORY)
        self.begin()

    def begin(self) -> None:
        """A run has started, or was started again."""
        self._last, self._step = time.monotonic(), 0.0
        self._longest = 0.0  # pause since the last step

    def seen(self, event: str) -> None:
        """The run has made progress."""
        now = time.monotonic()
        self._longest = max(self._longest, now - self._last)
        self._last = now
        if event == STEP:
            if self._step:
                self._durations.append(now - self._step)
                self._pauses.append(self._longest)
            self._step, self._longest = now, 0.0

    @property
    def allowed(self) -> float:
        """Seconds without progress that are allowed now."""
        if not self._step:
            return self.START * self._floor
        if not self._durations:
            return self._floor
        longest = max(*self._pauses, self._longest)
        return max(self._floor, self.STEPS * median(self._durations), self.LONGEST * longest)

    @property
    def left(self) -> float:
        """Seconds until the run counts as hanging."""
        return self._last + self.allowed - time.monotonic()


@dataclass
class Child:
    """One start of the run.

    Attributes:
        process: its process, in a session of its own, so that a Ctrl-C in the terminal reaches it once.
        pipe: its messages.
        failed: what it said of the error that ended it.
        again: whether that error may be over after a restart; None if it said nothing.
        hung: for how many seconds it had shown no progress when it was ended; 0 if it was not ended for that.
    """

    process: subprocess.Popen[bytes]
    pipe: int
    failed: str = ""
    again: bool | None = None
    hung: float = 0.0
    _rest: bytes = field(default=b"", repr=False)

    @classmethod
    def start(cls, command: Sequence[str], restarted: str) -> "Child":
        """Run a command."""
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        environment = {**os.environ, PIPE: str(theirs), RESTARTED: restarted}
        try:
            process = subprocess.Popen([*command], env=environment, pass_fds=[theirs], start_new_session=True)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return cls(process, ours)

    def messages(self, seconds: float) -> Iterator[dict[str, Any]]:
        """What it has said, after a wait of at most ``seconds`` for the next message."""
        if not select.select([self.pipe], [], [], max(0.0, seconds))[0]:
            return
        with suppress(BlockingIOError):
            while data := os.read(self.pipe, 65536):
                *lines, self._rest = (self._rest + data).split(b"\n")
                for line in lines:
                    with suppress(ValueError):
                        if isinstance(message := json.loads(line), dict):
                            yield message
            time.sleep(min(0.05, max(0.0, seconds)))  # the pipe is closed: the process is ending

    def told(self, message: dict[str, Any]) -> None:
        """Keep what it said of its end."""
        if "failed" in message:
            self.failed, self.again = str(message["failed"]), bool(message.get("again"))

    def send(self, number: int) -> None:
        """Send it a signal, and wake it if it is stopped."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)
            os.kill(self.process.pid, signal.SIGCONT)

    @property
    def lost(self) -> bool:
        """Whether it has ended in a way after which a restart may help."""
        code = self.process.returncode
        return bool(self.hung) or (self.again if self.again is not None else code not in _ENDINGS)

    @property
    def end(self) -> str:
        """How it has ended, for people."""
        code = self.process.returncode
        if self.hung:
            return f"the run was ended, because it made no progress for {self.hung:.0f} s"
        if self.failed:
            return f"the run failed ({self.failed.rstrip('.')})"
        if code < 0:
            with suppress(ValueError):
                return f"the run was killed by {signal.Signals(-code).name}"
        return f"the run ended with exit code {code} and no error, as Ray ends it when its raylet or GCS is lost"


class Supervisor:
    """Runs a command that trains until the run is done, wrong, or stopped.

    It goes on from the run's newest checkpoint after a failure of the infrastructure: a lost rank, raylet or GCS, a
    killed or hanging process. Signals are passed on, so SIGTERM makes the run write a checkpoint first.

    Args:
        command: its program and arguments, without ``--resume``.
        resume: the folder of a run to go on with; None for a new one.
        restarts: how many restarts in a row are made without a newer checkpoint.
        patience: seconds without progress after which the run counts as hanging; see ``Patience``.
        say: shows a line to the user.
    """

    GRACE = 30.0
    """Seconds in which a hanging run may end by itself after SIGTERM."""
    LAST = 180.0
    """Seconds that a stopped run has for its last checkpoint and its end."""
    FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
    """Seconds before the first restart; each further one without a newer checkpoint waits twice as long, up to this."""

    def __init__(
        self, command: Sequence[str], resume: str | None, restarts: int, patience: float, say: Callable[[str], None]
    ) -> None:
        self._command, self._restarts, self._say = list(command), restarts, say
        self._run = Path(resume) if resume else None
        self._patience = Patience(patience)
        self._signals = 0

    def supervise(self) -> int:
        """Return the exit code of the run's last process.

        Raises:
            InfrastructureError: too many restarts were made without a newer checkpoint.
        """
        failures, restarted = 0, ""
        with self._passing_signals_on():
            while True:
                newest = self._newest()
                child = self._once(restarted)
                found = clean()
                code = child.process.returncode
                if not child.lost or self._signals:
                    return code if code >= 0 else 128 - code
                if found:
                    self._say(f"removed what it had left behind: {', '.join(found)}")
                failures = 1 if self._newest() > newest else failures + 1
                if failures > self._restarts:
                    raise InfrastructureError(
                        f"{child.end}; {self._restarts} restarts in a row brought no newer checkpoint, so it is not "
                        f"started again. Find the cause, then continue with --resume {self._run or 'its folder'}"
                    )
                wait = min(self.FIRST_WAIT * 2 ** (failures - 1), self.LONGEST_WAIT)
                restarted = f"{child.end}; restart {failures} of {self._restarts}"
                self._say(f"{restarted} in {wait:g} s, {self._from()}")
                if self._sleeps(wait):
                    return 130

    def _once(self, restarted: str) -> Child:
        """Start the run, and wait for its end."""
        child = Child.start(self._command_now(), restarted)
        self._patience.begin()
        stopping: float | None = None  # when it is killed
        sent = 0
        try:
            while child.process.poll() is None:
                self._hear(child, min(0.5, max(0.05, self._patience.left)))
                if self._signals > sent:
                    sent = self._signals
                    child.send(signal.SIGTERM if sent < 3 else signal.SIGKILL)
                    stopping = time.monotonic() + self.LAST
                elif stopping is None and self._patience.left < 0:
                    child.hung = self._patience.allowed
                    child.send(signal.SIGTERM)
                    stopping = time.monotonic() + self.GRACE
                elif stopping is not None and time.monotonic() > stopping:
                    child.process.kill()
            self._hear(child, 0.0)
        finally:
            os.close(child.pipe)
        return child

    def _hear(self, child: Child, seconds: float) -> None:
        for message in child.messages(seconds):
            child.told(message)
            if "event" in message:
                self._patience.seen(str(message["event"]))
            if run := message.get("run"):
                self._run = Path(str(run))

    def _command_now(self) -> list[str]:
        """The command, and the folder to go on with if there is one."""
        return [*self._command, *(["--resume", str(self._run)] if self._run else [])]

    def _newest(self) -> int:
        """The step of the newest complete checkpoint; -1 if there is none."""
        seals = self._run.glob("checkpoints/step-*/manifest.json") if self._run else ()
        steps = [seal.parent.name.removeprefix("step-") for seal in seals]
        return max((int(step) for step in steps if step.isdigit()), default=-1)

    def _from(self) -> str:
        newest = self._newest()
        return f"from the checkpoint of step {newest} in {self._run}" if newest >= 0 else "from its beginning"

    def _sleeps(self, seconds: float) -> bool:
        """Wait before a restart; whether a signal came."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._signals:
            time.sleep(min(0.1, left))
        return self._signals > 0

    @contextmanager
    def _passing_signals_on(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP go to the run as SIGTERM; the third of them kills it."""

        def count(number: int, frame: FrameType | None) -> None:
            self._signals += 1

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, count) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
