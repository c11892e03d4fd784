"""Joining a Ray cluster: a wrong address, a missing token or a cluster that is gone ends in one line, in time."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping

import ray
from ray.exceptions import RayError

from ...verifiers.errors import ConfigError, InfrastructureError

CONNECT = 10.0
"""Seconds that a machine may take to accept a connection."""
ANSWER = 45.0
"""Seconds that it may then take to answer; together with ``CONNECT`` less than a minute."""
_PROBE = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1]); print('answered')"
"""Run apart from this process, because Ray's client cannot be stopped and prints what it tries."""


def join(address: str) -> None:
    """Join the cluster at ``address`` (``auto`` or host:port), with this user's token if there is one.

    Raises:
        ConfigError: nothing that is a Ray cluster answers there, or it refuses the token.
        InfrastructureError: the cluster answers, but this machine cannot take part in it.
    """
    found = _resolved(address)
    _check_answer(address, found)
    try:
        ray.init(address=found, log_to_driver=False, logging_level=logging.ERROR)
    except (RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InfrastructureError(
            f"cannot join the Ray cluster at {found} from this machine: {reason:.300}; is this machine a node of the "
            f"cluster? ray start --address={found} makes it one"
        ) from None


def _resolved(address: str) -> str:
    """The host and port of ``address``."""
    if address == "auto":
        from ray._private.services import canonicalize_bootstrap_address

        try:
            found = canonicalize_bootstrap_address("auto")
        except ConnectionError:
            found = None
        if not found:
            raise ConfigError(
                'cluster.address = "auto", but no Ray cluster runs on this machine; start one with ray start --head, '
                "give its host:port, or leave out cluster.address"
            )
        address = str(found)
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(
            f"cluster.address = {address!r} is no address; give host:port (Ray's port is 6379 unless ray start says "
            'otherwise) or "auto"'
        )
    return address


def _check_answer(address: str, found: str) -> None:
    """Raise ``ConfigError`` unless the head of a Ray cluster answers at ``found``."""
    host, _, port = found.rpartition(":")
    where = f"cluster.address = {address!r}" + (f" ({found})" if found != address else "")
    cure = "check the address, and that ray start --head runs there"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT):
            pass
    except OSError as error:
        raise ConfigError(f"{where}: nothing answers there ({error.strerror or error}); {cure}") from None
    fault = _ask(found, os.environ)
    refused = "uthenticat" in fault
    if refused and "RAY_AUTH_MODE" not in os.environ:
        fault = _ask(found, {**os.environ, "RAY_AUTH_MODE": "token"})
        if not fault:
            _use_token()
    if not fault:
        return
    if refused:
        raise ConfigError(
            f"{where}: the cluster asks for a token, and does not take one of this user; copy ~/.ray/auth_token of "
            "the user that started it, or set RAY_AUTH_TOKEN"
        )
    raise ConfigError(f"{where}: what listens there is no Ray cluster ({fault:.200}); {cure}")


def _ask(address: str, environment: Mapping[str, str]) -> str:
    """Why what listens at ``address`` is no head of a Ray cluster; empty if it is one."""
    command = [sys.executable, "-c", _PROBE, address]
    try:
        probe = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER, env=dict(environment))
    except subprocess.TimeoutExpired:
        return f"it did not answer within {ANSWER:g} s"
    said = probe.stderr.strip().splitlines() or ["it ended without a word"]
    return "" if probe.returncode == 0 else said[-1]


def _use_token() -> None:
    """Send the token in this process and those that it starts.

    Ray does so by itself for ``auto`` only. A process with a token must not join a cluster without: it would refuse
    what the cluster asks of it, and every actor would be cancelled.
    """
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
