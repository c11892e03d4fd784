"""Joining a cluster at an address where there is none: one line, and soon."""

import socket
import threading
from collections.abc import Iterator

import pytest

from lachesis.rollout.cluster import joining
from lachesis.rollout.cluster.joining import join
from lachesis.verifiers.errors import ConfigError


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of something that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def talking() -> Iterator[str]:
    """The address of something that answers everybody in a language that is not Ray's."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # closed
                    return
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "address", ["nowhere", "host:", ":6379", "host:port", "host:0", "host:99999", "http://host", "ray://host:10001"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"cluster.address = '.*' is no address; give host:port .* or \"auto\""):
        join(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:6379", "[::1]:1"])
def test_an_address_where_nothing_answers_is_named(address: str) -> None:
    with pytest.raises(
        ConfigError, match=r"nothing answers there .*; check the address, and that ray start --head"
    ) as caught:
        join(address)
    assert repr(address) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["silent", "talking"])
def test_what_does_not_speak_rays_language_is_no_cluster(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "ANSWER", 3.0)
    with pytest.raises(ConfigError, match=r"is no Ray cluster \(it did not answer within 3 s\)"):
        join(request.getfixturevalue(kind))


def test_auto_says_which_cluster_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"cluster.address = 'auto' \([\d.]+:1\): nothing answers there"):
        join("auto")
