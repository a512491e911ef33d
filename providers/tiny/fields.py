"""Reads single fields of a request body and says exactly what is wrong with them.

Every reader takes the body and the field's name, returns the default for a field that is absent
or null (as OpenAI does), and raises ApiError with `param` set to the field otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from providers.tiny.errors import ApiError

RequestFields = Mapping[str, Any]


def parse_body(content: bytes) -> RequestFields:
    """The JSON object in `content`."""
    try:
        body = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ApiError(
            f"We could not parse the JSON body of your request: {error}. The body must be one "
            "JSON object, sent with Content-Type: application/json."
        ) from None
    if not isinstance(body, dict):
        raise ApiError(f"The body must be a JSON object, but it is {_kind(body)}.")
    return body


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _kind(value: object) -> str:
    """What a person calls the JSON type of `value`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


def wrong_type(name: str, wanted: str, value: object) -> ApiError:
    """The error for a field of the wrong JSON type."""
    return ApiError(
        f"Invalid type for '{name}': expected {wanted}, but got {_kind(value)} instead.",
        param=name,
        code="invalid_type",
    )


def missing(name: str) -> ApiError:
    """The error for a required field that is absent."""
    return ApiError(
        f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
    )


def out_of_range(name: str, wanted: str, value: object) -> ApiError:
    """The error for a number outside its range."""
    return ApiError(
        f"Invalid value for '{name}': expected {wanted}, but got {value}.",
        param=name,
        code="invalid_value",
    )


def integer(body: RequestFields, name: str, default: int | None, low: int, high: int) -> int | None:
    """An integer in [low, high]; 5.0 counts as 5."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "an integer", value)
    if not low <= value <= high:
        raise out_of_range(name, f"an integer from {low} to {high}", value)
    return value


def number(body: RequestFields, name: str, default: float, low: float, high: float) -> float:
    """A number in [low, high]."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, "a number", value)
    if not (low <= value <= high and math.isfinite(value)):
        raise out_of_range(name, f"a number from {low:g} to {high:g}", value)
    return float(value)


def boolean(body: RequestFields, name: str) -> bool:
    """A boolean, false by default."""
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise wrong_type(name, "a boolean", value)
    return value


def string(body: RequestFields, name: str) -> str:
    """A required string."""
    value = body.get(name)
    if value is None:
        raise missing(name)
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
    return value


def stop_strings(body: RequestFields, name: str = "stop", most: int = 4) -> tuple[str, ...]:
    """One string or an array of at most `most`, none of them empty."""
    value = body.get(name)
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise wrong_type(name, "a string or an array of strings", value)
    if len(stops) > most:
        raise out_of_range(name, f"at most {most} strings", len(stops))
    if "" in stops:
        raise out_of_range(name, "strings that are not empty", "an empty one")
    return tuple(stops)
