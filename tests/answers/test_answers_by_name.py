"""Rules by name, as `orch judge` and `--verifier` ask for them."""

from __future__ import annotations

import pytest

from verifiers.rules import RuleOptions, UnknownRule, make_rule, rule_names


def test_every_rule_can_be_made_and_has_a_name_and_a_version() -> None:
    for name in rule_names():
        rule = make_rule(name, RuleOptions(jobs=1))
        assert rule.name and rule.version


def test_an_unknown_rule_is_told_with_those_there_are() -> None:
    with pytest.raises(UnknownRule, match=r"no rule named 'maths'.*stated, number, choice"):
        make_rule("maths")


@pytest.mark.parametrize(
    ("rule", "text", "answer", "kind"),
    [
        ("stated", "So the answer is 42.", "42", "passed"),
        ("stated", "#### 1/2", "0.5", "passed"),
        ("stated", "The answer is blue.", "Blue", "passed"),
        ("stated", "forty-two", "42", "no_answer"),
        ("number", "The answer is 41.", "42", "failed"),
        ("number", "The answer is blue.", "42", "no_answer"),
        ("choice", "The answer is (B).", "B", "passed"),
        ("choice", "The answer is 7.", "B", "no_answer"),
    ],
)
async def test_the_rules_of_the_base_install(rule: str, text: str, answer: str, kind: str) -> None:
    assert (await make_rule(rule).verify(text, {"answer": answer})).kind == kind
