"""One self-contained page of a report: no network, light and dark, sortable, with hover values.

Whatever comes from models, files or names is data, never markup: it is escaped where it enters
the page, its control characters are shown instead of obeyed, and the page's own policy lets no
script run but the one that was written with it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib.resources import files
from typing import Any

from budgets.money import PICO
from orchestrator.report.data import ArmReport, CoveragePoint, ReportData
from orchestrator.report.document import reached
from orchestrator.report.markup import one_line, page_list
from orchestrator.report.reading_page import page_reading
from orchestrator.report.sections import SECTIONS
from orchestrator.report.sections.equal import decision
from orchestrator.report.text import dollars, percent


def to_html(report: ReportData) -> str:
    """The whole page as text."""
    folder = files("orchestrator.report")
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    script = folder.joinpath("page.js").read_text(encoding="utf-8")
    title = escape(one_line(report.title))
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    return _PAGE.format(
        policy=policy,
        title=title,
        style=style,
        lead=_kept(escape(_lead(report))),
        cards="\n".join(_kept(_card(arm, number)) for number, arm in enumerate(report.arms)),
        sections="".join(section.page(report) for section in SECTIONS),
        reading=page_reading(report),
        notes=page_list("What to keep in mind", _notes(report)),
        data=_json(_data(report)),
        script=script,
    )


def _kept(markup: str) -> str:
    """No line ends between a figure and its percent sign."""
    return markup.replace(" %", "\u00a0%")


def _data(report: ReportData) -> dict[str, Any]:
    return {"arms": [_arm(arm) for arm in report.arms]}


def _arm(arm: ArmReport) -> dict[str, Any]:
    return {
        "label": one_line(arm.label),
        "task": one_line(arm.task),
        "points": [_point(point) for point in arm.points],
        "fits": [
            {name: getattr(fit, name) for name in ("space", "a", "b", "error_mean", "error_sd")}
            for fit in arm.fits
        ],
        "forecasts": [
            {name: getattr(point, name) for name in ("k", "mean", "low", "high", "level")}
            for point in arm.forecasts
        ],
        "selection": [
            {
                "method": one_line(series.method),
                "ks": list(series.ks),
                "precision": list(series.precision),
            }
            for series in arm.selection
        ],
        "problem_ids": [one_line(name) for name in arm.problem_ids],
        "n": list(arm.n),
        "c": list(arm.c),
        "fractions": list(arm.fractions),
    }


def _point(point: CoveragePoint) -> dict[str, Any]:
    names = ("k", "mean", "low", "high", "low_like", "high_like", "flops")
    return {
        **{name: getattr(point, name) for name in names},
        "usd_as_bought": None if point.as_bought is None else point.as_bought / PICO,
        "usd_at_k": None if point.at_k is None else point.at_k / PICO,
    }


def _lead(report: ReportData) -> str:
    if decided := decision(report):
        return one_line(" ".join(decided))
    covered = [arm for arm in report.arms if arm.points]
    if not covered:
        return "No coverage yet."
    if len(covered) == 1:
        return one_line(reached(covered[0]))
    best = max(covered, key=lambda arm: arm.points[-1].mean)
    point = best.points[-1]
    said = (
        f"{one_line(best.label)} covers most: {percent(point.mean)} of {best.problems} problems "
        f"within {point.k:,} attempts each"
    )
    return said + (f", for {dollars(point.as_bought)}." if point.as_bought else ".")


def _card(arm: ArmReport, number: int) -> str:
    best = arm.points[-1] if arm.points else None
    rows = [
        ("solved", f"{arm.solved:,} of {arm.problems:,}"),
        ("judged samples", f"{arm.samples:,}"),
    ]
    if arm.paid:
        rows.append(("spent", dollars(arm.spent)))
    if arm.uncertain:
        rows.append(("uncertain", dollars(arm.uncertain)))
    if arm.paid and arm.usd_per_solved is not None:
        rows.append(("per solved problem", dollars(arm.usd_per_solved)))
    if arm.gpu_hours is not None:
        rows.append(("GPU-hours", f"{arm.gpu_hours:{',.2f' if arm.gpu_hours >= 1 else '.3g'}}"))
    if arm.censored or arm.infra_errors:
        rows.append(("cut off / failed for us", f"{arm.censored:,} / {arm.infra_errors:,}"))
    rows += [("policy", arm.policy), ("estimator", arm.estimated_by)]
    facts = "".join(f"<dt>{name}</dt><dd>{escape(one_line(value))}</dd>" for name, value in rows)
    head = "" if best is None else (
        f'<div class="big">{percent(best.mean)}</div>'
        f'<div class="quiet">at k = {best.k:,}; these problems: '
        f"{percent(best.low)} to {percent(best.high)}</div>"
    )  # fmt: skip
    where = escape(one_line(f"{arm.provider}, {arm.task}"))
    return (
        f'<article class="card" style="--own: var(--c{number % 7})">'
        f"<h3>{escape(one_line(arm.label))}</h3>"
        f'<div class="quiet">{where}</div>{head}<dl>{facts}</dl></article>'
    )


def _notes(report: ReportData) -> tuple[str, ...]:
    said = list(report.notes)
    for arm in report.arms:
        refused = (f"no forecast: {arm.forecast_refused}.",) if arm.forecast_refused else ()
        ahead = tuple(f"at k = {p.k:,}: {p.note}" for p in arm.forecasts if p.note)
        said += [f"{arm.label}: {note}" for note in (*arm.notes, *refused, *ahead)]
    return tuple(said)


def _json(value: dict[str, Any]) -> str:
    """JSON that cannot end its script element, nor be taken for a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _digest(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<header>
<div><h1>{title}</h1><p class="lead">{lead}</p></div>
<button type="button" id="look" aria-label="Change between light and dark">Dark</button>
</header>
<div class="cards">
{cards}
</div>
<section>
<h2>Coverage</h2>
<p class="quiet">The share of problems that at least one of k attempts solves. The band says how
sure it is of these problems; open marks ahead of a curve are forecasts.</p>
<div class="panel"><div class="switch" id="switch"></div><div id="coverage"></div></div>
</section>
{notes}
{sections}
<section>
<h2>Selection against coverage</h2>
<p class="quiet">How many problems a rule that must pick one answer gets right; the gap to coverage
is what a perfect verifier would still add.</p>
<div class="panel" id="selection"></div>
</section>
<section id="law">
<h2>The power law and what it foretells</h2>
<p class="quiet">Coverage is about exp(a k^b). Fitted to coverage it describes the curve, fitted to
its logarithm it extrapolates better; forecasts are anchored at what is already solved.</p>
<div class="pair"><div class="panel scroll" id="fits"></div>
<div class="panel scroll" id="forecasts"></div></div>
</section>
<section>
<h2>Problem by problem</h2>
<p class="quiet">The share of right attempts at each problem, easiest first, on one axis for
all arms; shaded: none yet.</p>
<div class="pair" id="problems"></div>
</section>
{reading}
<section>
<h2>All numbers</h2>
<p class="quiet">Click a heading to sort. "As bought" is what this run had spent when round k was
done; "k afresh" is what k new attempts at every problem cost, FLOPs are their operations.</p>
<div class="panel scroll tall" id="numbers"></div>
<div class="panel scroll tall" id="each"></div>
</section>
<footer>Intervals are at 95 %, forecasts at 90 %. Made by orch; this page needs no network.</footer>
</main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""
