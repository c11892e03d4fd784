"""One program in a container of its task's image: files go in, it runs within limits, and changed files come out."""

import threading
import time
from contextlib import suppress
from typing import Any

from docker.errors import APIError, NotFound

from ....verifiers.errors import DataError, SandboxLost
from ....verifiers.sandbox.docker.connection import DockerConnection
from ....verifiers.sandbox.docker.daemon import remove, translate_errors
from ....verifiers.sandbox.job import Execution, Usage
from ...agent_program.inside.launcher import MOST_FILES, fill
from ...agent_program.program import Program, Ran, is_declared
from .archive import pack, take_file
from .options import Place, create_options

LOGS = ("/logs/agent", "/logs/artifacts", "/logs/verifier")
"""The folders that the format promises to every program; everybody may write them."""

_REMOVED = 2
"""The kind of a removed path in Docker's list of changes."""
_HEADER_BYTES = 1 << 17
_MOST_REFUSED = 20
_SLICE = 0.5
"""Seconds after which a waiting thread looks whether it should stop."""
_SIZE_SECONDS, _SIZE_SHARE = 2.0, 20.0
"""Seconds between two looks at how much was written; after a slow look, this many times as long."""
_PASSWD_BYTES = 1 << 20


class Stopped(Exception):
    """Nobody waits for the program any more."""


