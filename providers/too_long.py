"""Whether a refusal says that a prompt does not fit the model's context, in every server's words.

Such a prompt is one problem that cannot be filled, however often it is asked. Words as vLLM,
SGLang, TGI, llama.cpp, Ollama, LiteLLM, OpenAI, Anthropic, Gemini, Bedrock, Groq, Mistral, xAI,
Cohere, Zhipu, DashScope, Moonshot and GitHub have them. Tokens a minute are another thing.
"""

from __future__ import annotations

import re

CODES = frozenset({"context_length_exceeded", "string_above_max_length", "tokens_limit_reached",
                   "exceed_context_size_error"})  # fmt: skip
TOO_MANY_TOKENS = r"too many (?:input )?tokens(?! (?:per|in|for|processed)|, please wait)"
WORDS = re.compile(
    r"context[ _-]?(?:length|window|size|limit)|max_model_len|maximum model length"
    rf"|{TOO_MANY_TOKENS}|maximum prompt length|range of input length"
    r"|(?:prompt|input|messages?|text) (?:is |are |was )?too long"
    r"|(?:prompt|input|messages?) exceeds? (?:the )?max(?:imum)? length"
    r"|(?:token|input) count.{0,60}exceeds|exceeds? the max\w* number of (?:input )?tokens"
    r"|exceeds? the (?:available )?context|model token limit|reduce the length of the"
    r"|(?:prompt|input) length.{0,60}\bexceeds?\b|(?:total|prompt|input) tokens.{0,20}\bexceeds?\b"
    r"|tokens \+ `max_new_tokens|must have less than \d+ tokens|max size: \d+ tokens",
    re.I | re.S,
)


def says_too_long(message: str, codes: tuple[str, ...] = ()) -> bool:
    """Whether an error's message or one of its codes says so."""
    return WORDS.search(message) is not None or any(code.lower() in CODES for code in codes)
