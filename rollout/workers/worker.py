"""The inside of an environment worker: it plays groups of episodes against an engine and scores them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...environments.chat import Policy
from ...environments.environment import Environment
from ...environments.loading import EnvironmentSpec
from ...environments.play import home_of, play
from ...environments.turn_advantages import with_all_advantages
from ...verifiers.boundary import Boundary, collect_faults
from ...verifiers.errors import EnvironmentFault, InfrastructureError
from ...verifiers.group import Group, Lost
from ...verifiers.sandbox.settings import SandboxSettings
from ...verifiers.sandbox.shared import configure_sandbox
from ...verifiers.trajectory import StopReason, Trajectory
from ..chats.renderer import Renderer
from ..chats.token_chat import TokenPolicy
from ..config import AgentConfig, RolloutConfig
from ..engines.engine import Generator
from ..orders import Failure, Order, Outcome
from .agents import AgentPolicies
from .served import ServedPolicies

MOST_FAULTS = 5
"""Most exceptions of user code that travel with a group."""


class GroupWorker:
    """Plays and scores groups; knows nothing of Ray or of where the engine is.

    Args:
        specs: the run's environments.
        engine: generates the tokens.
        renderer: of the model's chat template; None if every agent is played through a URL.
        config: how failures are treated.
        context: most tokens of prompt and completion together.
        sandbox: settings of the sandbox in which this process's verifiers run programs.
        agents: settings of each environment's agents; the trained policy plays the agents that are not named.
    """

    def __init__(
        self,
        specs: Sequence[EnvironmentSpec],
        engine: Generator,
        renderer: Renderer | None,
        config: RolloutConfig,
        context: int,
        sandbox: SandboxSettings,
        agents: Sequence[Mapping[str, AgentConfig]] = (),
    ) -> None:
        configure_sandbox(sandbox)
        self.environments = [spec.build() for spec in specs]
        self._engine = engine
        self._renderer = renderer
        self._config = config
        self._context = context
        self._agents = agents
        self._policies: dict[int, AgentPolicies] = {}
        self._served = ServedPolicies()

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        """Make all groups at once; each ends exactly once, as a group or as a failure."""
        return await asyncio.gather(*(self._with_faults(order) for order in orders))

    async def _with_faults(self, order: Order) -> Outcome:
        """A group, or its failure, with the exceptions of user code that occurred on the way."""
        with collect_faults() as found:
            outcome = await self._group(order)
        return replace(outcome, faults=tuple(found.values())[:MOST_FAULTS]) if found else outcome

    async def _group(self, order: Order) -> Outcome:
        environment = self.environments[order.environment]
        try:
            async with asyncio.timeout(self._config.deadline):
                attempts = await self._attempts(environment, order)
        except TimeoutError:
            return Failure(order.index, f"the group took more than its {self._config.deadline:g} s (rollout.deadline)")
        except (InfrastructureError, EnvironmentFault) as error:
            return Failure(order.index, str(error))
        numbers = tuple(number for number, attempt in enumerate(attempts) if attempt.scored)
        scored = with_all_advantages([attempts[number] for number in numbers])
        if len(scored) < len(attempts) and (self._config.on_failure == "fail" or len(scored) < min(2, order.size)):
            return Failure(order.index, why_unscored(next(attempt for attempt in attempts if not attempt.scored)))
        lost = tuple(
            Lost(number, attempt.stop, why_unscored(attempt))
            for number, attempt in enumerate(attempts)
            if not attempt.scored
        )
        return Group(order.index, order.task, scored, numbers, lost)

    async def _attempts(self, environment: Environment, order: Order) -> list[Trajectory]:
        """All attempts of a group, scored one by one and then together."""
        players = self._agent_policies(order.environment).policies(self._trained_policy(order), order.sampling)
        policies = {agent: self._served.policy(player) for agent, player in players.items()}
        attempts = await asyncio.gather(
            *(self._attempt(environment, order, number, policies) for number in range(order.size))
        )
        for _ in range(self._tries):
            with Boundary(home_of(environment)) as outcome:
                judged = await environment.score_group(attempts)
                if [_task(one) for one in judged] != [order.task.hash] * order.size:
                    raise TypeError(f"score_group returns the {order.size} trajectories that it was given, scored")
            if outcome.fault:
                raise EnvironmentFault(str(outcome.fault))
            if sum(attempt.scored for attempt in judged) == sum(attempt.scored for attempt in attempts):
                break
        return judged

    def _agent_policies(self, environment: int) -> AgentPolicies:
        if environment not in self._policies:
            agents = self._agents[environment] if self._agents else {}
            self._policies[environment] = AgentPolicies(self.environments[environment], agents)
        return self._policies[environment]

    def _trained_policy(self, order: Order) -> TokenPolicy | None:
        if self._renderer is None:
            return None
        return TokenPolicy(
            self._engine,
            self._renderer,
            order.sampling,
            context=self._context,
            version=order.version,
            route=order.index,
        )

    async def close(self) -> None:
        """Close the gateway, and the connections to endpoints."""
        await self._served.close()
        for policies in self._policies.values():
            await policies.close()

    @property
    def _tries(self) -> int:
        """Most tries at what could not be scored, the first included."""
        return 1 + self._config.retries * (self._config.on_failure == "retry")

    async def _attempt(
        self, environment: Environment, order: Order, number: int, policies: Mapping[str, Policy]
    ) -> Trajectory:
        """One scored trajectory; played again with the same seed if it could not be scored and retries are left."""
        seed = (*order.seed, order.index, number)
        for _ in range(self._tries):
            played = await play(environment, order.task, policies, seed, inline=self._config.inline)
            trajectory = await _judged(environment, played)
            if trajectory.scored:
                break
        return trajectory


def _task(judged: Any) -> str:
    """The hash of a trajectory's task; empty if ``judged`` is no trajectory."""
    return judged.task.hash if isinstance(judged, Trajectory) else ""


async def _judged(environment: Environment, played: Trajectory) -> Trajectory:
    """The trajectory with its rewards; if ``score_trajectory`` raises, with the error and without rewards."""
    with Boundary(home_of(environment)) as outcome:
        scored = await environment.score_trajectory(played)
        if _task(scored) != played.task.hash:
            raise TypeError(f"score_trajectory returns the trajectory that it was given, scored, found {scored!r:.80}")
        return scored
    return replace(played, stop=StopReason.ENVIRONMENT_ERROR, error=str(outcome.fault), rewards={})


def why_unscored(trajectory: Trajectory) -> str:
    """Why ``trajectory`` has no score, in one line."""
    if trajectory.error:
        return trajectory.error
    for agent, reward in trajectory.rewards.items():
        for label, _, verdict in reward.unjudged:
            return f"reward {label!r} of agent {agent!r} was not judged: {verdict.reason}"
    return "the environment gave no reward at all; add a rubric, a @reward method or episode.reward(…)"
