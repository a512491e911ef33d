r"""Cuts the notation of an answer into tokens: numbers, commands, words, signs.

A number is exact: its digits, as a fraction. Thousands may be grouped, by commas outside of
brackets only (inside, a comma separates): 1,000; 1{,}000; 1\,000; 1 000. `$` and spaces separate
and mean nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

TokenKind = Literal["number", "command", "word", "text", "sign"]
LONGEST_NUMBER = 400
"""Longer numerals are no numbers here."""

_GAP = r"(?:\{,\}|,\\! ?|\\[,;: !]| )"
_APART = re.compile(rf"[1-9]\d{{0,2}}(?:{_GAP}\d{{3}})+(?!\d)(?:\.\d+)?")
_GROUPED = re.compile(rf"[1-9]\d{{0,2}}(?:,\d{{3}})+(?![\d,]\d)(?:\.\d+)?(?!\d)|{_APART.pattern}")
_PLAIN = re.compile(r"(?:\d+(?:\.\d+)?|\.\d+)")
_REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar|dot)\s*(?:\{(\d+)\}|(\d))")
_POWER_OF_TEN = re.compile(r"[eE]([-+]?\d{1,3})(?![\w.])")
_COMMAND = re.compile(r"\\(?:[A-Za-z]+|.)")
_WORD = re.compile(r"[^\W\d_]+")
_TWO_SIGNS = {"<=": "le", ">=": "ge", "!=": "ne", "==": "="}
_TEXT = {
    "text", "textrm", "textbf", "textit", "texttt", "textsf", "textnormal", "mathrm", "mathsf",
    "mbox", "operatorname", "mathit", "mathtt", "emph", "hbox", "rm", "textup",
}  # fmt: skip
_NOTHING = {",", ";", ":", " ", "!", "\n", "(", ")", "[", "]", "/"}
_WRAPPING = {"mathbf", "boldsymbol", "bm", "pmb", "boxed", "fbox", "underline", "mathnormal"}
_CURRENCIES = {"\\$", "€", "£", "¥", "₹", "¢", "₩", "₽"}
_UNIT_JOINTS = re.compile(r"\s*(?:\\cdot(?![A-Za-z])|\\[,;: ]|\s|\*)\s*")
_UNIT_FACTOR = re.compile(r"([^\W\d_]{1,4})(?:\^\s*\{?\s*(-)?([1-4])\s*\}?)?")
_OPENING, _CLOSING = {"(", "[", "\\{", "\\langle"}, {")", "]", "\\}", "\\rangle"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `text` is a command's name, a word, a sign, or a numeral as it stood."""

    kind: TokenKind
    text: str
    value: Fraction = Fraction(0)
    spaced: bool = False
    """Whether white space stood before it."""
    whole: bool = True
    """Of a number: whether it was written without a point."""

    def is_sign(self, *signs: str) -> bool:
        return self.kind == "sign" and self.text in signs

    def is_command(self, *names: str) -> bool:
        return self.kind == "command" and self.text in names


class NotWhole(Exception):
    """A text does not read as a whole; says where it stops making sense."""


