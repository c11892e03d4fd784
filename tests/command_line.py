"""The command line as tests run it: forked from a process that has imported torch, which takes seconds of CPU."""

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

# The modules that most commands import late, besides those of the commands themselves.
LATE = (
    "lachesis.trainer.train",
    "lachesis.rollout.engines.embedded.engine",
    "transformers.models.qwen3.modeling_qwen3",
)
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1"}


def run_lachesis(*words: str | Path, cwd: Path, timeout: float = 280) -> "subprocess.CompletedProcess[str]":
    """Run ``lachesis WORDS`` in the folder ``cwd``, in a process of its own; it is killed after ``timeout`` seconds.

    A test of how Python starts, or of a variable that a package reads while it is imported, must start Python instead.
    """
    process = Lachesis(*words, cwd=cwd)
    try:
        out, errors = process.communicate(timeout)
    except BaseException:  # such as the end of the test's own time
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.wait(), out, errors)


class Lachesis:
    """A running command, with the methods of ``subprocess.Popen`` that tests need; its output is kept in files."""

    def __init__(self, *words: str | Path, cwd: Path, session: bool = False) -> None:
        """Start ``lachesis WORDS`` in the folder ``cwd``, in a session of its own if ``session``."""
        self.args = [str(word) for word in words]
        self.returncode: int | None = None
        self._folder = tempfile.TemporaryDirectory()
        self._files = [Path(self._folder.name, name) for name in ("stdout", "stderr")]
        self._server = Server.running()
        self.pid = self._server.ask(
            words=self.args,
            cwd=str(cwd),
            session=session,
            environment={**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1"},
            files=[os.devnull, *map(str, self._files)],
        )

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended; raises ``subprocess.TimeoutExpired``."""
        begun = time.monotonic()
        while (code := self.poll()) is None:
            if timeout is not None and time.monotonic() > begun + timeout:
                raise subprocess.TimeoutExpired(self.args, timeout, *(file.read_bytes() for file in self._files))
            time.sleep(0.01)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has written, once it has ended; raises ``subprocess.TimeoutExpired``."""
        self.wait(timeout)
        out, errors = (file.read_text() for file in self._files)
        return out, errors

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send it SIGKILL, if it still runs."""
        self.send_signal(signal.SIGKILL)


class Server:
    """The process of which commands are forked; it ends with this one."""

    _running: "Server | None" = None

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            env=ENVIRONMENT,  # and not what a test has set for itself
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    @classmethod
    def running(cls) -> "Server":
        """The one of this process, which the first command starts."""
        if cls._running is None:
            cls._running = Server()
        return cls._running

    def ask(self, **request: Any) -> Any:
        """The answer to a request; see ``serve``."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            line = self._process.stdout.readline()
            assert line, "the process of which commands are forked has ended"
            return json.loads(line)
        except BaseException:  # an answer that comes later must not be taken for that to the next request
            self._process.kill()
            self._process.wait()
            Server._running = None
            raise


def serve() -> NoReturn:
    """Answer lines of standard input: a command with its process id, a process id with its exit code or null."""
    from lachesis.commands import cli

    for module in (*LATE, *(f"lachesis.commands.{entry.module}" for entry in cli.COMMANDS.values())):
        import_module(module)
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest and for the command
    while line := sys.stdin.readline():
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif not (answer := os.fork()):
            become(**request)
            run(cli.main)
        print(json.dumps(answer), flush=True)
    os._exit(0)


def become(words: list[str], cwd: str, session: bool, environment: dict[str, str], files: list[str]) -> None:
    """Make this process look as if it had been started for the request."""
    for number, path in enumerate(files):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    if session:
        os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["lachesis", *words]


def run(main: Callable[[], None]) -> NoReturn:
    """End as Python does, but for the freeing of memory, which would copy what is shared with the server."""
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - Python itself would do so
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve()
