"""Puzzles that every attempt is asked in words of its own, so that the same answer is asked for in several ways."""

from ...verifiers.rubric import Rubric, use
from ..episode import Episode
from .puzzles.catalogue import FAMILIES
from .puzzles.environment import Puzzles


class Paraphrases(Puzzles):
    """The tasks of ``puzzles``, but each attempt at a task has its own wording of the question.

    An attempt is a success if its answer solves the puzzle. Right answers earn more, the more attempts of the group
    give the same one (``consistency``).
    """

    rubric = Rubric(
        use("consistency", weight=0.5, of="puzzle"), use("format", weight=0.0, required=False), success="puzzle"
    )

    async def run(self, episode: Episode) -> None:
        """Ask the puzzle in the wording that the episode's seed chooses."""
        info = episode.task.info
        family = FAMILIES[info["family"]]
        question = family(**info["puzzle"]).question(episode.rng.randrange(len(family.wordings)))
        chat = episode.chat()
        chat.add("user", f"{question}\n{episode.rng.choice(self.places)}")
        await chat.reply()
