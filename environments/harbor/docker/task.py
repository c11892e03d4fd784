"""One Harbor task in Docker: programs work in a container of its image, and its tests judge in another one."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ....verifiers.errors import SandboxLost
from ....verifiers.sandbox.docker.daemon import connect, translate_errors
from ....verifiers.sandbox.job import MIB
from ....verifiers.sandbox.shared import sandbox_settings
from ...agent_program.program import Program, Ran
from ..history import places_of
from .layers import texts_in_image
from .requirements import Requirements
from .runner import ContainerRunner, Placement, shared_runner

_VERDICT = "/logs/verifier/"
_REMOVED = f"{_VERDICT}removed.txt"
_JUDGE = f"""
if [ -e {_REMOVED} ]; then
    while IFS= read -r path; do rm -rf -- "$path"; done < {_REMOVED}
    rm -f {_REMOVED}
fi
chmod +x /tests/test.sh 2> /dev/null
exec /tests/test.sh
"""


_SAVE_SECONDS = 900.0
"""How long the daemon may prepare an image before it sends the first byte of it."""


@dataclass(frozen=True)
class Left:
    """What an agent left of its work: path → content of files, and the paths of the image that it removed."""

    files: Mapping[str, bytes]
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class DockerTask:
    """One task.

    Attributes:
        folder: of the task.
        requirements: what its containers need.
        most: how many agents, and how many tests, run at one time in this process.
        open_network: whether agent and tests may use the machine's network, if the task allows it too.
        folders: folders that the agent may read at their own paths.
    """

    folder: Path
    requirements: Requirements
    most: int
    open_network: bool = False
    folders: tuple[Path, ...] = ()

    @property
    def runner(self) -> ContainerRunner:
        """Runs the agents."""
        return shared_runner("agents", self.most, sandbox_settings().image)

    async def work(self, program: Program, url: str = "") -> Ran:
        """Run an agent or the oracle; raises like ``ContainerRunner.run``."""
        needs = self.requirements
        placement = Placement(
            self.folder,
            needs.image,
            needs.agent_user,
            needs.cpus,
            self.open_network and not needs.offline,
            self.folders,
        )
        return await self.runner.run(self._limited(program), placement, url)

    async def judge(self, program: Program, left: Left) -> Ran:
        """Run the tests over what an agent left; raises like ``ContainerRunner.run``.

        ``program`` has the files of the tests and what they may leave; its command is replaced.
        """
        needs = self.requirements
        files = dict(program.files)
        if left.removed:
            files[_REMOVED] = "".join(f"{path}\n" for path in left.removed).encode()
        placement = Placement(
            self.folder,
            needs.verifier_image,
            needs.verifier_user,
            needs.cpus,
            self.open_network and not needs.verifier_offline,
            theirs={name: content for name, content in left.files.items() if not _is_of_tests(name, files)},
        )
        tests = replace(self._limited(program), command=("/bin/sh", "-c", _JUDGE), files=files)
        runner = shared_runner("tests", self.most, sandbox_settings().image)
        return await runner.run(tests, placement)

    async def search(self, sought: Mapping[str, bytes]) -> dict[str, str]:
        """Name → place of those texts that are in the agent's image, in its layers, or in how it was built."""
        return await asyncio.to_thread(self._search, sought)

    def _search(self, sought: Mapping[str, bytes]) -> dict[str, str]:
        image = self.runner.image(self.requirements.image, self.folder)
        api = connect()
        api.timeout = _SAVE_SECONDS
        try:
            with translate_errors(SandboxLost, "Docker cannot save an image"):
                return dict(places_of(sought, texts_in_image(api, image)))
        finally:
            api.close()

    def _limited(self, program: Program) -> Program:
        changes: dict[str, Any] = {}
        if self.requirements.memory:
            changes["memory"] = self.requirements.memory * MIB
        if self.requirements.disk:
            changes["disk"] = changes["file_size"] = self.requirements.disk * MIB
        return replace(program, limits=replace(program.limits, **changes))


def _is_of_tests(name: str, files: Mapping[str, bytes]) -> bool:
    """Whether an agent's file would be one of the tests', or where they leave their verdict."""
    return name in files or name.startswith(_VERDICT)
