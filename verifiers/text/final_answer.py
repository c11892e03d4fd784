"""The final answer of a reply that was asked for in ``<answer>`` tags or in a box."""

from ..math.extraction import last_box


def last_tagged(text: str, tag: str = "answer") -> str | None:
    """The content of the last ``<tag>…</tag>`` that holds no other tag of this name, without white space around it.

    None if there is none. The tag counts only as it is spelled here: without attributes, in this case. An answer in
    the reasoning counts too, so give it the text after the reasoning (``split_reasoning``).
    """
    opening, closing = f"<{tag}>", f"</{tag}>"
    end = text.rfind(closing)
    while end >= 0:
        start = text.rfind(opening, 0, end)
        inner = text.rfind(closing, 0, end)
        if start < 0:
            return None
        if start > inner:
            return text[start + len(opening) : end].strip()
        end = inner
    return None


def final_answer(text: str) -> str | None:
    r"""The content of the last ``<answer>`` or, without one, of the last ``\boxed{}``; a box in a tag is unwrapped."""
    found = last_tagged(text)
    if found is None or found.startswith(r"\boxed{"):
        return last_box(text if found is None else found).strip() or None
    return found or None
