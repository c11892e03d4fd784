"""Puzzles about automata and small programs."""

from collections import deque
from random import Random
from typing import Any, Self

from ..answers import INTEGER, INTEGERS, LINE, WORD
from ..puzzle import Puzzle, family


@family
class AutomatonRun(Puzzle):
    """The states that an automaton goes through."""

    sizes = range(4, 36, 4)
    answer = INTEGERS
    form = "the states after each letter, in order, separated by commas"
    wordings = (
        "An automaton begins in state 1. Each line says where a and b lead from a state:\n{table}\nWhich states does "
        "it reach while it reads {text}?",
        "State, next state on a, next state on b:\n{table}\nFollow the input {text} from state 1.",
    )
    moves: list[list[int]]
    text: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        states = 3 + size // 8
        moves = [[rng.randint(1, states), rng.randint(1, states)] for _ in range(states)]
        return cls(moves, "".join(rng.choice("ab") for _ in range(size)))

    def shown(self) -> dict[str, str]:
        return {"table": "\n".join(f"{n}: {a} {b}" for n, (a, b) in enumerate(self.moves, 1)), "text": self.text}

    def solve(self) -> list[int]:
        state, found = 1, []
        for letter in self.text:
            state = self.moves[state - 1]["ab".index(letter)]
            found.append(state)
        return found


@family
class AcceptedWord(Puzzle):
    """An input that leads an automaton to its goal."""

    sizes = range(4, 20, 2)
    answer = WORD
    form = "the input as letters a and b without spaces, at most 100 of them"
    wordings = (
        "An automaton begins in state 1. Each line says where a and b lead from a state:\n{table}\nFind an input that "
        "ends in state {goal}.",
        "State, next state on a, next state on b:\n{table}\nWhich word over a and b leads from state 1 to state "
        "{goal}?",
    )
    moves: list[list[int]]
    goal: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            moves = [[rng.randint(1, size), rng.randint(1, size)] for _ in range(size)]
            found = cls(moves, rng.randint(2, size))
            if len(found.solve()) > 1:
                return found

    def shown(self) -> dict[str, str]:
        lines = "\n".join(f"{n}: {a} {b}" for n, (a, b) in enumerate(self.moves, 1))
        return {"table": lines, "goal": str(self.goal)}

    def solve(self) -> str:
        words, queue = {1: ""}, deque([1])
        while queue and self.goal not in words:
            state = queue.popleft()
            for letter, after in zip("ab", self.moves[state - 1], strict=True):
                if after not in words:
                    words[after] = words[state] + letter
                    queue.append(after)
        return words.get(self.goal, "")

    def accepts(self, found: Any) -> bool:
        if len(found) > 100 or not set(found) <= {"a", "b"}:
            return False
        state = 1
        for letter in found:
            state = self.moves[state - 1]["ab".index(letter)]
        return state == self.goal


@family
class StackProgram(Puzzle):
    """The result of an expression in postfix notation."""

    sizes = range(2, 18, 2)
    answer = INTEGER
    wordings = (
        "Evaluate this expression in postfix (reverse Polish) notation: {tokens}",
        "A stack machine pushes numbers, and replaces the top two by their result for + - *. What is left after "
        "{tokens}?",
    )
    tokens: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        tokens, depth, left = [], 0, size + 1
        while left or depth > 1:
            if depth < 2 or (left and rng.random() < 0.5):
                tokens.append(str(rng.randint(2, 12)))
                depth, left = depth + 1, left - 1
            else:
                tokens.append(rng.choice("+-*"))
                depth -= 1
        return cls(" ".join(tokens))

    def solve(self) -> int:
        stack: list[int] = []
        for token in self.tokens.split():
            if token.isdigit():
                stack.append(int(token))
            else:
                b, a = stack.pop(), stack.pop()
                stack.append({"+": a + b, "-": a - b, "*": a * b}[token])
        return stack[0]


