"""Every error that Lachesis raises on purpose, in one tree.

LachesisError
├── InputError                 the user's input is wrong: one line on the terminal, exit code 2
│   ├── ConfigError            a setting, an override on the command line or a name is unknown or impossible
│   └── DataError              a record, or a row of a file, is not valid
├── EnvironmentFault           the code of an environment raised: only its own trajectory fails
└── InfrastructureError        Lachesis itself failed: never a reward; the work is repeated
    ├── EngineError            an engine refused a request or could not carry it out
    │   ├── RequestRefused     an endpoint does not take one request, but may take others
    │   └── EngineLost         an engine died or stopped answering; another one may serve
    │       └── EngineStale    an engine has older weights than a request needs; it may catch up
    ├── SandboxLost            a sandbox broke or cannot be started
    └── DeadlineExceeded       something took longer than its deadline
"""

import difflib
from collections.abc import Iterable


class LachesisError(Exception):
    """Root of the tree. Each message says what was wrong, with the value, and how to fix it."""


class InputError(LachesisError):
    """The user's input is wrong; the command line prints one line and ends with exit code 2."""


class ConfigError(InputError):
    """A setting or a name is unknown or impossible."""


class DataError(InputError):
    """A record, or a row of a file, is not valid."""


class EnvironmentFault(LachesisError):
    """The code of an environment raised; the message names its file and line."""


class InfrastructureError(LachesisError):
    """Lachesis itself failed; the work is repeated and never scored."""


class EngineError(InfrastructureError):
    """An engine refused a request or could not carry it out."""


class RequestRefused(EngineError):
    """An endpoint does not take this request; ``overflow`` says that the request exceeds the model's context."""

    def __init__(self, message: str, overflow: bool = False) -> None:
        super().__init__(message)
        self.overflow = overflow


class EngineLost(EngineError):
    """An engine died or stopped answering; another engine may serve the same request."""


class EngineStale(EngineLost):
    """An engine has older weights than the request needs, or no weights yet."""


class SandboxLost(InfrastructureError):
    """A sandbox broke or cannot be started; nothing was judged."""


class DeadlineExceeded(InfrastructureError):
    """Something took longer than its deadline."""


_MANY = 30
"""How many names one message lists at most."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest a cure for an unknown name: the closest known name, or else the list of known names."""
    names = sorted(known)
    longer = [other for other in names if name and other.startswith(name)]
    close = longer[:1] or difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    rest = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return f"known: {', '.join(names[:_MANY]) or 'none'}{rest}"
