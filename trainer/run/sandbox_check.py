"""Checks before the first rollout whether a run needs a sandbox, and whether this machine has one that is enough."""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ...environments.environment import Environment, tasks_of
from ...verifiers.errors import ConfigError
from ...verifiers.registry import verifier_class
from ...verifiers.rows.row import entries
from ...verifiers.sandbox.job import Level
from ...verifiers.sandbox.settings import SandboxSettings
from ...verifiers.sandbox.shared import configure_sandbox, shared_sandbox

log = logging.getLogger("lachesis")

TASKS = 100
"""How many tasks of each environment are searched for verifiers of their own."""


class SandboxCheck(NamedTuple):
    """The sandbox of a run that executes programs written by the model; part of the run's summary.

    Attributes:
        level: the isolation level that the sandbox reached when it was tried here.
        require: the least level that the configuration accepts.
        needed_by: labels of the environments that run programs.
    """

    level: Level
    require: Level
    needed_by: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        named = {"level": self.level.name.lower(), "require": self.require.name.lower()}
        return named | {"needed_by": list(self.needed_by)}


def check_sandbox(settings: SandboxSettings, environments: Sequence[Environment], seed: int) -> SandboxCheck | None:
    """Apply ``settings`` to this process and try the sandbox if an environment needs one; return None if none does.

    Raises:
        ConfigError: An environment needs a sandbox, and none reaches the level that ``settings`` require, or it lacks
            the tools of a verifier. The message names the cure.
    """
    configure_sandbox(settings)
    needed_by = tuple(environment.label for environment in environments if needs_sandbox(environment, seed))
    if not needed_by:
        return None
    try:
        level = shared_sandbox().level
        with ThreadPoolExecutor(1) as thread:  # an event loop may be running in this one
            thread.submit(asyncio.run, _check_tools(environments)).result()
    except ConfigError as error:
        raise ConfigError(f"{', '.join(needed_by)} runs programs that the model writes: {error}") from None
    return SandboxCheck(level, Level[settings.require.upper()], needed_by)


async def _check_tools(environments: Sequence[Environment]) -> None:
    for verifier in (verifier for environment in environments for verifier in environment.rubric.verifiers):
        if check := getattr(verifier, "check_sandbox", None):
            await check(shared_sandbox())


def warn_if_weak(found: SandboxCheck | None) -> None:
    """Log a warning if the sandbox is weaker than the default requires."""
    if found and found.level < Level.CONTAINED:
        log.warning(
            "%s: programs that the model writes run at level %s (sandbox.require = %r), which stops mistakes but not "
            "attacks: they can read and change what this user can",
            ", ".join(found.needed_by),
            found.level.name.lower(),
            found.require.name.lower(),
        )


def needs_sandbox(environment: Environment, seed: int) -> bool:
    """Whether the environment, its rubric, or a verifier in one of its first ``TASKS`` tasks runs programs."""
    if environment.needs_sandbox or environment.rubric.needs_sandbox:
        return True
    return any(
        getattr(verifier_class(entry.name), "needs_sandbox", False)
        for task in itertools.islice(tasks_of(environment, environment.splits[0], seed), TASKS)
        for entry in entries(task)
    )
