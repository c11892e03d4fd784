"""The engine's part of the service's OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from ..openapi import Part, an_object, guarded
from .requests import ChatWanted, SglangWanted, TextWanted, TrlWanted, VllmWanted

_POSTS: dict[str, tuple[str, tuple[type[BaseModel], ...]]] = {
    "/v1/chat/completions": ("Sample replies to a conversation, as OpenAI does.", (ChatWanted,)),
    "/v1/completions": ("Sample continuations of prompts, as OpenAI does.", (TextWanted,)),
    "/generate": ("Sample as vLLM, SGLang or TRL do.", (VllmWanted, SglangWanted, TrlWanted)),
    "/generate/": ("The same.", (VllmWanted, SglangWanted, TrlWanted)),
}
_GETS: dict[str, tuple[str, dict[str, Any]]] = {
    "/health": ("The version of the weights.", {"status": "string", "version": "integer"}),
    "/v1/models": ("The one model.", {"object": "string", "data": "array"}),
}
_COMPLETION = {"id": "string", "object": "string", "created": "integer", "choices": "array", "usage": "object"}
_ERROR = {"application/json": {"schema": an_object({"error": "object"})}}


def engine_part() -> Part:
    """All routes of ``engine_routes``."""
    kinds = {kind for _, bodies in _POSTS.values() for kind in bodies}
    schemas: dict[str, Any] = {}
    for kind in kinds:
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= {**schema.pop("$defs", {}), kind.__name__: schema}
    paths = {path: {"get": _operation(text, an_object(fields))} for path, (text, fields) in _GETS.items()}
    for path, (text, bodies) in _POSTS.items():
        answer = an_object(_COMPLETION) if path.startswith("/v1") else {"type": ["object", "array"]}
        operation = _operation(text, answer)
        refs = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in bodies]
        body = refs[0] if len(refs) == 1 else {"anyOf": refs}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        for status, description in _REFUSALS.items():
            operation["responses"][status] = {"description": description, "content": _ERROR}
        paths[path] = {"post": operation}
    return Part(paths, schemas)


_REFUSALS = {
    "400": "The request cannot be served; the message says why.",
    "404": "There is no such model.",
    "408": "The body took too long.",
    "413": "The body is too large.",
    "415": "The Content-Encoding is not supported.",
}


def _operation(text: str, answer: dict[str, Any]) -> dict[str, Any]:
    done = {"description": "Done.", "content": {"application/json": {"schema": answer}}}
    return {"summary": text, "responses": guarded({"200": done})}
