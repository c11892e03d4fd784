"""What the sandbox's tests share: an image for Docker, made of the Python that runs the tests."""

import sys

import pytest

from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.sandbox import agent
from lachesis.verifiers.sandbox.process import ProcessBackend

_DROP = (
    'mount --bind "$1" /mnt && shift && exec setpriv --reuid=65534 --regid=65534 --clear-groups '
    '--inh-caps=-all --bounding-set=-all "$@"'
)


class NobodyBackend(ProcessBackend):
    """The process sandbox of a user without any rights, whose Python this user can read wherever root's lies."""

    @property
    def command(self) -> list[str]:
        """What starts one."""
        python = f"/mnt/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        return ["unshare", "--mount", "sh", "-c", _DROP, "sh", sys.base_prefix, *agent.command(python)]


@pytest.fixture(scope="session")
def docker_image() -> str:
    """The name of an image that holds a Python; without a Docker daemon the test is skipped."""
    from lachesis.verifiers.sandbox.daemon import connect
    from lachesis.verifiers.sandbox.image import build_image

    try:
        connect().close()
    except ConfigError as error:
        pytest.skip(f"no docker daemon: {error}")
    return build_image(report=lambda line: None)


@pytest.fixture(scope="session")
def nobody_backend() -> ProcessBackend:
    """The process sandbox as user 65534 would have it; the tests run as root."""
    return NobodyBackend()
