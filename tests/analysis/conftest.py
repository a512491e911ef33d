"""Synthetic problem sets of known truth, and released outcomes where they are at hand."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Configuration:
    """A released configuration: c right among n attempts, by problem."""

    name: str
    n: np.ndarray
    c: np.ndarray
    passk: dict[int, str]
    """Published pass@k in percent, as printed."""


def released_configurations() -> list[Configuration]:
    """From ORCH_RELEASED, or shared/data beside the checkout; empty where there is neither."""
    folder = Path(os.environ.get("ORCH_RELEASED") or ROOT.parent / "shared" / "data")
    if not (folder / "monkey_business_counts.csv").is_file():
        return []
    counts: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    with (folder / "monkey_business_counts.csv").open() as lines:
        for row in csv.DictReader(lines):
            counts[row["benchmark"], row["model"]].append((int(row["n"]), int(row["c"])))
    found = []
    with (folder / "monkey_business_passk.csv").open() as lines:
        for row in csv.DictReader(lines):
            pairs = np.array(counts[row["bench"], row["model"]])
            printed = {int(k[1:]): v for k, v in row.items() if k[1:].isdigit()}
            name = f"{row['bench']} {row['model']}"
            found.append(Configuration(name, pairs[:, 0], pairs[:, 1], printed))
    return found


@pytest.fixture(scope="session")
def released() -> list[Configuration]:
    configurations = released_configurations()
    if not configurations:
        pytest.skip("no released outcomes at ORCH_RELEASED or in shared/data beside the checkout")
    return configurations
