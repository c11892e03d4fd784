"""Conversations with a simulated user: a second model that wants something and ends the conversation."""

from typing import Any

from pydantic import Field

from .environment import Environment, EnvironmentConfig
from .episode import Episode

USER = "user"
"""The agent that plays the user."""


class Dialogue(Environment):
    """The policy serves a user that another agent plays; subclass it with tasks, a rubric and tools.

    A task's ``info["user"]`` says who the user is and what they want; only the user's agent sees it. A task's prompt is
    the policy's system prompt. The user speaks first. The episode ends when the user says ``over``, or at a limit.
    Give the user a model of its own with ``[environments.agents.user]`` in a run's TOML.
    """

    class Config(EnvironmentConfig):
        """How the user is played."""

        persona: str = (
            "You are a user who talks to an assistant. Stay in this role and write only what the user says, a sentence "
            "or two at a time. Do not help the assistant. When you have what you want, or see that you will not get "
            "it, write {over} and nothing else.\n\n{user}"
        )
        """The user's system prompt; ``{user}`` is replaced by the task's text, ``{over}`` by the word below."""
        over: str = Field("###OVER###", min_length=1)
        """The word with which the user ends the conversation."""

    agents = ("policy", USER)

    async def run(self, episode: Episode) -> None:
        """The user speaks, the policy calls its tools and answers, and so on."""
        policy, user = episode.chat(), episode.chat(USER)
        if not isinstance(episode.task.prompt, str):
            for message in episode.task.messages:
                policy.add(**message)
        elif episode.task.prompt:
            policy.add("system", episode.task.prompt)
        persona = self.config.persona.replace("{user}", str(episode.task.info.get("user", "")))
        user.add("system", persona.replace("{over}", self.config.over))
        user.add("user", "The assistant is there. What do you say?")
        while self.config.over not in (said := (await user.reply()).text):
            policy.add("user", said)
            while (reply := await policy.reply()).tool_calls and episode.tools.tools:
                await episode.call_tools(policy, reply.tool_calls)
            user.add("user", reply.text)

    def demonstration(self, task: Any) -> dict[str, list[str]]:
        """The policy gives the task's answer at once, to a user who asks for it and leaves."""
        return {"policy": [str(task.answer)], USER: [str(task.info.get("user", "")), self.config.over]}
