"""Every rendering of a report that a person asked for: files, and the terminal's own."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from orchestrator.errors import ConfigError
from orchestrator.report.curves import draw_curves
from orchestrator.report.data import ReportData
from orchestrator.report.sections import SECTIONS
from orchestrator.report.tables import to_csv, to_latex, to_markdown
from orchestrator.report.text import percent, visible
from orchestrator.store.whole import replace_text
from verifiers.install import install_command


def write_files(
    report: ReportData,
    *,
    html: Path | None = None,
    figures: Path | None = None,
    csv: Path | None = None,
    markdown: Path | None = None,
    latex: Path | None = None,
) -> list[Path]:
    """Write what is asked for; the files written. Raises ConfigError where one cannot be."""
    written: list[Path] = []
    texts = ((csv, to_csv), (markdown, to_markdown), (latex, to_latex), (html, _page))
    for path, render in texts:
        if path is None:
            continue
        try:
            replace_text(path, render(report))
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None
        written.append(path)
    if figures is not None:
        written += _figures(report, figures)
    return written


def print_more(console: Console, report: ReportData, *, verbose: bool = False) -> None:
    """The curves, the fits and forecasts, and how the arms compare."""
    if any(len(arm.points) > 1 for arm in report.arms):
        console.print(draw_curves(report.arms, width=min(console.width, 100)))
    for arm in report.arms:
        for fit in arm.fits:
            if fit.space == "log":
                console.print(
                    f"{visible(arm.label)}: the fitted law exp({fit.a:.2f} k^{fit.b:.2f}) misses "
                    f"the curve by {100 * fit.error_mean:.1f} points on average.",
                    highlight=False, markup=False,
                )  # fmt: skip
        for point in arm.forecasts:
            console.print(
                f"{visible(arm.label)}: {percent(point.mean)} is forecast at k = {point.k:,} "
                f"({100 * point.level:.0f} % interval {percent(point.low)} to "
                f"{percent(point.high)}). {point.note}".rstrip(),
                highlight=False, markup=False,
            )  # fmt: skip
        if arm.forecast_refused:
            console.print(
                f"{visible(arm.label)}: no forecast: {arm.forecast_refused}.",
                highlight=False, markup=False,
            )  # fmt: skip
    for section in SECTIONS:
        skipped = section.leads or (section.aside and not verbose)
        for part in () if skipped else section.shown(report):
            console.print(part, highlight=False, soft_wrap=isinstance(part, Text))


def print_leading(console: Console, report: ReportData) -> None:
    """What stands before the arms' own tables."""
    for section in SECTIONS:
        for part in section.shown(report) if section.leads else ():
            console.print(part, highlight=False, soft_wrap=isinstance(part, Text))


def _page(report: ReportData) -> str:
    from orchestrator.report.html import to_html

    return to_html(report)


def _figures(report: ReportData, folder: Path) -> list[Path]:
    try:
        from orchestrator.report.figures import write_figures

        return write_figures(report, folder)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ConfigError(
            "--figures needs matplotlib, which is not installed: " + install_command("figures")
        ) from None
    except OSError as error:
        raise ConfigError(f"Figures cannot be written to {folder}: {error.strerror}.") from None
