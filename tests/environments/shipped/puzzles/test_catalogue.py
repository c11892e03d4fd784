"""Every family at every level: what is solved is right, what is only repeated is wrong, and nothing hostile matters."""

import math
from collections.abc import Iterator
from random import Random
from statistics import mean
from typing import Any

import pytest

from lachesis.environments.shipped.puzzles.catalogue import FAMILIES, LEVELS, SUBJECTS
from lachesis.environments.shipped.puzzles.puzzle import Puzzle
from lachesis.verifiers.text.final_answer import final_answer

HOSTILE = [
    *(
        "",
        " ",
        "nan",
        "inf",
        "None",
        "true",
        "x",
        "１２",
        "١٢",
        "²",
        "𝟙",
        "1/0",
        "0/0",
        "\\frac{1}{0}",
        "1e9",
        "1.5",
        "--5",
    ),
    *("9" * 20_000, "-" + "9" * 299, "[" * 20_000, "(" * 9_999 + ")" * 9_999, "{" * 500, "*" * 300, "$" * 20_000),
    *("(" * 100 + "1" + ")" * 100, "1" + "+1" * 90, "1," * 9_999 + "1", "(1,2)," * 3_000 + "(1,2)", "\\text{" * 3_000),
    *(" " * 19_999 + "x", "\n" * 5_000 + "a", ",", ", ,", "\x00", "\ud800", "(-1, -1), (999999999, 5)", "A=99999999"),
    *(
        "0 0\n0 0",
        "1;2;3",
        "# .\n. #",
        "24:00",
        "2000-02-30",
        "9999-12-31",
        "u" * 201,
        "FA, ZZ",
        "AD",
        ", ".join("1" * 3_000),
    ),
]


def made(name: str, level: int, seed: int) -> Puzzle:
    return FAMILIES[name].draw(Random(f"{name} {level} {seed}"), FAMILIES[name].sizes[level - 1])


def measure(value: Any) -> float:
    """How much a puzzle holds: long lists, long texts and large numbers hold more."""
    if isinstance(value, dict):
        return sum(map(measure, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(measure, value))
    return len(value) if isinstance(value, str) else math.log2(2 + abs(value))


def check_family(name: str, seeds: range) -> None:
    for level in range(1, LEVELS + 1):
        for seed in seeds:
            puzzle = made(name, level, seed)
            asked = {puzzle.question(wording) for wording in range(len(puzzle.wordings))}
            assert len(asked) == len(puzzle.wordings) >= 2
            said = puzzle.answer.write(puzzle.solve())
            found = puzzle.answer.read(said)
            assert found is not None, (name, level, seed, said)
            assert final_answer(rf"\boxed{{{said}}}") == final_answer(f"<answer>{said}</answer>") == said
            assert puzzle.accepts(found), (name, level, seed, said)
            for repeated in (*asked, *puzzle.shown().values(), *(text.split("\n\n")[0] for text in asked)):
                read = puzzle.answer.read(repeated)
                assert read is None or not puzzle.accepts(read), (name, level, seed, repeated)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_the_solver_says_is_right_and_what_the_question_says_is_not(name: str) -> None:
    check_family(name, range(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_what_the_solver_says_is_right_and_what_the_question_says_is_not_for_many_seeds(name: str) -> None:
    check_family(name, range(1, 60))


def test_every_family_has_a_description_and_as_many_levels_as_the_others() -> None:
    assert len(FAMILIES) >= 150
    assert {family.__module__ for family in FAMILIES.values()} == {module.__name__ for module in SUBJECTS}
    for name, family in FAMILIES.items():
        assert len(family.sizes) == LEVELS, name
        assert (family.__doc__ or "").strip(), name
        sizes = list(family.sizes)
        assert sizes in (sorted(set(sizes)), sorted(set(sizes), reverse=True)), name


def grows(name: str, seeds: int) -> bool:
    """Whether puzzles and their answers hold more at higher levels, on average."""

    def held(level: int) -> float:
        puzzles = [made(name, level, seed) for seed in range(seeds)]
        return mean(measure(puzzle.data()) + measure(puzzle.answer.write(puzzle.solve())) for puzzle in puzzles)

    sizes = [held(level) for level in (1, 4, LEVELS)]
    return sizes == sorted(set(sizes))


def test_puzzles_of_higher_levels_are_larger() -> None:
    same_size = {"sudoku", "clock_angle"}  # more cells are blank, as checked below; times are more exact
    assert [name for name in FAMILIES if name not in same_size and not grows(name, 6) and not grows(name, 40)] == []
    blanks = [sum(row.count(0) for row in made("sudoku", level, 0).data()["grid"]) for level in range(1, LEVELS + 1)]
    assert blanks == list(FAMILIES["sudoku"].sizes)


def test_puzzles_are_bit_identical_by_seed_and_different_by_another() -> None:
    for name in FAMILIES:
        first, again = made(name, 3, 1), made(name, 3, 1)
        assert first.data() == again.data(), name
        assert len({made(name, 3, seed).question(0) for seed in range(8)}) >= 6, name


def test_no_hostile_answer_raises_or_solves_a_puzzle() -> None:
    read: dict[int, list[Any]] = {}
    for name, family in FAMILIES.items():
        if id(family.answer) not in read:
            read[id(family.answer)] = [family.answer.read(text) for text in HOSTILE]
        for level in (2, LEVELS):
            puzzle = made(name, level, 2)
            for text, found in zip(HOSTILE, read[id(family.answer)], strict=True):
                assert found is None or not puzzle.accepts(found), (name, text[:40])


def changed(value: Any) -> Iterator[Any]:
    """Values of the same kind, a little different."""
    if isinstance(value, dict):
        yield {key: number + 1 for key, number in value.items()}
    elif isinstance(value, list) and value:
        yield value[:-1]
        yield [*value, value[-1]]
        for place in range(min(len(value), 4)):
            for other in changed(value[place]):
                yield [*value[:place], other, *value[place + 1 :]]
    elif isinstance(value, tuple):
        yield (value[0], value[1] + 1)
    elif isinstance(value, str):
        yield from (value[:-1], value + value[-1:], value[1:] + "z")
    elif not isinstance(value, list):
        yield from (value + 1, value - 1)


def test_a_changed_answer_never_raises_and_is_seldom_right() -> None:
    for name in FAMILIES:
        judged = []
        for seed in range(3):
            puzzle = made(name, 4, seed)
            judged += [puzzle.accepts(other) for other in changed(puzzle.solve()) if other not in ([], "")]
        assert sum(judged) <= 0.5 * len(judged), name
