"""The files with training rows under a path: a file, a folder of shards, or a folder that a manifest describes."""

from pathlib import Path

from ...environments.rows.source import all_files
from ...verifiers.errors import ConfigError, DataError
from ...verifiers.rows.jsonl import read_json

_MANIFEST = "manifest.json"
"""File with which ``lachesis generate`` names the files of rows in its folder."""


def row_files(path: Path) -> list[Path]:
    """Return the files with rows: the file itself, those that a folder's manifest names, or all in the folder.

    Raises:
        ConfigError: there are none, or they have several formats.
        DataError: the manifest is damaged, or a file that it names is missing.
    """
    if (path / _MANIFEST).is_file():
        return _named_files(path)
    if not path.exists():
        raise ConfigError(f"no file or folder {path} exists; set data.path (or data.validation) to rows that there are")
    files = list(all_files(path))
    kinds = sorted({_kind(file) for file in files})
    if len(kinds) > 1:
        raise ConfigError(
            f"{path} holds rows as {' and '.join(kinds)}, which may be copies of each other; name one file, or move "
            "the others"
        )
    return files


def has_padded_objects(file: Path) -> bool:
    """Whether the objects of a file have null for each key that only other rows have.

    So it is in Parquet and Arrow, unless their objects have Arrow's JSON type.
    """
    if file.suffix != ".parquet":
        return file.suffix in (".arrow", ".feather")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return "arrow.json" not in str(pq.read_schema(file))
    except (pa.ArrowException, OSError):  # reading the rows says what is wrong
        return False


def _named_files(folder: Path) -> list[Path]:
    names = read_json(folder / _MANIFEST, "make the rows again").get("files")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{folder / _MANIFEST} names no files of rows; delete it, and all files of the folder are read")
    files = [folder / Path(name).name for name in names]  # of this folder, whatever the manifest says
    if missing := next((file for file in files if not file.is_file()), None):
        raise DataError(f"{missing} is missing, which {_MANIFEST} names; make the rows again, or copy the whole folder")
    return files


def _kind(file: Path) -> str:
    return (file.with_suffix("") if file.suffix in (".gz", ".zst") else file).suffix
