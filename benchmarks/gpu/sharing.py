"""Groups whose prompts are computed once, against the same samples without anything in common; and new shapes."""

from collections.abc import Iterator
from statistics import median

from lachesis.trainer.learner.local import LocalLearner

from ..update import samples, seconds, time_of
from .learners import open_learner, size_of, unshared
from .row import Mark, Row
from .sizes import Sizes

STEPS, SETTLED = 20, 10
"""Steps of a new process, and after how many of them everything has to be compiled."""


def rows(sizes: Sizes, model: str) -> Iterator[Row]:
    """First steps of new shapes, in a process that has compiled nothing yet; then groups with and without sharing."""
    learner = open_learner(sizes, model)
    yield first_steps(sizes, learner)
    batch = samples(**sizes.grouped, vocabulary=sizes.vocabulary)
    tokens, apart = size_of(batch), unshared(batch)
    shared, alone = seconds(
        lambda: learner.policy_step(batch, 1e-6), lambda: learner.policy_step(apart, 1e-6), rounds=sizes.rounds
    )
    prompt, reply = sizes.grouped["prompt"], sizes.grouped["reply"]
    name = f"trainer, groups of {sizes.grouped['attempts']}, prompts of {prompt}, replies of {reply}"
    yield Row(name, tokens / shared, "tokens/s", tokens / alone, "nothing shared", Mark("≥", 2.0, "ratio"))
    short = samples(**sizes.short, vocabulary=sizes.vocabulary)
    masked = open_learner(sizes, model, attention="masked")
    default, explicit = seconds(
        lambda: learner.policy_step(short, 1e-6), lambda: masked.policy_step(short, 1e-6), rounds=sizes.rounds
    )
    tokens = size_of(short)
    yield Row("trainer, short groups", tokens / default, "tokens/s", tokens / explicit, 'attention = "masked"')


def first_steps(sizes: Sizes, learner: LocalLearner) -> Row:
    """The slowest step after the tenth, beside the median; each step has other shapes."""
    taken = []
    for seed in range(STEPS):
        batch = samples(**sizes.changing, vocabulary=sizes.vocabulary, seed=seed)
        taken.append(time_of(lambda batch=batch: learner.policy_step(batch, 1e-6)))
    mark = Mark("≤", 3.0, "ratio")
    details = {"seconds of each step": [round(second, 4) for second in taken]}
    name = f"trainer, slowest step of {SETTLED + 1} to {STEPS}"
    return Row(name, max(taken[SETTLED:]), "s", median(taken), "median step", mark, details=details)
