"""The conversations of one episode as a tree of replies, in which each call finds the reply that it continues."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...verifiers.message import Message
from ..chats.text_chat import raw_text
from ..engines.engine import Completion, Ids
from ..service.engine.prefixes import Key, Prefixes
from .budget import size_of
from .call import Call, Choice, as_message, canonical
from .dialects.contents import without_parts

OPENING, CONVERSATION, FORK = "opening", "conversation", "fork"
REWRITTEN, TEMPLATE, TEMPERATURE = "rewritten", "template", "temperature"
"""Why a segment began: the first call, another conversation, a second reply to the same conversation, a history that
the agent changed, a template that cannot bridge, or another temperature."""

NO_IDS = np.empty(0, np.int32)
_COPIES = 2
"""Messages that the policy did not write are kept as they came and, if an assistant's, in Hermes' form."""
_NODE, _ROOT, _POINTER, _ID = 4096, 4096, 8, 16
"""Bytes of a reply and of the beginning of a lineage without their texts, of a place in a tuple, and of an id in a
segment: the id, its logprob, its version and its mask."""
_REMEMBERED = 8
"""So many of the latest conversations of an episode are compared with a call before it is read anew."""


@dataclass(eq=False)
class Node:
    """One reply.

    Attributes:
        number: its place in the order in which replies came.
        lineage: 0 for the agent that called first, 1 and so on for its subagents.
        parent: the reply that its conversation continues, message for message.
        before: the reply whose ids its prompt begins with.
        context: the ids of the prompt after those of ``before``.
        completion: what was sampled; None if the model is behind a URL.
        cut: how many tokens were sampled after the stop string and are not in ``completion``.
        temperature: of the sampling; greedy counts as 1, like its logprobs.
        began: why a segment begins here, unless it continues the one of ``before``.
        record: the conversation with the reply, each reply as the model wrote it, with calls in Hermes' form.
        message: the reply as the agent was given it.
        text: the whole text of the reply, with the beginning that the template wrote.
        seed: of the sampling; orders siblings.
        place: the key of the conversation before the reply; empty if the prompt has no messages.
        untrained: why it is not trained; empty if it is.
        version: of the weights, for replies that continue it.
        size: number of ids up to its end.
        hashed: of all ids up to its end.
    """

    number: int
    lineage: int
    parent: Node | None
    before: Node | None
    context: Ids
    completion: Completion | None
    cut: int
    temperature: float
    began: str
    record: tuple[Message, ...]
    message: Message
    text: str
    seed: int
    place: bytes = b""
    untrained: str = ""
    size: int = field(init=False)
    hashed: hashlib.blake2b = field(init=False)
    _ids: Ids | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        tokens = self.completion.tokens if self.completion else NO_IDS
        self.size = (self.before.size if self.before else 0) + int(self.context.size) + int(tokens.size)
        self.hashed = hash_after(hash_after(self.before.hashed if self.before else None, self.context), tokens)

    @property
    def sampled(self) -> int:
        """How many tokens were sampled for it."""
        return (int(self.completion.tokens.size) if self.completion else 0) + self.cut

    @property
    def version(self) -> int:
        """The weights version of its last token; 0 without tokens."""
        versions = self.completion.versions if self.completion else NO_IDS
        return int(versions[-1]) if versions.size else 0

    def prompt(self) -> Ids:
        """All ids of the prompt."""
        return np.concatenate([*([self.before.ids()] if self.before else []), self.context])

    def ids(self) -> Ids:
        """All ids up to the end of the reply; they are kept until those of a reply after it are asked for."""
        if self._ids is None:
            parts: list[Ids] = []
            node: Node | None = self
            while node is not None and node._ids is None:
                parts += [node.completion.tokens if node.completion else NO_IDS, node.context]
                node = node.before
            self._ids = np.concatenate([*([node._ids] if node and node._ids is not None else []), *reversed(parts)])
            self._ids.flags.writeable = False
            if self.before:
                self.before._ids = None
        return self._ids


@dataclass(frozen=True, eq=False)
class Opening:
    """A call, placed in the tree.

    Attributes:
        messages: the conversation.
        keys: one for the conversation up to and with each message, and one for the empty conversation before them.
        known: the replies among the messages, by their position; only those whose whole conversation is unchanged.
        lineage: as in ``Node``.
        began: why a segment begins here if the prompt does not continue one.
        record: the conversation, as in ``Node``.
    """

    messages: tuple[Message, ...]
    keys: list[bytes]
    known: dict[int, Node]
    lineage: int
    began: str
    record: tuple[Message, ...]

    @property
    def latest(self) -> tuple[int, Node] | None:
        """The last known reply and its position."""
        return max(self.known.items(), key=lambda item: item[0], default=None)


class Tree:
    """All replies of one episode.

    Attributes:
        nodes: the replies, in the order in which they came.
        keep: is told of bytes before they are kept; raises ``Refusal`` if they are too many.
    """

    def __init__(self, keep: Callable[[int], None] = lambda size: None) -> None:
        self.nodes: list[Node] = []
        self.keep = keep
        self._by_messages: dict[bytes, list[Node]] = {}
        self._by_reply: dict[str, Node] = {}
        self._by_ids: Prefixes[Node] = Prefixes()
        self._roots: list[tuple[str, str]] = []  # how each lineage began
        self._latest: list[tuple[tuple[Message, ...], list[bytes]]] = []  # conversations and their keys

    def open(self, call: Call) -> Opening:
        """Place a call with messages: each known reply among them, and what the rest is.

        Raises:
            Refusal: its new messages are more than the episode may keep.
        """
        messages, keys = self._keyed(call)
        known: dict[int, Node] = {}
        for position, message in enumerate(messages):
            if message["role"] == "assistant" and (found := self._by_messages.get(keys[position + 1])):
                known[position] = _with_ids_of(message, found)
        latest = known[max(known)] if known else None
        similar = latest or self._similar(messages)
        lineage = similar.lineage if similar else self._lineage_of(messages)
        new = messages[max(known) + 1 if known else 0 :]
        record = (*(latest.record if latest else ()), *map(self._as_record, new))
        rewritten = any(message["role"] == "assistant" for message in new)
        if rewritten or (similar and not latest):
            began = REWRITTEN
        else:
            began = FORK if latest else CONVERSATION if self.nodes else OPENING
        return Opening(messages, keys, known, lineage, began, record)

    def _keyed(self, call: Call) -> tuple[tuple[Message, ...], list[bytes]]:
        """The messages of a call and their keys; those that an earlier call had too are taken from there."""
        messages, keys, shared = call.messages, [_start(call)], 0
        for told, known in self._latest:
            if known[0] == keys[0] and (common := _common(told, call.messages)) > shared:
                messages, keys, shared = (*told[:common], *call.messages[common:]), known[: common + 1], common
        self.keep(_COPIES * sum(map(size_of, messages[shared:])))
        for message in messages[shared:]:
            keys.append(chained(keys[-1], canonical(message)))
        kept = [one for one in self._latest if one[0] != messages[: len(one[0])]]
        self._latest = [(messages, keys), *kept][:_REMEMBERED]
        return messages, keys

    def _similar(self, messages: Sequence[Message]) -> Node | None:
        """The node with the latest reply among the messages that is known from any conversation."""
        replies = (canonical(message) for message in reversed(messages) if message["role"] == "assistant")
        return next((self._by_reply[text] for text in replies if text in self._by_reply), None)

    def admit(self, replies: int, segments: int, ids: int, messages: int) -> None:
        """Count what the tree keeps of the replies to one prompt, besides their texts.

        Args:
            replies: how many.
            segments: so many of them surely begin one, with all ids of the prompt.
            ids: in the prompt.
            messages: in the conversation.

        Raises:
            Refusal: it is more than the episode may keep.
        """
        self.keep(replies * (_NODE + _POINTER * messages) + segments * _ID * ids)

    def place_ids(self, prompt: Ids) -> Node | None:
        """The reply with the longest ids that ``prompt`` begins with."""
        found: Iterator[list[Node]] = self._by_ids.beginning(prompt.tobytes())
        return next((nodes[-1] for nodes in found), None)

    def remember(self, node: Node) -> None:
        """Add a reply, to be found by its ids and by its messages.

        Its text is bounded by the limits of tokens and turns, and is not refused.
        """
        self.nodes.append(node)
        if node.completion is not None:
            self._by_ids.add(_key_of(node), node)
        text = canonical(node.message)
        self._by_reply[text] = node
        if node.place:
            self._by_messages.setdefault(chained(node.place, text), []).append(node)

    def rewrite(self, node: Node, choice: Choice, reason: str) -> None:
        """Note that the agent is given another reply than was sampled, or none: it is not trained."""
        node.untrained = reason
        old = canonical(node.message)
        if self._by_reply.get(old) is node:
            del self._by_reply[old]
        if node.place:
            self._by_messages[chained(node.place, old)].remove(node)
        if node.completion is not None:
            self._by_ids.remove(_key_of(node), node)
        node.message = as_message(choice)
        node.record = (*node.record[:-1], _given(node.message))
        self._by_reply[canonical(node.message)] = node

    def leaves(self) -> list[Node]:
        """The replies that no other continues, message for message, in the order in which they came."""
        continued = {id(node.parent) for node in self.nodes}
        return [node for node in self.nodes if id(node) not in continued]

    def in_order(self) -> list[Node]:
        """Every reply after the one before it, in an order that does not depend on which of two calls came first."""
        children: dict[int, list[Node]] = {}
        for node in self.nodes:
            children.setdefault(id(node.before) if node.before else 0, []).append(node)
        ordered, waiting = [], sorted(children.get(0, []), key=lambda node: (node.lineage != 0, node.seed))[::-1]
        while waiting:
            node = waiting.pop()
            ordered.append(node)
            waiting += sorted(children.get(id(node), []), key=lambda child: (child.began != FORK, child.seed))[::-1]
        return ordered

    def kind_of_prompt(self, before: Node | None) -> str:
        """Why a segment begins at a prompt without messages that goes on from ``before``."""
        return FORK if before else CONVERSATION if self.nodes else OPENING

    def lineage_of_ids(self, before: Node | None, prompt: str) -> int:
        """The lineage of a prompt without messages, which is kept.

        Raises:
            Refusal: it is more than the episode may keep.
        """
        self.keep(_COPIES * size_of(prompt))
        return before.lineage if before else self._lineage_of([{"role": "user", "content": prompt}])

    def _lineage_of(self, messages: Sequence[Message]) -> int:
        """The lineage of a conversation without known replies: that which began like it, or a new one.

        Programs add to their system prompt when they compact a conversation.
        """
        role, text = messages[0]["role"], messages[0]["content"]
        for lineage, (other, begun) in enumerate(self._roots):
            longer = role == "system" and text and begun and (text.startswith(begun) or begun.startswith(text))
            if role == other and (text == begun or longer):
                return lineage
        self.keep(_ROOT)
        self._roots.append((role, text))
        return len(self._roots) - 1

    def _as_record(self, message: Message) -> Message:
        """A message as ``Trajectory.messages`` has it."""
        if message["role"] != "assistant":
            return without_parts(message)
        same = self._by_reply.get(canonical(message))
        return same.record[-1] if same else _given(message)


def chained(key: bytes, text: str) -> bytes:
    """The key of the conversation with ``key`` and one more message."""
    return hashlib.blake2b(key + text.encode(), digest_size=16).digest()


def hash_after(before: hashlib.blake2b | None, ids: Ids) -> hashlib.blake2b:
    """The hash of the ids that ``before`` is the hash of, and of ``ids`` after them."""
    hashed = before.copy() if before else hashlib.blake2b(digest_size=16)
    hashed.update(np.ascontiguousarray(ids, np.int32).tobytes())
    return hashed


def _key_of(node: Node) -> Key:
    return Key(node.hashed.digest(), node.size * NO_IDS.itemsize)


def _start(call: Call) -> bytes:
    """The key of an empty conversation, which tells apart tools and options of the template."""
    return chained(call.tools.sorted_digest, str(call.thinking))


def _common(told: Sequence[Message], messages: Sequence[Message]) -> int:
    """How many messages two conversations begin with in common."""
    if told == messages[: len(told)]:
        return len(told)
    pairs = enumerate(zip(told, messages, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(told), len(messages)))


def _with_ids_of(message: Message, found: list[Node]) -> Node:
    """Of several equal replies the one whose calls have the ids of the message; else the latest."""

    def ids(said: Message) -> list[Any]:
        return [call["id"] for call in said.get("tool_calls", ())]

    if len(found) == 1:
        return found[0]
    return next((node for node in reversed(found) if ids(node.message) == ids(message)), found[-1])


def _given(message: Message) -> Message:
    """An assistant's message that the policy did not write."""
    calls = {"tool_calls": message.get("tool_calls", [])}
    return {"role": "assistant", "content": raw_text({"content": message["content"], **calls}), "given": True}
