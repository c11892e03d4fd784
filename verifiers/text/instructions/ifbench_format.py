"""The kinds of instruction of IFBench (arXiv 2507.02833) about the form of an answer.

The plain meaning of each instruction is checked.
"""

import re
from itertools import pairwise

import regex

from .constraint import as_text, constraint
from .ifbench import spoken
from .wording import lines, sentences, spaced_paragraphs

MINOR = frozenset(
    {"a", "an", "and", "as", "at", "but", "by", "for", "from", "if", "in", "into", "nor", "of", "off", "on"}
)
MINOR |= {"onto", "or", "over", "per", "so", "the", "to", "up", "via", "with", "yet"}
"""Words that title case may leave in lower case."""

_EMOJI = regex.compile(r"(?:(?!\d|[#*©®™])\p{Emoji}[\ufe0f\u200d\p{EMod}]*)+")
_BULLET = re.compile(r"[^\S\n]*[*•][^\S\n]+\S")
_SUB_BULLET = re.compile(r"[^\S\n]*-[^\S\n]+\S")
_ITALICS = re.compile(r"\s*(?:#[^\n]*\n\s*)?<(i|em)>\s*[^<\s][^<]*</\1>", re.IGNORECASE)
_LABELS = re.compile("(My Answer:|My Conclusion:|Future Outlook:)")
_QUOTES = str.maketrans("“”„‘’‚", "\"\"\"'''")
_PAIRS = {")": "(", "]": "[", "}": "{"}


@constraint("format:parentheses")
def _nested_brackets(text: str) -> bool:
    """All brackets must be closed, in the right order."""
    opened, deepest = "", 0
    for mark in re.findall(r"[()\[\]{}]", text):
        if mark not in _PAIRS:
            opened += mark
            deepest = max(deepest, len(opened))
            if deepest > 1000:
                return False
        elif not opened.endswith(_PAIRS[mark]) or not opened:
            return False
        else:
            opened = opened[:-1]
    return deepest >= 5 and not opened


@constraint("format:quotes")
def _nested_quotes(text: str) -> bool:
    """Double and single quotes alternate, and an apostrophe between letters is no quote."""
    opened, deepest = list[str](), 0
    for mark in re.findall(r"[\"']", re.sub(r"(?<=\w)'(?=\w)", "", text.translate(_QUOTES))):
        if opened and opened[-1] == mark:
            opened.pop()
        else:
            opened.append(mark)
            deepest = max(deepest, len(opened))
    return deepest >= 3 and not opened


@constraint("format:quote_unquote")
def _explained_quotes(text: str) -> bool:
    """Between two phrases in double quotes, and after the last, there must be words."""
    parts = text.translate(_QUOTES).split('"')
    return len(parts) > 2 and len(parts) % 2 == 1 and all(spoken(part) for part in parts[2::2])


@constraint("format:options", options=as_text)
def _one_option(text: str, options: str) -> bool:
    """Options are separated by a slash, by "or", or by commas; case and punctuation around them are ignored."""
    separator = "/" if "/" in options else r"\bor\b" if re.search(r"\bor\b", options) else ","
    known = {" ".join(re.sub(r"[^\w\s'’]", " ", option).lower().split()) for option in re.split(separator, options)}
    return " ".join(re.sub(r"[^\w\s'’]", " ", text).lower().split()) in known - {""}


@constraint("format:newline")
def _word_a_line(text: str) -> bool:
    found = lines(text)
    return bool(found) and all(len(line.split()) == 1 for line in found)


@constraint("format:emoji")
def _emoji_after_sentences(text: str) -> bool:
    """An emoji may stand before or after the mark that ends the sentence."""
    first, *parts = _EMOJI.split(text)
    if not parts:
        return False
    marks = [re.match(r"[.!?…]*", part.lstrip())[0] for part in parts]  # type: ignore[index]
    said = [first, *(part.lstrip()[len(mark) :] for part, mark in zip(parts, marks, strict=True))]
    whole = [part + mark for part, mark in zip(said, marks, strict=False)]
    return not spoken(said[-1]) and all(len(sentences(part)) < 2 for part in whole)


@constraint("format:line_indent")
def _stairs(text: str) -> bool:
    """Every line must be indented more than the line above."""
    indents = [len(line) - len(line.lstrip()) for line in text.expandtabs(4).split("\n") if line.strip()]
    return len(indents) > 1 and all(before < after for before, after in pairwise(indents))


@constraint("format:list", sep=as_text)
def _separated_list(text: str, sep: str) -> bool:
    """There must be two items or more, and no other bullets."""
    found = [line.strip() for line in lines(text)]
    items = sum(line.startswith(sep) and len(line) > len(sep) for line in found)
    between = len([part for part in text.split(sep) if part.strip()]) > 1 and text.count(sep) > 1
    bullets = any(re.match(r"[-*•] ", line) for line in found if not line.startswith(sep))
    return (items > 1 or between) and not bullets


@constraint("format:thesis")
def _italic_theses(text: str) -> bool:
    """Sections begin at markdown headings, or else are paragraphs; a thesis is in ``<i>`` or ``<em>``."""
    parts = (
        re.split(r"^(?=#)", text, flags=re.MULTILINE)
        if re.search("^#", text, re.MULTILINE)
        else spaced_paragraphs(text)
    )
    parts = [part for part in parts if part.strip()]
    return bool(parts) and all(map(_ITALICS.match, parts))


@constraint("format:sub-bullets")
def _sub_bullets(text: str) -> bool:
    kinds = "".join("*" if _BULLET.match(line) else "-" if _SUB_BULLET.match(line) else "" for line in lines(text))
    return re.fullmatch(r"(?:\*-+)+", kinds) is not None


@constraint("format:no_bullets_bullets")
def _sentences_then_bullets(text: str) -> bool:
    found = lines(text)
    first = next((place for place, line in enumerate(found) if _BULLET.match(line)), len(found))
    before = sum(sentence.rstrip("\"')*_ ").endswith(".") for sentence in sentences("\n".join(found[:first])))
    return before >= 2 and sum(_BULLET.match(line) is not None for line in found[first:]) >= 2


@constraint("format:no_whitespace")
def _no_whitespace(text: str) -> bool:
    return not re.search(r"\s", text.strip())


@constraint("format:output_template")
def _template(text: str) -> bool:
    """The three labels must come in this order, each once, with text after it and nothing before the first."""
    before, *parts = _LABELS.split(text)
    ordered = parts[0::2] == ["My Answer:", "My Conclusion:", "Future Outlook:"]
    return ordered and not before.strip() and all(part.strip() for part in parts[1::2])


@constraint("format:title_case")
def _title_case(text: str) -> bool:
    """The first word and all but short function words must begin with a capital, if they begin with a letter."""
    found = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text)
    small = [word for place, word in enumerate(found) if word[0].islower() and (not place or word not in MINOR)]
    return bool(found) and not small
