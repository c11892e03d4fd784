"""The protocol through which a program that speaks HTTP reaches the model of an episode, and what it leaves."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..verifiers.message import Message
from ..verifiers.segment import Segment
from ..verifiers.trajectory import StopReason
from .limits import Limits


@dataclass(frozen=True)
class Recorded:
    """What a program said to the model, and what the model answered.

    Attributes:
        messages: the main conversation.
        segments: the training samples; empty if the policy gives no tokens.
        stop: ``turns`` or ``length`` if the program asked for more than the episode's limits allow, else ``done``.
        failure: why the engine failed; empty if it did not. Then the episode is not scored.
        metrics: name → number.
        proof: accounts for every sampled token; JSON.
    """

    messages: tuple[Message, ...] = ()
    segments: tuple[Segment, ...] = ()
    stop: StopReason = StopReason.DONE
    failure: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    proof: Mapping[str, Any] = field(default_factory=dict)


class ModelServer(Protocol):
    """One agent's model behind a URL, for one episode.

    Attributes:
        url: ends before ``/v1``.
        key: the API key that the program sends.
        model: the name by which it asks for the model.
    """

    url: str
    key: str
    model: str

    async def recorded(self) -> Recorded:
        """Stop answering, and return what was said."""
        ...


class Servable(Protocol):
    """A policy that can also be served; the policies of training and ``lachesis eval`` can."""

    def serve(self, agent: str, seed: tuple[int, ...], limits: Limits) -> AbstractAsyncContextManager[ModelServer]:
        """Serve one episode of ``agent`` within the limits on turns and tokens."""
        ...
