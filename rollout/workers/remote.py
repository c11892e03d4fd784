"""Handles on Ray actors, whose failures are errors of Lachesis."""

import asyncio
import itertools
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from ...verifiers.errors import EngineError, EngineLost
from ...verifiers.files import whole_lines
from ...verifiers.processes.temporary import own_prefix
from ..engines.activity import Interval
from ..engines.engine import Completion, EngineInfo, Ids, Logprobs, Request
from ..engines.own_code import OwnCode
from ..engines.weight_transport.transport import Shipment
from .actors import EngineActor, PulsedActor
from .answer_desk import Answer, AnswerDesk
from .fleet.keeper import ActorLost, ActorSilent, Pulse
from .fleet.off_loop import off_loop
from .pool import PoolSpec

OPTIONS: dict[str, Any] = {"max_restarts": -1, "max_task_retries": 0, "max_concurrency": 10_000}
"""Of every actor: Ray restarts it as often as it dies, and does not repeat the calls that were lost."""
PULSE: dict[str, Any] = {"concurrency_group": "pulse"}
"""Of calls that are answered by a thread of their own."""
KILLING = 20.0
"""Seconds in which Ray must have taken the order to end a process: it has none to wait for."""


def store(shipment: Shipment) -> Any:
    """Put a shipment into Ray's object store once, for all engines; a reference to it."""
    with OwnCode("rollout.weight_transport: pickling its shipment"):
        return ray.put(shipment)


@dataclass(frozen=True)
class Berth:
    """The place of an actor in the cluster.

    Attributes:
        options: returns Ray's options that place the actor.
        move: gives up the place, whose actor ends, and asks for one elsewhere; blocks while Ray does not answer.
    """

    options: Callable[[], Mapping[str, Any]]
    move: Callable[[], None]


class RemoteActor:
    """A handle on an actor that a keeper looks after.

    Args:
        actor: Ray's handle.
        label: what messages call it.
        again: ends the actor and returns the handle of another one, which has a place elsewhere.

    Attributes:
        key: names the actor; another one after a move.
    """

    def __init__(self, actor: Any, label: str, again: Callable[[], Any] | None = None) -> None:
        self._actor, self._label, self._again = actor, label, again
        self.key = uuid.uuid4().hex

    @classmethod
    def class_of(cls, kind: type[PulsedActor]) -> Any:
        """``kind`` as Ray's class, with a thread for the pulse."""
        remote: Any = ray.remote
        return remote(concurrency_groups={"pulse": 4})(kind)

    @classmethod
    def begin(cls, kind: type[PulsedActor], berth: Berth, *arguments: Any) -> tuple[Any, Callable[[], Any]]:
        """Start an actor; return its handle, and what gives up its place and starts it elsewhere."""

        def begun() -> Any:
            return cls.class_of(kind).options(**OPTIONS, **berth.options()).remote(*arguments)

        def again() -> Any:
            berth.move()
            return begun()

        return begun(), again

    async def hello(self, deadline: float) -> Pulse:
        """As in ``Actor``."""
        pulse: Pulse = await self._ask("hello", own_node, deadline=deadline)
        return pulse

    async def pulse(self, deadline: float) -> Pulse:
        """As in ``Actor``."""
        call = self._actor.pulse.options(**PULSE).remote()
        pulse: Pulse = await answer_of(call, deadline, self._label, "its pulse")
        return pulse

    async def pid(self) -> int:
        """The process id, once the actor is built."""
        pid: int = await self._ask("pid", deadline=None)
        return pid

    async def kill(self, restart: bool) -> None:
        """As in ``Actor``; ``TimeoutError`` if Ray does not take the order."""
        await off_loop(lambda: ray.kill(self._actor, no_restart=not restart), KILLING)

    async def move(self) -> None:
        """As in ``Actor``; ``TimeoutError`` if Ray does not take the orders."""
        assert self._again is not None, "only the handle that started an actor moves it"
        self._actor, self.key = await off_loop(self._again, KILLING), uuid.uuid4().hex

    async def _ask(self, method: str, *arguments: Any, deadline: float | None) -> Any:
        return await answer_of(getattr(self._actor, method).remote(*arguments), deadline, self._label, method)


async def answer_of(call: Awaitable[Any], seconds: float | None, who: str, what: str) -> Any:
    """Return the answer to a call of an actor.

    An answer that is there when the time is up counts, also if the event loop was held up meanwhile.

    Raises:
        ActorLost: the process ended, or Ray lost the call.
        ActorSilent: there is no answer after ``seconds``.
        Exception: whatever the actor's method raised.
    """
    answer = asyncio.ensure_future(_awaited(call))
    try:
        done, _ = await asyncio.wait({answer}, timeout=seconds)
        if not done:
            raise ActorSilent(f"{who} did not answer {what} within {seconds:g} s")
        return answer.result()
    except RayTaskError as error:  # the method's own error, without Ray's traceback around it
        raise error.cause or error from None
    except RayError as error:
        raise ActorLost(f"{who} was lost: {first_line(error)}") from None
    finally:
        answer.cancel()


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call


def own_node() -> str:
    """The Ray id of the node that this process is on."""
    node: str = ray.get_runtime_context().get_node_id()
    return node


