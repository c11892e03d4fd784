"""The tools of a stored episode: found without a reply, for each agent, and not at all where there are none."""

import pytest

from lachesis.environments.environment import Environment
from lachesis.environments.episode import Episode
from lachesis.environments.loading import describe
from lachesis.rollout.training_rows.tool_schemas import tools_of
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.task import Task


def look(place: str) -> str:
    """Look at a place."""
    return place


class Prepared(Environment):
    """Its tools depend on what ``setup`` found, and its second agent speaks first."""

    agents = ("policy", "guide")
    closed = 0

    async def setup(self, episode: Episode) -> None:
        episode.artifacts["ready"] = True
        if episode.task.prompt == "fail":
            raise ValueError("no such place")

    def tools(self, episode: Episode) -> list[object]:
        return [look] if episode.artifacts["ready"] else []

    async def run(self, episode: Episode) -> None:
        episode.chat("guide")
        await episode.chat().reply()
        raise AssertionError("an episode that looks for tools gets no reply")

    async def close(self, episode: Episode) -> None:
        type(self).closed += 1


def test_each_agent_is_shown_the_tools_of_the_episode() -> None:
    before = Prepared.closed
    found = tools_of(Prepared(), Task("q"), (0,))
    assert {agent: [tool["function"]["name"] for tool in tools] for agent, tools in found.items()} == {
        "guide": ["look"],
        "policy": ["look"],
    }
    assert Prepared.closed == before + 1


def test_tools_that_prompts_do_not_show_are_not_listed() -> None:
    assert tools_of(Prepared(show_tools=False), Task("q"), (0,))["policy"] == []


def test_an_environment_without_tools_is_not_played() -> None:
    assert tools_of(describe("arithmetic").build(), Task("1+1="), (0,)) == {}


def test_an_episode_that_fails_says_why() -> None:
    with pytest.raises(DataError, match="no such place"):
        tools_of(Prepared(), Task("fail"), (0,))
