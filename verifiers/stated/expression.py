"""Parses the tokens of one expression whole, into a tree of plain data (tree.py).

Nothing is guessed: what is left over, misses an operand, or can be read in two ways is NotWhole.
Nesting is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from verifiers.stated.names import CONSTANTS, FUNCTIONS, GREEK
from verifiers.stated.tokens import NotWhole, Token
from verifiers.stated.tree import Tree, number

DEEPEST = 60
"""Deeper nested expressions are not read."""

_TIMES = ("times", "cdot", "ast")
_CLOSING = {"(": ")", "[": "]", "{": "}", "lfloor": "rfloor", "lceil": "rceil"}


def parse(tokens: Sequence[Token]) -> Tree:
    """The tree of the expression that all these tokens are; raises NotWhole."""
    reader = _Reader(tokens)
    tree = reader.expression()
    reader.end()
    return tree


class _Reader:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.place = 0
        self.depth = 0
        self.bars = 0
        """Open | |: while one is, a bar closes and does not open."""

    def end(self) -> None:
        if self.place < len(self.tokens):
            raise NotWhole(f"{self.tokens[self.place].text!r} is left over")

    def _now(self) -> Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def _next(self) -> Token | None:
        return self.tokens[self.place + 1] if self.place + 1 < len(self.tokens) else None

    def _sign(self, *signs: str) -> bool:
        """Take one of these signs, if it comes."""
        now = self._now()
        if now is not None and now.is_sign(*signs):
            self.place += 1
            return True
        return False

    def _command(self, *names: str) -> bool:
        now = self._now()
        if now is not None and now.is_command(*names):
            self.place += 1
            return True
        return False

    def _must(self, *signs: str) -> None:
        if not self._sign(*signs):
            raise NotWhole(f"{signs[0]!r} is missing")

    def expression(self) -> Tree:
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotWhole("nested too deep")
        parts = [self._signed_term()]
        while True:
            if self._sign("+"):
                parts.append(self._term())
            elif self._sign("-"):
                parts.append(("multiply", number(-1), self._term()))
            elif self._command("pm", "mp"):
                before = parts[0] if len(parts) == 1 else ("add", *parts)
                parts = [("plusminus", before, self._term())]
            else:
                break
        self.depth -= 1
        return parts[0] if len(parts) == 1 else ("add", *parts)

    def _signed_term(self) -> Tree:
        if self._sign("-"):
            return ("multiply", number(-1), self._term())
        if self._command("pm", "mp"):
            return ("plusminus", number(0), self._term())
        self._sign("+")
        return self._term()

    def _term(self) -> Tree:
        left = self._factor()
        while True:
            if self._sign("*") or self._command(*_TIMES):
                left = ("multiply", left, self._signed_factor())
            elif self._sign("/") or self._command("div"):
                left = ("divide", left, self._signed_factor())
            elif self._starts_factor():
                before, now = self.tokens[self.place - 1], self._now()
                if now is not None and now.kind == "number" and before.kind != "command":
                    raise NotWhole("a number follows without a sign")
                left = ("multiply", left, self._factor())
            else:
                return left

    def _signed_factor(self) -> Tree:
        if self._sign("-"):
            return ("multiply", number(-1), self._factor())
        self._sign("+")
        return self._factor()

    def _starts_factor(self) -> bool:
        now = self._now()
        if now is None:
            return False
        if now.kind in ("number", "word"):
            return True
        if now.kind == "text":
            return now.text.strip() in ("e", "i", "d")
        if now.kind == "sign":
            return now.text in ("(", "[", "{") or (now.text == "|" and self.bars == 0)
        return now.text in GREEK or now.text in CONSTANTS or now.text in FUNCTIONS or now.text in (
            "frac", "sqrt", "binom", "lfloor", "lceil", "sum", "prod", "overline", "exp", "hat",
            "angle", "triangle", "vec",
        )  # fmt: skip

    def _factor(self) -> Tree:
        """An atom with its exponents, factorials and degrees."""
        now = self._now()
        if now is None:
            raise NotWhole("an operand is missing")
        if now.kind == "number" and now.whole:
            mixed = self._mixed()
            if mixed is not None:
                return mixed
        function = self._function()
        if function is not None:
            return self._raised(function)
        return self._raised(self._atom())

    def _raised(self, base: Tree) -> Tree:
        while True:
            if self._ordinal():
                continue
            if self._sign("^"):
                base = ("degree", base) if self._degree() else ("power", base, self._exponent())
            elif self._sign("!"):
                if self.tokens[self.place - 2].is_sign("!"):
                    # Of every other number, or twice: in doubt neither.
                    raise NotWhole("a double factorial")
                base = ("factorial", base)
            else:
                return base

    def _ordinal(self) -> bool:
        """Take the ending of 1^{st}, which says nothing more."""
        start = self.place
        if self._sign("^"):
            braces = self._sign("{")
            now = self._now()
            if now is not None and now.kind in ("word", "text"):
                self.place += 1
                if now.text.strip() in ("st", "nd", "rd", "th") and (not braces or self._sign("}")):
                    return True
        self.place = start
        return False

    def _degree(self) -> bool:
        start = self.place
        if self._command("circ"):
            return True
        if self._sign("{") and self._command("circ") and self._sign("}"):
            return True
        self.place = start
        return False

    def _exponent(self) -> Tree:
        if self._sign("-"):
            return ("multiply", number(-1), self._exponent())
        if self._sign("{"):
            inside = self.expression()
            self._must("}")
            return inside
        now = self._now()
        if now is not None and now.kind == "word" and len(now.text) > 1:
            raise NotWhole("an exponent without braces")
        atom = self._function() or self._atom()
        if self._sign("^"):
            return ("power", atom, self._exponent())
        return atom

    def _mixed(self) -> Tree | None:
        r"""7\frac{3}{8} and 7 3/8: the whole number and the part below one."""
        start, whole = self.place, self.tokens[self.place].value
        self.place += 1
        now = self._now()
        if now is not None and now.is_command("frac"):
            self.place += 1
            above, below = self._whole_group(), self._whole_group()
        elif now is not None and now.kind == "number" and now.whole and now.spaced:
            self.place += 1
            above, below = now.value, None
            if self._sign("/"):
                lower = self._now()
                if lower is not None and lower.kind == "number" and lower.whole:
                    self.place += 1
                    below = lower.value
        else:
            above = below = None
        if above is None or below is None:
            self.place = start
            return None
        if not 0 < above < below:
            raise NotWhole("a whole number and a fraction that is not below one")
        after = self._now()
        if after is not None and after.is_sign("^", "!"):
            raise NotWhole("a mixed number with an exponent")
        return number(whole + above / below)

    def _whole_group(self) -> Fraction | None:
        """A whole number, in braces or not."""
        braces = self._sign("{")
        now = self._now()
        if now is None or now.kind != "number" or not now.whole:
            return None
        self.place += 1
        if braces and not self._sign("}"):
            return None
        return now.value

    def _group(self) -> Tree:
        """An argument: in braces, or one atom."""
        if self._sign("{"):
            inside = self.expression()
            self._must("}")
            return inside
        return self._atom()

    def _function(self) -> Tree | None:
        now = self._now()
        if now is None or now.kind not in ("command", "word", "text"):
            return None
        name = now.text.strip()
        if name not in FUNCTIONS:
            return None
        self.place += 1
        power = base = None
        for _ in range(2):
            if self._sign("^"):
                power = self._exponent()
            elif self._sign("_"):
                base = self._group()
        arguments = self._arguments()
        if name in ("log", "lg", "ln"):
            default = {"log": number(10), "lg": number(10), "ln": ("constant", "e")}[name]
            made: Tree = ("log", arguments[0], base or default)
        elif name in ("exp", "cis"):
            turned = ("multiply", ("constant", "i"), arguments[0])
            made = ("power", ("constant", "e"), arguments[0] if name == "exp" else turned)
        else:
            made = ("call", name, *arguments)
        if power == ("multiply", number(-1), number(1)) and name in ("sin", "cos", "tan"):
            return ("call", "arc" + name, *arguments)
        return made if power is None else ("power", made, power)

    def _arguments(self) -> list[Tree]:
        if self._sign("("):
            found = [self.expression()]
            while self._sign(","):
                found.append(self.expression())
            self._must(")")
            return found
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotWhole("nested too deep")
        sign = number(-1) if self._sign("-") else None
        argument = self._factor()
        while self._starts_factor():
            now = self._now()
            assert now is not None
            if now.text in FUNCTIONS or now.kind == "number" or now.is_sign("|"):
                break
            argument = ("multiply", argument, self._factor())
        if self._sign("/"):
            argument = ("divide", argument, self._factor())
        self.depth -= 1
        return [argument if sign is None else ("multiply", sign, argument)]

    def _atom(self) -> Tree:
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotWhole("nested too deep")
        try:
            return self._any_atom()
        finally:
            self.depth -= 1

    def _any_atom(self) -> Tree:
        now = self._now()
        if now is None:
            raise NotWhole("an operand is missing")
        if now.kind == "number":
            self.place += 1
            return number(now.value)
        if now.kind in ("word", "text"):
            return self._letters(now)
        if now.kind == "sign":
            return self._bracketed(now)
        self.place += 1
        if now.text == "frac":
            return ("divide", self._group(), self._group())
        if now.text == "binom":
            return ("binomial", self._group(), self._group())
        if now.text == "sqrt":
            return self._root()
        if now.text in ("lfloor", "lceil"):
            inside = self.expression()
            if not self._command(_CLOSING[now.text]):
                raise NotWhole(f"\\{now.text} is not closed")
            return ("floor" if now.text == "lfloor" else "ceiling", inside)
        if now.text in ("sum", "prod"):
            return self._series("sum" if now.text == "sum" else "product")
        if now.text in ("overline", "hat", "vec", "angle", "triangle"):
            return ("symbol", f"{now.text} {self._name()}")
        if now.text in CONSTANTS:
            return CONSTANTS[now.text]
        if now.text in GREEK:
            return self._subscripted(now.text)
        raise NotWhole(f"\\{now.text} is not read")

    def _root(self) -> Tree:
        degree = number(2)
        if self._sign("["):
            degree = self.expression()
            self._must("]")
        now = self._now()
        several = now is not None and now.kind in ("number", "word") and len(now.text) > 1
        if several and self.tokens[self.place - 1].kind == "command" and not now.spaced:  # type: ignore[union-attr]
            raise NotWhole("a root without braces")
        if now is not None and now.is_sign("("):
            # Written as in a program: the root of the bracket.
            return ("root", self._atom(), degree)
        return ("root", self._group(), degree)

    def _series(self, kind: str) -> Tree:
        self._must("_")
        self._must("{")
        index = self._letters(self._now())
        self._must("=")
        start = self.expression()
        self._must("}")
        self._must("^")
        end = self._exponent()
        if index[0] not in ("symbol", "constant"):
            raise NotWhole("a sum without an index")
        return (kind, ("symbol", index[1]), start, end, self._term())

    def _bracketed(self, now: Token) -> Tree:
        if now.text == "|":
            self.place += 1
            self.bars += 1
            inside = self.expression()
            self.bars -= 1
            self._must("|")
            return ("absolute", inside)
        if now.text not in ("(", "[", "{"):
            raise NotWhole(f"{now.text!r} is not expected")
        self.place += 1
        bars, self.bars = self.bars, 0
        inside = self.expression()
        if now.text == "{" and self._command("choose"):
            inside = ("binomial", inside, self.expression())
        self.bars = bars
        self._must(_CLOSING[now.text])
        return inside

    def _letters(self, now: Token | None) -> Tree:
        """One symbol, a constant, or several letters side by side: their product."""
        if now is None or now.kind not in ("word", "text"):
            raise NotWhole("a letter is missing")
        word = now.text.strip()
        self.place += 1
        if now.kind == "text":
            if word in ("e", "i"):
                return CONSTANTS[word]
            if len(word) == 1 and word.isalpha():
                return self._subscripted(word)
            raise NotWhole(f"the words {word[:40]!r} in an expression")
        if word in CONSTANTS:
            return CONSTANTS[word]
        if word in GREEK:
            return self._subscripted(word)
        if word == "sqrt":
            return self._root()
        if len(word) == 1:
            return self._subscripted(word)
        if len(word) > 3 or not word.isascii():
            raise NotWhole(f"the word {word[:40]!r} in an expression")
        parts: list[Tree] = [CONSTANTS.get(one) or ("symbol", one) for one in word[:-1]]
        # An exponent belongs to the last letter alone.
        last = CONSTANTS.get(word[-1]) or self._subscripted(word[-1])
        return ("multiply", *parts, self._raised(last))

    def _subscripted(self, name: str) -> Tree:
        while self._sign("'"):
            name += "'"
        if self._sign("_"):
            name += f"_{self._name()}"
        now, after = self._now(), self._next()
        called = now is not None and now.is_sign("(") and not now.spaced
        if called and name in ("f", "g", "h", "P", "p", "F", "G", "q") and after is not None:
            self.place += 1
            arguments = [self.expression()]
            while self._sign(","):
                arguments.append(self.expression())
            self._must(")")
            return ("call", name, *arguments)
        return ("symbol", name)

    def _name(self) -> str:
        """A subscript, or the letters under a hat: one token, or those in braces."""
        if not self._sign("{"):
            now = self._now()
            if now is None or now.kind not in ("number", "word", "text"):
                raise NotWhole("a name is missing")
            self.place += 1
            return now.text
        parts: list[str] = []
        while not self._sign("}"):
            now = self._now()
            if now is None or now.is_sign("{"):
                raise NotWhole("a name that is not closed")
            parts.append(now.text)
            self.place += 1
        return " ".join(parts)
