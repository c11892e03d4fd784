"""One engine of a fleet, and what it was last sent."""

import asyncio

from ..remote import RemoteEngine
from .keeper import Keeper
from .state import Member


class Seat:
    """One engine of the fleet, and what it was last sent.

    Attributes:
        engine: the handle.
        member: its state.
        keeper: looks after it.
        error: why it refused the current weights; None if it did not.
        loss: why the last try to send it weights had no answer; empty if none failed.
        gap: of the probe of its last refit.
        refitting: the task that sends it weights.
    """

    keeper: Keeper

    def __init__(self, engine: RemoteEngine, member: Member) -> None:
        self.engine, self.member = engine, member
        self.gap, self.loss = 0.0, ""
        self.error: Exception | None = None
        self.refitting: asyncio.Task[None] | None = None
        self._held = (-1, 0)

    def holds(self, version: int, starts: int, gap: float) -> None:
        """Note that a refit with ``version`` succeeded, in the process that was the ``starts``-th."""
        self._held, self.gap = (version, starts), gap

    @property
    def version(self) -> int:
        """The weights version of its last refit; -1 if its process has had none."""
        version, starts = self._held
        return version if starts == self.member.starts else -1

    @property
    def described(self) -> str:
        """Its state in words, with what its last refit ended with."""
        return f"engine {self.member.number} is {self.member.state.value}" + (f" ({self.loss})" if self.loss else "")

    @property
    def awaited(self) -> bool:
        """Whether a publication waits for it: it answers, or is being started for the first time, with the run."""
        return self.member.working or self.member.begins
