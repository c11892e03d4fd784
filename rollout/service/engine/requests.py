"""Requests to the engine: the bodies that OpenAI's, vLLM's, SGLang's and TRL's clients send, checked and made one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ....verifiers.message import Message
from ...engines.reply_schema import schema_text

MOST_SAMPLES, MOST_STOPS = 256, 64

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "length_penalty": (1,),
    "min_p": (0,),
    "min_tokens": (0,),
    "min_new_tokens": (0,),
    "logit_bias": ({},),
    "echo": (False,),
    "suffix": ("",),
    "ignore_eos": (False,),
    "use_beam_search": (False,),
    "stream": (False,),
    "prompt_logprobs": (False,),
    "functions": ([],),
    "regex": ("",),
    "ebnf": ("",),
}
"""Fields that would change what is sampled in ways that engines here do not know, and values that change nothing."""

_Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
_Id = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Refusal(Exception):
    """The request cannot be served, and the client is told why in OpenAI's form."""

    def __init__(self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param


class Wanted(BaseModel):
    """How a request wants its samples, whichever client sent it; a field that is null counts as left out."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    model: str = ""
    n: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = 1
    temperature: Annotated[float, Field(ge=0, lt=100)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] = 0
    max_tokens: _Count | None = None
    stop: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=MOST_STOPS)] = []
    stop_token_ids: Annotated[list[_Id], Field(max_length=MOST_STOPS)] = []
    include_stop_str_in_output: bool = False
    seed: int | None = None
    logprobs: bool | Annotated[int, Field(ge=0, le=1)] = False
    top_logprobs: Annotated[int, Field(ge=0, le=1)] = 0
    return_token_ids: bool = False
    response_format: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _common(cls, body: Any) -> Any:
        """One name for each thing, and no fields that would silently be ignored."""
        if not isinstance(body, dict):
            raise ValueError("the body is a JSON object")
        body = {name: value for name, value in body.items() if value is not None}
        for name, values in _NEUTRAL.items():
            if name in body and body[name] not in values:
                raise ValueError(f"{name} = {body[name]!r:.40} is not supported here; leave it out")
        for name in ("max_completion_tokens", "max_new_tokens"):
            if name in body:
                body["max_tokens"] = body[name]
        if "stop" in body:
            stops = body["stop"] if isinstance(body["stop"], list) else [body["stop"]]
            ids = [stop for stop in stops if isinstance(stop, int)]  # some environments give ids here
            body["stop"] = [stop for stop in stops if not isinstance(stop, int)]
            if ids:
                given = body.get("stop_token_ids", [])
                body["stop_token_ids"] = [*given, *ids] if isinstance(given, list) else given
        return body

    @property
    def schema_text(self) -> str:
        """The JSON schema that replies are held to; empty for none."""
        kind = self.response_format.get("type", "text")
        if kind == "json_object":
            return schema_text({"type": "object"})
        if kind == "json_schema":
            given = self.response_format.get("json_schema")
            return schema_text(given.get("schema") if isinstance(given, dict) else given)
        if kind != "text":
            raise Refusal(f"response_format has type text, json_object or json_schema, found {kind!r:.40}")
        return ""


W = TypeVar("W", bound=BaseModel)


class ChatWanted(Wanted):
    """The body of ``/v1/chat/completions``."""

    messages: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=10_000)]
    tools: list[dict[str, Any]] = []
    tool_choice: Any = "auto"
    chat_template_kwargs: dict[str, Any] = {}
    reasoning: dict[str, Any] = {}

    @property
    def thinking(self) -> bool | None:
        """Whether the template is told to have reasoning; None to leave that to it."""
        for options, name in ((self.chat_template_kwargs, "enable_thinking"), (self.reasoning, "enabled")):
            if isinstance(options.get(name), bool):
                return bool(options[name])
        return None


class TextWanted(Wanted):
    """The body of ``/v1/completions``: one prompt or several, each as text or as ids."""

    prompt: str | list[_Id] | list[str] | list[list[_Id]]

    @property
    def prompts(self) -> Sequence[str | list[int]]:
        """Every prompt."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        ids = [entry for entry in self.prompt if isinstance(entry, int)]
        return [ids] if ids else [entry for entry in self.prompt if not isinstance(entry, int)]


class _Ids(BaseModel):
    prompt_token_ids: list[_Id]


class VllmWanted(Wanted):
    """The body of vLLM's ``/generate``."""

    prompt: str | _Ids

    @property
    def prompts(self) -> Sequence[str | list[int]]:
        """The one prompt."""
        return [self.prompt if isinstance(self.prompt, str) else self.prompt.prompt_token_ids]


class SglangWanted(Wanted):
    """The body of SGLang's ``/generate``, whose sampling parameters have been taken out of their table."""

    text: str | None = None
    input_ids: list[_Id] | None = None

    @property
    def prompts(self) -> Sequence[str | list[int]]:
        """The one prompt."""
        if (self.text is None) == (self.input_ids is None):
            raise Refusal("/generate takes text or input_ids, one of them")
        return [self.text if self.text is not None else self.input_ids or []]


class TrlWanted(Wanted):
    """The body of TRL's ``/generate/``."""

    prompts: Annotated[list[str], Field(min_length=1, max_length=MOST_SAMPLES)]


def read_wanted(kind: type[W], body: Any) -> W:
    """The body as a ``kind``.

    Raises:
        Refusal: it is none; the message names the first field that is wrong.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise Refusal(f"{place}: {message}" if place else message, param=place or None) from None


def read_json(data: bytes) -> Any:
    """The JSON value of a body.

    Raises:
        Refusal: it is no JSON.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # Python takes more, such as NaN and lone surrogates
        pass
    try:
        return json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise Refusal(f"the body is no JSON: {error}") from None


def read_messages(given: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Messages in OpenAI's form as those of this package: content is text, and nothing else is in them.

    Raises:
        Refusal: a message is none, or has content other than text.
    """
    return [read_message(number, message) for number, message in enumerate(given)]


def for_template(messages: Sequence[Message]) -> list[Message]:
    """The messages with the arguments of tool calls as objects, as chat templates want them."""
    return [
        {**message, "tool_calls": [_parsed(call) for call in message["tool_calls"]]}
        if message.get("tool_calls")
        else message
        for message in messages
    ]


def clean(text: str) -> str:
    """``text`` without lone surrogates, which no tokenizer takes."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_message(number: int, given: Mapping[str, Any]) -> Message:
    """One message, as in ``read_messages``; ``number`` is its place in the conversation."""
    place = f"messages.{number}"
    role = {"developer": "system", "function": "tool"}.get(str(given.get("role")), given.get("role"))
    if role not in ("system", "user", "assistant", "tool"):
        raise Refusal(f"{place}.role: a role is system, user, assistant or tool, found {role!r:.40}", param=place)
    message: dict[str, Any] = {"role": role, "content": clean(_content(place, given.get("content"), role))}
    for name in ("name", "tool_call_id"):
        if given.get(name) is not None:
            if not isinstance(given[name], str):
                raise Refusal(f"{place}.{name}: text is needed, found {given[name]!r:.40}", param=place)
            message[name] = clean(given[name])
    if role == "assistant" and given.get("tool_calls"):
        calls = given["tool_calls"]
        if not isinstance(calls, list):
            raise Refusal(f"{place}.tool_calls: a list is needed, found {calls!r:.40}", param=place)
        message["tool_calls"] = [_call(place, call) for call in calls]
    return message  # type: ignore[return-value]


def _content(place: str, content: Any, role: str) -> str:
    if isinstance(content, str):
        return content
    if content is None and role in ("assistant", "tool"):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)] if isinstance(content, list) else [None]
    if not isinstance(content, list) or len(texts) != len(content) or not all(isinstance(t, str) for t in texts):
        raise Refusal(f"{place}.content: the engines here take text alone, found {content!r:.80}", param=place)
    return "".join(map(str, texts))


def _call(place: str, call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Refusal(f"{place}.tool_calls: a call has a function with a name, found {call!r:.80}", param=place)
    arguments = function.get("arguments", "{}")
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    function = {"name": clean(function["name"]), "arguments": clean(written)}
    return {"id": clean(str(call.get("id", ""))), "type": "function", "function": function}


def _parsed(call: dict[str, Any]) -> dict[str, Any]:
    try:
        arguments = json.loads(call["function"]["arguments"])
    except (ValueError, RecursionError):
        return call
    if not isinstance(arguments, dict):
        return call
    return {**call, "function": {**call["function"], "arguments": arguments}}
