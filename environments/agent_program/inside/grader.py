"""Runs a task's tests over the files that an agent left; programs among them run in another job."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

CHANNEL_IN, CHANNEL_OUT = 3, 4
FILES = "files"
"""The folder of the agent's files, in the job's folder."""


@dataclass(frozen=True)
class Result:
    """What a program of the agent did: its exit code (None if it was ended), and its output."""

    code: int | None
    stdout: str
    stderr: str


class Gone(Exception):
    """The job in which the agent's programs run has ended, so none can run any more."""


def unpack(payload: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The JSON object and the byte strings that ``verifiers/sandbox/inside/wire.py`` packed."""
    at = 4 + int.from_bytes(payload[:4], "big")
    header: dict[str, Any] = json.loads(payload[4:at])
    blobs = []
    for size in header["sizes"]:
        blobs.append(payload[at : at + size])
        at += size
    return header, blobs


def write_files(folder: str, names: Iterable[str], contents: Iterable[bytes]) -> None:
    """Write files below ``folder``; a name that begins with ``~/`` is in its folder ``~``."""
    os.makedirs(folder, exist_ok=True)
    for name, content in zip(names, contents, strict=True):
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


class Channel:
    """The lines between this job and its caller."""

    def __init__(self) -> None:
        self._lines = open(CHANNEL_IN, "rb")  # noqa: SIM115 - as long as the job runs

    def read(self) -> Any:
        """The next message; None at the end."""
        line = self._lines.readline()
        return json.loads(line) if line else None

    def send(self, message: Any) -> None:
        """Send a message."""
        view = memoryview(json.dumps(message).encode() + b"\n")
        while view:
            view = view[os.write(CHANNEL_OUT, view) :]


class Tests:
    """The names that tests have: ``run`` and ``score``."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.value: float | None = None

    def run(self, *command: str, stdin: str = "", seconds: float = 10.0) -> Result:
        """Run a program of the agent, in a copy of its files, in another job.

        Raises:
            Gone: an earlier program has ended that job.
        """
        self._channel.send({"command": list(command), "stdin": stdin, "seconds": seconds})
        answer = self._channel.read()
        if answer is None or answer.get("gone"):
            raise Gone(f"{command[0]!r} could not run: an earlier program ended its job")
        return Result(answer["code"], answer["stdout"], answer["stderr"])

    def score(self, value: float) -> None:
        """Set the score, from 0 to 1; without it, tests that raise nothing score 1."""
        self.value = min(1.0, max(0.0, float(value)))


def judge(source: str, names: Mapping[str, Any], tests: Tests) -> tuple[float, str]:
    """The score that the tests give, and why it is 0 if they raised."""
    try:
        exec(compile(source, "tests", "exec"), {"__name__": "__tests__", **names})
    except BaseException as error:  # noqa: BLE001 - whatever the tests raise, they have not passed
        if not isinstance(error, SystemExit) or error.code not in (None, 0):
            return 0.0, f"{type(error).__name__}: {error}"[:500]
    return (1.0 if tests.value is None else tests.value), ""


def main() -> None:
    """Write the files, run the tests in their folder, and report the score."""
    spec, blobs = unpack(sys.stdin.buffer.read())
    names = spec["names"]
    write_files(FILES, names, blobs[: len(names)])
    write_files("given", spec["given"], blobs[len(names) :])
    channel = Channel()
    tests = Tests(channel)
    here = os.getcwd()
    sys.path[:] = [folder for folder in sys.path if folder not in ("", here)]  # no module of the agent is imported
    os.chdir(FILES)
    known = {"run": tests.run, "score": tests.score, "printed": spec["printed"], "given": os.path.join(here, "given")}
    score, reason = judge(spec["tests"], known, tests)
    channel.send({"score": score, "reason": reason})


if __name__ == "__main__":
    main()
