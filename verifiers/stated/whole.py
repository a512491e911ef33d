r"""Reads a stated answer whole: what it denotes, as one of the forms of `forms`.

Nothing may be left over but a unit, a currency, punctuation or wrapping. Whatever does not read
whole, or in two ways, is NotWhole: no answer. docs/tasks.md has the grammar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from verifiers.stated.expression import FUNCTIONS, Tree, number, parse
from verifiers.stated.forms import (
    Answer,
    Based,
    Choice,
    Clock,
    Empty,
    Equation,
    Matrix,
    Named,
    Ratio,
    Same,
    Several,
    Span,
    Value,
    Words,
)
from verifiers.stated.notation import plain_notation
from verifiers.stated.number import symbols, value
from verifiers.stated.tokens import NotWhole, Token, tokens_of
from verifiers.stated.units import MAGNITUDES, magnitude, starts_compound, starts_unit, unit_of

LONGEST = 1_000
"""Longer answers are not read."""
MOST_PARTS = 100

_INFINITY: Tree = ("constant", "infinity")
_MINUS_INFINITY: Tree = ("multiply", number(-1), _INFINITY)
_TEXT_COMMAND = re.compile(
    r"\\(?:text|textrm|textbf|textit|mathrm|mathbf|mbox|operatorname|boldsymbol|bm|boxed|textsf)"
    r"\s*\{([^{}]*)\}"
)
_LONE_LETTER = re.compile(r"(?:(?:option|choice)\s+)?\(?([A-J])\)?|\(([a-j])\)", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(
    r"(?:(?:option|choice)\s+)?(?:\(([A-J])\)\s*[:.]?|([A-J])\s*[:.)])\s*(.+)", re.DOTALL
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
_MATRIX = re.compile(
    r"\\begin\s*\{([pbvB]?matrix|smallmatrix|array)\}(?:\s*\{[lcr|]*\})?(.*)\\end\s*\{\1\}",
    re.DOTALL,
)
_NOTHING = re.compile(
    r"(?:there (?:is|are) )?(?:no|none|zero) (?:real |integer |such |valid |possible |integral |"
    r"positive |rational )*(?:solutions?|roots?|values?|numbers?|integers?|answers?|x)"
    r"(?: exists?)?|(?:the )?empty set|null set|no solutions? exists?"
)
_UNDEFINED = re.compile(
    r"(?:it |the limit )?(?:does not exist|doesn't exist|dne|undefined|is undefined)"
)
_ARTICLE = re.compile(r"^(?:the|a|an)\s+")
_NOT_WORDS = re.compile(r"[\d=<>+*/^_\\{}|&%$~@#\[\]]")
_INTEGER = re.compile(r"[-+]?(?:\d+|[1-9]\d{0,2}(?:,\d{3})+)(?:\.0*)?")
_RELATIONS = {"=": "=", "<": "<", ">": ">", "le": "<=", "ge": ">=", "ne": "!=", "approx": "~",
              "in": "in"}  # fmt: skip
_BRACKETS = {"(": (")", "]"), "[": ("]", ")"), "\\{": ("\\}",)}
_HALF_OPEN = {("(", "]"), ("[", ")")}


def read(text: str) -> Answer:
    """What the text denotes; raises NotWhole."""
    if len(text) > LONGEST:
        raise NotWhole(f"the answer has {len(text)} characters: too many to be parsed")
    if any(character < " " for character in text if character not in "\n\t\r"):
        raise NotWhole("the answer holds control characters")
    text = _unwrapped(plain_notation(text))
    if not text:
        raise NotWhole("an empty answer")
    flat = _flat(text)
    for special in (_nothing, _choice, _clock, _based):
        found = special(flat)
        if found is not None:
            return found
    bare = text.strip("$ ")
    if bare.startswith("(\\begin") and bare.endswith(")"):
        bare = bare[1:-1].strip()
    matrix = _MATRIX.fullmatch(bare)
    if matrix is not None:
        return _matrix(matrix[2])
    try:
        return _Reader(tokens_of(text)).answer()
    except NotWhole:
        words = _words(flat)
        if words is None:
            raise
        return words


def _unwrapped(text: str) -> str:
    """Without markdown, outer quotes, delimiters of formulas and a final point."""
    before = None
    while text != before:
        before = text
        text = text.strip().strip('`"').strip()
        text = text.removesuffix("\\").strip() if text.endswith("\\") else text
        for mark in ("**", "__", "*", "$$", "$"):
            if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark):
                text = text[len(mark) : -len(mark)]
        for opening, closing in (("\\(", "\\)"), ("\\[", "\\]")):
            if text.startswith(opening) and text.endswith(closing):
                text = text[2:-2]
        text = text.strip().removeprefix(":").rstrip(".,;:")
        if text.startswith("=") and not text.startswith("=="):
            text = text[1:]
        text = text.removeprefix("**").removesuffix("**") if text.count("**") == 1 else text
    return text


def _flat(text: str) -> str:
    """The text without commands for words and dollar signs, for what is told by its letters."""
    before = None
    while text != before:
        before, text = text, _TEXT_COMMAND.sub(r" \1 ", text)
    text = re.sub(r"\\[,;:! ]|\\q?quad(?![A-Za-z])|\$|\\[()\[\]]", " ", text)
    return " ".join(text.split()).strip(" .,;*")


def _nothing(flat: str) -> Answer | None:
    plain = flat.lower()
    if plain in ("none", "\\emptyset", "\\{ \\}", "\\{\\}", "\\{ \\emptyset") or _NOTHING.fullmatch(
        plain
    ):
        return Empty()
    return Words("undefined") if _UNDEFINED.fullmatch(plain) else None


def _choice(flat: str) -> Answer | None:
    alone = _LONE_LETTER.fullmatch(flat)
    if alone is not None:
        letter = alone[1] or alone[2]
        small = letter.islower() and "(" not in flat and " " not in flat
        # i and e are numbers, and a small letter alone is an unknown.
        return None if small else Choice(letter.upper())
    with_text = _LETTER_AND_TEXT.fullmatch(flat)
    if with_text is None:
        return None
    words = with_text[3]
    if _OTHER_OPTION.search(words) or _NO_TEXT.match(words):
        raise NotWhole("several options")
    if with_text[2] and re.match(r"[\d\\(]", words) and ":" in flat[:4]:
        # A:B is a ratio as well.
        return Choice(with_text[2], words) if " " in flat[:4] else None
    return Choice(with_text[1] or with_text[2], words)


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


def _based(flat: str) -> Answer | None:
    found = _BASED.fullmatch(flat.replace(" ", ""))
    if found is None or not any(map(str.isdigit, found[1])):
        return None
    base = _BASE_WORDS.get(found[2]) or int(found[2])
    try:
        int(found[1], base)
    except ValueError:
        raise NotWhole(f"no numeral of base {base}") from None
    return Based(found[1].upper().lstrip("0") or "0", base)


def _matrix(inside: str) -> Answer:
    rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?", inside) if row.strip()]
    cells = tuple(tuple(parse(tokens_of(cell)) for cell in row.split("&")) for row in rows)
    if not cells or len({len(row) for row in cells}) != 1:
        raise NotWhole("rows of different lengths")
    return Matrix(cells)


def words_of(text: str) -> Words | None:
    """The text as words, also where it could be read as a product of letters; None if it is not."""
    if len(text) > LONGEST:
        return None
    flat = _flat(_unwrapped(plain_notation(text)))
    special = _nothing(flat)
    return special if isinstance(special, Words) else _words(flat)


def _words(flat: str) -> Words | None:
    """A short text as it is compared: small letters, no article, no punctuation."""
    if not flat or _NOT_WORDS.search(flat) or len(flat.split()) > 12:
        return None
    plain = re.sub(r"[^\w\s'-]", " ", flat.lower())
    plain = _ARTICLE.sub("", " ".join(plain.split()))
    return Words(plain) if any(map(str.isalpha, plain)) else None


def integer(text: str) -> str | None:
    """The digits of an answer that is an integer of any length and nothing else, or None."""
    bare = text.replace("\\$", "").strip().strip("$").strip().rstrip(".").strip()
    if not bare.isascii() or not _INTEGER.fullmatch(bare):
        return None
    digits = bare.partition(".")[0].replace(",", "").lstrip("+")
    sign = "-" if digits.startswith("-") else ""
    digits = digits.lstrip("-").lstrip("0")
    return f"{sign}{digits}" if digits else "0"


class _Reader:
    """Reads tokens top down: lists, then relations, then brackets, then one value."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens

    def answer(self) -> Answer:
        parts, joiners = _split(self.tokens, _is_joint)
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


