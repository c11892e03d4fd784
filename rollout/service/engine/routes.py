"""Routes of the engine: what Atropos environments, and OpenAI's, vLLM's, SGLang's and TRL's clients, call."""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from aiohttp import web

from ....verifiers.errors import InfrastructureError, InputError
from ....verifiers.json_data.text import to_text
from ....verifiers.message import Message
from ....verifiers.tool_calling.formats.hermes import OPEN, read_hermes
from ...engines.engine import Generator, Ids
from ..body import BodyLimits, read_body
from .conversations import Conversations, message_keys
from .replies import in_hermes_form
from .requests import (
    ChatWanted,
    Refusal,
    SglangWanted,
    TextWanted,
    TrlWanted,
    VllmWanted,
    Wanted,
    for_template,
    read_json,
    read_messages,
    read_wanted,
)
from .sampling import Sample, Sampler

if TYPE_CHECKING:  # it imports transformers, which the service does without
    from ...chats.renderer import Renderer

_DEFAULT_TOKENS = 16  # of a completion that names no limit, as OpenAI and vLLM have it
_RETRY_AFTER = "1"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def engine_routes(
    generator: Generator,
    renderer: Renderer,
    *,
    context: int,
    version: Callable[[], int],
    memory: Conversations,
    model: str = "",
    limits: BodyLimits | None = None,
) -> list[web.RouteDef]:
    """The routes over one model.

    Args:
        generator: what samples.
        renderer: the model's tokenizer and chat template.
        context: most tokens of prompt and completion together.
        version: the lowest weights version that may serve a request now.
        memory: where every sample is remembered.
        model: the name that requests must give; empty to take any name.
        limits: of a body, which may be gzip.
    """
    bounds = limits or BodyLimits()
    door = _Door(Sampler(generator, renderer, context, version, memory), model)
    return [
        web.get("/health", door.health),
        web.get("/v1/models", door.models),
        web.post("/v1/chat/completions", _answered(door.chat, bounds)),
        web.post("/v1/completions", _answered(door.complete, bounds)),
        web.post("/generate", _answered(door.generate, bounds)),
        web.post("/generate/", _answered(door.generate, bounds)),
    ]


