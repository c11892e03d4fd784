"""A pool of agents, each of which runs one job at a time: the sandbox that all built-in backends use."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Protocol, TypeVar

from ..errors import SandboxLost
from ..processes.deadline import pause_deadline
from .conversation import Agent, AgentLost, Connection, Conversation
from .inside import wire
from .job import Execution, Job, Level
from .layers import Layer
from .probe import level_of, probe
from .protocol import Session, SessionEnded

Result = TypeVar("Result")

TRIES = 2
"""How often a job is started before the loss of its agent counts as caused by the job."""
CHANNEL_CLOSE_SECONDS = 35.0
"""Seconds to wait for a job's execution after its channel was closed; its agent ends the job earlier."""
_CLOSED = "the sandbox was closed"
_CONTROL = Job("print(6 * 7)")


class Launcher(Protocol):
    """Starts the agents of one backend."""

    @property
    def name(self) -> str:
        """The name of the backend in the configuration."""
        ...

    @property
    def network(self) -> bool:
        """Whether jobs may use the network."""
        ...

    def start(self) -> Connection:
        """Start an agent and send it its program and its set-up. Raises ``SandboxLost``."""
        ...

    def close(self) -> None:
        """Release what does not belong to a single connection."""
        ...


class _Call:
    """The agents that work for one caller, so that their jobs end when the caller is cancelled."""

    def __init__(self) -> None:
        self._agents: list[Agent] = []
        self._cancelled = False

    def use(self, agents: list[Agent]) -> None:
        """Note that the caller's jobs will run on ``agents``. Raises ``SandboxLost`` if the caller was cancelled."""
        self._agents = agents
        self.check()

    def check(self) -> None:
        """Raise ``SandboxLost`` if the caller was cancelled."""
        if self._cancelled:
            raise SandboxLost("its caller was cancelled")

    def cancel(self) -> None:
        """End the caller's jobs. May be called from any thread."""
        self._cancelled = True
        for agent in list(self._agents):
            agent.close()


