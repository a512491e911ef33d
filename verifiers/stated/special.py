r"""Answers that are told by their letters: options, times of day, numerals of a base, matrices,
"no solution", words.
"""

from __future__ import annotations

import re

from verifiers.stated.forms import Answer, Based, Clock, Empty, OptionLetter, Span, Value, Words
from verifiers.stated.matrices import matrix_in
from verifiers.stated.notation import plain_notation
from verifiers.stated.spans import INFINITY, MINUS_INFINITY
from verifiers.stated.tokens import NotWhole
from verifiers.stated.wrapping import bare_words, unwrapped

LONGEST = 1_000
"""Longer answers are not read."""
_LONE_LETTER = re.compile(r"(?:(?:option|choice)\s+)?\(?([A-J])\)?|\(([a-j])\)", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(
    r"(?:(?:option|choice)\s+)?(?:\(\s*([A-J])\s*\)\s*[:.]?|([A-J])\s*[:.)])\s*(.+)", re.DOTALL
)
_OTHER_OPTION = re.compile(r"\(?\b[A-J]\b\s*[:.)]|\b(?:or|and|not|nor|but)\s+\(?[A-J]\b")
_NO_TEXT = re.compile(r"(?:or|and|not|nor|but|if|when|unless)\b|[+*/^=<>,;&|-]|.*\bor\b")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})\s*(?:([ap])\.?\s?m\.?)?", re.IGNORECASE)
_HOUR = re.compile(r"(\d{1,2})\s*([ap])\.?\s?m\.?", re.IGNORECASE)
_BASED = re.compile(
    r"\(?([0-9A-Fa-f]{1,200})\)?\s*_\s*\{?\s*(\d{1,2}|two|three|four|five|six|seven|eight|nine|ten|"
    r"twelve|sixteen)\s*\}?"
)
_BASE_WORDS = dict(
    zip(
        ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
        range(2, 11),
        strict=True,
    )
) | {"twelve": 12, "sixteen": 16}
_NOTHING = re.compile(
    r"(?:that )?(?:there (?:is|are) |(?:the|this) (?:equation|system|inequality) has )?"
    r"(?:no|none|zero) (?:real |integer |such |valid |possible |integral |"
    r"positive |rational )*(?:solutions?|roots?|values?|numbers?|integers?|answers?|x)"
    r"(?: exists?)?|(?:the )?empty set|null set|no solutions? exists?"
)
_UNDEFINED = re.compile(
    r"(?:it |the limit )?(?:does not exist|doesn't exist|dne|undefined|is undefined)"
)
_ALL_REALS = re.compile(
    r"(?:the set of )?(?:all|any|every) (?:the )?reals?(?: numbers?| values?)?(?: (?:of )?x)?"
    r"|the real numbers"
)
_ENDLESS = re.compile(r"(?:positive |\+ ?)?infinity")
_IN_BASE = re.compile(
    r"([0-9A-Fa-f]{1,200}) \(?(?:in )?base "
    r"(\d{1,2}|two|three|four|five|six|seven|eight|nine|ten|twelve|sixteen)\)?"
)
_ARTICLE = re.compile(r"^(?:the|a|an)\s+")
_NOT_WORDS = re.compile(r"[\d=<>+*/^_\\{}|&%$~@#\[\]]")
_INTEGER = re.compile(r"[-+]?(?:\d+|[1-9]\d{0,2}(?:,\d{3})+)(?:\.0*)?")


def _nothing(flat: str) -> Answer | None:
    plain = flat.lower()
    if plain in ("none", "\\emptyset", "\\{ \\}", "\\{\\}", "\\{ \\emptyset") or _NOTHING.fullmatch(
        plain
    ):
        return Empty()
    if _ALL_REALS.fullmatch(plain):
        return Span(((MINUS_INFINITY, INFINITY, False, False),))
    if _ENDLESS.fullmatch(plain):
        return Value(INFINITY)
    return Words("undefined") if _UNDEFINED.fullmatch(plain) else None


