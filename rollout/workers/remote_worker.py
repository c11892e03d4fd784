"""A handle on an environment worker in a Ray actor."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ..orders import Order, Outcome
from .actors import WorkerActor
from .fleet.keeper import ActorLost, ActorSilent
from .fleet.off_loop import off_loop
from .pool import PoolSpec
from .remote import Berth, RemoteActor, RemoteEngine, answer_of


class WorkerLost(Exception):
    """A worker died or hangs; the message says which of both.

    Attributes:
        left: whether it left a node that was announced to go, which is no fault of the orders that it had.
    """

    left = False


class RemoteWorker(RemoteActor):
    """A worker in an actor."""

    TOLD = 10.0
    """Seconds that a worker may take to learn which engines serve."""
    RETRY = 0.5
    """Seconds between two looks at a worker that Ray restarts."""
    GRACE = 30.0
    """Seconds beyond a group's own deadline after which its worker counts as hanging, although it has a pulse."""

    def __init__(
        self, actor: Any, deadline: float, label: str = "its process", again: Callable[[], Any] | None = None
    ) -> None:
        super().__init__(actor, label, again)
        self._deadline = deadline

    @classmethod
    def start(cls, spec: PoolSpec, berth: Berth) -> "RemoteWorker":
        """Start an actor that hosts a worker."""
        actor, again = cls.begin(WorkerActor, berth, spec)
        return cls(actor, spec.rollout.deadline, again=again)

    async def use(self, engines: Sequence[RemoteEngine | None]) -> None:
        """As in ``WorkerActor``; ``ActorLost`` or ``ActorSilent`` if the worker does not say that it does so."""
        await self._ask("use", list(engines), deadline=self.TOLD)

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        """As in ``GroupWorker``; the deadline of a group begins anew with each worker that plays it.

        Raises:
            WorkerLost: the worker died, or hangs and is replaced.
        """
        try:
            await self._until_up()
            call = await off_loop(lambda: self._actor.run.remote(list(orders)), self._deadline)
            outcomes: list[Outcome] = await answer_of(call, self._deadline + self.GRACE, self._label, "run")
            return outcomes
        except ActorLost as error:
            raise WorkerLost(f"died: {error}") from None
        except (ActorSilent, TimeoutError):  # the groups' own deadline has passed, so the worker hangs
            with suppress(TimeoutError):
                await self.kill(restart=True)
            raise WorkerLost("hangs, and is replaced") from None

    async def _until_up(self) -> None:
        """Wait while Ray restarts the worker: a call that meets it then would count as one more loss."""
        async with asyncio.timeout(self._deadline):
            while True:
                try:
                    await self.pid()
                    return
                except ActorLost:
                    await asyncio.sleep(self.RETRY)
