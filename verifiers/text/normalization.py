"""One spelling of a short answer, in the manner of SQuAD, and the references that a task accepts."""

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
    """``text`` in NFKC and lower case, without punctuation, articles and surplus white space.

    Unlike SQuAD's own rule it keeps what makes another number or name (sign, decimal point, ``%``, ``C++``), drops
    separators of thousands, and leaves articles or punctuation where nothing else is there: ``The`` is not empty.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).translate(_SPELLINGS).casefold())
    text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    bare = _PUNCTUATION.sub(lambda match: match[1] or "", text)
    for candidate in (_ARTICLE.sub(" ", bare), bare, text):
        if joined := " ".join(candidate.split()):
            return joined
    return ""


def references(answer: Any) -> tuple[str, ...]:
    """The texts that a task's answer accepts: itself, or each item of a list; blank ones and None are none."""
    items = answer if isinstance(answer, list | tuple) else [answer]
    return tuple(text for item in items if item is not None and (text := str(item).strip()))