class RemoteEngine(RemoteActor):
    """An engine in an actor; the requests of one turn of the event loop travel in one call.

    Args:
        actor: Ray's handle on an ``EngineActor``.
        deadline: seconds that a call may take unless it says otherwise.
        label: what messages call it.
        warnings: the file in which its process leaves its warnings for a driver on the same machine.
        again: as in ``RemoteActor``.
    """

    SILENCE = AnswerDesk.WAIT + 2.0
    """Seconds without an answer, which the actor gives sooner, after which its pulse is asked for."""
    PULSE = 5.0
    """Seconds for the pulse; without it, the requests go to other engines."""
    STALLED = 120.0
    """Seconds for which an engine with a pulse may take no step, as while it takes new weights."""

    def __init__(
        self,
        actor: Any,
        deadline: float,
        label: str = "an engine",
        warnings: Path | None = None,
        again: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(actor, label, again)
        self._deadline, self._warnings = deadline, warnings
        self._keys = itertools.count()
        self._outbox: list[tuple[int, Request]] = []
        self._waiting: dict[int, asyncio.Future[Completion]] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._caller, self._asking = uuid.uuid4().hex, 0
        self._seen = 0  # bytes of its warnings

    async def generate(self, request: Request) -> Completion:
        """As in ``Engine``; ``EngineLost`` if the actor died or did not answer in time."""
        loop = asyncio.get_running_loop()
        if not self._outbox:
            loop.call_soon(self._flush)
        key = next(self._keys)
        self._outbox.append((key, request))
        self._waiting[key] = loop.create_future()
        try:
            return await self._waiting[key]
        finally:
            self._waiting.pop(key, None)

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> Logprobs:
        """As in ``Engine``."""
        logprobs: Logprobs = await self._ask("compute_logprobs", tokens, temperature, deadline=self._deadline)
        return logprobs

    async def refit(self, stored: Any, probe: Ids | None) -> tuple[str, Logprobs | None]:
        """As in ``EngineActor``; ``stored`` is the shipment or a reference to it in Ray's object store."""
        found: tuple[str, Logprobs | None] = await self._ask("refit", stored, probe, deadline=self._deadline)
        return found

    async def sleep(self) -> None:
        """As in ``Engine``."""
        await self._ask("sleep", deadline=self._deadline)

    async def info(self, deadline: float | None = None) -> EngineInfo:
        """As in ``Engine``."""
        info: EngineInfo = await self._ask("info", deadline=deadline or self._deadline)
        return info

    async def activity(self, deadline: float) -> list[Interval]:
        """When the engine had requests since the last call."""
        intervals: list[Interval] = await self._ask("activity", deadline=deadline)
        return intervals

    async def close(self) -> None:
        """As in ``Engine``, for at most 5 seconds."""
        await self._ask("close", deadline=5.0)

    async def kill(self, restart: bool) -> None:
        """As in ``Actor``."""
        await super().kill(restart)
        if self._warnings and not restart:
            self._warnings.unlink(missing_ok=True)

    def warnings(self) -> list[str]:
        """The lines that its process has logged as warnings since the last call; none if it is on another machine."""
        file = self._warnings
        lines, self._seen = whole_lines(file, self._seen) if file and file.exists() else ([], self._seen)
        return [line.decode(errors="replace") for line in lines]

    def _flush(self) -> None:
        batch, self._outbox = self._outbox, []
        call = asyncio.get_running_loop().create_task(self._exchange(batch))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _exchange(self, batch: list[tuple[int, Request]]) -> None:
        """Send a batch, and go on asking for answers while requests wait and no other call asks for them."""
        self._asking += 1
        try:
            answers: list[Answer] | None = []
            while answers is not None:
                answers = await self._answers(batch)
                batch = []
                for key, answer in answers or ():
                    self._resolve(key, answer)
                if not self._waiting or self._asking > 1:
                    return
            lost: EngineError = EngineLost(f"{self._label} no longer has the requests")
        except EngineLost as error:
            lost = error
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            lost = EngineError(f"{self._label} failed: {first_line(error)}")
        finally:
            self._asking -= 1
        for key in set(self._waiting) - {key for key, _ in self._outbox}:
            self._resolve(key, lost)

    async def _answers(self, batch: list[tuple[int, Request]]) -> list[Answer] | None:
        """The answers to one call. An engine that is late but has a pulse is waited for: it is busy."""
        call = asyncio.ensure_future(_awaited(self._actor.exchange.remote(self._caller, batch)))
        try:
            while not (await asyncio.wait({call}, timeout=self.SILENCE))[0]:
                stalled = (await self.pulse(self.PULSE)).stalled
                if stalled > self.STALLED:
                    raise ActorSilent(f"{self._label} has taken no step for {stalled:.0f} s")
            answers: list[Answer] | None = await answer_of(call, None, self._label, "exchange")
            return answers
        finally:
            call.cancel()

    def _resolve(self, key: int, answer: Completion | Exception) -> None:
        waiting = self._waiting.get(key)
        if waiting is None or waiting.done():
            return
        if isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    @classmethod
    def start(cls, spec: PoolSpec, label: str, berth: Berth) -> "RemoteEngine":
        """Start an actor that hosts an engine."""
        warnings = Path(tempfile.gettempdir()) / f"{own_prefix('engine')}{uuid.uuid4().hex}.log"
        actor, again = cls.begin(EngineActor, berth, spec, warnings)
        return cls(actor, spec.rollout.deadline, label, warnings, again)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without the requests that wait here."""
        return _same_engine, (self._actor, self._deadline, self._label, self.key)


def _same_engine(actor: Any, deadline: float, label: str, key: str) -> RemoteEngine:
    engine = RemoteEngine(actor, deadline, label)
    engine.key = key
    return engine


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type if there is no text."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
