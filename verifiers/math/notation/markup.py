r"""Markup around mathematics, without meaning for it: Markdown, code spans, colours, bold type, end punctuation."""

import re

_EMPHASIS = (
    re.compile(r"(?<![\w)\]*\\])\*\*\*?(?=[^\s*])(?P<content>[^\n]{0,300}?[^\s*])\*?\*\*(?![\w(\[*])"),
    re.compile(r"(?<![\w\\])__(?=[^\s_])(?P<content>[^\n]{0,300}?[^\s_])__(?!\w)"),
    re.compile(r"(?<![\w\\$])_(?=[^\s_])(?P<content>[^_\n]{0,300}?[^\s_])_(?![\w{])"),
    re.compile(r"(?<![\w)\]*\\])\*(?=[^\s*])(?P<content>[^*\n]{0,300}?[^\s*])\*(?![\w(\[*])"),
)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n`]*$", re.MULTILINE)
_CODE = re.compile(r"(?<!`)(?P<mark>`{1,2})(?!`)(?P<content>[^`\n]{1,300})(?P=mark)(?!`)")
_LINE_START = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]+|[-*+•][ \t]+(?=\$|\\[(\[]|\S*[A-Za-z*_]))", re.MULTILINE)
_END = ("\\\\", r"\,", r"\;", r"\!", r"\:", r"\quad", r"\qquad", r"\checkmark", r"\blacksquare", r"\qed")
_COLOUR = re.compile(r"\\(?:color|textcolor|colorbox|fcolorbox\s*\{[^{}]*\})\s*(?:\[[^\[\]]*\])?\s*\{[^{}]*\}")
_NOUN = (
    r"(?:final|correct|required|desired|expected|possible|total|maximum|minimum|max|min|largest|smallest|greatest|least"
    r"|answer|ans|result|solutions?|values?|number|sum|difference|product|quotient|remainder|ratio|probability|area"
    r"|volume|perimeter|length|width|height|distance|radius|diameter|angle|slope|average|mean|median|mode|cost|price"
    r"|speed|time|age)"
)
_LABEL = re.compile(
    rf"(?P<text>\\(?:text|textbf|mathrm)\s*\{{)?\s*(?:(?:the\s+)?(?:{_NOUN}\s+){{0,3}}{_NOUN}"
    r"(?P<closed>\s*\})?(?:\s+(?:is|are)(?![A-Za-z])\s*:?|\s*[:=])|(?:option|choice)\s+(?=\(?[A-J](?![A-Za-z])))\s*"
    r"(?P<stop>\})?\s*",
    re.IGNORECASE,
)
"""What a value is called before it: ``\\text{Answer: } 13``, ``The ratio is 3:4``, ``\\text{Option C}``."""
_LEADING = re.compile(
    r"(?:\\(?:therefore|Rightarrow|implies|Longrightarrow)(?![A-Za-z])|[∴⇒]|\\[,;:! ]|\\q?quad(?![a-z])|\s)+"
)
_SPACE = re.compile(r"\\(?:hspace|vspace|hskip|label|tag|phantom|hphantom|vphantom)\*?\s*\{[^{}]*\}")
_SWITCH = re.compile(
    r"\\(?:bf|bfseries|it|itshape|em|rm|sf|tt|sl|boldmath|displaystyle|textstyle|scriptstyle|large|Large|LARGE|huge|Huge"
    r"|normalsize|small|mathstrut|strut|nonumber|notag)(?![A-Za-z])"
)
_AROUND = re.compile(
    r"\\(?:underline|uline|uuline|underbar|mathbf|boldsymbol|bm|pmb|mathit|mathsf|mathtt|mathnormal|mathstrut|ensuremath"
    r"|emph|underset\s*\{\s*\})\s*\{"
)
_QUOTES = ("`", '"', "“", "'")
_MAX_LAYERS = 12


def without_markdown(text: str) -> str:
    """Return a reply with spaces for its Markdown (emphasis, code marks, headings, bullets); powers ``**`` stay."""
    if "`" in text:
        text = _CODE.sub(_blank, _FENCE.sub(_blank, text))
    text = _LINE_START.sub(_blank, text)
    for pattern in _EMPHASIS if "*" in text or "_" in text else ():
        text = pattern.sub(_blank, text)
    return text


def _blank(match: re.Match[str]) -> str:
    """Return the match with spaces around its content, so that every other place in the text stays the same."""
    if not match.re.groups:
        return " " * len(match[0])
    before, after = match.start("content") - match.start(), match.end() - match.end("content")
    return " " * before + match["content"] + " " * after


def without_decoration(text: str) -> str:
    r"""Return one answer without what only decorates it: ``\color{red}{13},`` becomes ``13``."""
    text = text.strip()
    if "\\" in text:
        text = _peel(_SWITCH.sub(" ", _SPACE.sub(" ", _COLOUR.sub("", text))))
    if text[:1] in ("\\", "∴", "⇒") and (leading := _LEADING.match(text)):
        text = text[leading.end() :]
    if (text[:1].isalpha() or text.startswith("\\")) and (label := _LABEL.match(text)):
        open_text = label["text"] and not (label["closed"] or label["stop"])
        text = (label["text"] if open_text else "") + text[label.end() :]
    for _ in range(_MAX_LAYERS):
        before = text
        text = text.strip()
        end = next((end for end in _END if text.endswith(end)), "")
        text = text.removesuffix(end) if end else text.rstrip(",;.:~ ")
        if text.endswith("\\") and not text.endswith("\\\\"):
            text = text[:-1]  # what is left of a space or an escaped point
        for mark in ("**", "__", "*", "_", *_QUOTES):
            closing = {"“": "”"}.get(mark, mark)
            inner = text[len(mark) : -len(closing)]
            if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(closing) and mark not in inner:
                text = inner.strip()
        if text.startswith("{") and text.endswith("}") and not set(text[1:-1]) & set("{},;"):
            text = text[1:-1].strip()
        if text == before:
            break
    return text


def _peel(text: str) -> str:
    """Return ``text`` without commands that change how their argument looks; their braces stay where they group."""
    for _ in range(_MAX_LAYERS):
        match = _AROUND.search(text)
        if match is None:
            break
        start, depth = match.end(), 1
        for place in range(start, len(text)):
            depth += (text[place] == "{") - (text[place] == "}")
            if not depth:
                break
        if depth:
            break
        inner = text[start:place]
        after = text[place + 1 :].lstrip()
        grouped = after[:1] in ("^", "_") and len(inner.strip()) > 1
        text = f"{text[: match.start()]} {f'({inner})' if grouped else inner} {text[place + 1 :]}"
    return text
