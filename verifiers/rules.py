"""The rules by which answers are judged, by name; one of another package is found by its name too.

    stated            a stated answer, compared exactly, with nothing beyond the base install
    number            as `stated`, but only a number is an answer
    choice            as `stated`, but only a letter (A to J) is an answer
    math-verify       a stated answer, equal as mathematics (needs the extra `tasks`)
    paper-math        the rule of "Large Language Monkeys" for MATH (needs the extra `tasks`)
    paper-gsm8k       ... for GSM8K
    exact             the whole output is the answer's text
    exact-last-line   the last line is

All judge a text against a reference that holds `answer`. An entry point of the group
`orch.verifiers` is a callable that takes RuleOptions and returns a Verifier; the names above
cannot be taken. A rule's module is imported when the rule is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import cast

from verifiers.verdict import Verifier

GROUP = "orch.verifiers"


@dataclass(frozen=True, slots=True)
class RuleOptions:
    """How a rule judges; those that need no cell ignore all of it."""

    sandbox: str | None = None
    """The sandbox tier; None: the strongest that works."""
    jobs: int | None = None
    """How many texts are judged at once; None: one per core and one more."""
    trust: bool = False
    """The person said that what is judged may be evaluated without a sandbox."""


RuleMaker = Callable[[RuleOptions], Verifier]


class UnknownRule(Exception):
    """No rule has that name; says which there are."""


def rule_names() -> list[str]:
    """Every rule by name: ours first, then those of other packages, sorted."""
    others = {point.name for point in entry_points(group=GROUP)} - _RULES.keys()
    return [*_RULES, *sorted(others)]


def make_rule(name: str, options: RuleOptions | None = None) -> Verifier:
    """The rule of that name. Raises UnknownRule, or MissingPackage for what it is built on."""
    options = options or RuleOptions()
    if name in _RULES:
        return _RULES[name](options)
    for point in entry_points(group=GROUP):
        if point.name == name:
            return cast(RuleMaker, point.load())(options)
    raise UnknownRule(f"there is no rule named {name!r}; the rules are: {', '.join(rule_names())}")


def _stated(_: RuleOptions) -> Verifier:
    from verifiers.stated import StatedAnswer

    return StatedAnswer()


def _number(_: RuleOptions) -> Verifier:
    from verifiers.stated import StatedAnswer

    return StatedAnswer("number")


def _choice(_: RuleOptions) -> Verifier:
    from verifiers.stated import StatedAnswer

    return StatedAnswer("choice")


def _math_verify(options: RuleOptions) -> Verifier:
    from verifiers.answer import ModernAnswer

    rule = ModernAnswer(sandbox=options.sandbox, jobs=options.jobs, trust=options.trust)
    rule.packages()
    return rule


def _paper_math(options: RuleOptions) -> Verifier:
    from verifiers.answer import PaperAnswer

    rule = PaperAnswer("math", sandbox=options.sandbox, jobs=options.jobs, trust=options.trust)
    rule.packages()
    return rule


def _paper_gsm8k(options: RuleOptions) -> Verifier:
    from verifiers.answer import PaperAnswer

    rule = PaperAnswer("gsm8k", sandbox=options.sandbox, jobs=options.jobs, trust=options.trust)
    rule.packages()
    return rule


def _exact(_: RuleOptions) -> Verifier:
    from verifiers.exact import ExactAnswer

    return ExactAnswer()


def _exact_last_line(_: RuleOptions) -> Verifier:
    from verifiers.exact import ExactAnswer

    return ExactAnswer("last-line")


_RULES: dict[str, RuleMaker] = {
    "stated": _stated,
    "number": _number,
    "choice": _choice,
    "math-verify": _math_verify,
    "paper-math": _paper_math,
    "paper-gsm8k": _paper_gsm8k,
    "exact": _exact,
    "exact-last-line": _exact_last_line,
}
