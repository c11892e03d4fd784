"""The rows of a file of trajectories, in memory: filled part by part, and searched."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ...rollout.store import Frame
from ...verifiers.errors import DataError
from .row import Filter, Row, decode_line, row_of
from .trajectory_files import NumberedLine, TrajectoryFile

DAMAGES = 1000
"""Most damages that an index remembers."""


class Found(NamedTuple):
    """The rows that a filter chose.

    Attributes:
        rows: in order.
        complete: whether all of the file was looked at.
    """

    rows: list[Row]
    complete: bool


class RowIndex:
    """Rows of every trajectory in a file. Each method may be called from any thread.

    Args:
        file: the file.

    Attributes:
        damages: one line for each trajectory or part that could not be read.
    """

    def __init__(self, file: TrajectoryFile) -> None:
        self.damages: list[str] = []
        self._file = file
        self._parts: list[Frame] = []
        self._rows: dict[Frame, list[Row]] = {}
        self._lock = threading.RLock()

    @property
    def known(self) -> int:
        """How many trajectories the file had when it was last looked at."""
        return sum(part.rows for part in self._parts)

    @property
    def indexed(self) -> int:
        """How many of them have a row."""
        return sum(part.rows for part in self._rows)

    def steps(self) -> list[int]:
        """Return the steps that have trajectories, in order."""
        with self._lock:
            self._refresh()
            return sorted({part.step for part in self._parts})

    def fill(self, seconds: float) -> bool:
        """Make rows for at most ``seconds``; return whether all are made."""
        end = time.monotonic() + seconds
        with self._lock:
            self._refresh()
            for part in self._parts:
                if part not in self._rows:
                    self._fill(part)
                    if time.monotonic() > end:
                        break
            return len(self._rows) == len(self._parts)

    def find(self, chosen: Filter, text: str = "", most: int = 100_000, seconds: float = 5.0) -> Found:
        """Return the rows that ``chosen`` takes and whose messages contain ``text``, ignoring case.

        A filter by step or group reads only the parts that can hold it; any other one reads all, for at most
        ``seconds``.
        """
        end = time.monotonic() + seconds
        rows: list[Row] = []
        for number, part in enumerate(self._matching(chosen)):
            if number and time.monotonic() > end:
                return Found(rows, complete=False)
            with self._lock:
                if part not in self._rows:
                    self._fill(part)
                some = [row for row in self._rows[part] if chosen.takes(row)]
            if some and text:
                some = self._containing(part, some, text)
            rows.extend(some)
            if len(rows) > most:
                return Found(rows[:most], complete=False)
        return Found(rows, complete=True)

    def text(self, row: Row) -> bytes:
        """Return a row's trajectory as it is stored.

        Raises:
            DataError: the file has changed so that it is no longer there.
        """
        with self._lock:
            self._refresh()
            for part in self._parts:
                if part.step == row.step and part.first <= row.group <= part.last and row in self._rows.get(part, ()):
                    return self._file.lines(part)[row.place].text
        raise DataError(f"trajectory {row.group}/{row.attempt} is no longer in the file; load the page again")

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the environments, stop reasons and errors of the rows so far, with how many rows have each."""
        with self._lock:
            rows = [row for part in self._parts for row in self._rows.get(part, ())]
        return {
            "environments": dict(Counter(row.environment for row in rows).most_common()),
            "stops": dict(Counter(row.stop for row in rows).most_common()),
            "errors": dict(Counter(row.error for row in rows if row.error).most_common(50)),
        }

    def _matching(self, chosen: Filter) -> list[Frame]:
        with self._lock:
            self._refresh()
            return [
                part
                for part in self._parts
                if chosen.step in (None, part.step)
                and (chosen.group is None or part.first <= chosen.group <= part.last)
            ]

    def _refresh(self) -> None:
        """Look at the file again; a resumed run may have cut parts off."""
        parts = self._file.parts()
        if parts[: len(self._parts)] != self._parts:
            kept = set(parts)
            self._rows = {part: rows for part, rows in self._rows.items() if part in kept}
        self._parts = parts

    def _fill(self, part: Frame) -> None:
        rows = []
        for place, line in enumerate(self._lines(part)):
            try:
                rows.append(row_of(decode_line(line.text), place, line.group))
            except DataError as error:
                self._note(f"step {part.step}, row {place + 1}: {error}")
        self._rows[part] = rows

    def _lines(self, part: Frame) -> list[NumberedLine]:
        try:
            return self._file.lines(part)
        except (DataError, OSError) as error:
            self._note(str(error))
            return []

    def _note(self, damage: str) -> None:
        if len(self.damages) < DAMAGES and damage not in self.damages:
            self.damages.append(damage)

    def _containing(self, part: Frame, rows: list[Row], text: str) -> list[Row]:
        """Those of a part's rows whose messages contain ``text``."""
        wanted = text.lower()
        # only characters of ASCII stand in JSON as they are, so other texts are looked for after decoding
        quick = msgspec.json.encode(text)[1:-1].lower() if text.isascii() else b""
        lines = self._lines(part)
        found = []
        for row in rows:
            line = lines[row.place].text if row.place < len(lines) else b""
            if quick in line.lower() and any(wanted in said.lower() for said in _said(line)):
                found.append(row)
        return found


def _said(line: bytes) -> Iterator[str]:
    for messages in decode_line(line).messages.values():
        for message in messages:
            yield str(message.get("content", ""))
            for call in message.get("tool_calls") or ():
                yield str(call)
