"""Tools of real MCP servers, over standard input and output and over HTTP."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments import mcp
from lachesis.environments.environment import Environment
from lachesis.environments.mcp import McpServer
from lachesis.environments.tools import ToolBox
from lachesis.verifiers.errors import ConfigError, InfrastructureError
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.task import Task
from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.trajectory import StopReason, Trajectory

from ..ports import free_port

SERVER = """
import json, os, subprocess, sys, time
from mcp.server import MCPServer

server = MCPServer("shelf")
books = {"Dune": 3}

@server.tool()
def count(title: str) -> int:
    "How many copies of a book are there."
    return books[title]

@server.tool()
def lend(title: str) -> str:
    "Lend a copy."
    books[title] -= 1
    return f"{books[title]} left"

@server.tool()
def secret() -> str:
    return os.environ.get("A_SECRET", "none") + os.environ.get("GIVEN", "")

@server.tool()
def die() -> str:
    os._exit(3)

@server.tool()
def slow() -> str:
    time.sleep(30)

import mcp_types as t


@server.tool()
def spawn() -> int:
    return subprocess.Popen(["sleep", "300"], start_new_session=True).pid

@server.tool()
def result(parts: list[str], structured: str, failed: bool) -> t.CallToolResult:
    "A result with these parts."
    uri, made = "file:///a.txt", []
    for part in parts:
        kind, _, text = part.partition(":")
        if kind == "text":
            made.append(t.TextContent(type="text", text=text))
        elif kind == "image":
            made.append(t.ImageContent(type="image", data="AAAA", mime_type="image/png"))
        elif kind == "link":
            made.append(t.ResourceLink(type="resource_link", uri=uri, name="a", description=text or None))
        elif kind == "blob":
            blob = t.BlobResourceContents(uri=uri, blob="AAAA")
            made.append(t.EmbeddedResource(type="resource", resource=blob))
        else:
            inner = t.TextResourceContents(uri=uri, text=text)
            made.append(t.EmbeddedResource(type="resource", resource=inner))
    return t.CallToolResult(content=made, structured_content=json.loads(structured), is_error=failed)

@server.tool()
def titles(shelf: str) -> list[str]:
    return sorted(books) if shelf == "all" else []

if sys.argv[1:]:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
else:
    server.run()
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mcp") / "shelf.py"
    path.write_text(SERVER)
    return path


@pytest.fixture(scope="module")
def url(program: Path) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, str(program), str(port)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait()


class Shelf(Environment):
    """Asks for a book on a server's shelf."""

    rubric = Rubric(use("number"))
    servers: Any = ()

    def tasks(self, split: str, seed: int) -> Any:
        yield Task("How many copies of Dune are there?", answer="3")

    def tools(self, episode: Any) -> list[Any]:
        return list(self.servers)


def said(call: str, **arguments: Any) -> str:
    import json

    return f"<tool_call>{json.dumps({'name': call, 'arguments': arguments})}</tool_call>"


def played(server: McpServer, *replies: str, **limits: Any) -> Trajectory:
    environment = Shelf(limits=limits)
    environment.servers = [server]
    return asyncio.run(environment.attempt(Task("How many copies of Dune are there?", answer="3"), list(replies)))


def results(trajectory: Trajectory) -> list[str]:
    return [message["content"] for message in trajectory.messages["policy"] if message["role"] == "tool"]


