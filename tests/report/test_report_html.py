"""The page: what it holds, what it escapes, and how it behaves in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_browser import Browser, browser, chromium_is_here
from report_samples import HOSTILE, hostile, ordinary

from orchestrator.report.data import ArmReport, ReportData
from orchestrator.report.html import to_html


class Elements(HTMLParser):
    """Every element with its attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open = tag
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            self.scripts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def test_the_page_is_self_contained_and_its_policy_names_its_only_script() -> None:
    page = to_html(ordinary())
    elements = Elements(page)
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 2
    assert not any(attrs.get("src") for _, attrs in elements.found)
    assert [attrs["href"] for tag, attrs in elements.found if tag == "link"] == ["data:,"]
    assert not re.search(r"url\(|@import", page)
    policy = next(a["content"] for _, a in elements.found if "http-equiv" in a)
    digest = base64.b64encode(hashlib.sha256(elements.scripts[1].encode()).digest()).decode()
    assert policy is not None and f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_the_data_in_the_page_are_the_reports() -> None:
    report = ordinary()
    data = json.loads(Elements(to_html(report)).scripts[0])
    first = data["arms"][0]
    assert first["label"] == "small"
    assert [point["k"] for point in first["points"]] == [p.k for p in report.arms[0].points]
    assert first["points"][0]["usd_at_k"] == 0.05
    assert first["c"] == list(report.arms[0].c)
    assert len(first["fits"]) == 2 and len(first["forecasts"]) == 2


def test_nothing_hostile_becomes_markup_or_reaches_a_terminal() -> None:
    page = to_html(hostile())
    elements = Elements(page)
    assert [tag for tag, _ in elements.found].count("script") == 2
    assert "<script>document" not in page
    assert "\x1b" not in page and "\x07" not in page
    assert "\\x1b[31m" in page
    data = json.loads(elements.scripts[0])
    assert data["arms"][0]["label"].startswith("<script>document.title='owned'</script>\\x1b")


def test_a_report_without_coverage_says_so() -> None:
    page = to_html(ReportData("Empty", (ArmReport("p", "m", "t", n=(0, 0), c=(0, 0)),)))
    assert "No coverage yet." in page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not chromium_is_here():
        pytest.skip("Chromium and chromedriver are not installed")
    with browser() as opened:
        yield opened


OVERFLOWING = """
const wide = [...document.querySelectorAll("body *")].filter((one) => {
  const box = one.getBoundingClientRect();
  return !one.closest(".scroll > *") && (box.right > innerWidth + 1 || box.left < -1);
});
const names = wide.map((one) => one.outerHTML.slice(0, 80));
return [document.documentElement.scrollWidth > innerWidth, names];
"""


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("make", [ordinary, hostile])
def test_nothing_overflows_and_the_console_is_clean(
    chromium: Browser, tmp_path: Path, width: int, dark: bool, make: object
) -> None:
    page = tmp_path / "report.html"
    page.write_text(to_html(make()))  # type: ignore[operator]
    chromium.open(page, width, dark=dark)
    # Two curves and their fitted laws.
    assert chromium.run("return document.querySelectorAll('#coverage svg polyline').length") == 4
    assert chromium.run(OVERFLOWING) == [False, []]
    assert chromium.run("return document.documentElement.dataset.look") == (
        "dark" if dark else "light"
    )
    assert chromium.run("return document.title") != "owned"
    assert chromium.console() == []


def test_hostile_ids_are_shown_as_text(chromium: Browser, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(to_html(hostile()))
    chromium.open(page, 1400)
    shown = chromium.run("return document.querySelector('#each tbody td:nth-child(2)').textContent")
    assert shown.startswith(HOSTILE.split("\x1b")[0])
    assert "\x1b" not in shown


def test_tables_sort_by_value_and_the_axis_changes(chromium: Browser, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(to_html(ordinary()))
    chromium.open(page, 1400)
    cells = "[...document.querySelectorAll('#numbers tbody td:nth-child(3)')]"
    column = f"{cells}.map((one) => one.textContent)"
    heading = "document.querySelectorAll('#numbers th')[2]"
    chromium.run(f"{heading}.click()")
    rising = [int(text.replace(",", "")) for text in chromium.run(f"return {column}")]
    assert rising == sorted(rising) and len(set(rising)) > 3
    chromium.run(f"{heading}.click()")
    falling = [int(text.replace(",", "")) for text in chromium.run(f"return {column}")]
    assert falling == rising[::-1]
    names = chromium.run(
        "return [...document.querySelectorAll('#switch button')].map((one) => one.textContent)"
    )
    assert names == ["Attempts", "Dollars", "FLOPs"]
    chromium.run("document.querySelectorAll('#switch button')[1].click()")
    assert "dollars" in chromium.run("return document.querySelector('#coverage svg').textContent")


def test_hovering_a_point_shows_its_values(chromium: Browser, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(to_html(ordinary()))
    chromium.open(page, 1400)
    chromium.run(
        """const mark = document.querySelector("#coverage svg circle").getBoundingClientRect();
        document.querySelector("#coverage svg").dispatchEvent(new PointerEvent("pointermove",
          {clientX: mark.x + mark.width / 2, clientY: mark.y + mark.height / 2}));"""
    )
    shown = chromium.run("return document.querySelector('#coverage .hover').textContent")
    assert shown.startswith("small\nk = 1: ")
    assert "these problems: " in shown and "k afresh: $0.05" in shown


def test_the_look_can_be_changed(chromium: Browser, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(to_html(ordinary()))
    chromium.open(page, 1400)
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = chromium.run(ground)
    chromium.run("document.getElementById('look').click()")
    assert chromium.run(ground) != before
