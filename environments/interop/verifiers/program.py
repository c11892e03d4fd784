"""The program of a foreign environment's process; it is run by its path under ``python -I``, by another Python.

It imports nothing from Lachesis. Each line on its standard input and output is a JSON object with the number ``n`` of
an exchange. It is asked to ``load`` an environment, to give ``rows``, to ``play`` one, and to ``cancel`` that. While it
plays, it sends ``ask`` for each call of the model, and is sent what the model ``said``. What it finally sends is ``ok``
or ``failed``. If its standard input ends, it ends with all of its children.
"""

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import itertools
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

PACKAGE = "verifiers"
MARK = "LACHESIS_FOREIGN"
"""The environment variable with which the bridge marks this process and what it starts."""


class Link:
    """The other end of the bridge, with the real standard input and output; the environment sees others."""

    def __init__(self) -> None:
        self.input, self._output = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, n: int, **message: Any) -> None:
        """Send a message of the exchange ``n``."""
        line = json.dumps({"n": n, **message}).encode() + b"\n"
        with self._lock:
            while line:
                line = line[self._output.write(line) :]


class Model:
    """The model as one episode of the environment sees it."""

    def __init__(self, link: Link, n: int) -> None:
        self._link, self._n = link, n
        self._calls = itertools.count()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def ask(self, messages: list[Any], tools: list[Any], sampling: dict[str, Any]) -> dict[str, Any]:
        """What the model says: ``said``, or why it cannot: ``limit`` (of the episode) or ``failed``."""
        call = next(self._calls)
        future = self._waiting[call] = asyncio.get_running_loop().create_future()
        self._link.send(self._n, ask={"call": call, "messages": messages, "tools": tools, "sampling": sampling})
        answer: dict[str, Any] = await future
        return answer

    def told(self, message: dict[str, Any]) -> None:
        """Give an answer to the call that waits for it."""
        future = self._waiting.pop(message.get("call", -1), None)
        if future and not future.done():
            future.set_result(message)


class Server:
    """Carries out what it is asked to do, all exchanges at the same time."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._environment: Any = None
        self._models: dict[int, Model] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def handle(self, message: dict[str, Any]) -> None:
        """Begin what a message asks for; called on the event loop."""
        n, do = message["n"], message.get("do")
        if do is None:
            if model := self._models.get(n):
                model.told(message)
        elif do == "cancel":
            if task := self._tasks.get(n):
                task.cancel()
        else:
            self._tasks[n] = asyncio.create_task(self._answer(n, do, message))

    async def _answer(self, n: int, do: str, message: dict[str, Any]) -> None:
        try:
            self._link.send(n, ok=await getattr(self, f"_{do}")(n, message))
        except asyncio.CancelledError:
            self._link.send(n, failed="it was cancelled")
        except BaseException as error:  # noqa: BLE001 - foreign code raises anything, also SystemExit
            self._link.send(n, failed=told(error))
        finally:
            self._tasks.pop(n, None)
            self._models.pop(n, None)

    async def _load(self, n: int, message: dict[str, Any]) -> dict[str, Any]:
        try:
            version = importlib.metadata.version(PACKAGE)
        except importlib.metadata.PackageNotFoundError:
            raise LookupError(f"{sys.executable} has no package {PACKAGE}; install it there") from None
        sys.path[:0] = message["folders"]
        old = tuple(int(part) for part in version.split(".")[:2]) < (0, 2)
        self._environment = sibling("program_v0" if old else "program_v1").Loaded(message["id"], message["args"])
        return {"version": version, **await self._environment.about()}

    async def _ping(self, n: int, message: dict[str, Any]) -> bool:
        return True

    async def _rows(self, n: int, message: dict[str, Any]) -> list[Any]:
        return self._environment.rows(message["split"], message["start"], message["stop"])  # type: ignore[no-any-return]

    async def _play(self, n: int, message: dict[str, Any]) -> dict[str, Any]:
        model = self._models[n] = Model(self._link, n)
        return await self._environment.play(message["row"], model, n)  # type: ignore[no-any-return]


def sibling(name: str) -> Any:
    """The module beside this file; its folder is not on the import path, where it would hide modules of others."""
    spec = importlib.util.spec_from_file_location(f"lachesis_{name}", Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def told(error: BaseException) -> str:
    """Type, text and place of an error, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error!s:.2000}{place}".replace("\n", " ")


def end_children() -> None:
    """Kill what was started here, also in sessions of its own, on systems with ``/proc``.

    It looks three times, because processes may fork meanwhile, and hide their environment while a program begins.
    """
    wanted = f"{MARK}={os.environ.get(MARK)}".encode()
    for _ in range(3):
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended, or belongs to another user
                if int(entry.name) != os.getpid() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
        time.sleep(0.01)


async def serve(link: Link) -> None:
    """Read messages until the input ends, and then end with all children."""
    server, loop = Server(link), asyncio.get_running_loop()

    def read() -> None:
        for line in link.input:
            loop.call_soon_threadsafe(server.handle, json.loads(line))
        end_children()
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=read, daemon=True).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Link()))
