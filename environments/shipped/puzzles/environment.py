"""Puzzles: procedural families of tasks, each with a solver, a verifier and eight levels of difficulty."""

import hashlib
from collections.abc import Iterator
from random import Random
from typing import Annotated, Any, Literal

from pydantic import Field

from ....verifiers.case import Case
from ....verifiers.rubric import Rubric, reward, use
from ....verifiers.task import Task
from ....verifiers.text.final_answer import final_answer
from ....verifiers.text.think import split_reasoning
from ....verifiers.verdict import Verdict, infra_error, passed, unparseable, wrong
from ...environment import Environment, EnvironmentConfig, Split
from ...name_check import known_names
from .catalogue import FAMILIES, LEVELS
from .puzzle import Puzzle

MAX_ANSWER = 20_000
"""Most characters in an answer; a longer answer gets the verdict ``limit``."""
_HELD_OUT = 8
"""One puzzle in this many is held out and never trained on."""
_PLACES = {
    "tag": (
        "Put the final answer, and nothing else, between <answer> and </answer>.",
        "End your reply with the answer alone between the tags <answer> and </answer>.",
        "Give only the answer itself inside <answer> and </answer> at the end.",
    ),
    "box": (
        r"Put the final answer, and nothing else, within \boxed{}.",
        r"End your reply with the answer alone within \boxed{}.",
        r"Give only the answer itself inside \boxed{} at the end.",
    ),
}


class Puzzles(Environment):
    """Number theory, graphs, logic, grids, ciphers, dates, planning, games, …: puzzles of over a hundred families.

    An attempt is a success if the answer has the property that the puzzle asks for; any right answer counts.
    """

    class Config(EnvironmentConfig):
        """Which families and levels of difficulty to draw from, and where the answer is put."""

        families: Annotated[list[str], known_names("family of puzzles", FAMILIES)] = Field(
            default_factory=list,
            description=f"Families, each drawn as often as it is listed; empty for all: {', '.join(sorted(FAMILIES))}.",
        )
        difficulty: list[Annotated[int, Field(ge=1, le=LEVELS)]] = Field(list(range(1, LEVELS + 1)), min_length=1)
        """Levels from 1 to 8, each drawn as often as it is listed; a task's ``info`` has it as ``difficulty``."""
        test_tasks: int = Field(1, ge=1)
        """Held-out tasks of each family and level."""
        answer_in: Literal["tag", "box"] = "tag"
        r"""Whether prompts ask for the answer in ``<answer>`` tags or in ``\boxed{}``; both are read."""

    rubric = Rubric(use("format", weight=0.0, required=False), success="puzzle")

    @reward()
    def puzzle(self, case: Case) -> Verdict:
        r"""Whether the content of the last ``<answer>``, or else of the last ``\boxed{}``, solves the puzzle."""
        info = case.task.info
        family = FAMILIES.get(info.get("family", ""))
        if family is None:
            return infra_error(f"there is no family of puzzles {info.get('family')!r:.80}; repair the task")
        answer = final_answer(split_reasoning(case.completion)[1])
        if answer is None:
            return unparseable("the reply has no answer between <answer> and </answer> or in a box")
        if len(answer) > MAX_ANSWER:
            return Verdict(0.0, "limit", f"the answer has more than {MAX_ANSWER} characters")
        found = family.answer.read(answer)
        if found is None:
            return unparseable(f"the answer is not {family.form or family.answer.words}: {answer[:80]!r}")
        if family(**info["puzzle"]).accepts(found):
            return passed(found=answer[:200])
        return wrong(f"it does not solve the puzzle: {answer[:80]!r}", found=answer[:200])

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The test split is finite and the same for every seed; the training split never ends and excludes it."""
        names = self.config.families or sorted(FAMILIES)
        if split == "test":
            rngs = {name: Random(f"puzzles {name}") for name in names}
            for number in range(self.config.test_tasks * len(self.config.difficulty)):
                for place, name in enumerate(names):
                    level = self.config.difficulty[(number + place) % len(self.config.difficulty)]
                    yield self._drawn(name, level, rngs[name], held_out=True)
            return
        rng = Random(seed)
        while True:
            yield self._drawn(rng.choice(names), rng.choice(self.config.difficulty), rng, held_out=False)

    def demonstration(self, task: Task) -> str:
        """The solver's answer, in its place."""
        return rf"\boxed{{{task.answer}}}" if self.config.answer_in == "box" else f"<answer>{task.answer}</answer>"

    @property
    def places(self) -> tuple[str, ...]:
        """Ways to say where the answer is put."""
        return _PLACES[self.config.answer_in]

    def _drawn(self, name: str, level: int, rng: Random, held_out: bool) -> Task:
        family = FAMILIES[name]
        while is_held_out(name, puzzle := family.draw(rng, family.sizes[level - 1])) != held_out:
            pass
        place = rng.choice(self.places)
        prompt = f"{puzzle.question(rng.randrange(len(family.wordings)))}\n{place}"
        info: dict[str, Any] = {"family": name, "difficulty": level, "puzzle": puzzle.data()}
        return Task(prompt, answer=family.answer.write(puzzle.solve()), info=info)


def is_held_out(name: str, puzzle: Puzzle) -> bool:
    """Whether the puzzle belongs to the test split: a hash of its first wording decides, whatever is asked for."""
    digest = hashlib.blake2b(f"{name}\n{puzzle.question(0)}".encode(), digest_size=2).digest()
    return digest[0] % _HELD_OUT == 0
