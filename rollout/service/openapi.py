"""The OpenAPI document of the trajectory service."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from .wire import EnvironmentIdentifier, EnvironmentRegistration, Registration, ScoredData

_BODIES: dict[str, Any] = {
    "/register": (Registration, "A trainer registers."),
    "/register-env": (EnvironmentRegistration, "An environment registers; it waits until the trainer has started."),
    "/disconnect-env": (EnvironmentIdentifier, "An environment leaves."),
    "/scored_data": (ScoredData, "Post a group; it is on the disk when the answer comes."),
    "/scored_data_list": (list[ScoredData], "Post several groups, all or none."),
}
_GETS = {
    "/": "Tells that the service is there.",
    "/wandb_info": "The trainer's group and project.",
    "/info": "Batch size and longest sequence of the trainer.",
    "/batch": "Acknowledge the last batch and get the next one with the numbers of its groups, or null.",
    "/status": "The trainer's step and the groups in the queue.",
    "/latest_example": "The group that came last.",
    "/reset_data": "Forget the trainer, the environments and all groups.",
    "/quarantine": "The bodies that were refused last, and why.",
    "/metrics": "Figures as Prometheus text.",
    "/openapi.json": "This document.",
}
_ANSWERS: dict[str, dict[str, Any]] = {
    "/": {"message": "string"},
    "/register": {"uuid": "integer"},
    "/register-env": {"status": "string"},
    "/disconnect-env": {"status": "string"},
    "/scored_data": {"status": "string"},
    "/scored_data_list": {"status": "string"},
    "/wandb_info": {"group": ["string", "null"], "project": ["string", "null"]},
    "/info": {"batch_size": "integer", "max_token_len": "integer"},
    "/batch": {"batch": ["array", "null"]},
    "/status": {"current_step": "integer", "queue_size": "integer"},
    "/latest_example": {"tokens": "array", "masks": "array", "scores": "array"},
    "/quarantine": {"refused": "array"},
    "/openapi.json": {"openapi": "string", "paths": "object"},
}
"""Fields that a route's answer always has, and their types."""
_TEXT = {"/reset_data", "/metrics"}


class Part(NamedTuple):
    """A part of an OpenAPI document."""

    paths: dict[str, Any]
    schemas: dict[str, Any]


def document(*more: Part) -> dict[str, Any]:
    """The document, in OpenAPI 3.1, with the routes in ``more``.

    ``GET /status-env`` takes a JSON body, which OpenAPI does not define for GET, so it is only described.
    """
    records = {body for body, _ in _BODIES.values() if isinstance(body, type) and body is not list}
    _, schemas = msgspec.json.schema_components(list(records), ref_template="#/components/schemas/{name}")
    paths = {path: {"get": _operation(text, path)} for path, text in _GETS.items()}
    for path, (body, text) in _BODIES.items():
        (schema,), _ = msgspec.json.schema_components([body], ref_template="#/components/schemas/{name}")
        paths[path] = {"post": _operation(text, path, schema)}
    paths["/batch"]["get"]["parameters"] = [
        {
            "name": "trainer",
            "in": "query",
            "schema": {"type": "string"},
            "description": "The uuid of /register, or any name; it tells trainers at one address apart.",
        }
    ]
    hosted = {"description": "A trainer hosts the service, and trains what it has acknowledged.", "content": PROBLEM}
    paths["/reset_data"]["get"]["responses"]["422"] = hosted
    for part in more:
        paths |= part.paths
        schemas |= part.schemas
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lachesis trajectory service",
            "version": "1",
            "description": 'The Atropos wire. Not listed: GET /status-env with the JSON body {"env_id": 0}.',
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def an_object(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object that has these fields, by type, and perhaps others."""
    return {
        "type": "object",
        "required": list(fields),
        "properties": {name: {"type": kind} for name, kind in fields.items()},
    }


PROBLEM = {"application/json": {"schema": {"type": "object", "required": ["detail"]}}}
"""The body of an answer to a request that was refused."""


def guarded(responses: Mapping[str, Any]) -> dict[str, Any]:
    """Responses of a route, with those that any request may get before it comes to its route."""
    return {
        **responses,
        "401": {"description": "The token is missing or wrong.", "content": PROBLEM},
        "403": {"description": "A web page asks, and the service has no token.", "content": PROBLEM},
        "503": {"description": "Full, or busy: try again after Retry-After.", "content": {"application/json": {}}},
    }


def _operation(text: str, path: str, body: Any = None) -> dict[str, Any]:
    kind = "text/plain" if path in _TEXT else "application/json"
    schema = an_object(_ANSWERS[path]) if path in _ANSWERS else {"type": "string"}
    operation: dict[str, Any] = {
        "summary": text,
        "responses": guarded({"200": {"description": "Done.", "content": {kind: {"schema": schema}}}}),
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        operation["responses"] |= {
            "400": {"description": "The gzip is not valid.", "content": {"text/plain": {"schema": {}}}},
            "408": {"description": "The body took too long.", "content": PROBLEM},
            "413": {"description": "The body is too large.", "content": PROBLEM},
            "415": {"description": "The Content-Encoding is not supported.", "content": PROBLEM},
            "422": {"description": "Refused, with field and index.", "content": PROBLEM},
        }
    return operation
