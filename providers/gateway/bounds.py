"""What a call can cost at most, from its body; refused where nothing bounds it.

The prompt: every byte of the body as a token at its longest (budgets/bounds.py), tools at the
length of their indented JSON (templates write them so), a template's allowance, an allowance for
each picture, and all that this attempt was answered before (an API may put a hidden reasoning
text back in its place). The output: what the call asks for, times its choices.

What a server fetches, keeps or looks up by itself has no bound that the body shows (pictures by
URL, files, earlier conversations, tools that the server runs), and neither have other rates
(priority service, audio): such calls are refused, with the field's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from budgets.bounds import MESSAGE_TOKENS, TEMPLATE_TOKENS, text_token_bound
from providers.gateway.errors import GatewayRefusal, Unbounded

IMAGE_TOKENS = 50_000
"""More than any model in the price lists bills for one picture (8 tiles at 5,667 and the base)."""
TOOLS_TOKENS = 1_024
"""What an API writes into the prompt by itself once a call has tools."""
MOST_CHOICES = 1_024

REFUSED_FIELDS: Mapping[str, frozenset[Any]] = {
    "background": frozenset({False}),
    "previous_response_id": frozenset(),
    "conversation": frozenset(),
    "mcp_servers": frozenset(),
    "container": frozenset(),
    "audio": frozenset(),
    "prediction": frozenset(),
    "web_search_options": frozenset(),
    "plugins": frozenset(),
    "models": frozenset(),
    "route": frozenset(),
    "service_tier": frozenset({"auto", "default", "standard_only", "flex"}),
    "speed": frozenset({"standard"}),
    "inference_geo": frozenset({"global"}),
}
"""Fields that change what is billed or bring in what the body does not show, with the values that
do not."""

_PARTS = {
    "file", "input_file", "input_audio", "audio", "video_url", "input_video", "container_upload",
    "item_reference",
}  # fmt: skip
_MARKS = (b'"image', b'"file', b'"document"', b"audio", b"video", b"_upload", b"_reference")


class Bound(NamedTuple):
    """The most that a call can be billed for."""

    prompt_tokens: int
    output_tokens: int
    """Of all choices."""
    cache_write: bool = False


def whole_number(body: Mapping[str, Any], name: str, least: int = 0) -> int | None:
    """A field that holds a whole number; raises GatewayRefusal for anything else."""
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int or value < least:
        raise GatewayRefusal(400, f"{name} must be a whole number of at least {least}.")
    return value


def choices(body: Mapping[str, Any], name: str = "n") -> int:
    """How many choices a call asks for."""
    n = whole_number(body, name, 1) or 1
    if n > MOST_CHOICES:
        raise GatewayRefusal(400, f"{name} is {n}; the gateway passes on at most {MOST_CHOICES}.")
    return n


def prompt_bound(body: Mapping[str, Any], messages: int) -> int:
    """The most prompt tokens of a call with so many messages; raises Unbounded."""
    refuse_fields(body)
    text = msgspec.json.encode(body)
    tokens = text_token_bound(text.decode())
    tools = body.get("tools") or body.get("functions")
    if tools:
        plain = msgspec.json.encode(tools)
        tokens += TOOLS_TOKENS + len(msgspec.json.format(plain, indent=4)) - len(plain)
    if any(mark in text for mark in _MARKS):
        tokens += IMAGE_TOKENS * sum(map(_pictures, _parts(body)))
    return tokens + TEMPLATE_TOKENS + MESSAGE_TOKENS * (messages + 1)


def refuse_fields(body: Mapping[str, Any]) -> None:
    """Raise Unbounded for a field that changes what is billed."""
    for name in REFUSED_FIELDS.keys() & body.keys():
        value = body[name]
        if value is None or value == [] or value == {}:
            continue
        if not isinstance(value, bool | str) or value not in REFUSED_FIELDS[name]:
            raise Unbounded(f"the field `{name}`")
    modalities = body.get("modalities")
    if modalities not in (None, ["text"]):
        raise Unbounded("the field `modalities`")


def refuse_tools(body: Mapping[str, Any], own: tuple[str, ...]) -> None:
    """Raise Unbounded for a tool that the server runs.

    `own`: how the types of tools begin that the agent runs itself.
    """
    tools = body.get("tools")
    if tools is not None and not isinstance(tools, list):
        raise GatewayRefusal(400, "tools must be a list.")
    for tool in tools or ():
        kind = tool.get("type") if isinstance(tool, dict) else ""
        if kind == "namespace":  # tools of the agent's own under one name
            refuse_tools(tool, own)
            continue
        if kind is None or (isinstance(kind, str) and kind.startswith(own)):
            continue
        raise Unbounded(
            f"the tool {kind!r}, which the server runs and bills by itself; switch it off in the "
            "agent's settings"
        )


def _parts(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every JSON object in a value that names its type, at any depth.

    Descriptions of tools and the arguments of their calls are the agent's own words.
    """
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting.extend(found)
        elif isinstance(found, dict):
            for name, inner in found.items():
                if name != "tools" and not (name == "input" and isinstance(inner, dict)):
                    waiting.append(inner)
            if isinstance(found.get("type"), str):
                yield found


def _pictures(part: Mapping[str, Any]) -> int:
    """1 for a picture; raises Unbounded for what is only referred to."""
    kind = part["type"]
    if kind in _PARTS:
        raise Unbounded(f"content of type `{kind}`")
    if kind == "image_url" or kind == "input_image":
        url = part.get("image_url")
        url = url.get("url") if isinstance(url, dict) else url
        if part.get("file_id") or not str(url).startswith("data:"):
            raise Unbounded("a picture by reference; send it as a data URL")
        return 1
    if kind in ("image", "document"):
        source = part.get("source")
        form = source.get("type") if isinstance(source, dict) else None
        if kind == "image" and form == "base64":
            return 1
        if kind == "document" and form in ("text", "content"):
            return 0
        raise Unbounded(f"an attachment of type `{kind}` from {form!r}")
    return 0
