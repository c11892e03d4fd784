"""Reader for one-sentence answers that name one option: "Rome is the capital." and "The capital is Rome."."""

import re
from collections.abc import Mapping

from ..normalization import normalized

_MAX_TEXT = 300
_INNER_END = re.compile(r"[.!?;:\n](?=\s*\S)")
_DOUBT = re.compile(
    r"n't\b|\b(?:not|never|no|nor|neither|none|wrong|incorrect|false|untrue|unlikely|but|though|although|however|except|"
    r"while|whereas|might|may|could|would|should|seems?|perhaps|maybe|possibly|probably|if|unless|or|rather|instead|"
    r"nobody|tempting|plausible|eliminated?|ruled|excluded?|distractor|trap|fails?|hardly|barely|excluding|closer?|only)\b"
)
_STATES = re.compile(r"(?: (?:alone|itself))? (?:is|was|are|were|has|have|had|does|did|will|can|\w+(?:s|ed))\b")

_OPENS = re.compile(r"(?:i (?:think|believe)(?: that)? )?")
_IS = re.compile(r"\b(?:is|was|are|were)(?: (?:the|a|an))? $")


def option_as_subject(text: str, options: Mapping[str, str]) -> str:
    """Return the label of the only option that the sentence names, as its subject or after "is", or nothing.

    A sentence that denies, hedges or compares states no choice.
    """
    text = text.strip()
    if len(text) > _MAX_TEXT or _INNER_END.search(text) or text.endswith("?"):
        return ""
    read = normalized(text)
    if _DOUBT.search(text.lower().replace("’", "'")):
        return ""
    texts = {label: normalized(option) for label, option in options.items()}
    named = [label for label, option in texts.items() if re.search(rf"(?<!\w){re.escape(option)}(?!\w)", read)]
    longest = max(named, key=lambda label: len(texts[label]), default="")
    alone = longest and all(texts[label] in texts[longest] for label in named)
    if not alone or len(texts[longest]) < 2 or list(texts.values()).count(texts[longest]) > 1:
        return ""
    option, start = texts[longest], _OPENS.match(read).end()  # type: ignore[union-attr]
    stated = read.startswith(option, start) and _STATES.match(read, start + len(option))
    stated = stated or (read.endswith(option) and _IS.search(read.removesuffix(option)))
    return longest if stated else ""
