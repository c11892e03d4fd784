"""The pool of engines and workers that makes groups: its protocol, its specification, and the one in this process."""

import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from ...environments.loading import EnvironmentSpec
from ...verifiers.sandbox.settings import SandboxSettings
from ..config import AgentConfig, ModelConfig, RolloutConfig
from ..engines.activity import Activity, Interval
from ..engines.checked import open_engine
from ..engines.engine import Completion, Engine, EngineInfo, Generator, Ids, Logprobs, Request
from ..engines.registry import ENGINES, EngineSetup
from ..engines.router import Router
from ..engines.weight_transport.transport import Shipment, WeightSender, open_sender
from ..event_log import EventLog
from ..orders import Order, Outcome, Passed, facts_of
from .agents import AgentPolicies
from .worker import GroupWorker


@dataclass(frozen=True)
class PoolSpec:
    """All that engines and workers are built from, in any process.

    Attributes:
        model: settings; ``path`` is a folder or Hub id.
        rollout: settings.
        environments: of the run, in its order.
        version: the weights version of the model's files; -1 if the trainer will send the first weights.
        sandbox: settings of the sandbox in which verifiers run programs.
        agents: settings of each environment's agents; where all agents have a ``url``, no engine is opened.
    """

    model: ModelConfig
    rollout: RolloutConfig
    environments: tuple[EnvironmentSpec, ...]
    version: int = -1
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    agents: tuple[dict[str, AgentConfig], ...] = ()

    @cached_property
    def needs_engine(self) -> bool:
        """Whether the policy plays any agent of any environment; if not, no model is loaded."""
        if not any(config.url for agents in self.agents for config in agents.values()):
            return True
        pairs = zip(self.environments, self.agents, strict=True)
        return any(AgentPolicies(spec.build(), agents).need_engine for spec, agents in pairs)

    def build_engine(self) -> Engine:
        """One engine; needs the engine's packages."""
        setup = EngineSetup(
            self.model.path,
            dtype=self.model.dtype,
            context=self.model.context,
            slots=self.rollout.slots,
            device=self.rollout.device,
            gpus=self.rollout.gpus_per_engine,
            gpu_memory_utilization=self.rollout.gpu_memory_utilization,
            sleep=self.rollout.sleep,
            version=self.version,
            options=self.rollout.engine_options,
        )
        return open_engine(self.rollout.engine, setup)

    def open_sender(self) -> WeightSender:
        """The trainer's side of the weight transport."""
        rollout, built_in = self.rollout, self.rollout.engine in ENGINES.names
        if rollout.weight_transport != "auto":
            return open_sender(rollout.weight_transport, rollout.weight_folder)
        from ..engines.weight_transport.auto import AutoSender, EnginePlace

        here = rollout.inline and built_in and rollout.gpus_per_engine <= 1  # vLLM on several GPUs has more processes
        return AutoSender(EnginePlace(os.getpid() if here else None, built_in and rollout.device != "cpu"))

    def build_worker(self, engine: Generator) -> GroupWorker:
        """One worker."""
        renderer = None
        if self.needs_engine:
            from ..chats.renderer import Renderer

            renderer = Renderer.load(self.model.path)
        return GroupWorker(
            self.environments, engine, renderer, self.rollout, self.model.context, self.sandbox, self.agents
        )


class GroupMaker(Protocol):
    """What answers orders, as the dispatcher uses it."""

    async def run(self, orders: Sequence[Order]) -> Sequence[Outcome | Passed]:
        """Return an answer to each order."""
        ...


class Pool(GroupMaker, Protocol):
    """Engines and workers, as a run uses them."""

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        """Make groups on one worker, or on another if that one dies."""
        ...

    def generator(self) -> Generator:
        """The engines, for requests from this process; a request goes on to the next engine where one is lost."""
        ...

    def sender(self) -> WeightSender:
        """The trainer's side of the weight transport, for ``publish``."""
        ...

    async def publish(self, shipment: Shipment) -> None:
        """Give the weights to every engine that lives, and check that they arrived whole.

        Engines that come back later get them before they serve requests.

        Raises:
            EngineError: a digest is wrong, or no engine took the weights in time.
        """
        ...

    async def sleep(self) -> None:
        """Let every engine that lives give back the GPU's memory, if ``rollout.sleep`` says so, until ``publish``."""
        ...

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> list[Logprobs]:
        """The logprobs of ``tokens``, computed by every engine that lives."""
        ...

    async def infos(self) -> list[EngineInfo]:
        """The kind and state of every engine that lives."""
        ...

    async def activity(self) -> list[list[Interval]]:
        """When each engine had requests since the last call; empty for an engine that does not answer."""
        ...

    async def close(self) -> None:
        """End all engines, workers and their processes."""
        ...


class ObservedEngine:
    """The part of an engine that chats use, with its busy time.

    Args:
        engine: the engine.
        activity: counts its requests.
    """

    def __init__(self, engine: Engine, activity: Activity) -> None:
        self._engine, self._activity = engine, activity

    async def generate(self, request: Request) -> Completion:
        """As in ``Engine``."""
        with self._activity.request():
            completion = await self._engine.generate(request)
            self._activity.sampled(completion.tokens.size)
            return completion


class InlinePool:
    """One worker, and one engine if any agent needs it, in this process: no Ray, no threads.

    Args:
        spec: what they are built from.
        events: is told which groups the worker made.
    """

    def __init__(self, spec: PoolSpec, events: EventLog | None = None) -> None:
        self._spec, self._events = spec, events or EventLog()
        self._engines = [spec.build_engine()] if spec.needs_engine else []
        self._activities = [Activity() for _ in self._engines]
        observed = [ObservedEngine(*pair) for pair in zip(self._engines, self._activities, strict=True)]
        self._router = Router(observed, spec.rollout.deadline)
        self._worker = spec.build_worker(self._router)

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        """As in ``Pool``."""
        with self._events.span("worker", worker=0, **facts_of(orders)):
            return await self._worker.run(orders)

    def generator(self) -> Generator:
        """As in ``Pool``."""
        return self._router

    def sender(self) -> WeightSender:
        """As in ``Pool``."""
        return self._spec.open_sender()

    async def publish(self, shipment: Shipment) -> None:
        """As in ``Pool``."""
        for engine in self._engines:
            shipment.check_delivery(await engine.update(shipment), "the engine")

    async def sleep(self) -> None:
        """As in ``Pool``."""
        for engine in self._engines:
            await engine.sleep()

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> list[Logprobs]:
        """As in ``Pool``."""
        return [await engine.compute_logprobs(tokens, temperature) for engine in self._engines]

    async def infos(self) -> list[EngineInfo]:
        """As in ``Pool``."""
        return [await engine.info() for engine in self._engines]

    async def activity(self) -> list[list[Interval]]:
        """As in ``Pool``."""
        return [activity.take() for activity in self._activities]

    async def close(self) -> None:
        """As in ``Pool``."""
        async with AsyncExitStack() as closing:  # calls all of these, the last one first, even if one raises
            for engine in self._engines:
                closing.push_async_callback(engine.close)
            closing.push_async_callback(self._worker.close)
