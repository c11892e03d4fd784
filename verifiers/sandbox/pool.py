"""A sandbox made of agents, each of which runs one job at a time: what all backends have in common."""

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
"""How often a job is begun before its agent's loss is the job's own doing."""
END_OF_CHANNEL = 35.0
"""Seconds that a job may take, after its channel was closed, until its execution is here: its agent ends it before."""
_CLOSED = "the sandbox was closed"
_CONTROL = Job("print(6 * 7)")


class Launcher(Protocol):
    """Starts the agents of one backend."""

    @property
    def name(self) -> str:
        """As in the configuration."""
        ...

    @property
    def network(self) -> bool:
        """Whether jobs reach the network."""
        ...

    def start(self) -> Connection:
        """A new agent, which has been given its program and its set-up. Raises ``SandboxLost``."""
        ...

    def close(self) -> None:
        """End what no single connection owns."""
        ...


class _Turn:
    """One caller's time on some agents."""

    def __init__(self) -> None:
        self._agents: list[Agent] = []
        self._given_up = False

    def begin(self, agents: list[Agent]) -> None:
        """The caller's jobs are about to begin on ``agents``. Raises ``SandboxLost`` where nobody waits for them."""
        self._agents = agents
        self.check()

    def check(self) -> None:
        """Raise ``SandboxLost`` where nobody waits any more."""
        if self._given_up:
            raise SandboxLost("its caller was cancelled")

    def give_up(self) -> None:
        """End the jobs: nobody waits for them. From any thread."""
        self._given_up = True
        for agent in list(self._agents):
            agent.close()


