"""Worker processes that answer requests in JSON lines: each request has a deadline, and dead workers are replaced."""

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

from .deadline import pause_deadline

STARTUP_SECONDS = 60.0
"""How long a worker may take to start, including its imports and its control check."""

_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""The environment variables that a worker gets: those that an interpreter may need to start."""


class WorkerLost(Exception):
    """The worker did not answer: it ended, or its time ran out and it was killed.

    Attributes:
        signal: the signal that ended it, 0 if it exited, None if it was killed at the deadline.
    """

    def __init__(self, reason: str, signal: int | None = None) -> None:
        super().__init__(reason)
        self.signal = signal


@dataclass(frozen=True)
class Outcome:
    """The result of a request.

    Attributes:
        status: ``ok``: answered; ``timeout``, ``limit``: the request caused the failure; ``infra_error``: it did not.
        answer: the worker's answer, empty unless ``ok``.
        reason: one line, empty if ``ok``.
    """

    status: Literal["ok", "timeout", "limit", "infra_error"]
    answer: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


class Worker:
    """A process that runs ``program``, which prints ``{"ready": true}`` and then answers each line with a line.

    Raises:
        WorkerLost: it did not start, or failed its control check.
    """

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(program), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _INHERITED if name in os.environ},
            bufsize=0,
            start_new_session=True,  # so that Ctrl-C reaches only Lachesis
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        greeting = self._read_line(STARTUP_SECONDS)
        if not greeting.get("ready"):
            self.close()
            raise WorkerLost(f"a worker did not start: {greeting.get('failed', greeting)}")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to ``request``; raises ``WorkerLost`` when the process ends, or after ``seconds`` of wall time."""
        try:
            self._input.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            self.close()
            raise WorkerLost("the worker had ended", -(self._process.returncode or 0)) from None
        return self._read_line(seconds)

    def close(self) -> None:
        """Kill the process and wait until it has ended."""
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

    Every request contains ``cpu_seconds``, which the worker enforces with a CPU timer (SIGPROF), so that a busy machine
    costs a request nothing. The wall-clock deadline is ten times as long, and ends a worker that hangs.
    """

    def __init__(self, program: Path, size: int) -> None:
        self._program = program
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=program.stem)
        self._local = threading.local()
        self._workers: set[Worker] = set()
        atexit.register(self.close)

    @property
    def pids(self) -> list[int]:
        """The process ids of the running workers."""
        return [worker.pid for worker in self._workers]

    async def ask(self, request: dict[str, Any], cpu_seconds: float) -> Outcome:
        """The result of ``request``; does not block the event loop."""
        with pause_deadline():
            return await asyncio.wrap_future(self._threads.submit(self._ask_with_retry, request, cpu_seconds))

    def close(self) -> None:
        """End every worker; running requests end with status ``infra_error``."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in list(self._workers):
            self._discard(worker)

    def _ask_with_retry(self, request: dict[str, Any], cpu_seconds: float) -> Outcome:
        """Send one request to this thread's worker; try again if the worker dies for another reason than its CPU timer.

        Each new worker passes a control check first. So if a second worker dies too, and a third one starts, then the
        machine works, and the request caused both deaths.
        """
        try:
            try:
                return self._ask_once(request, cpu_seconds)
            except WorkerLost:
                self._own_worker()
            try:
                return self._ask_once(request, cpu_seconds)
            except WorkerLost as lost:
                self._own_worker()
                return Outcome("timeout" if lost.signal is None else "limit", reason=f"{lost}, twice")
        except (WorkerLost, OSError) as error:
            return Outcome("infra_error", reason=str(error))

    def _ask_once(self, request: dict[str, Any], cpu_seconds: float) -> Outcome:
        worker = self._own_worker()
        try:
            answer = worker.ask({**request, "cpu_seconds": cpu_seconds}, seconds=10 * cpu_seconds + 1)
        except WorkerLost as lost:
            self._discard(worker)
            if lost.signal == signal.SIGPROF:
                return Outcome("timeout", reason=f"took more than {cpu_seconds:g} s of CPU time")
            raise
        if answer.pop("retire", False):
            self._discard(worker)
        if "timeout" in answer:
            return Outcome("timeout", reason=f"took more than {cpu_seconds:g} s of CPU time")
        if "limit" in answer:
            return Outcome("limit", reason=answer["limit"])
        return Outcome("ok", answer)

    def _own_worker(self) -> Worker:
        worker: Worker | None = getattr(self._local, "worker", None)
        if worker is None:
            worker = self._local.worker = Worker(self._program)
            self._workers.add(worker)
        return worker

    def _discard(self, worker: Worker) -> None:
        self._workers.discard(worker)
        if getattr(self._local, "worker", None) is worker:
            self._local.worker = None
        worker.close()
