"""Imported coverage for a person: each curve, and its fits beside the printed ones."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from orchestrator.report.data import ArmReport
from orchestrator.report.text import percent, visible
from orchestrator.reproduce.curves import printed_fit


def print_fits(console: Console, arms: Sequence[ArmReport]) -> None:
    """Coverage at 1, 10, 100, ... and the law in both spaces, beside what the paper prints."""
    curves = Table(title="Coverage", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("model", "k", "coverage", "these problems", "problems like these"):
        curves.add_column(name, justify="left" if name == "model" else "right")
    fits = Table(
        title="Coverage is about exp(a k^b), natural logarithm", box=box.SIMPLE_HEAD,
        title_justify="left",
    )  # fmt: skip
    for name in ("model", "fitted in", "a", "b", "error on the curve"):
        fits.add_column(name, justify="left" if name in ("model", "fitted in") else "right")
    for arm in arms:
        name = visible(arm.label)
        for point in arm.points:
            if str(point.k).strip("0") == "1" or point is arm.points[-1]:
                curves.add_row(
                    name, f"{point.k:,}", percent(point.mean),
                    f"{percent(point.low)} to {percent(point.high)}",
                    f"{percent(point.low_like)} to {percent(point.high_like)}",
                )  # fmt: skip
        for fit in arm.fits:
            error = f"{fit.error_mean:.4f} ± {fit.error_sd:.4f}"
            fits.add_row(name, f"{fit.space} space", f"{fit.a:.2f}", f"{fit.b:.2f}", error)
        printed = printed_fit(arm)
        if printed is not None:
            error = "" if printed.error_mean is None else (
                f"{printed.error_mean:.4f} ± {printed.error_sd:.4f}"
            )  # fmt: skip
            fits.add_row(
                name, f"printed ({printed.version})", f"{printed.a:.2f}", f"{printed.b:.2f}", error
            )
    if curves.row_count:
        console.print(curves)
    if fits.row_count:
        console.print(fits)
    for arm in arms:
        for note in arm.notes:
            console.print(f"{visible(arm.label)}: {visible(note)}", highlight=False, markup=False)
