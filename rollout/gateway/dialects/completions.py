"""OpenAI's legacy completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...service.engine.requests import Refusal, TextWanted, read_wanted
from ..call import Answer, Call, Choice
from .contents import Conversations
from .dialect import COMMENT, event, openai_error, read_sampling

_DEFAULT_TOKENS = 16  # as OpenAI and vLLM have it


class Completions:
    """``POST /v1/completions``: one prompt or several, each as text or as ids."""

    paths: tuple[str, ...] = ("/v1/completions",)
    ping = COMMENT

    def read(self, body: dict[str, Any], known: Conversations) -> Call:
        """As in ``Dialect``."""
        prompts = read_wanted(TextWanted, {"prompt": body.get("prompt")}).prompts
        if not prompts:
            raise Refusal("prompt: there is none", param="prompt")
        options = body.get("stream_options")
        default = {} if body.get("max_tokens") is not None else {"max_tokens": _DEFAULT_TOKENS}
        return Call(
            read_sampling(body, **default),
            prompts=tuple(prompts),
            stream=body.get("stream") is True,
            usage=isinstance(options, dict) and options.get("include_usage") is True,
        )

    def write(self, call: Call, answer: Answer) -> dict[str, Any]:
        """As in ``Dialect``."""
        choices = [_choice(call, index, choice) for index, choice in enumerate(answer.choices)]
        return {**_head(answer), "choices": choices, "usage": _usage(answer)}

    def events(self, call: Call, answer: Answer) -> Iterator[bytes]:
        """As in ``Dialect``."""
        usage = {"usage": None} if call.usage else {}
        for index, choice in enumerate(answer.choices):
            yield event({**_head(answer), "choices": [_choice(call, index, choice)], **usage})
        if call.usage:
            yield event({**_head(answer), "choices": [], "usage": _usage(answer)})
        yield event("[DONE]")

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """As in ``Dialect``."""
        return openai_error(refusal)

    def error_event(self, refusal: Refusal) -> bytes:
        """As in ``Dialect``."""
        return event(openai_error(refusal))


def _choice(call: Call, index: int, choice: Choice) -> dict[str, Any]:
    scored = None
    if call.wanted.logprobs is not False:
        offsets = [sum(map(len, choice.texts[:place])) for place in range(len(choice.texts))]
        scored = {"tokens": choice.texts, "token_logprobs": choice.logprobs.tolist(), "top_logprobs": None}
        scored["text_offset"] = offsets
    ids = {"token_ids": choice.ids.tolist()} if call.wanted.return_token_ids else {}
    return {"index": index, "text": choice.content, "finish_reason": choice.finish, "logprobs": scored, **ids}


def _head(answer: Answer) -> dict[str, Any]:
    return {"id": f"cmpl-{answer.id}", "object": "text_completion", "created": answer.created, "model": answer.model}


def _usage(answer: Answer) -> dict[str, int]:
    read, written = answer.prompt_tokens, answer.completion_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
