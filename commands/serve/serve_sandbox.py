"""``lachesis serve-sandbox``: the sandbox of this machine, for the jobs of machines that have none."""

import asyncio
import os
import ssl
from collections.abc import Sequence
from pathlib import Path

import click

from ...rollout.service.body import is_loopback
from ...trainer.overrides import sandbox_settings
from ...verifiers.errors import ConfigError
from ...verifiers.sandbox.backends import open_sandbox
from ...verifiers.sandbox.remote.server import make_runner
from ...verifiers.sandbox.remote.service import TOKEN
from ..arguments import PASS_ON
from .listening import listen

_MIB = 1 << 20


@click.command("serve-sandbox", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[--sandbox.key VALUE]...")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help=f"Address to listen on. One that other machines can reach needs a token in {TOKEN}.",
)
@click.option(
    "--port",
    default=8750,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--cert", type=click.Path(path_type=Path), help="File with the certificate for TLS.")
@click.option("--key", type=click.Path(path_type=Path), help="File with the private key of the certificate.")
@click.option(
    "--max-body", default=64, show_default=True, type=click.IntRange(1, 1024), help="Most MiB of one job's inputs."
)
def command(words: Sequence[str], host: str, port: int, cert: Path | None, key: Path | None, max_body: int) -> None:
    """Let other machines run jobs in the sandbox of this one.

    They name it with [sandbox] backend = "remote" and url. SIGTERM and Ctrl-C end the server and its jobs.
    """
    token = os.environ.get(TOKEN, "")
    if not is_loopback(host) and not token:
        raise ConfigError(f"--host {host} can be reached from outside; set {TOKEN} to a token here and at the callers")
    tls = _tls(cert, key)
    settings = sandbox_settings(words)
    sandbox = open_sandbox(settings)
    try:
        facts = f"{sandbox.name} at level {sandbox.level.name.lower()}, {settings.jobs} jobs at the same time"
        runner = make_runner(sandbox, settings.jobs, token, max_body * _MIB)
        asyncio.run(listen(runner, host, port, facts, tls))
    finally:
        sandbox.close()


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if not cert and not key:
        return None
    if not cert or not key:
        raise ConfigError("TLS needs both --cert and --key; give both, or none")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use --cert {cert} with --key {key}: {error}; check both files") from None
    return context
