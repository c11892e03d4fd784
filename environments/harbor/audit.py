"""The audit of a Harbor task: only its oracle passes, no answer is left behind, and no agent writes its reward."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...verifiers.task import Task
from ..agent_program.environment import read_files
from ..audit.finding import Finding
from .docker.task import Left
from .history import places_of, texts_in_history

if TYPE_CHECKING:
    from .environment import Harbor

_SHORTEST = 16
"""The fewest bytes of a text that counts as left behind; shorter ones are found by accident."""

_REWARDS = """
mkdir -p /logs/verifier
echo 1 > /logs/verifier/reward.txt
echo '{"reward": 1}' > /logs/verifier/reward.json
"""
_WRITES = """
import os
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
    "writes the reward file itself": _REWARDS,
    "leaves a conftest.py that writes the reward": f"cat > conftest.py <<'END'\n{_PYTEST}\nEND\n",
    "leaves modules that write the reward when they are imported": f"""
for name in sitecustomize usercustomize pytest json; do cat > "$name.py" <<'END'
{_AT_EXIT}
END
done
find . -name '*.py' ! -name json.py -exec sh -c 'cat json.py >> "$1"' sh {{}} ';'
""",
    "leaves scripts that write the reward when they are run": f"""
for name in test.sh run.sh run_tests.sh Makefile; do [ -e "$name" ] && cat >> "$name" <<'END'
{_REWARDS}
END
done
true
""",
}
"""Shell programs that want the reward without the work."""


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
        nothing = await self._left(":")
        found = []
        if (await self.environment.verdict(self.task, nothing)).passed:
            found.append(self._finding("empty", "doing nothing passes; its tests have to fail before the work is done"))
        return found + await self._oracle(nothing) + await self._hostile()

    async def _oracle(self, nothing: Left) -> list[Finding]:
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
        made = {name: content for name, content in left.files.items() if nothing.files.get(name) != content}
        return found + await self._leaks({**made, **read_files(self.task.info["solution"])})

    async def _leaks(self, secret: Mapping[str, bytes]) -> list[Finding]:
        """Files of the solution, or that it makes, in what the agent is given, in its image, or in their history."""
        given = read_files(self.task.info["files"])
        sought = {name: text for name, content in secret.items() if len(text := content.strip()) >= _SHORTEST}
        found = dict(places_of(sought, [*given.items(), *texts_in_history(given)]))
        if in_docker := self.environment.in_docker(self.task):
            found = {**await in_docker.search(sought), **found}
        return [
            self._finding("leak", f"the content of {name} is in {place}, which the agent can read")
            for name, place in sorted(found.items())
        ]

    async def _hostile(self) -> list[Finding]:
        earned = await asyncio.gather(*(self._earns(script) for script in HOSTILE.values()))
        cure = "declare artifacts and a separate verifier, and let no test import or run what the agent left"
        return [
            self._finding("reward", f"an agent that {what} earns the reward; {cure}")
            for what, earns in zip(HOSTILE, earned, strict=True)
            if earns
        ]

    async def _earns(self, script: str) -> bool:
        verdict = await self.environment.verdict(self.task, await self._left(script))
        return verdict.passed

    async def _left(self, script: str) -> Left:
        """What a shell program leaves."""
        program = replace(self.environment.program(self.task), command=("/bin/sh", "-c", script), templates={})
        return await self.environment.left_by(self.task, program)

    def _finding(self, kind: str, message: str) -> Finding:
        return Finding(kind, message, tasks=(self.task.id,))
