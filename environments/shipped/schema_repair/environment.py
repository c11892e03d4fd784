"""Broken JSON objects that must be made valid under a schema with as few changes as possible."""

import hashlib
import json
from collections.abc import Iterator
from random import Random
from typing import Annotated, Literal

from pydantic import Field

from ....verifiers.json_data.schema import faults
from ....verifiers.json_data.text import NotJson, read_json
from ....verifiers.rubric import Rubric, use
from ....verifiers.task import Task
from ...environment import Environment, EnvironmentConfig, Split
from ..leveled_tasks import leveled_tasks
from .damage import Damaged, damaged
from .record import Record, as_pydantic, draw_record

LEVELS = 8
_HELD_OUT = 8
"""One task in this many is held out and never trained on."""
_TASK = (
    "This object should be valid under the schema, but is broken. Repair it. Change only what must be changed: keep "
    "every other key and value, and if a value was lost, choose any that is valid. Reply with the repaired object as "
    "JSON, and nothing else."
)


class SchemaRepair(Environment):
    """A JSON object with wrong types, missing or unknown keys, broken limits or broken syntax, and its schema.

    An attempt is a success if the repaired object is valid and changes nothing that was right (``json_repair``).
    """

    class Config(EnvironmentConfig):
        """How hard the repairs are, and what the prompt shows."""

        difficulty: list[Annotated[int, Field(ge=1, le=LEVELS)]] = Field(list(range(1, LEVELS + 1)), min_length=1)
        """Levels from 1 to 8, each drawn as often as it is listed; more fields, more and deeper damage."""
        shown_as: Literal["schema", "pydantic", "both"] = "both"
        """Whether prompts show a JSON schema or Pydantic models; with ``both``, each half of the time."""
        show_faults: bool = True
        """Whether prompts show what a validator says about the broken object."""
        test_tasks: int = Field(8, ge=1)
        """Held-out tasks of each level."""

    rubric = Rubric(use("json_repair"), use("format", weight=0.0, required=False), success="json_repair")

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The test split is finite and the same for every seed; the training split never ends and excludes it."""
        levels, tests = self.config.difficulty, self.config.test_tasks
        return leveled_tasks("schema_repair", self._drawn, levels, split=split, seed=seed, test_tasks=tests)

    def demonstration(self, task: Task) -> str:
        """The intact object."""
        return json.dumps(task.answer)

    def _drawn(self, level: int, rng: Random, held_out: bool) -> Task:
        while True:
            record = draw_record(rng, fields=3 + level // 2, depth=(level >= 3) + (level >= 6))
            digest = hashlib.blake2b(json.dumps([record.schema, record.value]).encode(), digest_size=2).digest()
            if (digest[0] % _HELD_OUT == 0) != held_out:
                continue
            syntax = rng.randint(0, 1) + (level >= 7)
            broken = damaged(record, rng, values=(level + 2) // 2 - (level < 3 and syntax), syntax=syntax)
            if broken.damages:
                return self._task(level, record, broken, rng)

    def _task(self, level: int, record: Record, broken: Damaged, rng: Random) -> Task:
        shown = self.config.shown_as
        shown = rng.choice(("schema", "pydantic")) if shown == "both" else shown
        text = json.dumps(record.schema, indent=2) if shown == "schema" else as_pydantic(record)
        fence = "json" if shown == "schema" else "python"
        parts = [_TASK, f"Schema of {record.title}:\n```{fence}\n{text}\n```", f"Object:\n```\n{broken.text}\n```"]
        if self.config.show_faults:
            parts.append("Faults:\n" + "\n".join(f"- {fault}" for fault in _described(broken.text, record)))
        info = {"schema": record.schema, "free": [list(place) for place in broken.free], "damages": broken.damages}
        return Task("\n\n".join(parts), answer=record.value, info=info | {"difficulty": level})


def _described(text: str, record: Record) -> list[str]:
    """What a validator says about the text: why it is not JSON, or what is not valid in it."""
    try:
        value = read_json(text)
    except NotJson as error:
        return [f"this is not JSON: {error}"]
    return [str(fault) for fault in faults(value, record.schema)[:10]]
