"""The page of a trajectory: its tokens as columns, and which segments branch off which."""

import json
from collections.abc import Callable

import numpy as np

from lachesis.commands.sources.row import decode_line, row_of
from lachesis.commands.sources.trajectory_page import branches, trajectory_page
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.trajectory import Trajectory


def segment(*tokens: int, agent: str = "policy") -> Segment:
    size = len(tokens)
    none = np.zeros(size, bool)
    return Segment(np.array(tokens), none, none, np.full(size, np.nan, np.float32), np.full(size, -1), agent=agent)


def test_a_segment_branches_off_the_one_that_it_shares_most_with() -> None:
    found = branches(
        [segment(1, 2, 3), segment(1, 2, 9), segment(1, 2, 9, 4), segment(7, 7), segment(1, 2, 9, 5, agent="other")]
    )
    assert found == [None, (0, 2), (1, 3), None, None]


def test_tokens_are_columns_with_null_for_what_does_not_exist(make: Callable[..., Trajectory]) -> None:
    text = json.dumps({"step": 4, "group": 3, "attempt": 1, **make("q", "a" * 9000, 0.0).to_json()}).encode()
    row = row_of(decode_line(text), 0)
    page = trajectory_page(row, text, lambda ids: [f"<{number}>" for number in ids])
    (tokens,) = page["segments"]
    assert tokens["ids"] == [1, 2, 3, 4, 5, 6]
    assert tokens["texts"][0] == "<1>"
    assert tokens["sampler"] == [None, None, None, -0.5, -0.5, -0.5]
    assert tokens["versions"] == [None, None, None, 2, 2, 2]
    assert tokens["trained"] == [False] * 4 + [True] * 2
    assert tokens["trainer"] is tokens["advantages"] is tokens["forced"] is None
    assert (page["step"], page["group"], page["attempt"]) == (4, 3, 1)
    assert page["rewards"]["policy"]["total"] == 0.0
    assert page["rewards"]["policy"]["parts"][0]["evidence"] == {"found": "a" * 20}
    assert len(row.reply) == 140
