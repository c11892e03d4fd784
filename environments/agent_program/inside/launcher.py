"""Runs an agent program in a sandbox job, and carries its connections over the job's channel to the model's server.

It is sent into the sandbox as one text, so it is one file and imports nothing of this package.
"""

import contextlib
import glob
import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

CHANNEL_IN, CHANNEL_OUT = 3, 4
FRAME = struct.Struct("!cII")  # kind, connection, length of the data
OPEN, DATA, CLOSE = b"O", b"D", b"C"
CHUNK = 1 << 16
MOST_LINKS = 64
"""The most connections at one time."""
MOST_WAITING = 32 << 20
"""The most bytes that one connection may leave waiting."""
MOST_FILES = 1000
"""The most files that are kept."""
WORK, HOME, KEPT = "work", "home", "kept.bin"
"""The working folder and the home folder of the program, and the file with the kept files, in the job's folder."""


def unpack(payload: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The JSON object and the byte strings that ``verifiers/sandbox/inside/wire.py`` packed."""
    at = 4 + int.from_bytes(payload[:4], "big")
    header: dict[str, Any] = json.loads(payload[4:at])
    blobs = []
    for size in header["sizes"]:
        blobs.append(payload[at : at + size])
        at += size
    return header, blobs


def place(name: str) -> str:
    """The path of a declared file: absolute, in the home folder (``~/``), or in the working folder."""
    return os.path.abspath(os.path.join(HOME, name[2:]) if name.startswith("~/") else os.path.join(WORK, name))


def write_files(names: Iterable[str], contents: Iterable[bytes]) -> None:
    """Write the files of the task."""
    for name, content in zip(names, contents, strict=True):
        path = place(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        if content.startswith(b"#!"):
            os.chmod(path, 0o755)


def kept_files(patterns: Iterable[str], most: int) -> tuple[dict[str, bytes], dict[str, str]]:
    """The regular files that match ``patterns``, at most ``most`` bytes of them, and why others were left out."""
    kept: dict[str, bytes] = {}
    refused: dict[str, str] = {}
    for pattern in patterns:
        mark, base = ("~/", HOME) if pattern.startswith("~/") else ("", WORK)
        for path in sorted(glob.iglob(place(pattern), recursive=True, include_hidden=True)):
            name = path if pattern.startswith("/") else mark + os.path.relpath(path, base)
            if name in kept or os.path.isdir(path):
                continue
            try:
                if not name.isprintable():
                    raise OSError("its name is not plain text")
                if len(kept) >= MOST_FILES:
                    raise OSError(f"there are more than {MOST_FILES} files")
                kept[name] = read_file(path, most - sum(map(len, kept.values())))
            except (OSError, ValueError) as error:
                if len(refused) < 20:
                    refused[ascii(name)[1:-1][:200]] = str(error)[:200]
    return kept, refused


def read_file(path: str, most: int) -> bytes:
    """The content of a regular file. Raises ``OSError`` if it is none, or has more than ``most`` bytes."""
    if os.path.realpath(path) != path:
        raise OSError("it is a link, or in a folder that is one")
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is no regular file")
        if found.st_size > most:
            raise OSError(f"it has {found.st_size} bytes, and only {most} are left")
        return file.read(most)


def wait(readers: Iterable[Any], writers: Iterable[Any], seconds: float) -> tuple[list[Any], list[Any]]:
    """Those of ``readers`` and ``writers`` that are ready, after at most ``seconds``. Takes any descriptor."""
    poller = select.poll()
    inputs = {_descriptor(reader): reader for reader in readers}
    outputs = {_descriptor(writer): writer for writer in writers}
    for fd in inputs.keys() | outputs.keys():
        poller.register(fd, select.POLLIN * (fd in inputs) | select.POLLOUT * (fd in outputs))
    events = poller.poll(seconds * 1000)
    return (
        [inputs[fd] for fd, event in events if fd in inputs and event & ~select.POLLOUT],
        [outputs[fd] for fd, event in events if fd in outputs and event & ~select.POLLIN],
    )


def _descriptor(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())


class Link:
    """One connection: its number on the channel, its socket, and the bytes that the socket has not taken yet."""

    def __init__(self, number: int, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.number, self.sock = number, sock
        self.waiting = bytearray()
        self.closing = False

    def fileno(self) -> int:
        """For ``select``."""
        return self.sock.fileno()


class Links:
    """Carries many connections over one channel; the launcher has one end, and the process of Lachesis the other.

    Args:
        send: writes bytes to the channel.
        connect: opens a connection that the other end asks for; None if this end is the one that asks.
    """

    def __init__(self, send: Callable[[bytes], None], connect: Callable[[], socket.socket] | None = None) -> None:
        self._send, self._connect = send, connect
        self._links: dict[int, Link] = {}
        self._buffer = bytearray()

    @property
    def readers(self) -> list[Link]:
        """The connections from which bytes may come."""
        return list(self._links.values())

    @property
    def writers(self) -> list[Link]:
        """The connections that have bytes to take."""
        return [link for link in self._links.values() if link.waiting]

    def accept(self, number: int, sock: socket.socket) -> None:
        """Carry ``sock`` as connection ``number``, and tell the other end."""
        if len(self._links) >= MOST_LINKS:
            sock.close()
            return
        self._links[number] = Link(number, sock)
        self._frame(OPEN, number)

    def receive(self, data: bytes) -> None:
        """Take bytes from the channel. Raises ``ValueError`` if they are no frames."""
        self._buffer += data
        while len(self._buffer) >= FRAME.size:
            kind, number, length = FRAME.unpack_from(self._buffer)
            if length > CHUNK or kind not in (OPEN, DATA, CLOSE):
                raise ValueError("bytes on the channel are not those of the launcher")
            if len(self._buffer) < FRAME.size + length:
                return
            content = bytes(self._buffer[FRAME.size : FRAME.size + length])
            del self._buffer[: FRAME.size + length]
            self._take(kind, number, content)

    def carry(self, readable: Iterable[object], writable: Iterable[object]) -> None:
        """Read from and write to those of the connections that are ready."""
        for link in readable:
            if isinstance(link, Link) and link.number in self._links:
                self._read(link)
        for link in writable:
            if isinstance(link, Link) and link.number in self._links:
                self._write(link)

    def close(self) -> None:
        """Close all connections."""
        for link in list(self._links.values()):
            self._drop(link)

    def _take(self, kind: bytes, number: int, content: bytes) -> None:
        link = self._links.get(number)
        if kind == OPEN:
            if link is not None or self._connect is None or len(self._links) >= MOST_LINKS:
                self._frame(CLOSE, number)
                return
            try:
                self._links[number] = Link(number, self._connect())
            except OSError:
                self._frame(CLOSE, number)
        elif link is not None and kind == DATA:
            link.waiting += content
            self._write(link)
            if len(link.waiting) > MOST_WAITING:
                self._end(link)
        elif link is not None:
            link.closing = True
            self._write(link)

    def _read(self, link: Link) -> None:
        try:
            data = link.sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._frame(DATA, link.number, data)
        else:
            self._end(link)

    def _write(self, link: Link) -> None:
        try:
            while link.waiting:
                del link.waiting[: link.sock.send(link.waiting)]
        except BlockingIOError:
            return
        except OSError:
            self._end(link)
            return
        if link.closing:
            self._drop(link)

    def _end(self, link: Link) -> None:
        self._drop(link)
        self._frame(CLOSE, link.number)

    def _drop(self, link: Link) -> None:
        self._links.pop(link.number, None)
        link.sock.close()

    def _frame(self, kind: bytes, number: int, data: bytes = b"") -> None:
        self._send(FRAME.pack(kind, number, len(data)) + data)


class Forwarder:
    """Listens on the loopback interface, and carries what comes over the channel."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._links = Links(_write_channel)
        self._number = 0

    @property
    def port(self) -> int:
        """The port at which the program reaches the model."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """The address at which the program reaches the model."""
        return f"http://127.0.0.1:{self.port}"

    def step(self, seconds: float, *watched: int) -> None:
        """Carry what can be carried within ``seconds``; return early if a descriptor in ``watched`` is readable."""
        inputs = [self._listener, CHANNEL_IN, *watched, *self._links.readers]
        readable, writable = wait(inputs, self._links.writers, seconds)
        if self._listener in readable:
            self._number += 1
            self._links.accept(self._number, self._listener.accept()[0])
        if CHANNEL_IN in readable:
            part = os.read(CHANNEL_IN, CHUNK)
            if not part:
                raise SystemExit("the other end of the channel is gone")
            self._links.receive(part)
        self._links.carry(readable, writable)


def _write_channel(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(CHANNEL_OUT, view) :]


def forward() -> None:
    """Carry connections between stdin and stdout and the loopback interface, in a container that does nothing else.

    The port is written first, in two bytes.
    """
    os.dup2(0, CHANNEL_IN)
    os.dup2(1, CHANNEL_OUT)
    forwarder = Forwarder()
    _write_channel(forwarder.port.to_bytes(2, "big"))
    while True:
        forwarder.step(3600.0)


def fill(text: str, values: Mapping[str, str]) -> str:
    """``text`` with each ``{name}`` of ``values`` replaced; what was put in is not replaced again."""
    marks = "|".join(map(re.escape, values))
    return re.sub(f"{{({marks})}}", lambda found: values[found[1]], text)


def run(
    command: Sequence[str], folder: str, environment: Mapping[str, str], seconds: float, forwarder: Forwarder | None
) -> Any:
    """Run the program until it ends or ``seconds`` have passed; return (exit code or None, how it ended)."""
    try:
        child = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, start_new_session=True
        )
    except (OSError, ValueError) as error:
        print(f"the program {command[0]!r} cannot be started: {error}", file=sys.stderr, flush=True)
        return None, "not started"
    deadline = time.monotonic() + seconds
    watched = os.pidfd_open(child.pid)
    while child.poll() is None and (left := deadline - time.monotonic()) > 0:
        if forwarder is None:
            wait([watched], [], left)
        else:
            forwarder.step(left, watched)
    ended = "seconds" if child.poll() is None else "exit"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    return child.wait() if ended == "exit" else None, ended


def main() -> None:
    """Read the specification from stdin, run the program, and leave its declared files in one file."""
    spec, blobs = unpack(sys.stdin.buffer.read())
    os.makedirs(WORK, exist_ok=True)
    os.makedirs(HOME, exist_ok=True)
    forwarder = Forwarder() if spec["forward"] else None
    values = {**spec["values"], "home": os.path.abspath(HOME), "work": os.path.abspath(WORK), "python": sys.executable}
    if forwarder is not None:
        values["url"] = forwarder.url
    templates = {name: fill(text, values).encode(errors="replace") for name, text in spec["templates"].items()}
    write_files([*spec["names"], *templates], [*blobs, *templates.values()])
    search = f"{os.path.dirname(sys.executable)}:{os.environ.get('PATH', '')}"  # so that it finds python3
    environment = {"HOME": values["home"], "PATH": search}
    environment |= {name: fill(text, values) for name, text in spec["environment"].items()}
    command = [fill(word, values) for word in spec["command"]]
    folder = spec["folder"] or WORK
    os.makedirs(folder, exist_ok=True)
    code, ended = run(command, folder, environment, spec["seconds"], forwarder)
    kept, refused = kept_files(spec["keep"], spec["most"])
    sizes = [len(content) for content in kept.values()]
    head = json.dumps({"exit": code, "ended": ended, "names": list(kept), "refused": refused, "sizes": sizes}).encode()
    shutil.rmtree(KEPT, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.remove(KEPT)
    with open(KEPT, "xb") as file:
        file.write(b"".join([len(head).to_bytes(4, "big"), head, *kept.values()]))


if __name__ == "__main__":
    main()
