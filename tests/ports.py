"""Ports that a test's server will listen on, where the server has to be told one before it starts."""

import random
import socket

# Below those that the kernel gives to connections and to whoever binds port 0 (32768 and up), of which one that was
# free when a test asked may be another test's before the server has started, and above Ray's (10002 to 19999).
_RANGE = range(20_000, 32_000)


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    while True:
        port = random.SystemRandom().choice(_RANGE)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
