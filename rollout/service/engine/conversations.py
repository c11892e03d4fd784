"""Conversations: what was sampled for clients, with exact ids, so that it can be continued and recognised again."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ....verifiers.message import Message
from ...engines.engine import Completion, Ids
from .prefixes import Key, Prefixes, digest_of

if TYPE_CHECKING:  # it imports transformers, which the service does without
    from ...chats.renderer import Renderer

_THINK = "<think>\n"
_SAME = 4  # so many samples with equal ids are kept, the newest
_OVERHEAD = 2000  # bytes of one turn's objects and index entries, about


@dataclass(frozen=True, eq=False)
class Turn:
    """One sampled reply, and the ids between the reply before it and this one.

    Attributes:
        before: the earlier reply whose ids the prompt began with; None for a prompt of its own.
        context: int32, the ids of the prompt after those of ``before``.
        completion: what was sampled.
        temperature: of the sampling; greedy counts as 1, like its logprobs.
        filtered: whether top_p or top_k left tokens out, so that the logprobs are not the policy's.
        context_text: the text of ``context``, control tokens spelled out.
        text: the text of the reply, without the stop token at its end.
        shown: the text that the client was given; shorter than ``text`` where a stop string was cut off.
        end: the text of the stop token at its end; empty if it has none.
        size: how many ids the conversation has up to the end of this reply.
    """

    before: Turn | None
    context: Ids
    completion: Completion
    temperature: float
    filtered: bool
    context_text: str
    text: str
    shown: str
    end: str
    size: int

    @property
    def start(self) -> int:
        """Where the sampled ids begin."""
        return self.size - int(self.completion.tokens.size)

    def chain(self) -> list[Turn]:
        """The replies of the conversation up to this one, the first reply first."""
        turns = [self]
        while (before := turns[-1].before) is not None:
            turns.append(before)
        return turns[::-1]

    def tokens(self) -> Ids:
        """All ids of the conversation up to the end of this reply."""
        return np.concatenate([part for turn in self.chain() for part in (turn.context, turn.completion.tokens)])

    @property
    def cost(self) -> int:
        """Bytes of memory, about."""
        arrays = self.context.nbytes + 3 * self.completion.tokens.nbytes
        return int(arrays) + sum(map(sys.getsizeof, (self.context_text, self.text, self.shown))) + _OVERHEAD


@dataclass(frozen=True, eq=False)
class Opening:
    """A prompt that is about to be sampled from.

    Attributes:
        prompt: int32, all ids.
        before: the longest remembered conversation that the prompt begins with.
        context: the ids after it.
        text: the text of ``context``.
    """

    prompt: Ids
    before: Turn | None
    context: Ids
    text: str

    @property
    def route(self) -> int:
        """Equal for all turns of one conversation, so that one engine serves them."""
        first = self.before.chain()[0].context if self.before else self.context
        return int.from_bytes(digest_of(first.tobytes())[:6], "big")

    @property
    def version(self) -> int:
        """The weights version of the latest reply, which later replies must not fall behind; 0 for none."""
        versions = self.before.completion.versions if self.before else np.empty(0, np.int32)
        return int(versions[-1]) if versions.size else 0


@dataclass
class Counts:
    """What happened so far.

    Attributes:
        sampled: replies that were remembered.
        continued: chat requests whose prompt is the ids of an earlier reply and a bridge.
        broken: chat requests that go on from a remembered reply, but that the template had to render anew.
        forgotten: replies that were dropped for room.
        exact: posted sequences whose ids are those that were sampled.
        repaired: posted sequences that were replaced by the ids that were sampled.
        unprovable: posted sequences of which nobody can tell what was sampled.
    """

    sampled: int = 0
    continued: int = 0
    broken: int = 0
    forgotten: int = 0
    exact: int = 0
    repaired: int = 0
    unprovable: int = 0


class Conversations:
    """A bounded memory of sampled replies, each with its exact prompt ids, ids, logprobs and versions.

    A later turn shares the ids of the earlier ones. Of replies with equal ids after equal ids only the newest few are
    kept. The reply that was unused for longest is forgotten first, and none before the replies that continue it.

    Args:
        renderer: of the model that is sampled from.
        most: most replies to remember.
        most_bytes: most bytes that they may take, about.
    """

    def __init__(self, renderer: Renderer, *, most: int = 100_000, most_bytes: int = 1 << 30) -> None:
        self.renderer = renderer
        self.stop_texts = [renderer.decode(np.asarray([stop], np.int32), ()) for stop in renderer.stop_ids]
        self._begin = renderer.decode(renderer.begin, ())
        self.counts = Counts()
        self.bytes = 0
        self._most, self._most_bytes = most, most_bytes
        self._turns: OrderedDict[Turn, list[tuple[Prefixes[Turn], Key]]] = OrderedDict()
        self._by_ids, self._by_prompt, self._by_root = Prefixes[Turn](), Prefixes[Turn](), Prefixes[Turn]()
        self._by_reading, self._by_messages = Prefixes[Turn](), Prefixes[Turn]()

    def __len__(self) -> int:
        return len(self._turns)

    def open(self, prompt: Ids) -> Opening:
        """The prompt, cut where the longest remembered conversation in it ends."""
        before = next((turns[-1] for turns in self._by_ids.beginning(prompt.tobytes())), None)
        if before:
            self._touch(before)
        context = prompt[before.size if before else 0 :].copy()  # a view would keep the whole prompt
        return Opening(prompt, before, context, self.renderer.decode(context, ()))

    def remember(
        self,
        opening: Opening,
        completion: Completion,
        temperature: float,
        *,
        shown: str,
        filtered: bool = False,
        keys: Sequence[bytes] = (),
    ) -> Turn:
        """Keep what was sampled.

        Args:
            opening: its prompt.
            completion: what was sampled.
            temperature: as in ``Turn``.
            shown: the text that the client is given.
            filtered: as in ``Turn``.
            keys: ``message_keys`` of the conversation with the reply, in each form that the client may send back.
        """
        ids = completion.tokens
        ended = bool(ids.size) and int(ids[-1]) in self.renderer.stop_ids
        turn = Turn(
            opening.before,
            opening.context,
            completion,
            temperature,
            filtered,
            opening.text,
            self.renderer.decode(ids),
            shown,
            self.renderer.decode(ids[-1:], ()) if ended else "",
            int(opening.prompt.size + ids.size),
        )
        self.counts.sampled += 1
        root = self.root_text(turn.chain()[0].context_text).rstrip()
        entries = [
            (self._by_ids, Key.of(turn.tokens().tobytes())),
            (self._by_prompt, Key.of(opening.prompt.tobytes())),
            (self._by_root, Key.of(root.encode())),
            (self._by_reading, _reading(turn)),
            *((self._by_messages, Key.of(key)) for key in dict.fromkeys(keys)),
        ]
        for older in self._by_ids.at(entries[0][1])[: 1 - _SAME]:
            self._forget(older)
        for index, key in entries:
            index.add(key, turn)
        self._turns[turn] = entries
        self.bytes += turn.cost
        self._touch(turn)
        while self._turns and (len(self._turns) > self._most or self.bytes > self._most_bytes):
            self._forget(next(iter(self._turns)))
            self.counts.forgotten += 1
        return turn

    def prompt(
        self, renderer: Renderer, messages: Sequence[Message], tools: Sequence[dict[str, Any]], keys: Sequence[bytes]
    ) -> Ids:
        """The ids of a conversation: those of the latest remembered reply in it, and a bridge; else rendered anew.

        Args:
            renderer: this model's, perhaps told to think or not to.
            messages: the conversation.
            tools: JSON schemas.
            keys: its ``message_keys``.

        Raises:
            DataError: the template refuses the messages.
        """
        told, latest = list(messages), None
        for place, (message, key) in enumerate(zip(messages, keys, strict=True)):
            found = self._by_messages.at(Key.of(key)) if message["role"] == "assistant" else []
            if found:
                latest = place, found[-1]
                begun = _THINK if renderer.begins_open else ""
                told[place] = {"role": "assistant", "content": begun + found[-1].text}
        if latest is None:
            return renderer.prompt(told, tools)
        place, turn = latest
        self._touch(turn)
        last = turn.completion.tokens[-1:].tolist()
        end = last[0] if last and last[0] in renderer.stop_ids else None
        bridge = renderer.bridge(told[:place], str(told[place]["content"]), end, told[place + 1 :], tools)
        if bridge is None:
            self.counts.broken += 1
            return renderer.prompt(told, tools)
        self.counts.continued += 1
        return np.concatenate([turn.tokens(), bridge])

    def with_prompt(self, ids: Ids) -> Iterator[Turn]:
        """The replies whose whole prompt ``ids`` begins with, those of the longest prompt first."""
        for turns in self._by_prompt.beginning(ids.tobytes()):
            yield from reversed(turns)

    def with_root(self, text: str) -> list[Turn]:
        """The replies of conversations whose first prompt's text ``text``, as ``root_text`` has it, begins with."""
        return [turn for turns in self._by_root.beginning(text.encode()) for turn in turns]

    def alike(self, turn: Turn) -> list[Turn]:
        """All conversations that read the same, the oldest first, with this one."""
        return self._by_reading.at(_reading(turn))

    def root_text(self, text: str) -> str:
        """``text`` without the token at its very beginning that a tokenizer may or may not add, and without space."""
        begin = self._begin
        text = text.lstrip()
        while begin and text.startswith(begin):
            text = text.removeprefix(begin).lstrip()
        return text

    def _touch(self, turn: Turn) -> None:
        """Make the conversation the latest used, so that a reply outlives those that continue it."""
        for each in reversed(turn.chain()):
            if each in self._turns:
                self._turns.move_to_end(each)

    def _forget(self, turn: Turn) -> None:
        for index, key in self._turns.pop(turn):
            index.remove(key, turn)
        self.bytes -= turn.cost


def message_keys(messages: Sequence[Message], tools: Sequence[dict[str, Any]], variant: str = "") -> list[bytes]:
    """A key for the conversation up to and with each message; ``variant`` tells apart options of the template."""
    whole = hashlib.blake2b(json.dumps([variant, list(tools)], sort_keys=True).encode(), digest_size=16)
    keys = []
    for message in messages:
        whole.update(b"\0" + json.dumps(message, sort_keys=True).encode())
        keys.append(whole.digest())
    return keys


def _reading(turn: Turn) -> Key:
    return Key.of(json.dumps([[each.context_text, each.text] for each in turn.chain()]).encode())
