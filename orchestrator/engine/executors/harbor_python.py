"""Which interpreter has Harbor, and what is missing where none has.

Harbor lives in an environment of its own, of Python 3.12 or newer, and is never imported here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from orchestrator.engine.executors.base import NoExecutor

PINNED = "0.26"
INSTALL = (
    f"python3.12 -m venv ~/harbor && ~/harbor/bin/pip install 'harbor=={PINNED}.*' podman-compose"
)
"""Makes an environment that is found without being named; Docker brings its own compose."""
_ASK = "import importlib.metadata as m; print(m.version('harbor'))"
_ASKING_S = 60.0
_NAMES = ("python3.14", "python3.13", "python3.12", "python3")


def find_python(given: str) -> str:
    """An interpreter that has Harbor as pinned: the given one, or else any; raises NoExecutor."""
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
        raise NoExecutor(others[0])
    if given:
        raise NoExecutor(
            f"--harbor-python {given} {_lacks(given)}; make an environment of Python 3.12 or newer "
            f"that has it: {INSTALL}"
        )
    raise NoExecutor(
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


def compose_for(engine: str, python: str) -> bool:
    """Whether an engine has the compose that Harbor starts containers with."""
    if engine == "podman" and (
        Path(python).with_name("podman-compose").exists() or shutil.which("podman-compose")
    ):
        return True
    try:
        done = subprocess.run(
            [engine, "compose", "version"], capture_output=True, check=False, timeout=_ASKING_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


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
