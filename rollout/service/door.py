"""The door: what a group must satisfy beyond the types of its fields before it may enter the queue."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .wire import GIVEN, BadBody, ScoredData, refused


@dataclass(frozen=True)
class Door:
    """The bounds of one group."""

    max_sequences: int = 4096
    """Sequences in one group."""
    max_tokens: int = 1 << 20
    """Tokens in one sequence."""
    max_staleness: int | None = None
    """How many versions older than the current one the weights may be that sampled a group, if the group says so."""

    def check(self, group: ScoredData, *, longest: int = 0, version: int = 0) -> None:
        """Refuse a group that a trainer could not use.

        Args:
            group: with fields of the right types and finite numbers.
            longest: tokens that the trainer takes in a sequence; 0 if it has not said so.
            version: of the current weights.

        Raises:
            BadBody: with the field and its indexes.
        """
        _check_tokens(group.tokens, self.max_sequences, self.longest(longest))
        lengths = [len(row) for row in group.tokens]
        _same_length("scores", group.scores, len(lengths))
        _same_lengths("masks", group.masks, lengths)
        for index, (mask, tokens) in enumerate(zip(group.masks, group.tokens, strict=True)):
            _check_mask(mask, tokens, index)
        for name in ("advantages", "ref_logprobs", "inference_logprobs"):
            if rows := getattr(group, name):  # BaseEnv posts an empty list for none
                _same_lengths(name, rows, lengths)
        for name in ("messages", "overrides"):
            if part := getattr(group, name):
                _same_length(name, part, len(lengths))
        _check_messages(group.messages or [])
        _check_distillation(group, lengths)
        self._check_version(group, version)

    def longest(self, wanted: int) -> int:
        """Tokens that a sequence may have, if the trainer takes ``wanted``; 0 if it has not said so."""
        return min(wanted, self.max_tokens) if wanted > 0 else self.max_tokens

    def _check_version(self, group: ScoredData, current: int) -> None:
        version = (group.generation_params or {}).get("weights_version")
        if version is None:
            return
        place = ["generation_params", "weights_version"]
        if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version <= current:
            raise refused(place, f"{str(version)[:40]!r} is no version of the weights; they are at {current}")
        if self.max_staleness is not None and current - version > self.max_staleness:
            message = f"version {version} is {current - version} versions old, and {self.max_staleness} are allowed"
            raise refused(place, f"{message}; sample again with newer weights", "stale")


def _check_tokens(rows: Sequence[Sequence[int]], max_sequences: int, longest: int) -> None:
    if not 1 <= len(rows) <= max_sequences:
        raise refused(["tokens"], f"a group has 1 to {max_sequences} sequences, found {len(rows)}", "size")
    for index, row in enumerate(rows):
        if not 1 <= len(row) <= longest:
            raise refused(["tokens", index], f"a sequence has 1 to {longest} tokens, found {len(row)}", "size")


def _check_mask(mask: list[int], tokens: list[int], sequence: int) -> None:
    """Each entry is -100 or its token; a row of 0 and 1 alone is a mask of the older kind."""
    given = mask.count(GIVEN)
    if mask[:given].count(GIVEN) == given and mask[given:] == tokens[given:]:
        return  # one prompt and one reply, compared without a loop in Python
    wrong = [index for index, (m, t) in enumerate(zip(mask, tokens, strict=True)) if m not in (GIVEN, t)]
    if wrong and not all(entry in (0, 1) for entry in mask):
        found, token = mask[wrong[0]], tokens[wrong[0]]
        raise refused(["masks", sequence, wrong[0]], f"must be -100 or the token {token}, found {found}", "mask")


def _check_messages(conversations: Iterable[Iterable[dict[str, Any]]]) -> None:
    for sequence, messages in enumerate(conversations):
        for index, message in enumerate(messages):
            for key in ("role", "content"):
                if key not in message:
                    raise refused(["messages", sequence, index], "Message must have 'role' and 'content' fields")


def _check_distillation(group: ScoredData, lengths: Sequence[int]) -> None:
    ids, logprobs = group.distill_token_ids or None, group.distill_logprobs or None
    if (ids is None) != (logprobs is None):
        raise refused(
            ["distill_token_ids" if ids is None else "distill_logprobs"],
            "distill_token_ids and distill_logprobs come together; send both or neither",
        )
    if ids is None or logprobs is None:
        return
    _same_lengths("distill_token_ids", ids, lengths)
    _same_lengths("distill_logprobs", logprobs, lengths)
    for sequence, rows in enumerate(zip(ids, logprobs, strict=True)):
        for position, (some, others) in enumerate(zip(*rows, strict=True)):
            if len(some) != len(others):
                where: list[str | int] = ["distill_logprobs", sequence, position]
                raise refused(where, f"{len(others)} logprobs for {len(some)} token ids", "length")


def _same_length(name: str, part: Sequence[Any], sequences: int) -> None:
    if len(part) != sequences:
        raise refused([name], f"{len(part)} entries for {sequences} sequences", "length")


def _same_lengths(name: str, rows: Sequence[Sequence[Any]], lengths: Sequence[int]) -> None:
    _same_length(name, rows, len(lengths))
    for index, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        if len(row) != length:
            raise refused([name, index], f"{len(row)} entries for {length} tokens", "length")


def check_all(door: Door, groups: Sequence[ScoredData], many: bool, *, longest: int, version: int) -> None:
    """Check all groups of one body; the error of one in a list begins with its index.

    Raises:
        BadBody: one of them is refused.
    """
    for index, group in enumerate(groups):
        try:
            door.check(group, longest=longest, version=version)
        except BadBody as error:
            if not many:
                raise
            raise BadBody([{**one, "loc": ["body", index, *one["loc"][1:]]} for one in error.detail]) from None
