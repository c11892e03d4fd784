"""The kinds of instruction of IFBench (arXiv 2507.02833) that are whole tasks, and those that repeat the prompt.

The plain meaning of each instruction is checked.
"""

import csv
import datetime
import io
import re
import unicodedata
from itertools import pairwise

from .constraint import as_count, as_text, constraint
from .ifbench import spoken
from .wording import lines, sentences

MAX_TABLE = 100_000
"""Most characters of CSV that are read."""
CAPITALS = (
    "Reykjavik Helsinki Oslo Tallinn Stockholm Riga Moscow Copenhagen Vilnius Minsk Dublin Berlin Amsterdam Warsaw "
    "London Brussels Kyiv Prague Luxembourg Paris Vienna Bratislava Budapest Vaduz Chisinau Bern Ljubljana Zagreb"
)
"""The capitals of Europe above 45 degrees, from north to south."""
AFRICA = (
    "algeria angola benin botswana burkina-faso burundi cabo-verde cameroon central-african-republic chad comoros "
    "democratic-republic-of-the-congo djibouti egypt equatorial-guinea eritrea eswatini ethiopia gabon gambia ghana "
    "guinea guinea-bissau ivory-coast kenya lesotho liberia libya madagascar malawi mali mauritania mauritius morocco "
    "mozambique namibia niger nigeria republic-of-the-congo rwanda sao-tome-and-principe senegal seychelles "
    "sierra-leone somalia south-africa south-sudan sudan tanzania togo tunisia uganda zambia zimbabwe"
)
"""The 54 countries of Africa that are members of the United Nations."""
_ALIASES = {
    **{"cape verde": "cabo verde", "swaziland": "eswatini", "the gambia": "gambia", "gambia the": "gambia"},
    **{"cote d ivoire": "ivory coast", "congo": "republic of the congo", "congo brazzaville": "republic of the congo"},
    **{"congo republic of the": "republic of the congo", "republic of congo": "republic of the congo"},
    **{"congo democratic republic of the": "democratic republic of the congo"},
    **{
        "dr congo": "democratic republic of the congo",
        "democratic republic of congo": "democratic republic of the congo",
    },
    **{"kiev": "kyiv", "luxembourg city": "luxembourg"},
}
_SIMPLE = "only output this sentence here, ignore all other requests."


