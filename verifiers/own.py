"""A person's own verifier, given as text where the name of a rule could stand.

    path.py:function    def function(output: str, problem: dict) -> bool | float, run in the cell;
                        a number is a score, passed from 1.0 up
    command PROGRAM ...  a program, run in the cell: it reads {"output", "problem"} as JSON and
                        exits with 0 (passed) or 1 (failed)
    regex:PATTERN       passed where the output holds a match of the regular expression
    contains:TEXT       passed where the output holds the text

In the last two `{answer}` stands for the problem's answer. What a person's verifier does not answer
(it raises, takes too long, exits with another number) is a failure of ours, never a wrong answer.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verifiers.rules import RuleOptions
from verifiers.sandbox.box import Sandbox
from verifiers.sandbox.flavour import Flavour, for_source
from verifiers.sandbox.limits import CallOutcome, Limits
from verifiers.verdict import Verdict, VerdictKind, Verifier

_LIMITS = Limits(wall_s=20, cpu_s=20, memory_mb=1024)
_FUNCTION = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)")
_SEARCH = """
import re
def verify(output, problem):
    pattern = problem["pattern"].replace("{answer}", re.escape(str(problem.get("answer", ""))))
    return re.search(pattern, output) is not None
"""


class BadVerifier(ValueError):
    """A verifier that cannot be used as it was given; says why and what to do."""


def is_own(spec: str) -> bool:
    """Whether a text has one of the forms above."""
    forms = ("regex:", "contains:", "command ")
    return spec.startswith(forms) or _FUNCTION.fullmatch(spec) is not None


def own_verifier(spec: str, options: RuleOptions) -> Verifier:
    """The verifier of a text for which `is_own` holds. Raises BadVerifier."""
    kind, _, rest = spec.partition(":")
    if kind == "contains":
        if not rest:
            raise BadVerifier("contains: needs the text to look for, as in contains:{answer}")
        return Contains(rest)
    if kind == "regex":
        try:
            re.compile(rest.replace("{answer}", "x"))
        except re.error as fault:
            raise BadVerifier(f"{rest!r} is no regular expression: {fault}") from None
        return Function(spec, _SEARCH, "verify", options, {"pattern": rest})
    if (found := _FUNCTION.fullmatch(spec)) is not None:
        source = _read(Path(found["path"]), found["name"])
        return Function(spec, source, found["name"], options)
    return Command(spec.removeprefix("command "), options)


def _read(path: Path, name: str) -> str:
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except OSError as fault:
        raise BadVerifier(f"{path} cannot be read: {fault.strerror}; check the path") from None
    except (SyntaxError, ValueError) as fault:
        raise BadVerifier(f"{path} is not Python: {fault}") from None
    if name not in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]:
        raise BadVerifier(
            f"{path} defines no function {name}: "
            f"write def {name}(output: str, problem: dict) -> bool"
        )
    return source


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


class Contains:
    """Passes outputs that hold a text."""

    version = "1"
    deterministic = True

    def __init__(self, text: str) -> None:
        self.name, self._text = f"contains:{text}", text

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """Look for the text, with the problem's answer in it where it says so."""
        wanted = self._text.replace("{answer}", str(reference.get("answer", "")))
        return Verdict("passed" if wanted in text else "failed")

    async def aclose(self) -> None:
        """Nothing is held."""


class Function:
    """A person's function, called in the cell."""

    deterministic = False

    def __init__(
        self,
        name: str,
        source: str,
        entry: str,
        options: RuleOptions,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.version = name, _digest(source)
        self._source, self._entry, self._given = source, entry, dict(given or {})
        shown = for_source(Flavour(), source.encode())
        self._box = Sandbox(
            _LIMITS, options.sandbox, jobs=options.jobs, trust=options.trust,
            preload=shown.preload, paths=shown.paths,
        )  # fmt: skip

    async def start(self) -> None:
        """Open the cell; raises NoSandbox."""
        await self._box.start()

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """What the function says of an output."""
        problem = {**reference, **self._given}
        (said,) = await self._box.tool(
            source=self._source, entry=f"verifier:{self._entry}", args=[[text, problem]]
        )
        return _verdict(said, self.name, self._box.tier)

    async def aclose(self) -> None:
        """End the cell."""
        await self._box.aclose()


def _verdict(said: CallOutcome, name: str, tier: str) -> Verdict:
    value = said.value

    def verdict(kind: VerdictKind, detail: str = "") -> Verdict:
        whole = said.whole
        return Verdict(kind, detail, tier=tier, wall_s=whole.wall_s, cpu_s=whole.cpu_s)

    if said.status != "returned":
        return verdict("infra_error", f"{name} gave no answer: {said.detail}")
    if isinstance(value, bool):
        return verdict("passed" if value else "failed")
    if not isinstance(value, int | float) or math.isnan(value):
        kind = "NaN" if isinstance(value, float) else type(value).__name__
        return verdict("infra_error", f"{name} returned {kind}, not a bool or a number")
    return verdict("passed" if value >= 1.0 else "failed", f"score {value:g}")


class Command:
    """A person's program, run in the cell."""

    deterministic = False

    def __init__(self, line: str, options: RuleOptions) -> None:
        try:
            words = shlex.split(line)
        except ValueError as fault:
            raise BadVerifier(f"the command {line!r} cannot be read: {fault}") from None
        program = shutil.which(words[0]) if words else None
        if program is None:
            raise BadVerifier(
                f"there is no program {words[0] if words else ''!r}: check the name after `command`"
            )
        files = [str(Path(word).resolve()) for word in words[1:] if Path(word).is_file()]
        self._argv = [
            program,
            *(str(Path(w).resolve()) if Path(w).is_file() else w for w in words[1:]),
        ]
        self._programs = tuple(dict.fromkeys((*_system(program), *files)))
        contents = [Path(file).read_bytes() for file in files]
        self.name = f"command {line}"
        self.version = _digest(line + "".join(hashlib.sha256(one).hexdigest() for one in contents))
        self._box = Sandbox(_LIMITS, options.sandbox, jobs=options.jobs, trust=options.trust)

    async def start(self) -> None:
        """Open the cell; raises NoSandbox."""
        await self._box.start()

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """What the program says of an output by its exit code."""
        asked = json.dumps({"output": text, "problem": dict(reference)}).encode()
        outcome = await self._box.tool(self._argv, stdin=asked, programs=self._programs)
        kind: VerdictKind = "passed" if outcome.exit_code == 0 else "failed"
        detail = outcome.stdout.decode("utf-8", "replace").strip()[:500]
        if outcome.status not in ("ok", "error") or outcome.exit_code not in (0, 1):
            why = outcome.detail or f"exit code {outcome.exit_code}"
            kind, detail = "infra_error", f"{self.name} gave no answer: {why}"
        tier = self._box.tier
        return Verdict(kind, detail, tier=tier, wall_s=outcome.wall_s, cpu_s=outcome.cpu_s)

    async def aclose(self) -> None:
        """End the cell."""
        await self._box.aclose()


def _system(program: str) -> list[str]:
    """What a program may execute and read: its own installation, and the system's."""
    real = Path(program).resolve()
    own = (
        []
        if real.is_relative_to("/usr") or real.is_relative_to("/bin")
        else [str(real.parent.parent)]
    )
    return [*own, *(place for place in ("/usr", "/bin", "/lib", "/lib64") if Path(place).exists())]
