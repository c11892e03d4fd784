"""Runs the programs of an agent that its task's tests ask for, apart from those tests."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any

CHANNEL_IN, CHANNEL_OUT = 3, 4
MOST = 200_000
"""The most characters of a program's output that the tests see."""


def run(command: list[str], stdin: str, seconds: float) -> dict[str, Any]:
    """Run one program; what it leaves running is killed if it is in its process group."""
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except (OSError, ValueError) as error:
        return {"code": None, "stdout": "", "stderr": f"cannot be started: {error}"}
    try:
        out, err = child.communicate(stdin.encode(), seconds)
        code: int | None = child.returncode
    except subprocess.TimeoutExpired:
        code, out, err = None, b"", b"its time was up"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    return {"code": code, "stdout": _text(out), "stderr": _text(err)}


def _text(data: bytes) -> str:
    return data[:MOST].decode(errors="replace")


def main() -> None:
    """Write the agent's files, then run what is asked for until the channel ends."""
    payload = sys.stdin.buffer.read()
    at = 4 + int.from_bytes(payload[:4], "big")
    spec = json.loads(payload[4:at])
    os.makedirs("files", exist_ok=True)
    os.chdir("files")
    os.environ["PATH"] = f"{os.path.dirname(sys.executable)}:{os.environ.get('PATH', '')}"
    for name, size in zip(spec["names"], spec["sizes"], strict=True):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb") as file:
            file.write(payload[at : at + size])
        at += size
    with open(CHANNEL_IN, "rb") as lines:
        for line in lines:
            asked = json.loads(line)
            answer = json.dumps(run(asked["command"], asked["stdin"], asked["seconds"])).encode() + b"\n"
            while answer:
                answer = answer[os.write(CHANNEL_OUT, answer) :]


if __name__ == "__main__":
    main()
