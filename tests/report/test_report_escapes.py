"""Text from outside never becomes markup: shown without a browser, and for every escape there is.

The page of a report whose texts are hostile must have the very elements and attributes of the page
whose texts are plain words. Each call of `escape` is then taken out in turn, and the comparison
must notice it.
"""

from __future__ import annotations

import inspect
import re
import sys
from html.parser import HTMLParser
from types import ModuleType
from typing import Any

import pytest
import report_samples

from orchestrator.report import html, markup, reading_page

OWNED = "</title></td></li></h3></script><img src=x onerror=alert(1)><b class=owned>'\"&`"
HEADING = "escape(title)"
"""Of `page_list`, whose headings are ours so far, whatever the report is of."""


class Skeleton(HTMLParser):
    """Every tag with its attributes, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Any]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", None))


def skeleton(monkeypatch: pytest.MonkeyPatch, text: str, page: Any = None) -> list[Any]:
    monkeypatch.setattr(report_samples, "HOSTILE", text)
    return Skeleton((page or html.to_html)(report_samples.hostile())).tags


def test_hostile_texts_leave_the_page_as_plain_words_would(monkeypatch):
    assert skeleton(monkeypatch, OWNED) == skeleton(monkeypatch, "word")


def test_a_heading_is_text():
    def tags(page_list: Any) -> list[Any]:
        return Skeleton(page_list(OWNED, ["word"])).tags

    assert [tag for tag, _ in tags(markup.page_list)][:2] == ["section", "h2"]
    assert len(tags(markup.page_list)) == 8
    (where,) = [where for where, call in escapes(markup) if call == HEADING]
    assert tags(without(markup, where)["page_list"]) != tags(markup.page_list)


def escapes(module: ModuleType) -> list[tuple[int, str]]:
    """Where the source of a module calls `escape`, and the call's beginning."""
    source = inspect.getsource(module)
    found = re.finditer(r"(?<![\w.])escape\((\w+)", source)
    return [(one.start(), f"escape({one[1]})") for one in found]


def without(module: ModuleType, where: int) -> dict[str, Any]:
    """The names of a module whose call of `escape` at `where` is gone."""
    source = inspect.getsource(module)
    names: dict[str, Any] = {"__name__": module.__name__, "__package__": module.__package__}
    exec(compile(source[:where] + "str" + source[where + len("escape") :], "mutant", "exec"), names)
    return names


@pytest.mark.parametrize(
    ("module", "where"),
    [
        (module, where)
        for module in (html, markup, reading_page)
        for where, call in escapes(module)
        if call != HEADING
    ],
)
def test_no_escape_can_be_left_out(module, where, monkeypatch):
    names = without(module, where)
    if module is html:
        page = names["to_html"]
    else:
        page = html.to_html
        for name, made in names.items():
            before = getattr(module, name, None)
            if inspect.isfunction(made) and inspect.isfunction(before):
                for other in list(sys.modules.values()):
                    if getattr(other, name, None) is before:
                        monkeypatch.setattr(other, name, made)
    assert skeleton(monkeypatch, OWNED, page) != skeleton(monkeypatch, "word", page)


def test_the_data_cannot_end_their_script(monkeypatch):
    monkeypatch.setattr(html, "_json", lambda value: html.json.dumps(value))
    assert skeleton(monkeypatch, OWNED) != skeleton(monkeypatch, "word")
