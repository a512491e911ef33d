"""`harbor:PATH`: tasks in Harbor's layout, one folder each, or a folder of such folders;
`harbor:NAME@VERSION`: a data set of Harbor's registry, which Harbor downloads into the cache.

    task.toml           [verifier] timeout_sec, [agent] timeout_sec
    instruction.md      what the agent is asked
    environment/repo/   the work tree that the agent starts from
    tests/test.sh       judges where the tree is and writes a reward to /logs/verifier/reward.txt

The tree and the tests are small enough to be part of the problem's reference, so that a run can be
judged again without this folder.

Where one of the tasks has no environment/repo, the work tree of all is in their containers alone.
Then Harbor makes the containers and judges in them (verifiers/reported.py), only its agents can
run, and a problem's reference is the SHA-256 of its files.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator.tasks.base import Problem, SamplingDefaults, TaskError, TaskOptions, chosen
from orchestrator.tasks.cache import cache_folder
from orchestrator.tasks.harbor_python import REGISTERED, NoHarbor, fetch, find_python
from verifiers.patch import TIME_S, PatchVerifier
from verifiers.reported import ReportedVerifier
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

    def __init__(self, place: str, options: TaskOptions) -> None:
        """`place`: a folder, or a data set's name and version."""
        self.name = PREFIX + (place if REGISTERED.fullmatch(place) else Path(place).name)
        self._place = place
        self._python = options.harbor_python

    @cached_property
    def _folders(self) -> list[Path]:
        if Path(self._place).is_dir():
            return _folders(Path(self._place))
        if REGISTERED.fullmatch(self._place):
            return _downloaded(self._place, self._python)
        raise TaskError(
            f"There is no folder {self._place}; give harbor:PATH of a task or of many tasks, or "
            "harbor:NAME@VERSION of a data set in Harbor's registry."
        )

    @cached_property
    def rewarded(self) -> bool:
        """Whether attempts are judged by Harbor in the containers that they were made in."""
        return not all((folder / "environment" / "repo").is_dir() for folder in self._folders)

    @cached_property
    def _problems(self) -> list[Problem]:
        return [_problem(folder, self.rewarded) for folder in self._folders]

    def problems(self) -> list[Problem]:
        return self._problems

    def tree(self, problem_id: str) -> bytes:
        """The work tree of a problem, as a tar; empty where only its container has it."""
        problem = next(one for one in self.problems() if one.id == problem_id)
        return b"" if self.rewarded else pack(problem.reference["tree"])

    def source(self, problem_id: str) -> Path:
        """The folder of a problem."""
        return next(one for one in self._folders if one.name == problem_id)

    def verifier(self, name: str | None = None) -> Verifier:
        makers: dict[str, Callable[[], Verifier]]
        makers = {"patch": PatchVerifier, "harbor": ReportedVerifier}
        if Path(self._place).exists() or REGISTERED.fullmatch(self._place):
            del makers["patch" if self.rewarded else "harbor"]
        # Without its folder a stored run is judged by either.
        return chosen(self.name, name, makers)

    def reference_outputs(self) -> Iterator[tuple[Problem, list[str]]]:
        """Yield every problem whose folder has `solution/patch.diff` with that patch."""
        for folder, problem in zip(self._folders, self.problems(), strict=True):
            patch = folder / "solution" / "patch.diff"
            if patch.is_file() and not self.rewarded:
                yield problem, [patch.read_text(encoding="utf-8")]


def _downloaded(dataset: str, python: str) -> list[Path]:
    """The tasks of a data set, from the cache where they were downloaded before."""
    cache = cache_folder("harbor")
    place = cache / dataset.replace("/", "--")
    if not place.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            try:
                fetch(dataset, find_python(python), Path(scratch) / "set")
            except NoHarbor as error:
                raise TaskError(str(error)) from None
            (Path(scratch) / "set").rename(place)
    found = sorted(path.parent for path in place.rglob("task.toml"))
    if not found:
        raise TaskError(f"{dataset} was downloaded to {place} and holds no task.toml; remove it.")
    return found


def _folders(path: Path) -> list[Path]:
    if (path / "task.toml").is_file():
        return [path]
    found = sorted(one for one in path.iterdir() if (one / "task.toml").is_file())
    if not found:
        raise TaskError(f"{path} holds no task: a task is a folder with task.toml in it.")
    return found


def _problem(folder: Path, rewarded: bool) -> Problem:
    try:
        settings = tomllib.loads((folder / "task.toml").read_text(encoding="utf-8"))
        instruction = (folder / "instruction.md").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise TaskError(f"{folder} has no {Path(error.filename).name}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"{folder / 'task.toml'} or its instruction.md: {error}.") from None
    if not (folder / "tests" / "test.sh").is_file():
        raise TaskError(f"{folder} has no tests/test.sh.")
    time_s = _time_s(settings, folder)
    reference: dict[str, Any]
    if rewarded:
        _makes_a_container(settings, folder)
        reference = {"sha256": _digest(folder)}
    else:
        tree, tests = _texts(folder / "environment" / "repo"), _texts(folder / "tests")
        reference = {"tree": tree, "tests": tests, "time_s": time_s}
    message = {"role": "user", "content": instruction}
    return Problem(folder.name, None, (message,), reference)


def _makes_a_container(settings: dict[str, Any], folder: Path) -> None:
    """Raise TaskError where nothing says what container a task has."""
    named = settings.get("environment", {})
    places = [folder / "environment" / name for name in ("Dockerfile", "docker-compose.yaml")]
    if not (isinstance(named, dict) and named.get("docker_image")) and not any(
        place.is_file() for place in places
    ):
        raise TaskError(
            f"{folder} has neither environment/repo nor environment/Dockerfile, and its task.toml "
            "names no environment.docker_image: there is nothing for an agent to work in."
        )


def _digest(folder: Path) -> str:
    """SHA-256 (hex) of what a task is, without its solution."""
    found = hashlib.sha256()
    paths = [folder / "task.toml", folder / "instruction.md"]
    paths += [path for name in ("environment", "tests") for path in (folder / name).rglob("*")]
    for path in sorted(path for path in paths if path.is_file()):
        if "__pycache__" not in path.parts:
            found.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            found.update(path.read_bytes())
    return found.hexdigest()


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
