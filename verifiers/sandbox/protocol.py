"""What every sandbox backend offers: jobs one by one, and jobs that talk while they run."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from .job import Execution, Job, Level
from .layers import Layer

Result = TypeVar("Result")

CHANNEL_IN, CHANNEL_OUT = 3, 4
"""File descriptors on which a job that converses reads and writes lines; a job that only runs has neither."""


class SessionEnded(Exception):
    """The job will not answer any more; how it went stands in the ``Execution`` that ``converse`` returns."""


class Session(Protocol):
    """A job that is running and can be asked."""

    def ask(self, line: bytes) -> bytes:
        """Send one line (without its end) to the job's ``CHANNEL_IN``; the next line from its ``CHANNEL_OUT``.

        Blocks, within the job's limits: a job out of time is ended like any other. A line holds at most
        ``limits.output`` bytes.

        Raises:
            SessionEnded: the job ended, was ended, or answered with too much.
        """
        ...

    def read(self) -> bytes:
        """The next line without asking; raises like ``ask``."""
        ...

    def send(self, line: bytes) -> None:
        """Send one line without waiting for any; raises like ``ask``."""
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
        """How ``job`` went; never raises for what the job does."""
        ...

    async def converse(
        self, jobs: Sequence[Job], drive: Callable[[Sequence[Session]], Result]
    ) -> tuple[Result | None, list[Execution]]:
        """Start ``jobs`` side by side, let ``drive`` talk to them (in a thread of ours), then end them.

        What ``drive`` returned, or None where it let ``SessionEnded`` pass, and how each job went. ``drive`` waits for
        nothing but its sessions. Each job gets end of file on its channel when ``drive`` is done, and two more seconds
        to end. Where a sandbox was lost, all is begun again, with ``drive`` called anew; lost twice while a control job
        does well, it was the jobs' doing: their executions say ``limit``.

        Raises:
            SandboxLost: our machinery failed; nothing was judged.
        """
        ...

    def close(self) -> None:
        """End every job and process of the sandbox."""
        ...