def _split(
    tokens: Sequence[Token], joint: Callable[[Token], str]
) -> tuple[list[list[Token]], set[str]]:
    """The parts between joints outside of all brackets, and which joints there were."""
    parts: list[list[Token]] = [[]]
    joiners: set[str] = set()
    depth = 0
    last = ""
    for token in tokens:
        depth += _depth(token)
        if depth < 0:
            raise NotWhole("a bracket that was not opened")
        kind = joint(token) if depth == 0 else ""
        if not kind:
            parts[-1].append(token)
            last = ""
            continue
        # "1, and 2", "or" between spaces of a formula: one joint.
        spacing = token.kind == "command" and token.text in ("quad", "qquad")
        if not parts[-1] and not (spacing or last == "quad" or (last == "," and kind != ",")):
            raise NotWhole(f"{token.text!r} joins nothing")
        if parts[-1]:
            parts.append([])
        if not spacing:
            joiners.add(kind)
        last = "quad" if spacing else kind
    if depth:
        raise NotWhole("a bracket that is not closed")
    if not parts[-1]:
        parts.pop()
        if last not in ("quad", ""):
            raise NotWhole("a list that is not finished")
    if not parts:
        raise NotWhole("an empty answer")
    return parts, joiners


def _depth(token: Token) -> int:
    if token.kind == "sign":
        return (token.text in ("(", "[", "{", "\\{")) - (token.text in (")", "]", "}", "\\}"))
    if token.kind == "command":
        return (token.text == "langle") - (token.text == "rangle")
    return 0