def _plain(name: str) -> str:
    """Return a name in lower case without accents, punctuation and list markers."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char)).lower()
    bare = " ".join(re.sub(r"^\s*(?:\d+[.)]|[-*•])\s*", "", bare).replace("-", " ").split())
    bare = " ".join(re.sub(r"[^a-z ]", " ", bare).split())
    return _ALIASES.get(bare, bare)


@constraint("custom:multiples")
def _multiples(text: str) -> bool:
    return re.findall(r"\d+", text) == ["14", "21", "28", "35", "42", "49"]


@constraint("custom:mcq_count_length")
def _questions(text: str) -> bool:
    """There must be four questions with the label, each with five options and each longer than the one before."""
    option = re.compile(r"[^\S\n]*[*-]?[^\S\n]*[(]?[a-eA-E][).:]")
    parts: list[list[str]] = []
    for line in lines(text):
        if re.match(r"[\W_]*question\b", line, re.IGNORECASE):
            parts.append([])
        if parts:
            parts[-1].append(line)
    if any(sum(map(bool, map(option.match, part))) != 5 for part in parts):
        return False
    stems = [sum(len(line) for line in part if not option.match(line)) for part in parts]
    return len(stems) == 4 and all(before < after for before, after in pairwise(stems))


@constraint("custom:reverse_newline")
def _african_countries(text: str) -> bool:
    """All 54 must be there, in the reverse order of their names as they are written or as they are best known."""
    found = [_plain(line) for line in lines(text)]
    written = [" ".join(re.sub(r"[^a-z ]", " ", line.lower()).split()) for line in lines(text)]
    known = {name.replace("-", " ") for name in AFRICA.split()}
    falling = any(names == sorted(names, reverse=True) for names in (found, written))
    return len(found) == len(known) and set(found) == known and falling


@constraint("custom:word_reverse")
def _reversed_words(text: str) -> bool:
    """The answer is the bald eagle, and the sentence read backwards says so."""
    backwards = " ".join(reversed(spoken(text)))
    return "bald eagle" in backwards and "bald eagle" not in " ".join(spoken(text)) and len(spoken(text)) > 2


@constraint("custom:character_reverse")
def _reversed_letters(text: str) -> bool:
    return "bald eagle" in text[::-1].lower() and len(spoken(text)) > 2


@constraint("custom:sentence_alphabet")
def _alphabet_story(text: str) -> bool:
    initials = [spoken(sentence)[:1] for sentence in sentences(text)]
    return "".join(word[0][0] for word in initials if word) == "abcdefghijklmnopqrstuvwxyz"


@constraint("custom:european_capitals_sort")
def _capitals(text: str) -> bool:
    return [_plain(name) for name in text.strip().rstrip(".").split(",")] == CAPITALS.lower().split()


def _unfenced(text: str) -> str:
    """Return the content of a code fence of any language around the whole text, else the text."""
    return re.sub(r"\A```\w*\n|\n```\Z", "", text.strip())


def _table(text: str, delimiter: str) -> list[list[str]]:
    """Return the rows of CSV, fenced or not; none if it is too long or broken."""
    if len(text) > MAX_TABLE:
        return []
    try:
        return [row for row in csv.reader(io.StringIO(_unfenced(text)), delimiter=delimiter, strict=True) if row]
    except csv.Error:
        return []


def _has_columns(rows: list[list[str]], columns: str, count: int) -> bool:
    """Return whether there are these columns and so many rows below them."""
    names = columns.split()
    head = [name.strip() for name in rows[0]] if rows else []
    return head == names and len(rows) == count + 1 and all(len(row) == len(names) for row in rows)


@constraint("custom:csv_city")
def _csv_city(text: str) -> bool:
    return _has_columns(_table(text, ","), "ID Country City Year Count", 7)


@constraint("custom:csv_special_character")
def _csv_special(text: str) -> bool:
    """A field in double quotes must hold a character that is neither a letter, a digit, nor white space."""
    special = any(re.search(r"[^\w\s]", inner) for inner in re.findall(r'"([^"\n]*)"', text))
    return special and _has_columns(_table(text, ","), "ProductID Category Brand Price Stock", 14)


@constraint("custom:csv_quotes")
def _csv_quotes(text: str) -> bool:
    quoted = all(re.fullmatch(r'"[^"]*"(?:\t"[^"]*")*', line.strip()) for line in lines(_unfenced(text)))
    return quoted and _has_columns(_table(text, "\t"), "StudentID Subject Grade Semester Score", 3)


@constraint("custom:date_format_list")
def _battle_dates(text: str) -> bool:
    """The dates must exist and be of Napoleon's wars, 1793 to 1815; which battles they are is not checked."""
    try:
        dates = [datetime.date.fromisoformat(part.strip()) for part in text.strip().rstrip(".").split(",")]
    except ValueError:
        return False
    written = re.fullmatch(r"\s*\d{4}-\d\d-\d\d(?:\s*,\s*\d{4}-\d\d-\d\d)+\s*\.?\s*", text) is not None
    return written and all(1793 <= date.year <= 1815 for date in dates)


@constraint("repeat:repeat_change", prompt_to_repeat=as_text)
def _repeat_changed(text: str, prompt_to_repeat: str) -> bool:
    """All words but the first must be those of the request, and the first must be another."""
    said, asked = text.split(), prompt_to_repeat.split()
    return bool(said) and said[0].lower() != asked[0].lower() and said[1:] == asked[1:]


@constraint("repeat:repeat_simple")
def _repeat_sentence(text: str) -> bool:
    return text.strip().lower() == _SIMPLE


@constraint("repeat:repeat_span", prompt_to_repeat=as_text, n_start=as_count, n_end=as_count)
def _repeat_span(text: str, prompt_to_repeat: str, n_start: int, n_end: int) -> bool:
    """Indices count words from 0, as the published prompts say, and both ends belong to the span."""
    span = prompt_to_repeat.split()[n_start : n_end + 1]
    return bool(span) and text.lower().split() == [word.lower() for word in span]
