"""Questions about a database, each with the query that answers it."""

import random
from typing import NamedTuple

from .database import Domain


class Question(NamedTuple):
    """A question and a query that answers it."""

    text: str
    query: str
    ordered: bool = False
    """Whether the order of the rows counts."""


def draw_question(domain: Domain, rng: random.Random) -> Question:
    """A question of one of the kinds below, about values that occur in the domain."""
    return rng.choice(_KINDS)(domain, rng)


def _count(d: Domain, rng: random.Random) -> Question:
    kind, least = rng.choice(d.kinds), rng.randint(10, 60)
    return Question(
        f"How many {d.things} have {d.kind} '{kind}' and {d.amount} of at least {least}?",
        f"SELECT count(*) FROM {d.things} WHERE {d.kind} = '{kind}' AND {d.amount} >= {least}",
    )


def _sum_of_place(d: Domain, rng: random.Random) -> Question:
    place = rng.choice(d.places)
    return Question(
        f"What is the sum of {d.amount} over all {d.things} of {d.owners} with {d.place} '{place}'? "
        "0 if there are none.",
        f"SELECT coalesce(sum({d.amount}), 0) FROM {d.things} JOIN {d.owners} ON {d.owners}.id = {d.owner}_id "
        f"WHERE {d.place} = '{place}'",
    )


def _without(d: Domain, rng: random.Random) -> Question:
    kind = rng.choice(d.kinds)
    return Question(
        f"Which {d.owners} have none of the {d.things} with {d.kind} '{kind}'? Give their names.",
        f"SELECT name FROM {d.owners} WHERE id NOT IN (SELECT {d.owner}_id FROM {d.things} WHERE {d.kind} = '{kind}')",
    )


def _by_kind(d: Domain, rng: random.Random) -> Question:
    return Question(
        f"For each {d.kind} among the {d.things}: how many there are. Give {d.kind} and number.",
        f"SELECT {d.kind}, count(*) FROM {d.things} GROUP BY {d.kind}",
    )


def _highest(d: Domain, rng: random.Random) -> Question:
    count = rng.randint(2, 4)
    return Question(
        f"Which {count} {d.things} have the highest {d.amount}? Give id and {d.amount}, the highest first, "
        "and the lower id first where they are equal.",
        f"SELECT id, {d.amount} FROM {d.things} ORDER BY {d.amount} DESC, id LIMIT {count}",
        ordered=True,
    )


def _more_than(d: Domain, rng: random.Random) -> Question:
    count = rng.randint(1, 3)
    return Question(
        f"Which {d.owners} have more than {count} {d.things}? Give name and number of {d.things}.",
        f"SELECT name, count(*) FROM {d.owners} JOIN {d.things} ON {d.owners}.id = {d.owner}_id "
        f"GROUP BY {d.owners}.id HAVING count(*) > {count}",
    )


_KINDS = (_count, _sum_of_place, _without, _by_kind, _highest, _more_than)
