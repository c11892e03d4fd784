"""The final answer of a reply that was asked for in ``<answer>`` tags or in a box."""

from ..math.extraction import last_box

_OPEN, _CLOSE = "<answer>", "</answer>"


def last_tagged(text: str) -> str | None:
    """The content of the last ``<answer>…</answer>`` that holds no other tag, or None."""
    end = text.rfind(_CLOSE)
    while end >= 0:
        start = text.rfind(_OPEN, 0, end)
        inner = text.rfind(_CLOSE, 0, end)
        if start < 0:
            return None
        if start > inner:
            return text[start + len(_OPEN) : end].strip()
        end = inner
    return None


def final_answer(text: str) -> str | None:
    r"""The content of the last ``<answer>`` or, without one, of the last ``\boxed{}``; a box in a tag is unwrapped."""
    found = last_tagged(text)
    if found is None or found.startswith(r"\boxed{"):
        return last_box(text if found is None else found).strip() or None
    return found or None
