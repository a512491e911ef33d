"""How "Large Language Monkeys" (arXiv 2407.21787) chose its problems and its examples.

One stream of Python's `random`, seeded with 0, serves both: first it draws the few-shot examples
of every problem of the test split, in the split's order, then it shuffles the test split, of
which the first 128 were used. So the subset depends on the number of examples per problem and on
both splits' sizes, and on nothing else.
"""

from __future__ import annotations

import ast
import hashlib
import os
import random
from dataclasses import dataclass
from pathlib import Path

from budgets.given import read_given_text
from orchestrator.tasks.base import TaskError
from orchestrator.tasks.cache import cache_folder

SUBSET = 128
REPOSITORY = "https://github.com/ScalingIntelligence/large_language_monkeys"
PROMPTS = "llmonk/generate/prompts.py"
PROMPTS_COMMIT = "ed2bdb06bcfcbda1ed7d9c2bff87c2db10c3ee78"

PROMPTS_ADDRESS = (
    f"https://raw.githubusercontent.com/ScalingIntelligence/large_language_monkeys/"
    f"{PROMPTS_COMMIT}/{PROMPTS}"
)
LARGEST_PROMPTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Draws:
    """What the stream gave: the test indices in shuffled order, and the examples of each."""

    order: tuple[int, ...]
    examples: tuple[tuple[int, ...], ...]
    """By test index: indices into the pool of examples, in prompt order."""


def draw(pool: int, problems: int, shots: int, seed: int = 0) -> Draws:
    """Draw `shots` of `pool` for each of `problems`, then shuffle; raises TaskError."""
    if shots > pool:
        raise TaskError(f"{shots} examples per problem were asked for, but there are only {pool}.")
    stream = random.Random(seed)
    examples = tuple(tuple(stream.sample(range(pool), shots)) for _ in range(problems))
    order = list(range(problems))
    stream.shuffle(order)
    return Draws(tuple(order), examples)


def fixed_prompt(path: Path, constant: str, digest: str) -> str:
    """A fixed few-shot text: a text file as it is, or a constant of the paper's prompts.py.

    A .py file is parsed, never run, and must hold the published text (SHA-256 `digest`); any
    other file is the person's own text. Raises TaskError.
    """
    try:
        content = read_given_text(path)
    except OSError as error:
        raise TaskError(f"{path} cannot be read: {error.strerror}; check the path.") from None
    except UnicodeDecodeError:
        raise TaskError(f"{path} is not UTF-8 text; save it as UTF-8.") from None
    if path.suffix != ".py":
        return content
    found = _constant(path, content, constant)
    if hashlib.sha256(found.encode()).hexdigest() != digest:
        raise TaskError(
            f"{constant} in {path} is not the text that the paper used; take {PROMPTS} of "
            f"{REPOSITORY} at commit {PROMPTS_COMMIT[:12]}, or put a text of your own into a "
            "file that does not end in .py."
        )
    return found


def published_prompts(data: Path | None, address: str = PROMPTS_ADDRESS) -> Path | None:
    """The paper's prompts.py: in the data's folder, in the cache, or fetched into the cache.

    None where it is nowhere and cannot be fetched (or HF_HUB_OFFLINE forbids to ask). What it
    holds is for `fixed_prompt` to check.
    """
    name = Path(PROMPTS).name
    folder = cache_folder()
    cached = folder / f"{PROMPTS_COMMIT[:12]}-{name}"
    beside = [data / name] if data is not None else []
    for place in (*beside, cached):
        if place.is_file():
            return place
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        return None
    from urllib.request import urlopen

    try:
        with urlopen(address, timeout=20) as answer:
            content = answer.read(LARGEST_PROMPTS)
        folder.mkdir(parents=True, exist_ok=True)
        part = cached.with_name(f"{cached.name}.{os.getpid()}")
        part.write_bytes(content)
        part.replace(cached)
    except OSError:
        return None
    return cached


def _constant(path: Path, content: str, name: str) -> str:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        raise TaskError(f"{path} is not readable as Python; give {PROMPTS} or a text.") from None
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if name in names and isinstance(node.value.value, str):
                return node.value.value
    raise TaskError(f"{path} has no text named {name}; give {PROMPTS} of {REPOSITORY}.")
