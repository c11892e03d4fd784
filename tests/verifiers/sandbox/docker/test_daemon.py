"""The Docker daemon: if it cannot be reached, one line says why, and how to fix it."""

import os
import socket
import tempfile
from pathlib import Path

import pytest

from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.sandbox.docker.daemon import connect


def test_no_daemon_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(ConfigError, match=rf"no daemon at unix://{tmp_path}/none.sock; start it .*DOCKER_HOST"):
        connect()


def test_a_daemon_that_has_gone_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "gone.sock"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/gone.sock")
    with pytest.raises(ConfigError, match=r"no daemon at .*gone\.sock; start it"):
        connect()


def test_a_port_without_listener_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
    with pytest.raises(ConfigError, match=rf"no daemon at tcp://127.0.0.1:{port}"):
        connect()


@pytest.mark.parametrize("host", ["gopher://x", "tcp://"])
def test_a_host_that_makes_no_sense_is_no_traceback(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(ConfigError, match="Docker does not answer"):
        connect()


@pytest.mark.skipif(os.getuid() != 0, reason="root can become a user without rights")
def test_a_socket_without_permission_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,
        tempfile.TemporaryFile() as said,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        Path(folder).chmod(0o755)
        listener.bind(f"{folder}/docker.sock")
        Path(folder, "docker.sock").chmod(0o600)
        listener.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
        child = os.fork()
        if not child:
            try:
                os.setuid(65534)
                connect()
            except ConfigError as error:
                os.write(said.fileno(), str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        said.seek(0)
        assert b"no permission to open unix://" in (answer := said.read()), answer
        assert b"usermod -aG docker" in answer
