"""Verifier for instructions that a program can check, in the row formats of IFEval, IFBench and Tülu."""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ...case import Case
from ...errors import ConfigError, DataError, nearest
from ...registry import verifier
from ...verdict import Verdict, infra_error, passed, unparseable, wrong
from ..think import split_reasoning
from . import ifbench, ifbench_english, ifbench_format, ifbench_task, ifeval, ifeval_train, language  # noqa: F401 - they fill CONSTRAINTS
from .constraint import CONSTRAINTS, Constraint
from .tulu import FUNCTIONS

MODES = ("strict", "loose")
CREDITS = ("all", "share")
MAX_INSTRUCTIONS = 64
MAX_ROW = 100_000
"""Longest answer field, in characters, that is read as instructions."""


class Instruction(NamedTuple):
    """A kind of instruction with its parameters."""

    constraint: Constraint
    params: Mapping[str, Any]

    def followed(self, text: str) -> bool:
        """Return whether ``text`` follows the instruction; a blank text never does."""
        return bool(text.strip()) and self.constraint.check(text, **self.params)


@verifier("instruction")
@dataclass(frozen=True)
class InstructionFollowing:
    """The answer follows every instruction that the task lists.

    ``task.answer`` holds the instructions, as an object or as JSON text: ``{"instruction_id_list": […], "kwargs":
    […]}`` (IFEval, IFBench), ``{"func_name": …, …}`` (Tülu), or a list of these. ``instances`` names the kinds.

    Attributes:
        instruction_id_list: kinds to check instead of those in ``task.answer``.
        kwargs: parameters of each kind, in the same order.
        mode: ``strict``, or ``loose``: an instruction also counts as followed if it is followed after removing stars,
            the first line, the last line, or several of these.
        credit: ``all`` scores 1 or 0; ``share`` scores the share followed, with status ``wrong`` below 1.

    Example:
        {"verifier": "instruction", "completion": "no commas here", "answer":
         {"instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
          "kwargs": [{}, {"relation": "less than", "num_words": 5}]}} -> 1.0
        {"verifier": "instruction", "completion": "Hello, World", "answer": {"func_name": "validate_lowercase"}} -> 0.0
    """

    instruction_id_list: Sequence[str] = ()
    kwargs: Sequence[Mapping[str, Any]] = ()
    mode: str = "strict"
    credit: str = "all"
    instances: ClassVar[tuple[str, ...]] = tuple(sorted(CONSTRAINTS))
    row_params: ClassVar[frozenset[str]] = frozenset({"instruction_id_list", "kwargs", "mode", "credit"})

    def __post_init__(self) -> None:
        for name, known in (("mode", MODES), ("credit", CREDITS)):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(f"verifier 'instruction': unknown {name} {value!r}; {nearest(str(value), known)}")
        if self.instruction_id_list or self.kwargs:
            try:
                read_instructions({"instruction_id_list": self.instruction_id_list, "kwargs": self.kwargs})
            except DataError as error:
                raise ConfigError(f"verifier 'instruction': {error}") from None

    def check_expected(self, answer: Any, info: dict[str, Any]) -> None:
        """Raise ``DataError`` if an instruction is unknown or malformed, or needs a package that is missing."""
        if not self.instruction_id_list:
            read_instructions(answer)

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` if all are followed, else ``wrong`` with the credit, or ``unparseable`` for an empty answer."""
        own = {"instruction_id_list": self.instruction_id_list, "kwargs": self.kwargs}
        try:
            instructions = read_instructions(own if self.instruction_id_list else case.answer)
        except DataError as error:
            return infra_error(f"{error}; repair the dataset")
        _, text = split_reasoning(case.visible)
        if not text:
            return unparseable("the answer is empty")
        variants = loose_variants(text) if self.mode == "loose" else (text,)
        results = [any(map(instruction.followed, variants)) for instruction in instructions]
        evidence = [
            {"instruction": instruction.constraint.name, "followed": followed}
            for instruction, followed in zip(instructions, results, strict=True)
        ]
        if all(results):
            return passed(f"{len(results)} followed", instructions=evidence)
        broken = [entry["instruction"] for entry in evidence if not entry["followed"]]
        score = sum(results) / len(results) if self.credit == "share" else 0.0
        return wrong(f"not followed: {', '.join(map(str, broken)):.200}", score, instructions=evidence)


def loose_variants(text: str) -> tuple[str, ...]:
    """Return IFEval's eight variants: without first line, last line, both or neither, each with or without stars."""
    lines = text.split("\n")
    cuts = (text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])))
    return tuple(dict.fromkeys((*cuts, *(cut.replace("*", "") for cut in cuts))))


def read_instructions(row: Any) -> list[Instruction]:
    """Return the instructions that a task's answer lists.

    Raises:
        DataError: there are none or too many, or one is malformed.
    """
    found = [_instruction(name, params) for name, params in _named_params(_decode(row))]
    if not 0 < len(found) <= MAX_INSTRUCTIONS:
        raise DataError(f"a task lists 1 to {MAX_INSTRUCTIONS} instructions, found {len(found)}")
    return found


def _decode(row: Any) -> Any:
    """Return ``row``, decoded if it is text: JSON, or the Python literals that some datasets use."""
    if not isinstance(row, str):
        return row
    if len(row) > MAX_ROW:
        raise DataError(f"instructions have at most {MAX_ROW} characters, found {len(row)}")
    try:
        return json.loads(row)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(row.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise DataError(f"the task's instructions are neither JSON nor a Python literal: {row!r:.80}") from None


def _named_params(row: Any) -> list[tuple[Any, Any]]:
    """Return (name, parameters) of each instruction in ``row``."""
    if isinstance(row, list | tuple):
        return [pair for entry in row for pair in _named_params(entry)]
    if not isinstance(row, Mapping):
        raise DataError(f"instructions must be an object or a list of objects, found {row!r:.80}")
    if "func_name" in row:
        return [(row["func_name"], {name: value for name, value in row.items() if name != "func_name"})]
    names = row.get("instruction_id_list", row.get("instruction_id"))
    params = row.get("kwargs")
    names = [names] if isinstance(names, str) else names
    params = [params] if isinstance(params, Mapping) else params
    if not isinstance(names, list | tuple) or not isinstance(params, list | tuple | None) or not names:
        raise DataError(f"instructions need instruction_id_list and kwargs, or func_name, found {row!r:.80}")
    params = params or [{}] * len(names)
    if len(params) != len(names):
        raise DataError(f"{len(names)} instructions have {len(params)} kwargs; give each its own")
    return list(zip(names, params, strict=True))


def _instruction(name: Any, params: Any) -> Instruction:
    params = params or {}
    if not isinstance(name, str) or not isinstance(params, Mapping):
        raise DataError(f"an instruction must be a name with parameters, found {name!r:.80} with {params!r:.80}")
    if function := FUNCTIONS.get(name):
        known = CONSTRAINTS[function.constraint].params
        given = {function.renamed.get(key, key): value for key, value in params.items()}
        # Tülu's rows share one table of parameters: those of other functions are null or leftovers
        params = {key: value for key, value in given.items() if key in known} | dict(function.fixed)
        name = function.constraint
    if name not in CONSTRAINTS:
        raise DataError(f"there is no instruction {name!r}; {nearest(name, {*CONSTRAINTS, *FUNCTIONS})}")
    return Instruction(CONSTRAINTS[name], CONSTRAINTS[name].read(params))
