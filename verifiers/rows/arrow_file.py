"""A file of Apache Parquet or Arrow, read row by row as JSON values."""

import json
from collections.abc import Iterable, Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

_BATCH = 256
"""Rows that become Python objects at once."""


def read_parquet(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield (number from 1, row) of a Parquet file.

    Raises:
        DataError: the file is torn or malformed, two columns have one name, or a value, named by row and column, cannot
            be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            yield from _rows(path, file.schema_arrow, file.iter_batches(batch_size=_BATCH))
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DataError(f"{path} is a torn or malformed Parquet file ({_first_line(error)}); copy it again") from None


def read_arrow(path: Path, is_file: bool) -> Iterator[tuple[int, Row]]:
    """Yield (number from 1, row) of an Arrow file, or of an Arrow stream, as ``datasets`` writes it.

    Raises:
        DataError: as for ``read_parquet``.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:  # a length that the file claims but does not have allocates nothing
            reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
            batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
            yield from _rows(path, reader.schema, (part for batch in batches for part in _parts(batch)))
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DataError(f"{path} is a torn or malformed Arrow file ({_first_line(error)}); copy it again") from None


def _parts(batch: "pa.RecordBatch") -> Iterator["pa.RecordBatch"]:
    batch.validate(full=True)  # offsets in the file may point outside its buffers
    for start in range(0, batch.num_rows, _BATCH):
        yield batch.slice(start, _BATCH)


def _rows(path: Path, schema: "pa.Schema", batches: Iterable["pa.RecordBatch"]) -> Iterator[tuple[int, Row]]:
    names = schema.names
    if double := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{path}: two columns are named {double!r}; rename one of them")
    encoded = {field.name: field.type for field in schema if "arrow.json" in str(field.type)}
    number = 0
    for batch in batches:
        try:
            rows = batch.to_pylist()
        except (ValueError, OverflowError, KeyError):  # one value spoils the batch
            raise DataError(_fault(path, batch, number)) from None
        for row in rows:
            number += 1
            found = {name: _as_json(value) for name, value in row.items()}
            yield number, found | {name: _decoded(found[name], kind) for name, kind in encoded.items()}


def _fault(path: Path, batch: "pa.RecordBatch", before: int) -> str:
    """The message for the first value of ``batch`` that has no Python value."""
    for number in range(batch.num_rows):
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            try:
                values[number].as_py()
            except (ValueError, OverflowError, KeyError) as error:
                place = f"{path}, row {before + number + 1}, column {name!r}"
                return f"{place}: the value cannot be read ({_first_line(error)}); repair or remove it"
    return f"{path}, rows {before + 1} to {before + batch.num_rows}: a value cannot be read; repair the file"


def _as_json(value: Any) -> Any:
    """``value`` with times and decimal numbers as text; bytes stay, since JSON has nothing for them."""
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | timedelta) else value


def _decoded(value: Any, kind: "pa.DataType") -> Any:
    """``value`` with the texts of Arrow's JSON type parsed; ``datasets`` has it for objects of different keys."""
    import pyarrow as pa

    if isinstance(kind, pa.JsonType) and isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    if isinstance(value, list) and hasattr(kind, "value_type") and pa.types.is_nested(kind):
        return [_decoded(item, kind.value_type) for item in value]
    if isinstance(value, dict) and pa.types.is_struct(kind):
        return {field.name: _decoded(value[field.name], field.type) for field in kind}
    return value


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:160]
