"""After a success the policy writes a skill file; later tasks of the family can be solved with it, and not without."""

import hashlib
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Annotated, Any
from weakref import WeakKeyDictionary

from pydantic import Field

from ....verifiers.case import Case
from ....verifiers.rubric import Rubric, reward, use
from ....verifiers.task import Task
from ....verifiers.text.final_answer import final_answer
from ....verifiers.text.think import split_reasoning
from ....verifiers.verdict import Verdict, passed, unparseable, wrong
from ...chat import Chat
from ...environment import Environment, EnvironmentConfig, Split
from ...episode import Episode
from ...limits import Limits
from ..leveled_tasks import leveled_tasks
from ..skill_distillation.procedure import CHANGES, WORDS, draw_procedure, trace
from .skill_file import Library, Skill

LEVELS = 4
_LETTERS = "JKQVXZ"
"""What the procedures of level 0 make of every word. Neither the prompts nor the words have these capitals."""
_HELD_OUT = 8
"""One family in this many is held out and never trained on."""
_FIRST = """These words were changed by the procedure {family}, step by step:
{examples}

Apply the procedure {family} to the word {word}. Write the result between <answer> and </answer>."""
_WRITE = """That is right. Save what you have learned about the procedure {family} as a skill: call skill_manage with \
action "create", a name, and a content that begins with a header (---, name: …, description: …, ---), followed by the \
instructions. Whoever reads them will see neither these examples nor this conversation. Use at most {most} characters \
and none of the words above."""
_LATER = """You have these skills; skill_view reads one of them:
{skills}

Apply the procedure {family} to the word {word}. Write the result between <answer> and </answer>."""
_BRIEF = "{family}: {examples}\n{family}: {word}", "Save {family}", "{skills}\n{family}: {word}"
_TRIES, _REPLIES = 2, 3
"""How often the policy may try to write the skill, and the most replies to a later task, the answer included."""


