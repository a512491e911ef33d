"""What a message's content says: a text, a part, or a list of parts, in any of the forms in use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def content_of(content: Any, odd: list[str]) -> str | None:
    """The text of a content, without thoughts and calls of tools; what is odd goes into `odd`."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, Mapping) and isinstance(content.get("parts"), list):
        content = content["parts"]
    texts = []
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, int | float) and not isinstance(part, bool):
            part = str(part)
        if isinstance(part, str):
            texts.append(part)
        elif not isinstance(part, Mapping):
            odd.append("a part of the content")
        elif part.get("type") in (None, "text", "output_text"):
            text = part.get("text", part.get("content"))
            if isinstance(text, Mapping):
                text = text.get("value")
            texts.append(text if isinstance(text, str) else "")
            if not isinstance(text, str):
                odd.append("a part of the content")
    return "".join(texts)


def refusal_in(content: Any) -> str | None:
    """The words of the parts that refuse; None where there are none."""
    parts = content if isinstance(content, list) else [content]
    said = [part["refusal"] for part in parts if isinstance(part, Mapping)
            and isinstance(part.get("refusal"), str)]  # fmt: skip
    return "".join(said) or None
