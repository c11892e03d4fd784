"""Positional arguments and overrides are told apart, and an unknown option is refused."""

from collections.abc import Sequence

import click
import pytest

from lachesis.commands.arguments import split, split_one
from lachesis.verifiers.errors import ConfigError


@pytest.fixture(autouse=True)
def context() -> object:
    command = click.Command("toy", params=[click.Option(["--resume"])])
    with click.Context(command, info_name="toy") as context:
        yield context


@pytest.mark.parametrize(
    ("words", "plain", "overrides"),
    [
        (["a", "--x.y", "1", "b"], ["a", "b"], ["--x.y", "1"]),
        (["--x.y=1", "a"], ["a"], ["--x.y=1"]),
        (["--seed", "3", "--seed=4"], [], ["--seed", "3", "--seed=4"]),
        (["--x.y"], [], ["--x.y"]),
    ],
)
def test_words_are_told_apart(words: Sequence[str], plain: list[str], overrides: list[str]) -> None:
    assert split(words, ["seed"]) == (plain, overrides)


@pytest.mark.parametrize(("word", "nearest"), [("--sed", "--seed"), ("--resum", "--resume")])
def test_an_unknown_option_is_refused_with_the_nearest(word: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"no option {word}; did you mean '{nearest}'"):
        split([word, "1"], ["seed"])


def test_a_command_takes_one_argument() -> None:
    assert split_one(["a", "--x.y", "1"], "FILE") == ("a", ["--x.y", "1"])
    with pytest.raises(ConfigError, match="toy takes one FILE, found 2: a b"):
        split_one(["a", "b"], "FILE")
    with pytest.raises(ConfigError, match="toy takes one FILE, found none; lachesis toy --help shows the usage"):
        split_one([], "FILE")
