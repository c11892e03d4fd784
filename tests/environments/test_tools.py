"""Tools: read off functions, called with checked arguments, on one thread."""

import asyncio
import functools
import sqlite3
import threading
import time
from enum import Enum
from typing import Any

import pytest

from lachesis.environments.tools import ToolBox, ToolResult, make_tool, shortened
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.tool_calling.call import ToolCall


class Unit(Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


def weather(city: str, days: int = 1, unit: Unit = Unit.CELSIUS) -> dict[str, Any]:
    """The weather of a city."""
    return {"city": city, "days": days, "unit": unit.value}


async def wait(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "waited"


def broken() -> str:
    raise ValueError("no network")


class Database:
    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None
        self.threads: set[str] = set()

    def open(self) -> str:
        self._connection = sqlite3.connect(":memory:")  # refuses to be used on another thread
        return "opened"

    def run(self, sql: str) -> list[Any]:
        assert self._connection is not None
        self.threads.add(threading.current_thread().name)
        return self._connection.execute(sql).fetchall()

    def _secret(self) -> str:
        return "hidden"


def call(box: ToolBox, name: str, **arguments: Any) -> ToolResult:
    return asyncio.run(box.call(ToolCall(name, arguments)))


def test_the_schema_is_what_the_signature_and_docstring_say() -> None:
    schema = make_tool(weather).schema["function"]
    assert (schema["name"], schema["description"]) == ("weather", "The weather of a city.")
    assert schema["parameters"]["required"] == ["city"]
    assert schema["parameters"]["properties"]["days"] == {"type": "integer", "default": 1}
    assert schema["parameters"]["additionalProperties"] is False


def test_a_call_gives_json_and_types_that_json_lacks_are_read() -> None:
    assert call(ToolBox([weather]), "weather", city="Bonn", unit="kelvin") == ToolResult(
        "weather", '{"city": "Bonn", "days": 1, "unit": "kelvin"}'
    )
    assert call(ToolBox([wait]), "wait", seconds=0) == ToolResult("wait", "waited")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "city"),
        ({"city": 5}, "city"),
        ({"city": "Bonn", "days": "2"}, "days"),
        ({"city": "Bonn", "days": True}, "days"),
        ({"city": "Bonn", "days": 1.5}, "days"),
        ({"city": "Bonn", "day": 1}, "day"),
        ({"city": "Bonn", "unit": "miles"}, "unit"),
    ],
)
def test_bad_arguments_are_told_to_the_model_by_name(arguments: dict[str, Any], named: str) -> None:
    result = call(ToolBox([weather]), "weather", **arguments)
    assert result.failed
    assert "bad arguments" in result.content
    assert named in result.content


def test_what_goes_wrong_in_a_call_is_a_result_for_the_model() -> None:
    box = ToolBox([weather, broken])
    assert call(box, "wether").content == "Error: no tool 'wether'; did you mean 'weather'?"
    assert call(box, "broken") == ToolResult("broken", "Error: ValueError: no network", failed=True)
    unread = asyncio.run(box.call(ToolCall("", error="not JSON")))
    assert unread.failed
    assert "not JSON" in unread.content


def test_all_methods_of_an_object_run_on_one_thread_and_private_ones_are_no_tools() -> None:
    database = Database()
    box = ToolBox([database])
    assert set(box.tools) == {"open", "run"}

    async def use() -> list[ToolResult]:
        results = [await box.call(ToolCall("open"))]
        calls = [ToolCall("run", {"sql": f"select {n}"}) for n in range(20)]
        return results + list(await asyncio.gather(*map(box.call, calls)))

    results = asyncio.run(use())
    asyncio.run(box.close())
    assert not any(result.failed for result in results), results
    assert [result.content for result in results[1:]] == [f"[[{n}]]" for n in range(20)]
    assert database.threads == {"tools"}


def test_inline_tools_run_in_place() -> None:
    database = Database()
    box = ToolBox([database], inline=True)
    call(box, "open")
    assert call(box, "run", sql="select 1").content == "[[1]]"
    assert database.threads == {threading.current_thread().name}


def test_a_slow_tool_does_not_hold_up_the_event_loop() -> None:
    def sleep() -> str:
        time.sleep(0.5)
        return "slept"

    async def ticks() -> int:
        box = ToolBox([sleep])
        asking = asyncio.ensure_future(box.call(ToolCall("sleep")))
        count = 0
        while not asking.done():
            await asyncio.sleep(0.01)
            count += 1
        await box.close()
        return count

    assert asyncio.run(ticks()) > 10


def test_a_function_that_json_cannot_call_is_refused_when_the_tool_is_made() -> None:
    def untyped(x) -> str:  # type: ignore[no-untyped-def]
        return str(x)

    def starred(*words: str) -> str:
        return ""

    def opaque(connection: sqlite3.Connection) -> str:
        return ""

    for function, message in ((untyped, "'x' has no type"), (starred, "'words'"), (opaque, "cannot be read as JSON")):
        with pytest.raises(ConfigError, match=message):
            make_tool(function)
    with pytest.raises(ConfigError, match="two tools have one name"):
        ToolBox([weather, weather])


def nothing_next(values: list[int]) -> int:
    return next(iter(value for value in values if value < 0))


def leaves() -> str:
    raise SystemExit(3)


def circular() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def wrapped() -> Any:
    @functools.wraps(wait)
    def around(seconds: float) -> Any:
        return wait(seconds)

    return around


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        (nothing_next, {"values": [1]}, "Error: "),
        (leaves, {}, "Error: SystemExit: 3"),
        (circular, {}, "Error: ValueError: Circular reference"),
        (wrapped(), {"seconds": 0.01}, "waited"),
    ],
)
def test_whatever_a_tool_raises_or_returns_answers_the_model(
    inline: bool, tool: Any, arguments: dict[str, Any], says: str
) -> None:
    async def called() -> ToolResult:
        box = ToolBox([tool], inline)
        async with asyncio.timeout(60):
            result = await box.call(ToolCall(next(iter(box.tools)), arguments))
        await box.close()
        return result

    result = asyncio.run(called())
    assert result.content.startswith(says)
    assert result.failed == says.startswith("Error")


def test_a_tool_without_a_name_is_refused_with_the_cure() -> None:
    with pytest.raises(ConfigError, match="write a function around it"):
        ToolBox([functools.partial(weather, city="Bonn")])


@pytest.mark.parametrize("length", [0, 99, 100, 101, 150, 100_000])
def test_a_long_result_keeps_its_beginning_and_end_and_says_what_was_cut(length: int) -> None:
    content = "".join(chr(0x4E00 + place % 5000) for place in range(length))
    found = shortened(content, 100)
    if length <= 100:
        assert found == content
        return
    start, note, end = found.split("\n")
    assert content.startswith(start)
    assert content.endswith(end)
    assert f" {length - 100} characters" in note
    assert len(start) + len(end) == 100
