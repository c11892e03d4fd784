"""Several environments by share, minimum shares of what teaches, curricula, and going on from the same place."""

import itertools
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.environments.environment import Environment, Split
from lachesis.environments.shipped.arithmetic import Arithmetic
from lachesis.rollout.orders import Failure, Outcome, Passed
from lachesis.rollout.tasks.curriculum import CurriculumConfig
from lachesis.rollout.tasks.mixture import Draw, Mixture, Portion
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.group import Group
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


class Finite(Environment):
    """Three tasks in an order that the seed decides."""

    def tasks(self, split: Split, seed: int) -> list[Task]:
        return [Task(f"{seed}: {n}") for n in range(3)]


class Empty(Environment):
    """No task at all."""

    def tasks(self, split: Split, seed: int) -> list[Task]:
        return []


class Graded(Environment):
    """Nine tasks of three difficulties, of which the hard ones are rare."""

    def tasks(self, split: Split, seed: int) -> list[Task]:
        grades = ["easy"] * 5 + ["medium"] * 3 + ["hard"]
        return [Task(f"{seed}: {n}", info={"difficulty": grade}) for n, grade in enumerate(grades)]


def mixture(*environments: Environment, seed: int = 0, **portion: Any) -> Mixture:
    return Mixture(environments, [Portion(**portion)] * len(environments), "train", seed)


def group(task: Task, *scores: float) -> Group:
    rewards = [Reward((Component("exact", 1.0, Verdict(score)),)) for score in scores]
    return Group(0, task, tuple(Trajectory(task, rewards={"policy": reward}) for reward in rewards))


def run(mixed: Mixture, steps: int, outcome: Callable[[Draw], Outcome], batch: int = 8) -> list[Draw]:
    """Draw ``batch`` at a time, and tell what became of them."""
    drawn: list[Draw] = []
    for _ in range(steps):
        draws = list(itertools.islice(mixed, batch))
        for draw in draws:
            mixed.learn(outcome(draw))
        drawn += draws
    return drawn


def test_shares_hold_at_every_length() -> None:
    portions = [Portion(3.0, 8), Portion(1.0, 4)]
    mixed = Mixture([Arithmetic(), Arithmetic(digits=3)], portions, "train", seed=0)
    draws = list(itertools.islice(mixed, 400))
    assert {(draw.environment, draw.size) for draw in draws} == {(0, 8), (1, 4)}
    drawn = [draw.environment for draw in draws]
    for length in range(1, 400):
        assert abs(Counter(drawn[:length])[0] - 0.75 * length) <= 1


def test_the_same_seed_gives_the_same_sequence_and_another_seed_another() -> None:
    def sequence(seed: int) -> list[str]:
        return [draw.task.hash for draw in itertools.islice(mixture(Arithmetic(), seed=seed), 20)]

    assert sequence(1) == sequence(1)
    assert sequence(1) != sequence(2)


def test_a_finite_environment_starts_anew_with_the_next_seed() -> None:
    prompts = [draw.task.prompt for draw in itertools.islice(mixture(Finite(), seed=5), 5)]
    assert prompts == ["5: 0", "5: 1", "5: 2", "6: 0", "6: 1"]


def test_an_environment_without_tasks_is_an_error_and_not_a_hang() -> None:
    with pytest.raises(ConfigError, match="no tasks"):
        next(mixture(Empty()))


def test_an_environment_whose_groups_rarely_teach_gets_its_least_share_of_those_that_do() -> None:
    """Of the second's groups every fourth has variance: at equal weights it would have a fifth of what teaches."""
    counts = itertools.count()

    def outcome(draw: Draw) -> Outcome:
        teaches = draw.environment == 0 or next(counts) % 4 == 0
        return group(draw.task, 1.0, 0.0 if teaches else 1.0)

    def useful_share(min_share: float) -> float:
        nonlocal counts
        counts = itertools.count()
        mixed = Mixture([Finite(), Finite()], [Portion(), Portion(min_share=min_share)], "train", 0)
        run(mixed, 60, outcome)
        useful = mixed._useful
        return useful[1] / sum(useful)

    assert useful_share(0.0) == pytest.approx(0.2, abs=0.05)
    assert useful_share(0.3) == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("outcome", [lambda draw: group(draw.task, 1.0, 1.0), lambda draw: Failure(0, "told to")])
