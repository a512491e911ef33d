"""Which interpreter has Harbor, what is missing where none has, and what its registry holds.

Harbor lives in an environment of its own, of Python 3.12 or newer, and is never imported here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

PINNED = "0.26"
INSTALL = (
    f"python3.12 -m venv ~/harbor && ~/harbor/bin/pip install 'harbor=={PINNED}.*' podman-compose"
)
"""Makes an environment that is found without being named; Docker brings its own compose."""
REGISTERED = re.compile(r"[\w.-]+(/[\w.-]+)?@[\w.:-]+")
"""A data set of Harbor's registry, by name and version."""
_ASK = "import importlib.metadata as m; print(m.version('harbor'))"
_AGENTS = "from harbor.models.agent.name import AgentName; print(*AgentName.values())"
_ASKING_S = 60.0
_FETCHING_S = 3600.0
_NAMES = ("python3.14", "python3.13", "python3.12", "python3")


class NoHarbor(Exception):
    """No interpreter has Harbor as pinned, or Harbor refused; one sentence with what to do."""


def find_python(given: str) -> str:
    """An interpreter that has Harbor as pinned: the given one, or else any; raises NoHarbor."""
    others = []
    for python in [given] if given else _candidates():
        version = harbor_in(python)
        if version.startswith(f"{PINNED}."):
            return python
        if version:
            others.append(
                f"{python} has Harbor {version}, and orch speaks with {PINNED}: "
                f"{python} -m pip install 'harbor=={PINNED}.*'"
            )
    if others:
        raise NoHarbor(others[0])
    if given:
        raise NoHarbor(
            f"--harbor-python {given} {_lacks(given)}; make an environment of Python 3.12 or newer "
            f"that has it: {INSTALL}"
        )
    raise NoHarbor(
        "No interpreter with Harbor was found; make one of Python 3.12 or newer, or name it by "
        f"--harbor-python: {INSTALL}"
    )


def harbor_in(python: str) -> str:
    """The version of Harbor that an interpreter has; "" for none."""
    try:
        done = subprocess.run(
            [python, "-c", _ASK], capture_output=True, text=True, check=False, timeout=_ASKING_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def check_agent(name: str, python: str) -> None:
    """Raise NoHarbor unless Harbor has an agent of that name.

    MODULE:CLASS names one of a person's own, and acp:NAME one of another registry: those are known
    when they are run.
    """
    if ":" in name:
        return
    try:
        done = subprocess.run(
            [python, "-c", _AGENTS], capture_output=True, text=True, check=False,
            timeout=_ASKING_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return
    known = done.stdout.split()
    if known and name not in known:
        raise NoHarbor(
            f"Harbor has no agent named {name}; it has {', '.join(sorted(known))}, and "
            "harbor:MODULE:CLASS names one of your own on its interpreter's path."
        )


def fetch(dataset: str, python: str, place: Path) -> None:
    """Have Harbor download a data set of its registry below `place`; raises NoHarbor."""
    command = [python, "-m", "harbor.cli.main", "download", dataset, "--output-dir", str(place)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_FETCHING_S,
            env={**os.environ, "HARBOR_TELEMETRY": "0", "NO_COLOR": "1", "COLUMNS": "500"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NoHarbor(f"Harbor did not download {dataset} within an hour; try again.") from None
    if done.returncode:
        lines = [line.strip(" │") for line in (done.stderr + done.stdout).splitlines()]
        told = [line for line in lines if "rror" in line] or [line for line in lines if line]
        why = told[-1].rpartition("Error: ")[2] if told else "no reason was given"
        raise NoHarbor(
            f"Harbor could not get {dataset} from its registry: {why[:300].rstrip('.')}. Where the "
            f"network is missing, run `harbor download {dataset}` on a machine that has it and "
            "give the folder: harbor:PATH."
        )


def _lacks(python: str) -> str:
    if shutil.which(python) is None:
        return "is no program"
    return "has no Harbor"


def _candidates() -> list[str]:
    found = [str(Path.home() / "harbor" / "bin" / "python")]
    program = shutil.which("harbor")
    if program is not None:
        # As `uv tool install harbor` or pipx leave it.
        first = Path(program).read_bytes()[:300].partition(b"\n")[0].decode("utf-8", "replace")
        if match := re.fullmatch(r"#!\s*(\S*python\S*)", first):
            found.append(match[1])
    return found + [path for name in _NAMES if (path := shutil.which(name))]
