"""A recipe: which rows are made of which trajectories; not every option fits every kind of row."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...rollout.training_rows.candidate import Kind
from ...rollout.training_rows.conversation import Style
from ...rollout.training_rows.pairs import Pairing
from ...rollout.training_rows.row_files import Format
from ...rollout.training_rows.selection import Selection
from ...verifiers.errors import ConfigError


@dataclass(frozen=True)
class Recipe:
    """What rows are made, and of which trajectories.

    Attributes:
        kind: of the rows.
        selection: which trajectories are taken.
        pairing: how they are paired, for preferences.
        style: how replies are written.
        file_format: of the files.
        shard_rows: most rows of one file.
        pack: the most tokens of a packed row; None to pack nothing.
    """

    kind: Kind
    selection: Selection
    pairing: Pairing
    style: Style
    file_format: Format
    shard_rows: int
    pack: int | None


def recipe_of(options: Mapping[str, Any]) -> Recipe:
    """The recipe that the options of the command ask for.

    Raises:
        ConfigError: an option does not fit the kind of row, or has a value that is not possible.
    """
    kind: Kind = options["rows"]
    _check_kind(kind, options)
    for name in ("least", "margin", "length_ratio", "similarity"):
        if (value := options[name]) is not None and not math.isfinite(value):
            raise ConfigError(f"--{name.replace('_', '-')} is a finite number, found {value}")
    rate = options["pass_rate"]
    if rate is not None and any(map(math.isnan, rate)):
        raise ConfigError(f"--pass-rate is two shares from 0 to 1, found {rate[0]} {rate[1]}")
    if rate is not None and rate[0] > rate[1]:
        raise ConfigError(f"--pass-rate is the lowest and then the highest share, found {rate[0]:g} {rate[1]:g}")
    if options["per_task"] is None and options["choose"] != "best":
        raise ConfigError(f"--choose {options['choose']} needs --per-task: how many are chosen of each task")
    selection = Selection(
        choose=options["choose"],
        per_task=options["per_task"],
        success=options["success"],
        least=options["least"],
        components=_minima(options["component"]),
        finished=options["finished"],
        pass_rate=rate,
        deduplicate=options["deduplicate"],
        similarity=options["similarity"],
        agents=tuple(options["agent"]),
        seed=options["seed"],
    )
    return Recipe(
        kind,
        selection,
        Pairing(options["pairs"], options["margin"], options["length_ratio"]),
        _style(options),
        options["files"],
        options["shard_rows"],
        options["pack"],
    )


def _check_kind(kind: Kind, options: Mapping[str, Any]) -> None:
    if options["pack"] is not None and kind != "tokens":
        raise ConfigError(f"--pack puts rows of tokens together; add --rows tokens (found --rows {kind})")
    if kind == "tokens" and options["reasoning"] != "keep":
        raise ConfigError(
            "--rows tokens are the very tokens that were sampled, so their reasoning cannot change; to close it at a "
            "budget, play the environment with --config.thinking.budget, or choose --rows messages"
        )
    if kind == "tokens" and options["replies"] != "parsed":
        raise ConfigError("--replies is about text, and --rows tokens hold no text; leave it out")
    if kind == "preference" and options["choose"] != "best":
        raise ConfigError(f"--choose {options['choose']} is not for pairs; --pairs and --margin choose them")
    if kind != "preference":
        given = {"--margin": options["margin"], "--length-ratio": options["length_ratio"]}
        for name, value in given.items():
            if value:
                raise ConfigError(f"{name} is about pairs; add --rows preference (found --rows {kind})")


def _minima(given: Sequence[str]) -> dict[str, float]:
    minima = {}
    for text in given:
        label, _, value = text.rpartition("=")
        try:
            minima[label] = float(value)
        except ValueError:
            label = ""
        if not label or not math.isfinite(minima[label]):
            raise ConfigError(f"--component is LABEL=NUMBER, such as format=1, found {text!r:.80}")
    return minima


def _style(options: Mapping[str, Any]) -> Style:
    closes, budget, model = options["reasoning"] == "close", options["budget"], options["tokenizer"] or options["model"]
    if closes != (budget is not None):
        raise ConfigError("--reasoning close and --budget TOKENS go together; give both or neither")
    if options["tokenizer"] and not closes:
        raise ConfigError("--tokenizer counts the tokens of --reasoning close --budget TOKENS; leave it out")
    if not closes:
        return Style(options["replies"], options["reasoning"])
    if not model:
        raise ConfigError("--budget counts tokens; name the model whose tokenizer counts them with --tokenizer")
    from ...rollout.training_rows.reasoning_budget import ReasoningBudget  # only now: it imports transformers

    return Style(options["replies"], "close", ReasoningBudget(budget, model).shorten)
