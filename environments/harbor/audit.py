"""The audit of a Harbor task: only its oracle passes, no answer is left behind, and no agent writes its reward."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...verifiers.task import Task
from ..agent_program.environment import read_files
from ..audit.finding import Finding
from .history import texts_in_history

if TYPE_CHECKING:
    from .environment import Harbor

_SHORTEST = 16
"""The fewest bytes of a text that counts as left behind; shorter ones are found by accident."""

_WRITES = """
import os, sys
def reward():
    for name, text in (("reward.txt", "1"), ("reward.json", '{"reward": 1}')):
        try:
            os.makedirs("/logs/verifier", exist_ok=True)
            open("/logs/verifier/" + name, "w").write(text)
        except OSError:
            pass
reward()
"""
_AT_EXIT = f"{_WRITES}\nimport atexit\natexit.register(reward)\n"
_PYTEST = f"{_WRITES}\ndef pytest_sessionfinish(session, exitstatus):\n    reward()\n    os._exit(0)\n"

HOSTILE = {
    "writes the reward file itself": _WRITES,
    "leaves a conftest.py that writes the reward": f"open('conftest.py', 'w').write({_PYTEST!r})",
    "leaves modules that write the reward when they are imported": f"""
import os
for name in ("sitecustomize.py", "usercustomize.py", "pytest.py", "json.py"):
    open(name, "w").write({_AT_EXIT!r})
for folder, _, names in os.walk("."):
    for name in names:
        if name.endswith(".py"):
            with open(os.path.join(folder, name), "a") as file:
                file.write({_AT_EXIT!r})
""",
}
"""Programs that want the reward without the work."""


@dataclass(frozen=True)
class TaskAudit:
    """The audit of one task."""

    environment: "Harbor"
    task: Task

    async def findings(self) -> list[Finding]:
        """What is wrong with the task.

        Raises:
            SandboxLost: the sandbox failed.
        """
        nothing = await self._left("")
        found = []
        if (await self.environment.verdict(self.task, nothing)).passed:
            found.append(self._finding("empty", "doing nothing passes; its tests have to fail before the work is done"))
        return found + await self._oracle(nothing) + await self._hostile()

    async def _oracle(self, nothing: Mapping[str, bytes]) -> list[Finding]:
        if not self.task.info["solution"]:
            message = "it has no solution/solve.sh, so nothing shows that it can be solved"
            return [replace(self._finding("gold", message), severity="warning")]
        left = await self.environment.left_by(self.task, self.environment.oracle(self.task))
        verdict = await self.environment.verdict(self.task, left)
        found = []
        if not verdict.passed:
            printed = str(verdict.evidence.get("printed", ""))[-300:]
            found.append(
                self._finding("gold", f"the oracle does not pass: {verdict.reason}. Its tests printed: {printed}")
            )
        made = {name: content for name, content in left.items() if nothing.get(name) != content}
        return found + self._leaks({**made, **read_files(self.task.info["solution"])})

    def _leaks(self, secret: Mapping[str, bytes]) -> list[Finding]:
        """Files of the solution, or that it makes, in what the agent is given or in its history."""
        given = read_files(self.task.info["files"])
        places = [*given.items(), *texts_in_history(given)]
        found = []
        for name, content in secret.items():
            text = content.strip()
            place = next((place for place, other in places if len(text) >= _SHORTEST and text in other), None)
            if place is not None:
                found.append(self._finding("leak", f"the content of {name} is in {place}, which the agent can read"))
        return found

    async def _hostile(self) -> list[Finding]:
        found = []
        for what, source in HOSTILE.items():
            if (await self.environment.verdict(self.task, await self._left(source))).passed:
                cure = "declare artifacts and a separate verifier, and let no test import or run what the agent left"
                found.append(self._finding("reward", f"an agent that {what} earns the reward; {cure}"))
        return found

    async def _left(self, source: str) -> dict[str, bytes]:
        """The artifacts that a Python program leaves."""
        program = replace(self.environment.program(self.task), command=("{python}", "-c", source), templates={})
        return await self.environment.left_by(self.task, program)

    def _finding(self, kind: str, message: str) -> Finding:
        return Finding(kind, message, tasks=(self.task.id,))
