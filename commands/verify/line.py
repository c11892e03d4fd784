"""A line of a JSONL file: one completion to score, with its verifier and the inputs of that verifier."""

import difflib
import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ...verifiers.case import Case
from ...verifiers.errors import ConfigError, DataError, InputError
from ...verifiers.message import as_messages
from ...verifiers.rubric import Rubric, Use
from ...verifiers.sandbox.shared import shared_sandbox
from ...verifiers.task import Task
from ...verifiers.trajectory import POLICY, Trajectory
from ...verifiers.verdict import Verdict, infra_error

_KEYS = frozenset({"verifier", "completion", "messages", "answer", "params", "prompt", "info", "artifacts"})
_SILENT = frozenset({"answer", "params"})
"""Optional keys that change the verdict, so a misspelt one is refused."""


class Line(NamedTuple):
    """A line of the file that is not blank, by its number from 1."""

    number: int
    text: bytes

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that identify the content."""
        return hashlib.blake2b(self.text.strip(), digest_size=8).hexdigest()

    async def verify(self) -> Verdict:
        """The verdict on the row; an ``infra_error`` with the line's number if it is not a row that can be scored.

        Raises:
            ConfigError: its verifier needs a sandbox and there is none, which is not the fault of the row.
        """
        try:
            rubric, case = read_row(self.text)
        except (InputError, ValueError, TypeError, RecursionError) as error:
            return infra_error(f"line {self.number}: {error}")
        if rubric.needs_sandbox:
            shared_sandbox()
        return (await rubric.score(case)).components[0].verdict


def lines_of(path: Path) -> Iterator[Line]:
    """The lines of ``path`` that are not blank, read one by one.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield Line(number, text)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from None


def read_row(text: bytes | str) -> tuple[Rubric, Case]:
    """The rubric that scores a row, and the case that it scores.

    A row has ``verifier`` and either ``completion`` (text) or ``messages`` (a whole conversation); it may have
    ``answer``, ``params``, ``prompt``, ``info`` and ``artifacts``. Other keys are ignored.

    Raises:
        DataError, ConfigError: it is not such a row; the message has the value that is wrong, and the cure.
    """
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise DataError(f"not JSON ({error}); repair or remove the line") from None
    if not isinstance(row, dict):
        raise DataError(f"expected a JSON object, found {type(row).__name__}")
    _check_keys(row)
    task = Task(row.get("prompt", ""), answer=row.get("answer"), info=row.get("info") or {})
    artifacts = row.get("artifacts") or {}
    said = Trajectory(task, messages={POLICY: _messages(row)}, artifacts=artifacts)
    params = row.get("params")
    return _rubric(row["verifier"], json.dumps(params) if params else "{}"), Case(said)


def _check_keys(row: dict[str, Any]) -> None:
    if not isinstance(row.get("verifier"), str):
        raise DataError(f"'verifier' is text, found {row.get('verifier')!r:.80}; lachesis envs --verifiers lists them")
    if ("completion" in row) == ("messages" in row):
        raise DataError("a row has either 'completion' or 'messages'; give one of them")
    if not isinstance(row.get("completion", ""), str):
        raise DataError(f"'completion' is text, found {row['completion']!r:.80}")
    for key in ("params", "info", "artifacts"):
        if not isinstance(row.get(key) or {}, dict):
            raise DataError(f"{key!r} is an object, found {row[key]!r:.80}")
    if not _KEYS.issuperset(row):
        _check_spelling(frozenset(row))


@lru_cache(maxsize=128)
def _check_spelling(keys: frozenset[str]) -> None:
    for missing in sorted(_SILENT - keys):
        if close := difflib.get_close_matches(missing, sorted(keys - _KEYS), n=1, cutoff=0.7):
            raise DataError(f"unknown key {close[0]!r}; did you mean {missing!r}?")


def _messages(row: dict[str, Any]) -> tuple[Any, ...]:
    if "messages" in row:
        return tuple(as_messages(row["messages"]))
    before = as_messages(row["prompt"]) if row.get("prompt") else []
    return (*before, {"role": "assistant", "content": row["completion"]})


@lru_cache(maxsize=128)
def _rubric(verifier: str, params: str) -> Rubric:
    rubric = Rubric(Use(verifier, label=verifier, params=json.loads(params)))
    if rubric.scores_groups:
        raise ConfigError(f"verifier {verifier!r} compares the attempts of a group, and a row is a single attempt")
    return rubric
