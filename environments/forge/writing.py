"""A file of tasks that walks made: rows that datasets read, in order, and continued after a kill."""

import asyncio
import fcntl
import hashlib
import itertools
import json
import os
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from ...verifiers.boundary import Boundary
from ...verifiers.errors import ConfigError, DataError, InfrastructureError, RequestRefused
from ...verifiers.rows.jsonl import json_object
from ...verifiers.rubric import Rubric
from ...verifiers.task import Task
from ..chat import Policy
from .ask import Ask, PolicyAsk, no_model
from .fields import Record
from .forged import check_gives, forged_case
from .graph import Graph
from .walk import Walk


@dataclass
class Written:
    """How the walks of one call ended.

    Attributes:
        walks: how many there were.
        rows: how many made a row.
        lost: why the others made none → how many; ``dead_end at PLACE``, ``postcondition at PLACE``, ``raised``,
            ``refused`` (an endpoint does not take the text), ``rubric`` (not a success) or ``duplicate`` (the same
            instruction as an earlier row).
        examples: the same keys → the reason of the first.
    """

    walks: int = 0
    rows: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def lose(self, kind: str, reason: str) -> None:
        """Count a walk that made no row."""
        self.lost[kind] += 1
        self.examples.setdefault(kind, reason)

    def __str__(self) -> str:
        lines = [f"{self.rows} of {self.walks} walks made a row"]
        lines += [f"{count} {kind}, such as: {self.examples[kind]}" for kind, count in self.lost.most_common()]
        return "\n".join(lines)


async def write_tasks(
    graph: Graph,
    documents: Iterable[Record],
    path: str | Path,
    *,
    policies: Policy | Mapping[str, Policy] | None = None,
    rubric: Rubric | None = None,
    walks: int = 1,
    seed: int = 0,
    concurrency: int = 16,
    keep_calls: bool = False,
) -> Written:
    """Walk from each document, and write a row for each task that was made.

    A row is ``Task.to_json`` of the forged task: ``prompt``, ``answer`` (the forged one), ``info`` with the other
    fields of the record and, under ``forge``, where it comes from. Rows are in the order of the documents, whatever
    ends first. If the file exists, its rows stay, and the walks after its last row are made.

    Args:
        graph: gives an ``instruction`` and an ``answer``.
        documents: its seed documents, the same at every call.
        path: of the JSONL file.
        policies: who plays the model nodes, as in ``PolicyAsk``.
        rubric: judges each task as in a ``ForgeEnvironment``; only successes are written.
        walks: from each document.
        seed: of all walks.
        concurrency: most walks under way.
        keep_calls: put the model calls that were used into ``info["forge"]["calls"]``, as messages to train on.

    Raises:
        ConfigError: the graph gives no task, or the file was written with another graph or seed.
        DataError: a document does not fit the graph; the message has its number.
        InfrastructureError: a model or a judge failed; a second call goes on where this one ended.
    """
    check_gives(graph.gives, f"graph {graph.name!r}")
    if walks < 1 or concurrency < 1:
        raise ConfigError(f"walks and concurrency are at least 1, found {walks} and {concurrency}")
    target = _File(Path(path), graph.name, seed)
    report = Written()

    async def one(number: int, document: Record, walk: int) -> _Made:
        ask = no_model if policies is None else PolicyAsk(policies, (seed, number, walk))
        return await _made(graph, document, Random(f"{seed} {number} {walk}"), ask, rubric)

    todo = itertools.dropwhile(lambda item: (item[0], item[2]) <= target.position, _numbered(documents, walks))
    with target:
        async with aclosing(_in_order(todo, one, concurrency)) as results:
            async for (number, _, walk), made in results:
                report.walks += 1
                if made.lost:
                    report.lose(made.lost, made.reason)
                elif not target.add(made, number, walk, keep_calls):
                    report.lose("duplicate", f"document {number}, walk {walk}")
                else:
                    report.rows += 1
    return report


_Item = tuple[int, Record, int]
"""The number of a document, the document, and the number of the walk."""


def _numbered(documents: Iterable[Record], walks: int) -> Iterator[_Item]:
    """All walks, in order."""
    for number, document in enumerate(documents):
        for walk in range(walks):
            yield number, document, walk


@dataclass(frozen=True)
class _Made:
    """A walk that was judged; ``lost`` says why it makes no row."""

    walk: Walk | None = None
    score: float | None = None
    lost: str = ""
    reason: str = ""


