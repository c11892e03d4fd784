"""Joining a Ray cluster: a wrong address, a missing token or a cluster that is gone ends in one line, in time."""

import logging
import os
import re
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
_PROBE = """
import sys, ray
from ray._raylet import GcsClient
GcsClient(address=sys.argv[1])
print("answers", flush=True)
ray.init(address=sys.argv[1], log_to_driver=False)
print("takes part")
"""
"""Run apart from this process: Ray's client cannot be stopped, prints what it tries, and ends a process that is no
node's."""


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
        raise InfrastructureError(_no_node(found, " ".join(str(error).split()))) from None


def _no_node(address: str, reason: str) -> str:
    return (
        f"this machine cannot take part in the Ray cluster at {address} ({reason:.200}); call the run on a node of the "
        f"cluster, or make this machine one: ray start --address={address}"
    )


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
    """Raise what is wrong unless the head of a Ray cluster answers at ``found`` and lets this machine take part."""
    host, _, port = found.rpartition(":")
    where = f"cluster.address = {address!r}" + (f" ({found})" if found != address else "")
    cure = "check the address, and that ray start --head runs there"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT):
            pass
    except OSError as error:
        raise ConfigError(f"{where}: nothing answers there ({error.strerror or error}); {cure}") from None
    said, fault = _ask(found, os.environ)
    refused = "uthenticat" in fault
    if refused and "RAY_AUTH_MODE" not in os.environ:
        said, fault = _ask(found, {**os.environ, "RAY_AUTH_MODE": "token"})
        if "takes part" in said:
            _use_token()
    if "takes part" in said:
        return
    reason = re.sub(r"^\[[^]]*\] \S+: ", "", (fault.strip().splitlines() or ["it ended without a word"])[-1])
    if "answers" in said:
        raise InfrastructureError(_no_node(found, reason))
    if refused:
        raise ConfigError(
            f"{where}: the cluster asks for a token, and does not take one of this user; copy ~/.ray/auth_token of "
            "the user that started it, or set RAY_AUTH_TOKEN"
        )
    raise ConfigError(f"{where}: what listens there is no Ray cluster ({reason:.200}); {cure}")


def _ask(address: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """What the probe of ``address`` printed, and what went wrong."""
    command = [sys.executable, "-P", "-c", _PROBE, address]
    try:
        probe = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER, env=dict(environment))
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode(), f"it did not answer within {ANSWER:g} s"
    return probe.stdout, probe.stderr


def _use_token() -> None:
    """Send the token in this process and those that it starts.

    Ray does so by itself for ``auto`` only. A process with a token must not join a cluster without: it would refuse
    what the cluster asks of it, and every actor would be cancelled.
    """
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
