"""Values as tagged JSON: exact builtin types and nothing else, so that decoding runs no code.

Lists are JSON arrays; everything that JSON has no word for is an object with one key that names
the type: t tuple, d dict, s set, z frozenset, b bytes, B bytearray, i int (hexadecimal, beyond
53 bits, so that no decimal limit applies), f float that JSON cannot write, c complex, r range,
n a value to be read once (generators, iterators), written as the list of its items; D Decimal,
F Fraction, q deque, T a date, time, datetime or timedelta, by its name and arguments; O an
OrderedDict, C Counter, E defaultdict with the name of its factory. Between a test and its candidate
also: N named tuple, K V I the views of a dictionary, and what both say of what is not plain.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

_SAFE = 1 << 53
_NUMBERS_AND_TIMES = ("decimal", "fractions", "datetime", "collections")
_DAY = ("year", "month", "day")
_HOUR = ("hour", "minute", "second", "microsecond")
_TIMES = {
    "date": _DAY,
    "time": _HOUR,
    "datetime": (*_DAY, *_HOUR),
    "timedelta": ("days", "seconds", "microseconds"),
}
_ITERATOR_LIMIT = 1_000_000
MAX_NODES = 3_000_000


Foreign = Callable[[Any], Any]
"""The form of a value that stays on its own side, or None where it has none."""
Local = Callable[[str, Any], Any]


class NotPlain(TypeError):
    """A value that is not built from exact builtin types."""


def _number(value: Any) -> Any:
    if isinstance(value, int):
        plain = int(value)
        return plain if -_SAFE < plain < _SAFE else {"i": hex(plain)}
    plain_float = float(value)
    if plain_float - plain_float == 0.0:
        return plain_float
    return {"f": repr(plain_float)}


def to_json(value: Any, foreign: Foreign | None = None) -> Any:
    """The JSON form of `value`; NotPlain names the type that has none.

    Subclasses of builtin types are written as the builtin, numpy's scalars and arrays as numbers
    and lists: this side runs with the sample and can be lied to anyway. `foreign` gives the form
    of what has none here, and of arrays, which are no lists to a test.
    """
    if value is None or value is True or value is False or type(value) is str:
        return value
    if isinstance(value, bool | int | float):
        return _number(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list):
        return [to_json(item, foreign) for item in value]
    if foreign is not None and (form := _between_sides(value, foreign)) is not None:
        return form
    for kind, tag in ((tuple, "t"), (set, "s"), (frozenset, "z")):
        if isinstance(value, kind):
            return {tag: [to_json(item, foreign) for item in value]}
    if isinstance(value, dict):
        items = [[to_json(k, foreign), to_json(v, foreign)] for k, v in value.items()]
        return {"d": items} if type(value) is dict else _special_dictionary(value, items)
    if isinstance(value, bytes | bytearray):
        return {"b" if isinstance(value, bytes) else "B": bytes(value).hex()}
    if isinstance(value, complex):
        return {"c": [_number(value.real), _number(value.imag)]}
    if isinstance(value, range):
        return {"r": [to_json(value.start), to_json(value.stop), to_json(value.step)]}
    return _unusual(value, foreign)


def _between_sides(value: Any, foreign: Foreign) -> Any:
    kind = type(value)
    if isinstance(value, tuple) and kind is not tuple:
        fields = getattr(kind, "_fields", None)
        if isinstance(fields, tuple) and len(fields) == len(value):
            return {"N": [kind.__name__, list(fields), [to_json(i, foreign) for i in value]]}
    elif kind in _VIEWS:
        return {_VIEWS[kind]: [to_json(item, foreign) for item in value]}
    return None


_VIEWS: dict[type, str] = {type({}.keys()): "K", type({}.values()): "V", type({}.items()): "I"}
_FACTORIES = {f.__name__: f for f in (int, float, str, bool, list, dict, set, tuple)}


def _special_dictionary(value: Any, items: list[Any]) -> Any:
    """Dictionaries whose equality or look-up is another than that of a plain one."""
    known = sys.modules.get("collections")
    kind = type(value)
    if known is None or kind.__module__ != "collections":
        return {"d": items}
    if kind is known.OrderedDict:
        return {"O": items}
    if kind is known.Counter:
        return {"C": items}
    if kind is known.defaultdict and value.default_factory in _FACTORIES.values():
        return {"E": [value.default_factory.__name__, items]}
    return {"d": items}


def _unusual(value: Any, foreign: Foreign | None) -> Any:
    module = type(value).__module__
    if module == "numpy" and (foreign is None or getattr(value, "shape", None) == ()):
        return to_json(value.tolist())
    if module in _NUMBERS_AND_TIMES and (form := _of_standard_library(value, module)) is not None:
        return form
    if foreign is not None and (form := foreign(value)) is not None:
        return form
    if isinstance(value, Iterator):
        items = []
        for item in value:
            items.append(to_json(item, foreign))
            if len(items) > _ITERATOR_LIMIT:
                raise NotPlain("an iterator of more than a million items")
        return {"n": items}
    raise NotPlain(f"a value of type {type(value).__name__}, which is not a plain value")


def _of_standard_library(value: Any, module: str) -> Any:
    """The form of a value of a type that tests compare with; None for anything else of theirs."""
    kind = type(value)
    if kind is getattr(sys.modules.get(module), kind.__name__, None):
        if kind.__name__ == "Decimal":
            return {"D": str(value)}
        if kind.__name__ == "Fraction":
            return {"F": [_number(value.numerator), _number(value.denominator)]}
        if kind.__name__ == "deque":
            return {"q": [[to_json(item) for item in value], value.maxlen]}
        if kind.__name__ in _TIMES and getattr(value, "tzinfo", None) is None:
            names = _TIMES[kind.__name__]
            return {"T": [kind.__name__, *(getattr(value, name) for name in names)]}
    return None


def _to_standard_library(tag: str, body: Any) -> Any:
    try:
        if tag == "D":
            from decimal import Decimal

            return Decimal(str(body))
        if tag == "F":
            from fractions import Fraction

            return Fraction(*(int(from_json(part)) for part in body))
        if tag == "q":
            from collections import deque

            return deque([from_json(item) for item in body[0]], body[1])
        import datetime

        name, *numbers = body
        if name not in _TIMES or not all(type(number) is int for number in numbers):
            raise ValueError(f"no kind of time: {name!r}")
        return getattr(datetime, name)(*numbers)
    except (ArithmeticError, OverflowError) as fault:
        raise ValueError(f"not a value: {type(fault).__name__}") from None


def from_json(node: Any, local: Local | None = None) -> Any:
    """The value of a parsed JSON form; ValueError where it is not one.

    `local` takes the tag and the body of a form that is not known here.
    """
    if isinstance(node, list):
        return [from_json(item, local) for item in node]
    if not isinstance(node, dict):
        return node
    if len(node) != 1:
        raise ValueError("an object with more than one tag")
    ((tag, body),) = node.items()
    if tag in ("t", "s", "z", "n"):
        items = [from_json(item, local) for item in body]
        if tag == "n":
            return iter(items)
        if tag != "t":
            _refuse_collisions(items)
        return tuple(items) if tag == "t" else set(items) if tag == "s" else frozenset(items)
    if tag in ("d", "O", "C", "E"):
        factory, items = body if tag == "E" else (None, body)
        pairs = [(from_json(key, local), from_json(item, local)) for key, item in items]
        _refuse_collisions([key for key, _ in pairs])
        return dict(pairs) if tag == "d" else _made_dictionary(tag, factory, pairs)
    if tag == "i":
        return int(body, 16)
    if tag == "f":
        return float(body)
    if tag in ("b", "B"):
        return bytes.fromhex(body) if tag == "b" else bytearray.fromhex(body)
    if tag == "c":
        return complex(from_json(body[0]), from_json(body[1]))
    if tag in ("D", "F", "q", "T"):
        return _to_standard_library(tag, body)
    if tag == "r":
        return range(*(from_json(item, local) for item in body))
    if local is not None:
        if tag in ("N", "K", "V", "I"):
            return _from_the_other_side(tag, body, local)
        return local(tag, body)
    raise ValueError(f"unknown tag {tag!r}")


def _made_dictionary(tag: str, factory: Any, pairs: list[Any]) -> Any:
    import collections

    if tag == "O":
        return collections.OrderedDict(pairs)
    if tag == "C":
        return collections.Counter(dict(pairs))
    return collections.defaultdict(_FACTORIES[factory], pairs)


def _from_the_other_side(tag: str, body: Any, local: Local) -> Any:
    if tag == "N":
        name, fields, items = body
        return _named_tuple(name, tuple(fields))(*(from_json(item, local) for item in items))
    items = [from_json(item, local) for item in body]
    if tag == "V":
        return dict(enumerate(items)).values()
    _refuse_collisions(items)
    return dict.fromkeys(items).keys() if tag == "K" else dict(items).items()


@lru_cache(maxsize=256)
def _named_tuple(name: str, fields: tuple[str, ...]) -> Any:
    import collections

    return collections.namedtuple(name, fields)


def _refuse_collisions(keys: list[Any]) -> None:
    """ValueError where keys were chosen to share a hash, which makes filling a table quadratic."""
    if len(keys) > 1000 and len({hash(key) for key in keys}) < len(keys) // 2:
        raise ValueError("keys that were chosen to collide")


def encode(value: Any, foreign: Foreign | None = None) -> str:
    """One line of text; NotPlain for other types, RecursionError or ValueError for cycles."""
    return json.dumps(to_json(value, foreign), allow_nan=False, separators=(",", ":"))


def decode(text: str | bytes) -> Any:
    """The value of one line; ValueError for whatever is not one, however malicious."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    check_size(raw)
    try:
        return from_json(json.loads(raw))
    except (TypeError, KeyError, RecursionError, IndexError, AttributeError) as fault:
        raise ValueError(f"not a tagged value: {type(fault).__name__}") from None


def check_size(raw: bytes) -> None:
    """ValueError where parsing would make more objects than any honest value has."""
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MAX_NODES:
        raise ValueError(f"a value of more than {MAX_NODES} parts")
