"""What a chat template leaves in a model's output: headers before an answer, channels of thought.

`<|channel|>analysis<|message|>...<|channel|>final<|message|>` says which part is the answer;
`<|im_start|>assistant`, `[/INST]` and the like only say that one begins.
"""

from __future__ import annotations

import re

_FINAL = re.compile(r"^.*<\|channel\|>\s*final\s*<\|message\|>", re.DOTALL)
_OTHER_CHANNEL = re.compile(r"<\|channel\|>\s*(?:analysis|commentary)\b.*", re.DOTALL)
_HEADER = re.compile(
    r"\s*(?:<s>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|\[INST\][^\n]{0,2000}?\[/INST\]|\[/INST\]"
    r"|<\|im_start\|>\s*assistant\b|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>"
    r"|<start_of_turn>\s*model\b|<[|｜](?:start\|>)?[Aa]ssistant[|｜]?>?)"
)


def answering(text: str) -> str:
    """The text of the answer: without another channel than the last one, and without its header."""
    if "<|channel|>" in text:
        found = _FINAL.match(text)
        text = text[found.end() :] if found else _OTHER_CHANNEL.sub("", text)
    while (header := _HEADER.match(text)) is not None:
        text = text[header.end() :]
    return text
