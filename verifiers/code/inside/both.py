"""Driver of a job with both candidate and tests, for tests that pass values which cannot be serialised."""

import os
from typing import Any

from .candidate import Candidate
from .script import Remote, finish, start
from .wire import Channel


def serve() -> None:
    """Run the tests with the candidate in the same job; only the tests' own objects are passed by reference."""
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
    channel.read()  # the parent closes the channel when it has read everything
    os._exit(0)
