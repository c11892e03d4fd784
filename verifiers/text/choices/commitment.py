"""Parser that finds the option of a multiple-choice question that a text finally chooses."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ..normalization import normalized
from ..visible import compatible
from .phrases import (
    AFTERTHOUGHT,
    ALSO,
    ANSWER_TAG,
    BARE,
    BEFORE_SUBJECT,
    BESIDE,
    BETWEEN,
    BOX,
    CJK_EDGE,
    CLAUSE,
    CONCLUDED,
    CUES,
    DENIED,
    ENDS_IN_IT,
    GOES_ON,
    LABELLED,
    LINE_ENDS,
    LISTED,
    MARKS,
    NO_MEANING,
    OR,
    PRAISED,
    PREDICATE,
    REASONED,
    SPACES,
    TURN,
    WRONG_NOUN,
)

MAX_TEXT = 20_000
"""Longest text, in characters, that is read whole; of a longer one, only the first line and the end are read."""
MAX_CUES = 200
"""Number of matches examined per pattern, counted from the end of the text."""


@dataclass(frozen=True)
class Commitment:
    """The option or options that a text chooses.

    Attributes:
        labels: upper-case labels; more than one if the text hedges.
        words: the passage of the text that states the choice.
    """

    labels: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class _Mention:
    rank: int
    start: int
    end: int
    labels: tuple[str, ...]


def find_commitment(text: str, labels: str, options: Mapping[str, str]) -> Commitment | None:
    """Return the last choice of the highest rank that ``text`` makes, or None.

    Explicit answers (a box, "the answer is …", "Answer: …", a last line that is only a label) outrank choosing verbs
    and praise ("I pick …", "… is correct"). These outrank a label or an option's text at the start or end of the text.
    A weaker choice still wins if it retracts the stronger one ("wait, …"). Options that are merely listed, negated or
    hypothetical do not count.

    Args:
        text: the answer without its reasoning.
        labels: one character per option, in order.
        options: label → text of the option, as far as known.
    """
    if len(text) > MAX_TEXT:
        text = f"{text[:300].splitlines()[0]}\n{text[-MAX_TEXT:]}"
    read = _strip_markup(text)
    mentions = sorted(_mentions(read, labels, options), key=lambda mention: (mention.start, mention.end))
    if not mentions:
        return None
    last = mentions[0]
    for mention in mentions[1:]:
        turned = mention.rank >= 2 and TURN.search(read, max(0, mention.start - 90), mention.start)
        if mention.rank >= last.rank or turned:
            last = _merge_alternatives(read, last, mention)
    found = last.labels
    if doubt := AFTERTHOUGHT.match(read, last.end):
        others, end = _labels_at(read, doubt.end(), labels)
        found += others if ALSO.match(read, end) or not PREDICATE.match(read, end) else ()
    return Commitment(tuple(dict.fromkeys(found)), read[last.start : last.end].strip()[:200])


def _strip_markup(text: str) -> str:
    """Return ``text`` without fonts, quotes, full-width and circled forms; the start of a box becomes ⟦."""
    text = CJK_EDGE.sub(" ", compatible(text).translate(MARKS))
    text = NO_MEANING.sub("", BOX.sub("⟦", ANSWER_TAG.sub("⟦", text)))
    return SPACES.sub(lambda match: "\n" if "\n" in match[0] else " ", text)


def _merge_alternatives(text: str, last: _Mention, mention: _Mention) -> _Mention:
    """Return ``mention``, with the labels of ``last`` added if only "or" or similar words separate the two."""
    gap = text[last.end : mention.start]
    if last.rank == mention.rank and len(gap) < 40 and BETWEEN.fullmatch(gap):
        return _Mention(mention.rank, last.start, mention.end, last.labels + mention.labels)
    return mention


def _mentions(text: str, labels: str, options: Mapping[str, str]) -> Iterator[_Mention]:
    listed = _listed_spans(text, labels)
    for rank, cue in CUES:
        for match in list(cue.finditer(text))[-MAX_CUES:]:
            if any(start <= match.end() < end for start, end in listed) or _starts_inline_list(
                text, match.end(), labels
            ):
                continue
            before = _clause_before(text, match.start())
            weight = rank
            if DENIED.search(before):
                if not WRONG_NOUN.search(before):
                    continue
                weight = 0
            found, end = _labels_at(text, match.end(), labels)
            if found and PREDICATE.match(text, end):
                continue
            if not found:
                found, end = _option_at(text, match.end(), options)
            elif len(found) == 1 and options:
                found += _contradicting_option(text, end, found[0], options)
            if found:
                yield _Mention(weight, match.start(), end, found)
    yield from _praise_mentions(text, labels)
    yield from _whole_line_mentions(text, labels, options, listed)


def _clause_before(text: str, end: int) -> str:
    """Return the part of the clause before ``end``, at most 60 characters."""
    return CLAUSE.split(text[max(0, end - 60) : end])[-1]


def _labels_at(text: str, start: int, labels: str) -> tuple[tuple[str, ...], int]:
    """Return the labels listed from ``start`` on, joined by "or", "and" or commas, and the position after them."""
    found: list[str] = []
    position = end = start
    while match := _label_pattern(labels).match(text, position):
        stop = match.end()
        if found and PREDICATE.match(text, stop):  # "A, and B is wrong"
            break
        if match[1] is None and not _stands_alone(match[2], text, stop):
            break
        found.append((match[1] or match[2]).upper())
        end = stop
        join = OR.match(text, stop)
        if join is None or not join[0].strip() or len(found) > len(labels):
            break
        position = join.end()
    return tuple(found), end


def _contradicting_option(text: str, start: int, label: str, options: Mapping[str, str]) -> tuple[str, ...]:
    """Return the other option whose text follows ``label``, if any."""
    beside = BESIDE.match(text, start)
    others, end = (
        _option_at(text, beside.end(), options)
        if beside and (beside[0].strip() or text[start - 1] in ")]")
        else ((), start)
    )
    if label in others or (beside and "." in beside[0] and not LINE_ENDS.match(text, end)):
        return ()
    return others


def _stands_alone(letter: str, text: str, end: int) -> bool:
    """Return whether a letter without brackets is a label: ``a``, ``A`` and ``I`` may be words of a sentence."""
    if letter in "aAI" or letter.islower():
        return GOES_ON.match(text, end) is not None
    return True


@lru_cache(maxsize=32)
def _label_pattern(labels: str) -> re.Pattern[str]:
    one = f"[{re.escape(labels.upper())}{re.escape(labels.lower())}]"
    return re.compile(rf"\s*(?:[(\[<]\s*({one})\s*[)\]>]|'?(?<!\w)({one})(?![\w%°#+]|'\w|-\w|\.\w|\s*=\s*\w)'?\)?)")


def _option_at(text: str, start: int, options: Mapping[str, str]) -> tuple[tuple[str, ...], int]:
    """Return the option whose text begins at ``start`` (the longest match), and the position after it."""
    best: tuple[tuple[str, ...], int] = ((), start)
    for label, option in options.items():
        match = _option_pattern(option).match(text, start) if option.strip() else None
        if match and match.end() > best[1]:
            best = ((label,), match.end())
        elif match and match.end() == best[1]:
            best = ((*best[0], label), match.end())
    joined = OR.match(text, best[1]) if best[0] else None
    if joined and re.search(r"\bor\b|/|\|", joined[0]):
        others, end = _option_at(text, joined.end(), options)
        return (best[0] + others, end) if others else best
    return best


@lru_cache(maxsize=1024)
def _option_pattern(option: str) -> re.Pattern[str]:
    words = r"\s+".join(map(re.escape, _strip_markup(option).strip().rstrip(".").split())) or r"(?!)"
    return re.compile(
        rf"\s*(?:an?\s+|the\s+)?(?<![\w.])(?-i:){words}(?!\w)(?=\s*(?:$|[.,](?!\d)|[;:!?)\]'⟧\n(/|]|\s(?:because|since|as"
        r"|which|or|and|but|not|rather|due)\b))",
        re.IGNORECASE,
    )


def _praise_mentions(text: str, labels: str) -> Iterator[_Mention]:
    """Yield mentions such as "C is correct", "(C) must be the right answer", "both A and B are correct"."""
    for match in list(PRAISED.finditer(text))[-MAX_CUES:]:
        begin = max(0, match.start() - 40)
        subject = _subject_pattern(labels).search(text, begin, match.start())
        if subject is None or _is_option_text(text, subject.start(1)):
            continue
        before = _clause_before(text, subject.start())
        if DENIED.search(before) or not BEFORE_SUBJECT.search(before):
            continue
        found = re.findall(r"(?<!\w)\w(?!\w)", subject[1])
        yield _Mention(2, subject.start(1), match.end(), tuple(letter.upper() for letter in found))


def _is_option_text(text: str, position: int) -> bool:
    """Return whether the line at ``position`` begins with another label: "D) Both A and B are correct"."""
    listed = LISTED.match(text, text.rfind("\n", 0, position) + 1)
    return listed is not None and listed.start(1) < position - 1


@lru_cache(maxsize=32)
def _subject_pattern(labels: str) -> re.Pattern[str]:
    one = rf"(?:[(\[]\s*[{re.escape(labels.upper() + labels.lower())}]\s*[)\]]|[{re.escape(labels.upper())}])"
    return re.compile(rf"(?<!\w)(?<![(\[])({one}(?:(?:\s*,\s*|\s+)(?:(?:and|or)\s+)?{one})*)$")


def _whole_line_mentions(
    text: str, labels: str, options: Mapping[str, str], listed: list[tuple[int, int]]
) -> Iterator[_Mention]:
    """Yield the first and the last line if they are a label, a label with text, or the text of an option."""
    lines = [match for match in re.finditer(r"[^\n]*\S[^\n]*", text)]
    for index in {0, len(lines) - 1} if lines else ():
        line = lines[index]
        words = line[0].strip().strip(">⟦⟧'").strip()
        begin = line.start() + line[0].index(words)
        rank = 3 if index == len(lines) - 1 else 1
        inside = any(start <= line.start() < end for start, end in listed)
        bare = None if inside and rank == 1 else BARE.fullmatch(words)
        if bare and bare[1].upper() in labels.upper():
            yield _Mention(rank, line.start(), line.end(), (bare[1].upper(),))
            continue
        found, end = _labels_at(words, 0, labels)
        if len(found) > 1 and not words[end:].strip(" .!"):
            yield _Mention(rank, line.start(), line.end(), found)
            continue
        if inside:
            continue
        if (labelled := LABELLED.fullmatch(words)) and labelled[1].upper() in labels.upper():
            if labelled[1].isupper() or not labelled[1].isalpha() or words[0] in "([" or ")" in words[:3]:
                yield _Mention(
                    1, begin, begin + labelled.end(1), _labels_in_line(labelled[1].upper(), labelled[2], options)
                )
            continue
        reasoned = REASONED.fullmatch(words)
        if rank == 3:
            reasoned = reasoned or CONCLUDED.fullmatch(words[-300:]) or ENDS_IN_IT.fullmatch(words[-300:])
        if reasoned and reasoned[1] in labels.upper() and _stands_alone(reasoned[1], words, reasoned.end(1)):
            yield _Mention(1, begin, begin + reasoned.end(1), (reasoned[1],))
            continue
        same = tuple(label for label, option in options.items() if _is_text_of(option, words))
        if same:
            yield _Mention(1, line.start(), line.end(), same)


def _labels_in_line(label: str, words: str, options: Mapping[str, str]) -> tuple[str, ...]:
    """Return ``label``, and the other option if its text is given instead."""
    if label in options and _is_text_of(options[label], words):
        return (label,)
    return (label, *(other for other, option in options.items() if other != label and _is_text_of(option, words)))


def _is_text_of(option: str, words: str) -> bool:
    return bool(option.strip()) and normalized(_strip_markup(option)) == normalized(words)


def _listed_spans(text: str, labels: str) -> list[tuple[int, int]]:
    """Return spans of two or more lines that list options in order: such a list chooses none."""
    spans: list[tuple[int, int]] = []
    order = labels.upper()
    run: list[re.Match[str]] = []
    for match in [*LISTED.finditer(text), None]:
        index = order.find(match[1].upper()) if match else -1
        if run and match and index == order.find(run[-1][1].upper()) + 1 and match.start() - run[-1].end() < 2000:
            run.append(match)
            continue
        if len(run) > 1:
            stop = text.find("\n", run[-1].end())
            stop = len(text) if stop < 0 else stop
            begin = text.rfind("\n", 0, run[-1].end()) + 1  # of the last text, which may be on the line after its label
            answered = begin > run[-1].start(1) and _states_answer(text, begin, stop, labels)
            spans.append((run[0].start(), begin if answered else stop))
        run = [match] if match and index >= 0 else []
    return spans


def _states_answer(text: str, start: int, stop: int, labels: str) -> bool:
    """Return whether an explicit answer stands between two positions: "the answer is (A)"."""
    cues = (match for rank, cue in CUES if rank == 3 for match in cue.finditer(text, start, stop))
    return any(_labels_at(text, match.end(), labels)[0] for match in cues)


def _starts_inline_list(text: str, start: int, labels: str) -> bool:
    """Return whether the options are listed on one line from ``start`` on: ``A) one B) two C) three``."""
    for label in labels[:3].upper():
        match = re.compile(rf"(?<!\w)[([]?{re.escape(label)}[)\].:]", re.IGNORECASE).search(text, start, start + 500)
        if match is None or (label == labels[0].upper() and text[start : match.start()].strip()):
            return False
        start = match.end()
    return True
