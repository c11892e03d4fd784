"""The kinds of instruction of IFBench (arXiv 2507.02833) about words, counts, ratios and sentences.

The plain meaning of each instruction is checked.
"""

import re
from collections import Counter
from itertools import groupby, pairwise

import regex

from .constraint import as_count, as_place, as_text, constraint
from .ifeval import count_phrase
from .wording import lines, sentences, words

_NAMES = (
    "Emma Liam Sophia Jackson Olivia Noah Ava Lucas Isabella Mason Mia Ethan Charlotte Alexander Amelia Benjamin "
    "Harper Leo Zoe Daniel Chloe Samuel Lily Matthew Grace Owen Abigail Gabriel Ella Jacob Scarlett Nathan Victoria "
    "Elijah Layla Nicholas Audrey David Hannah Christopher Penelope Thomas Nora Andrew Aria Joseph Claire Ryan Stella "
    "Jonathan"
)
NAMES = frozenset(_NAMES.split())
"""The names that ``count:person_names`` lists in its instruction."""
CONJUNCTIONS = frozenset({"for", "and", "nor", "but", "or", "yet", "so"})
_PRONOUNS = (
    "i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself we "
    "us our ours ourselves they them their theirs themselves who whom whose which what that this these those anybody "
    "anyone anything everybody everyone everything nobody nothing somebody someone something each either neither none "
    "one both few many several all any most some such whoever whomever whatever whichever another other others"
)
PRONOUNS = frozenset(_PRONOUNS.split())
_STOP_WORDS = (
    "a about above after again against all am an and any are as at be because been before being below between both "
    "but by can could did do does doing down during each few for from further had has have having he her here hers "
    "herself him himself his how i if in into is it its itself just me more most my myself no nor not now of off on "
    "once only or other our ours ourselves out over own same she should so some such than that the their theirs them "
    "themselves then there these they this those through to too under until up very was we were what when where which "
    "while who whom why will with would you your yours yourself yourselves don't didn't isn't aren't wasn't weren't "
    "won't can't"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())

_SPOKEN = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?!\w)")
_JAPANESE = regex.compile(r"[\p{Hiragana}\p{Katakana}\p{Han}]")
_INTERROBANG = re.compile(r"\?!|!\?|‽")


def spoken(text: str) -> list[str]:
    """Return the words in lower case, with hyphens and apostrophes but without punctuation."""
    return [word.lower() for word in _SPOKEN.findall(text)]


def as_percentage(value: object) -> float:
    """Return a number from 0 to 100."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError("must be a number from 0 to 100")
    return float(value)


@constraint("count:word_count_range", min_words=as_count, max_words=as_count)
def _word_range(text: str, min_words: int, max_words: int) -> bool:
    return min_words <= len(words(text)) <= max_words


@constraint("count:unique_word_count", N=as_count)
def _unique_words(text: str, N: int) -> bool:
    return len(set(spoken(text))) >= N


@constraint("ratio:stop_words", percentage=as_percentage)
def _stop_words(text: str, percentage: float) -> bool:
    found = spoken(text)
    return bool(found) and 100 * sum(word in STOP_WORDS for word in found) <= percentage * len(found)


def _sentence_ends(text: str) -> Counter[str]:
    """Return how many sentences end in a full stop, a question mark and an exclamation mark."""
    last = (max((sentence.rfind(mark), mark) for mark in ".!?…") for sentence in sentences(text))
    return Counter({"…": "."}.get(mark, mark) for place, mark in last if place >= 0)


@constraint("ratio:sentence_type")
def _sentence_types(text: str) -> bool:
    """There must be twice as many sentences with a full stop as with a question mark."""
    ends = _sentence_ends(text)
    return ends["."] == 2 * ends["?"] > 0


@constraint("ratio:sentence_balance")
def _balanced_types(text: str) -> bool:
    ends = _sentence_ends(text)
    return ends["."] == ends["?"] == ends["!"] > 0


@constraint("ratio:overlap", reference_text=as_text, percentage=as_percentage)
def _overlap(text: str, reference_text: str, percentage: float) -> bool:
    """As in IFBench, trigrams are of characters, and the share is of those of the answer, within 2 points."""
    found, given = ({part[n : n + 3] for n in range(len(part) - 2)} for part in (text, reference_text))
    return bool(found) and abs(100 * len(found & given) / len(found) - percentage) <= 2


@constraint("ratio:sentence_words")
def _equal_sentences(text: str) -> bool:
    """There must be three sentences of the same length in characters, and no word may occur twice."""
    found, used = sentences(text), spoken(text)
    return len(found) == 3 and len(set(map(len, found))) == 1 and len(set(used)) == len(used)


@constraint("count:conjunctions", small_n=as_count)
def _conjunctions(text: str, small_n: int) -> bool:
    return len(CONJUNCTIONS & set(spoken(text))) >= small_n


@constraint("count:person_names", N=as_count)
def _person_names(text: str, N: int) -> bool:
    return len(NAMES & set(words(text))) >= N


@constraint("count:pronouns", N=as_count)
def _pronouns(text: str, N: int) -> bool:
    """Every occurrence counts, also before an apostrophe, as in ``it's``."""
    return sum(re.split("['’]", word)[0] in PRONOUNS for word in spoken(text)) >= N


