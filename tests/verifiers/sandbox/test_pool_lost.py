"""A sandbox's agent that is killed or stopped in the middle of a job: the job runs again on another one."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from lachesis.verifiers.sandbox import conversation
from lachesis.verifiers.sandbox.backends import open_backend
from lachesis.verifiers.sandbox.docker.daemon import connect
from lachesis.verifiers.sandbox.job import Job, Limits
from lachesis.verifiers.sandbox.protocol import Sandbox, Session
from lachesis.verifiers.sandbox.settings import SandboxSettings

from .test_pool import ECHO, _is_alive, agents_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the process sandbox needs Linux")


@pytest.fixture(scope="module", params=["process", "docker"])
def pool(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    image = {"image": request.getfixturevalue("docker_image")} if request.param == "docker" else {}
    made = open_backend(request.param, SandboxSettings(size=1, **image))
    yield made
    made.close()


def family(connection: Any) -> list[int]:
    """The agent's processes on this machine; of a container, they are the daemon's."""
    return [connection.pid, *agents_of(connection.pid)] if hasattr(connection, "pid") else []


def lose(connection: Any, stop: bool) -> None:
    if hasattr(connection, "pid"):
        for pid in family(connection):
            with suppress(ProcessLookupError):  # it died with its parent
                os.kill(pid, signal.SIGSTOP if stop else signal.SIGKILL)
    else:
        (connect().pause if stop else connect().kill)(connection.container)


def lost_once(stop: bool, left: list[int]) -> Callable[[Sequence[Session]], bytes]:
    """Talks to a job, and loses its agent the first time."""

    def drive(sessions: Sequence[Session]) -> bytes:
        [session] = sessions
        assert session.ask(b"ab") == b"ba"
        if not left:
            connection = session._agent._connection  # type: ignore[attr-defined]
            left.extend(family(connection) or [0])
            lose(connection, stop)
        return session.ask(b"cd")

    return drive


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_job_whose_agent_is_lost_in_the_middle_runs_again_on_another_and_nothing_of_the_first_is_left(
    pool: Sandbox, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "_EXTRA_SECONDS", 2.0)
    before: list[int] = []
    job = Job(ECHO, limits=Limits(wall=1.5, cpu=1.5))
    answer, [end] = asyncio.run(pool.converse([job], lost_once(how == "stopped", before)))
    assert (answer, end.status, end.stdout, end.retries) == (b"dc", "ok", "closed\n", 1), end
    assert [pid for pid in before if pid and _is_alive(pid)] == []
