"""The protocol of a sandbox: it runs single jobs, and jobs that exchange lines with their caller while they run."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from .job import Execution, Job, Level
from .layers import Layer

Result = TypeVar("Result")

CHANNEL_IN, CHANNEL_OUT = 3, 4
"""The file descriptors on which a job in a conversation reads and writes lines; other jobs do not have them."""


class SessionEnded(Exception):
    """The job will not answer any more; ``converse`` returns its ``Execution``, which says why."""


class Session(Protocol):
    """A running job that can exchange lines with its caller."""

    def ask(self, line: bytes) -> bytes:
        """Send one line to the job's ``CHANNEL_IN``, and return the next line from its ``CHANNEL_OUT``.

        Lines are without their line end, and have at most ``limits.output`` bytes. The call blocks for as long as the
        limits allow the job to run.

        Raises:
            SessionEnded: the job has ended, or its line is too long.
        """
        ...

    def read(self) -> bytes:
        """Return the next line from the job; raises like ``ask``."""
        ...

    def send(self, line: bytes) -> None:
        """Send one line without waiting for an answer; raises like ``ask``."""
        ...

    def receive(self, seconds: float) -> bytes:
        """Wait at most ``seconds`` for bytes from the job; return them, or none. Raises like ``ask``."""
        ...

    def write(self, data: bytes) -> None:
        """Send bytes that need not be whole lines, without waiting for an answer; raises like ``ask``."""
        ...

    def fileno(self) -> int:
        """A descriptor for ``select`` that is readable if ``receive`` may find bytes; -1 if the caller has to poll."""
        ...

    def close(self) -> None:
        """Let the job read end of file on its channel; it has two more seconds to end."""
        ...


class Sandbox(Protocol):
    """Runs untrusted programs. Safe to call from any thread and event loop."""

    @property
    def name(self) -> str:
        """The name of its backend, for messages."""
        ...

    @property
    def layers(self) -> Sequence[Layer]:
        """Each means of confinement, and whether it holds; the first use starts the sandbox and tries them."""
        ...

    @property
    def level(self) -> Level:
        """The level that these layers reach."""
        ...

    async def run(self, job: Job) -> Execution:
        """Run ``job`` and return how it went; never raises because of what the job does."""
        ...

    async def converse(
        self, jobs: Sequence[Job], drive: Callable[[Sequence[Session]], Result]
    ) -> tuple[Result | None, list[Execution]]:
        """Run ``jobs`` at the same time, while ``drive`` talks to them in another thread.

        Returns the result of ``drive`` (None if it let ``SessionEnded`` pass) and the execution of each job. ``drive``
        may wait for its sessions only. When it returns, each job reads end of file on its channel, and has two more
        seconds to end. If the sandbox is lost, all jobs start again, and ``drive`` is called again; if it is lost twice
        while a control job succeeds, the jobs have caused it, and their executions have status ``limit``.

        Raises:
            SandboxLost: the sandbox failed; nothing was judged.
        """
        ...

    def close(self) -> None:
        """End every job and process of the sandbox."""
        ...
