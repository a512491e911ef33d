"""Which directory a run has: a new one's name, and the one to continue."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.plan.study import Study


def run_name(study: Study) -> str:
    """The name given, else task, model and time; raises ConfigError for a name that is a path."""
    from orchestrator.errors import ConfigError

    if study.name:
        if not re.fullmatch(r"[\w.+-]+", study.name) or study.name.startswith("."):
            raise ConfigError(
                f"The run name {study.name!r} may hold letters, digits, and . _ + - only; "
                "use --out for the place."
            )
        return study.name
    arm = study.arms[0]
    stem = "-".join(part for part in (Path(arm.task).stem, arm.model.rsplit("/", 1)[-1]) if part)
    return re.sub(r"[^\w.-]+", "_", stem)[:60] + time.strftime("-%Y%m%d-%H%M%S")


def run_to_resume(name: str, out: Path) -> Path:
    """The directory of the run to continue; raises ConfigError."""
    from orchestrator.errors import ConfigError
    from orchestrator.store.reader import find_run, runs_in

    if name:
        return find_run(name, out)
    newest = next(iter(runs_in(out)), None)
    if newest is None:
        raise ConfigError(f"There is no run in {out} to resume; give --resume DIRECTORY.")
    return newest