@constraint("count:numbers", N=as_count)
def _numbers(text: str, N: int) -> bool:
    """A number is written in digits; ``1,000.5`` is one number."""
    return len(_NUMBER.findall(text)) == N


@constraint("count:punctuation")
def _all_punctuation(text: str) -> bool:
    """The interrobang does not also count as a question mark and an exclamation mark."""
    rest, found = _INTERROBANG.subn("", text, count=1)
    return bool(found) and all(mark in rest for mark in ".,!?;:")


@constraint(
    "count:keywords_multiple",
    keyword1=as_text,
    keyword2=as_text,
    keyword3=as_text,
    keyword4=as_text,
    keyword5=as_text,
)
def _keywords(text: str, **keywords: str) -> bool:
    """The keywords must occur once, twice, and three, five and seven times."""
    asked = zip((1, 2, 3, 5, 7), sorted(keywords.items()), strict=True)
    return all(count_phrase(text, keyword, whole=True) == count for count, (_, keyword) in asked)


@constraint("count:words_japanese", N=as_place)
def _japanese_words(text: str, N: int) -> bool:
    """Words are what is between white space; there must be at least N."""
    asked = text.split()[N - 1 :: N]
    return bool(asked) and all(map(_JAPANESE.search, asked))


@constraint("words:alphabet")
def _alphabet(text: str) -> bool:
    """The first word may begin with any letter."""
    initials = [word[0] for word in spoken(text)]
    follows = all((ord(b) - ord(a)) % 26 == 1 for a, b in pairwise(initials))
    return len(initials) > 1 and follows and all("a" <= letter <= "z" for letter in initials)


@constraint("words:vowel")
def _three_vowels(text: str) -> bool:
    return 0 < len(set("aeiou") & set(text.lower())) <= 3


@constraint("words:consonants")
def _consonant_clusters(text: str) -> bool:
    """The letter y counts as a consonant."""
    found = spoken(text)
    return bool(found) and all(re.search("[b-df-hj-np-tv-z]{2}", word) for word in found)


@constraint("words:palindrome")
def _ten_palindromes(text: str) -> bool:
    """They must be ten different words."""
    return sum(len(word) > 4 and word == word[::-1] for word in set(spoken(text))) >= 10


@constraint("words:prime_lengths")
def _prime_lengths(text: str) -> bool:
    """Hyphens and apostrophes do not count."""
    sizes = {len(re.sub(r"\W", "", word)) for word in spoken(text)}
    return bool(sizes) and all(size > 1 and all(size % n for n in range(2, int(size**0.5) + 1)) for size in sizes)


@constraint("words:repeats", small_n=as_count)
def _limited_repeats(text: str, small_n: int) -> bool:
    found = Counter(spoken(text))
    return bool(found) and max(found.values()) <= small_n


@constraint("words:no_consecutive")
def _different_initials(text: str) -> bool:
    found = spoken(text)
    return bool(found) and all(a[0] != b[0] for a, b in pairwise(found))


@constraint("words:last_first")
def _chained_sentences(text: str) -> bool:
    found = list(filter(None, map(spoken, sentences(text))))
    return len(found) > 1 and all(before[-1] == after[0] for before, after in pairwise(found))


@constraint("words:paragraph_last_first")
def _same_ends_of_paragraphs(text: str) -> bool:
    """A paragraph is a line with two words or more."""
    found = list(filter(None, map(spoken, lines(text))))
    return bool(found) and all(len(part) > 1 and part[0] == part[-1] for part in found)


@constraint("words:words_position", keyword=as_text)
def _second_words(text: str, keyword: str) -> bool:
    found = spoken(text)
    return len(found) > 2 and found[1] == found[-2] == keyword.lower()


@constraint("sentence:keyword", word=as_text, N=as_place)
def _keyword_in_sentence(text: str, word: str, N: int) -> bool:
    found = sentences(text)
    return len(found) >= N and count_phrase(found[N - 1], word, whole=True) > 0


@constraint("sentence:increment", small_n=as_count)
def _longer_sentences(text: str, small_n: int) -> bool:
    sizes = [len(spoken(sentence)) for sentence in sentences(text)]
    return len(sizes) > 1 and all(after - before == small_n for before, after in pairwise(sizes))


@constraint("sentence:alliteration_increment")
def _longer_alliterations(text: str) -> bool:
    """A sequence is a run of words with the same first letter; a single word is a run of one."""
    found = list(filter(None, map(spoken, sentences(text))))
    longest = [max(len(list(run)) for _, run in groupby(word[0] for word in part)) for part in found]
    return len(longest) > 1 and all(before < after for before, after in pairwise(longest))