class AgentPool:
    """A ``Sandbox`` of up to ``size`` agents, started on demand; safe to call from any thread and event loop.

    At most ``starts`` of them start at the same time: with more than CPUs, they and the jobs would only time out.
    """

    def __init__(self, launcher: Launcher, size: int, starts: int = 2) -> None:
        self.name = launcher.name
        self._launcher = launcher
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=f"sandbox-{launcher.name}")
        self._size = size
        self._idle: list[Agent] = []
        self._free = size
        self._changed = threading.Condition()
        self._closed = False
        self._busy: set[Agent] = set()
        self._starts = threading.BoundedSemaphore(starts)

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers of the sandbox, as jobs that try to break out find them; takes a few tenths of a second."""
        return probe(self._run, self._launcher.network, own_user="user" not in self._missing())

    @cached_property
    def level(self) -> Level:
        """The level that these layers reach."""
        return level_of(self.layers)

    async def run(self, job: Job) -> Execution:
        """Run ``job``; see ``Sandbox.run``."""
        return await self._in_thread(lambda call: self._run(job, call), Execution("infra_error", reason=_CLOSED))

    async def converse(
        self, jobs: Sequence[Job], drive: Callable[[Sequence[Session]], Result]
    ) -> tuple[Result | None, list[Execution]]:
        """Run ``jobs`` and let ``drive`` talk to them; see ``Sandbox.converse``."""
        if not 0 < len(jobs) <= self._size:
            raise ValueError(
                f"a conversation has 1 to {self._size} jobs here, found {len(jobs)}; set sandbox.size higher"
            )
        done = await self._in_thread(lambda call: self._converse(jobs, drive, call), None)
        if done is None:
            raise SandboxLost(_CLOSED)
        return done

    def close(self) -> None:
        """End every agent and every job."""
        with self._changed:
            self._closed = True
            agents, self._idle = [*self._idle, *self._busy], []
            self._changed.notify_all()
        for agent in agents:
            agent.close()
        self._threads.shutdown(wait=False)  # queued calls find the pool closed, and return
        self._launcher.close()

    async def _in_thread(self, act: Callable[["_Call"], Result], closed: Result) -> Result:
        """Run ``act`` in a thread. If the caller is cancelled, its jobs end too, so that they block nothing."""
        call = _Call()
        with self._changed:
            if self._closed:
                return closed
            future = self._threads.submit(act, call)
        with pause_deadline():
            try:
                return await asyncio.wrap_future(future)
            except asyncio.CancelledError:
                asyncio.get_running_loop().run_in_executor(None, call.cancel)
                raise

    def _missing(self) -> Mapping[str, str]:
        """Feature → why an agent does not have it, by its own account."""
        agents = self._acquire(1)
        try:
            return agents[0].missing
        finally:
            self._release(agents)

    def _run(self, job: Job, call: "_Call | None" = None) -> Execution:
        try:
            return self._run_with_retries([job], lambda agents: [agents[0].run(job)], call or _Call())[0]
        except SandboxLost as lost:
            return Execution("infra_error", reason=str(lost))

    def _converse(
        self, jobs: Sequence[Job], drive: Callable[[Sequence[Session]], Result], call: "_Call"
    ) -> tuple[Result | None, list[Execution]]:
        results: list[Result | None] = []

        def begin(agents: list[Agent]) -> list[Execution]:
            results.clear()
            sessions = [Conversation(agent, job) for agent, job in zip(agents, jobs, strict=True)]
            try:
                results.append(drive(sessions))
            except SessionEnded:
                results.append(None)
            return [session.end(CHANNEL_CLOSE_SECONDS) for session in sessions]

        executions = self._run_with_retries(jobs, begin, call)
        return (results[0] if results else None), executions

    def _run_with_retries(
        self, jobs: Sequence[Job], begin: Callable[[list[Agent]], list[Execution]], call: "_Call"
    ) -> list[Execution]:
        """Call ``begin`` with one agent for each job, and return its executions.

        If an agent is lost or fails, all jobs start again on new agents, after a control job has succeeded on each. If
        this happens ``TRIES`` times, the jobs have caused it.

        Raises:
            SandboxLost: the control job failed too, or no agent can be started.
        """
        agents = self._acquire(len(jobs))
        reason = ""
        try:
            for retries in range(TRIES):
                call.use(agents)
                try:
                    executions = begin(agents)
                    reason = next((end.reason for end in executions if end.status == "infra_error"), "")
                    if not reason or reason.startswith(wire.OVERLOADED):
                        return [self._with_level(execution, retries) for execution in executions]
                except AgentLost as lost:
                    reason = str(lost)
                call.check()
                for number in range(len(agents)):
                    agents[number] = self._replace_with_control(agents[number])
            reason = f"{reason}; {TRIES} times, while a control job succeeded"
            return [self._with_level(Execution("limit", reason=reason), TRIES) for _ in jobs]
        except BaseException:  # a job may still run there, and its output would be taken for that of the next job
            for agent in agents:
                agent.close()
            raise
        finally:
            self._release(agents)

    def _with_level(self, execution: Execution, retries: int) -> Execution:
        level = self.__dict__.get("level", Level.NONE)
        return replace(execution, level=level, retries=retries)

    def _replace_with_control(self, agent: Agent) -> Agent:
        """Replace ``agent`` by a new one on which a control job has succeeded."""
        self._discard(agent)
        agent = self._start_agent()
        try:
            done = agent.run(_CONTROL)
        except AgentLost as lost:
            self._discard(agent)
            raise SandboxLost(f"the {self.name} sandbox is broken: a control job lost its agent: {lost}") from None
        if done.status != "ok" or done.stdout != "42\n":
            self._discard(agent)
            raise SandboxLost(
                f"the {self.name} sandbox is broken: a control job ended with {done.status}: {done.reason}"
            )
        return agent

    def _acquire(self, count: int) -> list[Agent]:
        """Reserve ``count`` agents at once, so that two conversations never wait for each other."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._free >= count)
            self._free -= count
            agents = [self._idle.pop() for _ in range(min(count, len(self._idle)))]
            self._busy.update(agents)
        try:
            while len(agents) < count:
                agents.append(self._start_agent())
        except BaseException:
            self._release(agents, count)
            raise
        return agents

    def _release(self, agents: list[Agent], count: int | None = None) -> None:
        with self._changed:
            self._free += len(agents) if count is None else count
            self._busy.difference_update(agents)
            usable = [agent for agent in agents if agent.usable and not self._closed]
            self._idle += usable
            self._changed.notify_all()
        for agent in agents:
            if agent not in usable:
                agent.close()

    def _start_agent(self) -> Agent:
        if self._closed:
            raise SandboxLost(_CLOSED)
        with self._starts:
            agent = Agent(self._launcher.start())
        with self._changed:
            self._busy.add(agent)
        return agent

    def _discard(self, agent: Agent) -> None:
        with self._changed:
            self._busy.discard(agent)
        agent.close()
