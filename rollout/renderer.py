"""Exact ids of prompts and of what a template puts between turns; untrusted text never becomes a control token."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import TemplateError
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from ..verifiers.errors import ConfigError, DataError
from ..verifiers.message import Message, check_message

Ids = npt.NDArray[np.int32]

# Placeholders and sentinels are private-use characters: no template strips, splits or escapes them. A text that holds
# such characters itself has them replaced by placeholders too, so none is ever taken for ours.
_PLACEHOLDERS = range(0xF0000, 0xFFFFE)
_REASONING, _ANSWER = "\U0010fffc", "\U0010fffd"
_PRIVATE = "[\U000f0000-\U0010ffff]"
_OWN_TEXT = frozenset({"content", "reasoning", "reasoning_content", "thinking"})
_SCHEMA_KEYS = frozenset({"type", "function", "name", "description", "parameters", "properties", "required", "items"})
_SCHEMA_KEYS |= {"enum", "default", "arguments", "id"}


class Renderer:
    """What a tokenizer and its chat template make of conversations.

    Every added token of the tokenizer (special or not; white space excepted) is a *control token*. The template's own
    text may hold any of them. Contents, names, arguments and tool schemas may spell them, and are then encoded as the
    ordinary text they are. An assistant's content is the policy's own text: there tags such as ``<think>`` and
    ``<tool_call>`` are tokens, and only special tokens (end of turn, start of a role) are taken for text.

    Args:
        tokenizer: a fast tokenizer with a chat template.
        stop_ids: further ids that end a turn, the generation config's say.
        options: further variables for the template, such as ``enable_thinking``.

    Attributes:
        end_of_turn: the control token that the template puts after an assistant's turn; None if it puts none.
        stop_ids: the ids that end a turn: ``end_of_turn``, the tokenizer's eos and those given.

    Raises:
        ConfigError: the tokenizer cannot be used.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        stop_ids: Iterable[int] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if not tokenizer.is_fast:
            raise ConfigError(f"{tokenizer.name_or_path!r} has no fast tokenizer (tokenizer.json); convert it first")
        if not tokenizer.chat_template:
            raise ConfigError(f"tokenizer {tokenizer.name_or_path!r} has no chat template; choose an instruct model")
        self._tokenizer = tokenizer
        self._options = dict(options or {})
        self._codec = _Codec(tokenizer.backend_tokenizer)
        self._prompt = lru_cache(maxsize=512)(self._render_prompt)
        self._bridge = lru_cache(maxsize=512)(self._render_bridge)
        self.end_of_turn = self._find_end_of_turn()
        found = {self.end_of_turn, tokenizer.eos_token_id, *stop_ids} - {None}
        self.stop_ids: tuple[int, ...] = tuple(sorted(found))

    @classmethod
    def load(cls, model: str, *, options: Mapping[str, Any] | None = None) -> "Renderer":
        """The renderer of a model's folder or Hub name, with the stop ids of its generation config."""
        try:
            tokenizer = AutoTokenizer.from_pretrained(model)
        except (OSError, ValueError) as error:
            raise ConfigError(f"no tokenizer in {model!r}: {str(error).splitlines()[0]}") from None
        try:
            eos = GenerationConfig.from_pretrained(model).eos_token_id
        except OSError:  # it has none
            eos = None
        return cls(
            tokenizer, stop_ids=eos if isinstance(eos, list) else [eos] if eos is not None else (), options=options
        )

    def prompt(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()) -> Ids:
        """The ids of a conversation with the generation prompt after it, read-only.

        Where no text spells a control token they are those of ``tokenizer.apply_chat_template``.

        Raises:
            DataError: no or malformed messages, or the template refuses them.
        """
        return self._prompt(_key(messages, tools))

    def bridge(
        self,
        before: Sequence[Message],
        reply: str,
        ended: bool,
        new: Sequence[Message],
        tools: Sequence[dict[str, Any]] = (),
    ) -> Ids | None:
        """The ids between a sampled reply and the next one, read-only; None where the template has none.

        The template is rendered with sentinels in place of the reply. It can bridge if what stands before the reply is
        the earlier prompt, unchanged, and the sentinels (one for the reasoning, one for the answer) are kept in order;
        the bridge is what stands after the last. How the template would normalise the reply does not matter: the
        sampled ids stay.

        Args:
            before: the conversation up to the reply.
            reply: the reply, raw.
            ended: whether the sampler emitted ``end_of_turn``; if not, the bridge begins with it.
            new: what follows the reply.
            tools: JSON schemas.
        """
        return self._bridge(_key(before, tools), _sentinels(reply), ended, _key(new, ()))

    def decode(self, ids: Ids, stop_ids: Sequence[int] | None = None) -> str:
        """The text of sampled ids, control tokens spelled out, without a stop token (default: ours) at the end."""
        row: list[int] = ids.tolist()
        if row and row[-1] in (self.stop_ids if stop_ids is None else stop_ids):
            row.pop()
        return self._codec.decode(row)

    def _render_prompt(self, key: str) -> Ids:
        marks = _Marks(self._codec)
        messages, tools = marks.conversation(key)
        return _frozen(self._codec.encode(self._template(messages, tools), marks))

    def _render_bridge(self, before_key: str, reply: str, ended: bool, new_key: str) -> Ids | None:
        marks = _Marks(self._codec)
        before, tools = marks.conversation(before_key)
        new, _ = marks.conversation(new_key)
        try:
            prompt = self._template(before, tools)
            whole = self._template([*before, {"role": "assistant", "content": reply}, *new], tools)
        except DataError:  # refused in this form; rendering the true conversation will tell
            return None
        rest = _after_sentinels(whole, reply, len(prompt)) if whole.startswith(prompt) else None
        if rest is None:
            return None
        ids = self._codec.encode(rest, marks)
        if ended and self._codec.leading_control(rest) == self.end_of_turn is not None:
            ids = ids[ids.index(self.end_of_turn) + 1 :]
        return _frozen(ids)

    def _template(self, messages: list[dict[str, Any]], tools: list[Any]) -> str:
        if not messages:
            raise DataError("an empty conversation has no prompt; add a message first")
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    messages, tools=tools or None, add_generation_prompt=True, tokenize=False, **self._options
                )
            )
        except TemplateError as error:
            raise DataError(f"the chat template refuses the conversation: {error}") from None

    def _find_end_of_turn(self) -> int | None:
        user, reply = {"role": "user", "content": "x"}, {"role": "assistant", "content": _ANSWER}
        try:
            rest = _after_sentinels(self._template([user, reply, user], []), _ANSWER, 0)
        except DataError:
            return None
        return None if rest is None else self._codec.leading_control(rest)


