"""Text as a reader sees it: without invisible characters, and bounded where normalisation would blow it up."""

import unicodedata

import regex

MAX_MARKS = 30
"""Most combining marks after one character, as in Unicode's Stream-Safe Text Format (UAX #15)."""
MAX_NORMALIZED = 100_000
"""Most characters that are put into NFKC, where one can become eighteen; the rest stays as it is."""

_BLANK = "\u115f\u1160\u2800\u3164\uffa0"
_INVISIBLE = regex.compile(rf"[[\p{{Default_Ignorable_Code_Point}}\p{{Cc}}]--[\s{_BLANK}]]++", regex.VERSION1)
_BLANKS = str.maketrans(dict.fromkeys(_BLANK, " "))
_MARKS = regex.compile(rf"(\p{{M}}{{{MAX_MARKS}}})\p{{M}}++")


def visible(text: str) -> str:
    """Return ``text`` without characters that nobody sees; letters that look like a space become one.

    Removed are control characters, zero-width and other default-ignorable ones, and combining marks beyond
    ``MAX_MARKS`` in a row, which take quadratic time to put in order.
    """
    if text.isascii() and text.isprintable():
        return text
    return str(_MARKS.sub(r"\1", _INVISIBLE.sub("", text).translate(_BLANKS)))


def compatible(text: str) -> str:
    """Return visible text in NFKC, up to ``MAX_NORMALIZED`` characters of it."""
    return unicodedata.normalize("NFKC", text[:MAX_NORMALIZED]) + text[MAX_NORMALIZED:]