def _joined(parts: list[Answer], joiners: set[str]) -> Answer:
    if "cup" in joiners or (joiners == {"or"} and all(isinstance(p, Span) for p in parts)):
        return _union(parts)
    names = {part.name for part in parts if isinstance(part, Named)}
    if len(names) == 1 and isinstance(parts[0], Named):
        # x = 1, x = 7 and x = 1 or 7: values of one unknown.
        inner = [part.answer if isinstance(part, Named) else part for part in parts]
        return Named(names.pop(), Several(tuple(_flattened(inner))))
    if any(isinstance(part, Words | Choice) for part in parts) and not all(
        isinstance(part, Words | Choice) for part in parts
    ):
        raise NotWhole("words beside values")
    return Several(tuple(_flattened(parts)))


def _flattened(parts: list[Answer]) -> list[Answer]:
    found: list[Answer] = []
    for part in parts:
        found += part.parts if isinstance(part, Several) and not part.opening else [part]
    return found


def _union(parts: list[Answer]) -> Answer:
    pieces: list[tuple[Tree, Tree, bool, bool]] = []
    names = set()
    for part in parts:
        span = as_span(part)
        if span is None:
            raise NotWhole("a union of other things than intervals")
        pieces += span.pieces
        names.add(span.name)
    return Span(tuple(pieces), names.pop() if len(names) == 1 else "")


def as_span(answer: Answer) -> Span | None:
    """An interval, or a set of numbers as pieces of one point each; None for all else."""
    if isinstance(answer, Span):
        return answer
    if isinstance(answer, Several) and answer.opening in ("(", "[") and len(answer.parts) == 2:
        low, high = answer.parts
        if isinstance(low, Value) and isinstance(high, Value):
            piece = (low.tree, high.tree, answer.opening == "[", answer.closing == "]")
            return Span((piece,))
    if isinstance(answer, Several) and answer.opening == "{":
        trees = [part.tree for part in answer.parts if isinstance(part, Value)]
        if len(trees) == len(answer.parts):
            return Span(tuple((tree, tree, True, True) for tree in trees))
    return None


