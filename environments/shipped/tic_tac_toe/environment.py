"""Tic-tac-toe between two agents, or between an agent and a scripted opponent."""

import random
import re
from collections.abc import Iterator
from itertools import permutations
from typing import Any, Literal, get_args

from pydantic import Field

from ....verifiers.rubric import Rubric
from ....verifiers.task import Task
from ....verifiers.text.think import split_reasoning
from ....verifiers.verdict import Verdict, passed, unparseable, wrong
from ...environment import Environment, EnvironmentConfig, Split
from ...episode import Episode
from .board import Board, Mark, scripted_move

HELD_OUT = 100
"""Most openings in the test split; short openings allow fewer."""

_MOVE = re.compile(r"(?:.*\s)?([1-9])\.?", re.DOTALL)


class TicTacToe(Environment):
    """Self-play of ``x`` and ``o``: each gets 1 for a win, ``draw`` for a draw and 0 for a loss; illegal moves lose.

    A game that an agent does not lose is a success, because perfect play on both sides ends in a draw. With
    ``draw = 0`` only a win is.
    """

    agents = get_args(Mark)

    class Config(EnvironmentConfig):
        """The players, and the beginning of games."""

        opponent: Literal["self", "random", "first", "perfect"] = "self"
        """The player of the other side: an agent, or a script (a random free cell, the lowest, or a best one)."""
        side: Mark = "x"
        """The agent's side if the opponent is a script."""
        opening: int = Field(2, ge=0, le=4)
        """Random moves before the game begins, so that games differ."""
        draw: float = Field(0.5, ge=0, le=1)
        """The reward of each side for a draw."""
        rules: str = "Tic-tac-toe. Free cells show their number. Reply with the number of your cell and nothing else."
        """The rules, which are the first message to each agent."""

    rubric = Rubric(success="result")

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if self.config.opponent != "self":
            self.agents = (self.config.side,)

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """Each opening once, in an order decided by ``seed``; a fifth is held out, the same for every seed."""
        openings = list(permutations(range(1, 10), self.config.opening))  # after four moves nobody has won
        random.Random("tic_tac_toe").shuffle(openings)
        held_out = min(HELD_OUT, len(openings) // 5)
        if split == "test":
            yield from map(self._task, openings[: held_out or 1])
            return
        train = openings[held_out:]
        random.Random(seed).shuffle(train)
        yield from map(self._task, train)

    async def run(self, episode: Episode) -> None:
        """The players move in turn until the game is over; an impossible move ends it."""
        board, opponent = Board(tuple(episode.task.info["opening"])), self._opponent(episode.task)
        while not board.over:
            mark = board.turn
            self._note(episode, board, f"{mark} made no move")
            if mark in self.agents:
                cell = await self._move(episode, board)
            else:
                cell = scripted_move(self.config.opponent, board, opponent)
            if cell not in board.free:
                return
            board = board.after(cell)
        self._note(episode, board, "")

    async def finish(self, episode: Episode) -> None:
        """Give each agent its reward. If a limit ended the game, the agent whose turn it was has lost."""
        board, fault = Board(tuple(episode.artifacts["moves"])), episode.artifacts["fault"]
        for agent in self.agents:
            episode.reward("result", self._verdict(agent, board, fault), agent=agent)

    def demonstration(self, task: Task) -> dict[str, list[str]]:
        """A best move at every turn, against the same opponent."""
        board, opponent = Board(tuple(task.info["opening"])), self._opponent(task)
        own, said = random.Random(f"best {task.hash}"), {agent: list[str]() for agent in self.agents}
        while not board.over:
            mark = board.turn
            if mark in said:
                cell = scripted_move("perfect", board, own)
                said[mark].append(str(cell))
            else:
                cell = scripted_move(self.config.opponent, board, opponent)
            board = board.after(cell)
        return said

    async def _move(self, episode: Episode, board: Board) -> int:
        """The cell that the agent to move names; 0 if it names none."""
        chat = episode.chat(board.turn)
        told = any(message["role"] == "user" for message in chat.messages)
        chat.add("user", str(board) if told else f"{episode.task.prompt}\nYou play {board.turn}.\n{board}")
        reply = await chat.reply()
        found = _MOVE.fullmatch(split_reasoning(reply.raw)[1].strip())
        if not found:
            self._note(episode, board, f"{board.turn} named no cell: {reply.raw[:80]!r}")
            return 0
        if int(found[1]) not in board.free:
            self._note(episode, board, f"illegal move: {board.turn} takes cell {found[1]}, which is not free")
        return int(found[1])

    def _note(self, episode: Episode, board: Board, fault: str) -> None:
        episode.artifacts |= {"moves": list(board.moves), "fault": fault}

    def _verdict(self, agent: str, board: Board, fault: str) -> Verdict:
        if fault:
            if agent != board.turn:
                return passed(f"won: {fault}")
            return wrong(fault) if fault.startswith("illegal") else unparseable(fault)
        if board.winner is None:
            return Verdict(self.config.draw, reason="a draw")
        return passed("won") if board.winner == agent else wrong("lost")

    def _opponent(self, task: Task) -> random.Random:
        """The opponent's random numbers, seeded by the task: all attempts at it meet the same opponent."""
        return random.Random(f"opponent {task.hash}")

    def _task(self, moves: tuple[int, ...]) -> Task:
        return Task(self.config.rules, info={"opening": list(moves)})
