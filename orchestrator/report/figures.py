"""Publication figures of a report: one SVG and one PNG each.

Colours are Okabe and Ito's, told apart by colour-blind readers, and every arm also has its own
marker and dash. matplotlib is imported here and nowhere else. A figure that a report has no data
for is not drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from budgets.money import PICO
from orchestrator.analysis.cost import CostPoint, frontier
from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.scaling import horizontal_shift, log_spaced
from orchestrator.report.data import ArmReport, ReportData
from orchestrator.report.text import visible
from orchestrator.store.whole import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BANDS = "dark band: these problems; light band: problems like these"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")

STYLE: dict[str, Any] = {
    "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9, "legend.fontsize": 8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#dddddd", "grid.linewidth": 0.6, "lines.linewidth": 1.6,
    "lines.markersize": 4, "figure.constrained_layout.use": True, "svg.fonttype": "none",
    "svg.hashsalt": "orch", "legend.frameon": False, "text.parse_math": False,
    "axes.axisbelow": True,
}  # fmt: skip


def write_figures(report: ReportData, folder: Path) -> list[Path]:
    """Draw every figure that the report has data for into `folder`; the files written."""
    import matplotlib

    # A figure never needs a screen; the caller's own backend is left as it was.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    arms = [arm for arm in report.arms if arm.points]
    written: list[Path] = []
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        for name, draw in _FIGURES.items():
            figure = Figure(figsize=(6.4, 4.0))
            FigureCanvasAgg(figure)
            if arms and draw(figure, arms):
                for ending in ("svg", "png"):
                    path = folder / f"{name}.{ending}"
                    # No date in the file: equal reports give equal files.
                    dated = {"Date": None} if ending == "svg" else None
                    with whole_file(path) as file:
                        figure.savefig(file, format=ending, dpi=200, metadata=dated)
                    written.append(path)
    return written


def _coverage(figure: Figure, arms: Sequence[ArmReport]) -> bool:
    said = BANDS + ("; open marks: forecasts" if any(arm.forecasts for arm in arms) else "")
    axes = _axes(figure, "attempts per problem (k)", "coverage (pass@k), %",
                 "Coverage against attempts", said)  # fmt: skip
    for number, arm in enumerate(arms):
        _curve(axes, number, arm, [point.k for point in arm.points])
    _forecasts(axes, arms)
    return _finish(axes)


def _forecasts(axes: Axes, arms: Sequence[ArmReport]) -> None:
    for number, arm in enumerate(arms):
        if arm.forecasts:
            # Side by side, so that arms forecast at one k can be told apart.
            ks = [point.k * 1.04 ** (number - len(arms) / 2) for point in arm.forecasts]
            mean = 100 * np.array([point.mean for point in arm.forecasts])
            low, high = (
                100 * np.array([getattr(point, end) for point in arm.forecasts])
                for end in ("low", "high")
            )
            axes.errorbar(
                ks, mean, yerr=np.stack([mean - low, high - mean]), fmt=_marker(number),
                color=_colour(number), mfc="white", capsize=3, linewidth=1,
            )  # fmt: skip


def _dollars(figure: Figure, arms: Sequence[ArmReport]) -> bool:
    axes = _axes(figure, "dollars for the whole problem set (k afresh)", "coverage, %",
                 "Coverage against dollars", BANDS, dollars=True)  # fmt: skip
    drawn = False
    for number, arm in enumerate(arms):
        if all(point.at_k for point in arm.points):
            _curve(axes, number, arm, [(point.at_k or 0) / PICO for point in arm.points])
            drawn = True
    return drawn and _finish(axes)


def _operations(figure: Figure, arms: Sequence[ArmReport]) -> bool:
    axes = _axes(figure, "floating point operations for the whole problem set", "coverage, %",
                 "Coverage against operations", BANDS)  # fmt: skip
    drawn = False
    for number, arm in enumerate(arms):
        if all(point.flops for point in arm.points):
            _curve(axes, number, arm, [point.flops or 0.0 for point in arm.points])
            drawn = True
    return drawn and _finish(axes)


def _fits(figure: Figure, arms: Sequence[ArmReport]) -> bool:
    axes = _axes(figure, "attempts per problem (k)", "coverage, %",
                 "The power law, fitted to log coverage",
                 "marks: measured; lines: fitted")  # fmt: skip
    drawn = False
    for number, arm in enumerate(arms):
        ks = log_spaced(arm.points[-1].k, 100).astype(float)
        for fit in arm.fits:
            if fit.space == "log":
                axes.plot(
                    ks, 100 * np.exp(fit.a * ks**fit.b), color=_colour(number), linestyle="--",
                    label=f"{_name(arm.label)}: exp({fit.a:.2f} k^{fit.b:.2f})",
                )  # fmt: skip
                drawn = True
        axes.plot(
            [point.k for point in arm.points], [100 * point.mean for point in arm.points],
            _marker(number), color=_colour(number),
        )  # fmt: skip
    return drawn and _finish(axes)


def _aligned(figure: Figure, arms: Sequence[ArmReport]) -> bool:
    """Arms of one task, each shifted left to where it reaches the best arm's first coverage.

    One panel for each task that several uniform arms share.
    """
    families = [
        [(i, arm) for i, arm in enumerate(arms) if arm.task == task and arm.uniform and arm.asked]
        for task in dict.fromkeys(arm.task for arm in arms)
    ]
    families = [family for family in families if len(family) > 1]
    if not families:
        return False
    figure.set_size_inches(6.4, 0.6 + 3.4 * len(families))
    for place, family in enumerate(families):
        axes = _axes(figure, "k over the k at which the arm reaches the anchor", "coverage, %",
                     f"Aligned on {_name(family[0][1].task)}",
                     "grey line: the anchor, the best coverage by one attempt",
                     (len(families), 1, place + 1))  # fmt: skip
        curves = {str(i): coverage_curve(*arm.judged).mean for i, arm in family}
        anchor, shift = horizontal_shift(curves)
        for number, arm in family:
            curve, reached = curves[str(number)], shift[str(number)]
            ks = log_spaced(len(curve), 60)
            kept = ks[ks >= reached]
            axes.plot(
                kept / reached, 100 * curve[kept - 1], color=_colour(number),
                linestyle=DASHES[number % len(DASHES)],
                label=f"{_name(arm.label)} (k / {reached:,})",
            )  # fmt: skip
        axes.axhline(100 * anchor, color="#888888", linewidth=0.8)
        _finish(axes)
    return True


def _selection(figure: Figure, arms: Sequence[ArmReport]) -> bool:
    axes = _axes(figure, "attempts per problem (k)", "problems answered rightly, %",
                 "Selection against coverage", "what one chosen answer gets right")  # fmt: skip
    drawn = False
    for number, arm in enumerate(arms):
        for style, series in enumerate(arm.selection):
            axes.plot(
                series.ks, [100 * value for value in series.precision], color=_colour(number),
                linestyle=DASHES[(style + 1) % len(DASHES)], marker=_marker(number + style + 1),
                label=f"{_name(arm.label)}: {_name(series.method)}",
            )  # fmt: skip
            drawn = True
        if arm.selection:
            _curve(axes, number, arm, [point.k for point in arm.points], " (coverage)")
    return drawn and _finish(axes)


SHARES = (0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 25, 50, 75, 100)
"""Percentages that may be marked on a square-root axis."""


def _marked(top: float) -> list[float]:
    """0 and the percentages up to `top` that stand a tenth of the axis apart, largest first."""
    marks: list[float] = []
    for share in reversed(SHARES):
        if share <= top and (not marks or marks[-1] ** 0.5 - share**0.5 > 0.1 * top**0.5):
            marks.append(share)
    return [0.0, *(one for one in reversed(marks) if one**0.5 > 0.1 * top**0.5)]


def _problems(figure: Figure, arms: Sequence[ArmReport]) -> bool:
    """Success rates on one square-root axis, so that rare successes show and arms compare."""
    from matplotlib.ticker import MaxNLocator

    top = max(1.0, 105 * max(max(arm.fractions) for arm in arms))
    marks = _marked(top)
    rows = figure.subplots(len(arms), 1, squeeze=False)[:, 0]
    figure.set_size_inches(6.4, 1.0 + 1.3 * len(arms))
    for number, (axes, arm) in enumerate(zip(rows, arms, strict=True)):
        shares = np.sort(np.array(arm.fractions))[::-1]
        axes.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
        axes.bar(np.arange(1, len(shares) + 1), 100 * shares, width=1.0, color=_colour(number))
        never = np.flatnonzero(shares == 0.0)
        if len(never):
            axes.axvspan(never[0] + 0.5, len(shares) + 0.5, color="#000000", alpha=0.08, lw=0)
        axes.set_title(
            f"{_name(arm.label)}: {len(never)} of {len(shares)} never solved", loc="left"
        )
        axes.set_ylabel("right, %")
        axes.set_yticks(marks, [f"{mark:g}" for mark in marks])
        axes.set_ylim(0, top)
        axes.set_xlim(0.5, len(shares) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    rows[-1].set_xlabel(
        "problems, easiest first (shaded: no right attempt); square-root axis, alike for all arms"
    )
    figure.suptitle("Right attempts, problem by problem", fontsize=10, fontweight="bold")
    return True


def _frontier(figure: Figure, arms: Sequence[ArmReport]) -> bool:
    points = [
        CostPoint(str(number), point.k, point.at_k, point.mean)
        for number, arm in enumerate(arms)
        for point in arm.points
        if point.at_k
    ]
    if not points:
        return False
    axes = _axes(figure, "dollars for the whole problem set", "coverage, %",
                 "What a budget can cover",
                 "the frontier: no arm covers as much for less", dollars=True)  # fmt: skip
    best = frontier(points)
    axes.plot(
        [point.cost / PICO for point in best], [100 * point.coverage for point in best],
        color="#888888", linewidth=5, alpha=0.35, solid_capstyle="round", label="frontier",
    )  # fmt: skip
    for number, arm in enumerate(arms):
        own = [point for point in points if point.arm == str(number)]
        axes.plot(
            [point.cost / PICO for point in own], [100 * point.coverage for point in own],
            marker=_marker(number), color=_colour(number), label=_name(arm.label),
            linestyle=DASHES[number % len(DASHES)],
        )  # fmt: skip
    return _finish(axes)


_FIGURES: dict[str, Callable[[Figure, Sequence[ArmReport]], bool]] = {
    "coverage": _coverage,
    "coverage-dollars": _dollars,
    "coverage-flops": _operations,
    "fits": _fits,
    "aligned": _aligned,
    "selection": _selection,
    "problems": _problems,
    "frontier": _frontier,
}


def _axes(
    figure: Figure, across: str, up: str, title: str, said: str,
    place: tuple[int, int, int] = (1, 1, 1), *, dollars: bool = False,
) -> Axes:  # fmt: skip
    """Axes with a title, and under it in grey how to read what is drawn."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes = figure.add_subplot(*place)
    axes.set_title(title, loc="left", fontweight="bold", pad=20)
    axes.annotate(said, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points",
                  fontsize=8, color="#555555")  # fmt: skip
    axes.set_xscale("log")
    # Names may hold dollar signs, so mathematical text is off and powers are written out.
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, dollars)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return axes