class _Codec:
    """Text to ids and back, with the control tokens and without."""

    def __init__(self, backend: Tokenizer) -> None:
        state = json.loads(backend.to_str())
        state |= {"truncation": None, "padding": None}
        self._backend = Tokenizer.from_str(json.dumps(state))
        controls = [token for token in state["added_tokens"] if token["content"].strip()]
        state["added_tokens"] = [token for token in state["added_tokens"] if not token["content"].strip()]
        self._plain = Tokenizer.from_str(json.dumps(state | {"post_processor": None}))
        self._id_of: dict[str, int] = {token["content"].strip(): token["id"] for token in controls}
        self._ids = frozenset(self._id_of.values())
        controls.sort(key=lambda token: -len(token["content"]))
        self.control = re.compile(f"({'|'.join(map(_matching, controls)) or '(?!)'})")
        texts = [token["content"] for token in controls]
        self.spelled = re.compile("|".join([_PRIVATE, *map(re.escape, texts)]))
        self.special = re.compile("|".join([_PRIVATE, *(re.escape(c["content"]) for c in controls if c["special"])]))
        self._heads = tuple({text[:end] for text in texts for end in range(1, len(text))})
        self._tails = tuple({text[start:] for text in texts for start in range(1, len(text))})
        self._inside = "\n".join(texts)

    def encode(self, marked: str, marks: "_Marks") -> list[int]:
        """The ids of a rendering: control tokens are those that stand in ``marked``, and no others."""
        expected = [self._id_of[control.strip()] for control in self.control.findall(marked)]
        ids: list[int] = self._backend.encode(marks.restore(marked), add_special_tokens=False).ids
        if [token for token in ids if token in self._ids] == expected:
            return ids
        ids = []
        for index, piece in enumerate(self.control.split(marked)):
            ids += [self._id_of[piece.strip()]] if index % 2 else self._as_text(marks.restore(piece))
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of ids, control tokens spelled out."""
        return str(self._backend.decode(ids, skip_special_tokens=False))

    def leading_control(self, text: str) -> int | None:
        """The control token that ``text`` begins with, white space aside."""
        match = self.control.match(text.lstrip())
        return self._id_of[match[0].strip()] if match else None

    def touches(self, text: str) -> tuple[bool, bool]:
        """Whether ``text`` could complete a control token together with what is put before it, and after it."""
        before = text.startswith(self._tails) or text in self._inside
        return bool(text) and before, text.endswith(self._heads)

    def _as_text(self, text: str) -> list[int]:
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        if self._ids.isdisjoint(ids):
            return ids
        ids = [token for char in text for token in self._plain.encode(char, add_special_tokens=False).ids]
        if self._ids.isdisjoint(ids):
            return ids
        raise DataError(f"the tokenizer has only control tokens for the text {text!r:.80}")


class _Marks:
    """One rendering's placeholders for what untrusted text must not spell."""

    def __init__(self, codec: _Codec) -> None:
        self._codec = codec
        self._placeholder_of: dict[str, str] = {}

    def conversation(self, key: str) -> tuple[list[dict[str, Any]], list[Any]]:
        """The messages and tools of ``key`` with placeholders in them."""
        messages, tools = json.loads(key)
        return [self._message(check_message(message)) for message in messages], self._value(tools)

    def restore(self, marked: str) -> str:
        """The text that ``marked`` stands for."""
        if not self._placeholder_of:
            return marked
        return marked.translate({ord(placeholder): text for text, placeholder in self._placeholder_of.items()})

    def _message(self, message: Message) -> dict[str, Any]:
        def marked(field: str, value: Any) -> Any:
            if field == "role":
                return value
            own = message["role"] == "assistant" and field in _OWN_TEXT and isinstance(value, str)
            return self._text(value, self._codec.special) if own else self._value(value)

        return {field: marked(field, value) for field, value in message.items()}

    def _value(self, value: Any, edges: bool = True) -> Any:
        """Any JSON value; templates compare the names of schema keys and types, so those keep their edges."""
        if isinstance(value, str):
            return self._text(value, self._codec.spelled, edges)
        if isinstance(value, dict):
            return {
                self._text(key, self._codec.spelled, key not in _SCHEMA_KEYS): self._value(inner, key != "type")
                for key, inner in value.items()
            }
        return [self._value(inner) for inner in value] if isinstance(value, list) else value

    def _text(self, text: str, pattern: re.Pattern[str], edges: bool = True) -> str:
        """``text`` with a placeholder for each match, and for a first or last character that could complete one."""
        if not text.isascii():
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # lone surrogates have no bytes
        text = pattern.sub(lambda match: self._placeholder(match[0]), text)
        core = text.strip()
        before, after = self._codec.touches(core)
        if not edges or not (before or after):
            return text
        start = text.index(core)
        end = start + len(core)
        if after:
            text = text[: end - 1] + self._placeholder(text[end - 1]) + text[end:]
        if before and not (after and len(core) == 1):
            text = text[:start] + self._placeholder(text[start]) + text[start + 1 :]
        return text

    def _placeholder(self, text: str) -> str:
        if text not in self._placeholder_of:
            if len(self._placeholder_of) == len(_PLACEHOLDERS):
                return "\N{REPLACEMENT CHARACTER}"
            self._placeholder_of[text] = chr(_PLACEHOLDERS[len(self._placeholder_of)])
        return self._placeholder_of[text]


