"""Every error that Lachesis raises on purpose, in one tree.

LachesisError
├── InputError                 what the user gave is wrong: one line on the terminal, exit code 2
│   ├── ConfigError            a setting, a command-line override, a name that is not known
│   └── DataError              a record or a row of a file that cannot be what it claims
├── EnvironmentFault           an environment's own code raised: harms its own trajectory only
└── InfrastructureError        our machinery failed: never a reward, the work is done again
    ├── EngineError            an engine refused or could not do a request
    │   └── EngineLost         an engine died or stopped answering; another one may serve
    │       └── EngineStale    an engine holds older weights than a request needs; it may catch up
    ├── SandboxLost            a sandbox broke, and its control job fails too
    └── DeadlineExceeded       a wait ran out of time
"""

import difflib
from collections.abc import Iterable


class LachesisError(Exception):
    """Root of the tree; the message says what was wrong, with the value, and the cure."""


class InputError(LachesisError):
    """What the user gave is wrong; the command line prints one line and ends with exit code 2."""


class ConfigError(InputError):
    """A setting or a name that is not known or not possible."""


class DataError(InputError):
    """A record, or a row of a file, that cannot be what it claims to be."""


class EnvironmentFault(LachesisError):
    """An environment's own code raised; the message names its file and line."""


class InfrastructureError(LachesisError):
    """Our own machinery failed; the work is repeated and never scored."""


class EngineError(InfrastructureError):
    """An engine refused a request or could not carry it out."""


class EngineLost(EngineError):
    """An engine died or stopped answering; the same request may be served by another."""


class EngineStale(EngineLost):
    """An engine holds older weights than the request needs, or none yet."""


class SandboxLost(InfrastructureError):
    """A sandbox broke, or cannot be had; nothing was judged."""


class DeadlineExceeded(InfrastructureError):
    """A wait ran out of its time."""


_MANY = 30
"""Names that are listed in one message."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the cure for an unknown name: the closest known one, or the list of all."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    rest = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return f"known: {', '.join(names[:_MANY]) or 'none'}{rest}"
