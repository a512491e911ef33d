"""Tables, terminal curves and figures, also of hostile names."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from report_samples import hostile, ordinary
from rich.console import Console

from budgets.money import picodollars
from orchestrator.analysis.grid import points_to
from orchestrator.errors import ConfigError
from orchestrator.report.curves import draw_curves
from orchestrator.report.data import ArmReport, ReportData
from orchestrator.report.describe import comparisons, contrast_at, with_curve, with_law
from orchestrator.report.sections.flaky import FLAKY
from orchestrator.report.tables import COLUMNS, to_csv, to_latex, to_markdown
from orchestrator.report.write import write_files


def test_csv_has_every_number_exactly() -> None:
    report = ordinary()
    rows = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == sum(len(arm.points) for arm in report.arms)
    first, point = rows[0], report.arms[0].points[0]
    assert float(first["coverage"]) == point.mean
    assert picodollars(first["usd_at_k"]) == point.at_k
    assert first["spent_usd"] == "12.34" and first["uncertain_usd"] == "0.01"
    assert int(first["samples"]) == 12_000


def test_csv_cells_are_neither_formulas_nor_terminal_escapes() -> None:
    bad = ReportData("x", (with_curve(ArmReport("=1+1", "+cmd", "@x\x1b[31m", n=(5,), c=(1,))),))
    row = next(csv.DictReader(io.StringIO(to_csv(bad))))
    assert (row["provider"], row["model"], row["task"]) == ("'=1+1", "'+cmd", "'@x\\x1b[31m")
    assert "\x1b" not in to_csv(hostile())


def test_markdown_escapes_what_has_a_meaning() -> None:
    text = to_markdown(hostile())
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()}
    assert widths == {9}
    assert "<script>" not in text and "\\<script\\>" in text
    assert "\x1b" not in text
    assert "| small | arithmetic | 1 |" in to_markdown(ordinary())


def test_latex_escapes_what_has_a_meaning() -> None:
    text = to_latex(hostile())
    assert text.startswith(r"\begin{tabular}{llrrrrrr}")
    body = [line for line in text.splitlines() if r"\textless{}script" in line]
    assert body
    for line in body:
        assert len(re.findall(r"(?<!\\)&", line)) == 7
        assert not re.search(r"(?<!\\)[%$#_]", line)


def test_curves_show_both_arms_and_their_ends() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    report = ordinary()
    console.print(draw_curves(report.arms))
    text = console.export_text()
    assert "A small: " in text and "B large: " in text
    assert f"{100 * report.arms[0].points[-1].mean:.1f} % at k = 200" in text
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("\u2800" < char <= "\u28ff" for char in text)
    assert lines[0].startswith("100.0 %") or lines[0].startswith(" 80.0 %")
    assert "\x1b[31m" not in draw_curves(hostile().arms).plain


def test_a_flat_and_an_empty_arm_are_drawn_without_fuss() -> None:
    one = with_curve(ArmReport("p", "one", "t", n=(1, 1), c=(1, 0)))
    assert "A one: 50.0 % at k = 1" in draw_curves([one]).plain
    none = with_curve(ArmReport("p", "none", "t", n=(0, 1), c=(0, 1)))
    assert draw_curves([none]).plain == "no coverage to draw yet"
    assert "no attempt" in none.notes[0]


@pytest.mark.parametrize("make", [ordinary, hostile])
def test_figures_are_valid_and_repeatable(tmp_path: Path, make: object) -> None:
    first = write_files(make(), figures=tmp_path / "a")  # type: ignore[operator]
    names = {path.stem for path in first}
    assert {"coverage", "coverage-dollars", "fits", "problems", "frontier", "selection"} <= names
    for path in first:
        if path.suffix == ".svg":
            ElementTree.parse(path)
            assert "\x1b" not in path.read_text()
        else:
            assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000


def test_figures_without_their_data_are_left_out(tmp_path: Path) -> None:
    bare = ReportData("bare", (with_curve(ArmReport("p", "m", "t", n=(5, 5), c=(1, 0))),))
    names = {path.stem for path in write_files(bare, figures=tmp_path)}
    assert names == {"coverage", "problems"}


def test_files_are_written_where_asked_or_refused(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"out.{name}" for name in ("html", "csv", "markdown", "latex")}
    assert set(write_files(ordinary(), **paths)) == set(paths.values())
    with pytest.raises(ConfigError, match="cannot be written"):
        write_files(ordinary(), csv=tmp_path / "missing" / "out.csv")


def test_points_are_one_two_five_and_the_last() -> None:
    assert points_to(0) == []
    assert points_to(1) == [1]
    assert points_to(7) == [1, 2, 5, 7]
    assert points_to(250) == [1, 2, 5, 10, 20, 50, 100, 200, 250]


def test_comparisons_are_paired_where_problems_are_shared() -> None:
    report = ordinary()
    assert len(report.sentences) == 1
    assert report.sentences[0].startswith("At k = 200: large covers ")
    assert "60 shared problems" in report.sentences[0]
    other = ArmReport("p", "elsewhere", "arithmetic", problem_ids=("x", "y"), n=(5, 5), c=(1, 2))
    unpaired = contrast_at(with_curve(other), report.arms[0], 5, 5)
    assert unpaired is not None and not unpaired.paired
    assert contrast_at(with_curve(other), report.arms[0], 4, 5) is None
    assert comparisons([with_curve(other)]) == ()


def test_an_arm_without_a_law_is_shown_without_one() -> None:
    solved = with_law(with_curve(ArmReport("p", "m", "t", n=(10,) * 5, c=(10,) * 5)))
    assert solved.fits == () and solved.forecasts == ()
    few = with_law(with_curve(ArmReport("p", "m", "t", n=(50,) * 9, c=(1, *[0] * 8))))
    assert len(few.fits) == 2 and "only 1 of 9 problems" in few.forecast_refused
    assert few.usd_per_solved == 0


def test_flaky_issues_stand_beside_coverage_without_them() -> None:
    names = ("django__django-13315", "sympy__sympy-13177", "django__django-1", "django__django-2")
    arm = ArmReport(
        "p", "m", "swebench-lite", problem_ids=names, n=(4,) * 4, c=(4, 0, 1, 0),
        changed=("django__django-2",),
    )  # fmt: skip
    report = ReportData("x", (with_curve(arm),))
    (told,) = FLAKY.document(report)
    assert told["named"] == list(names[:2]) and told["changed"] == [names[3]]
    assert (told["problems"], told["solved"]) == (1, 1)
    first, last = told["at"][0], told["at"][-1]
    assert (first["k"], first["coverage"], first["without_flaky"]) == (1, 0.3125, 0.25)
    assert (last["k"], last["coverage"], last["without_flaky"]) == (4, 0.5, 1.0)
    console = Console(width=300, record=True, file=io.StringIO())
    for one in FLAKY.shown(report):
        console.print(one)
    text = console.export_text()
    assert "1 changed a verdict here (django__django-2) and 2 are named so by the paper" in text
    assert "2 are solved, without those 1 of 1" in text
    assert "Without flaky tests" in FLAKY.page(report)
    other = ReportData(
        "x", (with_curve(ArmReport("p", "m", "t", problem_ids=("a",), n=(1,), c=(1,))),)
    )
    assert FLAKY.document(other) == [] and FLAKY.page(other) == ""
