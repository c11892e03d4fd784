"""Groups that programs outside post to the run over HTTP, such as environments written for Atropos."""

import ipaddress
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ...verifiers.errors import ConfigError
from ...verifiers.task import Task
from ..environment import Environment, EnvironmentConfig, Split
from ..episode import Episode


class Service(Environment):
    """Groups that other programs post, over the wire of Atropos; see docs/from-atropos.md.

    The trainer hosts the service. The tasks are placeholders: each is answered with the next posted group.
    """

    played: ClassVar[bool] = False

    class Config(EnvironmentConfig):
        """Where the service listens, and what it accepts."""

        host: str = "127.0.0.1"
        """Address to listen on. One that other machines can reach needs a token."""
        port: int = Field(8000, ge=0, le=65535)
        """Port to listen on; 0 chooses a free one, which the log names."""
        token: str = ""
        """What clients send as ``Authorization: Bearer TOKEN``; empty for none."""
        patience: float = Field(60.0, gt=0)
        """Seconds without a group, while one is waited for, after which the other environments have its turn."""
        max_staleness: int | None = Field(None, ge=0)
        """Most weights versions between sampling and training; older groups are left out. By default any number."""
        unprovable: Literal["keep", "refuse"] = "keep"
        """A posted sequence that is none of those that the engine sampled: train it as it is, or refuse its group."""
        max_groups: int = Field(4096, ge=1)
        """Most groups that wait; an environment that posts one more is told to try again later."""
        max_bytes: int = Field(1 << 30, ge=1 << 16)
        """Most bytes of the groups that wait, on disk."""

        @model_validator(mode="after")
        def _guarded(self) -> "Service.Config":
            if not self.token and not _is_loopback(self.host):
                raise ValueError(f"host {self.host} can be reached from other machines: set a token")
            return self

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """Placeholders without end; there are no held-out tasks."""
        number = 0
        while split == "train":
            yield Task(f"Group {number} of this run that comes over HTTP.")
            number += 1

    def demonstration(self, task: Task) -> str:
        """Some text, for the comparison of engine and trainer; nothing is learned from it."""
        return "The answer comes over HTTP."

    async def run(self, episode: Episode) -> None:
        """Raise: nobody plays this."""
        raise ConfigError('groups of "service" come over HTTP and only in `lachesis train`; nothing here can be played')


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
