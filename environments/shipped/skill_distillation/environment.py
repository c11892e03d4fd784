"""A skill is written from worked examples, and is then all that the policy has to solve other instances."""

import hashlib
from collections.abc import Iterator
from random import Random
from typing import Annotated

from pydantic import Field

from ....verifiers.case import Case
from ....verifiers.rubric import Rubric, reward, use
from ....verifiers.task import Task
from ....verifiers.text.final_answer import final_answer
from ....verifiers.text.think import split_reasoning
from ....verifiers.verdict import Verdict, passed, unparseable, wrong
from ...environment import Environment, EnvironmentConfig, Split
from ...episode import Episode
from ..leveled_tasks import leveled_tasks
from .procedure import CHANGES, WORDS, draw_procedure, trace

LEVELS = 4
_HELD_OUT = 8
"""One procedure in this many is held out and never trained on."""
_LEARN = """The same procedure was applied to each of these words, step by step:
{examples}

Write a skill: instructions for applying the procedure to any other word. Whoever uses them will not see these \
examples. Use at most {most} characters and none of the words above, and reply with the instructions alone."""
_USE = """{skill}

Apply these instructions to each of these words: {words}.
End your reply with the results, in the same order and separated by commas, between <answer> and </answer>."""


class SkillDistillation(Environment):
    """Write a short skill from worked examples; then, with the skill alone, solve instances that were never shown.

    An attempt is a success if all of these are solved. The score is the share that is solved, so a skill earns exactly
    as much as it helps: the second conversation holds nothing else about the procedure. A skill that repeats an
    example earns nothing.
    """

    class Config(EnvironmentConfig):
        """How hard the procedures are, and how short a skill is."""

        difficulty: list[Annotated[int, Field(ge=1, le=LEVELS)]] = Field(list(range(1, LEVELS + 1)), min_length=1)
        """Steps of the procedure, from 1 to 4, each drawn as often as it is listed."""
        examples: int = Field(6, ge=1, le=20)
        """Worked examples in the prompt."""
        instances: int = Field(4, ge=1, le=20)
        """Other words that the skill must solve."""
        characters: int = Field(400, ge=20)
        """Most characters of a skill; a longer one earns nothing."""
        show_steps: bool = True
        """Whether examples show the word after each step, or only the result."""
        test_tasks: int = Field(16, ge=1)
        """Held-out tasks of each level."""

    rubric = Rubric(use("format", weight=0.0, required=False), success="solved")

    @reward()
    def solved(self, case: Case) -> Verdict:
        """The share of instances that the second reply solves; it passes if all are."""
        size = case.artifacts.get("characters", 0)
        if not 0 < size <= self.config.characters:
            return unparseable(f"the skill has {size} characters, but 1 to {self.config.characters} are allowed")
        if copied := [word for word in case.task.info["examples"] if word in case.artifacts["skill"].lower()]:
            return unparseable(f"the skill repeats the example {copied[0]!r} instead of a rule")
        text = final_answer(split_reasoning(case.visible)[1])
        if text is None:
            return unparseable("the second reply has no answer between <answer> and </answer> or in a box")
        found = [part.strip().lower() for part in text.split(",")]
        if len(found) != len(case.answer):
            return wrong(f"{len(case.answer)} results are expected, found {len(found)}")
        right = sum(mine == theirs for mine, theirs in zip(found, case.answer, strict=True))
        if right == len(case.answer):
            return passed(solved=right)
        return wrong(f"{right} of {len(case.answer)} are solved", right / len(case.answer), solved=right)

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The test split is finite and the same for every seed; the training split never ends and excludes it."""
        levels, tests = self.config.difficulty, self.config.test_tasks
        return leveled_tasks("skill_distillation", self._drawn, levels, split=split, seed=seed, test_tasks=tests)

    async def run(self, episode: Episode) -> None:
        """Ask for the skill, then ask again in a new conversation with nothing but the skill and the instances."""
        chat = episode.chat()
        system = list(chat.messages)
        chat.add("user", str(episode.task.prompt))
        skill = (await chat.reply()).text.strip()
        episode.artifacts["characters"] = len(skill)
        if 0 < len(skill) <= self.config.characters:
            episode.artifacts["skill"] = skill
            words = ", ".join(episode.task.info["instances"])
            chat.rewrite([*system, {"role": "user", "content": _USE.format(skill=skill, words=words)}])
            await chat.reply()

    def demonstration(self, task: Task) -> list[str]:
        """The procedure in words, and the results."""
        steps = [f"{number}. {CHANGES[name].words}." for number, name in enumerate(task.info["procedure"], 1)]
        return [" ".join(steps), f"<answer>{', '.join(task.answer)}</answer>"]

    def _drawn(self, level: int, rng: Random, held_out: bool) -> Task:
        config = self.config
        while True:
            procedure = draw_procedure(rng, level)
            words = rng.sample(WORDS, config.examples + config.instances)
            digest = hashlib.blake2b("".join([*procedure, *words[:2]]).encode(), digest_size=2).digest()
            traces = [trace(procedure, word) for word in words]
            idle = any(len(set(steps)) < len(steps) for steps in traces)  # a step that does or undoes nothing
            if not idle and (digest[0] % _HELD_OUT == 0) == held_out:
                break
        shown, asked = traces[: config.examples], traces[config.examples :]
        lines = [" → ".join(steps if config.show_steps else (steps[0], steps[-1])) for steps in shown]
        prompt = _LEARN.format(examples="\n".join(lines), most=config.characters)
        examples = [steps[0] for steps in shown]
        info = {
            "procedure": procedure,
            "examples": examples,
            "instances": [steps[0] for steps in asked],
            "difficulty": level,
        }
        return Task(prompt, answer=[steps[-1] for steps in asked], info=info)
