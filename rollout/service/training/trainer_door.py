"""The door of a service that a trainer hosts: refuses what the trainer cannot take, and finds what was sampled."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ....verifiers.errors import DataError
from ..door import Door
from ..engine.conversations import Conversations
from ..engine.exact_tokens import repaired
from ..wire import BadBody, ScoredData, refused
from .scored_data import CONTEXT, UNKNOWN, Arrival, Limits, group_of
from .source import STAMP, stamp

PER_TOKEN = ("advantages", "ref_logprobs", "distill_token_ids", "distill_logprobs")
"""Fields with a value for each posted token; where a group has any, its tokens cannot be replaced by others."""


@dataclass(frozen=True, kw_only=True)
class TrainerDoor(Door):
    """Checks a group against the trained model, and stamps it with the versions of the weights that sampled it.

    Attributes:
        limits: of the trained model.
        current: the version of the weights now.
        memory: what the engine sampled.
        refuse_unprovable: whether a group is refused if nobody knows how one of its sequences was sampled.
    """

    limits: Limits
    current: Callable[[], int]
    memory: Conversations
    refuse_unprovable: bool = False

    def check(self, group: ScoredData, *, longest: int = 0, version: int = 0) -> None:
        """Refuse a group that the trainer could not use; put what was sampled in place of what was posted.

        Raises:
            BadBody: with the field and its indexes.
        """
        now = self.current()
        super().check(group, longest=longest, version=now)
        data = msgspec.structs.asdict(group)
        try:
            group_of(data, Arrival(), limits=self.limits)
            versions = match(data, self.memory, refuse=self.refuse_unprovable)
        except DataError as error:
            raise bad_body(error) from None
        group.tokens, group.masks = data["tokens"], data["masks"]
        group.inference_logprobs, group.overrides = data["inference_logprobs"], data["overrides"]
        parameters = group.generation_params or {}
        known = stamp(int(parameters.get("weights_version", now)), versions)
        group.generation_params = {**parameters, STAMP: known}


def match(data: dict[str, Any], memory: Conversations, *, refuse: bool) -> list[list[int] | None]:
    """Put what was sampled in place of what was posted, where that can be proven.

    Args:
        data: a valid ScoredData with all keys; tokens, masks, logprobs and temperatures in it are replaced.
        memory: what was sampled.
        refuse: whether a sequence of which nobody knows how it was sampled is an error.

    Returns:
        for each sequence, the version that sampled each of its tokens; None where that is not known.

    Raises:
        DataError: there is such a sequence.
    """
    size = len(data["tokens"])
    logprobs: list[list[float] | None] = list(data["inference_logprobs"] or [None] * size)
    overrides: list[Mapping[str, Any]] = list(data["overrides"] or [{}] * size)
    fixed = any(data[name] for name in PER_TOKEN)
    versions: list[list[int] | None] = [None] * size
    for place, (tokens, mask) in enumerate(zip(data["tokens"], data["masks"], strict=True)):
        if all(value == CONTEXT for value in mask):
            continue
        repair = repaired(memory, tokens, mask, logprobs[place])
        if repair.outcome == "unprovable" or (fixed and repair.tokens.tolist() != tokens):
            if refuse:
                reason = repair.reason or "other ids were sampled, and the group has values for the posted ones"
                raise DataError(f"tokens[{place}]: {reason}; the environment refuses that (unprovable)")
            continue
        versions[place] = repair.versions.tolist()
        data["tokens"][place], data["masks"][place] = repair.tokens.tolist(), repair.wire_mask()
        logprobs[place] = repair.wire_logprobs()
        overrides[place] = {**overrides[place], "temperature": repair.temperature}
    if any(versions):
        data["overrides"] = overrides
        pairs = zip(logprobs, data["tokens"], strict=True)
        data["inference_logprobs"] = [given or [UNKNOWN] * len(tokens) for given, tokens in pairs]
    return versions


def bad_body(error: DataError) -> BadBody:
    """The refusal for an error whose message begins with a place such as ``tokens[1][2]:``."""
    place, _, message = str(error).partition(": ")
    if not re.fullmatch(r"\w+(\[\d+\])*(\.\w+)?", place):
        return refused([], str(error))
    return refused([int(part) if part.isdigit() else part for part in re.findall(r"\w+", place)], message)
