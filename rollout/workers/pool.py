"""The pool of engines and workers that makes groups: its protocol, its specification, and the one in this process."""

import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Protocol

from ...environments.loading import EnvironmentSpec
from ...verifiers.sandbox.settings import SandboxSettings
from ..chats.chat_tokenizer import ChatTokenizer
from ..chats.renderer import Renderer
from ..cluster.config import ClusterConfig
from ..cluster.demand import Actors
from ..config import AgentConfig, ModelConfig, RolloutConfig
from ..engines.activity import Activity, Interval
from ..engines.checked import open_engine
from ..engines.engine import Completion, Engine, EngineInfo, Generator, Ids, Logprobs, Request
from ..engines.probe import Probe
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
        tokenizer: the model's, with which workers in other processes need neither transformers nor torch; None is
            loaded from ``model.path``.
        cluster: the machines on which Ray places the actors.
        ranks: ranks of the trainer that need room on them; 0 if the trainer is in the process of the run.
        gpus_per_rank: GPUs of each of them.
    """

    model: ModelConfig
    rollout: RolloutConfig
    environments: tuple[EnvironmentSpec, ...]
    version: int = -1
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    agents: tuple[dict[str, AgentConfig], ...] = ()
    tokenizer: ChatTokenizer | None = None
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    ranks: int = 0
    gpus_per_rank: float = 0.0

    @cached_property
    def needs_engine(self) -> bool:
        """Whether the policy plays any agent of any environment; if not, no model is loaded."""
        if not any(config.url for agents in self.agents for config in agents.values()):
            return True
        pairs = zip(self.environments, self.agents, strict=True)
        return any(AgentPolicies(spec.build(), agents).need_engine for spec, agents in pairs)

    @property
    def actors(self) -> Actors:
        """How many actors the run has on Ray, and their GPUs."""
        engines = self.rollout.engines if self.needs_engine else 0
        return Actors(engines, self.rollout.workers, self.ranks, self.rollout.gpus_per_engine, self.gpus_per_rank)

    def build_engine(self, own_process: bool = False) -> Engine:
        """One engine; needs the engine's packages. For ``own_process`` see ``EngineSetup``."""
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
            own_process=own_process,
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

    def for_workers(self) -> "PoolSpec":
        """The same with the tokenizer, which is loaded in this process."""
        return replace(self, tokenizer=ChatTokenizer.load(self.model.path)) if self.needs_engine else self

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: a renderer does not travel."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @cached_property
    def _renderer(self) -> Renderer | None:
        """One for all workers of this process, on whichever threads; None if the policy plays no agent."""
        return Renderer(self.tokenizer or ChatTokenizer.load(self.model.path)) if self.needs_engine else None

    def build_worker(self, engine: Generator) -> GroupWorker:
        """One worker."""
        return GroupWorker(
            self.environments, engine, self._renderer, self.rollout, self.model.context, self.sandbox, self.agents
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

    async def publish(self, shipment: Shipment, probe: Probe | None = None) -> float:
        """Give the weights to the engines, and check that they arrived whole and, with a probe, that they have effect.

        Engines that are late or come back later get them, and are checked, before they serve requests.

        Returns:
            The largest gap of the probe's logprobs; 0 without a probe.

        Raises:
            EngineError: a digest or a logprob is wrong, or no engine took the weights in time.
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

    def metrics(self) -> dict[str, float]:
        """The share of engines and workers in each state, and their restarts since the last call; empty without Ray."""
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

    async def publish(self, shipment: Shipment, probe: Probe | None = None) -> float:
        """As in ``Pool``."""
        for engine in self._engines:
            shipment.check_delivery(await engine.update(shipment), "the engine")
        found = await self.compute_logprobs(probe.tokens) if probe else []
        return max((probe.check(logprobs, shipment.version) for logprobs in found), default=0.0) if probe else 0.0

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

    def metrics(self) -> dict[str, float]:
        """As in ``Pool``."""
        return {}

    async def close(self) -> None:
        """As in ``Pool``."""
        async with AsyncExitStack() as closing:  # calls all of these, the last one first, even if one raises
            for engine in self._engines:
                closing.push_async_callback(engine.close)
            closing.push_async_callback(self._worker.close)
