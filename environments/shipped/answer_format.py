"""Easy questions whose answer must have exactly the form that the prompt asks for."""

import hashlib
import itertools
import random
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from ...verifiers.rubric import Rubric, use
from ...verifiers.task import Task
from ...verifiers.text.forms import FORMS, SLOT
from ..environment import Environment, EnvironmentConfig, Split
from ..name_check import known_names

TEST_TASKS = 4
"""Held-out tasks of each form."""
_HELD_OUT = 8
"""One question in this many is held out and never trained on."""
_CAPITALS = {
    **{"Austria": "Vienna", "Chile": "Santiago", "Cuba": "Havana", "Denmark": "Copenhagen", "Egypt": "Cairo"},
    **{"Finland": "Helsinki", "France": "Paris", "Greece": "Athens", "Hungary": "Budapest", "Iraq": "Baghdad"},
    **{"Ireland": "Dublin", "Italy": "Rome", "Japan": "Tokyo", "Kenya": "Nairobi", "Norway": "Oslo"},
    **{"Peru": "Lima", "Poland": "Warsaw", "Portugal": "Lisbon", "Russia": "Moscow", "Spain": "Madrid"},
    **{"Sweden": "Stockholm", "Thailand": "Bangkok", "Vietnam": "Hanoi", "Germany": "Berlin"},
}
_OPPOSITES = {
    **{"hot": "cold", "early": "late", "wet": "dry", "strong": "weak", "young": "old", "full": "empty"},
    **{"rich": "poor", "north": "south", "east": "west", "first": "last", "day": "night", "up": "down"},
}
_ASKS = {
    "off": "Reply with {}, and nothing before or after it",
    "optional": "Reply with {}, and nothing else beside it",
    "required": "First think in one <think> … </think> block. Then reply with {}, and nothing else beside it",
}


class AnswerFormat(Environment):
    """An easy question whose answer must have one of some ninety forms: boxes, tags, Markdown, JSON, literals, …

    An attempt is a success if the answer is right and has the form (``answer_form``).
    """

    class Config(EnvironmentConfig):
        """Which forms are asked for, and whether replies reason first."""

        forms: Annotated[list[str], known_names("form", FORMS)] = Field(default_factory=list)
        """Names of forms, as in the verifier ``answer_form``; all if empty."""
        think: Literal["off", "optional", "required"] = "optional"
        """Whether a reply may or must begin with one ``<think>`` block. A reply that breaks the rule earns nothing."""

    rubric = Rubric(
        use("answer_form"), use("answer_form", label="form", weight=0.0, value=False), success="answer_form"
    )

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        think = self.config.think
        reasoning = think != "off"
        form = use("answer_form", label="form", weight=0.0, value=False, reasoning=reasoning)
        parts = [use("answer_form", reasoning=reasoning), form]
        if think != "off":
            parts.insert(0, use("format", gate=True, weight=0.0, required=think == "required"))
        self.rubric = Rubric(*parts, success="answer_form").with_methods(self)

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The test split is finite and the same for every seed; the training split never ends."""
        names = self.config.forms or list(FORMS)
        rng = random.Random("answer_format" if split == "test" else seed)
        endless = (rng.choice(names) for _ in itertools.count())
        for name in names * TEST_TASKS if split == "test" else endless:
            while _is_held_out(drawn := _draw(rng)) != (split == "test"):
                pass
            yield self._task(name, *drawn)

    def demonstration(self, task: Task) -> str:
        """The answer in its form, after a thought if one is required."""
        thought = "<think>\nThis is easy.\n</think>\n" if self.config.think == "required" else ""
        return thought + FORMS[task.info["form"]].write(task.answer)

    def _task(self, name: str, question: str, answer: str) -> Task:
        form = FORMS[name]
        ask = f"{_ASKS[self.config.think].format(form.words)}, your answer in place of {SLOT}:"
        return Task(f"{question}\n\n{ask}\n\n{form.shape}", answer=answer, info={"form": name})


def _draw(rng: random.Random) -> tuple[str, str]:
    """A question and its answer."""
    a, b = rng.randint(2, 99), rng.randint(2, 99)
    match rng.randrange(5):
        case 0:
            return f"What is {a} + {b}?", str(a + b)
        case 1:
            return f"What is {max(a, b)} - {min(a, b)}?", str(abs(a - b))
        case 2:
            return f"What is {a % 10 + 2} times {b % 10 + 2}?", str((a % 10 + 2) * (b % 10 + 2))
        case 3:
            country = rng.choice(list(_CAPITALS))
            return f"What is the capital of {country}?", _CAPITALS[country]
    word = rng.choice(list(_OPPOSITES))
    return f"What is the opposite of the word {word}, in one word?", _OPPOSITES[word]


def _is_held_out(drawn: tuple[str, str]) -> bool:
    return hashlib.blake2b(drawn[0].encode(), digest_size=2).digest()[0] % _HELD_OUT == 0
