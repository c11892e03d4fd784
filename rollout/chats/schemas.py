"""The tools of a conversation, whose text is made once although an agent sends them with every call."""

import hashlib
import json
import marshal
from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar

from ...verifiers.errors import DataError

_MOST_INTERNED, _MOST_WRITTEN = 64, 1 << 18
"""How many are kept for the life of the process, and the most bytes of each; what an agent sends may be longer."""


class Schemas(tuple[dict[str, Any], ...]):
    """JSON schemas of tools, which nobody changes."""

    _interned: ClassVar[OrderedDict[bytes, "Schemas"]] = OrderedDict()
    _latest: ClassVar[tuple[bytes, "Schemas"]]

    @classmethod
    def of(cls, tools: Iterable[dict[str, Any]]) -> "Schemas":
        """The tools, as they are if they are ``Schemas``."""
        return tools if isinstance(tools, cls) else cls(tools)

    @classmethod
    def interned(cls, tools: Iterable[dict[str, Any]]) -> "Schemas":
        """The same object for equal tools, if it is among the latest and not very long."""
        schemas = cls.of(tools)
        try:  # faster than JSON, and as strict: 1, 1.0 and true differ
            written = marshal.dumps(tuple(schemas), 2)
        except ValueError:  # too deep, or no JSON, which ``text`` reports
            return schemas
        last, latest = cls._latest
        if written == last:
            return latest
        if len(written) > _MOST_WRITTEN:
            return schemas
        known = cls._interned.setdefault(hashlib.blake2b(written, digest_size=16).digest(), schemas)
        cls._latest = written, known
        if len(cls._interned) > _MOST_INTERNED:
            cls._interned.popitem(last=False)
        return known

    @cached_property
    def text(self) -> str:
        """The tools as JSON.

        Raises:
            DataError: they are no JSON.
        """
        return self._json()

    @cached_property
    def digest(self) -> bytes:
        """A digest of ``text``; raises ``DataError``."""
        return hashlib.blake2b(self.text.encode(), digest_size=16).digest()

    @cached_property
    def sorted_digest(self) -> bytes:
        """A digest that does not depend on the order of keys; raises ``DataError``."""
        return hashlib.blake2b(self._json(sort_keys=True).encode(), digest_size=16).digest()

    @cached_property
    def first(self) -> "Schemas":
        """The first of the tools, or none."""
        return Schemas(self[:1])

    def _json(self, **options: Any) -> str:
        try:
            return json.dumps(list(self), **options)
        except (TypeError, ValueError) as error:
            raise DataError(f"tool schemas are JSON: {error}") from None


Schemas._latest = b"", Schemas()  # no tools are written so
