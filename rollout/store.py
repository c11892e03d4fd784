"""Trajectories on disk: JSON Lines in zstd, one frame a step, with an index so that reading can start in the middle."""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from ..verifiers.errors import DataError, InfrastructureError
from ..verifiers.files import replace_text, whole_lines
from ..verifiers.group import Group
from ..verifiers.rows.jsonl import json_object
from ..verifiers.trajectory import Trajectory

log = logging.getLogger(__name__)

CURE = "restore it from a backup, or read it with the version that wrote it"


class Frame(NamedTuple):
    """A line of the index: one step's rows, as one zstd frame.

    Attributes:
        step: the step.
        offset: the frame's first byte in the file.
        length: bytes.
        rows: trajectories.
        first: the lowest group number among them.
        last: the highest group number among them.
    """

    step: int
    offset: int
    length: int
    rows: int
    first: int
    last: int


class Place(NamedTuple):
    """The place of a trajectory in its run."""

    step: int
    group: int
    attempt: int


class Stored(NamedTuple):
    """One row: a trajectory and its place in the run."""

    step: int
    group: int
    attempt: int
    trajectory: Trajectory


class TrajectoryStore:
    """The trajectories of a run, in the order of its steps.

    Opening a store changes nothing, so a run can be read while it is written. If a crash left an incomplete frame at
    the end, readers ignore it, and the next ``append`` or ``rewind`` cuts it off. The index only saves time: frames
    that it lacks are found in the file itself.

    Args:
        path: the ``.jsonl.zst`` file, beside which ``<path>.index`` is kept. Both may be missing.

    Attributes:
        lost: the steps of the index that the file no longer has, because it was cut off after they were written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.index_path = self.path.with_name(self.path.name + ".index")
        self.lost: list[int] = []
        self._frames = self._load()
        self._repaired = False

    @property
    def steps(self) -> list[int]:
        """The steps that have trajectories, in order."""
        return sorted({frame.step for frame in self._frames})

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The frames of the file, in order."""
        return tuple(self._frames)

    def lines(self, frame: Frame) -> list[bytes]:
        """Return the rows of a frame as they are stored: one JSON object each, which is not decoded.

        Raises:
            DataError: the frame is damaged, or the file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(frame.offset)
                return zstandard.ZstdDecompressor().decompress(file.read(frame.length)).splitlines()
        except (OSError, MemoryError, zstandard.ZstdError) as error:
            where = f"{self.path}, step {frame.step}"
            raise DataError(f"{where}: damaged or unreadable ({error}); {CURE}") from None

    def append(self, step: int, groups: Sequence[Group]) -> None:
        """Write the groups of ``step`` as one frame.

        Raises:
            DataError: a later step has been written already; ``rewind`` first.
            InfrastructureError: the disk refuses.
        """
        if self._frames and step < self._frames[-1].step:
            raise DataError(f"{self.path} already holds step {self._frames[-1].step}; rewind before writing {step}")
        lines = [
            json.dumps(
                {"step": step, "group": group.index, "attempt": attempt, **trajectory.to_json()}, allow_nan=False
            )
            for group in groups
            for attempt, trajectory in zip(group.attempts, group.trajectories, strict=True)
        ]
        data = zstandard.ZstdCompressor(write_checksum=True).compress("".join(line + "\n" for line in lines).encode())
        numbers = [group.index for group in groups]
        try:
            self._repair()
            frame = Frame(step, self._end, len(data), len(lines), min(numbers, default=0), max(numbers, default=0))
            with self.path.open("ab") as file:
                file.write(data)
            with self.index_path.open("a") as index:
                index.write(json.dumps(frame._asdict()) + "\n")
        except OSError as error:
            self._repaired = False
            raise InfrastructureError(f"cannot write {self.path}: {error.strerror}; free the disk and resume") from None
        self._frames.append(frame)

    def read(self, step: int | None = None, group: int | None = None) -> Iterator[Stored]:
        """The stored trajectories in order: all, or those of one step or group, reading only the frames that matter.

        Raises:
            DataError: the file was damaged after it was written, or was written by another version of this record. It
                is raised after all that can be read.
        """
        damages: list[DataError] = []
        if gone := [one for one in self.lost if step in (None, one)]:
            damages.append(DataError(f"{self.path} was cut off and has lost {listed(gone)}; {CURE}"))
        for frame in self._frames:
            if step in (None, frame.step) and (group is None or frame.first <= group <= frame.last):
                yield from self._rows(frame, group, damages)
        if damages:
            more = f"; {len(damages) - 1} more of its rows or steps are damaged" if len(damages) > 1 else ""
            raise DataError(f"{damages[0]}{more}")

    def rewind(self, step: int) -> None:
        """Forget every step after ``step``."""
        self._frames = [frame for frame in self._frames if frame.step <= step]
        self._repaired = False
        self._repair()

    @property
    def _end(self) -> int:
        return self._frames[-1].offset + self._frames[-1].length if self._frames else 0

    def _rows(self, frame: Frame, group: int | None, damages: list[DataError]) -> Iterator[Stored]:
        """The rows of a frame; what cannot be read is left out, and its error is added to ``damages``."""
        where = f"{self.path}, step {frame.step}"
        try:
            lines = self.lines(frame)
        except DataError as error:
            damages.append(error)
            return
        for line in lines:
            try:
                row = json_object(line, where, CURE)
                place = _place(row, where)
                stored = Stored(*place, _trajectory(row, where)) if group in (None, place.group) else None
            except DataError as error:
                damages.append(error)
                continue
            if stored:
                yield stored

    def _load(self) -> list[Frame]:
        """The complete frames: those of the index, then those that only the file has.

        Raises:
            DataError: the file cannot be read, or a frame that the index lacks holds no trajectories.
        """
        indexed = list(self._indexed())  # before the size: a writer may go on meanwhile, and it writes frames first
        if not self.path.exists():
            return []
        size = self.path.stat().st_size
        frames: list[Frame] = []
        cut: list[Frame] = []  # the file was longer when their lines were written
        end = 0
        for frame in indexed:
            if frame.offset != end + sum(one.length for one in cut):
                break
            if cut or frame.offset + frame.length > size:
                cut.append(frame)
                continue
            frames.append(frame)
            end += frame.length
        if cut and list(self._indexed()) != indexed:  # a resumed run has just rewound it
            return self._load()
        if size > end:
            try:
                with self.path.open("rb") as file:
                    file.seek(end)
                    rest = file.read()
            except OSError as error:
                raise DataError(f"cannot read {self.path}: {error.strerror}; {CURE}") from None
            frames.extend(_scan(rest, end, self.path))
        self.lost = [frame.step for frame in cut if frame.step not in {other.step for other in frames}]
        return frames

    def _indexed(self) -> Iterator[Frame]:
        try:
            for line in whole_lines(self.index_path)[0]:
                frame = Frame(**json_object(line, str(self.index_path)))
                if any(type(value) is not int for value in frame) or frame.length < 1:
                    return
                yield frame
        except (OSError, DataError, TypeError):  # missing, damaged, or of an earlier version: the file is scanned
            return

    def _repair(self) -> None:
        """Cut off an incomplete frame at the end, and make the index agree with the file."""
        if self._repaired or not self.path.exists():
            return
        surplus = self.path.stat().st_size - self._end
        replace_text(self.index_path, "".join(json.dumps(frame._asdict()) + "\n" for frame in self._frames))
        if surplus > 0:  # after the index, which would else name steps that the file has not
            log.warning("%s: dropped %d bytes after step %s", self.path, surplus, self.steps[-1:] or "none")
            os.truncate(self.path, self._end)
        self.lost = []
        self._repaired = True


def listed(steps: Sequence[int]) -> str:
    """Steps for people: ``step 3``, or ``steps 3 to 5, 9``."""
    runs: list[list[int]] = []
    for step in sorted(set(steps)):
        if runs and step == runs[-1][-1] + 1:
            runs[-1].append(step)
        else:
            runs.append([step])
    names = [f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"step{'s' * (len(set(steps)) != 1)} {', '.join(names)}"


def _scan(data: bytes, offset: int, path: Path) -> Iterator[Frame]:
    """The complete frames in ``data``, which begins at ``offset`` of the file ``path``."""
    while data:
        reader = zstandard.ZstdDecompressor().decompressobj()
        try:
            text = reader.decompress(data)
        except zstandard.ZstdError:
            return
        if not reader.eof:
            return
        length = len(data) - len(reader.unused_data)
        where = f"{path}, byte {offset}"
        places = [_place(json_object(line, where, CURE), where) for line in text.splitlines()]
        if places:
            groups = [place.group for place in places]
            yield Frame(places[0].step, offset, length, len(places), min(groups), max(groups))
        data, offset = reader.unused_data, offset + length


def _place(row: dict[str, Any], where: str) -> Place:
    numbers: list[Any] = [row.get(name) for name in Place._fields]
    if any(type(number) is not int for number in numbers):
        raise DataError(f"{where}: {', '.join(Place._fields)} are whole numbers, found {numbers!r:.80}; {CURE}")
    return Place(*numbers)


def _trajectory(row: dict[str, Any], where: str) -> Trajectory:
    try:
        return Trajectory.from_json(row)
    except DataError as error:
        raise DataError(f"{where}: {error}; {CURE}") from None
