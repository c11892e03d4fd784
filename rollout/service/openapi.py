"""The OpenAPI document of the trajectory service."""

from functools import cache
from typing import Any

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
    "/batch": "Acknowledge the last batch and get the next one, or null.",
    "/status": "The trainer's step and the groups in the queue.",
    "/latest_example": "The group that came last.",
    "/reset_data": "Forget the trainer, the environments and all groups.",
    "/quarantine": "The bodies that were refused last, and why.",
    "/metrics": "Figures as Prometheus text.",
    "/openapi.json": "This document.",
}
_TEXT = {"/reset_data", "/metrics"}
_PROBLEM = {"application/json": {"schema": {"type": "object", "required": ["detail"]}}}


@cache
def document() -> dict[str, Any]:
    """The document, in OpenAPI 3.1.

    ``GET /status-env`` takes a JSON body, which OpenAPI does not define for GET, so it is only described.
    """
    records = {body for body, _ in _BODIES.values() if isinstance(body, type) and body is not list}
    _, schemas = msgspec.json.schema_components(list(records), ref_template="#/components/schemas/{name}")
    paths: dict[str, Any] = {path: {"get": _operation(text, path)} for path, text in _GETS.items()}
    for path, (body, text) in _BODIES.items():
        (schema,), _ = msgspec.json.schema_components([body], ref_template="#/components/schemas/{name}")
        paths[path] = {"post": _operation(text, path, schema)}
    paths["/batch"]["get"]["parameters"] = [
        {
            "name": "trainer",
            "in": "query",
            "schema": {"type": "string"},
            "description": "The uuid of /register, to tell trainers at one address apart.",
        }
    ]
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


def _operation(text: str, path: str, body: Any = None) -> dict[str, Any]:
    kind = "text/plain" if path in _TEXT else "application/json"
    operation: dict[str, Any] = {
        "summary": text,
        "responses": {
            "200": {"description": "Done.", "content": {kind: {"schema": {}}}},
            "401": {"description": "The token is missing or wrong.", "content": _PROBLEM},
            "503": {"description": "Full, or busy: try again after Retry-After.", "content": _PROBLEM},
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        operation["responses"] |= {
            "400": {"description": "The gzip is not valid.", "content": {"text/plain": {"schema": {}}}},
            "408": {"description": "The body took too long.", "content": _PROBLEM},
            "413": {"description": "The body is too large.", "content": _PROBLEM},
            "422": {"description": "Refused, with field and index.", "content": _PROBLEM},
        }
    return operation
