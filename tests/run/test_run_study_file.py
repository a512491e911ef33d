"""The study file: what docs/study.md shows and names is read, and a slip is one sentence."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from orchestrator.errors import ConfigError
from orchestrator.plan.study import Arm, Study, make_study, read_study

PAGE = (Path(__file__).parents[2] / "docs" / "study.md").read_text()


def keys_under(heading: str) -> set[str]:
    """The keys in the first column of the table under `heading`."""
    section = PAGE.split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_the_page_names_every_key_and_no_other() -> None:
    assert keys_under("[study]") == set(Study.__struct_fields__) - {"arms"}
    assert keys_under("[[arms]]") == set(Arm.__struct_fields__)


def test_the_page_shows_a_study_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(PAGE.split("```toml\n", 1)[1].split("```", 1)[0])
    document = read_study(path)
    document["study"]["budget"] = str(document["study"]["budget"])
    study = make_study(document, str(path))
    assert [arm.name for arm in study.arms] == ["cool", "warm"]
    assert study.seed == tomllib.loads(path.read_text())["study"]["seed"] == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('budget = 5\n[[arms]]\nprovider = "local"', r"budget outside .*; write \[study\]"),
        ('temperature = 1.0\n[study]\nseed = 1', r"temperature outside .*; write \[\[arms"),
        ('[budget]\nusd = 5', r"unknown table \[budget\]; it may hold"),
        ('[[arm]]\nprovider = "local"', r"unknown table \[arm\]"),
        ('stop = ["END"]\n[[arms]]\nmodel = "m"', r"stop outside .*; write \[\[arms"),
    ],
)  # fmt: skip
def test_a_slip_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_study(path)
