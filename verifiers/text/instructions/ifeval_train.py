"""The kinds of instruction that training datasets add to IFEval's, with their names and parameters.

They come from the multi-constraint datasets used in OLMo's reinforcement learning. Where a published check contradicts
its instruction, the plain meaning of the instruction is checked.
"""

import re
from collections.abc import Callable
from itertools import pairwise

from .constraint import RELATIONS, as_count, as_letter, as_place, as_relation, as_text, constraint
from .ifeval import count_phrase, starts_with_words
from .wording import divided_paragraphs, sentences, spaced_paragraphs

Relation = Callable[[int, int], bool]

_SPOKEN = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_LOWERCASE = re.compile(r"(?<!\w)[a-z]+(?!\w)")
_BIGRAM = re.compile(r"<<\s*[^\s<>]+\s+[^\s<>]+\s*>>")
_LAST_BIGRAM = re.compile(r"<<\s*[^\s<>]+(?:\s+[^\s<>]+)?\s*>>|[^\s<>]+")


def _spoken(text: str) -> list[str]:
    """Return the words in lower case, with hyphens and apostrophes but without punctuation."""
    return [word.lower() for word in _SPOKEN.findall(text)]


@constraint("first_word:first_word_answer", first_word=as_text)
def _first_word(text: str, first_word: str) -> bool:
    return starts_with_words(text, first_word)


@constraint("first_word:first_word_sent", first_word=as_text)
def _first_of_each_sentence(text: str, first_word: str) -> bool:
    found = sentences(text)
    return bool(found) and all(starts_with_words(sentence, first_word) for sentence in found)


@constraint("last_word:last_word_answer", last_word=as_text)
def _last_word(text: str, last_word: str) -> bool:
    return _ends_with(text, last_word)


@constraint("last_word:last_word_sent", last_word=as_text)
def _last_of_each_sentence(text: str, last_word: str) -> bool:
    found = sentences(text)
    return bool(found) and all(_ends_with(sentence, last_word) for sentence in found)


def _ends_with(text: str, phrase: str) -> bool:
    asked = _spoken(phrase)
    return bool(asked) and _spoken(text[-1000:])[-len(asked) :] == asked


@constraint("keywords:word_once", keyword=as_text)
def _word_once(text: str, keyword: str) -> bool:
    return count_phrase(text, keyword, whole=True) == 1


@constraint(
    "keywords:word_count_different_numbers",
    {"relation": RELATIONS["exactly"]},
    keyword=as_text,
    frequency=as_count,
    relation=as_relation,
)
def _word_count(text: str, keyword: str, frequency: int, relation: Relation) -> bool:
    return relation(count_phrase(text, keyword, whole=True), frequency)


@constraint("count:count_increment_word", keyword1=as_text, keyword2=as_text)
def _once_and_twice(text: str, keyword1: str, keyword2: str) -> bool:
    return count_phrase(text, keyword1, whole=True) == 1 and count_phrase(text, keyword2, whole=True) == 2


@constraint("keywords:exclude_word_harder", keyword=as_text)
def _excluded(text: str, keyword: str) -> bool:
    return not count_phrase(text, keyword, whole=True)


@constraint("words:keywords_specific_position", keyword=as_text, n=as_place, m=as_place)
@constraint("keywords:keyword_specific_position", keyword=as_text, n=as_place, m=as_place)
def _position(text: str, keyword: str, n: int, m: int) -> bool:
    """Punctuation does not count as a word; IFBench has the same kind under the other name."""
    found, asked = sentences(text), _spoken(keyword)
    return len(found) >= n and bool(asked) and _spoken(found[n - 1])[m - 1 : m - 1 + len(asked)] == asked


@constraint("keywords:start_end")
def _same_ends(text: str) -> bool:
    """The text needs two words or more, and nothing after the last, not even punctuation."""
    found = _spoken(text)
    return len(found) > 1 and found[0] == found[-1] and text[-1].isalnum()


@constraint("keywords:palindrome")
def _palindrome(text: str) -> bool:
    """Only words of three letters or more count: ``a`` is in every text."""
    return any(len(word) > 2 and word.isalpha() and word == word[::-1] for word in _spoken(text))


@constraint("keywords:no_adjacent_consecutive")
def _no_consecutive_initials(text: str) -> bool:
    initials = [word[0] for word in _spoken(text)]
    return all(ord(after) - ord(before) != 1 for before, after in pairwise(initials))


@constraint("count:lowercase_counting", N=as_count)
def _lowercase_words(text: str, N: int) -> bool:
    return len(_LOWERCASE.findall(text)) <= N


@constraint("count:count_unique")
def _unique_words(text: str) -> bool:
    found = _spoken(text)
    return bool(found) and len(found) == len(set(found))


@constraint("count:counting_composition", n_sent=as_count, n_words=as_count)
def _composition(text: str, n_sent: int, n_words: int) -> bool:
    """There must be three paragraphs between dividers; punctuation does not count as a word."""
    parts = [sentences(part) for part in divided_paragraphs(text)]
    return len(parts) == 3 and all(
        len(part) == n_sent and all(len(_spoken(sentence)) == n_words for sentence in part) for part in parts
    )


@constraint("letters:letter_counting", {"relation": RELATIONS["exactly"]}, N=as_count, relation=as_relation)
def _letters(text: str, N: int, relation: Relation) -> bool:
    return relation(sum(map(str.isalpha, text)), N)


@constraint(
    "letters:letter_counting2",
    {"let_relation": RELATIONS["exactly"]},
    letter=as_letter,
    let_frequency=as_count,
    let_relation=as_relation,
)
def _one_letter(text: str, letter: str, let_frequency: int, let_relation: Relation) -> bool:
    return let_relation(text.lower().count(letter.lower()), let_frequency)


@constraint("punctuation:punctuation_dot")
def _no_dot(text: str) -> bool:
    return "." not in text and "。" not in text


@constraint("punctuation:punctuation_exclamation")
def _no_exclamation(text: str) -> bool:
    return "!" not in text and "！" not in text


@constraint("paragraphs:paragraphs")
def _two_divided(text: str) -> bool:
    parts = divided_paragraphs(text)
    return len(parts) == 2 and all(parts)


@constraint("paragraphs:paragraphs2")
def _two_spaced(text: str) -> bool:
    return len(spaced_paragraphs(text)) == 2


@constraint("copy:copy", prompt_to_repeat=as_text)
@constraint("copy:copying_simple", prompt_to_repeat=as_text)
def _copy(text: str, prompt_to_repeat: str) -> bool:
    return text.strip().lower() == prompt_to_repeat.lower()


@constraint("copy:copying_multiple", prompt_to_repeat=as_text, N=as_place)
def _copies(text: str, prompt_to_repeat: str, N: int) -> bool:
    parts = text.split("******")
    return len(parts) == N and all(part.strip().lower() == prompt_to_repeat.lower() for part in parts)


@constraint("detectable_format:square_brackets")
def _square_brackets(text: str) -> bool:
    """Each word must be in its own brackets."""
    found = text.split()
    return bool(found) and all(re.fullmatch(r"\[[^\[\]]+\][.,;:!?]?", word) for word in found)


@constraint("detectable_format:bigram_wrapping")
def _bigrams(text: str) -> bool:
    """Each pair of brackets holds two words; an odd last word may be alone in brackets, or without."""
    parts = _LAST_BIGRAM.findall(text)
    if not parts or re.sub(r"\s+", "", "".join(parts)) != re.sub(r"\s+", "", text):
        return False
    return all(_BIGRAM.fullmatch(part) for part in parts[:-1]) and parts[0].startswith("<<")