class Skills(Environment):
    """Solve a task from examples, save a skill as Hermes Agent does, and solve later tasks of the family with it.

    An attempt is a success if all later tasks are solved. Families are drawn at random and later tasks show no example,
    so nothing but the skill helps. Another family's skill is in the library too, so the right one has to be chosen.
    """

    class Config(EnvironmentConfig):
        """How hard the families are, and how long a skill may be."""

        difficulty: list[Annotated[int, Field(ge=0, le=LEVELS)]] = Field(list(range(1, LEVELS + 1)), min_length=1)
        """Steps of the procedure, from 1 to 4, each drawn as often as it is listed. 0 is for tiny models: the procedure
        replaces every word by the same letter."""
        examples: int = Field(6, ge=1, le=20)
        """Worked examples of the first task."""
        later: int = Field(2, ge=1, le=8)
        """Later tasks of the family."""
        brief: bool = False
        """Whether the prompts say only what differs between tasks; a tiny model learns the rest by demonstration."""
        characters: int = Field(600, ge=80)
        """Most characters of a skill's file."""
        test_tasks: int = Field(16, ge=1)
        """Held-out families of each level."""
        limits: Limits = Limits(turns=32, tool_calls=32)
        """Limits of an episode on turns, tokens, tool calls and seconds."""

    rubric = Rubric(use("format", weight=0.0, required=False), success="solved")

    @reward()
    def solved(self, case: Case) -> Verdict:
        """The share of later tasks that are solved; it passes if all are."""
        found = case.artifacts.get("later")
        if found is None:
            return unparseable(str(case.artifacts.get("why", "no skill was written")))
        if copied := [
            word for word in case.task.info["examples"] if word in case.artifacts["skill"]["content"].lower()
        ]:
            return unparseable(f"the skill repeats the example {copied[0]!r} instead of a rule")
        right = sum(one["solved"] for one in found)
        return passed() if right == len(found) else wrong(f"{right} of {len(found)} are solved", right / len(found))

    @reward(weight=0.2)
    def used(self, case: Case) -> float:
        """The share of later tasks in which the policy read its own skill."""
        return _share(case, lambda one: one["used"])

    @reward(weight=0.5)
    def helped(self, case: Case) -> float:
        """The share of later tasks that were solved after the policy had read its own skill."""
        return _share(case, lambda one: one["used"] and one["solved"])

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The test split is finite and the same for every seed; the training split never ends and excludes it."""
        levels, tests = self.config.difficulty, self.config.test_tasks
        return leveled_tasks("skills", self._drawn, levels, split=split, seed=seed, test_tasks=tests)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._first, self._write, self._later = _BRIEF if self.config.brief else (_FIRST, _WRITE, _LATER)
        self._libraries: WeakKeyDictionary[Episode, Library] = WeakKeyDictionary()

    def tools(self, episode: Episode) -> list[Any]:
        """Hermes Agent's tools for skills, over a library that has the skill of another family."""
        info = episode.task.info
        other = Skill(f"procedure-{info['other'].lower()}", f"How to apply {info['other']}.", info["other_rule"])
        self._libraries[episode] = library = Library([other], self.config.characters)
        return [library]

    async def run(self, episode: Episode) -> None:
        """The first task, the skill, and the later tasks, each in a conversation of its own."""
        chat, info = episode.chat(), episode.task.info
        system, library = list(chat.messages), self._libraries[episode]
        chat.add("user", str(episode.task.prompt))
        if not _is_right((await chat.reply()).text, info["first"][-1]):
            episode.artifacts["why"] = "the first task is not solved"
            return
        await self._write_skill(episode, chat, library)
        if library.written is None:
            return
        skill = library.written
        episode.artifacts["writing"] = [dict(message) for message in chat.messages]
        episode.artifacts["skill"] = {"name": skill.name, "content": skill.content, "family": info["family"]}
        later = []
        for word, result in info["later"]:
            asked = self._later.format(skills=library.index, family=info["family"], word=word)
            chat.rewrite([*system, {"role": "user", "content": asked}])
            library.viewed.clear()
            for _ in range(_REPLIES):
                if not (reply := await chat.reply()).tool_calls:
                    break
                await episode.call_tools(chat, [call for call in reply.tool_calls if call.name != "skill_manage"])
            later.append({"used": skill.name in library.viewed, "solved": _is_right(reply.text, result)})
        episode.artifacts["later"] = later

    def demonstration(self, task: Task) -> list[str]:
        """The first result, the procedure in words as a skill, and for each later task a look at it and the result."""
        info = task.info
        name = f"procedure-{info['family'].lower()}"
        skill = Skill(name, f"How to apply {info['family']}.", info["rule"])
        written = _call("skill_manage", action="create", name=name, content=skill.content)
        later = [said for _, result in info["later"] for said in (_call("skill_view", name=name), _answer(result))]
        return [_answer(info["first"][-1]), written, *later]

    async def _write_skill(self, episode: Episode, chat: Chat, library: Library) -> None:
        chat.add("user", self._write.format(family=episode.task.info["family"], most=self.config.characters))
        for _ in range(_TRIES):
            reply = await chat.reply()
            calls = [call for call in reply.tool_calls if call.name == "skill_manage"]
            await episode.call_tools(chat, calls)
            if library.written is not None or not calls:
                break
        episode.artifacts["why"] = "no skill was written"

    def _drawn(self, level: int, rng: Random, held_out: bool) -> Task:
        config = self.config
        while True:
            procedure, other = _draw(rng, level), _draw(rng, level)
            words = rng.sample(WORDS, config.examples + 1 + config.later)
            digest = hashlib.blake2b("".join([*procedure, *words[:2]]).encode(), digest_size=2).digest()
            traces = [_trace(procedure, word) for word in words]
            idle = any(len(set(steps)) < len(steps) for steps in traces)  # a step that does or undoes nothing
            if not idle and other != procedure and (digest[0] % _HELD_OUT == 0) == held_out:
                break
        family, unrelated = (f"P{number}" for number in rng.sample(range(100, 1000) if level else range(10), 2))
        shown, first, later = traces[: config.examples], traces[config.examples], traces[config.examples + 1 :]
        examples = "\n".join(" → ".join(steps) for steps in shown)
        info = {
            "family": family,
            "procedure": procedure,
            "rule": _in_words(procedure),
            "examples": [steps[0] for steps in shown],
            "first": first,
            "later": [[steps[0], steps[-1]] for steps in later],
            "other": unrelated,
            "other_rule": _in_words(other),
            "difficulty": level,
        }
        return Task(self._first.format(family=family, examples=examples, word=first[0]), answer=first[-1], info=info)


def _share(case: Case, holds: Callable[[dict[str, bool]], bool]) -> float:
    later = case.artifacts.get("later") or []
    return sum(map(holds, later)) / len(later) if later else 0.0


def _is_right(reply: str, result: str) -> bool:
    found = final_answer(split_reasoning(reply)[1])
    return found is not None and found.strip().lower() == result.lower()


def _draw(rng: Random, level: int) -> list[str]:
    return draw_procedure(rng, level) if level else [rng.choice(_LETTERS)]


def _trace(procedure: list[str], word: str) -> list[str]:
    return [word, *procedure] if procedure[0] in _LETTERS else trace(procedure, word)


def _in_words(procedure: list[str]) -> str:
    if procedure[0] in _LETTERS:
        return f"Write the letter {procedure[0]}."
    return " ".join(f"{number}. {CHANGES[name].words}." for number, name in enumerate(procedure, 1))


def _call(tool: str, **arguments: str) -> str:
    return f"<tool_call>{json.dumps({'name': tool, 'arguments': arguments})}</tool_call>"


def _answer(result: str) -> str:
    return f"<answer>{result}</answer>"
