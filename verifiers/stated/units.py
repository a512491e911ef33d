"""What may follow a number: a unit, a thing that is counted, or a word that makes it larger.

A unit never changes what a bare number says; two different measures (cm and m, dollars and cents)
are different answers. A word that changes the value (half, squared, less, million) is no unit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from verifiers.stated.tokens import NotWhole, Token

MAGNITUDES = {
    "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "dozen": 12, "tens": 10, "lakh": 10**5, "crore": 10**7,
}  # fmt: skip
CURRENCIES = {
    "\\$": "dollar", "€": "euro", "£": "sterling", "¥": "yen", "₹": "rupee", "¢": "cent",
    "₩": "won", "₽": "rouble",
}  # fmt: skip
CURRENCY_WORDS = {"USD": "dollar", "EUR": "euro", "GBP": "sterling", "INR": "rupee"}
_LETTER_MAGNITUDES = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "bn": 10**9, "mn": 10**6}

_MEASURES = {
    "mm": "mm millimeter millimetre", "cm": "cm centimeter centimetre", "m": "m meter metre",
    "km": "km kilometer kilometre", "inch": "in inch inches", "foot": "ft foot feet",
    "yard": "yd yard", "mile": "mi mile", "mg": "mg milligram", "g": "g gram gramme gm",
    "kg": "kg kilogram kilo", "pound": "lb lbs pound", "ounce": "oz ounce", "ton": "ton tonne",
    "second": "s sec second", "minute": "min minute", "hour": "h hr hour", "day": "day",
    "week": "week", "month": "month", "year": "yr year", "ml": "ml mL milliliter millilitre",
    "liter": "l L liter litre", "gallon": "gal gallon", "quart": "quart", "pint": "pint",
    "cup": "cup", "dollar": "dollar usd USD buck", "cent": "cent penny pennies", "euro": "euro EUR",
    "rupee": "rupee INR",
    "mph": "mph", "kph": "kph kmh", "degree": "degree deg", "radian": "radian rad",
    "hertz": "Hz hertz", "newton": "N newton", "joule": "J joule", "watt": "W watt",
    "volt": "V volt", "kelvin": "K kelvin", "acre": "acre",
    "celsius": "celsius centigrade", "fahrenheit": "fahrenheit",
}  # fmt: skip
_KNOWN = {word: unit for unit, words in _MEASURES.items() for word in words.split()}
_SHORT_WORDS = {
    "men", "day", "hen", "cow", "pig", "dog", "cat", "egg", "pen", "box", "cup", "bag", "car",
    "bus", "can", "toy", "pie", "hat", "kid", "boy", "bed", "key", "leg", "ant", "bee", "bat",
    "fox", "jar", "tin", "row", "way", "man", "pet", "nut", "tie", "cap", "lot", "ton", "sq", "cu",
    "per", "mph", "kmh", "kph", "lbs", "sec", "min", "hrs", "yrs", "hr", "yr", "cm", "mm", "km",
    "ft", "yd", "mi", "kg", "mg", "lb", "oz", "ml", "mL", "gal", "deg", "rad", "usd", "USD", "a",
}  # fmt: skip
_NO_UNIT = {
    "and", "or", "nor", "not", "if", "when", "unless", "but", "to", "than", "then", "else", "out",
    "binary", "octal", "hexadecimal",
    "more", "less", "most", "least", "fewer", "over", "under", "below", "above", "about",
    "around", "nearly", "almost", "approximately", "roughly", "short", "plus", "minus", "times",
    "divided", "multiplied", "mod", "modulo", "half", "halves", "third", "thirds", "quarter",
    "quarters", "fourth", "fourths", "fifth", "fifths", "sixth", "sixths", "seventh", "sevenths",
    "eighth", "eighths", "ninth", "ninths", "tenth", "tenths", "hundredth", "hundredths",
    "thousandth", "thousandths", "squared", "cubed", "factorial", "power", "root", "remainder",
    "base", "negative", "positive", "is", "was", "are", "be", "because", "since", "for", "where",
    "with", "without", "except", "between", "through", "until", "from", "by", "at", "on", "into",
    "equals", "equal", "either", "neither", "both", "maybe", "perhaps", "possibly", "wrong",
    "incorrect", "versus", "vs", "double", "twice", "triple", "percent", "percentage", "pct",
    "pi", "sqrt",
    "even", "odd", "infinity", "as", "choose", "up", "down", "owed", "loss", "debt", "deficit",
    "score", "gross", "couple", "dozens", "hundreds", "thousands", "millions", "billions",
    "trillions", "step", "ago", "larger", "smaller", "greater", "higher",
    "lower", "bc", "ad", "extra", "case", "imaginary", "squareroot", "pm", "am", "ish", "it",
    "does", "do", "grand", "mil", "mill", "millionth", "millionths", "billionth", "billionths",
    "trillionth", "trillionths", "no", "none", "never", "true", "false", "approx", "digits",
    *MAGNITUDES,
    # Larger or smaller than they look,
    "quadrillion", "quintillion", "sextillion", "septillion", "octillion", "nonillion", "decillion",
    "googol", "zillion", "gazillion", "myriad", "myriads", "mega", "giga", "tera", "peta", "deci",
    "centi", "milli", "micro", "nano", "pico", "fold", "percentile", "percentiles",
    "doubled", "tripled", "quadrupled", "halved", "inverted", "negated", "raised", "added",
    "subtracted", "reciprocal", "inverse", "opposite", "complement", "repeating", "recurring",
    "repeated", "radicand", "infinite", "backwards", "backward",
    # a bound,
    "inclusive", "exclusive", "onward", "onwards", "upward", "upwards", "downward", "downwards",
    "beyond", "maximum", "minimum", "tops",
    # or a doubt.
    "sometimes", "often", "seldom", "guess", "guessed", "estimate", "estimated", "unsure",
    "unknown", "unclear", "otherwise", "instead", "wait", "oops", "hmm", "sorry", "help",
}  # fmt: skip
_NUMBER_WORD = re.compile(
    r"one|two|three|four|five|ten|eleven|twelve|(?:six|seven|eight?|nine)(?:teen)?|(?:thir|four|fif)teen"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)t(?:y|ieths?)"
    r"|(?:eleven|twelf|(?:thir|four|fif|six|seven|eigh|nine)teen)ths?"
)
_NO_ADVERBS = {
    "family", "butterfly", "dragonfly", "jelly", "lily", "assembly", "monopoly", "anomaly",
    "supply", "reply", "rally", "daily", "weekly", "monthly", "yearly", "hourly", "exactly",
    "precisely", "fully", "equally", "scaffold", "household",
}  # fmt: skip
_HOW = re.compile(r".{3,}(?:ly|fold)")
"""Adverbs (probably, hopefully) and tenfold: they say of the number how it is meant."""
_ORDINAL = {"st", "nd", "rd", "th"}
_ATTACHED = re.compile(r"\b([^\W\d_]{1,4})([23])(?!\w)")
_POWERED = re.compile(r"square|sq|cubic|cu")


def magnitude(token: Token, money: bool) -> Fraction | None:
    """By how much a word after a number makes it larger, or None; raises NotWhole."""
    word = token.text.strip().strip(".")
    found = MAGNITUDES.get(word.lower())
    if found is None and word in _LETTER_MAGNITUDES:
        if money:
            found = _LETTER_MAGNITUDES[word]
        elif word != "K" or not token.text[0].isspace():
            # Millions, or moles a litre: in doubt it is no answer.
            raise NotWhole(f"a number of {word}")
    return Fraction(found) if found else None


def starts_unit(token: Token) -> bool:
    """Whether a unit may begin with this token."""
    if token.kind == "text":
        return True
    if token.kind != "word":
        return False
    word = token.text
    return (
        (len(word) > 3 and not _changes(word.lower()))
        or (word in _SHORT_WORDS and word != "a")
        or word in _ORDINAL
    )


def _changes(word: str) -> bool:
    """Whether a word in small letters may say that the number before it is another."""
    how = _HOW.fullmatch(word) is not None and word not in _NO_ADVERBS
    return how or word in _NO_UNIT or _NUMBER_WORD.fullmatch(word) is not None


def starts_compound(tokens: Sequence[Token], place: int) -> bool:
    """Whether a unit of one letter begins here, which another one tells from an unknown: m/s."""
    first, over = tokens[place], tokens[place + 1 : place + 3]
    return (
        first.kind == "word"
        and first.text in ("m", "g", "s")
        and len(over) == 2
        and over[0].is_sign("/")
        and over[1].kind == "word"
        and over[1].text in ("s", "h", "hr", "min", "L", "l", "sec")
    )


def unit_of(tokens: Sequence[Token]) -> str | None:
    """The unit that all these tokens are, in one form; None where they are none."""
    words: list[str] = []
    inside_braces = False
    for place, token in enumerate(tokens):
        if token.kind == "text":
            words += re.findall(r"[^\W\d_]+|\d+|\S", _ATTACHED.sub(r"\1^\2", token.text))
        elif token.kind == "word":
            before = tokens[place - 1] if place else None
            joined = before is not None and before.is_sign("/", "*", "(")
            if len(token.text) == 1 and not (joined or starts_compound(tokens, place)):
                return None
            words.append(token.text)
        elif token.kind == "number" and token.whole and words:
            # cm2 is a square, 5 feet 2 is not.
            attached = tokens[place - 1].kind == "word" and not token.spaced
            if words[-1] != "^" and not (attached and token.text in ("2", "3")):
                return None
            words += [token.text] if words[-1] == "^" else ["^", token.text]
        elif token.is_sign("(") and not (words and words[-1] == "/"):
            return None
        elif token.is_sign("/", "^", ".", "(", ")") or token.is_command("cdot"):
            words.append(token.text)
        elif token.is_sign("{", "}"):
            inside_braces = not inside_braces
        else:
            return None
    return None if inside_braces else _unit(words)


def _unit(words: list[str]) -> str | None:
    found: list[str] = []
    previous = ""
    for word in words:
        if word.isdigit():
            if previous != "^":
                return None
            found.append(f"^{word}")
        elif word == "(" and previous != "/":
            return None
        elif word in ("^", ".", "(", ")", "cdot", "-"):
            pass
        elif word in ("/",):
            found.append("/")
        elif not word[0].isalpha() or _changes(word.lower()):
            return None
        elif word == "per":
            found.append("/")
        elif word == "in" and previous:
            pass
        elif _POWERED.fullmatch(word.lower()):
            found.append("^2" if word.lower().startswith("s") else "^3")
        else:
            known = _KNOWN.get(word) or _KNOWN.get(word.lower())
            if known is None and word.lower().endswith("s"):
                known = _KNOWN.get(word.lower()[:-1])
            found.append(known or "")
        previous = word
    # What is counted (apples, ways, students) says nothing about the number.
    measures = [one for one in found if one]
    if not any(one in _MEASURES for one in measures):
        return "thing"
    powers = sorted(one for one in measures if one.startswith("^"))
    return " ".join([one for one in measures if not one.startswith("^")] + powers)
