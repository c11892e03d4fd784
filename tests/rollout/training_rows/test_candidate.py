"""Candidates: one for each agent, with the reason why no row can be made of it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lachesis.rollout.training_rows.candidate import Candidate
from lachesis.verifiers.message import Message
from lachesis.verifiers.reward import Reward
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.trajectory import Trajectory

Make = Callable[..., list[Candidate]]
Made = Callable[..., Trajectory]


def test_a_candidate_has_the_total_the_success_and_the_scores(candidates: Make, made: Made) -> None:
    (one,) = candidates(made("2+2", "4", 1.0, parts={"format": 0.5}))
    assert (one.problem, one.total, one.success, one.scores) == ("", 1.0, True, {"exact": 1.0, "format": 0.5})
    assert [(turn.reply, turn.length) for turn in one.turns] == [(False, 3), (True, 1)]
    (graded,) = candidates(made("2+2", "4", 0.3, graded=True))
    assert (graded.total, graded.success) == (0.3, None)


def test_what_no_row_can_be_made_of_says_why(candidates: Make, made: Made, segment: Callable[..., Segment]) -> None:
    given: Message = {"role": "assistant", "content": "an example", "given": True}
    picture: Message = {"role": "user", "content": "see", "images": ["data:image/png;base64,AA=="]}
    attempts = [
        made("q", "r", None),
        replace(made("q", "r", 1.0), rewards={}),
        replace(made("q", "r", 1.0), rewards={"policy": Reward()}),
        made("q", [given], 1.0),
        made("q", [picture, {"role": "assistant", "content": "r"}], 1.0),
    ]
    found = [one.problem for one in candidates(*attempts)]
    assert found == ["not scored", "not scored", "its agent has no reward", "no reply", "shows images"]
    untrained = segment([1, 2, 3], [2], [])
    assert [one.problem for one in candidates(made("q", "r", 1.0, segments=[untrained]), kind="tokens")] == [
        "no tokens to train"
    ]
    frozen = replace(segment([1, 2, 3], [2], [2]), trainable=False)
    assert candidates(made("q", "r", 1.0, segments=[frozen]), kind="tokens")[0].problem == "no tokens to train"


def test_each_agent_is_a_candidate_of_its_own(candidates: Make, made: Made) -> None:
    one = made("q", "r", 1.0)
    both = replace(
        one,
        messages={"seeker": one.messages["policy"], "guide": one.messages["policy"]},
        rewards={"seeker": one.rewards["policy"], "guide": made("q", "r", 0.0).rewards["policy"]},
    )
    assert [(found.asked.agent, found.total) for found in candidates(both)] == [("seeker", 1.0), ("guide", 0.0)]


@pytest.mark.parametrize(("key", "same"), [("arguments", True), ("error", True), ("name", False)])
def test_the_digest_counts_what_a_model_sees(candidates: Make, made: Made, key: str, same: bool) -> None:
    replies = [{"role": "tool", "content": "4"}, {"role": "assistant", "content": "4"}]
    marked = [{**replies[0], key: "x"}, replies[1]]
    one, other = candidates(made("q", replies, 1.0), made("q", marked, 1.0))
    assert (one.digest == other.digest) is same
