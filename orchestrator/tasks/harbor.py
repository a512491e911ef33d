"""`harbor:PATH`: tasks in Harbor's layout, one folder each, or a folder of such folders.

    task.toml           [verifier] timeout_sec, [agent] timeout_sec
    instruction.md      what the agent is asked
    environment/repo/   the work tree that the agent starts from
    tests/test.sh       judges where the tree is and writes a reward to /logs/verifier/reward.txt

The tree and the tests are small enough to be part of the problem's reference, so that a run can be
judged again without this folder. A task whose environment is only a Dockerfile needs a container
engine of its own and is refused here, by name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.tasks.base import Problem, SamplingDefaults, TaskError, TaskOptions, chosen
from verifiers.patch import TIME_S, PatchVerifier
from verifiers.sandbox.errand import pack
from verifiers.verdict import Verifier

PREFIX = "harbor:"
OWN_FAILURES = re.compile(
    r"AgentTimeout|NonZeroAgentExit|OutputLength|OutputToken|ContextLength|ContextWindow"
    r"|SafetyRefusal|OutOfMemory|MemoryLimit"
)
"""Exceptions of a trial that people ran with Harbor which are the agent's own."""
MOST_BYTES = 4 * 2**20
"""Of a task's work tree: it is stored with every run."""


class HarborTask:
    """The tasks of one folder."""

    version = "1"
    defaults = SamplingDefaults()

    def __init__(self, path: Path, options: TaskOptions) -> None:
        self.name = f"{PREFIX}{path.name}"
        self._path = path
        self._problems: list[Problem] | None = None

    def problems(self) -> list[Problem]:
        if self._problems is None:
            self._problems = [_problem(folder) for folder in _folders(self._path)]
        return self._problems

    def tree(self, problem_id: str) -> bytes:
        """The work tree of a problem, as a tar."""
        problem = next(one for one in self.problems() if one.id == problem_id)
        return pack(problem.reference["tree"])

    def source(self, problem_id: str) -> Path:
        """The folder of a problem."""
        return next(one for one in _folders(self._path) if one.name == problem_id)

    def verifier(self, name: str | None = None) -> Verifier:
        return chosen(self.name, name, {"patch": PatchVerifier})

    def reference_outputs(self) -> Iterator[tuple[Problem, list[str]]]:
        """Yield every problem whose folder has `solution/patch.diff` with that patch."""
        for folder, problem in zip(_folders(self._path), self.problems(), strict=True):
            patch = folder / "solution" / "patch.diff"
            if patch.is_file():
                yield problem, [patch.read_text(encoding="utf-8")]


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        raise TaskError(f"There is no folder {path}; give harbor:PATH of a task or of many tasks.")
    if (path / "task.toml").is_file():
        return [path]
    found = sorted(one for one in path.iterdir() if (one / "task.toml").is_file())
    if not found:
        raise TaskError(f"{path} holds no task: a task is a folder with task.toml in it.")
    return found


def _problem(folder: Path) -> Problem:
    try:
        settings = tomllib.loads((folder / "task.toml").read_text(encoding="utf-8"))
        instruction = (folder / "instruction.md").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise TaskError(f"{folder} has no {Path(error.filename).name}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"{folder / 'task.toml'} or its instruction.md: {error}.") from None
    repo = folder / "environment" / "repo"
    if not repo.is_dir():
        raise TaskError(
            f"{folder} has no environment/repo, so its work tree exists only in a container image; "
            "such tasks are not run by a command in the cell."
        )
    tests = _texts(folder / "tests")
    if "test.sh" not in tests:
        raise TaskError(f"{folder} has no tests/test.sh.")
    reference = {"tree": _texts(repo), "tests": tests, "time_s": _time_s(settings, folder)}
    message = {"role": "user", "content": instruction}
    return Problem(folder.name, None, (message,), reference)


def _time_s(settings: dict[str, Any], folder: Path) -> float:
    verifier = settings.get("verifier", {})
    time_s = verifier.get("timeout_sec", TIME_S) if isinstance(verifier, dict) else None
    if not isinstance(time_s, int | float) or not 0 < time_s < 1e6:
        raise TaskError(f"{folder / 'task.toml'}: verifier.timeout_sec must be above 0.")
    return float(time_s)


def _texts(folder: Path) -> dict[str, str]:
    """Every file below a folder, by its path."""
    found: dict[str, str] = {}
    total = 0
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if not path.is_file() or "__pycache__" in path.parts or ".git" in path.parts:
            continue
        total += path.stat().st_size
        if total > MOST_BYTES:
            raise TaskError(f"{folder} holds more than {MOST_BYTES >> 20} MiB.")
        try:
            found[str(path.relative_to(folder))] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise TaskError(f"{path} is not UTF-8 text; work trees are stored as text.") from None
    return found
