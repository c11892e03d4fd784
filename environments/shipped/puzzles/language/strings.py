"""Puzzles about words and strings of letters."""

import re
from random import Random
from typing import Any, Self

from ..answers import INTEGER, LINE, NAMES, WORD
from ..mathematics.sequences import is_subsequence
from ..puzzle import Puzzle, family, until

_WORDS = """
anchor bottle candle dragon engine forest garden hammer island jacket kettle ladder market needle orange pepper quiver
ribbon saddle tunnel urchin velvet window yellow zipper bridge copper desert estate flower guitar harbor insect jungle
kitten lemon mirror nature oyster planet rocket silver temple umbrella violin walnut
"""
WORDS = _WORDS.split()
"""Common words of four letters or more, in no order."""
PARTNERS = {"(": ")", "[": "]", "<": ">"}
"""Without braces: an answer in a box may not have an unbalanced one."""


def letters(rng: Random, count: int, alphabet: str = "abcd") -> str:
    """Random letters."""
    return "".join(rng.choice(alphabet) for _ in range(count))


@family
class LetterCount(Puzzle):
    """How often a letter occurs."""

    sizes = range(10, 90, 10)
    answer = INTEGER
    wordings = ("How often does the letter {letter} occur in {text}?", "Count the letter {letter} in this text: {text}")
    text: str
    letter: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        text = letters(rng, size, "abcdefgh")
        return cls(text, rng.choice(text))

    def solve(self) -> int:
        return self.text.count(self.letter)


@family
class SubstringCount(Puzzle):
    """How often a string occurs in another, overlaps included."""

    sizes = range(12, 76, 8)
    answer = INTEGER
    wordings = (
        "How often does {part} occur in {text}? Occurrences may overlap.",
        "At how many places of {text} does {part} begin?",
    )
    text: str
    part: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(letters(rng, size, "ab"), letters(rng, 3, "ab"))
            if found.solve() > 0:
                return found

    def solve(self) -> int:
        return sum(self.text.startswith(self.part, place) for place in range(len(self.text)))


@family
class StringSteps(Puzzle):
    """A string after several changes."""

    sizes = range(2, 10)
    answer = WORD
    form = "the letters without spaces"
    wordings = (
        "Apply these steps to {text}, one after another:\n{steps}\nWhat is the result?",
        "Begin with {text} and follow the list from top to bottom:\n{steps}\nWhich letters do you end with?",
    )
    text: str
    steps: list[str]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        kinds = ["reverse", "left", "right", "double", "drop", "swap"]
        while True:
            found = cls(letters(rng, size + 4, "abcdefghijkl"), [rng.choice(kinds) for _ in range(size)])
            if found.solve() != found.text:
                return found

    def shown(self) -> dict[str, str]:
        words = {
            "reverse": "Reverse the letters.",
            "left": "Move the first 2 letters to the end.",
            "right": "Move the last 3 letters to the front.",
            "double": "Write the first letter twice.",
            "drop": "Remove the second letter.",
            "swap": "Swap the first and the last letter.",
        }
        return {"text": self.text, "steps": "\n".join(words[kind] for kind in self.steps)}

    def solve(self) -> str:
        text = self.text
        for kind in self.steps:
            results = {
                "reverse": text[::-1],
                "left": text[2:] + text[:2],
                "right": text[-3:] + text[:-3],
                "double": text[0] + text,
                "drop": text[0] + text[2:],
                "swap": text[-1] + text[1:-1] + text[0],
            }
            text = results[kind]
        return text


@family
class CommonSubsequence(Puzzle):
    """A longest common subsequence of two strings."""

    sizes = range(5, 21, 2)
    answer = WORD
    form = "the letters of the subsequence without spaces"
    wordings = (
        "Find a longest string that is left of both {first} and {second} if some letters are deleted from each.",
        "What is a longest common subsequence of {first} and {second}?",
    )
    first: str
    second: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(letters(rng, size), letters(rng, size))
            if 1 < len(found.solve()) < size:
                return found

    def solve(self) -> str:
        row = [""] * (len(self.second) + 1)
        for a in self.first:
            before, row = row, [""]
            for n, b in enumerate(self.second):
                row.append(before[n] + a if a == b else max(before[n + 1], row[n], key=len))
        return row[-1]

    def accepts(self, found: Any) -> bool:
        both = is_subsequence(found, list(self.first)) and is_subsequence(found, list(self.second))
        return both and len(found) == len(self.solve())