async def _made(graph: Graph, document: Record, rng: Random, ask: Ask, rubric: Rubric | None) -> _Made:
    try:
        with Boundary(passing=(ConfigError, DataError, InfrastructureError)) as outcome:
            walk = await graph.walk(document, rng, ask)
    except RequestRefused as refused:  # this text alone; the next document may be taken
        return _Made(lost="refused", reason=str(refused))
    if outcome.fault:
        return _Made(lost="raised", reason=str(outcome.fault))
    if not walk.finished:
        return _Made(lost=walk.ended, reason=walk.reason)
    if rubric is None:
        return _Made(walk)
    reward = await rubric.score(forged_case(walk.record, {"document": document}))
    if not reward.scored:
        raise InfrastructureError(f"a task was not judged: {reward.unjudged[0].verdict.reason}")
    if reward.success is None:
        raise ConfigError("the rubric does not say what a success is; write Rubric(…, success=0.5), or a label")
    if not reward.success:
        said = "; ".join(f"{label}: {verdict.reason or verdict.score}" for label, _, verdict in reward.components)
        return _Made(lost="rubric", reason=said)
    return _Made(walk, reward.total)


class _File:
    """The rows that were written, and where the next ones go.

    Attributes:
        position: document and walk of the last row; no row has these numbers if there is none.
    """

    def __init__(self, path: Path, graph: str, seed: int) -> None:
        self.position = (-1, -1)
        self._path, self._graph, self._seed = path, graph, seed
        self._seen: set[bytes] = set()
        self._end = 0
        try:
            if path.exists():
                self._read()
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}; choose another file") from None

    def __enter__(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(self._path, self._end)  # without a line that a kill cut off
        except BlockingIOError:
            raise ConfigError(f"another process writes {self._path}; wait for it, or choose another file") from None
        except OSError as error:
            raise ConfigError(f"cannot write {self._path}: {error.strerror}; choose another file") from None

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, made: _Made, document: int, walk: int, keep_calls: bool) -> bool:
        """Write a row, unless an earlier one has the same instruction; return whether it was written."""
        assert made.walk is not None
        case = forged_case(made.walk.record, {})
        if (digest := _digest(case.task.prompt)) in self._seen:
            return False
        self._seen.add(digest)
        forge: dict[str, Any] = {"graph": self._graph, "seed": self._seed, "document": document, "walk": walk}
        forge["path"] = list(made.walk.path)
        if made.score is not None:
            forge["score"] = made.score
        if keep_calls:
            forge["calls"] = [_chat(call) for call in made.walk.to_json()["calls"] if not call["failure"]]
        info = {**case.task.info, "forge": forge}
        if case.answer is not None:
            info["reference"] = case.answer
        row = replace(case.task, answer=case.completion, info=info, id=f"{self._graph}-{document}-{walk}").to_json()
        try:
            self._file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
            self._file.flush()
        except OSError as error:
            raise InfrastructureError(
                f"cannot write {self._path}: {error.strerror}; free space and call again"
            ) from None
        return True

    def _read(self) -> None:
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                self._end += len(line)
                where = f"{self._path}, line {number}"
                row = json_object(line, where)
                try:
                    task, forge = Task.from_json(row), row["info"]["forge"]
                    found = (forge["graph"], forge["seed"])
                    self.position = (int(forge["document"]), int(forge["walk"]))
                except (KeyError, TypeError, ValueError, DataError):
                    raise ConfigError(f"{where} is no row of a walk; choose another file") from None
                if found != (self._graph, self._seed):
                    raise ConfigError(
                        f"{where} was written by graph {found[0]!r} with seed {found[1]!r}, not by "
                        f"{self._graph!r} with {self._seed}; choose another file"
                    )
                self._seen.add(_digest(task.prompt))


def _digest(prompt: Any) -> bytes:
    return hashlib.blake2b(json.dumps(prompt).encode(), digest_size=16).digest()


def _chat(call: dict[str, Any]) -> dict[str, Any]:
    """A call as a conversation to train on."""
    said = [*call["messages"], {"role": "assistant", "content": call["reply"]}]
    return {"place": call["place"], "agent": call["agent"], "messages": said}


async def _in_order(
    items: Iterator[_Item], work: Callable[[int, Record, int], Coroutine[Any, Any, _Made]], most: int
) -> AsyncGenerator[tuple[_Item, _Made], None]:
    """Yield (item, result) in the order of the items, with at most ``most`` under way; an error ends all."""
    running: deque[tuple[_Item, asyncio.Task[_Made]]] = deque()
    try:
        while True:
            running += [
                (item, asyncio.create_task(work(*item))) for item in itertools.islice(items, most - len(running))
            ]
            if not running:
                return
            item, task = running.popleft()
            try:
                yield item, await task
            except DataError as error:
                raise DataError(f"document {item[0]}: {error}") from None
    finally:
        for _, task in running:
            task.cancel()
        await asyncio.gather(*(task for _, task in running), return_exceptions=True)
