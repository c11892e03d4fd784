"""Files of forged tasks: in order, judged, without duplicates, continued after a kill, and read by datasets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from lachesis.environments.forge.graph import Graph
from lachesis.environments.forge.model_node import ModelNode
from lachesis.environments.forge.node import node
from lachesis.environments.forge.writing import Written, write_tasks
from lachesis.environments.shipped.math import MathProblems
from lachesis.rollout.chats.text_chat import TextPolicy
from lachesis.rollout.engines.engine import Sampling
from lachesis.verifiers.errors import ConfigError, DataError, InfrastructureError
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.task import Task

GIVES = {"instruction": str, "answer": str, "reference": str, "kind": str}


@node(takes={"a": int}, gives=GIVES)
async def double(record: dict[str, Any], rng: Random) -> dict[str, Any]:
    await asyncio.sleep(rng.random() / 1000)
    if record["a"] == 3:
        raise ValueError("three\x1b[31m is odd")
    factor = rng.randint(2, 5)
    product = str(record["a"] * factor)
    said = "-1" if record["a"] == 4 else product
    return {"instruction": f"{record['a']} * {factor} = ?", "answer": said, "reference": product, "kind": "double"}


GRAPH = Graph(name="doubles", takes={"a": int}, gives=GIVES, nodes=[double])
DOCUMENTS = [{"a": number} for number in range(6)]


def write(path: Path, documents: Any = DOCUMENTS, graph: Graph = GRAPH, **settings: Any) -> Written:
    return asyncio.run(write_tasks(graph, documents, path, **{"rubric": Rubric(use("exact")), "walks": 2} | settings))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_tasks_are_written_in_order_and_what_is_lost_is_counted_with_its_reason(tmp_path: Path) -> None:
    report = write(tmp_path / "a.jsonl", concurrency=5)
    found = rows(tmp_path / "a.jsonl")
    places = [(row["info"]["forge"]["document"], row["info"]["forge"]["walk"]) for row in found]
    assert places == sorted(places)
    assert {document for document, _ in places} == {0, 1, 2, 5}
    assert (report.walks, report.rows) == (12, len(found))
    assert (report.lost["raised"], report.lost["rubric"]) == (2, 2)
    assert report.walks == report.rows + sum(report.lost.values())
    assert "test_writing.py, line" in report.examples["raised"]
    assert "2 rubric, such as: exact: expected" in str(report)
    assert len({row["prompt"] for row in found}) == len(found)
    first = Task.from_json(found[0])
    assert (first.id, first.answer, first.info["reference"], first.info["kind"]) == ("doubles-0-0", "0", "0", "double")
    assert found[0]["info"]["forge"]["score"] == 1.0
    write(tmp_path / "b.jsonl", concurrency=1)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    write(tmp_path / "c.jsonl", seed=1)
    assert (tmp_path / "c.jsonl").read_bytes() != (tmp_path / "b.jsonl").read_bytes()


def test_a_file_that_a_kill_cut_off_anywhere_is_continued_to_the_same_end(tmp_path: Path) -> None:
    write(tmp_path / "whole.jsonl")
    whole = (tmp_path / "whole.jsonl").read_bytes()
    for size in (0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 1, len(whole)):
        (tmp_path / "cut.jsonl").write_bytes(whole[:size])
        report = write(tmp_path / "cut.jsonl")
        assert (tmp_path / "cut.jsonl").read_bytes() == whole
        assert report.rows == whole.count(b"\n") - whole[:size].count(b"\n")


def test_the_rows_are_a_dataset(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl")
    found = list(MathProblems(path=tmp_path / "a.jsonl", held_out=0.0, instruction="").tasks("test", 0))
    assert [(task.prompt, task.answer) for task in found] == [
        (row["prompt"], row["answer"]) for row in rows(tmp_path / "a.jsonl")
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"prompt": "a"}\n', r"line 1 is no row of a walk; choose another file"),
        ("[1]\n", "line 1: expected a JSON object"),
        ("\x00\xff\n", "line 1: not JSON"),
    ],
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises((ConfigError, DataError), match=message):
        write(path)
    assert path.read_text() == content


def test_rows_of_another_graph_or_seed_are_not_mixed(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl")
    with pytest.raises(ConfigError, match="written by graph 'doubles' with seed 0, not by 'doubles' with 1"):
        write(tmp_path / "a.jsonl", seed=1)
    with pytest.raises(ConfigError, match="cannot read"):
        write(tmp_path)
    with pytest.raises(ConfigError, match="cannot write"):
        write(tmp_path / "a.jsonl" / "b.jsonl")


def test_two_writers_of_one_file_are_kept_apart(tmp_path: Path) -> None:
    @node(takes={"a": int}, gives={"instruction": str, "answer": str})
    async def nested(record: dict[str, Any], rng: Random) -> dict[str, Any]:
        with pytest.raises(ConfigError, match=r"another process writes .*a.jsonl"):
            await write_tasks(graph, [], tmp_path / "a.jsonl")
        return {"instruction": "x", "answer": "x"}

    graph = Graph(name="g", takes={"a": int}, gives=nested.gives, nodes=[nested])
    assert write(tmp_path / "a.jsonl", [{"a": 1}], graph, rubric=None, walks=1).rows == 1


def test_a_document_that_does_not_fit_is_named_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="document 1: the document does not fit graph 'doubles': field 'a' is a whole"):
        write(tmp_path / "a.jsonl", [{"a": 1}, {"a": "2"}], walks=1)
    assert len(rows(tmp_path / "a.jsonl")) == 1


def test_nothing_and_hostile_text_are_written_whole(tmp_path: Path) -> None:
    assert str(write(tmp_path / "empty.jsonl", [])) == "0 of 0 walks made a row"
    echo = node(takes={"text": str}, gives={"instruction": str, "answer": str})(
        lambda record, rng: {"instruction": record["text"], "answer": record["text"]}
    )
    graph = Graph(name="echo", takes={"text": str}, gives=echo.gives, nodes=[echo])
    texts = ["\ud800 lone", "a\u2028b\u2029c\x85d\x00e\r\nf", "💥" * 1000, '"}\n{"']
    for _ in range(2):
        write(tmp_path / "h.jsonl", [{"text": text} for text in texts], graph, rubric=None, walks=1)
        found = [json.loads(line) for line in (tmp_path / "h.jsonl").read_bytes().split(b"\n")[:-1]]
        assert [row["prompt"] for row in found] == texts


@pytest.mark.parametrize("settings", [{"walks": 0}, {"concurrency": 0}])
def test_impossible_numbers_are_refused(tmp_path: Path, settings: Any) -> None:
    with pytest.raises(ConfigError, match="walks and concurrency are at least 1"):
        write(tmp_path / "a.jsonl", **settings)
    word = node(takes={"a": int}, gives={"instruction": str})(lambda record, rng: {})
    with pytest.raises(ConfigError, match="must give 'answer' as text"):
        write(tmp_path / "a.jsonl", graph=Graph(name="g", takes={"a": int}, gives=word.gives, nodes=[word]))
    with pytest.raises(ConfigError, match="does not say what a success is"):
        write(tmp_path / "a.jsonl", rubric=Rubric())


@asynccontextmanager
async def endpoint(*statuses: int) -> AsyncIterator[tuple[str, list[Any]]]:
    """An endpoint that says how many words it was asked, after it has answered with ``statuses``."""
    asked: list[Any] = []
    broken = list(statuses)

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append(body)
        if broken:
            return web.Response(status=broken.pop(0))
        if "forbidden" in body["messages"][-1]["content"]:
            return web.Response(status=400)
        said = f"{len(body['messages'][-1]['content'].split())} words?"
        return web.json_response({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1", asked
    finally:
        await runner.cleanup()


def test_models_behind_endpoints_are_asked_with_seeds_of_the_walk_and_an_outage_is_no_task(tmp_path: Path) -> None:
    asks = ModelNode(name="asks", takes={"text": str}, gives={"instruction": str}, prompt="Ask about {text}")
    replies = ModelNode(
        name="replies", takes={"instruction": str}, gives={"answer": str}, prompt="{instruction}", trainable=False
    )
    graph = Graph(name="g", takes={"text": str}, gives={"instruction": str, "answer": str}, nodes=[asks, replies])
    documents = [{"text": "x " * number} for number in (1, 2, 3)]

    async def session(path: Path, *statuses: int, refused: int = 0) -> list[Any]:
        async with endpoint(*statuses) as (url, asked):
            one = TextPolicy(url, "small", Sampling(max_tokens=50), tries=1)
            other = TextPolicy(url, "large", Sampling(max_tokens=50), tries=1)
            async with one, other:
                policies = {"policy": one, "helper": other}
                report = await write_tasks(graph, documents, path, policies=policies, concurrency=1, keep_calls=True)
                assert report.lost["refused"] == refused
            return asked

    asked = asyncio.run(session(tmp_path / "a.jsonl"))
    assert [body["model"] for body in asked] == ["small", "large"] * 3
    assert len({body["seed"] for body in asked}) == 6
    calls = [row["info"]["forge"]["calls"] for row in rows(tmp_path / "a.jsonl")]
    assert [[call["agent"] for call in each] for each in calls] == [["policy", "helper"]] * 3
    assert calls[0][0]["messages"] == [
        {"role": "user", "content": "Ask about x "},
        {"role": "assistant", "content": "3 words?"},
    ]
    with pytest.raises(InfrastructureError, match="HTTP 500"):
        asyncio.run(session(tmp_path / "b.jsonl", *[500] * 6))
    assert rows(tmp_path / "b.jsonl") == []
    documents[1:1] = [{"text": "forbidden"}]
    asyncio.run(session(tmp_path / "c.jsonl", refused=1))
    assert [row["info"]["forge"]["document"] for row in rows(tmp_path / "c.jsonl")] == [0, 2, 3]
    del documents[1]
    again = asyncio.run(session(tmp_path / "b.jsonl"))
    assert [body["seed"] for body in again] == [body["seed"] for body in asked]
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
