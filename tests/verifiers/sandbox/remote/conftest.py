"""A sandbox server as its command starts it, behind TLS with a certificate that signs itself."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from lachesis.verifiers.sandbox.remote.service import TOKEN
from lachesis.verifiers.sandbox.settings import SandboxSettings

SECRET = "a-token-that-nobody-guesses"
_NAMES = "subjectAltName=IP:127.0.0.1"


class Server(NamedTuple):
    """A running server, and the settings of a client."""

    process: "subprocess.Popen[str]"
    settings: SandboxSettings


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate; its key is beside it."""
    folder = tmp_path_factory.mktemp("tls")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    words = ["openssl", "req", "-x509", *curve, *files, "-days", "2", "-subj", "/CN=localhost", "-addext", _NAMES]
    subprocess.run(words, check=True, capture_output=True)
    return folder / "cert.pem"


@pytest.fixture(scope="session")
def start_server(certificate: Path, machine_allows_strong: None) -> Callable[..., "Iterator[Server]"]:
    """Starts one server, which ends with the block."""

    @contextmanager
    def start() -> Iterator[Server]:
        tls = ["--cert", str(certificate), "--key", str(certificate.with_name("key.pem"))]
        size = ["--sandbox.backend", "process", "--sandbox.size", "2"]
        words = [sys.executable, "-m", "lachesis.commands.cli", "serve-sandbox", "--port", "0", *tls, *size]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, TOKEN: SECRET})
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            assert first.startswith("listening on https://127.0.0.1:"), first
            url = first.split()[2].rstrip(";")
            yield Server(process, SandboxSettings(backend="remote", url=url, ca_file=certificate, require="strong"))
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    return start  # type: ignore[return-value]


@pytest.fixture(scope="module")
def token() -> Iterator[str]:
    """The token, in the environment of this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TOKEN, SECRET)
        yield SECRET
