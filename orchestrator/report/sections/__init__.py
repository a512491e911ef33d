"""What a report says across its arms, one file a section.

A section is told once: to the JSON document under its key, to the terminal as lines or tables,
to the page as markup (escaped by the section itself). A new one is its file and a place in
SECTIONS, in the order in which a person reads them.
"""

from __future__ import annotations

from orchestrator.report.sections.agents import AGENTS
from orchestrator.report.sections.audit import AUDIT
from orchestrator.report.sections.base import Section
from orchestrator.report.sections.differences import DIFFERENCES
from orchestrator.report.sections.equal import EQUAL
from orchestrator.report.sections.flaky import FLAKY
from orchestrator.report.sections.provenance import PROVENANCE
from orchestrator.report.sections.refusals import REFUSALS
from orchestrator.report.sections.reliability import RELIABILITY
from orchestrator.report.sections.split import SPLIT

SECTIONS: tuple[Section, ...] = (
    EQUAL,
    AUDIT,
    FLAKY,
    DIFFERENCES,
    AGENTS,
    REFUSALS,
    SPLIT,
    RELIABILITY,
    PROVENANCE,
)
"""Every section, in order."""
