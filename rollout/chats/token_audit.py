"""An audit of tokens: plays episodes through the real token chat and compares all ids with the template's rendering."""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from ...environments.audit.demonstration import cast_of
from ...environments.audit.finding import Finding, Severity
from ...environments.environment import Environment
from ...environments.play import play
from ...environments.thinking import Thinking
from ...verifiers.message import UNSEEN, Message
from ...verifiers.task import Task
from ...verifiers.trajectory import Trajectory
from ..engines.engine import Request, Sampling
from ..engines.scripted import ScriptedEngine
from ..models.tokenizer import load_tokenizer
from .renderer import Ids, Renderer
from .token_chat import TokenChat, TokenPolicy

CONTEXT = 1 << 20


@dataclass
class TokenAudit:
    """Checks an environment's episodes with one tokenizer and its chat template.

    Attributes:
        renderer: of the model that would be trained.
        tokenizer: the same tokenizer, used directly.
        tokens: the number of ids that were compared.
        turns: the number of replies that were played.
    """

    renderer: Renderer
    tokenizer: PreTrainedTokenizerBase
    tokens: int = 0
    turns: int = 0
    _seen: dict[tuple[str, Severity, str], list[tuple[Task, str]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def load(cls, model: str) -> "TokenAudit":
        """The audit for the tokenizer in a folder or of a Hub id.

        Raises:
            ConfigError: there is no tokenizer, or it cannot be used.
        """
        return cls(Renderer.load(model), load_tokenizer(model))

    async def play(self, environment: Environment, task: Task, seed: int = 0) -> None:
        """Play the environment's demonstration of ``task`` (or empty replies) and compare every id."""
        try:
            cast: Mapping[str, Sequence[str]] = cast_of(environment, task)
        except Exception:  # noqa: BLE001 - found by the audit of the environment, with its place
            cast = {}
        speakers = {agent: _Speaker(self.renderer, list(cast.get(agent, ()))) for agent in environment.agents}
        trajectory = await play(environment, task, speakers, (seed,), inline=True)
        if trajectory.error:
            self._note("tokens", "error", "the episode fails over the token chat", task, trajectory.error)
        for agent, speaker in speakers.items():
            self._compare(trajectory, agent, speaker)

    def findings(self) -> list[Finding]:
        """One finding for each way in which ids differed, with the first token that differed."""
        return [
            Finding(kind, f"{what}: {seen[0][1]} ({len(seen)} times)", severity, (seen[0][0].id,))
            for (kind, severity, what), seen in self._seen.items()
        ]

    def _note(self, kind: str, severity: Severity, what: str, task: Task, detail: str) -> None:
        self._seen[kind, severity, what].append((task, detail))

    def _compare(self, trajectory: Trajectory, agent: str, speaker: "_Speaker") -> None:
        task, turns = trajectory.task, speaker.turns
        self.turns += len(turns)
        for turn in turns:
            if self.renderer.decode(turn.sampled) != turn.said:
                detail = f"{turn.said!r:.60} comes back as {self.renderer.decode(turn.sampled)!r:.60}"
                self._note("tokens", "error", "a reply does not survive its encoding", task, detail)
        for before, turn in itertools.pairwise(turns):
            whole = np.concatenate([before.prompt, before.sampled])
            if divergence := self._divergence(whole, turn.prompt[: whole.size], "the turn before", "the next prompt"):
                broken = any(chat.breaks for chat in speaker.chats)
                what = "the template cannot go on from the ids so far: a new segment begins"
                kind: tuple[str, Severity, str] = ("template", "warning", what)
                if not broken:
                    kind = ("tokens", "error", "a prompt does not begin with the ids so far")
                self._note(*kind, task, divergence)
        self._trained(trajectory, agent, speaker)
        self._rendered(trajectory, agent, speaker)

    def _trained(self, trajectory: Trajectory, agent: str, speaker: "_Speaker") -> None:
        """Check that exactly the sampled ids would be trained on, each once."""
        trained = [segment.tokens[segment.mask] for segment in trajectory.segments if segment.agent == agent]
        ours = np.concatenate([np.empty(0, np.int32), *trained])
        sampled = np.concatenate([np.empty(0, np.int32), *(turn.sampled for turn in speaker.turns)])
        self.tokens += sampled.size
        if trajectory.error is None and (found := self._divergence(sampled, ours, "sampled", "trained")):
            self._note("tokens", "error", "what would be trained is not what was sampled", trajectory.task, found)

    def _rendered(self, trajectory: Trajectory, agent: str, speaker: "_Speaker") -> None:
        """Check prompts and the whole conversation against the template, if no text spells a control token."""
        task, turns = trajectory.task, speaker.turns
        messages = [_shown(message) for message in trajectory.messages.get(agent, ())]
        replies = [number for number, message in enumerate(messages) if message["role"] == "assistant"][-len(turns) :]
        if len(replies) != len(turns) or len(speaker.chats) != 1 or self._spells_control(messages):
            return
        for count, (number, turn) in enumerate(zip(replies, turns, strict=True)):
            expected = self._ids(messages[:number], speaker.tools, True)
            self.tokens += turn.prompt.size
            if found := self._divergence(expected, turn.prompt, "the template", "the chat"):
                if count == 0:
                    self._note("tokens", "error", "the first prompt is not what the template renders", task, found)
                else:
                    self._note("template", "warning", "the template writes earlier turns otherwise", task, found)
                return
        if turns:
            whole = np.concatenate([turns[-1].prompt, turns[-1].sampled])
            expected = self._ids(messages[: replies[-1] + 1], speaker.tools, False)[: whole.size]
            if found := self._divergence(expected, whole, "the template", "the chat"):
                self._note("template", "warning", "the template writes the last turn otherwise", task, found)

    def _ids(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]], prompt: bool) -> Ids:
        text = self.tokenizer.apply_chat_template(
            list(messages), tools=list(tools) or None, add_generation_prompt=prompt, tokenize=False
        )
        return np.asarray(self.tokenizer(str(text), add_special_tokens=False)["input_ids"], np.int32)

    def _spells_control(self, messages: Sequence[dict[str, Any]]) -> bool:
        """Whether a text that is not the policy's spells a control token, so that it is rightly encoded as text."""
        controls = [text for text in self.tokenizer.get_added_vocab() if text.strip()]
        theirs = [message["content"] for message in messages if message["role"] != "assistant"]
        return any(control in text for control in controls for text in theirs)

    def _divergence(self, one: Ids, other: Ids, first: str, second: str) -> str:
        """The first token in which two rows of ids differ, in words; empty if they are equal."""
        shared = min(one.size, other.size)
        apart = np.flatnonzero(one[:shared] != other[:shared])
        if not apart.size and one.size == other.size:
            return ""
        place = int(apart[0]) if apart.size else shared
        before = self._text(one[max(0, place - 8) : place])
        return (
            f"token {place}: {first} has {self._token(one, place)}, {second} has {self._token(other, place)}, "
            f"after {before!r}"
        )

    def _token(self, ids: Ids, place: int) -> str:
        return f"{ids[place]} {self._text(ids[place : place + 1])!r}" if place < ids.size else "no token"

    def _text(self, ids: Ids) -> str:
        return self.renderer.decode(ids, ())


