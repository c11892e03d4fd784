"""Where the rows of a split are: a file, the files of a folder that belong to it, or a dataset on the Hub."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...verifiers.errors import ConfigError
from ...verifiers.rows.row_file import SUFFIXES, is_row_file, read_placed_rows

Row = dict[str, Any]

_KINDS = "Parquet, Arrow, JSONL, JSON or CSV"
_ABOUT = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})
"""Files with which ``datasets`` describes a folder."""
_MOST_FILES = 100_000
"""Most entries of a folder that are looked at, so that a path such as / ends."""


def all_files(path: Path) -> tuple[Path, ...]:
    """A file itself, or all files of rows in a folder, in the order of their names.

    Raises:
        ConfigError: there is none.
    """
    if not path.exists():
        raise ConfigError(
            f"no file or folder {path} exists; give a file ({_KINDS}), or a folder with one for each split"
        )
    if not path.is_dir():
        return (path,)
    if not (files := _files_in(path)):
        raise ConfigError(
            f"{path} holds no file of rows; put train.jsonl and test.jsonl there, or others ({', '.join(SUFFIXES)})"
        )
    return tuple(files)


def split_files(path: Path, name: str, names: Mapping[str, str], configuration: str | None = None) -> tuple[Path, ...]:
    """The files with the rows of a split.

    In a folder, these are the file named after the split, or all files that have its name as a word of their path, such
    as ``train-00000-of-00002.parquet``, ``gsm8k_train.jsonl`` or ``train/part.arrow``. If no file is named after any
    split, each split is all files.

    Args:
        path: a file or a folder.
        name: the split's name in the folder.
        names: the names of all splits.
        configuration: the dataset's configuration; if it is a word of some files' paths, the others are left out.

    Raises:
        ConfigError: there is no such file, or the files are of several formats, which may be copies of each other.
    """
    files = all_files(path)
    if not path.is_dir():
        return files
    files = tuple(file for file in files if configuration and _has_word(path, file, configuration)) or files
    found = _named(path, files, name)
    if not found:
        if any(_named(path, files, other) for other in names.values()):
            some = ", ".join(str(file.relative_to(path)) for file in files[:5])
            raise ConfigError(
                f"{path} holds no {name}.jsonl, {name}.parquet or the like; put one there or name a file, or set "
                f"splits to the names that there are (found {some})"
            )
        found = list(files)
    kinds = sorted(set(map(_kind, found)))
    if len(kinds) > 1:
        raise ConfigError(
            f"{path} holds {name!r} as {' and '.join(kinds)}, which may be copies; name one file or remove one"
        )
    return tuple(found)


def file_rows(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
    """(place, row) pairs of the files, one after another; the place is for error messages."""
    for file in files:
        yield from read_placed_rows(file)


def hub_rows(dataset: str, name: str | None, split: str) -> Iterator[tuple[str, Row]]:
    """(place, row) pairs of a split, loaded by the package ``datasets``.

    Raises:
        ConfigError: the package is not installed, or cannot load the split.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        raise ConfigError(
            f"dataset {dataset!r} needs the package `datasets`: pip install datasets, or set path to a file or folder"
        ) from None
    try:
        rows = load_dataset(dataset, name, split=split)
    except Exception as error:  # noqa: BLE001 - `datasets` raises many kinds if a dataset is missing or unreadable
        raise ConfigError(
            f"cannot load dataset {dataset!r} ({name}, {split}): {type(error).__name__}: {str(error)[:200]}; "
            "check its id and the network, or set path to a file"
        ) from None
    for number, row in enumerate(rows, start=1):
        yield f"{dataset} ({split}), row {number}", row


def hub_folder(dataset: str, patterns: Sequence[str]) -> Path:
    """The folder with those files of a dataset on the Hub whose paths match, downloaded into the Hub's cache.

    For datasets whose files ``datasets`` cannot load. ``dataset`` may also be a local folder.

    Raises:
        ConfigError: the dataset cannot be downloaded.
    """
    if Path(dataset).is_dir():
        return Path(dataset)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(dataset, repo_type="dataset", allow_patterns=list(patterns)))
    except Exception as error:  # noqa: BLE001 - the Hub's client raises many kinds if it is not reached
        raise ConfigError(
            f"cannot download dataset {dataset!r}: {type(error).__name__}: {str(error)[:200]}; check its id and the "
            "network, or set path to a folder with its files"
        ) from None


def _files_in(folder: Path) -> list[Path]:
    found = []
    for number, file in enumerate(folder.rglob("*")):
        if number >= _MOST_FILES:
            raise ConfigError(f"{folder} holds more than {_MOST_FILES} files; name the dataset's own folder")
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if not hidden and file.name not in _ABOUT and is_row_file(file) and file.is_file():
            found.append(file)
    return sorted(found)


def _named(folder: Path, files: Sequence[Path], name: str) -> list[Path]:
    exact = [file for file in files if file.parent == folder and file.name.partition(".")[0] == name]
    return exact or [file for file in files if _has_word(folder, file, name)]


def _has_word(folder: Path, file: Path, word: str) -> bool:
    whole = rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])"
    return re.search(whole, file.relative_to(folder).as_posix()) is not None


def _kind(file: Path) -> str:
    """The suffix that says the format, without the compression's."""
    return (file.with_suffix("") if file.suffix in (".gz", ".zst") else file).suffix
