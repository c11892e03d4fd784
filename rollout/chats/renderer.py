"""The exact ids of prompts and of a template's text between turns; untrusted text never becomes a control token."""

import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from jinja2 import TemplateError

from ...verifiers.errors import ConfigError, DataError
from ...verifiers.message import Message
from ...verifiers.text.think import split_reasoning
from ...verifiers.tool_calling.declaration import declarations
from ...verifiers.tool_calling.formats.format import format_of_template, tool_format
from ...verifiers.tool_calling.formats.hermes import read_hermes
from ..models.tokenizer import load_tokenizer, save_tokenizer
from .chat_tokenizer import ChatTokenizer, generation_stops
from .codec import Codec, Key, Marks
from .schemas import Schemas
from .stand_in import Trust, stand_in

if TYPE_CHECKING:  # it imports torch, which workers do without
    from transformers import PreTrainedTokenizerBase

Ids = npt.NDArray[np.int32]

_REMEMBERED = 512

OPENED, EMPTY = "<think>\n", "<think>\n\n</think>\n\n"
"""The beginning of a reply if thinking is on, and if it is off, unless the template writes it."""

# Sentinels stand for a reply while the template shows where it goes; the codec keeps such characters out of all text.
_REASONING, _ANSWER = "\U0010fffc", "\U0010fffd"