@family
class RegisterProgram(Puzzle):
    """The registers after a program."""

    sizes = range(3, 19, 2)
    answer = INTEGERS
    form = "the final values of A, B and C, separated by commas"
    wordings = (
        "The registers hold A = {a}, B = {b}, C = {c}. What do they hold after this program?\n{program}",
        "Run this program with A = {a}, B = {b} and C = {c}:\n{program}\nWhat are the values in the end?",
    )
    start: list[int]
    lines: list[list[Any]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        def line() -> list[Any]:
            to, other = rng.sample("ABC", 2)
            return rng.choice([[to, "+", other], [to, "-", other], [to, "*", rng.choice("23")], [to, "swap", other]])

        while True:
            found = cls([rng.randint(1, 9) for _ in range(3)], [line() for _ in range(size)])
            if found.solve() != found.start:
                return found

    def shown(self) -> dict[str, str]:
        swaps = (f"swap {a} and {b}" if sign == "swap" else f"{a} = {a} {sign} {b}" for a, sign, b in self.lines)
        return {**dict(zip("abc", map(str, self.start), strict=True)), "program": "\n".join(swaps)}

    def solve(self) -> list[int]:
        values = dict(zip("ABC", self.start, strict=True))
        for a, sign, b in self.lines:
            left, right = values[a], values[b] if b in values else int(b)
            if sign == "swap":
                values[a], values[b] = right, left
            else:
                values[a] = {"+": left + right, "-": left - right, "*": left * right}[sign]
        return list(values.values())


@family
class LoopProgram(Puzzle):
    """The result of a loop with a condition."""

    sizes = range(3, 19, 2)
    answer = INTEGER
    wordings = (
        "What does this Python program print?\n\nx = {start}\nfor i in range(1, {rounds} + 1):\n    if x % {modulus} "
        "== 0:\n        x = x // {modulus} + i\n    else:\n        x = x * {factor} + i\nprint(x)",
        "Let x = {start}. For i = 1, 2, …, {rounds}: if {modulus} divides x, then x becomes x / {modulus} + i; "
        "otherwise x becomes {factor} * x + i. What is x in the end?",
    )
    start: int
    rounds: int
    modulus: int
    factor: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(rng.randint(2, 99), size, rng.randint(2, 5), rng.randint(2, 4))

    def solve(self) -> int:
        x = self.start
        for i in range(1, self.rounds + 1):
            x = x // self.modulus + i if x % self.modulus == 0 else x * self.factor + i
        return x


@family
class CellularAutomaton(Puzzle):
    """A row of cells after some steps of a rule."""

    sizes = range(8, 24, 2)
    answer = WORD
    form = "the cells as digits 0 and 1 without spaces"
    wordings = (
        "In each step a cell becomes what this table says for the cell with its two neighbours; the ends are next to "
        "each other: {rule}. What does {cells} become after {steps} steps?",
        "Apply the one-dimensional cellular automaton {rule} to the ring of cells {cells}, {steps} times.",
    )
    number: int
    cells: str
    steps: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(rng.randint(1, 254), "".join(rng.choice("01") for _ in range(size)), size // 4)
            if found.solve() != found.cells:
                return found

    def shown(self) -> dict[str, str]:
        rule = ", ".join(f"{n:03b} → {self.number >> n & 1}" for n in range(8))
        return {"rule": rule, "cells": self.cells, "steps": str(self.steps)}

    def solve(self) -> str:
        cells, size = self.cells, len(self.cells)
        for _ in range(self.steps):
            near = (int(cells[n - 1] + cells[n] + cells[(n + 1) % size], 2) for n in range(size))
            cells = "".join(str(self.number >> n & 1) for n in near)
        return cells


@family
class RewriteSystem(Puzzle):
    """A string after rewriting as long as possible."""

    sizes = range(4, 20, 2)
    answer = LINE
    form = "the final string of letters a, b and c"
    wordings = (
        "Replace the leftmost occurrence of {left} in {text} by {right}, again and again, until {left} no longer "
        "occurs. What is left?",
        "A system has the rule {left} → {right}, which always changes the leftmost place where it fits. Where does "
        "{text} end?",
    )
    text: str
    left: str
    right: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        rules = [
            ("ab", "b"),
            ("ab", "ca"),
            ("ba", "ab"),
            ("ab", "ba"),
            ("aa", "b"),
            ("bc", "a"),
            ("abc", "cb"),
            ("cb", "bc"),
        ]
        while True:
            found = cls("".join(rng.choice("abc") for _ in range(size)), *rng.choice(rules))
            if found.left in found.text:
                return found

    def solve(self) -> str:
        text = self.text
        while self.left in text:
            text = text.replace(self.left, self.right, 1)
        return text


@family
class TuringTape(Puzzle):
    """The tape of a machine after some steps."""

    sizes = range(4, 36, 4)
    answer = WORD
    form = "the cells of the tape from left to right as digits without spaces"
    wordings = (
        "A machine stands on the first cell of the ring-shaped tape {tape} in state A. Each line gives a state, the "
        "digit read, the digit to write, the move (L or R) and the next state:\n{rules}\nWhat is on the tape after "
        "{steps} steps?",
        "Simulate {steps} steps of this machine on the circular tape {tape}, beginning at its first cell in state A. "
        "(State, read, write, move, next state.)\n{rules}",
    )
    tape: str
    rules: list[list[Any]]
    steps: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            keys = [(state, digit) for state in "AB" for digit in "01"]
            rules = [[*key, rng.choice("01"), rng.choice("LR"), rng.choice("AB")] for key in keys]
            found = cls("".join(rng.choice("01") for _ in range(6 + size // 8)), rules, size)
            if found.solve() != found.tape:
                return found

    def solve(self) -> str:
        rules = {(state, read): rest for state, read, *rest in self.rules}
        tape, place, state = list(self.tape), 0, "A"
        for _ in range(self.steps):
            tape[place], move, state = rules[state, tape[place]]
            place = (place + (1 if move == "R" else -1)) % len(tape)
        return "".join(tape)
