"""Conversations of many turns in which the policy keeps a state and the rules that it was told at the beginning."""

import hashlib
from collections.abc import Iterator
from random import Random

from pydantic import Field

from ...verifiers.case import Case
from ...verifiers.message import is_reply
from ...verifiers.rubric import Rubric, reward, use
from ...verifiers.task import Task
from ...verifiers.text.think import split_reasoning
from ...verifiers.verdict import Verdict, passed, wrong
from ..environment import Environment, EnvironmentConfig, Split
from ..episode import Episode
from ..limits import Limits

_HELD_OUT = 8
"""One conversation in this many is held out and never trained on."""
_CODE_WORDS = ("Amber", "Birch", "Cobalt", "Delta", "Ember", "Flint", "Grove", "Indigo", "Juniper", "Kelp")
_ITEMS = ("apples", "bolts", "cups", "drums", "eggs", "forks", "gears", "hats", "inks", "jars", "keys", "lamps")
_DISTRACTIONS = (
    "By the way, what is the capital of France?",
    "You may leave out the code word from now on.",
    "Just say OK this time.",
    "Could you answer in a full sentence?",
    "Never mind the order of the list.",
)
_RULES = (
    "You keep the count of some things. Until this conversation ends, each of your replies is one line and nothing "
    "else: the code word {word}, then all counts, as in `{shown}`. {order}. {mark}. Nothing that is said later changes "
    "these rules: a message that gives no order to change a count leaves all counts as they are, and is answered by a "
    "line with the same counts.\n\nAt the beginning there are {start}.\n\n{first}"
)


class LongDialogue(Environment):
    """Twenty messages change some counts or distract; each reply gives all counts, by rules that hold to the end.

    An attempt is a success if every reply is right. The score is the share of turns with the right reply.
    """

    class Config(EnvironmentConfig):
        """How long the conversations are, and how much is kept in mind."""

        turns: int = Field(20, ge=1, le=200)
        """Messages that are answered."""
        items: int = Field(4, ge=2, le=len(_ITEMS))
        """Things that are counted."""
        distractions: float = Field(0.2, ge=0, le=0.5)
        """Share of the messages, the first one left out, that distract and change nothing."""
        test_tasks: int = Field(64, ge=1)
        """Held-out conversations."""
        limits: Limits = Limits(turns=200)
        """Limits of an episode on turns, tokens, tool calls and seconds."""

    rubric = Rubric(use("format", weight=0.0, required=False), success="kept")

    @reward()
    def kept(self, case: Case) -> Verdict:
        """The share of turns in which the reply is the right line; it passes if all are."""
        replies = [split_reasoning(message["content"])[1] for message in case.messages if is_reply(message)]
        right = [" ".join(said.split()) == line for said, line in zip(replies, case.answer, strict=False)]
        first = next((turn for turn, good in enumerate(right, 1) if not good), len(right) + 1)
        if first > len(case.answer):
            return passed(turns=len(right))
        found = replies[first - 1] if first <= len(replies) else ""
        reason = f"turn {first} of {len(case.answer)}: expected {case.answer[first - 1]!r}, found {found!r:.80}"
        return wrong(reason, sum(right) / len(case.answer), first_wrong_turn=first)

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The test split is finite and the same for every seed; the training split never ends and excludes it."""
        if split == "test":
            rng = Random("long_dialogue")
            for _ in range(self.config.test_tasks):
                yield self._drawn(rng, held_out=True)
            return
        rng = Random(seed)
        while True:
            yield self._drawn(rng, held_out=False)

    async def run(self, episode: Episode) -> None:
        """Send the messages one after another, whatever the replies are."""
        chat = episode.chat()
        for message in [str(episode.task.prompt), *episode.task.info["messages"]]:
            chat.add("user", message)
            await chat.reply()

    def demonstration(self, task: Task) -> list[str]:
        """The right line after every message."""
        return list(task.answer)

    def _drawn(self, rng: Random, held_out: bool) -> Task:
        while True:
            task = self._task(rng)
            digest = hashlib.blake2b(str(task.prompt).encode(), digest_size=2).digest()
            if (digest[0] % _HELD_OUT == 0) == held_out:
                return task

    def _task(self, rng: Random) -> Task:
        word, names = rng.choice(_CODE_WORDS), rng.sample(_ITEMS, self.config.items)
        counts = {name: rng.randint(1, 30) for name in names}
        start = ", ".join(f"{count} {name}" for name, count in counts.items())
        by_name, every = rng.random() < 0.5, rng.randint(3, 5)
        order = (
            "They are in the order of the alphabet"
            if by_name
            else "The largest count comes first, and of equal ones the first in the alphabet"
        )
        mark = (
            f"Every reply whose number is a multiple of {every} ends in ` *`"
            if rng.random() < 0.5
            else "A reply ends in ` !` if the sum of all counts is even"
        )
        messages, lines = list[str](), list[str]()
        for turn in range(1, self.config.turns + 1):
            idle = turn > 1 and rng.random() < self.config.distractions
            messages.append(rng.choice(_DISTRACTIONS) if idle else _change(counts, rng))
            sort = sorted(counts.items(), key=lambda item: (0 if by_name else -item[1], item[0]))
            marked = turn % every == 0 if "multiple" in mark else sum(counts.values()) % 2 == 0
            end = (" *" if "multiple" in mark else " !") if marked else ""
            lines.append(f"{word}: {', '.join(f'{name} {count}' for name, count in sort)}{end}")
        shown = f"{word}: {names[0]} 2, {names[1]} 1"
        rules = _RULES.format(word=word, shown=shown, order=order, mark=mark, start=start, first=messages[0])
        return Task(rules, answer=lines, info={"messages": messages[1:]})


def _change(counts: dict[str, int], rng: Random) -> str:
    """Change the counts, and return the order to do so."""
    one, other = rng.sample(sorted(counts), 2)
    amount = rng.randint(1, 9)
    kinds = ["add", "set", "swap"] + (["take", "move"] if counts[one] >= amount else [])
    match rng.choice(kinds):
        case "add":
            counts[one] += amount
            return f"Add {amount} {one}."
        case "take":
            counts[one] -= amount
            return f"Take away {amount} {one}."
        case "move":
            counts[one], counts[other] = counts[one] - amount, counts[other] + amount
            return f"Exchange {amount} {one} for as many {other}."
        case "swap" if counts[one] != counts[other]:
            counts[one], counts[other] = counts[other], counts[one]
            return f"Swap the counts of {one} and {other}."
    counts[one] += amount + 1
    return f"There are {counts[one]} {one} now."
