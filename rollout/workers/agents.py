"""Who plays the agents of an environment: the policy that learns, the same without learning, or a model elsewhere."""

from collections.abc import Mapping
from dataclasses import replace

from ...environments.chat import Policy
from ...environments.environment import Environment
from ...verifiers.errors import ConfigError, nearest
from ..chats.text_chat import TextPolicy
from ..chats.token_chat import TokenPolicy
from ..config import AgentConfig
from ..engines.engine import Sampling


class Cast:
    """The players of one environment's agents, with the connections that some of them need.

    Args:
        environment: whose agents they are.
        players: by agent; those that are not named are the policy that learns.

    Raises:
        ConfigError: there is no such agent.
    """

    def __init__(self, environment: Environment, players: Mapping[str, AgentConfig]) -> None:
        for agent in players:
            if agent not in environment.agents:
                raise ConfigError(f"{environment.label} has no agent {agent!r}; {nearest(agent, environment.agents)}")
        self._agents = environment.agents
        self._players = players
        self._elsewhere: dict[tuple[str, Sampling], TextPolicy] = {}

    @property
    def learners(self) -> frozenset[str]:
        """The agents whose tokens the policy learns from."""
        return frozenset(agent for agent in self._agents if agent not in self._players or self._players[agent].learns)

    def policies(self, learner: TokenPolicy) -> dict[str, Policy]:
        """Who speaks as which agent; ``learner`` is the policy that learns."""
        return {agent: self._policy(agent, learner) for agent in self._agents}

    def _policy(self, agent: str, learner: TokenPolicy) -> Policy:
        player = self._players.get(agent)
        if player is None:
            return learner
        sampling = player.sampled(learner.sampling)
        if not player.url:
            return replace(learner, sampling=sampling, trainable=player.trainable)
        key = (agent, sampling)
        if key not in self._elsewhere:
            self._elsewhere[key] = TextPolicy(player.url, player.model, sampling, key_variable=player.key)
        return self._elsewhere[key]

    async def close(self) -> None:
        """End connections."""
        for policy in self._elsewhere.values():
            await policy.close()
