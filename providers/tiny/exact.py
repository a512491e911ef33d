"""Exact probabilities: the ground truth for whatever is estimated from samples of a model.

A problem's answer is one fixed string, so its chance at one attempt is the product of the
probabilities of the answer's tokens and of the end token, each given all before it (teacher
forcing). `python -m providers.tiny.exact FILE.jsonl` prints the exact coverage of a task file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from providers.tiny import sampling
from providers.tiny.llama import Model
from providers.tiny.sampling import Float64
from providers.tiny.tokenizer import EOS_ID, encode
from providers.tiny.weights import BUNDLED


def answer_probability(
    model: Model, prompt: str, answer: str, temperature: float = 1.0, top_p: float = 1.0
) -> float:
    """The chance that one sample for `prompt` is `answer` followed by the end token."""
    tokens = [*encode(prompt), *encode(answer), EOS_ID]
    if len(tokens) - 1 > model.config.context_tokens:
        raise ValueError(f"{prompt!r} and its answer do not fit the model's context")
    logits = model.logits(np.array(tokens[:-1], np.int64))
    start = len(prompt)
    cumulated = sampling.cumulative(
        logits[start - 1 :],
        np.full(len(tokens) - start, temperature),
        np.full(len(tokens) - start, top_p),
    )
    probabilities = np.diff(cumulated, axis=1, prepend=0.0)
    return float(np.prod(probabilities[np.arange(len(tokens) - start), tokens[start:]]))


def answer_probabilities(problems: Iterable[tuple[str, str]], directory: Path = BUNDLED) -> Float64:
    """The chance of each (prompt, answer) at temperature 1."""
    model = Model(directory)
    return np.array([answer_probability(model, prompt, answer) for prompt, answer in problems])


def coverage(probabilities: Sequence[float] | Float64, k: int) -> float:
    """Expected pass@k over the problems: the mean of 1 - (1 - p)^k."""
    # A chance of one has minus infinity for a logarithm, which is what the formula needs.
    with np.errstate(divide="ignore"):
        misses = k * np.log1p(-np.asarray(probabilities, np.float64))
    return float(np.mean(-np.expm1(misses)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Exact coverage of a task file.")
    parser.add_argument("task", type=Path, help="JSON lines with prompt and answer")
    parser.add_argument("--model", type=Path, default=BUNDLED, help="model directory")
    arguments = parser.parse_args()
    lines = arguments.task.read_text(encoding="utf-8").splitlines()
    problems = [json.loads(line) for line in lines]
    probabilities = answer_probabilities(
        ((problem["prompt"], problem["answer"]) for problem in problems), arguments.model
    )
    for k in (1, 2, 5, 10, 30, 100, 300, 1000, 10_000):
        sys.stdout.write(f"pass@{k} {coverage(probabilities, k):.4f}\n")


if __name__ == "__main__":
    main()
