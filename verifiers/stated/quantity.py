"""One value with what belongs to it: currency, magnitude, percent sign, unit; and ratios."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

from verifiers.stated.expression import parse
from verifiers.stated.forms import Answer, Ratio, Several, Value
from verifiers.stated.number import parts_of, value
from verifiers.stated.tokens import NotWhole, Token
from verifiers.stated.tree import Tree, number
from verifiers.stated.units import (
    CURRENCIES,
    CURRENCY_WORDS,
    MAGNITUDES,
    magnitude,
    starts_compound,
    starts_unit,
    unit_of,
)

_PERCENT = ("percent", "pct")
_SCALES = {"C": "celsius", "F": "fahrenheit"}


def quantity(tokens: list[Token]) -> Answer:
    """A ratio, or an expression with its currency, unit or percent sign."""
    if any(token.is_sign(":") for token in tokens):
        parts, _ = split(tokens, lambda token: "," if token.is_sign(":") else "")
        return Ratio(tuple(parse(part) for part in parts))
    marks = {CURRENCIES[token.text] for token in tokens if token.is_sign(*CURRENCIES)}
    if len(marks) > 1:
        raise NotWhole("several currencies")
    tokens = [token for token in tokens if not token.is_sign(*CURRENCIES)]
    if len(tokens) > 1 and tokens[0].text.strip() in CURRENCY_WORDS:
        marks.add(CURRENCY_WORDS[tokens.pop(0).text.strip()])
    if tokens and tokens[0].kind in ("word", "text"):
        word = tokens[0].text.strip().lower()
        if word in ("negative", "minus", "positive"):
            if len(tokens) < 2 or tokens[1].kind != "number":
                raise NotWhole(f"{word} of no number")
            inner = quantity(tokens[1:])
            return _negated(inner) if word != "positive" else inner
    depths = list(accumulate(map(depth_of, tokens)))
    ends = (n for n, depth in enumerate(depths) if n and not depth and _ends_value(tokens, n))
    end = next(ends, len(tokens))
    tree, rest = parse(tokens[:end]), list(tokens[end:])
    while rest and (scale := magnitude(rest[0], bool(marks))) is not None:
        tree = ("multiply", tree, number(scale))
        rest.pop(0)
    if rest and rest[0].text.strip().lower() in ("%", "\\%", *_PERCENT):
        if len(rest) > 1:
            raise NotWhole("something after a percent sign")
        return Value(tree, mark="%")
    if tree[0] == "degree" and len(rest) == 1 and rest[0].text.strip() in _SCALES:
        return Value(tree[1], mark="degree", unit=_SCALES[rest[0].text.strip()])
    unit = unit_of(rest) if rest else next(iter(marks), "")
    if unit is None:
        raise NotWhole(f"{rest[0].text.strip()[:40]!r} is left over")
    if unit in ("degree", *_SCALES.values()):
        return Value(tree, mark="degree", unit="" if unit == "degree" else unit)
    if tree[0] == "degree":
        return Value(tree[1], mark="degree", unit="" if unit == "thing" else unit)
    both = _both(tree)
    return Value(tree, unit) if both is None else Several(tuple(Value(one, unit) for one in both))


def _ends_value(tokens: list[Token], place: int) -> bool:
    token = tokens[place]
    if starts_compound(tokens, place):
        return tokens[place - 1].kind == "number" or tokens[place - 1].is_sign("}")
    if token.is_sign("/") and tokens[place - 1].kind == "number" and place + 2 == len(tokens):
        # 20/week
        return tokens[place + 1].kind == "word" and starts_unit(tokens[place + 1])
    if token.text in _SCALES and token.kind == "word":
        return any(before.is_command("circ") for before in tokens[max(0, place - 2) : place])
    if token.is_sign("%") or starts_unit(token):
        return not (token.kind == "text" and token.text.strip() in ("e", "i", "d"))
    return token.kind == "word" and token.text.lower() in (*MAGNITUDES, *_PERCENT)


def _negated(answer: Answer) -> Answer:
    if not isinstance(answer, Value):
        raise NotWhole("the negative of no number")
    return Value(("multiply", number(-1), answer.tree), answer.unit, answer.mark)


def _both(tree: Tree) -> tuple[Tree, Tree] | None:
    """What a tree with one plus-minus sign in it says; None for one with none, or with several."""
    if sum(part[0] == "plusminus" for part in parts_of(tree)) != 1:
        return None
    return _with_sign(tree, 1), _with_sign(tree, -1)


def _with_sign(tree: Tree, sign: int) -> Tree:
    if tree[0] == "plusminus":
        _, before, after = tree
        signed = after if sign > 0 else ("multiply", number(-1), after)
        return signed if value(before) == 0 else ("add", before, signed)
    return tuple(_with_sign(part, sign) if isinstance(part, tuple) else part for part in tree)


def depth_of(token: Token) -> int:
    if token.kind == "sign":
        return (token.text in ("(", "[", "{", "\\{")) - (token.text in (")", "]", "}", "\\}"))
    if token.kind == "command":
        return (token.text == "langle") - (token.text == "rangle")
    return 0


def split(
    tokens: Sequence[Token], joint: Callable[[Token], str]
) -> tuple[list[list[Token]], set[str]]:
    """The parts between joints outside of all brackets, and which joints there were."""
    parts: list[list[Token]] = [[]]
    joiners: set[str] = set()
    depth = 0
    last = ""
    for token in tokens:
        depth += depth_of(token)
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