class Renderer:
    """Renders conversations to ids with a tokenizer and its chat template.

    Every added token of the tokenizer (special or not; white space excepted) is a *control token*. The template's own
    text may hold any of them. Contents, names, arguments and tool schemas may spell them, and are then encoded as the
    ordinary text they are. An assistant's content is the policy's own text: there tags such as ``<think>`` and
    ``<tool_call>`` are tokens, and only special tokens (end of turn, start of a role) are taken for text.

    Args:
        tokenizer: a fast tokenizer with a chat template, of transformers or as plain data.
        stop_ids: further ids that end a turn, for example those of the generation config.
        options: further variables for the template, such as ``enable_thinking``.

    Attributes:
        end_of_turn: the control token that the template puts between an assistant's turn and a question; None if it
            puts none. In most templates it closes the turn; in GLM's it is the token that opens the user's.
        stop_ids: the ids that end a turn: ``end_of_turn``, its counterpart before a tool's result, the tokenizer's eos
            and those given.
        vocabulary: number of ids of the tokenizer.
        call_format: name of the format in which the template asks for calls.
        begin: the ids that the tokenizer itself puts before a text, such as a token for the beginning; often none.

    Raises:
        ConfigError: the tokenizer cannot be used.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase | ChatTokenizer",
        *,
        stop_ids: Iterable[int] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._data = data = tokenizer if isinstance(tokenizer, ChatTokenizer) else ChatTokenizer.of(tokenizer)
        self.call_format = format_of_template(data.tools_template)
        self._options = dict(options or {})
        self._codec = Codec(data.definition)
        self._variants: dict[bool, Renderer] = {}
        self._forget()
        self._closing = self._control_after()
        self.end_of_turn = self._control_after({"role": "user", "content": "x"})
        called = self._control_after({"role": "tool", "name": "x", "content": "x"})
        self._end_of_call = called if self._closing is None and called is not None else self.end_of_turn
        found = {self.end_of_turn, self._end_of_call, data.eos, *data.stop_ids, *stop_ids}
        self.stop_ids: tuple[int, ...] = tuple(sorted(token for token in found if token is not None))
        self.vocabulary = data.vocabulary
        self.begin = _frozen(data.begin)

    def _forget(self) -> None:
        self._prompt = lru_cache(maxsize=_REMEMBERED)(self._render_prompt)
        self._bridge = lru_cache(maxsize=_REMEMBERED)(self._render_bridge)
        self._places_of_tools: dict[bytes, bool] = {}
        self._trust = Trust()
        self._generation: str | None = None

    def thinking(self, on: bool) -> "Renderer":
        """This renderer with thinking on or off in the template's variables, if the template has such variables."""
        if on not in self._variants:
            variant = copy.copy(self)
            variant._options = {**self._options, "enable_thinking": on, "thinking": on}
            variant._forget()
            self._variants[on] = variant
        return self._variants[on]

    def beginning(self, on: bool) -> str:
        """The ids to put after a prompt so that the reply starts inside ``<think>``, or after an empty block."""
        opened, closed = self._generation_prompt.rfind("<think>"), self._generation_prompt.rfind("</think>")
        if on:
            return "" if opened > closed else OPENED
        return "" if closed > opened else EMPTY

    @property
    def begins_open(self) -> bool:
        """Whether the template itself opens ``<think>`` before every reply."""
        return self._generation_prompt.rfind("<think>") > self._generation_prompt.rfind("</think>")

    def written(self, text: str) -> Ids:
        """The ids of trusted text, which may contain control tokens as the template's text may."""
        return _frozen(self._codec.encode(text, Marks(self._codec))) if text else _NO_IDS

    def rest_of(self, text: str, prompt: Ids) -> Ids:
        """The ids of ``reply(text)`` without the beginning that ``prompt`` already contains."""
        for beginning in (EMPTY, OPENED):
            begun = self.written(beginning)
            if prompt.size >= begun.size and np.array_equal(prompt[-begun.size :], begun):
                reasoning, answer = split_reasoning(text)
                return self.reply(answer if beginning == EMPTY else f"{reasoning}\n</think>\n\n{answer}")
        return self.reply(text)

    @property
    def _generation_prompt(self) -> str:
        """The text that the template puts before a reply."""
        if self._generation is None:
            said = [{"role": "user", "content": "x"}]
            prompt, bare = self._template(said, []), self._template(said, [], ask=False)
            self._generation = prompt[len(bare) :] if prompt.startswith(bare) else ""
        return self._generation

    @classmethod
    def load(cls, model: str, *, options: Mapping[str, Any] | None = None) -> "Renderer":
        """The renderer of a model's folder or Hub name, with the stop ids of its generation config."""
        return cls(load_tokenizer(model), stop_ids=generation_stops(model), options=options)

    def prompt(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()) -> Ids:
        """The ids of a conversation with the generation prompt after it, read-only.

        If no text spells a control token, they are those of ``tokenizer.apply_chat_template``.

        Raises:
            DataError: no or malformed messages, or the template refuses them.
        """
        key = Key.of(messages, tools)
        return self._render_prompt(key) if key.is_long else self._prompt(key)

    def has_place_for(self, tools: Schemas) -> bool:
        """Whether the template shows tools.

        Raises:
            DataError: the template refuses the tools, or calls of them could not be read.
        """
        found = self._places_of_tools.get(tools.digest)
        if found is None:
            if self.call_format != "hermes":
                declarations(list(tools))
            asked: list[Message] = [{"role": "user", "content": "x"}]
            found = not np.array_equal(self.prompt(asked, tools), self.prompt(asked))
            if len(self._places_of_tools) >= _REMEMBERED:
                self._places_of_tools.clear()  # another thread may do the same, so nothing is read from there again
            self._places_of_tools[tools.digest] = found
        return found

    def bridge(
        self,
        before: Sequence[Message],
        reply: str,
        end: int | None,
        new: Sequence[Message],
        tools: Sequence[dict[str, Any]] = (),
    ) -> Ids | None:
        """The ids between a sampled reply and the next one, read-only; None if the template cannot bridge.

        The template is rendered with sentinels in place of the reply. It can bridge if the text before the reply is the
        earlier prompt, unchanged, and the sentinels (one for the reasoning, one for the answer) keep their order; the
        bridge is the text after the last one. How the template would normalise the reply does not matter, as the
        sampled ids stay.

        A sampled stop token ends the turn, so the bridge leaves out the template's own. If the template's token opens
        the next turn, and the reply ended with another (a call that ended as if a question followed), it cannot bridge.

        Rendering all of a long conversation for each of its turns would take ever longer. So the bridge is made with a
        short stand-in for ``before`` and one of the tools. It is compared with the bridge of the whole conversation
        the first time that a conversation of this shape is bridged, and ever more rarely after that.

        Args:
            before: the conversation up to the reply.
            reply: the reply, raw.
            end: which of ``stop_ids`` the reply ended with; None if it was cut off, and the bridge then ends the turn.
            new: the messages after the reply.
            tools: JSON schemas.
        """
        tools = Schemas.of(tools)
        sentinels, after = _sentinels(reply), Key.of(new, ())
        short = stand_in(before, new, len(tools))
        shape = short and (short.shape, sentinels, tools.digest)
        if short is None or not self._trust.trusts(shape):
            return self._bridged(Key.of(before, tools), sentinels, end, after)
        bridge = self._bridged(Key.of(short.messages, tools.first), sentinels, end, after)
        if bridge is not None and not self._trust.due(shape):
            return bridge
        whole = self._bridged(Key.of(before, tools), sentinels, end, after)
        self._trust.compared(shape, equal=_equal(bridge, whole))
        return whole

    def _bridged(self, before: Key, reply: str, end: int | None, new: Key) -> Ids | None:
        render = self._render_bridge if before.is_long or new.is_long else self._bridge
        return render(before, reply, end, new)

    def decode(self, ids: Ids, stop_ids: Sequence[int] | None = None) -> str:
        """The text of sampled ids and of control tokens among them, without a stop token (``stop_ids``) at the end."""
        row: list[int] = ids.tolist()
        if row and row[-1] in (self.stop_ids if stop_ids is None else stop_ids):
            row.pop()
        return self._codec.decode(row)

    def text(self, ids: list[int]) -> str:
        """The text of ids, all control tokens included."""
        return self._codec.decode(ids)

    def reply(self, text: str) -> Ids:
        """The ids of a whole reply, with the token that ends the turn, for demonstrations."""
        marks = Marks(self._codec)
        (message,), _ = marks.conversation(Key.of([{"role": "assistant", "content": text}], ()))
        called = read_hermes(text).calls or tool_format(self.call_format).read(text).calls
        return _frozen([*self._codec.encode(message["content"], marks).tolist(), self._end(bool(called))])

    def turn(self, before: Sequence[Message], message: Message, tools: Sequence[dict[str, Any]] = ()) -> Ids | None:
        """The ids of an assistant's message as the template writes it after its prompt, with the token that ends it.

        The message may have ``tool_calls`` and a reasoning of its own. None if the template does not write its prompt
        before the message, as templates whose prompt opens ``<think>`` may not.

        Raises:
            DataError: no or malformed messages, or the template refuses them.
        """
        marks = Marks(self._codec)
        messages, declared = marks.conversation(Key.of([*before, message], tools))
        prompt, whole = self._template(messages[:-1], declared), self._template(messages, declared, ask=False)
        if not whole.startswith(prompt):
            return None
        ids = self._codec.encode(whole[len(prompt) :], marks).tolist()
        end = self._end(bool(message.get("tool_calls")))
        closes = {end, self.end_of_turn, self._end_of_call, self._closing} - {None}
        return _frozen([*itertools.takewhile(lambda token: token not in closes, ids), end])

    def _end(self, called: bool) -> int:
        """The token that ends a reply, with calls or without."""
        end = self._end_of_call if called else self.end_of_turn
        end = self._data.eos if end is None else end
        if end is None:
            raise DataError(f"neither the chat template nor the tokenizer of {self._data.name!r} ends a turn")
        return end

    def save(self, folder: Path) -> None:
        """Write the tokenizer and its template into a model's folder.

        Raises:
            ConfigError: this renderer was made of plain data.
        """
        if isinstance(self._tokenizer, ChatTokenizer):
            raise ConfigError(f"only the process that loaded the tokenizer {self._tokenizer.name!r} can save it")
        save_tokenizer(self._tokenizer, folder)

    def _render_prompt(self, key: Key) -> Ids:
        marks = Marks(self._codec)
        messages, tools = marks.conversation(key)
        return _frozen(self._codec.encode(self._template(messages, tools), marks))

    def _render_bridge(self, before_key: Key, reply: str, end: int | None, new_key: Key) -> Ids | None:
        marks = Marks(self._codec)
        before, tools = marks.conversation(before_key)
        new, _ = marks.conversation(new_key)
        try:
            prompt = self._template(before, tools)
            whole = self._template([*before, {"role": "assistant", "content": reply}, *new], tools)
        except DataError:  # refused with sentinels; rendering the true conversation reports the error
            return None
        rest = _after_sentinels(whole, reply, len(prompt)) if whole.startswith(prompt) else None
        if rest is None:
            return None
        ids = self._codec.encode(rest, marks)
        first = self._codec.leading_control(rest)
        if end is not None and first is not None:
            if first not in (end, self._closing):
                return None
            ids = ids[np.flatnonzero(ids == first)[0] + 1 :]
        return _frozen(ids)

    def _template(self, messages: list[dict[str, Any]], tools: list[Any], ask: bool = True) -> str:
        if not messages:
            raise DataError("an empty conversation has no prompt; add a message first")
        try:
            return self._data.render(messages, tools, ask, self._options)
        except (TemplateError, TypeError) as error:  # the latter for what the template does to its variables
            raise DataError(f"the chat template refuses the conversation: {error}") from None

    def _control_after(self, *following: dict[str, str]) -> int | None:
        """The control token that the template puts directly after a reply that these messages, or none, follow."""
        user, reply = {"role": "user", "content": "x"}, {"role": "assistant", "content": _ANSWER}
        try:
            rest = _after_sentinels(self._template([user, reply, *following], [], ask=False), _ANSWER, 0)
        except DataError:
            return None
        return None if rest is None else self._codec.leading_control(rest)


def _sentinels(reply: str) -> str:
    """``reply`` with its reasoning and its answer replaced by one sentinel each."""
    opened, closed = "<think>" in reply, "</think>" in reply
    if closed:
        return f"{'<think>' if opened else ''}\n{_REASONING}\n</think>\n\n{_ANSWER}"
    return f"<think>\n{_REASONING}" if opened else _ANSWER


def _after_sentinels(whole: str, reply: str, position: int) -> str | None:
    """The text after the last sentinel; None unless each occurs once, in order, after ``position``."""
    for sentinel in (char for char in reply if char in (_REASONING, _ANSWER)):
        position = whole.find(sentinel, position) + 1
        if not position or whole.count(sentinel) != 1:
            return None
    return whole[position:]


def _equal(one: Ids | None, other: Ids | None) -> bool:
    return np.array_equal(one, other) if one is not None and other is not None else one is other


def _frozen(ids: Sequence[int] | Ids) -> Ids:
    array = np.asarray(ids, dtype=np.int32)
    array.flags.writeable = False
    return array


_NO_IDS = _frozen([])
