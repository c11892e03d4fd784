"""The event log of a run: what engines, workers and the trainer did, in order, one line of JSON for each event."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

from ..verifiers.errors import DataError

EVENTS = "events.jsonl"
"""The file's name in a run's folder."""


class EventLog:
    """Appends events to a file; without a path it keeps nothing.

    Each event has its ``event`` (a name), ``t`` (seconds since 1970 when it happened or, where it took time, when it
    began), ``seconds`` where it took time, and facts of its own. Lines reach the file at ``flush``, so a killed run
    loses the events of its last step. Events are for people: a disk that refuses them does not end a run.

    Args:
        path: the file; an incomplete last line, which a crash left, is ended first.

    Attributes:
        told: is told the name of each event.
        watch: is called with the name and the facts of each event that takes time, and entered while it lasts.
    """

    told: Callable[[str], None] | None = None
    watch: Callable[[str, Mapping[str, Any]], AbstractContextManager[None]] | None = None

    def __init__(self, path: Path | None = None) -> None:
        self._file: IO[str] | None = None
        if path is not None:
            torn = path.is_file() and not _ends_whole(path)
            self._file = path.open("a", encoding="utf-8")
            self._file.write("\n" * torn)

    def note(self, event: str, **facts: Any) -> None:
        """Add an event that happens now, or at the time ``t`` among ``facts``, which are JSON."""
        if self.told:
            self.told(event)
        if self._file is None:
            return
        when = round(facts.pop("t", time.time()), 4)
        with self._kept():
            self._file.write(json.dumps({"t": when, "event": event, **facts}) + "\n")

    @contextmanager
    def span(self, event: str, **facts: Any) -> Iterator[None]:
        """Add an event that takes as long as the body."""
        begun, start = time.time(), time.perf_counter()
        try:
            with self.watch(event, facts) if self.watch else nullcontext():
                yield
        finally:
            self.note(event, t=begun, seconds=round(time.perf_counter() - start, 4), **facts)

    def flush(self) -> None:
        """Hand the events to the operating system."""
        if self._file is not None:
            with self._kept():
                self._file.flush()

    def close(self) -> None:
        """Write what is left, and end."""
        self.flush()
        self._end()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """End the log if the disk refuses what the body writes."""
        try:
            yield
        except OSError:
            self._end()

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a log in order; lines that are damaged or incomplete are left out.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for line in file:
                if (event := event_of(line)) is not None:
                    yield event
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; restore it from a backup") from None


def event_of(line: bytes) -> dict[str, Any] | None:
    """Return the event of a line; None if the line is damaged."""
    try:
        event = json.loads(line)
        if isinstance(event, dict) and isinstance(event["event"], str) and isinstance(event["t"], int | float):
            return event
    except (ValueError, KeyError, RecursionError):
        pass
    return None


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 1))
        return file.read() in (b"", b"\n")