@dataclass(frozen=True, eq=False)
class _Turn:
    """One reply: the ids of its prompt, its own ids, and its text."""

    prompt: Ids
    sampled: Ids
    said: str


@dataclass
class _Speaker:
    """A policy that says given lines through the real token chat, and records the ids."""

    renderer: Renderer
    lines: list[str]
    turns: list[_Turn] = field(default_factory=list)
    chats: list[TokenChat] = field(default_factory=list)
    tools: Sequence[dict[str, Any]] = ()

    def open(
        self,
        agent: str,
        seed: tuple[int, ...],
        tools: Sequence[dict[str, Any]] = (),
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> TokenChat:
        """A conversation over a scripted engine. Thinking is left to the template, since ids that the chat itself puts
        before or into a reply could not be compared with the template's rendering."""
        self.tools = tools
        engine = ScriptedEngine(self._answer, context=CONTEXT)
        policy = TokenPolicy(engine, self.renderer, Sampling(max_tokens=CONTEXT), context=CONTEXT)
        self.chats.append(policy.open(agent, seed, tools))
        return self.chats[-1]

    def _answer(self, request: Request) -> list[int]:
        said = self.lines.pop(0) if self.lines else ""
        sampled = self.renderer.reply(said)
        self.turns.append(_Turn(request.prompt, sampled, said))
        ids: list[int] = sampled.tolist()
        return ids


def _shown(message: Message) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key not in UNSEEN}