def tokens_of(text: str) -> list[Token]:
    """The tokens of a text in plain notation; raises NotWhole."""
    return _Reader(text).all()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.place, self.depth = text, 0, 0
        self.found: list[Token] = []
        self.spaced = False
        self.wanted = [0]
        """Per open brace, how many arguments a \\frac still takes: without braces one sign each."""

    def all(self) -> list[Token]:
        while self.place < len(self.text):
            character = self.text[self.place]
            if character in " \t\n\r$":
                self.place += 1
                self.spaced = True
            elif character in "0123456789" or (character == "." and self._begins_decimals()):
                self._number()
            elif character == "\\":
                self._command()
            elif character.isalpha():
                match = _WORD.match(self.text, self.place)
                assert match is not None
                self._put("word", match[0][:1] if self._argument() else match[0])
            else:
                self._sign(character)
        return self.found

    def _put(self, kind: TokenKind, text: str, length: int = 0, value: Fraction = Fraction(0),
             whole: bool = True) -> None:  # fmt: skip
        self.found.append(Token(kind, text, value, self.spaced, whole))
        self.place += length or len(text)
        self.spaced = False

    def _argument(self) -> bool:
        """Whether what comes is an argument without braces, which is then taken."""
        if self.wanted[-1] == 0:
            return False
        self.wanted[-1] -= 1
        return True

    def _begins_decimals(self) -> bool:
        digit = self.text[self.place + 1 : self.place + 2] in tuple("0123456789")
        return digit or _REPEATING.match(self.text, self.place) is not None

    def _number(self) -> None:
        if self._argument():
            self._put("number", self.text[self.place], 1, Fraction(int(self.text[self.place])))
            return
        repeating = _REPEATING.match(self.text, self.place)
        if repeating:
            self._put("number", "", len(repeating[0]), _repeating(repeating), whole=False)
            return
        grouped = (_APART if self.depth else _GROUPED).match(self.text, self.place)
        match = grouped or _PLAIN.match(self.text, self.place)
        assert match is not None
        digits = re.sub(r"[^\d.]", "", match[0])
        if len(digits) > LONGEST_NUMBER:
            raise NotWhole(f"a number of {len(digits)} digits")
        value, end = Fraction(digits), match.end()
        power = _POWER_OF_TEN.match(self.text, end)
        if power:
            value *= Fraction(10) ** int(power[1])
            end = power.end()
        self._put("number", digits, end - self.place, value, "." not in digits and not power)

    def _command(self) -> None:
        match = _COMMAND.match(self.text, self.place)
        if match is None:
            raise NotWhole("a backslash at the end")
        name, length = match[0][1:], len(match[0])
        if name == "\\":
            self._put("sign", "\\\\")
        elif name in _WRAPPING or name in _NOTHING:
            self.place += length
            self.spaced = self.spaced or name not in ("!", *_WRAPPING)
        elif name in ("{", "}", "|"):
            self._sign("\\" + name, length)
        elif name in ("$", "%", "&", "#", "_"):
            self._put("sign", "\\$" if name == "$" else name, length)
        elif name in _TEXT:
            self._text_command(name, length)
        else:
            self._argument()
            self._brackets("\\" + name)
            self._put("command", name, length)
            if name in ("frac", "binom"):
                self.wanted[-1] += 2

    def _text_command(self, name: str, length: int) -> None:
        opening = re.compile(r"\s*\{").match(self.text, self.place + length)
        if opening is None:
            self.place += length
            return
        depth, place = 1, opening.end()
        while place < len(self.text) and depth:
            depth += {"{": 1, "}": -1}.get(self.text[place], 0)
            place += 1
        if depth:
            raise NotWhole("a brace that is not closed")
        inside = self.text[opening.end() : place - 1]
        if inside.strip() in _CURRENCIES:
            self._put("sign", inside.strip(), place - self.place)
            return
        if not any(map(str.isalpha, inside)):
            # Digits in bold are digits.
            self.place = opening.end() - 1
            return
        self._argument()
        unit = _unit_text(inside)
        if name == "operatorname":
            self._put("word", inside.strip(), place - self.place)
        elif unit is not None:
            self._put("text", unit, place - self.place)
        elif any(map(str.isdigit, inside)):
            self.found += tokens_of(inside)
            self.place = place
        else:
            self._put("text", inside, place - self.place)

    def _sign(self, sign: str, length: int = 1) -> None:
        self._brackets(sign)
        two = self.text[self.place : self.place + 2]
        if two == "**":
            self._put("sign", "^", 2)
        elif two in _TWO_SIGNS:
            self._put("sign" if two == "==" else "command", _TWO_SIGNS[two], 2)
        else:
            if sign == "{":
                self.wanted.append(0)
            elif sign == "}":
                if len(self.wanted) == 1:
                    raise NotWhole("a brace that was not opened")
                self.wanted.pop()
                self._argument()
            self._put("sign", sign, length)

    def _brackets(self, sign: str) -> None:
        self.depth += (sign in _OPENING) - (sign in _CLOSING and self.depth > 0)


def _unit_text(inside: str) -> str | None:
    r"""A compound unit as one line, m/s^2 for m \cdot s^{-2}; None for any other text."""
    parts = _UNIT_JOINTS.split(inside.strip())
    factors = [_UNIT_FACTOR.fullmatch(part) for part in parts]
    if not all(factors) or not any(factor[2] for factor in factors if factor):
        return None
    above: list[str] = []
    below: list[str] = []
    for factor in factors:
        assert factor is not None
        power = f"^{factor[3]}" if factor[3] and factor[3] != "1" else ""
        (below if factor[2] else above).append(factor[1] + power)
    return " ".join(above) + "".join(f"/{one}" for one in below) if above else None


def _repeating(found: re.Match[str]) -> Fraction:
    whole, start, repeated = found[1], found[2], found[3] or found[4]
    if len(found[0]) > LONGEST_NUMBER:
        raise NotWhole("a number of very many digits")
    shift, nines = 10 ** len(start), 10 ** len(repeated) - 1
    return Fraction(int((whole or "0") + start), shift) + Fraction(int(repeated), nines * shift)
