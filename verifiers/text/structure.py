"""Verifier for answers that are one JSON value, valid under a schema."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..case import Case
from ..errors import ConfigError, DataError
from ..json_data.schema import check_schema, faults
from ..json_data.text import NotJson, read_json
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .instructions.wording import strip_fence
from .think import split_reasoning


@verifier("json_schema")
@dataclass(frozen=True)
class JsonSchema:
    """The answer is one JSON value that is valid under the schema, with no other text except a code fence.

    Attributes:
        schema: the JSON schema; by default ``task.info["schema"]``, else ``task.answer``, as an object or as text.
        fence: whether the value may be in a code fence.

    Example:
        {"verifier": "json_schema", "completion": "{\\"age\\": 4}", "answer":
         {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}} -> 1.0
        {"verifier": "json_schema", "completion": "Here it is: 4", "answer": {"type": "integer"}} -> 0.0
    """

    schema: Mapping[str, Any] | None = None
    fence: bool = True
    row_params: ClassVar[frozenset[str]] = frozenset({"schema", "fence"})

    def __post_init__(self) -> None:
        if self.schema is not None:
            try:
                check_schema(self.schema)
            except DataError as error:
                raise ConfigError(f"verifier 'json_schema': {error}") from None

    def check_expected(self, answer: Any, info: dict[str, Any]) -> None:
        """Raise ``DataError`` if the task has no schema that can be used."""
        self._schema(answer, info)

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong`` with the faults, ``unparseable`` if not JSON, or ``limit`` if too large."""
        try:
            schema = self._schema(case.answer, case.task.info)
        except DataError as error:
            return infra_error(str(error))
        _, text = split_reasoning(case.completion)
        try:
            value = read_json(strip_fence(text) if self.fence else text)
        except NotJson as error:
            return unparseable(f"the answer is not one JSON value: {error!s:.120}")
        try:
            found = faults(value, schema)
        except DataError as error:
            return infra_error(str(error))
        if not found:
            return passed("valid")
        reasons = [str(fault)[:200] for fault in found[:10]]
        if any(fault.kind == "limit" for fault in found):
            return Verdict(0.0, "limit", reasons[0], {"faults": reasons})
        return wrong(f"{len(found)} faults, the first: {reasons[0]:.160}", faults=reasons)

    def _schema(self, answer: Any, info: Mapping[str, Any]) -> Any:
        if self.schema is not None:
            return self.schema
        schema = info.get("schema", answer)
        if isinstance(schema, str):
            try:
                schema = read_json(schema)
            except NotJson as error:
                raise DataError(f"the task's schema is not JSON: {error}; repair the dataset") from None
        if not isinstance(schema, dict | bool):
            raise DataError(f"the task's schema is not an object, found {schema!r:.80}; repair the dataset")
        check_schema(schema)
        return schema