@family
class EditDistance(Puzzle):
    """How many changes turn one string into another."""

    sizes = range(4, 20, 2)
    answer = INTEGER
    wordings = (
        "How many letters must at least be inserted, deleted or replaced to turn {first} into {second}?",
        "What is the Levenshtein distance between {first} and {second}?",
    )
    first: str
    second: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(letters(rng, size), letters(rng, size + rng.randint(-1, 1)))
            if found.solve() > 1:
                return found

    def solve(self) -> int:
        row = list(range(len(self.second) + 1))
        for i, a in enumerate(self.first, 1):
            before, row = row, [i]
            for j, b in enumerate(self.second):
                row.append(min(before[j] + (a != b), before[j + 1] + 1, row[j] + 1))
        return row[-1]


@family
class RunLengths(Puzzle):
    """A string written as runs, to be written out."""

    sizes = range(3, 19, 2)
    answer = WORD
    form = "the letters without spaces"
    wordings = (
        "In the code {code} each number says how often the letter after it is written. Write it out.",
        "Expand the run-length code {code}, in which 3a stands for aaa.",
    )
    code: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls("".join(f"{rng.randint(1, 9)}{rng.choice('abcdef')}" for _ in range(size)))

    def solve(self) -> str:
        return re.sub(r"(\d)(.)", lambda run: run[2] * int(run[1]), self.code)


@family
class LongestPalindrome(Puzzle):
    """A longest part of a string that reads the same backwards."""

    sizes = range(8, 40, 4)
    answer = WORD
    form = "the letters of that part without spaces"
    wordings = (
        "What is a longest contiguous part of {text} that reads the same backwards?",
        "Find a longest palindromic substring of {text}.",
    )
    text: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(letters(rng, size, "abc"))
            if 3 <= len(found.solve()) < size:
                return found

    def solve(self) -> str:
        size = len(self.text)
        parts = (self.text[i : i + length] for length in range(size, 0, -1) for i in range(size - length + 1))
        return next(part for part in parts if part == part[::-1])

    def accepts(self, found: Any) -> bool:
        return found in self.text and found == found[::-1] and len(found) == len(self.solve())


@family
class ClosingBrackets(Puzzle):
    """The brackets that close all open ones."""

    sizes = range(4, 36, 4)
    answer = LINE
    form = "the missing closing brackets without spaces"
    wordings = (
        "Which closing brackets must follow {text} so that all brackets are closed in the right order?",
        "Complete the sequence {text} with closing brackets only; give only what is missing.",
    )
    text: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        text, opened = "", ""
        while len(text) < size or not opened:
            if opened and rng.random() < 0.35:
                text, opened = text + PARTNERS[opened[-1]], opened[:-1]
            else:
                bracket = rng.choice("([<")
                text, opened = text + bracket, opened + bracket
        return cls(text)

    def solve(self) -> str:
        opened: list[str] = []
        for bracket in self.text:
            if bracket in PARTNERS:
                opened.append(PARTNERS[bracket])
            else:
                opened.pop()
        return "".join(reversed(opened))


@family
class SortWords(Puzzle):
    """Words in alphabetical order."""

    sizes = range(4, 36, 4)
    answer = NAMES
    form = "all the words in their order, separated by commas"
    wordings = ("Sort these words alphabetically: {words}", "Put the words {words} into dictionary order.")
    words: list[str]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(until(lambda: rng.sample(WORDS, size), lambda found: found != sorted(found)))

    def solve(self) -> list[str]:
        return sorted(self.words)


@family
class MatchingString(Puzzle):
    """A string that a regular expression matches."""

    sizes = range(2, 10)
    answer = LINE
    form = "the string, without quotes"
    wordings = (
        "Give a string of exactly {length} characters that the regular expression {pattern} matches as a whole.",
        "Which string with {length} characters is matched by ^{pattern}$? Any that fits counts.",
    )
    pattern: str
    length: int
    plan: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        pattern, plan = "", ""
        for _ in range(size):
            chosen = rng.sample("abcdefgh", 3)
            count = rng.randint(1, 3)
            part = rng.choice(
                [f"[{''.join(chosen)}]{{{count}}}", f"[^{''.join(chosen)}]{{{count}}}", "(ab|cde)", "x[0-9]"]
            )
            pattern += part
            fill = chosen[0] if part.startswith("[") and not part.startswith("[^") else "z"
            plan += {"(": rng.choice(["ab", "cde"]), "x": f"x{rng.randint(0, 9)}"}.get(part[0], fill * count)
        return cls(pattern, len(plan), plan)

    def solve(self) -> str:
        return self.plan

    def accepts(self, found: Any) -> bool:
        return len(found) == self.length and re.fullmatch(self.pattern, found) is not None