def _one(tokens: list[Token]) -> Answer:
    """One part of a list: a relation, something in brackets, or a value."""
    sides, signs = [list[Token]()], list[str]()
    depth = 0
    for token in tokens:
        depth += _depth(token)
        relation = _RELATIONS.get(token.text, "") if token.kind in ("sign", "command") else ""
        if relation and depth == 0:
            signs.append(relation)
            sides.append([])
        else:
            sides[-1].append(token)
    if not signs:
        return _bracketed(tokens) or _value(tokens)
    if any(not side for side in sides):
        raise NotWhole("a relation without one of its sides")
    return _related(sides, signs)


def _related(sides: list[list[Token]], signs: list[str]) -> Answer:
    name = _name_of(sides[0])
    if set(signs) <= {"=", "~"}:
        return _equality(name, sides, signs)
    if signs == ["in"]:
        inside = _bracketed(sides[1])
        if name is None or inside is None:
            raise NotWhole("a membership that is no set of an unknown")
        span = as_span(inside)
        return Span(span.pieces, name) if span is not None else Named(name, inside)
    trees = [parse(_without_mark(side)) for side in sides]
    span = _span(trees, signs)
    if span is not None:
        return span
    if len(signs) > 1:
        raise NotWhole("a chain of relations")
    return Equation(trees[0], trees[1], signs[0])


def _without_mark(tokens: list[Token]) -> list[Token]:
    marked = [token for token in tokens if not token.is_sign("€")]
    if marked and marked[-1].kind == "text" and unit_of(marked[-1:]) is not None:
        marked.pop()
    return marked


def _equality(name: str | None, sides: list[list[Token]], signs: list[str]) -> Answer:
    about = "~" in signs
    if name is not None:
        # x = y = 5 says of both that they are 5.
        others = [side for side in sides[1:-1] if _name_of(side) is None]
        right = [_bracketed(side) or _value(side) for side in (*others, sides[-1])]
        answer = _approximate(right[-1]) if about else right[-1]
        if any(isinstance(one, Value) and name in symbols(one.tree) for one in right):
            raise NotWhole(f"{name} in terms of itself")
        return Named(name, answer if len(right) == 1 or about else Same(tuple(right)))
    if about:
        raise NotWhole("an approximation of no name")
    last = _name_of(sides[-1])
    values = [_bracketed(side) or _value(side) for side in sides]
    trees = [one.tree for one in values if isinstance(one, Value)]
    if last is not None and all(not symbols(tree) for tree in trees[:-1]):
        return Named(last, values[0] if len(values) == 2 else Same(tuple(values[:-1])))
    if len(trees) == len(values) and not any(map(symbols, trees)):
        return Same(tuple(values))
    if len(values) != 2 or len(trees) != 2:
        raise NotWhole("a chain of equations")
    return Equation(trees[0], trees[1])


def _approximate(answer: Answer) -> Answer:
    if not isinstance(answer, Value):
        raise NotWhole("an approximation of no number")
    return Value(answer.tree, answer.unit, answer.mark, approximate=True)


def _span(trees: list[Tree], signs: list[str]) -> Span | None:
    """The numbers that a relation of one unknown names, where it stands alone on its side."""
    unknown = [tree[0] == "symbol" for tree in trees]
    if sum(unknown) != 1 or any(symbols(t) for t, u in zip(trees, unknown, strict=True) if not u):
        return None
    place = unknown.index(True)
    name = trees[place][1]
    if signs == ["!="]:
        other = trees[1 - place]
        return Span(
            ((_MINUS_INFINITY, other, False, False), (other, _INFINITY, False, False)), name
        )
    rising, falling = {"<", "<="}, {">", ">="}
    if not (set(signs) <= rising or set(signs) <= falling) or len(trees) > 3:
        return None
    if set(signs) <= falling:
        trees, place = trees[::-1], len(trees) - 1 - place
        signs = [{">": "<", ">=": "<="}[sign] for sign in reversed(signs)]
    if len(trees) == 3 and place != 1:
        return None
    low = trees[place - 1] if place else _MINUS_INFINITY
    high = trees[place + 1] if place + 1 < len(trees) else _INFINITY
    low_in = place > 0 and signs[place - 1] == "<="
    high_in = place + 1 < len(trees) and signs[place] == "<="
    return Span(((low, high, low_in, high_in),), name)


