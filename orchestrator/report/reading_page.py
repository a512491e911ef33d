"""The page's samples: every problem opens and shows a few of each arm's, none of it obeyed.

All texts together are held to MOST characters, so that a page of a million samples stays small:
each text gets its part of them, and where parts would be too short to read, fewer problems are
shown and the page says so.
"""

from __future__ import annotations

from html import escape

from orchestrator.report.data import ArmReport, ReadProblem, ReadSample, ReportData
from orchestrator.report.markup import one_line
from orchestrator.report.reading import cut
from orchestrator.report.text import visible

MOST = 1_200_000
"""Characters of all texts on a page."""
LEAST = 300
"""Of one text, that it can be read."""
LARGEST = 4000


def page_reading(report: ReportData) -> str:
    """The section of samples; empty where the report has none to read."""
    held: dict[tuple[str, str], list[tuple[ArmReport, ReadProblem]]] = {}
    for arm in report.arms:
        for problem in arm.reading:
            held.setdefault((arm.task, problem.id), []).append((arm, problem))
    if not held:
        return ""
    texts = 2 + 3 * max(map(len, held.values()))
    shown = list(held.values())[: max(MOST // (texts * LEAST), 1)]
    most = min(MOST // (texts * len(shown)), LARGEST)
    known = len({(arm.task, name) for arm in report.arms for name in arm.problem_ids})
    said = (
        f"The first {len(shown):,} of {known:,} problems; orch samples RUN --problem ID shows "
        "those of the others."
        if len(shown) < known
        else "Open a problem for what was asked and written."
    )
    items = "".join(_problem(number, arms, most) for number, arms in enumerate(shown))
    return _SECTION.format(said=said, items=items)


def _problem(number: int, arms: list[tuple[ArmReport, ReadProblem]], most: int) -> str:
    _, first = arms[0]
    expected = f" Expected: {first.expected}" if first.expected else ""
    counted = "; ".join(_counted(arm, problem) for arm, problem in arms)
    parts = [
        f'<p class="quiet">Asked.{escape(one_line(cut(expected, LEAST)))}</p>',
        _text(first.asked, most),
    ]
    for arm, problem in arms:
        if len(arms) > 1 and problem.samples:
            parts.append(f"<h4>{escape(one_line(arm.label))}</h4>")
        parts += [_sample(sample, most) for sample in problem.samples]
    return (
        f'<details class="problem" id="read-{number}"><summary>'
        f'<span class="name">{escape(one_line(first.id))}</span> '
        f'<span class="quiet">{escape(one_line(counted))}</span></summary>'
        f"{''.join(parts)}</details>"
    )


def _counted(arm: ArmReport, problem: ReadProblem) -> str:
    where = arm.problem_ids.index(problem.id)
    return f"{arm.label}: {arm.c[where]:,} of {arm.n[where]:,} right"


def _sample(sample: ReadSample, most: int) -> str:
    facts = [f"sample {sample.slot}", sample.verdict.replace("_", " ")]
    if sample.answer:
        facts.append(f"answer {cut(sample.answer, 80)}")
    if sample.output_tokens is not None:
        facts.append(f"{sample.output_tokens:,} tokens")
    facts.append(f"finish reason {sample.finish_reason or 'not said'}")
    why = sample.why[:1].upper() + sample.why[1:]
    because = cut(sample.detail, LEAST)
    said = f'<p class="quiet">Because: {escape(one_line(because))}</p>' if because else ""
    kind = "right" if sample.verdict == "passed" else "wrong"
    return (
        f'<p class="{kind}"><b>{why}</b> · {escape(one_line(" · ".join(facts)))}</p>'
        f"{_text(sample.text, most)}{said}"
    )


def _text(text: str, most: int) -> str:
    return f"<pre>{escape(visible(cut(text, most)))}</pre>"


_SECTION = """<section>
<h2>Read samples</h2>
<p class="quiet">{said} Of each arm: the first that passed, the first that failed, and the
commonest wrong one.</p>
<div class="panel reading" id="reading"><input type="search" id="find" hidden
placeholder="Find a problem" aria-label="Find a problem">
{items}</div>
</section>
"""
