r"""Reads a stated answer whole: what it denotes, as one of the forms of `forms`.

Nothing may be left over but a unit, a currency, punctuation or wrapping. Whatever does not read
whole, or in two ways, is NotWhole: no answer. docs/tasks.md has the grammar. Tokens are read top
down here: lists, then relations, then brackets, then (in `quantity`) one value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate

from verifiers.stated.expression import DEEPEST, parse
from verifiers.stated.forms import (
    About,
    Answer,
    Empty,
    Equation,
    Named,
    OptionLetter,
    Same,
    Several,
    Span,
    Value,
    Words,
)
from verifiers.stated.matrices import TRANSPOSED, transposed, vector_of, with_axes
from verifiers.stated.names import FUNCTIONS
from verifiers.stated.notation import plain_notation
from verifiers.stated.number import symbols, value
from verifiers.stated.quantity import depth_of, quantity, split
from verifiers.stated.spans import (
    INFINITY,
    MINUS_INFINITY,
    as_span,
    both,
    reals_without,
    span_of,
    union,
)
from verifiers.stated.special import LONGEST, as_words, special
from verifiers.stated.tokens import NotWhole, Token, tokens_of
from verifiers.stated.units import CURRENCIES, unit_of
from verifiers.stated.wrapping import bare_words, unwrapped

MOST_PARTS = 100
_NESTING = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_RELATIONS = {"=": "=", "<": "<", ">": ">", "le": "<=", "ge": ">=", "ne": "!=", "approx": "~",
              "in": "in"}  # fmt: skip
_BRACKETS = {"(": (")", "]"), "[": ("]", ")"), "\\{": ("\\}",)}
_FORMULAS = (("\\(", "\\)"), ("\\[", "\\]"))
_OWED = re.compile(r"(?:\\?\$)?\(\s*(?:\\?\$|[€£¥₹])\s*[\d,.]+\s*\)|\\\$\s*\([\d,.\s]+\)")
_TURNED = re.compile(r"\s*([\[\]])([^\[\](){}]+[,;][^\[\](){}]+)([\[\]])\s*")
_SYSTEM = re.compile(
    r"(?:\\\{)?\s*\\begin\s*\{(cases|aligned|gathered|align\*?)\}(.*)\\end\s*\{\1\}\.?", re.DOTALL
)
_HALF_OPEN = {("(", "]"), ("[", ")")}


def read(text: str) -> Answer:
    """What the text denotes; raises NotWhole."""
    if len(text) > LONGEST:
        raise NotWhole(f"the answer has {len(text)} characters: too many to be parsed")
    if max(accumulate(_NESTING.get(character, 0) for character in text), default=0) > DEEPEST:
        raise NotWhole("the answer nests too many brackets")
    if any(character < " " for character in text if character not in "\n\t\r"):
        raise NotWhole("the answer holds control characters")
    text = unwrapped(plain_notation(text))
    if not text:
        raise NotWhole("an empty answer")
    unclosed = any(text.count(opened) > text.count(closed) for opened, closed in _FORMULAS)
    if unclosed or text.count("$$") % 2:
        raise NotWhole("a formula that is not closed")
    if _OWED.fullmatch(text):
        raise NotWhole("an amount in brackets, as a loss is written")
    flat = bare_words(text)
    found = special(text, flat)
    if found is not None:
        return found
    turned = TRANSPOSED.fullmatch(text)
    if turned is not None and not isinstance(inner := read(turned[1]), Value):
        return transposed(inner)
    try:
        answer = _Reader(tokens_of(with_axes(_opened(text)))).answer()
        return (vector_of(answer) if isinstance(answer, Value) else None) or answer
    except NotWhole:
        words = as_words(flat)
        if words is None:
            raise
        return words


def _opened(text: str) -> str:
    """The text with the intervals of some countries, ]2,5[, and without \\begin{cases}."""
    interval = _TURNED.fullmatch(text)
    if interval is not None:
        low, inside, high = interval.groups()
        if low == "]" or high == "[":
            return f"{'(' if low == ']' else low}{inside}{')' if high == '[' else high}"
    system = _SYSTEM.fullmatch(text)
    if system is None or (system[1] == "cases" and "&" in system[2]):
        return text
    return system[2].replace("&", "").strip().removesuffix("\\\\")


class _Reader:
    """Reads tokens top down: lists, then relations, then brackets, then one value."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens

    def answer(self) -> Answer:
        tokens = self.tokens
        if not any(token.is_command("choose") for token in tokens):
            while tokens and tokens[0].is_sign("{") and _wraps(tokens):
                # Braces of a formula that do not show.
                tokens = tokens[1:-1]
        parts, joiners = split(tokens, _is_joint)
        if len(parts) > MOST_PARTS:
            raise NotWhole("very many parts")
        if len(parts) == 1:
            return _one(parts[0])
        return _joined([_one(part) for part in parts], joiners)


def _is_joint(token: Token) -> str:
    """How a token joins parts of a list; "" where it does not."""
    if token.is_sign(",", ";", "\\\\") or token.is_command("quad", "qquad"):
        return ","
    if token.kind in ("word", "text"):
        word = token.text.strip(" ,").lower()
        return word if word in ("and", "or") else ""
    if token.is_command("cup"):
        return "cup"
    return {"land": "and", "wedge": "and", "lor": "or", "vee": "or"}.get(token.text, "") if (
        token.kind == "command"
    ) else ""  # fmt: skip


def _joined(parts: list[Answer], joiners: set[str]) -> Answer:
    if joiners == {"and"} and all(isinstance(part, Span) for part in parts):
        return both([part for part in parts if isinstance(part, Span)])
    if "cup" in joiners or (joiners == {"or"} and all(isinstance(p, Span) for p in parts)):
        return union(parts)
    names = {part.name for part in parts if isinstance(part, Named)}
    if len(names) == 1 and isinstance(parts[0], Named):
        # x = 1, x = 7 and x = 1 or 7: values of one unknown.
        inner = [part.answer if isinstance(part, Named) else part for part in parts]
        return Named(names.pop(), Several(tuple(_flattened(inner))))
    if any(isinstance(part, Words | OptionLetter) for part in parts) and not all(
        isinstance(part, Words | OptionLetter) for part in parts
    ):
        raise NotWhole("words beside values")
    return Several(tuple(_flattened(parts)))


def _flattened(parts: list[Answer]) -> list[Answer]:
    found: list[Answer] = []
    for part in parts:
        found += part.parts if isinstance(part, Several) and not part.opening else [part]
    return found


def _one(tokens: list[Token]) -> Answer:
    """One part of a list: a relation, something in brackets, or a value."""
    sides, signs = [list[Token]()], list[str]()
    depth = 0
    for token in tokens:
        depth += depth_of(token)
        relation = _RELATIONS.get(token.text, "") if token.kind in ("sign", "command") else ""
        if relation and depth == 0:
            signs.append(relation)
            sides.append([])
        else:
            sides[-1].append(token)
    if not signs:
        return _bracketed(tokens) or quantity(tokens)
    if any(not side for side in sides):
        raise NotWhole("a relation without one of its sides")
    return _related(sides, signs)


def _related(sides: list[list[Token]], signs: list[str]) -> Answer:
    name = _name_of(sides[0])
    if set(signs) <= {"=", "~"}:
        return _equality(name, sides, signs)
    if signs == ["in"]:
        inside = _bracketed(sides[1])
        name = name or _tuple_of_letters(sides[0])
        if name is None or inside is None:
            raise NotWhole("a membership that is no set of an unknown")
        listed = isinstance(inside, Several) and inside.opening == "{"
        span = None if listed else as_span(inside)
        return Span(span.pieces, name) if span is not None else Named(name, inside)
    trees = [parse(_without_mark(side)) for side in sides]
    span = span_of(trees, signs)
    if span is not None:
        return span
    if len(signs) > 1:
        raise NotWhole("a chain of relations")
    return Equation(trees[0], trees[1], signs[0])


def _without_mark(tokens: list[Token]) -> list[Token]:
    marked = [token for token in tokens if not token.is_sign(*CURRENCIES)]
    if marked and marked[-1].kind == "text" and unit_of(marked[-1:]) is not None:
        marked.pop()
    return marked


def _equality(name: str | None, sides: list[list[Token]], signs: list[str]) -> Answer:
    about = signs[-1] == "~"
    if "~" in signs[:-1]:
        raise NotWhole("what follows an approximation")
    if name is not None:
        if any(_name_of(side) is not None for side in sides[1:-1]):
            raise NotWhole("one value of several unknowns")
        right = [_bracketed(side) or quantity(side) for side in sides[1:]]
        answer = _approximate(right) if about else right[-1]
        if any(isinstance(one, Value) and name in symbols(one.tree) for one in right):
            raise NotWhole(f"{name} in terms of itself")
        return Named(name, answer if len(right) == 1 or about else Same(tuple(right)))
    names = _tuple_of_letters(sides[0])
    if names is not None and len(sides) == 2 and not about:
        # (x, y) = (1, 2)
        return Named(names, _bracketed(sides[1]) or quantity(sides[1]))
    last = _name_of(sides[-1])
    values = [_bracketed(side) or quantity(side) for side in sides]
    if about:
        return _approximate(values)
    trees = [one.tree for one in values if isinstance(one, Value)]
    if last is not None and all(not symbols(tree) for tree in trees[:-1]):
        return Named(last, values[0] if len(values) == 2 else Same(tuple(values[:-1])))
    if len(trees) == len(values) and not any(map(symbols, trees)):
        return Same(tuple(values))
    if len(values) != 2 or len(trees) != 2:
        raise NotWhole("a chain of equations")
    return Equation(trees[0], trees[1])


def _is_letter(answer: Answer) -> bool:
    return isinstance(answer, Value) and answer.tree[0] == "symbol"


def _tuple_of_letters(tokens: list[Token]) -> str | None:
    """The name that (x, y) is, or None."""
    together = _bracketed(tokens)
    if isinstance(together, Several) and all(map(_is_letter, together.parts)):
        return "".join(token.text for token in tokens)
    return None


def _approximate(values: list[Answer]) -> Answer:
    """The last value as one that is only near; before it, what it is an approximation of."""
    *exact, last = values
    if not isinstance(last, Value) or symbols(last.tree):
        raise NotWhole("an approximation of no number")
    rounded = Value(last.tree, last.unit, last.mark, approximate=True)
    if not exact:
        return rounded
    near = value(last.tree)
    known = [value(one.tree) for one in exact if isinstance(one, Value)]
    if len(known) != len(exact) or near is None:
        raise NotWhole("an approximation of no number")
    # Decimals are right to one of their last place.
    off = _last_place(near)
    if any(one is not None and abs(one - near) > (off or abs(one) / 20) for one in known):
        raise NotWhole("an approximation that is none")
    return About(exact[0] if len(exact) == 1 else Same(tuple(exact)), rounded)


def _last_place(decimals: Fraction) -> Fraction | None:
    """What one more in the last place adds; None for an integer, or what is no decimal."""
    places = (Fraction(1, 10**n) for n in range(30) if (decimals * 10**n).denominator == 1)
    first = next(places, None)
    return None if first == 1 else first


def _name_of(tokens: list[Token]) -> str | None:
    """The name that stands left of an equals sign: a letter, f(2), AB, words; or None."""
    tokens = [token for token in tokens if not token.is_command("quad") and token.text != "'"]
    if not tokens:
        return None
    if tokens[0].text == "m" and len(tokens) > 1 and tokens[1].is_command("angle"):
        tokens = tokens[1:]
    first = tokens[0]
    if all(token.kind in ("text", "word") for token in tokens):
        words = " ".join(token.text for token in tokens).split()
        known = any(word in FUNCTIONS or word in ("sqrt", "and", "or", "not") for word in words)
        long = any(len(word) > 3 for word in words) or first.kind == "text"
        one = len(words) == 1 and (len(words[0]) == 1 or words[0].isupper())
        if not known and (long or one) and words != ["e"] and words != ["i"]:
            return " ".join(words)
        return None
    if first.is_command("overline", "angle", "triangle", "vec", "hat"):
        return " ".join(token.text for token in tokens if not token.is_sign("{", "}"))
    if first.is_command("frac"):
        written = "".join(token.text for token in tokens)
        return written if re.fullmatch(r"frac\{d[a-z]?\}\{d[a-z]\}", written) else None
    if len(tokens) > 2 and len(first.text) == 1 and first.kind == "word":
        inside = tokens[1].is_sign("(") and tokens[-1].is_sign(")")
        opened = [token.text for token in tokens if token.is_sign("(", ")")]
        if inside and opened == ["(", ")"]:
            return "".join(token.text for token in tokens)
    try:
        tree = parse(tokens)
    except NotWhole:
        return None
    if tree[0] == "symbol":
        return str(tree[1])
    return (
        "".join(token.text for token in tokens)
        if tree[0] == "call" and tree[1] not in FUNCTIONS and not str(tree[1]).startswith("arc")
        else None
    )


def _bracketed(tokens: list[Token]) -> Answer | None:
    """A tuple, an interval, a set or a vector; None where brackets do not wrap the whole."""
    if not tokens:
        raise NotWhole("an operand is missing")
    first, last = tokens[0], tokens[-1]
    if first.is_command("emptyset") and len(tokens) == 1:
        return Empty()
    if first.is_command("mathbb"):
        return _reals(tokens[1:])
    vector = first.is_command("langle") and last.is_command("rangle")
    known = (
        first.kind == "sign" and last.kind == "sign" and last.text in _BRACKETS.get(first.text, ())
    )
    if not (vector or known) or not _wraps(tokens):
        return None
    inside = tokens[1:-1]
    opening, closing = ("<", ">") if vector else (first.text.strip("\\"), last.text.strip("\\"))
    if not inside:
        if opening == "{":
            return Empty()
        raise NotWhole("empty brackets")
    if opening == "{":
        built = _set_of(inside)
        if built is not None:
            return built
    parts, joiners = split(inside, _is_joint)
    if joiners - {","}:
        raise NotWhole("words inside of brackets")
    if len(parts) == 1 and opening not in ("{", "<"):
        return None
    answers = tuple(_one(part) for part in parts)
    if (opening, closing) in _HALF_OPEN:
        span = as_span(Several(answers, opening, closing))
        if span is None:
            raise NotWhole("brackets that do not match")
        return span
    return Several(answers, opening, closing)


def _reals(tokens: list[Token]) -> Answer | None:
    r"""\mathbb{R}, perhaps without some points: \setminus \{0\}."""
    written = [token.text for token in tokens[:3]]
    if written == ["{", "R", "}"]:
        rest = tokens[3:]
    elif written[:1] == ["R"]:
        rest = tokens[1:]
    else:
        return None
    if not rest:
        return Span(((MINUS_INFINITY, INFINITY, False, False),))
    without = rest[0].is_command("setminus", "backslash") or rest[0].is_sign("-")
    points = _bracketed(rest[1:]) if without and len(rest) > 1 else None
    if not isinstance(points, Several) or points.opening != "{":
        return None
    return reals_without([part.tree for part in points.parts if isinstance(part, Value)])


def _wraps(tokens: Sequence[Token]) -> bool:
    """Whether the first bracket is closed by the last token, and no sooner."""
    depth = 0
    for place, token in enumerate(tokens):
        depth += depth_of(token)
        if depth == 0:
            return place == len(tokens) - 1
    return False


def _set_of(inside: list[Token]) -> Answer | None:
    """{x | x > 2}: what the condition says."""
    for place, token in enumerate(inside):
        if token.is_command("mid") or token.is_sign("|", ":"):
            if place != 1 and not inside[1].is_command("in"):
                return None
            found = _Reader(inside[place + 1 :]).answer()
            if isinstance(found, Span):
                return found
            raise NotWhole("a set that is given by another condition than an interval")
    return None
