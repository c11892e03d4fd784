"""Grading: a task's tests run in a job of their own, over copies of the files that the agent declared."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...verifiers.sandbox.inside import wire
from ...verifiers.sandbox.job import MIB, Job, Limits
from ...verifiers.sandbox.protocol import Sandbox, Session, SessionEnded
from ...verifiers.verdict import Verdict, infra_error, passed, wrong

_INSIDE = Path(__file__).with_name("inside")
_GRADER, _RUNNER = ((_INSIDE / name).read_text(encoding="utf-8") for name in ("grader.py", "runner.py"))
_OVERTIME = 5.0
"""Seconds that the tests' job may take longer than the programs' job, so that it sees that one end."""


@dataclass(frozen=True)
class Grading:
    """What the tests of a task are given.

    Attributes:
        tests: Python source. It runs in the folder of the agent's files, where ``run("python3", "a.py", stdin="…")``
            runs one of the agent's programs in another job, ``printed`` is what the agent's program printed, ``given``
            is the folder of the tests' own files, and ``score(0.5)`` sets a score. Tests that raise score 0.
        files: name → content of the agent's files. They are data here, and nothing imports or runs them.
        given: name → content of the tests' own files.
        printed: what the agent's program printed.
        seconds: how long the tests may take.
    """

    tests: str
    files: Mapping[str, bytes]
    given: Mapping[str, bytes] = field(default_factory=dict)
    printed: str = ""
    seconds: float = 60.0

    async def verdict(self, sandbox: Sandbox) -> Verdict:
        """Run the tests in ``sandbox``.

        Raises:
            SandboxLost: the sandbox failed; nothing was judged.
        """
        limits = Limits(wall=self.seconds, cpu=self.seconds, memory=512 * MIB, output=8 * MIB)
        spec = {"tests": self.tests, "names": list(self.files), "given": list(self.given), "printed": self.printed}
        contents = [*self.files.values(), *self.given.values()]
        grader = Job(_GRADER, wire.pack(spec, contents), limits=replace(limits, wall=self.seconds + _OVERTIME))
        runner = Job(_RUNNER, wire.pack({"names": list(self.files)}, self.files.values()), limits=limits)
        result, (tested, _) = await sandbox.converse([grader, runner], _talk)
        if result is not None:
            return _verdict(result["score"], result["reason"])
        if tested.status == "infra_error":
            return infra_error(f"the tests could not be run: {tested.reason}")
        return wrong(f"the tests ended without a score: {tested.reason or tested.stderr[-300:]}")


def _verdict(score: float, reason: str) -> Verdict:
    if score >= 1:
        return passed(score=score)
    return wrong(reason or f"the tests gave {score:g}", score=score)


def _talk(sessions: Sequence[Session]) -> dict[str, Any]:
    """Carry what the tests ask for to the programs' job, until the tests tell their score."""
    tests, programs = sessions
    while True:
        message: dict[str, Any] = json.loads(tests.read())
        if "score" in message:
            return message
        try:
            answer = programs.ask(json.dumps(message).encode())
        except SessionEnded:
            answer = b'{"gone": true}'
        tests.send(_checked(answer))


def _checked(answer: bytes) -> bytes:
    """An answer in its one form; whatever else the programs' job wrote means that it cannot be used any more."""
    try:
        said = json.loads(answer)
        code = said["code"] if type(said["code"]) is int else None
        clean = {"code": code, "stdout": str(said["stdout"]), "stderr": str(said["stderr"])}
        return json.dumps(clean).encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        return b'{"gone": true}'