def _key(messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:
    try:
        return json.dumps([list(messages), list(tools)])
    except (TypeError, ValueError) as error:
        raise DataError(f"messages and tool schemas are JSON: {error}") from None


def _sentinels(reply: str) -> str:
    """``reply`` with its reasoning and its answer replaced by one sentinel each."""
    opened, closed = "<think>" in reply, "</think>" in reply
    if closed:
        return f"{'<think>' if opened else ''}\n{_REASONING}\n</think>\n\n{_ANSWER}"
    return f"<think>\n{_REASONING}" if opened else _ANSWER


def _after_sentinels(whole: str, reply: str, position: int) -> str | None:
    """What stands after the last sentinel; None unless each stands once, in order, after ``position``."""
    for sentinel in (char for char in reply if char in (_REASONING, _ANSWER)):
        position = whole.find(sentinel, position) + 1
        if not position or whole.count(sentinel) != 1:
            return None
    return whole[position:]


def _matching(token: dict[str, Any]) -> str:
    """A pattern for an added token and the white space that it swallows."""
    before, after = r"\s*" if token["lstrip"] else "", r"\s*" if token["rstrip"] else ""
    return f"{before}{re.escape(token['content'])}{after}"


def _frozen(ids: list[int]) -> Ids:
    array = np.asarray(ids, dtype=np.int32)
    array.flags.writeable = False
    return array
