"""Whether an attempt is right. Imports nothing else of orch.

Names are loaded when first used, so that importing `verifiers` costs nothing.

>>> from verifiers import make_rule
>>> make_rule("number").name
'number'
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verifiers.rules import RuleOptions as RuleOptions
    from verifiers.rules import make_rule as make_rule
    from verifiers.rules import rule_names as rule_names
    from verifiers.sandbox.box import Sandbox as Sandbox
    from verifiers.sandbox.limits import CallOutcome as CallOutcome
    from verifiers.sandbox.limits import Limits as Limits
    from verifiers.sandbox.limits import NoSandbox as NoSandbox
    from verifiers.sandbox.limits import Outcome as Outcome
    from verifiers.sandbox.limits import SandboxFault as SandboxFault
    from verifiers.verdict import Verdict as Verdict
    from verifiers.verdict import Verifier as Verifier

_HOMES = {
    "RuleOptions": "verifiers.rules",
    "make_rule": "verifiers.rules",
    "rule_names": "verifiers.rules",
    "Sandbox": "verifiers.sandbox.box",
    "CallOutcome": "verifiers.sandbox.limits",
    "Limits": "verifiers.sandbox.limits",
    "NoSandbox": "verifiers.sandbox.limits",
    "Outcome": "verifiers.sandbox.limits",
    "SandboxFault": "verifiers.sandbox.limits",
    "Verdict": "verifiers.verdict",
    "Verifier": "verifiers.verdict",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        # Inside, since the processes of the cell import this package too, and must stay small.
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'verifiers' has no attribute {name!r}")
