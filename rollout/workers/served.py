"""Policies that a program can also reach over HTTP, through one gateway for each event loop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...environments.chat import Chat, Policy
from ...environments.limits import Limits
from ...environments.model_server import ModelServer, Recorded
from ...environments.thinking import Thinking

if TYPE_CHECKING:  # they import a web server, which only agents that are programs need
    from ..gateway.episode import Opened
    from ..gateway.gateway import Gateway


class ServedPolicies:
    """Adds ``serve`` to policies. The gateway starts when the first program needs it."""

    def __init__(self) -> None:
        self._gateway: Gateway | None = None
        self._starting = asyncio.Lock()

    def policy(self, policy: Policy) -> "ServedPolicy":
        """``policy``, which can also be served."""
        return ServedPolicy(policy, self)

    async def gateway(self) -> "Gateway":
        """The gateway of this event loop.

        Raises:
            ConfigError: it cannot listen.
        """
        from ..gateway.gateway import Gateway

        async with self._starting:
            if self._gateway is None:
                gateway = Gateway()
                await gateway.start()
                self._gateway = gateway
            return self._gateway

    async def close(self) -> None:
        """Stop the gateway."""
        if self._gateway is not None:
            await self._gateway.close()
            self._gateway = None


@dataclass(frozen=True)
class ServedPolicy:
    """A policy, and the gateway through which programs reach it."""

    policy: Any
    served: ServedPolicies

    def open(
        self,
        agent: str,
        seed: tuple[int, ...],
        tools: Sequence[dict[str, Any]] = (),
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> Chat:
        """A new conversation."""
        chat: Chat = self.policy.open(agent, seed, tools, thinking)
        return chat

    @asynccontextmanager
    async def serve(self, agent: str, seed: tuple[int, ...], limits: Limits) -> AsyncIterator[ModelServer]:
        """Serve one episode of ``agent`` over HTTP; see ``Servable`` in ``environments/model_server.py``."""
        from ..gateway.budget import GatewayLimits

        gateway = await self.served.gateway()
        allowed = GatewayLimits(turns=limits.turns, tokens=limits.tokens)
        async with gateway.open(self.policy, seed=seed, agent=agent, limits=allowed) as opened:
            yield _Server(opened)


class _Server:
    """An open episode of the gateway, as environments see it."""

    def __init__(self, opened: "Opened") -> None:
        self._opened = opened
        self.url, self.key, self.model = opened.url, opened.key, opened.model

    async def recorded(self) -> Recorded:
        """Close the episode, and return what it leaves."""
        left = await self._opened.close()
        return Recorded(left.messages, left.segments, left.stop, left.failure, left.metrics, left.proof.to_json())
