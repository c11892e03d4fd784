"""The policies that play an environment's agents: the trained one, the same without training, or one behind a URL."""

from collections.abc import Mapping
from dataclasses import replace

from ...environments.chat import Policy
from ...environments.environment import Environment
from ...verifiers.errors import ConfigError, nearest
from ..chats.text_chat import TextPolicy
from ..chats.token_chat import TokenPolicy
from ..config import AgentConfig
from ..engines.engine import Sampling


class AgentPolicies:
    """Maps each agent of one environment to its policy, and keeps the connections to endpoints.

    Args:
        environment: the environment whose agents are played.
        agents: settings by agent; the trained policy plays the agents that are not named.

    Raises:
        ConfigError: the environment has no such agent.
    """

    def __init__(self, environment: Environment, agents: Mapping[str, AgentConfig]) -> None:
        for agent in agents:
            if agent not in environment.agents:
                raise ConfigError(f"{environment.label} has no agent {agent!r}; {nearest(agent, environment.agents)}")
        self._agents = {agent: agents.get(agent, AgentConfig()) for agent in environment.agents}
        for agent in environment.untrained & self._agents.keys():
            self._agents[agent] = self._agents[agent].model_copy(update={"trainable": False})
        self._endpoints: dict[tuple[str, Sampling], TextPolicy] = {}

    @property
    def learners(self) -> frozenset[str]:
        """The agents whose tokens are trained."""
        return frozenset(agent for agent, config in self._agents.items() if config.learns)

    @property
    def need_engine(self) -> bool:
        """Whether any agent is played by the policy rather than through a URL."""
        return not all(config.url for config in self._agents.values())

    def policies(self, trained: TokenPolicy | None, sampling: Sampling) -> dict[str, Policy]:
        """The policy of each agent.

        Args:
            trained: the policy that is trained; None if every agent is played through a URL.
            sampling: how replies are drawn unless an agent's settings say otherwise.
        """
        return {agent: self._policy(agent, config, trained, sampling) for agent, config in self._agents.items()}

    def _policy(self, agent: str, config: AgentConfig, trained: TokenPolicy | None, sampling: Sampling) -> Policy:
        sampling = config.sampled(sampling)
        if config.url:
            key = (agent, sampling)
            if key not in self._endpoints:
                self._endpoints[key] = TextPolicy(
                    [config.url, *config.more_urls],
                    config.model,
                    sampling,
                    fields=config.fields,
                    key_variable=config.key,
                    headers=config.headers,
                )
            return self._endpoints[key]
        if trained is None:
            raise ConfigError(f"agent {agent!r} has no url, and no engine was opened for it; set its url and model")
        return replace(trained, sampling=sampling, trainable=config.trainable)

    async def close(self) -> None:
        """Close the connections to endpoints."""
        for policy in self._endpoints.values():
            await policy.close()
