"""The token route of vLLM, through which PrimeIntellect's training client samples: ids in; ids and logprobs out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, Field

from ...service.engine.requests import Refusal, read_wanted
from ..call import Answer, Call
from .contents import Conversations
from .dialect import COMMENT, event, openai_error, read_sampling

_DEFAULT_TOKENS = 16  # as vLLM has it


class _Prompt(BaseModel):
    token_ids: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1)]
    sampling_params: dict[str, Any] = {}


class TokenIds:
    """``POST /inference/v1/generate``, which is not streamed."""

    paths: tuple[str, ...] = ("/inference/v1/generate",)
    ping = COMMENT

    def read(self, body: dict[str, Any], known: Conversations) -> Call:
        """As in ``Dialect``."""
        if body.get("stream") is True:
            raise Refusal("stream is not supported here; leave it out", param="stream")
        prompt = read_wanted(_Prompt, {name: value for name, value in body.items() if value is not None})
        default = {"max_tokens": _DEFAULT_TOKENS} if prompt.sampling_params.get("max_tokens") is None else {}
        wanted = read_sampling(prompt.sampling_params, model=body.get("model"), **default)
        return Call(wanted, prompts=(prompt.token_ids,))

    def write(self, call: Call, answer: Answer) -> dict[str, Any]:
        """As in ``Dialect``; a token is named by its id, as vLLM does without a tokenizer."""
        choices = [
            {
                "index": index,
                "token_ids": choice.ids.tolist(),
                "logprobs": {
                    "content": [
                        {"token": f"token_id:{token}", "logprob": value, "bytes": None, "top_logprobs": []}
                        for token, value in zip(choice.ids.tolist(), choice.logprobs.tolist(), strict=True)
                    ]
                },
                "finish_reason": choice.finish,
            }
            for index, choice in enumerate(answer.choices)
        ]
        read, written = answer.prompt_tokens, answer.completion_tokens
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        head = {"request_id": answer.id, "model": answer.model, "prompt_token_ids": answer.prompt_ids.tolist()}
        return {**head, "choices": choices, "usage": usage}

    def events(self, call: Call, answer: Answer) -> Iterator[bytes]:
        """Never asked for."""
        yield event(self.write(call, answer))

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """As in ``Dialect``."""
        return openai_error(refusal)

    def error_event(self, refusal: Refusal) -> bytes:
        """As in ``Dialect``."""
        return event(openai_error(refusal))
