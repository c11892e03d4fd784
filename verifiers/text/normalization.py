"""SQuAD-style normalisation of short answers, and the reference answers of a task."""

import re
import unicodedata
from typing import Any

import regex

_SPELLINGS = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-") | {"⁄": "/"})
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = regex.compile(
    r"("
    r"(?<=\d)[.:/-](?=\d)|(?<![\w.])\.(?=\d)"  # 3.5, 12:30, 1/2, 1990-95, .5
    r"|(?<![\w.)\]])-(?=[.\d])|(?<=\d)%"  # -3, 50%
    r"|(?<=[^\W\d_])[+#]+(?!\w)"  # C++, C#
    r")|[\p{P}$+<=>^`|~]"
)


def normalized(text: str) -> str:
    """Return ``text`` in NFKC and lower case, without punctuation, articles and extra white space.

    Unlike SQuAD, it keeps characters that distinguish numbers or names (sign, decimal point, ``%``, ``C++``), drops
    thousands separators, and keeps articles or punctuation if nothing else is left: ``The`` does not become empty.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).translate(_SPELLINGS).casefold())
    text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    bare = _PUNCTUATION.sub(lambda match: match[1] or "", text)
    for candidate in (_ARTICLE.sub(" ", bare), bare, text):
        if joined := " ".join(candidate.split()):
            return joined
    return ""


def references(answer: Any) -> tuple[str, ...]:
    """Return the accepted answers: the task's answer, or each item if it is a list, without None and blank texts."""
    items = answer if isinstance(answer, list | tuple) else [answer]
    return tuple(text for item in items if item is not None and (text := str(item).strip()))
