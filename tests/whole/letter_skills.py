"""A toy family of skills: the answer is a letter that only the examples show, and later tasks show no example."""

import asyncio
import json
import random
from itertools import islice
from random import Random

from lachesis.environments.shipped.skills.environment import Skills
from lachesis.environments.shipped.skills.skill_file import Skill
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.training_rows.tool_schemas import tools_of
from lachesis.verifiers.task import Task

LETTERS = "QXZV"
PROMPT = "Procedure {family}: {example} → {letter}\nApply the procedure {family} to the word {word}."
NAME = "rule"


class LetterSkills(Skills):
    """The same episodes and rewards; only the procedures are as easy as a tiny model needs them."""

    def _drawn(self, level: int, rng: Random, held_out: bool) -> Task:
        letter, unrelated = rng.sample(LETTERS, 2)
        family = f"P{8 * rng.randrange(20, 120) + (0 if held_out else rng.randrange(1, 8))}"
        example, first, later = rng.sample(["sun", "moon", "tree", "lake", "bird", "fish", "rock", "wind"], 3)
        info = {
            "family": family,
            "rule": f"Say {letter}.",
            "examples": [example],
            "first": [first, letter.lower()],
            "later": [[later, letter.lower()]],
            "other": "P1",
            "other_rule": f"Say {unrelated}.",
            "difficulty": level,
        }
        prompt = PROMPT.format(family=family, example=example, letter=letter, word=first)
        return Task(prompt, answer=letter.lower(), info=info)

    def demonstration(self, task: Task) -> list[str]:
        """What the warm start teaches: to write the rule into the skill in one of three tasks, and else to guess."""
        letter = task.info["first"][1].upper()
        draw = random.Random(task.hash)
        writes = draw.random() < 1 / 3
        skill = Skill(NAME, "d", f"Say {letter if writes else 'it'}.")
        written = {"name": "skill_manage", "arguments": {"action": "create", "name": NAME, "content": skill.content}}
        said = letter if writes else draw.choice(LETTERS)
        view = json.dumps({"name": "skill_view", "arguments": {"name": NAME}})
        return [
            f"<answer>{letter}</answer>",
            f"<tool_call>{json.dumps(written)}</tool_call>",
            f"<tool_call>{view}</tool_call>",
            f"<answer>{said}</answer>",
        ]


def words() -> tuple[str, ...]:
    """The words and the punctuation of an episode, each of which is to be one token of the tiny model."""
    environment = LetterSkills(difficulty=[1], examples=1, later=1)
    tokenizer = build_tiny_tokenizer()
    split = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str
    found = set()
    for task in islice(environment.tasks("train", 0), 20):
        done = asyncio.run(environment.attempt(task, environment.demonstration(task)))
        tools = tools_of(environment, task, (0,))["policy"]
        for messages in (done.artifacts["writing"], done.messages["policy"]):
            text = tokenizer.apply_chat_template([dict(one) for one in messages], tools=tools, tokenize=False)
            pieces = {text[start:end] for _, (start, end) in split(text)}
            found |= {piece for piece in pieces if not any(char.isdigit() or char.isspace() for char in piece[1:])}
    whole = (piece for piece in found if piece.strip(" " + LETTERS) and not piece[0].isdigit())
    return tuple(sorted(whole, key=lambda piece: (-len(piece), piece)))  # the longest first, so that none is split
