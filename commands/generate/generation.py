"""Rows made of trajectories: played or found, read once to select and once more to write what was selected."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ...environments.environment import Environment
from ...environments.shipped.skills.written import written_skill
from ...rollout.store import Stored
from ...rollout.training_rows.candidate import Candidate, Place, candidates_of
from ...rollout.training_rows.pairs import Pair, pair_up
from ...rollout.training_rows.row_files import Spool, write_data_set
from ...rollout.training_rows.rows import Row, about, completion_rows, messages_row, preference_row, token_rows
from ...rollout.training_rows.selection import Reasons, select
from ...rollout.training_rows.tool_schemas import Schemas, tools_of
from ...trainer.run.progress import counting
from ...verifiers.errors import ConfigError, DataError
from ...verifiers.sandbox.shared import configure_sandbox
from ...verifiers.trajectory import Trajectory
from ..sources.library import open_source
from ..sources.stored import StoredEpisodes
from .inputs import ATTEMPTS, attempts_at, check_folder, is_stored, play_attempts
from .recipe import Recipe
from .report import print_report

log = logging.getLogger("lachesis")


def generate(words: Sequence[str], overrides: Sequence[str], recipe: Recipe, options: Mapping[str, Any]) -> None:
    """Play or read trajectories, select among them, and write the rows into ``options["out"]``.

    Args:
        words: environments and suites to play, or runs, evaluations and folders to read.
        overrides: settings of what is played.
        recipe: which rows are made.
        options: of the command, those that are eval's among them.

    Raises:
        ConfigError: the words are neither, or an option does not fit.
        DataError: no row could be made; the manifest says why.
    """
    out: Path = options["out"]
    stored = [is_stored(word) for word in words]
    if not words or "" in words:
        raise ConfigError("generate needs an environment to play, or a run or an evaluation to read")
    if any(stored) and not all(stored):
        raise ConfigError(
            f"{words[stored.index(True)]} is read and {words[stored.index(False)]} is played; run generate for each, "
            f"and then once more for the folders of both"
        )
    check_folder(out)
    if all(stored):
        if given := [f"--{name}" for name in ("model", "url") if options[name]] + list(overrides[:1]):
            raise ConfigError(f"{given[0]} is for playing an environment, and {words[0]} is read; leave it out")
        sources = attempts_at(words)
    else:
        play_attempts(words, overrides, options)
        sources = attempts_at([str(out / ATTEMPTS)])
    made = _Making(recipe, sources)
    manifest = made.select()
    with Spool(out) as spool:
        made.write(spool)
        manifest |= made.counts()
        rows, names = write_data_set(spool, out, recipe.file_format, recipe.shard_rows, recipe.pack, manifest)
    print_report(out, manifest, rows, names)
    if not names:
        raise DataError(f"no row was made; the table says why ({out} holds the manifest)")


@dataclass
class _Making:
    """The state of one generation."""

    recipe: Recipe
    sources: Sequence[StoredEpisodes]
    reasons: Reasons = field(default_factory=Counter)
    taken: dict[Place, Candidate] = field(default_factory=dict)
    pairs: dict[Place, list[Pair]] = field(default_factory=lambda: defaultdict(list))
    open_pairs: Counter[Place] = field(default_factory=Counter)
    read: int = 0
    tokens: int = 0
    trained: int = 0
    tasks: set[tuple[str, str]] = field(default_factory=set)

    def select(self) -> dict[str, Any]:
        """Choose what is written; return what the manifest says about the choice."""
        recipe = self.recipe
        candidates = list(self._candidates())
        if recipe.kind == "preference":
            pairs, self.reasons = pair_up(candidates, recipe.selection, recipe.pairing)
            for pair in pairs:
                for side in (pair.chosen, pair.rejected):
                    self.taken[side.place] = side
                    self.pairs[side.place].append(pair)
                    self.open_pairs[side.place] += 1
        else:
            chosen, self.reasons = select(candidates, recipe.selection)
            self.taken = {candidate.place: candidate for candidate in chosen}
        return {
            "kind": recipe.kind,
            "model": open_source(self.sources[0].path).texts.model,
            "sources": [str(source.path) for source in self.sources],
            "selection": asdict(recipe.selection),
            **({"pairing": asdict(recipe.pairing)} if recipe.kind == "preference" else {}),
            "style": {"replies": recipe.style.replies, "reasoning": recipe.style.reasoning},
            "conversations": len(candidates),
        }

    def _candidates(self) -> Iterator[Candidate]:
        sketched = self.recipe.selection.compares_texts
        with counting("reading trajectories", None) as tick:
            for number, source in enumerate(self.sources):
                for stored in _readable(source):
                    self.read += 1
                    tick(1)
                    yield from candidates_of(number, stored, self.recipe.kind, sketched)

    def counts(self) -> dict[str, Any]:
        """What the manifest says after the rows were made."""
        found: dict[str, Any] = {"trajectories": self.read, "tasks": len(self.tasks)}
        if self.recipe.kind == "tokens":
            found |= {"tokens": self.tokens, "trained_tokens": self.trained}
        return {**found, "left_out": dict(self.reasons.most_common())}

    def write(self, spool: Spool) -> None:
        """Make the rows of what was chosen."""
        waiting: dict[Place, _Side] = {}
        with counting("writing rows", len(self.taken)) as tick:
            for number, source in enumerate(self.sources):
                tools = _Tools(source)
                for stored in _readable(source):
                    for agent in stored.trajectory.messages:
                        place = Place(number, stored.step, stored.group, stored.attempt, agent)
                        if place in self.taken:
                            tick(1)
                            self._add(spool, self.taken[place], stored, source, tools, waiting)

    def _add(
        self,
        spool: Spool,
        candidate: Candidate,
        stored: Stored,
        source: StoredEpisodes,
        tools: "_Tools",
        waiting: dict[Place, "_Side"],
    ) -> None:
        made, place = stored.trajectory, candidate.place
        shown: Schemas = ()
        if self.recipe.kind != "tokens":
            try:
                shown = tools.shown(stored, place.agent)
            except DataError as error:
                self._fail("its tools are not known", error)
                return
        side = _Side(candidate, made, shown, about(candidate, made.task.id, source.path.name))
        if self.recipe.kind != "preference":
            for number, row in enumerate(self._rows(side)):
                self._keep(spool, candidate, number, {**row, "metadata": side.told})
            return
        waiting[place] = side
        self._add_pairs(spool, place, waiting)

    def _add_pairs(self, spool: Spool, place: Place, waiting: dict[Place, "_Side"]) -> None:
        """Make the pairs of ``place`` whose other side has come, and forget the sides that no pair waits for."""
        for number, pair in enumerate(self.pairs[place]):
            chosen, rejected = waiting.get(pair.chosen.place), waiting.get(pair.rejected.place)
            if chosen and rejected:
                self._add_pair(spool, pair, chosen, rejected, number)
                for side in (pair.chosen.place, pair.rejected.place):
                    self.open_pairs[side] -= 1
                    if not self.open_pairs[side]:
                        del waiting[side]

    def _add_pair(self, spool: Spool, pair: Pair, chosen: "_Side", rejected: "_Side", number: int) -> None:
        messages = [side.made.messages[side.candidate.place.agent] for side in (chosen, rejected)]
        row = preference_row(pair, messages[0], messages[1], self.recipe.style, chosen.tools)
        if row is None:
            self.reasons["replies equal without the reasoning that was cut"] += 1
            return
        told = {"chosen": chosen.told, "rejected": rejected.told}
        self._keep(spool, pair.chosen, number, {**row, "metadata": told}, pair.rejected)

    def _rows(self, side: "_Side") -> Iterator[Row]:
        agent = side.candidate.place.agent
        if self.recipe.kind == "tokens":
            for row in token_rows(side.made, agent):
                self.tokens += len(row["input_ids"])
                self.trained += sum(label >= 0 for label in row["labels"])
                yield row
        elif self.recipe.kind == "completion":
            yield from completion_rows(side.made.messages[agent], self.recipe.style, side.tools)
        elif self.recipe.kind == "skills":
            skill = written_skill(side.made)
            side.told["skill"] = skill.content
            yield messages_row(skill.messages, self.recipe.style, side.tools)
        else:
            yield messages_row(side.made.messages[agent], self.recipe.style, side.tools)

    def _keep(self, spool: Spool, candidate: Candidate, number: int, row: Row, other: Candidate | None = None) -> None:
        """Put a row into the spool: tasks in an order drawn by the seed, and the rows of a task together."""
        lot = self.recipe.selection.lot
        task = self.recipe.selection.task_lot(candidate.asked)
        spool.add((task, -candidate.total, lot(candidate), lot(other) if other else b"", number), row)
        self.tasks.add(candidate.asked[:2])

    def _fail(self, reason: str, error: DataError) -> None:
        if not self.reasons[reason]:
            log.warning("%s", error)
        self.reasons[reason] += 1


@dataclass(frozen=True)
class _Side:
    """A chosen conversation with its trajectory, its tools, and its ``metadata``."""

    candidate: Candidate
    made: Trajectory
    tools: Schemas
    told: dict[str, Any]


class _Tools:
    """The tools that were shown in the episodes of one source."""

    def __init__(self, source: StoredEpisodes) -> None:
        self._source = source
        self._ready = False
        self._found: dict[tuple[str, str], Mapping[str, Schemas]] = {}
        self._environment = cache(self._build)

    def shown(self, stored: Stored, agent: str) -> Schemas:
        """The schemas that the agent was shown; raises ``DataError`` if they cannot be found."""
        label, task = stored.trajectory.environment, stored.trajectory.task
        if label not in self._source.specs:
            raise DataError(f"{self._source.path} does not say what environment {label!r} is")
        environment = self._environment(label)
        if type(environment).tools is Environment.tools:
            return ()
        key = label, task.hash
        if key not in self._found:
            self._found[key] = tools_of(environment, task, self._source.seed(stored))
        return self._found[key].get(agent, ())

    def _build(self, label: str) -> Environment:
        if not self._ready:
            configure_sandbox(self._source.sandbox)
            self._ready = True
        return self._source.specs[label].build()


def _readable(source: StoredEpisodes) -> Iterator[Stored]:
    """The trajectories that can be read; a damage is reported once, after them."""
    try:
        yield from source.stored(False)
    except DataError as error:
        log.warning("%s; what can be read is used", error)
