"""Named limits of the tiers that people have, from budgets/profiles/*.toml.

A profile is where a run starts; the provider's own headers correct it with the first answer.

    provider = "openai"
    source = "https://... , checked 2025-09-01"
    output_counts = "asked"        # max_tokens counts when a request is sent; "used": what came
    cached_input_counts = true     # whether tokens read from a prompt cache count as input
    max_concurrent = 512           # the most that "auto" may find
    [default]                      # all optional; per minute
    requests_per_minute = 500
    tokens_per_minute = 30000      # or input_tokens_per_minute, output_tokens_per_minute
    [models."gpt-4o-mini"]         # instead of the default, for models whose name begins so
    requests_per_minute = 500
    tokens_per_minute = 200000
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from budgets.given import read_given_text

FOLDER = Path(__file__).parent / "profiles"

LIMITS = (
    "requests_per_minute",
    "tokens_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
)
_KEYS = {
    "provider",
    "source",
    "output_counts",
    "cached_input_counts",
    "max_concurrent",
    "default",
    "models",
}


class ProfileError(ValueError):
    """A profile that does not exist or cannot be used."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The limits of one tier at one provider."""

    name: str
    provider: str
    source: str
    output_counts: Literal["asked", "used"] = "asked"
    cached_input_counts: bool = True
    max_concurrent: int = 1024
    default: Mapping[str, float] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def names(cls) -> list[str]:
        """The profiles that come along."""
        return sorted(path.stem for path in FOLDER.glob("*.toml"))

    @classmethod
    def load(cls, name: str) -> Profile:
        """The profile `name`, or the file at that path; raises ProfileError."""
        path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
        if path.parent == FOLDER and name not in cls.names():
            raise ProfileError(
                f"there are no limits named {name!r}; known are {', '.join(cls.names())}, or the"
                " path of a .toml file in the same format"
            )
        try:
            document = tomllib.loads(read_given_text(path))
        except OSError as error:
            raise ProfileError(f"the limits {path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise ProfileError(f"the limits {path} are not valid TOML: {error}") from error
        return cls._checked(path.stem, path, document)

    @classmethod
    def _checked(cls, name: str, path: Path, document: dict[str, Any]) -> Profile:
        unknown = sorted(set(document) - _KEYS)
        if unknown:
            raise ProfileError(
                f"{path}: unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}"
            )
        for key in ("provider", "source"):
            if not isinstance(document.get(key, ""), str):
                raise ProfileError(f"{path}: `{key}` must be text")
        if not isinstance(document.get("cached_input_counts", True), bool):
            raise ProfileError(f"{path}: `cached_input_counts` must be true or false")
        if document.get("output_counts", "asked") not in ("asked", "used"):
            raise ProfileError(f'{path}: `output_counts` must be "asked" or "used"')
        most = document.get("max_concurrent", 1024)
        if type(most) is not int or most < 1:
            raise ProfileError(f"{path}: `max_concurrent` must be a whole number above zero")
        _check_limits(document.get("default", {}), f"{path}, [default]")
        models = document.get("models", {})
        if not isinstance(models, dict):
            raise ProfileError(f'{path}: `models` must hold tables such as [models."NAME"]')
        for model, limits in models.items():
            _check_limits(limits, f'{path}, [models."{model}"]')
        return cls(name=name, **{"provider": "", "source": "", **document})

    def limits(self, model: str = "") -> dict[str, float]:
        """The limits for `model`: of the longest name in the profile that it begins with."""
        fitting = [name for name in self.models if model.startswith(name)]
        return dict(self.models[max(fitting, key=len)] if fitting else self.default)


def _check_limits(limits: Any, where: str) -> None:
    if not isinstance(limits, dict):
        raise ProfileError(f"{where} must be a table of limits")
    for key, value in limits.items():
        if key not in LIMITS:
            raise ProfileError(f"{where}: unknown limit {key!r}; known are {', '.join(LIMITS)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ProfileError(f"{where}: {key} must be a number above zero, not {value!r}")