@dataclass(frozen=True)
class _Door:
    """The routes' handlers; see ``engine_routes``."""

    sampler: Sampler
    model: str

    @property
    def renderer(self) -> Renderer:
        """The model's."""
        return self.sampler.renderer

    @property
    def memory(self) -> Conversations:
        """What was sampled."""
        return self.sampler.memory

    async def health(self, request: web.Request) -> web.Response:
        """That the service answers, and with which weights."""
        return web.json_response({"status": "ok", "version": self.sampler.version()})

    async def models(self, request: web.Request) -> web.Response:
        """The one model."""
        entry = {"id": self.model or "policy", "object": "model", "created": 0, "owned_by": "lachesis"}
        return web.json_response({"object": "list", "data": [{**entry, "max_model_len": self.sampler.context}]})

    async def chat(self, body: Any) -> Any:
        """``/v1/chat/completions``."""
        wanted = read_wanted(ChatWanted, body)
        self._check_model(wanted)
        messages = read_messages(wanted.messages)
        tools = [] if wanted.tool_choice == "none" else wanted.tools
        thinking = wanted.thinking
        renderer = self.renderer if thinking is None else self.renderer.thinking(thinking)
        keys = message_keys(messages, tools, str(thinking))
        told = for_template(messages)
        prompt = self.memory.prompt(renderer, told, tools, keys)
        if tools and np.array_equal(renderer.prompt(told, tools), renderer.prompt(told)):
            raise Refusal("the model's chat template has no place for tools; describe them in a message", param="tools")
        opening = self.sampler.open(prompt)
        samples = await self.sampler.sample_from(opening, wanted, self.sampler.context)
        choices = []
        for number, sample in enumerate(samples):
            reply = _reply(sample.shown, renderer.call_format, tools)
            calls = "tool_calls" in reply
            choices.append(
                {
                    "index": number,
                    "message": reply,
                    "finish_reason": "tool_calls" if calls and sample.finish == "stop" else sample.finish,
                    "logprobs": {"content": self._token_logprobs(sample), "refusal": None} if wanted.logprobs else None,
                    **({"token_ids": sample.ids} if wanted.return_token_ids else {}),
                }
            )
            forms = self._forms(sample, reply)
            self.sampler.remember(
                opening, sample, wanted, [message_keys([*messages, form], tools, str(thinking))[-1] for form in forms]
            )
        return self._completion("chat.completion", "chatcmpl", wanted, [prompt], samples, choices)

    async def complete(self, body: Any) -> Any:
        """``/v1/completions``."""
        wanted = read_wanted(TextWanted, body)
        self._check_model(wanted)
        prompts = [self.sampler.ids(prompt) for prompt in wanted.prompts]
        groups = await self.sampler.sample(prompts, wanted, _DEFAULT_TOKENS)
        samples = [sample for group in groups for sample in group]
        choices = [
            {
                "index": number,
                "text": sample.shown,
                "finish_reason": sample.finish,
                "logprobs": self._text_logprobs(sample) if wanted.logprobs is not False else None,
                **({"token_ids": sample.ids} if wanted.return_token_ids else {}),
            }
            for number, sample in enumerate(samples)
        ]
        return self._completion("text_completion", "cmpl", wanted, prompts, samples, choices)

    async def generate(self, body: Any) -> Any:
        """``/generate``, in the form of the server for which the client takes this one."""
        if not isinstance(body, dict):
            raise Refusal("the body is a JSON object")
        if "prompts" in body:
            trl = read_wanted(TrlWanted, body)
            groups = await self.sampler.sample(
                [self.sampler.ids(prompt) for prompt in trl.prompts], trl, _DEFAULT_TOKENS
            )
            return {"completion_ids": [sample.ids for group in groups for sample in group]}
        if "prompt" not in body:
            parameters = body.get("sampling_params") or {}
            if not isinstance(parameters, dict):
                raise Refusal("sampling_params: one object is needed", param="sampling_params")
            sglang = read_wanted(SglangWanted, {**body, **parameters})
            prompt = self.sampler.ids(sglang.prompts[0])
            (samples,) = await self.sampler.sample([prompt], sglang, 128)
            answers = [self._sglang(prompt, sample) for sample in samples]
            return answers if len(answers) > 1 else answers[0]
        vllm = read_wanted(VllmWanted, body)
        prompt = self.sampler.ids(vllm.prompts[0])
        (samples,) = await self.sampler.sample([prompt], vllm, _DEFAULT_TOKENS)
        return {
            "text": [sample.shown for sample in samples],
            "prompt": self.renderer.decode(prompt, ()),
            "finish_reasons": [sample.finish for sample in samples],
            "logprobs": [
                [[{str(token): value}] for token, value in zip(sample.ids, sample.logprobs, strict=True)]
                for sample in samples
            ],
            "prompt_token_ids": prompt.tolist(),
            "token_ids": [sample.ids for sample in samples],
        }

    def _check_model(self, wanted: Wanted) -> None:
        if self.model and wanted.model != self.model:
            raise Refusal(
                f"the model {wanted.model!r:.80} does not exist here; this is {self.model!r}",
                status=404,
                code="model_not_found",
                param="model",
            )

    def _forms(self, sample: Sample, reply: dict[str, Any]) -> list[Message]:
        """A chat's reply in each form in which the client may send it back."""
        forms = read_messages([reply])
        whole = self.renderer.decode(sample.completion.tokens)
        if "tool_calls" not in reply and whole != reply["content"]:  # it may put the stop string back
            forms += read_messages([{**reply, "content": whole}])
        return forms

    def _completion(
        self, kind: str, prefix: str, wanted: Wanted, prompts: Sequence[Ids], samples: Sequence[Sample], choices: Any
    ) -> dict[str, Any]:
        read, written = sum(int(ids.size) for ids in prompts), sum(len(sample.ids) for sample in samples)
        return {
            "id": f"{prefix}-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": wanted.model or self.model or "policy",
            "choices": choices,
            "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
            **({"prompt_token_ids": prompts[0].tolist()} if wanted.return_token_ids else {}),
        }

    def _tokens(self, sample: Sample) -> list[str]:
        return [self.renderer.decode(sample.completion.tokens[at : at + 1], ()) for at in range(len(sample.ids))]

    def _token_logprobs(self, sample: Sample) -> list[dict[str, Any]]:
        return [
            {"token": text, "logprob": value, "bytes": list(text.encode()), "top_logprobs": []}
            for text, value in zip(self._tokens(sample), sample.logprobs, strict=True)
        ]

    def _text_logprobs(self, sample: Sample) -> dict[str, Any]:
        texts = self._tokens(sample)
        offsets = [sum(map(len, texts[:at])) for at in range(len(texts))]
        return {"tokens": texts, "token_logprobs": sample.logprobs, "top_logprobs": None, "text_offset": offsets}

    def _sglang(self, prompt: Ids, sample: Sample) -> dict[str, Any]:
        entries = [[value, token, None] for token, value in zip(sample.ids, sample.logprobs, strict=True)]
        return {
            "text": sample.shown,
            "output_ids": sample.ids,
            "meta_info": {
                "id": secrets.token_hex(12),
                "finish_reason": {"type": sample.finish},
                "prompt_tokens": int(prompt.size),
                "completion_tokens": len(sample.ids),
                "output_token_logprobs": entries,
            },
        }


def _answered(handler: Callable[[Any], Awaitable[Any]], limits: BodyLimits) -> Handler:
    """The handler over JSON as one over HTTP: every error is one of OpenAI's, and none of the input's is a 500."""

    @functools.wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return web.json_response(await handler(read_json(await read_body(request, limits))))
        except Refusal as error:
            return _error(error.status, str(error), error.code, error.param)
        except (InputError, RecursionError) as error:
            return _error(400, str(error))
        except web.HTTPException as error:
            return _error(error.status, error.text or error.reason)
        except InfrastructureError as error:
            return _error(503, str(error), "engine_unavailable")

    return answer


def _error(status: int, message: str, code: str | None = None, param: str | None = None) -> web.Response:
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return web.json_response(body, status=status, headers={"Retry-After": _RETRY_AFTER} if status == 503 else None)


def _reply(shown: str, call_format: str, tools: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A sampled text as an assistant's message in OpenAI's form; calls are taken out if all of them can be read."""
    text = in_hermes_form(shown, call_format, tools) if tools else shown
    calls = read_hermes(text).calls if tools else ()
    if not calls or any(call.error for call in calls):
        return {"role": "assistant", "content": shown}
    before = text[: max(text.find(OPEN, text.rfind("</think>") + 1), text.find(OPEN))]
    return {
        "role": "assistant",
        "content": before or None,
        "tool_calls": [
            {
                "id": f"call_{secrets.token_hex(12)}",
                "type": "function",
                "function": {"name": call.name, "arguments": to_text(call.arguments)},
            }
            for call in calls
        ],
    }