class AgentPool:
    """Up to ``size`` agents of one backend, started on demand. A ``Sandbox``: safe from any thread and event loop."""

    def __init__(self, launcher: Launcher, size: int) -> None:
        self.name = launcher.name
        self._launcher = launcher
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=f"sandbox-{launcher.name}")
        self._size = size
        self._idle: list[Agent] = []
        self._free = size
        self._changed = threading.Condition()
        self._closed = False
        self._busy: set[Agent] = set()

    @cached_property
    def layers(self) -> list[Layer]:
        """What was seen to hold; jobs find out, a few tenths of a second."""
        return probe(self._run, self._launcher.network, own_user="user" not in self._missing())

    @cached_property
    def level(self) -> Level:
        """The level that these layers make."""
        return level_of(self.layers)

    async def run(self, job: Job) -> Execution:
        """How ``job`` went."""
        return await self._in_thread(lambda turn: self._run(job, turn), Execution("infra_error", reason=_CLOSED))

    async def converse(
        self, jobs: Sequence[Job], drive: Callable[[Sequence[Session]], Result]
    ) -> tuple[Result | None, list[Execution]]:
        """What ``drive`` returned, and how each job went; see ``Sandbox.converse``."""
        if not 0 < len(jobs) <= self._size:
            raise ValueError(f"a conversation has 1 to {self._size} jobs here, found {len(jobs)}; raise [sandbox] size")
        done = await self._in_thread(lambda turn: self._converse(jobs, drive, turn), None)
        if done is None:
            raise SandboxLost(_CLOSED)
        return done

    def close(self) -> None:
        """End every agent, and with it every job."""
        with self._changed:
            self._closed = True
            agents, self._idle = [*self._idle, *self._busy], []
            self._changed.notify_all()
        for agent in agents:
            agent.close()
        self._threads.shutdown(wait=False)  # what is queued finds that it is closed, and says so
        self._launcher.close()

    async def _in_thread(self, act: Callable[["_Turn"], Result], closed: Result) -> Result:
        """What ``act`` returns; where its caller is cancelled its jobs end too: they hold no place, and no exit."""
        turn = _Turn()
        with self._changed:
            if self._closed:
                return closed
            future = self._threads.submit(act, turn)
        with pause_deadline():
            try:
                return await asyncio.wrap_future(future)
            except asyncio.CancelledError:
                asyncio.get_running_loop().run_in_executor(None, turn.give_up)
                raise

    def _missing(self) -> Mapping[str, str]:
        """What an agent says that it could not do."""
        agents = self._take(1)
        try:
            return agents[0].missing
        finally:
            self._give_back(agents)

    def _run(self, job: Job, turn: "_Turn | None" = None) -> Execution:
        try:
            return self._until_judged([job], lambda agents: [agents[0].run(job)], turn or _Turn())[0]
        except SandboxLost as lost:
            return Execution("infra_error", reason=str(lost))

    def _converse(
        self, jobs: Sequence[Job], drive: Callable[[Sequence[Session]], Result], turn: "_Turn"
    ) -> tuple[Result | None, list[Execution]]:
        results: list[Result | None] = []

        def begin(agents: list[Agent]) -> list[Execution]:
            results.clear()
            sessions = [Conversation(agent, job) for agent, job in zip(agents, jobs, strict=True)]
            try:
                results.append(drive(sessions))
            except SessionEnded:
                results.append(None)
            return [session.end(END_OF_CHANNEL) for session in sessions]

        executions = self._until_judged(jobs, begin, turn)
        return (results[0] if results else None), executions

    def _until_judged(
        self, jobs: Sequence[Job], begin: Callable[[list[Agent]], list[Execution]], turn: "_Turn"
    ) -> list[Execution]:
        """What ``begin`` returns with an agent for each job.

        Where an agent was lost or failed, all is begun again once a control job has shown that its place is well; when
        that happens ``TRIES`` times it is the jobs' own doing.

        Raises:
            SandboxLost: the control job failed too, or there is no agent to be had.
        """
        agents = self._take(len(jobs))
        reason = ""
        try:
            for retries in range(TRIES):
                turn.begin(agents)
                try:
                    executions = begin(agents)
                    reason = next((end.reason for end in executions if end.status == "infra_error"), "")
                    if not reason or reason.startswith(wire.OVERLOADED):
                        return [self._placed(execution, retries) for execution in executions]
                except AgentLost as lost:
                    reason = str(lost)
                turn.check()
                for number in range(len(agents)):
                    agents[number] = self._controlled(agents[number])
            reason = f"{reason}; {TRIES} times, while a control job did well"
            return [self._placed(Execution("limit", reason=reason), TRIES) for _ in jobs]
        except BaseException:  # a job may still run there: what it says would be taken for the next one's
            for agent in agents:
                agent.close()
            raise
        finally:
            self._give_back(agents)

    def _placed(self, execution: Execution, retries: int) -> Execution:
        level = self.__dict__.get("level", Level.NONE)
        return replace(execution, level=level, retries=retries)

    def _controlled(self, agent: Agent) -> Agent:
        """``agent``, or a new one in its place, that did a control job well."""
        self._drop(agent)
        agent = self._new()
        try:
            done = agent.run(_CONTROL)
        except AgentLost as lost:
            self._drop(agent)
            raise SandboxLost(f"the {self.name} sandbox is broken: a control job lost its agent: {lost}") from None
        if done.status != "ok" or done.stdout != "42\n":
            self._drop(agent)
            raise SandboxLost(
                f"the {self.name} sandbox is broken: a control job ended with {done.status}: {done.reason}"
            )
        return agent

    def _take(self, count: int) -> list[Agent]:
        """``count`` agents, all at once, so that two conversations never wait for each other's."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._free >= count)
            self._free -= count
            agents = [self._idle.pop() for _ in range(min(count, len(self._idle)))]
            self._busy.update(agents)
        try:
            while len(agents) < count:
                agents.append(self._new())
        except BaseException:
            self._give_back(agents, count)
            raise
        return agents

    def _give_back(self, agents: list[Agent], count: int | None = None) -> None:
        with self._changed:
            self._free += len(agents) if count is None else count
            self._busy.difference_update(agents)
            usable = [agent for agent in agents if agent.usable and not self._closed]
            self._idle += usable
            self._changed.notify_all()
        for agent in agents:
            if agent not in usable:
                agent.close()

    def _new(self) -> Agent:
        if self._closed:
            raise SandboxLost(_CLOSED)
        agent = Agent(self._launcher.start())
        with self._changed:
            self._busy.add(agent)
        return agent

    def _drop(self, agent: Agent) -> None:
        with self._changed:
            self._busy.discard(agent)
        agent.close()