def test_what_never_teaches_does_not_starve_the_others(outcome: Callable[[Draw], Outcome]) -> None:
    mixed = Mixture([Finite(), Finite()], [Portion(9.0), Portion(1.0, min_share=0.9)], "train", 0)
    drawn = run(mixed, 50, lambda draw: outcome(draw) if draw.environment else group(draw.task, 1.0, 0.0))
    share = Counter(draw.environment for draw in drawn)[0] / len(drawn)
    assert share > 0.4


@given(st.lists(st.sampled_from(["draw", "teaches", "teaches not", "fails", "nothing"]), max_size=120))
def test_counting_once_for_several_draws_changes_none_of_them(events: list[str]) -> None:
    portions = [Portion(2.0, min_share=0.4), Portion(1.0, min_share=0.3), Portion(0.7)]
    kept, counted = (Mixture([Finite() for _ in portions], portions, "train", 0) for _ in range(2))
    pending: list[Draw] = []
    for event in events:
        if event == "draw" or not pending:
            counted._expected = None  # all that is pending is counted again
            pending.append(next(kept))
            assert next(counted) == pending[-1]
            continue
        task = pending.pop(0).task
        outcome: Outcome | Passed = group(task, 1.0, 0.0 if event == "teaches" else 1.0)
        outcome = Failure(0, "told to") if event == "fails" else Passed(0) if event == "nothing" else outcome
        kept.learn(outcome)
        counted.learn(outcome)


CURRICULUM = CurriculumConfig(bands=["easy", "medium", "hard"], rest=0.1, memory=0.5)


def taught(rates: dict[str, float]) -> Callable[[Draw], Outcome]:
    """A group of ten in which this share passes, by difficulty."""

    def outcome(draw: Draw) -> Outcome:
        passing = round(10 * rates[draw.task.info["difficulty"]])
        return group(draw.task, *[1.0] * passing, *[0.0] * (10 - passing))

    return outcome


def shares(drawn: list[Draw]) -> dict[str, float]:
    counted = Counter(draw.task.info["difficulty"] for draw in drawn)
    return {name: counted[name] / len(drawn) for name in ("easy", "medium", "hard")}


@pytest.mark.parametrize(
    ("rates", "practised"),
    [
        ({"easy": 0.5, "medium": 0.1, "hard": 0.0}, {"easy"}),
        ({"easy": 1.0, "medium": 0.5, "hard": 0.0}, {"medium"}),
        ({"easy": 1.0, "medium": 0.7, "hard": 0.3}, {"medium", "hard"}),
        ({"easy": 1.0, "medium": 0.9, "hard": 0.1}, {"medium", "hard"}),  # none is in between: the edge
        ({"easy": 1.0, "medium": 1.0, "hard": 1.0}, {"hard"}),
        ({"easy": 0.0, "medium": 0.0, "hard": 0.0}, {"easy"}),
    ],
)
def test_what_is_neither_too_easy_nor_too_hard_is_practised(rates: dict[str, float], practised: set[str]) -> None:
    mixed = mixture(Graded(), curriculum=CURRICULUM)
    run(mixed, 3, taught(rates))
    found = shares(run(mixed, 30, taught(rates)))
    weights = {name: 1.0 if name in practised else 0.1 for name in found}
    assert found == pytest.approx({name: weight / sum(weights.values()) for name, weight in weights.items()}, abs=0.02)


def test_the_pass_rate_of_each_band_and_its_share_are_logged() -> None:
    mixed = mixture(Graded(), curriculum=CURRICULUM)
    run(mixed, 3, taught({"easy": 1.0, "medium": 0.5, "hard": 0.0}))
    assert mixed.metrics() == pytest.approx(
        {
            "curriculum/Graded/easy/share": 0.1 / 1.2,
            "curriculum/Graded/easy/pass_rate": 1.0,
            "curriculum/Graded/medium/share": 1 / 1.2,
            "curriculum/Graded/medium/pass_rate": 0.5,
            "curriculum/Graded/hard/share": 0.1 / 1.2,
            "curriculum/Graded/hard/pass_rate": 0.0,
        }
    )


