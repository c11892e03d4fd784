"""The kinds of instruction that IFEval defines (arXiv 2311.07911), with its names and parameters.

``language:response_language`` is in ``language.py``; ``change_case`` does not check for English. Keywords are literal
text, not regular expressions. Where IFEval's own check contradicts its instruction, the docstring of the kind says what
is done here.
"""

import re
from collections.abc import Callable

from ...json_data.text import NotJson, read_json
from ..normalization import normalized
from .constraint import RELATIONS, as_count, as_letter, as_place, as_relation, as_text, as_texts, constraint
from .wording import divided_paragraphs, folded, sentences, spaced_paragraphs, strip_fence, words

Relation = Callable[[int, int], bool]

_SIX_STARS = re.compile(r"(?<!\*)\*{6}(?!\*)")
_HIGHLIGHT = re.compile(r"(?<!\*)(\*{1,3})(?![\s*])([^*\n]+)(?<!\s)\1(?!\*)")
_COMMAS = frozenset(",՝،߸፣᠂᠈⸲⸴⹁⹌、꓾꘍꛵︐︑﹐﹑，､")
_TOKEN = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
"""Options of IFEval's ``constrained_response``."""


def count_phrase(text: str, phrase: str, whole: bool) -> int:
    """Return how often ``phrase`` occurs in ``text``, in any case; with ``whole``, not inside a longer word.

    Typographic apostrophes and quotation marks equal straight ones, here and in the other comparisons with a phrase.
    """
    inner = r"\s+".join(map(re.escape, folded(phrase).split()))
    return len(re.findall(rf"(?<!\w){inner}(?!\w)" if whole else inner, folded(text)))


def first_word(text: str) -> str:
    """Return the first word in lower case, without punctuation around it."""
    match = _TOKEN.search(text)
    return match[0].lower() if match else ""


@constraint("keywords:existence", keywords=as_texts)
def _keywords(text: str, keywords: tuple[str, ...]) -> bool:
    """As in IFEval, a keyword inside a longer word counts."""
    return all(count_phrase(text, keyword, whole=False) for keyword in keywords)


@constraint(
    "keywords:frequency",
    {"relation": RELATIONS["exactly"], "whole": False},
    keyword=as_text,
    frequency=as_count,
    relation=as_relation,
    whole=bool,
)
def _keyword_frequency(text: str, keyword: str, frequency: int, relation: Relation, whole: bool) -> bool:
    """As in IFEval, a keyword inside a longer word counts; with ``whole`` it does not, as in Tülu."""
    return relation(count_phrase(text, keyword, whole), frequency)


@constraint("keywords:forbidden_words", forbidden_words=as_texts)
def _forbidden_words(text: str, forbidden_words: tuple[str, ...]) -> bool:
    """As in IFEval and unlike Tülu, a forbidden word may be part of a longer one."""
    return not any(count_phrase(text, word, whole=True) for word in forbidden_words)


@constraint(
    "keywords:letter_frequency",
    {"let_relation": RELATIONS["exactly"], "match_case": False},
    letter=as_letter,
    let_frequency=as_count,
    let_relation=as_relation,
    match_case=bool,
)
def _letter_frequency(text: str, letter: str, let_frequency: int, let_relation: Relation, match_case: bool) -> bool:
    found = text.count(letter) if match_case else text.lower().count(letter.lower())
    return let_relation(found, let_frequency)


@constraint("length_constraints:number_paragraphs", num_paragraphs=as_count)
def _number_paragraphs(text: str, num_paragraphs: int) -> bool:
    """Dividers are ``***`` and ``* * *`` between white space: ``***bold***`` is not one."""
    parts = divided_paragraphs(text)
    return all(parts) and len(parts) == num_paragraphs


@constraint(
    "length_constraints:number_words",
    {"relation": RELATIONS["exactly"], "between_spaces": False},
    num_words=as_count,
    relation=as_relation,
    between_spaces=bool,
)
def _number_words(text: str, num_words: int, relation: Relation, between_spaces: bool) -> bool:
    """Words are runs of word characters, as in IFEval; with ``between_spaces``, split at white space as in Tülu."""
    return relation(len(text.split() if between_spaces else words(text)), num_words)


@constraint(
    "length_constraints:number_sentences",
    {"relation": RELATIONS["exactly"]},
    num_sentences=as_count,
    relation=as_relation,
)
def _number_sentences(text: str, num_sentences: int, relation: Relation) -> bool:
    return relation(len(sentences(text)), num_sentences)