class TaskContainer:
    """A container for one program; it is removed in the end.

    Args:
        api: the connection to the daemon.
        owner: the value of the owner's label.
        program: what runs; its relative files are in its working folder.
        place: its image and the rest.
        url: where the program finds the model's server; empty if there is none.
        stop: is set when nobody waits any more.

    Raises:
        DataError: the whole working folder is declared, and it is the root folder.
    """

    def __init__(self, api: Any, owner: str, program: Program, place: Place, url: str, stop: threading.Event) -> None:
        self._api, self._program, self._place, self._stop = api, program, place, stop
        self._values = place.values(program, url)
        if self._values["work"] == "/" and any("{work}" in pattern for pattern in program.keep):
            raise DataError(
                "the working folder of its image is /, so that nothing tells the agent's files from the others; set "
                'WORKDIR in its Dockerfile, or environment_mode = "separate" and artifacts in its task.toml'
            )
        self._options = create_options(api, program, place, owner, url)
        self._next_size = 0.0

    def run(self) -> Ran:
        """Run the program.

        Raises:
            SandboxLost: the daemon failed, or refuses the container.
            Stopped: nobody waits any more.
        """
        with translate_errors(SandboxLost, "Docker cannot make a task's container"):
            container: str = self._api.create_container(**self._options)["Id"]
        try:
            with translate_errors(SandboxLost, "Docker cannot run a task's container"):
                if not self._fill(container):
                    why = "a file that the agent left cannot be put where it belongs"
                    return Ran(None, "not started", {}, {}, Execution("runtime_error", reason=why))
                return self._run(container)
        finally:
            with suppress(SandboxLost):  # if the daemon is down, a later owner removes it
                remove(self._api, container)

    def _fill(self, container: str) -> bool:
        """Put the files into the container; False if those of an agent cannot be."""
        templates = {name: fill(text, self._values) for name, text in self._program.templates.items()}
        files = {**self._program.files, **{name: text.encode(errors="replace") for name, text in templates.items()}}
        placed = {self._path(name): content for name, content in files.items()}
        self._api.put_archive(container, "/", pack(placed, LOGS, self._owner_of_files(container)))
        if self._place.theirs:
            try:
                self._api.put_archive(container, "/", pack(self._place.theirs))
            except APIError as error:
                if error.is_server_error():
                    raise
                return False
        return True

    def _path(self, name: str) -> str:
        if name.startswith("~/"):
            return f"{self._place.home}/{name[2:]}"
        return name if name.startswith("/") else f"{self._values['work'].rstrip('/')}/{name}"

    def _owner_of_files(self, container: str) -> tuple[int, int]:
        """The ids of the program's user, who owns its files."""
        user = self._place.actual_user
        if user in ("root", "0"):
            return (0, 0)
        with suppress(NotFound, OSError, ValueError, IndexError):
            lines = take_file(self._api, container, "/etc/passwd", _PASSWD_BYTES).decode(errors="replace").splitlines()
            for fields in (line.split(":") for line in lines):
                if user in (fields[0], fields[2]):
                    return int(fields[2]), int(fields[3])
        return (int(user), 0) if user.isdigit() else (0, 0)

    def _run(self, container: str) -> Ran:
        streams = {"stdout": 1, "stderr": 1, "stream": 1}
        stream = self._api.attach_socket(container, streams)
        connection = DockerConnection(container, stream, lambda *_: None, lambda _: None)
        try:
            began = time.monotonic()
            self._api.start(container)
            stdout, ended = self._watch(container, connection, began + self._program.seconds)
            usage = Usage(wall=time.monotonic() - began)
            stderr = connection.diagnosis
        finally:
            connection.close()  # before the end, for which the daemon waits until somebody takes the last output
        self._kill(container)
        state = self._api.inspect_container(container)["State"]
        if ended == "disk":
            reason = f"it wrote more than {self._program.limits.disk >> 20} MiB"
            return Ran(None, "killed", {}, {}, Execution("limit", None, "", stdout, stderr, usage=usage, reason=reason))
        code = state["ExitCode"] if ended == "exit" else None
        return self._collect(container, code, ended, _execution(code, state["OOMKilled"], stdout, stderr, usage))

    def _watch(self, container: str, connection: DockerConnection, deadline: float) -> tuple[str, str]:
        """Read the output until the program ends; return it, and what ended it: exit, seconds, or disk."""
        output = bytearray()
        most = self._program.limits.output
        streams_end = False
        while True:
            if self._stop.is_set():
                raise Stopped
            left = deadline - time.monotonic()
            if left <= 0:
                ended = "seconds"
                break
            if self._is_too_large(container):
                ended = "disk"
                break
            if streams_end:  # a program may close its output, and go on
                if not self._api.inspect_container(container)["State"]["Running"]:
                    ended = "exit"
                    break
                time.sleep(min(left, _SLICE / 5))
                continue
            try:
                data = connection.receive(min(left, _SLICE))
            except TimeoutError:
                continue
            except ConnectionError:
                data = b""
            streams_end = not data
            output += data[: max(0, most - len(output))]
        return output.decode(errors="replace"), ended

    def _is_too_large(self, container: str) -> bool:
        began = time.monotonic()
        if began < self._next_size:
            return False
        found = self._api.containers(all=True, size=True, filters={"id": container})
        self._next_size = time.monotonic() + max(_SIZE_SECONDS, _SIZE_SHARE * (time.monotonic() - began))
        return bool(found) and found[0].get("SizeRw", 0) > self._program.limits.disk

    def _kill(self, container: str) -> None:
        """End every process of the container; returns when they have ended."""
        with suppress(APIError):  # it has ended already
            self._api.kill(container)
        self._api.wait(container, timeout=60)

    def _collect(self, container: str, code: int | None, ended: str, execution: Execution) -> Ran:
        """Take out the declared files that differ from the image."""
        keep = tuple(fill(pattern, self._values) for pattern in self._program.keep)
        changes = sorted((row["Path"], row["Kind"]) for row in self._api.diff(container) or [])
        declared = [(path, kind) for path, kind in changes if is_declared(path, keep)]
        removed = tuple(path for path, kind in declared if kind == _REMOVED)
        above = {path.rpartition("/")[0] for path, _ in changes}  # these are folders
        files: dict[str, bytes] = {}
        refused: dict[str, str] = {}
        left = max(0, self._program.limits.output - _HEADER_BYTES)
        for path in (path for path, kind in declared if kind != _REMOVED and path not in above):
            try:
                if len(files) >= MOST_FILES:
                    raise OSError(f"there are more than {MOST_FILES} files")
                files[path] = take_file(self._api, container, path, left)
                left -= len(files[path])
            except IsADirectoryError:
                continue
            except (OSError, NotFound) as error:
                if len(refused) < _MOST_REFUSED:
                    refused[path] = str(error)[:200]
        return Ran(code, ended, files, refused, execution, removed)


def _execution(code: int | None, out_of_memory: bool, stdout: str, stderr: str, usage: Usage) -> Execution:
    if code == 0:
        return Execution("ok", 0, "", stdout, stderr, usage=usage)
    if code is None:
        return Execution("timeout", None, "", stdout, stderr, usage=usage, reason="its time was up")
    status, reason = ("oom", "out of memory") if out_of_memory else ("runtime_error", f"exit code {code}")
    return Execution(status, code, "", stdout, stderr, usage=usage, reason=reason)  # type: ignore[arg-type]
