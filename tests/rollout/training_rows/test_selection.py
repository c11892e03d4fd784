"""The selection: each rule with its reason, ties drawn by the seed, and no dependence on the order of candidates."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from lachesis.rollout.training_rows.candidate import Candidate
from lachesis.rollout.training_rows.selection import Selection, select
from lachesis.verifiers.trajectory import StopReason, Trajectory

Make = Callable[..., list[Candidate]]
Made = Callable[..., Trajectory]


def attempts(found: list[Candidate]) -> list[int]:
    return [one.place.attempt for one in found]


@pytest.mark.parametrize(
    ("selection", "left", "reason"),
    [
        (Selection(success=True), [0], "not a success"),
        (Selection(least=0.5), [0, 1], "reward below --least"),
        (Selection(components={"format": 1.0}), [1], "component format below its minimum"),
        (Selection(components={"absent": 0.0}), [], "component absent below its minimum"),
        (Selection(finished=True), [0, 1], "ended by a limit"),
        (Selection(agents=("other",)), [], "another agent"),
        (Selection(per_task=2), [0, 1], "more than --per-task"),
    ],
)
def test_each_rule_leaves_out_with_its_reason(
    candidates: Make, made: Made, selection: Selection, left: list[int], reason: str
) -> None:
    found, reasons = select(
        candidates(
            made("q", "first", 1.0),
            made("q", "second", 0.5, parts={"format": 1.0}),
            made("q", "third", 0.0, stop=StopReason.LENGTH),
        ),
        selection,
    )
    assert attempts(found) == left
    assert reasons == Counter({reason: 3 - len(left)})


def test_a_least_reward_that_rounding_missed_still_counts(candidates: Make, made: Made) -> None:
    found, _ = select(candidates(made("q", "r", 0.1 + 0.2 - 1e-12)), Selection(least=0.3))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("rate", "left", "reasons"),
    [
        ((0.1, 0.9), {"half"}, {"task too easy": 2, "task too hard": 2}),
        ((0.0, 0.5), {"half", "never"}, {"task too easy": 2}),
        ((1.0, 1.0), {"always"}, {"task too hard": 4}),
    ],
)
def test_tasks_are_left_out_by_their_pass_rate(
    candidates: Make, made: Made, rate: tuple[float, float], left: set[str], reasons: dict[str, int]
) -> None:
    scores = {"always": (1.0, 1.0), "half": (1.0, 0.0), "never": (0.0, 0.0)}
    both = [made(task, f"{task} {n}", score) for task, given in scores.items() for n, score in enumerate(given)]
    found, why = select(candidates(*both), Selection(pass_rate=rate))
    hashes = {made(task, "", 0.0).task.hash for task in left}
    assert {one.asked.task for one in found} == hashes
    assert why == Counter(reasons)


def test_a_pass_rate_needs_a_success(candidates: Make, made: Made) -> None:
    one = candidates(made("q", "r", 0.3, graded=True))
    assert select(one, Selection(pass_rate=(0, 1)))[1] == {"success is not defined": 1}
    assert select(one, Selection(success=True))[1] == {"success is not defined": 1}


SENTENCE = "The sum of the two numbers is found digit by digit, from the right to the left, with a carry. "


def test_duplicates_are_left_out_and_the_best_of_them_stays(candidates: Make, made: Made) -> None:
    texts = [SENTENCE + "It is 4.", SENTENCE + "It is 4!", "An entirely different way to say that: four.", SENTENCE]
    given = candidates(*(made("q", text, score) for text, score in zip(texts, (0.2, 1.0, 0.5, 0.1), strict=True)))
    same = candidates(made("q", texts[0], 0.2), made("q", texts[0], 0.2))
    assert attempts(select(given, Selection(deduplicate="near"))[0]) == [1, 2]
    assert select(given, Selection(deduplicate="near"))[1] == {"near duplicate": 2}
    assert len(select(given, Selection(deduplicate="near", similarity=1.0))[0]) == 4
    assert select(same, Selection())[1] == {"exact duplicate": 1}
    assert len(select(same, Selection(deduplicate="none"))[0]) == 2


def test_equal_conversations_of_two_environments_are_duplicates(candidates: Make, made: Made) -> None:
    both = candidates(made("q", "r", 1.0), made("q", "r", 1.0, environment="other"))
    assert select(both, Selection())[1] == {"exact duplicate": 1}


def test_diverse_takes_the_best_and_then_those_that_are_least_alike(candidates: Make, made: Made) -> None:
    other = "Counting on fingers gives the same result, which a friend has confirmed over the telephone today."
    given = candidates(
        made("q", SENTENCE + "It is 4.", 1.0), made("q", SENTENCE + "It is 4, so.", 0.9), made("q", other, 0.1)
    )
    assert attempts(select(given, Selection(choose="diverse", per_task=2))[0]) == [0, 2]
    assert attempts(select(given, Selection(choose="diverse", per_task=3))[0]) == [0, 2, 1]
    assert attempts(select(given, Selection(choose="best", per_task=2))[0]) == [0, 1]


@pytest.mark.parametrize("choose", ["best", "diverse", "random"])
def test_the_choice_depends_on_the_seed_and_not_on_the_order(candidates: Make, made: Made, choose: str) -> None:
    given = candidates(*(made(f"task {task}", f"reply {n}", 1.0) for task in range(5) for n in range(6)))
    picks = []
    for seed in (0, 0, 1):
        random.Random(len(picks)).shuffle(given)
        found, _ = select(given, Selection(choose=choose, per_task=1, seed=seed))  # type: ignore[arg-type]
        picks.append([one.place for one in found])
    assert picks[0] == picks[1] != picks[2]


def test_texts_are_compared_only_if_they_were_sketched(candidates: Make, made: Made) -> None:
    assert Selection(deduplicate="near").compares_texts
    assert not Selection().compares_texts
    with pytest.raises(ValueError, match="no sketches"):
        select(
            candidates(made("q", "a", 1.0), made("q", "b", 1.0), sketched=False),
            Selection(choose="diverse", per_task=1),
        )
