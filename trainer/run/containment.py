"""Whether what a run executes of its policy's programs will be held: seen before the first rollout."""

import itertools
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...environments.environment import Environment, tasks_of
from ...verifiers.errors import ConfigError
from ...verifiers.registry import verifier_class
from ...verifiers.rows.row import entries
from ...verifiers.sandbox.job import Level
from ...verifiers.sandbox.settings import SandboxSettings
from ...verifiers.sandbox.shared import configure_sandbox, shared_sandbox

log = logging.getLogger("lachesis")

LOOK = 100
"""Tasks of each environment whose own verifiers are looked at."""


class Containment(NamedTuple):
    """What holds the policy's programs; written into the run's summary.

    Attributes:
        level: what the sandbox was seen to hold here.
        require: the least that the configuration asks for.
        needed_by: the environments that run programs.
    """

    level: Level
    require: Level
    needed_by: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        named = {"level": self.level.name.lower(), "require": self.require.name.lower()}
        return named | {"needed_by": list(self.needed_by)}


def containment(settings: SandboxSettings, environments: Sequence[Environment], seed: int) -> Containment | None:
    """Use ``settings`` in this process, and try the sandbox if any environment needs one; None where none does.

    Raises:
        ConfigError: an environment needs one, and none holds what ``settings`` require; the message says the cure.
    """
    configure_sandbox(settings)
    needed_by = tuple(environment.label for environment in environments if needs_sandbox(environment, seed))
    if not needed_by:
        return None
    try:
        level = shared_sandbox().level
    except ConfigError as error:
        raise ConfigError(f"{', '.join(needed_by)} runs programs of the policy's: {error}") from None
    return Containment(level, Level[settings.require.upper()], needed_by)


def warn_of(found: Containment | None) -> None:
    """Log where less holds the programs than the default asks for, which somebody chose."""
    if found and found.level < Level.CONTAINED:
        log.warning(
            "%s: programs of the policy's run at level %s (sandbox.require = %r): that stops mistakes, not attacks; "
            "they can read and change what this user can",
            ", ".join(found.needed_by),
            found.level.name.lower(),
            found.require.name.lower(),
        )


def needs_sandbox(environment: Environment, seed: int) -> bool:
    """Whether the environment, its rubric, or a verifier that one of its first tasks brings along runs programs."""
    if environment.needs_sandbox or environment.rubric.needs_sandbox:
        return True
    return any(
        getattr(verifier_class(entry.name), "needs_sandbox", False)
        for task in itertools.islice(tasks_of(environment, "train", seed), LOOK)
        for entry in entries(task)
    )
