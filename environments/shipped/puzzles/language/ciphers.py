"""Puzzles about ciphers and codes."""

from collections import Counter
from random import Random
from string import ascii_lowercase as ALPHABET
from typing import Any, Self

from ..answers import LINE, WORD
from ..puzzle import Puzzle, family
from .strings import WORDS


def shifted(text: str, keys: list[int]) -> str:
    """The text with each letter moved on in the alphabet by the next of ``keys``, in turn."""
    moved, turn = "", 0
    for letter in text:
        if letter == " ":
            moved += letter
            continue
        moved += ALPHABET[(ALPHABET.index(letter) + keys[turn % len(keys)]) % 26]
        turn += 1
    return moved


class _Secret(Puzzle):
    """A text that was encrypted; the answer is the plain text, in any case."""

    answer = LINE
    form = "the plain text in lower case, with spaces between the words"

    def accepts(self, found: Any) -> bool:
        return bool(found.lower().split() == self.solve().split())


@family
class CaesarCipher(_Secret):
    """A text in which all letters were shifted alike."""

    sizes = range(1, 9)
    wordings = (
        "Every letter of a text was moved {shift} places on in the alphabet, from z on to a: {secret}. What was the "
        "text?",
        "Decrypt this Caesar cipher, whose key is {shift} (a became the letter {shift} places later): {secret}",
    )
    secret: str
    shift: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        shift = rng.randint(1, 25)
        return cls(shifted(" ".join(rng.sample(WORDS, size)), [shift]), shift)

    def solve(self) -> str:
        return shifted(self.secret, [-self.shift])


@family
class VigenereCipher(_Secret):
    """A text in which letters were shifted by the letters of a key."""

    sizes = range(1, 9)
    wordings = (
        "Decrypt the Vigenère cipher {secret} with the key {key}. A key letter a shifts by 0, b by 1, and so on; "
        "spaces use up no key letter.",
        "A text was encrypted by Vigenère's method with the key {key} (a = 0, b = 1, …; spaces are skipped): "
        "{secret}. What does it say?",
    )
    secret: str
    key: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        key, *words = rng.sample(WORDS, size + 1)
        return cls(shifted(" ".join(words), [ALPHABET.index(letter) for letter in key]), key)

    def solve(self) -> str:
        return shifted(self.secret, [-ALPHABET.index(letter) for letter in self.key])


@family
class SubstitutionCipher(_Secret):
    """A text in which each letter was replaced by the one below it in a table."""

    sizes = range(1, 9)
    wordings = (
        "Each letter of the first row was replaced by the letter below it.\n"
        + ALPHABET
        + "\n{table}\nDecrypt: {secret}",
        "The key of a substitution cipher turns " + ALPHABET + " into {table}. Which text became {secret}?",
    )
    secret: str
    table: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        table = "".join(rng.sample(ALPHABET, 26))
        return cls(" ".join(rng.sample(WORDS, size)).translate(str.maketrans(ALPHABET, table)), table)

    def solve(self) -> str:
        return self.secret.translate(str.maketrans(self.table, ALPHABET))


