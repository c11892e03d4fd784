"""The boundary around a user's own engine or weight transport, whose mistakes become errors that name the setting."""

from pathlib import Path
from types import TracebackType
from typing import Literal

from ...verifiers.boundary import Boundary
from ...verifiers.errors import EngineError, LachesisError

CURE = "correct its code; docs/engines.md shows an example"

_HERE = str(Path(__file__).parent)


class OwnCode(Boundary):
    """Runs a user's code in the body of a ``with`` statement; errors of Lachesis, cancellation and Ctrl-C pass.

    Args:
        part: the setting and its value, and what of it runs, for messages.

    Raises:
        EngineError: the code raised anything else; the message has its file and line, and the cure.
    """

    def __init__(self, part: str) -> None:
        super().__init__(passing=LachesisError)
        self._part = part

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        super().__exit__(kind, error, trace)
        if self.fault:
            called_wrongly = self.fault.file.startswith(_HERE)  # it never ran: the line that calls it is no help
            why = self.fault.message if called_wrongly else self.fault
            raise EngineError(f"{self._part} raised {why}; {CURE}") from error
        return False