def _choice(flat: str) -> Answer | None:
    alone = _LONE_LETTER.fullmatch(flat)
    if alone is not None:
        letter = alone[1] or alone[2]
        small = letter.islower() and "(" not in flat and " " not in flat
        # i and e are numbers, and a small letter alone is an unknown.
        return None if small else OptionLetter(letter.upper())
    with_text = _LETTER_AND_TEXT.fullmatch(flat)
    if with_text is None:
        return None
    words = with_text[3]
    if _OTHER_OPTION.search(words) or _NO_TEXT.match(words):
        raise NotWhole("several options")
    if with_text[2] and re.match(r"[\d\\(]", words) and ":" in flat[:4]:
        # A:B is a ratio as well.
        return OptionLetter(with_text[2], words) if " " in flat[:4] else None
    return OptionLetter(with_text[1] or with_text[2], words)


def _clock(flat: str) -> Answer | None:
    found, hour = _CLOCK.fullmatch(flat), _HOUR.fullmatch(flat)
    if found is None and hour is None:
        return None
    match = found or hour
    assert match is not None
    minute = int(match[2]) if found else 0
    letter = (match[3] if found else match[2]) or ""
    half = {"a": "am", "p": "pm", "": ""}[letter.lower()]
    if int(match[1]) > 24 or minute > 59:
        return None
    return Clock(int(match[1]), minute, half)  # type: ignore[arg-type]


def _based(flat: str) -> Based | None:
    told = _IN_BASE.fullmatch(flat)
    found = told or _BASED.fullmatch(flat.replace(" ", ""))
    if found is None or not any(map(str.isdigit, found[1])):
        return None
    base = _BASE_WORDS.get(found[2]) or int(found[2])
    try:
        int(found[1], base)
    except ValueError:
        raise NotWhole(f"no numeral of base {base}") from None
    return Based(found[1].upper().lstrip("0") or "0", base, in_words=told is not None)


def digits_of(text: str, base: int) -> Based | None:
    """A text of digits and letters as a numeral of a base; None where it is none."""
    flat = bare_words(unwrapped(plain_notation(text)))
    return _based(f"{flat}_{base}") if re.fullmatch(r"\d*[A-Fa-f][0-9A-Fa-f]*", flat) else None


def words_of(text: str) -> Words | None:
    """The text as words, also where it could be read as a product of letters; None if it is not."""
    if len(text) > LONGEST:
        return None
    flat = bare_words(unwrapped(plain_notation(text)))
    special = _nothing(flat)
    return special if isinstance(special, Words) else as_words(flat)


def as_words(flat: str) -> Words | None:
    """A short text as it is compared: small letters, no article, no punctuation."""
    if not flat or _NOT_WORDS.search(flat) or len(flat.split()) > 12:
        return None
    plain = re.sub(r"[^\w\s'-]", " ", flat.lower())
    plain = _ARTICLE.sub("", " ".join(plain.split()))
    return Words(plain) if any(map(str.isalpha, plain)) else None


def integer(text: str) -> str | None:
    """The digits of an answer that is an integer of any length and nothing else, or None."""
    if text.count("$$") % 2 or ".." in text:
        return None
    bare = text.replace("\\$", "").strip().strip("$").strip().removesuffix(".").strip()
    if not bare.isascii() or not _INTEGER.fullmatch(bare):
        return None
    digits = bare.partition(".")[0].replace(",", "").lstrip("+")
    sign = "-" if digits.startswith("-") else ""
    digits = digits.lstrip("-").lstrip("0")
    return f"{sign}{digits}" if digits else "0"


def special(text: str, flat: str) -> Answer | None:
    """What an answer denotes that is told by its letters, or None; raises NotWhole.

    `text` is in plain notation and unwrapped, `flat` the same without commands for words.
    """
    for form in (_nothing, _choice, _clock, _based):
        found = form(flat)
        if found is not None:
            return found
    return matrix_in(text)