@constraint(
    "length_constraints:nth_paragraph_first_word", num_paragraphs=as_count, nth_paragraph=as_place, first_word=as_text
)
def _nth_paragraph_first_word(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Paragraphs are separated by blank lines; punctuation and markdown around the word are ignored."""
    parts = spaced_paragraphs(text)
    if len(parts) != num_paragraphs or nth_paragraph > len(parts):
        return False
    return starts_with_words(parts[nth_paragraph - 1], first_word)


def starts_with_words(text: str, phrase: str) -> bool:
    """Return whether the first words of ``text`` are those of ``phrase``, in any case."""
    found, asked = _TOKEN.findall(folded(text[:1000])), _TOKEN.findall(folded(phrase))
    return bool(asked) and found[: len(asked)] == asked


@constraint("detectable_content:postscript", postscript_marker=as_text)
def _postscript(text: str, postscript_marker: str) -> bool:
    """The marker may be in any case, with white space between its letters; text must follow it."""
    inner = r"\s?".join(map(re.escape, folded(postscript_marker.replace(" ", ""))))
    found = list(re.finditer(rf"(?<![\w.]){inner}", folded(text)))
    return any(re.search(r"\w", text[match.end() :]) for match in found[:1])


@constraint("detectable_content:number_placeholders", num_placeholders=as_count)
def _number_placeholders(text: str, num_placeholders: int) -> bool:
    """A placeholder is in square brackets on one line and contains a letter or digit."""
    return sum(bool(words(inner)) for inner in re.findall(r"\[([^\[\]\n]+)\]", text)) >= num_placeholders


@constraint("detectable_format:number_bullet_lists", num_bullets=as_count)
def _number_bullets(text: str, num_bullets: int) -> bool:
    """Bullets begin with ``*`` or ``-`` and white space, as in markdown: not ``*emphasis*`` or ``---``."""
    return len(re.findall(r"^[^\S\n]*[*-][^\S\n]+\S", text, re.MULTILINE)) == num_bullets


@constraint("detectable_format:constrained_response", {"options": ANSWERS}, options=as_texts)
def _constrained_response(text: str, options: tuple[str, ...]) -> bool:
    """Exactly one of the options must occur; IFEval's check also passes all of them at once."""
    rest, found = folded(text), set()
    for option in sorted({folded(option) for option in options}, key=len, reverse=True):
        inner = rf"(?<!\w){re.escape(option)}(?!\w)"
        rest, times = re.subn(inner, "\0", rest)
        found |= {option} if times else set()
    return len(found) == 1


@constraint("detectable_format:number_highlighted_sections", num_highlights=as_count)
def _number_highlights(text: str, num_highlights: int) -> bool:
    """Counts markdown emphasis with one to three stars and no white space inside its edges: none in ``2 * 3 * 4``."""
    return len(_HIGHLIGHT.findall(text)) >= num_highlights


@constraint(
    "detectable_format:multiple_sections",
    {"relation": RELATIONS["at least"]},
    section_spliter=as_text,
    num_sections=as_count,
    relation=as_relation,
)
def _multiple_sections(text: str, section_spliter: str, num_sections: int, relation: Relation) -> bool:
    """Counts distinct numbers after the splitter, anywhere; a section mentioned again is not a new one."""
    return relation(
        len(set(re.findall(rf"(?<!\w){re.escape(folded(section_spliter))}\s?(\d+)", folded(text)))), num_sections
    )


@constraint("detectable_format:json_format")
def _json_format(text: str) -> bool:
    """The text must be an object or an array, fenced or not; a bare number or string does not count."""
    try:
        return isinstance(read_json(strip_fence(text)), dict | list)
    except NotJson:
        return False


@constraint("detectable_format:title")
def _title(text: str) -> bool:
    return any(inner.strip() for inner in re.findall(r"<<([^<>\n]+)>>", text))


@constraint("combination:two_responses")
def _two_responses(text: str) -> bool:
    """The two responses must differ by more than case, punctuation and white space."""
    parts = [part.strip() for part in _SIX_STARS.split(text)]
    parts = parts[1 if parts and not parts[0] else 0 : -1 if len(parts) > 1 and not parts[-1] else None]
    return len(parts) == 2 and all(parts) and normalized(parts[0]) != normalized(parts[1])


@constraint("combination:repeat_prompt", prompt_to_repeat=as_text)
def _repeat_prompt(text: str, prompt_to_repeat: str) -> bool:
    """The request in any case must be followed by an answer: an echo alone fails."""
    asked = folded(prompt_to_repeat)
    return folded(text).startswith(asked) and bool(words(text[len(asked) :]))


@constraint("startend:end_checker", end_phrase=as_text)
def _end(text: str, end_phrase: str) -> bool:
    """As in IFEval, case and double quotation marks around the text or the phrase are ignored."""
    return folded(text).strip().strip('"').endswith(folded(end_phrase).strip('"'))


@constraint("startend:quotation")
def _quotation(text: str) -> bool:
    """Accepts straight or typographic double quotation marks around some text."""
    return len(text) > 2 and text[0] in '"“„' and text[-1] in '"”“' and bool(words(text))


@constraint("change_case:english_capital")
def _capital(text: str) -> bool:
    return text.isupper()


@constraint("change_case:english_lowercase")
def _lowercase(text: str) -> bool:
    return text.islower()


@constraint(
    "change_case:capital_word_frequency",
    {"capital_relation": RELATIONS["exactly"]},
    capital_frequency=as_count,
    capital_relation=as_relation,
)
def _capital_words(text: str, capital_frequency: int, capital_relation: Relation) -> bool:
    """Counts words in capitals, including ``I`` and ``A``; a word with a hyphen or apostrophe is one word."""
    return capital_relation(sum(word.isupper() for word in _TOKEN.findall(text)), capital_frequency)


@constraint("punctuation:no_comma")
def _no_comma(text: str) -> bool:
    """The commas of other scripts are commas, too."""
    return _COMMAS.isdisjoint(text)
