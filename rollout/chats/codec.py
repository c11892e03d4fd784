"""Encoding of text in which only the chat template's own text yields control tokens, never untrusted text."""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from ...verifiers.errors import DataError
from ...verifiers.message import UNSEEN, Message, check_message
from ..engines.engine import Ids
from .schemas import Schemas
from .stand_in import Trust

# Placeholders are private-use characters: no template strips, splits or escapes them. A text that holds such characters
# itself has them replaced by placeholders too, so that they are never mistaken for placeholders.
_PLACEHOLDERS = range(0xF0000, 0xFFFFE)
_PRIVATE = "[\U000f0000-\U0010ffff]"
_PLACEHOLDER = re.compile(_PRIVATE)
_REMEMBERED_TOOLS, _REMEMBERED_PIECES = 64, 512
_REMEMBERED_LENGTHS = range(256, 1 << 16)
"""Characters of the texts that are worth remembering, and small enough."""
_MOST_REMEMBERED, _SIZE_OF_FIELD = 1 << 18, 64
"""Characters of the longest conversation or tools that are remembered, and what an empty field takes of them."""
_SHORT = 2048
"""Renderings with fewer characters are encoded in one piece, which is faster; most are new messages of one agent."""
_OWN_TEXT = frozenset({"content", "reasoning", "reasoning_content", "thinking"})
_SCHEMA_KEYS = frozenset({"type", "function", "name", "description", "parameters", "properties", "required", "items"})
_SCHEMA_KEYS |= {"enum", "default", "arguments", "id"}


