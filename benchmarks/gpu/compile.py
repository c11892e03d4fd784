"""The trainer with ``trainer.compile``, against the same trainer without; not among the parts that run by default."""

from collections.abc import Iterator

from ..update import samples, seconds, time_of
from .learners import open_learner, size_of, unshared
from .row import Row
from .sizes import Sizes


def rows(sizes: Sizes, model: str) -> Iterator[Row]:
    """The first step, in which the layers are compiled, then both by turns."""
    batch = unshared(samples(**sizes.plain, vocabulary=sizes.vocabulary))
    plain, compiled = (open_learner(sizes, model, compile=chosen) for chosen in (False, True))
    usual = time_of(lambda: plain.policy_step(batch, 1e-6))
    first = time_of(lambda: compiled.policy_step(batch, 1e-6))
    yield Row("trainer, compiled, first step", first, "s", usual, "not compiled")
    ours, beside = seconds(
        lambda: compiled.policy_step(batch, 1e-6), lambda: plain.policy_step(batch, 1e-6), rounds=sizes.rounds
    )
    tokens = size_of(batch)
    yield Row("trainer, compiled, plain rows", tokens / ours, "tokens/s", tokens / beside, "not compiled")