def _tick(value: float, dollars: bool) -> str:
    if dollars:
        return f"${value:,.0f}" if value >= 1 else f"${value:.{max(2, -floor(log10(value)))}f}"
    return f"{value:,.0f}" if value < 1e7 else f"1e{round(log10(value))}"


def _curve(
    axes: Axes, number: int, arm: ArmReport, across: Sequence[float], more: str = ""
) -> None:
    """One arm's curve with its band for these problems, and fainter for problems like these."""
    mean, low, high, low_like, high_like = (
        [100 * getattr(point, name) for point in arm.points]
        for name in ("mean", "low", "high", "low_like", "high_like")
    )
    colour = _colour(number)
    axes.fill_between(across, low_like, high_like, color=colour, alpha=0.08, linewidth=0)
    axes.fill_between(across, low, high, color=colour, alpha=0.25, linewidth=0)
    axes.plot(
        across, mean, color=colour, marker=_marker(number),
        linestyle=DASHES[number % len(DASHES)], label=_name(arm.label) + more,
    )  # fmt: skip


def _finish(axes: Axes) -> bool:
    axes.set_ylim(bottom=0, top=min(axes.get_ylim()[1], 101.5))
    if len(axes.get_legend_handles_labels()[1]) > 1:
        axes.legend(loc="best")
    return True


def _name(text: str) -> str:
    """A name as one line that leaves room for the figure."""
    line = visible(text).replace("\n", " ")
    return line if len(line) <= 44 else line[:43] + "…"


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _marker(number: int) -> str:
    return MARKERS[number % len(MARKERS)]
