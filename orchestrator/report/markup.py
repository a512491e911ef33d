"""Markup that sections and the page share: everything from outside is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from orchestrator.report.text import visible


def one_line(text: str) -> str:
    """Text from outside as one harmless line, not yet escaped."""
    return visible(text).replace("\n", " ")


def page_list(title: str, lines: Sequence[str]) -> str:
    """A section of sentences; nothing where there are none."""
    if not lines:
        return ""
    items = "".join(f"<li>{escape(one_line(line))}</li>" for line in lines)
    return f"<section><h2>{escape(title)}</h2><ul>{items}</ul></section>"


def page_table(title: str, said: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A section with a table of words."""
    if not rows:
        return ""
    heads = "".join(f'<th class="text">{escape(one_line(cell))}</th>' for cell in head)
    cell_of = '<td class="text">{}</td>'.format
    body = "".join(
        "<tr>" + "".join(cell_of(_lines(cell)) for cell in row) + "</tr>" for row in rows
    )
    quiet = f'<p class="quiet">{escape(one_line(said))}</p>' if said else ""
    return (
        f"<section><h2>{escape(one_line(title))}</h2>{quiet}"
        f'<div class="panel scroll"><table class="words"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _lines(cell: str) -> str:
    """The words of a cell, its lines kept."""
    return "<br>".join(escape(line) for line in visible(cell).split("\n"))
