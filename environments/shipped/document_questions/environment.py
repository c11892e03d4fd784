"""Questions about short documents: the policy writes a question with a given answer, and then answers it."""

import hashlib
import re
from collections.abc import Iterator
from random import Random
from typing import Annotated, Any

from pydantic import Field

from ....verifiers.rubric import Rubric, use
from ....verifiers.task import Task
from ...environment import Split
from ...forge.environment import ForgeEnvironment
from ...forge.fields import Record
from ...forge.graph import Graph
from ...forge.model_node import ModelNode
from ...forge.node import node
from ..leveled_tasks import leveled_tasks
from .document import NAMES, Fact, draw_document, read_facts

LEVELS = 4
LONGEST = 120
"""Most characters of a question."""
_NUMBER_WORDS = "one two three four five six seven eight nine"
_GIVEAWAYS = {*map(str.lower, NAMES), *_NUMBER_WORDS.split()}
_HELD_OUT = 8
"""One document in this many is held out and never trained on."""


@node(takes={"text": str}, gives={"facts": list}, postcondition=lambda record: len(record["facts"]) > 0)
def facts(record: Record, rng: Random) -> Record:
    """What the document states."""
    return {"facts": [list(fact) for fact in read_facts(record["text"])]}


@node(takes={"facts": list}, gives={"wanted": str, "reference": str, "clues": list})
def number_of(record: Record, rng: Random) -> Record:
    """A fact whose number is wanted."""
    fact = Fact(*rng.choice(record["facts"]))
    return {"wanted": fact.text, "reference": str(fact.number), "clues": [fact.name, fact.thing]}


@node(
    takes={"facts": list},
    gives={"wanted": str, "reference": str, "clues": list},
    precondition=lambda record: bool(_owned_once(record)),
)
def owner_of(record: Record, rng: Random) -> Record:
    """A fact whose owner is wanted; there must be only one who has so many of the thing."""
    fact = rng.choice(_owned_once(record))
    return {"wanted": fact.text, "reference": fact.name, "clues": [str(fact.number), fact.thing]}


def _owned_once(record: Record) -> list[Fact]:
    found = [Fact(*fact) for fact in record["facts"]]
    return [fact for fact in found if sum(fact[1:] == other[1:] for other in found) == 1]


def _is_question(record: Record) -> bool:
    """Whether the question is short, has the clues as words, and has no other numbers or names."""
    text, clues = record["question"], {clue.lower() for clue in record["clues"]}
    words = set(re.findall(r"\w+", text.lower()))
    others = (words & _GIVEAWAYS) | {word for word in words if any(map(str.isdigit, word))}
    return len(text) <= LONGEST and text.endswith("?") and clues <= words and others <= clues


def _good_question(record: Record) -> str:
    first, thing = record["clues"]
    return f"Who has {first} {thing}?" if first.isdigit() else f"How many {thing} has {first}?"


def _right_answer(record: Record) -> str:
    """The answer that the document gives to a question of ``_good_question``."""
    text, _, question = record["instruction"].rpartition("\n")
    words = re.findall(r"\w+", question)
    for fact in read_facts(text):
        if fact.thing in words and (fact.name in words or str(fact.number) in words):
            return str(fact.number) if fact.name in words else fact.name
    return ""


question = ModelNode(
    name="question",
    takes={"text": str, "wanted": str, "reference": str, "clues": list},
    gives={"question": str},
    prompt="{text}\n\nAsk one question about this text whose answer is {reference}, because {wanted}\n"
    "End with a question mark, and do not give the answer away.",
    postcondition=_is_question,
    demonstration=_good_question,
)


@node(takes={"text": str, "question": str}, gives={"instruction": str})
def instruct(record: Record, rng: Random) -> Record:
    """The task that is made: the document and the question."""
    return {"instruction": f"{record['text']}\nAnswer with one word or number. {record['question']}"}


answer = ModelNode(
    name="answer",
    takes={"instruction": str},
    gives={"answer": str},
    prompt="{instruction}",
    demonstration=_right_answer,
)

GRAPH = Graph(
    name="document_questions",
    takes={"text": str},
    gives={"instruction": str, "answer": str, "reference": str},
    nodes=[facts, number_of, owner_of, question, instruct, answer],
)


class DocumentQuestions(ForgeEnvironment):
    """A document becomes facts, a question and an answer; the policy writes the last two (an example of DataForge).

    An attempt is a success if the answer, for which only the document and the question are shown, is the one that the
    question was to have (``exact``). So a question must say which fact is meant, and the answer must be read right.
    """

    class Config(ForgeEnvironment.Config):
        """How long the documents are."""

        difficulty: list[Annotated[int, Field(ge=1, le=LEVELS)]] = Field(list(range(1, LEVELS + 1)), min_length=1)
        """Levels from 1 to 4, each drawn as often as it is listed; a document of level n has n + 1 sentences."""
        test_tasks: int = Field(16, ge=1)
        """Held-out documents of each level."""

    graph = GRAPH
    rubric = Rubric(use("exact", ignore_case=True), success="exact")

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The test split is finite and the same for every seed; the training split never ends and excludes it."""
        levels, tests = self.config.difficulty, self.config.test_tasks
        for task in leveled_tasks("documents", self._drawn, levels, split=split, seed=seed, test_tasks=tests):
            for number in range(self.config.walks):
                yield self._answered(self.task_of(task.info, number), task.info)

    def _drawn(self, level: int, rng: Random, held_out: bool) -> Task:
        while True:
            text = draw_document(rng, level + 1)
            digest = hashlib.blake2b(text.encode(), digest_size=2).digest()
            if (digest[0] % _HELD_OUT == 0) == held_out:
                return Task(text, info={"text": text})

    def _answered(self, task: Task, document: dict[str, Any]) -> Task:
        walk, _ = self.demonstrated(task)
        level = len(read_facts(document["text"])) - 1
        return Task(task.prompt, answer=walk.record["reference"], info={**task.info, "difficulty": level})