def _name_of(tokens: list[Token]) -> str | None:
    """The name that stands left of an equals sign: a letter, f(2), AB, words; or None."""
    tokens = [token for token in tokens if not token.is_command("quad") and token.text != "'"]
    if not tokens:
        return None
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
    tree = None
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
        letters = "".join(token.text for token in tokens[1:]).strip("{}")
        return Span(((_MINUS_INFINITY, _INFINITY, False, False),)) if letters == "R" else None
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
    parts, joiners = _split(inside, _is_joint)
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


def _wraps(tokens: list[Token]) -> bool:
    """Whether the first bracket is closed by the last token, and no sooner."""
    depth = 0
    for place, token in enumerate(tokens):
        depth += _depth(token)
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


def _value(tokens: list[Token]) -> Answer:
    """A ratio, or an expression with its currency, unit or percent sign."""
    if any(token.is_sign(":") for token in tokens):
        parts, _ = _split(tokens, lambda token: "," if token.is_sign(":") else "")
        return Ratio(tuple(parse(part) for part in parts))
    money = any(token.is_sign("€", "£", "¥", "€") for token in tokens)
    tokens = [token for token in tokens if not token.is_sign("€", "£", "¥", "€")]
    if tokens and tokens[0].kind in ("word", "text"):
        word = tokens[0].text.strip().lower()
        if word in ("negative", "minus", "positive"):
            if len(tokens) < 2 or tokens[1].kind != "number":
                raise NotWhole(f"{word} of no number")
            inner = _value(tokens[1:])
            return _negated(inner) if word != "positive" else inner
    end = next((n for n, token in enumerate(tokens) if n and _ends_value(tokens, n)), len(tokens))
    tree, rest = parse(tokens[:end]), list(tokens[end:])
    while rest and (scale := magnitude(rest[0], money)) is not None:
        tree = ("multiply", tree, number(scale))
        rest.pop(0)
    if rest and (rest[0].is_sign("%") or rest[0].text.strip().lower() in ("percent", "\\%", "%")):
        if len(rest) > 1:
            raise NotWhole("something after a percent sign")
        return Value(tree, mark="%")
    unit = unit_of(rest) if rest else ("dollar" if money else "")
    if unit is None:
        raise NotWhole(f"{rest[0].text.strip()[:40]!r} is left over")
    if unit == "degree":
        return Value(tree, mark="degree")
    if tree[0] == "degree":
        return Value(tree[1], mark="degree", unit="" if unit == "thing" else unit)
    if tree[0] == "plusminus":
        return _both(tree, unit)
    return Value(tree, unit)


def _ends_value(tokens: list[Token], place: int) -> bool:
    token = tokens[place]
    if starts_compound(tokens, place):
        return tokens[place - 1].kind == "number" or tokens[place - 1].is_sign("}")
    if token.is_sign("%") or starts_unit(token):
        return not (token.kind == "text" and token.text.strip() in ("e", "i", "d"))
    return token.kind == "word" and token.text.lower() in (*MAGNITUDES, "percent")


def _negated(answer: Answer) -> Answer:
    if not isinstance(answer, Value):
        raise NotWhole("the negative of no number")
    return Value(("multiply", number(-1), answer.tree), answer.unit, answer.mark)


def _both(tree: Tree, unit: str) -> Answer:
    _, before, after = tree
    minus = ("multiply", number(-1), after)
    if value(before) == 0:
        return Several((Value(after, unit), Value(minus, unit)))
    return Several((Value(("add", before, after), unit), Value(("add", before, minus), unit)))
