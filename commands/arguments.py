"""The words after a command's name: positional arguments told apart from ``--part.key value`` overrides."""

from collections.abc import Iterable, Sequence

import click

from ..verifiers.errors import ConfigError, nearest

PASS_ON = {"ignore_unknown_options": True}
"""The context settings of a command that takes overrides: click hands them on instead of refusing them."""


def split(words: Sequence[str], fields: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """The positional arguments and the overrides among ``words``.

    An override is ``--part.key value``, or ``--field value`` for one of ``fields``.

    Raises:
        ConfigError: an option has neither form; the message names the nearest option.
    """
    plain: list[str] = []
    overrides: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        key = word[2:].partition("=")[0]
        if "." not in key and key not in fields:
            known = [*_options(), *(f"--{name}" for name in fields)]
            raise ConfigError(f"no option --{key}; {nearest(f'--{key}', known)}")
        overrides.append(word)
        if "=" not in word and rest:
            overrides.append(rest.pop(0))
    return plain, overrides


def split_one(words: Sequence[str], what: str) -> tuple[str, list[str]]:
    """The single positional argument (``what`` names it in messages) and the overrides among ``words``.

    Raises:
        ConfigError: there is not exactly one argument, or an option is unknown.
    """
    plain, overrides = split(words)
    if len(plain) != 1:
        command = click.get_current_context().info_name
        found = f"{len(plain)}: {' '.join(plain)}" if plain else "none"
        raise ConfigError(f"{command} takes one {what}, found {found}; lachesis {command} --help shows the usage")
    return plain[0], overrides


def _options() -> list[str]:
    """The options of the command that runs."""
    return [name for parameter in click.get_current_context().command.params for name in parameter.opts if "--" in name]