def servers_of(program: Path) -> list[str]:
    """Servers of the program that were started and still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [entry.parent.name] * (entry.read_bytes().endswith(f"{program}\0".encode()))
        except OSError:
            continue
    return found


def test_a_server_is_started_for_each_episode_and_ends_with_it(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "hunter2")
    server = McpServer(command=[sys.executable, str(program)], env={"GIVEN": "!"})
    for _ in range(2):
        made = played(server, said("lend", title="Dune"), said("count", title="Emma"), said("secret"), "3")
        assert (made.stop, made.error, made.rewards["policy"].total) == (StopReason.DONE, None, 1.0)
        lent, missing, secret = results(made)
        assert lent == "2 left"  # also the second time: it is another server
        assert missing.startswith("Error: ")
        assert secret == "none!"
        assert made.metrics["tool_errors"] == 1.0
    assert servers_of(program) == []


def test_what_a_server_starts_ends_with_the_episode(program: Path) -> None:
    made = played(McpServer(command=[sys.executable, str(program)]), said("spawn"), said("spawn"), "3")
    deadline = time.monotonic() + 30
    while any(map(runs, results(made))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(runs, results(made)))


def runs(pid: str) -> bool:
    """Whether a process lives; one that was killed may wait for whoever has inherited it."""
    try:
        return Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_server_that_is_there_is_asked_over_http(url: str) -> None:
    made = played(McpServer(url=url), said("count", title="Dune"), "3")
    assert (results(made), made.rewards["policy"].total, made.error) == (["3"], 1.0, None)


def test_schemas_are_the_servers_and_only_those_that_are_wanted(url: str) -> None:
    async def schemas(**settings: Any) -> list[dict[str, Any]]:
        box = ToolBox([McpServer(url=url, **settings)])
        try:
            await box.open()
            return box.schemas
        finally:
            await box.close()

    (count,) = asyncio.run(schemas(only=["count"]))
    assert count["function"]["description"] == "How many copies of a book are there."
    assert count["function"]["parameters"]["required"] == ["title"]
    assert len(asyncio.run(schemas())) == 8
    with pytest.raises(ConfigError, match="has no tool 'steal'; it has count, lend"):
        asyncio.run(schemas(only=["steal"]))


def test_many_episodes_at_once_each_have_their_own(program: Path) -> None:
    environment = Shelf()
    environment.servers = [McpServer(command=[sys.executable, str(program)])]
    task = next(iter(environment.tasks("train", 0)))

    async def all_of_them() -> list[Trajectory]:
        return await asyncio.gather(*(environment.attempt(task, [said("lend", title="Dune"), "3"]) for _ in range(4)))

    assert [results(made) for made in asyncio.run(all_of_them())] == [["2 left"]] * 4
    assert servers_of(program) == []


def test_a_server_that_dies_leaves_the_episode_unscored(program: Path) -> None:
    made = played(McpServer(command=[sys.executable, str(program)]), said("die"), said("count", title="Dune"), "3")
    assert made.stop is StopReason.INFRA_ERROR
    assert "was lost" in (made.error or "")
    assert not made.scored


def test_a_call_that_takes_too_long_is_the_models_to_read(program: Path) -> None:
    server = McpServer(command=[sys.executable, str(program)], deadline=8.0)  # which the start has too
    made = played(server, said("slow"), "3")
    assert (made.stop, made.rewards["policy"].total) == (StopReason.DONE, 1.0)
    assert "no result within 8 s" in results(made)[0]
    assert servers_of(program) == []


@pytest.mark.parametrize(
    "command", [["false"], ["/nowhere/at/all"], [sys.executable, "-c", "import time; time.sleep(60)"]]
)
def test_a_server_that_never_comes_leaves_the_episode_unscored_and_is_not_waited_for(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp, "GRACE", 3600.0)
    made = played(McpServer(command=command, deadline=2.0), "3")
    assert made.stop is StopReason.INFRA_ERROR
    assert "no MCP server at" in (made.error or "")


def test_a_server_that_takes_connections_and_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp, "GRACE", 3600.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        made = played(McpServer(url=f"http://127.0.0.1:{silent.getsockname()[1]}/mcp", deadline=0.5), "3")
    assert "within 0.5 s" in (made.error or "")


def test_an_episode_that_is_cancelled_ends_its_server(program: Path) -> None:
    environment = Shelf()
    environment.servers = [McpServer(command=[sys.executable, str(program)])]
    task = next(iter(environment.tasks("train", 0)))

    async def cancelled() -> None:
        playing = asyncio.create_task(environment.attempt(task, [said("slow"), "3"]))
        async with asyncio.timeout(120):
            while not servers_of(program):  # noqa: ASYNC110 - it is another process's doing
                await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        playing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await playing

    asyncio.run(cancelled())
    assert servers_of(program) == []


def test_a_server_that_is_killed_between_calls_is_lost(program: Path) -> None:
    async def session() -> None:
        box = ToolBox([McpServer(command=[sys.executable, str(program)])])
        await box.open()
        assert (await box.call(ToolCall("count", {"title": "Dune"}))).content == "3"
        for pid in servers_of(program):
            os.kill(int(pid), signal.SIGKILL)
        await asyncio.sleep(0.5)
        with pytest.raises(InfrastructureError, match="was lost"):
            await box.call(ToolCall("count", {"title": "Dune"}))
        await box.close()

    asyncio.run(session())


def test_results_of_every_kind_are_text_for_the_model(url: str) -> None:
    cases: list[tuple[list[str], Any, bool, str]] = [
        ([], {"answer": 42}, False, '{"answer": 42}'),
        ([], {"code": "RATE_LIMITED"}, True, 'Error: McpToolError: {"code": "RATE_LIMITED"}'),
        (["text:42"], {"answer": 42}, False, "42"),
        (["text:bad"], {"code": "X"}, True, "Error: McpToolError: bad"),
        (["text:downloaded", "file:inside the file"], None, False, "downloaded\ninside the file"),
        (["file:inside"], {"n": 1}, False, "inside"),
        (["link"], None, False, "[a](file:///a.txt)"),
        (["link:the notes"], None, False, "[a](file:///a.txt): the notes"),
        (["image"], None, False, "[image]"),
        (["image"], {"width": 3}, False, '[image]\n{"width": 3}'),
        (["blob"], None, False, "[resource file:///a.txt]"),
        (["text:", "image"], None, False, "\n[image]"),
        ([], {}, False, "{}"),
        ([], None, False, "(empty result)"),
        (["text:"], {"answer": 42}, False, '{"answer": 42}'),
        (["text: \n", "file:"], {"answer": 42}, False, '{"answer": 42}'),
        (["text:"], None, False, "(empty result)"),
        (["text: \n", "file:"], None, True, "Error: McpToolError: (empty result)"),
        (["blob", "link"], {"n": 1}, False, '[resource file:///a.txt]\n[a](file:///a.txt)\n{"n": 1}'),
        (["text:0"], {"n": 0}, False, "0"),
        ([], {"größe": [1, None]}, False, '{"größe": [1, null]}'),
    ]

    async def session() -> None:
        box = ToolBox([McpServer(url=url)])
        await box.open()
        try:
            for parts, structured, failed, text in cases:
                arguments = {"parts": parts, "structured": json.dumps(structured), "failed": failed}
                found = await box.call(ToolCall("result", arguments))
                assert (found.content, found.failed) == (text, failed)
            assert "[]" in (await box.call(ToolCall("titles", {"shelf": "none"}))).content
            assert (await box.call(ToolCall("titles", {"shelf": "all"}))).content == "Dune"
        finally:
            await box.close()

    asyncio.run(session())


@pytest.mark.parametrize("settings", [{}, {"command": ["x"], "url": "http://x"}])
def test_a_server_is_a_command_or_a_url(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="a command or a url"):
        McpServer(**settings)


def test_two_tools_of_one_name_are_refused(url: str) -> None:
    def count(title: str) -> int:
        return 0

    async def both() -> None:
        box = ToolBox([count, McpServer(url=url)])
        try:
            await box.open()
        finally:
            await box.close()

    with pytest.raises(ConfigError, match="two tools have one name: 'count'"):
        asyncio.run(both())
