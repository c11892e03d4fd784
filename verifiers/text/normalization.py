"""SQuAD-style normalisation of short answers, and the reference answers of a task."""

import re
from typing import Any

import regex

from .visible import compatible, visible

_SPELLINGS = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-") | {"⁄": "/"})
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_SPACED_SIGN = regex.compile(r"(?<![\w.)\]]\s*)-\s++(?=[.\d])")
_UNSETTLED = re.compile(r"[-+#.:/%]")
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
    found = _normalized_once(text)
    while _UNSETTLED.search(found) and (again := _normalized_once(found)) != found:  # "A+:0": the colon hid the plus
        found = again
    return found


def _normalized_once(text: str) -> str:
    text = compatible(compatible(visible(text)).translate(_SPELLINGS).casefold())
    text = _SPACED_SIGN.sub("-", text)
    text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    bare = _PUNCTUATION.sub(lambda match: match[1] or "", text)
    for candidate in (_ARTICLE.sub(" ", bare), bare, text):
        if joined := " ".join(candidate.split()):
            return joined
    return ""


def references(answer: Any) -> tuple[str, ...]:
    """Return the accepted answers: the task's answer, or each item if it is a list, without None and blank texts."""
    items = answer if isinstance(answer, list | tuple) else [answer]
    texts = (str(item).strip() for item in items if item is not None)
    return tuple(text for text in texts if visible(text).strip())
