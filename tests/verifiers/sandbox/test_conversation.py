"""Sessions that pass on bytes: two jobs are joined without knowing who speaks next, and each reads the other's end."""

import asyncio
import sys
from collections.abc import Iterator, Sequence

import pytest

from lachesis.verifiers.sandbox.backends import open_backend
from lachesis.verifiers.sandbox.job import Job, Limits
from lachesis.verifiers.sandbox.protocol import Sandbox, Session, SessionEnded
from lachesis.verifiers.sandbox.settings import SandboxSettings


@pytest.fixture(scope="module", params=["process", "docker"])
def pool(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    if request.param == "process" and sys.platform != "linux":
        pytest.skip("the process sandbox needs Linux")
    image = request.getfixturevalue("docker_image") if request.param == "docker" else "none"
    made = open_backend(request.param, SandboxSettings(size=2, image=image))
    yield made
    made.close()


def received(session: Session) -> bytes:
    """All that the job writes until it ends."""
    data = b""
    try:
        while True:
            data += session.receive(0.5)
    except SessionEnded:
        return data


def test_bytes_pass_without_line_ends_and_in_any_portions(pool: Sandbox) -> None:
    job = Job("import os\nwhile part := os.read(3, 1 << 16): os.write(4, part.upper())")

    def drive(sessions: Sequence[Session]) -> tuple[bytes, bytes]:
        sessions[0].write(b"abc")
        first = b""
        while len(first) < 3:
            first += sessions[0].receive(0.5)
        sessions[0].write(b"x" * 300_000)
        sessions[0].close()
        return first, received(sessions[0])

    result, (end,) = asyncio.run(pool.converse([job], drive))
    assert result == (b"ABC", b"X" * 300_000)
    assert (end.status, end.retries) == ("ok", 0)


def test_waiting_for_a_silent_job_ends_and_loses_nothing(pool: Sandbox) -> None:
    job = Job("import os\nos.read(3, 1)\nos.write(4, b'late')")

    def drive(sessions: Sequence[Session]) -> tuple[bytes, bytes]:
        none = b"".join(sessions[0].receive(0.002) for _ in range(20))
        sessions[0].write(b"!")
        return none, received(sessions[0])

    result, (end,) = asyncio.run(pool.converse([job], drive))
    assert result == (b"", b"late")
    assert end.status == "ok"


def test_the_end_of_a_session_is_told_again_and_a_second_close_does_nothing(pool: Sandbox) -> None:
    job = Job("import os\nos.write(4, b'bye')\nos.close(4)\nos.read(3, 1)")

    def drive(sessions: Sequence[Session]) -> bytes:
        data = received(sessions[0])
        with pytest.raises(SessionEnded):
            sessions[0].receive(1.0)
        sessions[0].close()
        sessions[0].close()
        return data

    result, (end,) = asyncio.run(pool.converse([job], drive))
    assert result == b"bye"
    assert end.status == "ok"


def test_a_job_that_ignores_the_end_of_its_channel_is_ended(pool: Sandbox) -> None:
    job = Job("import time; time.sleep(60)", limits=Limits(wall=30))

    def drive(sessions: Sequence[Session]) -> bytes:
        sessions[0].close()
        return received(sessions[0])

    result, (end,) = asyncio.run(pool.converse([job], drive))
    assert result == b""
    assert (end.status, end.retries) == ("timeout", 0)
    assert "after its channel was closed" in end.reason
