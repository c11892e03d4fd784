"""JSON schemas that constrain replies, in the form in which engines and endpoints take them."""

import json
from typing import Any

from ...verifiers.errors import DataError


def schema_text(schema: Any) -> str:
    """The text of a schema that is given as JSON or as text.

    Raises:
        DataError: it is neither.
    """
    try:
        value = json.loads(schema) if isinstance(schema, str) else schema
        if isinstance(value, dict):
            return json.dumps(value)
    except (TypeError, ValueError):
        pass
    raise DataError(f"a schema is a JSON object or its text, found {schema!r:.80}")