@family
class RailFence(_Secret):
    """A text that was written in a zigzag and read by rows."""

    sizes = range(1, 9)
    answer = WORD
    form = "the plain text in lower case without spaces"
    wordings = (
        "A text without spaces was written as a zigzag over {rails} rows, down and up again, and then read row by "
        "row: {secret}. What was the text?",
        "Decrypt this rail-fence cipher with {rails} rails: {secret}",
    )
    secret: str
    rails: int

    @staticmethod
    def _order(length: int, rails: int) -> list[int]:
        period = 2 * rails - 2
        return sorted(range(length), key=lambda n: min(n % period, period - n % period))

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        text, rails = "".join(rng.sample(WORDS, size)), rng.randint(2, 3 + size // 3)
        return cls("".join(text[n] for n in cls._order(len(text), rails)), rails)

    def solve(self) -> str:
        places = zip(self._order(len(self.secret), self.rails), self.secret, strict=True)
        return "".join(letter for _, letter in sorted(places))


@family
class ColumnCipher(_Secret):
    """A text that was written in rows and read by columns."""

    sizes = range(1, 9)
    answer = WORD
    form = "the plain text in lower case without spaces"
    wordings = (
        "A text without spaces was written in rows of {width} letters under the column numbers {order}. The columns "
        "were then read from top to bottom, column 1 first: {secret}. What was the text?",
        "Undo this columnar transposition. The rows have {width} letters, the columns are headed {order} from left to "
        "right, and they were read out in the order of these numbers: {secret}",
    )
    secret: str
    order: list[int]

    @staticmethod
    def _places(length: int, order: list[int]) -> list[int]:
        columns = sorted(range(len(order)), key=lambda n: order[n])
        return [n for column in columns for n in range(column, length, len(order))]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        text, width = "".join(rng.sample(WORDS, size)), rng.randint(2, min(4, 2 + size // 2))
        order = rng.sample(range(1, width + 1), width)
        return cls("".join(text[n] for n in cls._places(len(text), order)), order)

    def shown(self) -> dict[str, str]:
        return {**super().shown(), "width": str(len(self.order))}

    def solve(self) -> str:
        return "".join(
            letter for _, letter in sorted(zip(self._places(len(self.secret), self.order), self.secret, strict=True))
        )


_CODES = """
.- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --..
"""
MORSE = dict(zip(ALPHABET, _CODES.split(), strict=True))


@family
class MorseCode(_Secret):
    """A text in Morse code."""

    sizes = range(1, 9)
    wordings = (
        "What does this say in Morse code? Letters are separated by spaces, and words by slashes: {secret}",
        "Decode: {secret} (Morse code, with / between words)",
    )
    secret: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        words = rng.sample(WORDS, size)
        return cls(" / ".join(" ".join(MORSE[letter] for letter in word) for word in words))

    def solve(self) -> str:
        letters = {code: letter for letter, code in MORSE.items()}
        return " ".join("".join(letters[code] for code in word.split()) for word in self.secret.split(" / "))


@family
class BinaryText(_Secret):
    """A text in binary numbers."""

    sizes = range(1, 9)
    answer = WORD
    form = "the text in lower case"
    wordings = (
        "Each group of bits is the ASCII code of a letter: {secret}. Which letters are they?",
        "Decode this text from 8-bit ASCII: {secret}",
    )
    secret: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        text = "".join(rng.sample(WORDS, size))[: 4 * size]
        return cls(" ".join(f"{ord(letter):08b}" for letter in text))

    def solve(self) -> str:
        return "".join(chr(int(bits, 2)) for bits in self.secret.split())


def matches(code: str, guess: str) -> tuple[int, int]:
    """The digits of ``guess`` that are right in their place, and those that are right in another."""
    bulls = sum(a == b for a, b in zip(code, guess, strict=True))
    return bulls, (Counter(code) & Counter(guess)).total() - bulls


@family
class Mastermind(Puzzle):
    """A code that agrees with all the answers to earlier guesses."""

    sizes = range(3, 11)
    answer = LINE
    form = "the digits of the code without spaces"
    wordings = (
        "A code has {length} digits from 1 to 6. For each guess you see how many digits are right in their place, and "
        "how many are right but elsewhere. Find a code that fits all of this:\n{guesses}",
        "In a game of Mastermind with {length} digits from 1 to 6, these guesses got these answers:\n{guesses}\nGive "
        "a code that agrees with all of them.",
    )
    guesses: list[str]
    plan: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        plan, *guesses = ("".join(rng.choice("123456") for _ in range(size)) for _ in range(size + 2))
        return cls(sorted(set(guesses) - {plan}), plan)

    def shown(self) -> dict[str, str]:
        lines = [f"{guess}: {right} in place, {near} elsewhere" for guess, right, near in self._answers()]
        return {"length": str(len(self.plan)), "guesses": "\n".join(lines)}

    def _answers(self) -> list[tuple[str, int, int]]:
        return [(guess, *matches(self.plan, guess)) for guess in self.guesses]

    def solve(self) -> str:
        return self.plan

    def accepts(self, found: Any) -> bool:
        if len(found) != len(self.plan) or not set(found) <= set("123456"):
            return False
        return all(matches(found, guess) == (right, near) for guess, right, near in self._answers())
