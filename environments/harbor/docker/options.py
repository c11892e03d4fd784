"""How Docker is asked for a task's container: what it may use, and what is taken from it.

A program may be root in its container, as the format promises, but with few of root's capabilities, without ways to
gain others, and behind Docker's own list of system calls. Nothing of the machine is shown to it but the ``folders``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.types import Mount

from ....verifiers.sandbox.docker.containers import OWNER
from ...agent_program.inside.launcher import fill
from ...agent_program.program import Program

CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"),
    *("SYS_CHROOT", "NET_BIND_SERVICE"),
)
"""What root in a container may do: to install packages, and to start services as other users."""


@dataclass(frozen=True)
class Place:
    """Where a program runs, besides what ``Program`` says.

    Attributes:
        image: its image, as Docker tells about it.
        user: empty for the image's user.
        cpus: None for all.
        network: as Docker names it.
        folders: folders of the daemon's machine that are shown read-only at their own paths.
        theirs: files that an agent left, which are put there too; if they cannot be, that is the agent's fault.
    """

    image: Mapping[str, Any]
    user: str = ""
    cpus: float | None = None
    network: str = "none"
    folders: tuple[Path, ...] = ()
    theirs: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration of the image."""
        return self.image.get("Config") or {}

    @property
    def actual_user(self) -> str:
        """The name or the number of the user, without a group."""
        return (self.user or self.config.get("User") or "root").partition(":")[0]

    @property
    def home(self) -> str:
        """The home folder: what the image says in HOME, or the usual one of the user."""
        for line in self.config.get("Env") or []:
            if line.startswith("HOME="):
                return str(line.removeprefix("HOME="))
        if self.actual_user in ("root", "0"):
            return "/root"
        return "/tmp" if self.actual_user.isdigit() else f"/home/{self.actual_user}"

    def folder(self, program: Program) -> str:
        """Where the program starts."""
        return program.folder or self.config.get("WorkingDir") or "/"

    def values(self, program: Program, url: str = "") -> dict[str, str]:
        """What ``{name}`` stands for."""
        more = {"home": self.home, "work": self.folder(program), "python": "python3"}
        return {**program.values, **more, **({"url": url} if url else {})}


def _shown(folder: Path) -> Mount:
    """A mount that fails if there is no such folder; Docker would make one for an ordinary volume."""
    path = str(folder.expanduser().absolute())
    return Mount(path, path, type="bind", read_only=True)


def create_options(api: Any, program: Program, place: Place, owner: str, url: str) -> dict[str, Any]:
    """The options of ``create_container`` for ``program``; ``owner`` is the value of the owner's label."""
    limits, values = program.limits, place.values(program, url)
    nano_cpus = int(place.cpus * 1e9) if place.cpus is not None else None
    host = api.create_host_config(
        init=True,
        network_mode=place.network,
        ipc_mode="private",
        security_opt=["no-new-privileges:true"],
        cap_drop=["ALL"],
        cap_add=list(CAPABILITIES),
        pids_limit=limits.processes,
        mem_limit=limits.memory,
        memswap_limit=limits.memory,
        nano_cpus=nano_cpus,
        ulimits=[
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "fsize", "Soft": limits.file_size, "Hard": limits.file_size},
        ],
        log_config={"Type": "none"},
        mounts=[_shown(folder) for folder in place.folders],
    )
    environment = {name: fill(text, values) for name, text in program.environment.items()}
    return {
        "image": place.image["Id"],
        "command": [fill(word, values) for word in program.command],
        "environment": {"HOME": place.home, **environment},
        "user": place.user or None,
        "working_dir": program.folder or None,
        "healthcheck": {"test": ["NONE"]},
        "labels": {OWNER: owner},
        "host_config": host,
    }
