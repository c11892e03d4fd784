"""Looks whether Ray itself still answers, and which nodes of its cluster are lost."""

import asyncio
import atexit
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ....verifiers.errors import InfrastructureError
from ..remote import first_line
from .off_loop import off_loop
from .state import Member

log = logging.getLogger("lachesis")

Result = TypeVar("Result")

CURE = "continue the run with --resume"


class RayHealth:
    """Ends what waits for Ray if Ray no longer answers. Make it while an event loop runs, with Ray started.

    Args:
        members: returns the actors of the run, for the line that tells of a lost node.
        look: returns the nodes of the cluster; blocks if the raylet of this machine or the GCS does not answer.
        leave: keeps Ray from waiting for its own end when this process ends.
        deadline: seconds that ``look`` may take.
    """

    EVERY = 5.0
    """Seconds between two looks."""

    def __init__(
        self,
        members: Callable[[], Sequence[Member]],
        look: Callable[[], Sequence[dict[str, Any]]],
        leave: Callable[[], None],
        deadline: float = 45.0,
    ) -> None:
        self._members, self._look, self._leave, self._deadline = members, look, leave, deadline
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._nodes: dict[str, str] = {}
        self._watch = asyncio.create_task(self._look_on())

    def gone(self, reason: str) -> None:
        """Give Ray up: all that is guarded raises ``InfrastructureError`` from now on."""
        if not self._failure.done():
            log.error("%s; the run ends", reason)
            self._failure.set_exception(InfrastructureError(f"{reason}; {CURE}"))
            self._failure.exception()  # seen, if nothing waits

    async def guard(self, work: Awaitable[Result]) -> Result:
        """Return the result of ``work``.

        Raises:
            InfrastructureError: Ray was given up.
        """
        task = asyncio.ensure_future(work)
        either: set[asyncio.Future[Any]] = {task, self._failure}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._failure.result()
            return task.result()
        finally:
            task.cancel()

    async def close(self, stop: Callable[[], None]) -> None:
        """End the watch, and leave or end Ray by ``stop``, unless Ray was given up."""
        self._watch.cancel()
        if not self._failure.done():
            with suppress(TimeoutError):
                await off_loop(stop, self._deadline)
                return
        self._leave()
        atexit.register(_kill_all, _own_ray_processes())  # not yet: Ray ends a process whose raylet is killed

    async def _look_on(self) -> None:
        while not self._failure.done():
            try:
                nodes = await off_loop(self._look, self._deadline)
            except TimeoutError:
                self.gone(
                    f"Ray has not answered on this machine for {self._deadline:g} s: its raylet or its GCS is stopped, "
                    "or memory or disk are full"
                )
                return
            except Exception as error:  # noqa: BLE001 - Ray says in many ways that it is gone
                self.gone(f"Ray is gone from this machine: {first_line(error)}")
                return
            self._compare(nodes)
            await asyncio.sleep(self.EVERY)

    def _compare(self, nodes: Sequence[dict[str, Any]]) -> None:
        """Tell of nodes that were there at the last look."""
        alive = {node["NodeID"]: str(node["NodeManagerAddress"]) for node in nodes if node["Alive"]}
        for node, address in self._nodes.items():
            if node not in alive:
                lost = [f"{member.kind} {member.number}" for member in self._members() if member.node == node]
                load = f", and with it {', '.join(lost)}" if lost else "; no engine or worker was on it"
                cure = "what was on it is started again where there is room; `ray status` shows what waits for a node"
                log.warning("the node %s is lost%s; %s", address, load, cure)
        self._nodes = alive


def _own_ray_processes() -> list[int]:
    """The processes of Ray that this process has started."""
    children = [int(pid) for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()]
    return [pid for pid in children if _is_ray(pid)]


def _is_ray(pid: int) -> bool:
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"/ray/" in command or b"raylet" in command
    return False


def _kill_all(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