class Key(NamedTuple):
    """A conversation as it is remembered: hashable, and apart from the lists and dicts that it was made of.

    Attributes:
        messages: the fields of each message; a value that is not text is JSON, as bytes.
        tools: their JSON.
    """

    messages: tuple[tuple[tuple[str, str | bytes], ...], ...]
    tools: str

    @classmethod
    def of(cls, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> "Key":
        """The key of a conversation, without what the policy never sees; raises ``DataError``."""
        try:
            told = tuple([tuple([_field(*item) for item in one.items() if item[0] not in UNSEEN]) for one in messages])
        except (AttributeError, TypeError, ValueError) as error:
            raise DataError(f"messages are JSON: {error}") from None
        return cls(told, Schemas.of(tools).text)

    @property
    def is_long(self) -> bool:
        """Whether it would take much memory to remember hundreds of such conversations."""
        size = len(self.tools) + sum(_SIZE_OF_FIELD + len(value) for one in self.messages for _, value in one)
        return size > _MOST_REMEMBERED


class _Encoded(NamedTuple):
    """The ids of a text, and the control tokens among them."""

    ids: Ids
    controls: list[int]


class Codec:
    """Encodes and decodes text, with control tokens and without.

    Args:
        definition: the tokenizer as JSON, as the package ``tokenizers`` writes it.

    Attributes:
        control: matches a control token in a rendering, with the white space that belongs to it.
        spelled: matches tokens that untrusted text must not yield.
        special: matches tokens that an assistant's own text must not yield.
    """

    def __init__(self, definition: str) -> None:
        state = json.loads(definition)
        state |= {"truncation": None, "padding": None}
        self._backend = Tokenizer.from_str(json.dumps(state))
        controls = [token for token in state["added_tokens"] if token["content"].strip()]
        state["added_tokens"] = [token for token in state["added_tokens"] if not token["content"].strip()]
        self._plain = Tokenizer.from_str(json.dumps(state | {"post_processor": None}))
        self._id_of: dict[str, int] = {token["content"].strip(): token["id"] for token in controls}
        self._ids = frozenset(self._id_of.values())
        self._is_control = np.zeros(max(self._ids, default=-1) + 2, np.bool_)  # the last place is that of all others
        self._is_control[list(self._ids)] = True
        controls.sort(key=lambda token: -len(token["content"]))
        self.control = re.compile(f"({'|'.join(map(_matching, controls)) or '(?!)'})")
        texts = [token["content"] for token in controls]
        self.spelled = re.compile("|".join([_PRIVATE, *map(re.escape, texts)]))
        self.special = re.compile("|".join([_PRIVATE, *(re.escape(c["content"]) for c in controls if c["special"])]))
        self._firsts = sorted({text[0] for text in texts})
        self._heads = tuple({text[:end] for text in texts for end in range(1, len(text))})
        self._tails = tuple({text[start:] for text in texts for start in range(1, len(text))})
        self._inside = "\n".join(texts)
        self.marked_tools: dict[str, tuple[list[Any], dict[str, str]]] = {}
        self._encoded_piece = lru_cache(maxsize=_REMEMBERED_PIECES)(self._encoded)
        self._pieces = Trust()
        self.is_plain = lru_cache(maxsize=_REMEMBERED_PIECES)(self._is_plain)

    def encode(self, marked: str, marks: "Marks") -> Ids:
        """The ids of a rendering; exactly the control tokens that ``marked`` contains become control tokens."""
        pieces = self.control.split(marked)
        expected = [self._id_of[control.strip()] for control in pieces[1::2]]
        encoded = self._encoded_in_pieces(pieces, marks)
        if [control for part in encoded for control in part.controls] == expected:
            return _joined(encoded)
        ids: list[int] = []
        for index, piece in enumerate(pieces):
            ids += [self._id_of[piece.strip()]] if index % 2 else self._as_text(marks.restore(piece))
        return np.asarray(ids, np.int32)

    def _encoded_in_pieces(self, pieces: list[str], marks: "Marks") -> "list[_Encoded]":
        """A rendering as the tokenizer encodes it; long texts between control tokens are remembered.

        Conversations have their system prompt and their earlier messages in common. Most tokenizers encode the text
        before a control token and the text after it by themselves. Whether this one does is tested by comparison.

        Args:
            pieces: texts and, between them, control tokens with the white space that belongs to them.
            marks: of the rendering.
        """
        is_long = sum(map(len, pieces)) >= _SHORT and any(len(piece) in _REMEMBERED_LENGTHS for piece in pieces[::2])
        if not is_long or not self._pieces.trusts(""):
            return [self._encoded(marks.restore("".join(pieces)))]
        encoded, short = [], ""
        for index, piece in enumerate(pieces):
            if index % 2 or len(piece) not in _REMEMBERED_LENGTHS:
                short += piece
                continue
            encoded += [self._encoded(marks.restore(short)), self._encoded_piece(marks.restore(piece))]
            short = ""
        encoded.append(self._encoded(marks.restore(short)))
        if self._pieces.due(""):
            whole = self._encoded(marks.restore("".join(pieces)))
            self._pieces.compared("", equal=np.array_equal(_joined(encoded), whole.ids))
            return [whole]
        return encoded

    def _encoded(self, text: str) -> "_Encoded":
        found: list[int] = self._backend.encode(text, add_special_tokens=False).ids if text else []
        ids = np.asarray(found, np.int32)
        return _Encoded(ids, ids[self._is_control[np.minimum(ids, self._is_control.size - 1)]].tolist())

    def _is_plain(self, text: str, pattern: re.Pattern[str]) -> bool:
        return Marks(self).changes_nothing_of(text, pattern)

    def decode(self, ids: list[int]) -> str:
        """The text of ids, including the text of control tokens."""
        return str(self._backend.decode(ids, skip_special_tokens=False))

    def leading_control(self, text: str) -> int | None:
        """The control token that ``text`` begins with, white space aside."""
        match = self.control.match(text.lstrip())
        return self._id_of[match[0].strip()] if match else None

    def spells_nothing(self, text: str) -> bool:
        """Whether it is quick to see that ``text`` has neither a control token nor a placeholder in it."""
        return text.isascii() and not any(first in text for first in self._firsts)

    def touches(self, text: str) -> tuple[bool, bool]:
        """Whether ``text`` could form a control token together with the text before it, and with the text after it."""
        if not text or text in self._id_of:  # a whole control token that was left to stand is meant
            return False, False
        return text.startswith(self._tails) or text in self._inside, text.endswith(self._heads)

    def _as_text(self, text: str) -> list[int]:
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        if self._ids.isdisjoint(ids):
            return ids
        ids = [token for char in text for token in self._plain.encode(char, add_special_tokens=False).ids]
        if self._ids.isdisjoint(ids):
            return ids
        raise DataError(f"the tokenizer has only control tokens for the text {text!r:.80}")


class Marks:
    """The placeholders of one rendering, for text that must not yield control tokens."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._placeholder_of: dict[str, str] = {}
        self._text_of: dict[str, str] = {}

    def conversation(self, key: Key) -> tuple[list[dict[str, Any]], list[Any]]:
        """The messages and tools of ``key`` with placeholders in them."""
        schemas = self._marked_tools(key.tools)
        return [self._message(fields) for fields in key.messages], schemas

    def _marked_tools(self, key: str) -> list[Any]:
        """The tools; they are remembered with their placeholders, as every call of an agent has the same ones."""
        if self._placeholder_of or len(key) > _MOST_REMEMBERED:  # they would differ, or take too much memory
            return self._value(json.loads(key))  # type: ignore[no-any-return]
        remembered = self._codec.marked_tools
        found = remembered.get(key)
        if found is None:
            marked = self._value(json.loads(key))
            if len(remembered) >= _REMEMBERED_TOOLS:
                remembered.clear()  # another thread may do the same, so nothing is read from there again
            found = remembered[key] = marked, dict(self._placeholder_of)
        self._placeholder_of = dict(found[1])
        return found[0]

    def changes_nothing_of(self, text: str, pattern: re.Pattern[str]) -> bool:
        """Whether these marks, which are new, have no placeholder for anything in ``text``."""
        return self._marked(text, pattern, edges=True) == text and not self._placeholder_of

    def restore(self, marked: str) -> str:
        """The text that ``marked`` stands for."""
        if not self._placeholder_of or marked.isascii():
            return marked
        if len(self._text_of) != len(self._placeholder_of):
            self._text_of = {placeholder: text for text, placeholder in self._placeholder_of.items()}
        texts = self._text_of  # `translate` would look up every character
        return _PLACEHOLDER.sub(lambda found: texts.get(found[0], found[0]), marked)

    def _message(self, fields: tuple[tuple[str, str | bytes], ...]) -> dict[str, Any]:
        message = {name: value if isinstance(value, str) else json.loads(value) for name, value in fields}
        own = check_message(message)["role"] == "assistant"
        for name, value in message.items():
            if isinstance(value, str):
                if name != "role":
                    is_own = own and name in _OWN_TEXT
                    message[name] = self._text(value, self._codec.special if is_own else self._codec.spelled)
            else:
                message[name] = self._value(value)
        return message

    def _value(self, value: Any, edges: bool = True) -> Any:
        """Mark any JSON value; schema keys and types keep their end characters, as templates compare them."""
        if isinstance(value, str):
            return self._text(value, self._codec.spelled, edges)
        if isinstance(value, dict):
            return {
                self._text(key, self._codec.spelled, key not in _SCHEMA_KEYS): self._value(inner, key != "type")
                for key, inner in value.items()
            }
        return [self._value(inner) for inner in value] if isinstance(value, list) else value

    def _text(self, text: str, pattern: re.Pattern[str], edges: bool = True) -> str:
        """``text`` with a placeholder for each match, and for a first or last character that could complete a match."""
        if len(text) in _REMEMBERED_LENGTHS and self._codec.is_plain(text, pattern):
            return text
        return self._marked(text, pattern, edges)

    def _marked(self, text: str, pattern: re.Pattern[str], edges: bool) -> str:
        if not text.isascii():
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # lone surrogates have no bytes
        if not self._codec.spells_nothing(text):
            text = pattern.sub(lambda match: self._placeholder(match[0]), text)
        core = text.strip()
        before, after = self._codec.touches(core) if edges else (False, False)
        start = text.index(core)
        places = {start: before, start + len(core) - 1: after} if len(core) > 1 else {start: before or after}
        for place, touched in places.items():
            if touched and text[place] not in '"\\':  # a template that writes JSON must see those to escape them
                text = text[:place] + self._placeholder(text[place]) + text[place + 1 :]
        return text

    def _placeholder(self, text: str) -> str:
        if text not in self._placeholder_of:
            if len(self._placeholder_of) == len(_PLACEHOLDERS):
                return "\N{REPLACEMENT CHARACTER}"
            self._placeholder_of[text] = chr(_PLACEHOLDERS[len(self._placeholder_of)])
        return self._placeholder_of[text]


def _field(name: str, value: Any) -> tuple[str, str | bytes]:
    return name, value if type(value) is str else json.dumps(value).encode()


def _joined(encoded: list[_Encoded]) -> Ids:
    return np.concatenate([part.ids for part in encoded])


def _matching(token: dict[str, Any]) -> str:
    """A pattern for an added token and the white space that belongs to it."""
    before, after = r"\s*" if token["lstrip"] else "", r"\s*" if token["rstrip"] else ""
    return f"{before}{re.escape(token['content'])}{after}"
