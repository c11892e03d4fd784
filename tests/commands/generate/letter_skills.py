"""A toy family of skills: the answer is a letter that only the examples show, and later tasks show no example."""

from random import Random

from lachesis.environments.shipped.skills.environment import Skills
from lachesis.verifiers.task import Task

LETTERS = "QXZV"
PROMPT = "Procedure {family}: {example} → {letter}\nApply the procedure {family} to the word {word}."


class LetterSkills(Skills):
    """The same episodes and rewards; only the procedures are as easy as a script needs them."""

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
