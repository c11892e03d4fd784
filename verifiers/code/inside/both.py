"""The program of a job that holds candidate and tests both, for tests that pass what cannot cross."""

import os
from typing import Any

from .candidate import Candidate
from .script import Remote, finish, start
from .wire import Channel


def serve() -> None:
    """As ``script`` does it, with the candidate here; all but the tests' own objects crosses by value here too."""
    channel, candidate = Channel(), Candidate()
    nonce, in_place, *message = channel.read()

    def other(value: Any) -> Any:
        number = candidate.keep(value)
        remote.keep(number, value)
        return ["h", number]

    def exchange(request: list[Any]) -> Any:
        return candidate.answer(0, *request)[1:]

    remote = Remote(exchange, other, in_place)
    script = start(message, nonce, channel)
    load = channel.read()
    if script and load:
        channel.write(candidate.load(*load))
        if channel.read():
            finish(script, remote, nonce, channel)
    channel.read()  # what was said has arrived when the parent closes the channel
    os._exit(0)
