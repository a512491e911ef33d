"""Dollars afresh where a provider bills cached prompts less: a cold start pays its first prompt."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from budgets.money import picodollars
from budgets.price_book import PriceBook
from budgets.usage import Usage
from orchestrator.analysis.cost import Fresh
from orchestrator.report.paid import RequestCosts
from orchestrator.store.rows import Bought


def test_one_attempt_afresh_finds_no_cache(tmp_path: Path) -> None:
    """1,000 prompt tokens, 960 cached after the first request, $3/$0.30/$15, four problems."""
    file = tmp_path / "prices.toml"
    file.write_text('[models."m"]\ninput = "3.00"\ncached_input = "0.30"\noutput = "15.00"\n')
    price = PriceBook.load(file).find("m", "openai", datetime.now(UTC))
    rows = []
    for turn in range(20):
        for problem in range(4):
            cached = 960 if turn else 0
            usage = Usage(input_tokens=1000 - cached, cached_input_tokens=cached, output_tokens=10)
            tokens = msgspec.structs.astuple(usage)
            rows.append((4 * turn + problem, problem, turn, 1, price.cost(usage), tokens))
    request, asked, first, n, cost, used = map(np.array, zip(*rows, strict=True))
    known = np.ones(len(rows), np.bool_)
    bought = Bought(request, asked, first, n, cost, request.astype(float), known, used, {})
    fresh = Fresh(*RequestCosts(bought, price, {}).means(), 1)
    assert fresh.usd_at_k(1) == picodollars("0.0126")
    assert fresh.usd_at_k(20) == int(cost.sum())
    # A further attempt finds the cache.
    assert fresh.usd_at_k(2) - fresh.usd_at_k(1) == picodollars("0.002232")