def test_a_band_that_never_comes_is_not_searched_for_without_end(caplog: pytest.LogCaptureFixture) -> None:
    mixed = mixture(Graded(), curriculum=CurriculumConfig(bands=["easy", "medium", "hard", "absurd"]))
    found = run(mixed, 4, taught({"easy": 0.5, "medium": 0.5, "hard": 0.5}))
    assert len(found) == 32
    assert caplog.text.count("none of 2000 tasks is of difficulty absurd") == 1


def test_numbers_are_sorted_into_bands_by_their_upper_edges() -> None:
    environment = Arithmetic(digits=3, least_digits=1)
    mixed = mixture(environment, curriculum=CurriculumConfig(bands=[1.0, 3.0]))
    drawn = list(itertools.islice(mixed, 40))
    assert Counter(draw.band for draw in drawn) == {0: 20, 1: 20}
    assert {draw.task.info["difficulty"] for draw in drawn if draw.band == 0} == {1}
    assert {draw.task.info["difficulty"] for draw in drawn if draw.band == 1} == {2, 3}


@pytest.mark.parametrize(
    ("environment", "config", "message"),
    [
        (
            Finite(),
            {"bands": [1.0, 2.0]},
            r"no difficulty that its curriculum knows \(info\['difficulty'\] is None; a num",
        ),
        (Graded(), {"bands": ["easy", "hard"]}, "is 'medium'"),
        (Graded(), {"bands": ["easy", "easy"]}, "each once"),
        (Graded(), {"bands": [2.0, 1.0]}, "rise"),
        (Graded(), {"bands": ["easy", "hard"], "low": 0.9}, "low 0.9 is above its high 0.8"),
    ],
)
def test_bands_that_do_not_fit_are_refused_in_one_line(
    environment: Environment, config: dict[str, Any], message: str
) -> None:
    with pytest.raises((ConfigError, Exception), match=message):
        list(itertools.islice(mixture(environment, curriculum=CurriculumConfig(**config)), 9))


@pytest.mark.parametrize("steps", [0, 1, 3, 11])
@pytest.mark.parametrize("pending", [0, 5])
def test_it_goes_on_from_a_saved_state_as_if_nothing_had_been(steps: int, pending: int) -> None:
    def made() -> Mixture:
        portions = [Portion(curriculum=CURRICULUM), Portion(2.0, min_share=0.5), Portion(0.5)]
        return Mixture([Graded(), Finite(), Arithmetic()], portions, "train", seed=3)

    def outcome(draw: Draw) -> Outcome:
        passing = sum(map(ord, draw.task.hash)) % 4
        return group(draw.task, *[1.0] * passing, *[0.0] * (4 - passing))

    mixed = made()
    run(mixed, steps, outcome)
    under_way = list(itertools.islice(mixed, pending))
    state = json.loads(json.dumps(mixed.state))
    resumed = made()
    resumed.restore(state)
    assert list(itertools.islice(resumed, pending)) == under_way
    for draw in under_way:
        mixed.learn(outcome(draw))
        resumed.learn(outcome(draw))
    assert run(resumed, 6, outcome) == run(mixed, 6, outcome)
    assert resumed.state == mixed.state


@pytest.mark.parametrize(
    "change", [{"pending": 5}, {"pending": [[3, 0, -1]]}, {"balance": []}, {"useful": None}, {"supplies": [5]}]
)
def test_a_position_that_does_not_fit_is_one_clear_error(change: dict[str, Any]) -> None:
    state = mixture(Finite()).state
    mixture(Finite()).restore(state)
    with pytest.raises(DataError, match=r"does not fit this run's 1 environments .*start a new run"):
        mixture(Finite()).restore({**state, **change})
    with pytest.raises(DataError, match="does not fit this run's 2 environments"):
        mixture(Finite(), Finite()).restore(state)
