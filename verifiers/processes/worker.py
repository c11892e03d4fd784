"""Killable helper processes that answer JSON lines: bounded in time, replaced when they die, never left behind."""

import asyncio
import atexit
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .deadline import own_deadline

STARTUP_SECONDS = 60.0
"""How long a worker may take to import what it needs and pass its own control check."""

_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""All of the environment that a worker gets: what an interpreter may need to start."""


class WorkerLost(Exception):
    """The worker did not answer: it ended, or its time ran out and it was killed.

    Attributes:
        signal: what ended it, 0 where it ended by itself, None where it was killed at the deadline.
    """

    def __init__(self, reason: str, signal: int | None = None) -> None:
        super().__init__(reason)
        self.signal = signal


@dataclass(frozen=True)
class Outcome:
    """How a request ended.

    Attributes:
        status: ``ok`` answered; ``timeout`` and ``limit`` the request's own doing; ``infra_error`` ours.
        answer: the worker's, empty unless ``ok``.
        reason: one line, empty where ``ok``.
    """

    status: Literal["ok", "timeout", "limit", "infra_error"]
    answer: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


class Worker:
    """One process that runs ``program``: it first prints ``{"ready": true}``, then answers each line with a line.

    Raises:
        WorkerLost: it did not become ready, which its own control check is part of.
    """

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(program), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _INHERITED if name in os.environ},
            bufsize=0,
            start_new_session=True,  # Ctrl-C on the terminal is for us
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        hello = self._read_line(STARTUP_SECONDS)
        if not hello.get("ready"):
            self.close()
            raise WorkerLost(f"a worker did not start: {hello.get('failed', hello)}")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to ``request``, or ``WorkerLost`` after ``seconds`` of wall-clock time or at its death."""
        try:
            self._input.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            self.close()
            raise WorkerLost("the worker had ended", -(self._process.returncode or 0)) from None
        return self._read_line(seconds)

    def close(self) -> None:
        """Kill the process and wait for its end."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        self._input.close()
        self._output.close()

    def _read_line(self, seconds: float) -> dict[str, Any]:
        deadline, line = time.monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                self.close()
                raise WorkerLost(f"no answer within {seconds:g} s")
            chunk = os.read(self._output.fileno(), 65536)
            if not chunk:
                code = self._process.wait()
                self.close()
                name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                raise WorkerLost(f"the worker died of {name}", max(0, -code))
            line += chunk
        answer: dict[str, Any] = json.loads(line)
        return answer


class WorkerPool:
    """Up to ``size`` workers, started on demand, each owned by one thread; safe to call from any thread or event loop.

    Every request carries ``cpu_seconds``, which the worker enforces upon itself with a CPU timer (SIGPROF): waiting for
    a busy machine costs a request nothing. The wall-clock deadline of ten times as much is for a worker that is stuck.
    """

    def __init__(self, program: Path, size: int) -> None:
        self._program = program
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=program.stem)
        self._mine = threading.local()
        self._workers: set[Worker] = set()
        atexit.register(self.close)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are alive."""
        return [worker.pid for worker in self._workers]

    async def ask(self, request: dict[str, Any], cpu_seconds: float) -> Outcome:
        """How ``request`` ended; waits without holding up the event loop."""
        with own_deadline():
            return await asyncio.wrap_future(self._threads.submit(self._ask, request, cpu_seconds))

    def close(self) -> None:
        """End every worker; requests under way end as infrastructure errors."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in list(self._workers):
            self._drop(worker)

    def _ask(self, request: dict[str, Any], cpu_seconds: float) -> Outcome:
        """One request on this thread's worker: a death that its CPU timer does not explain is tried once more.

        Each new worker must pass its control check before it is ready. So a second death right after it is the
        request's doing, once a third worker has shown that the machine is well.
        """
        try:
            try:
                return self._try(request, cpu_seconds)
            except WorkerLost:
                self._worker()
            try:
                return self._try(request, cpu_seconds)
            except WorkerLost as lost:
                self._worker()
                return Outcome("timeout" if lost.signal is None else "limit", reason=f"{lost}, twice")
        except (WorkerLost, OSError) as error:
            return Outcome("infra_error", reason=str(error))

    def _try(self, request: dict[str, Any], cpu_seconds: float) -> Outcome:
        worker = self._worker()
        try:
            answer = worker.ask({**request, "cpu_seconds": cpu_seconds}, seconds=10 * cpu_seconds + 1)
        except WorkerLost as lost:
            self._drop(worker)
            if lost.signal == signal.SIGPROF:
                return Outcome("timeout", reason=f"took more than {cpu_seconds:g} s of CPU time")
            raise
        if answer.pop("retire", False):
            self._drop(worker)
        if "timeout" in answer:
            return Outcome("timeout", reason=f"took more than {cpu_seconds:g} s of CPU time")
        if "limit" in answer:
            return Outcome("limit", reason=answer["limit"])
        return Outcome("ok", answer)

    def _worker(self) -> Worker:
        worker: Worker | None = getattr(self._mine, "worker", None)
        if worker is None:
            worker = self._mine.worker = Worker(self._program)
            self._workers.add(worker)
        return worker

    def _drop(self, worker: Worker) -> None:
        self._workers.discard(worker)
        if getattr(self._mine, "worker", None) is worker:
            self._mine.worker = None
        worker.close()
