"""A study run from Python, as `orch run` runs it: same directory, same promises, no terminal.

from orchestrator import Arm, Study, load, run

study = Study([Arm("local", "arithmetic", samples=50)], budget="1.00")
ending = run(study, "runs/first")
print(load("runs/first").arms[0].points)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from orchestrator.errors import ConfigError
from orchestrator.plan.study import Study
from orchestrator.session.end import Ending


async def run_async(
    study: Study,
    directory: Path | str,
    *,
    resume: bool = False,
    keys: Sequence[str] = (),
    show: bool = False,
) -> Ending:
    """Run a study in `directory`, which must be empty or new unless `resume`.

    `keys`: as --api-key-env, `VAR` or `VAR@HOST`, for hosts that are not a known provider's own.
    `show`: the live view on standard error. The report is read with `load`. Signals are handled
    as by the command: SIGINT drains, and leaves a run that can be resumed.
    Raises ConfigError, StoreError and RunFault where nothing could be run.
    """
    import msgspec
    from rich.console import Console

    from orchestrator.plan.prepare import prepare
    from orchestrator.plan.study import make_study
    from orchestrator.plan.typed import Typed
    from orchestrator.session.session import RunOptions, run_session
    from providers.bindings import read_bindings
    from providers.errors import ProviderConfigError

    document = msgspec.to_builtins(study)
    arms = document.pop("arms")
    checked = make_study({"study": document, "arms": arms}, "the study")
    try:
        typed = Typed(keys=read_bindings(keys), base_url=True, gpu_hour=True)
    except ProviderConfigError as error:
        raise ConfigError(f"{error}.") from None
    prepared = await prepare(checked, typed)
    console = Console(stderr=True) if show else Console(file=StringIO())
    options = RunOptions(Path(directory), resume, "auto" if show else "none", console)
    return await run_session(prepared, options)


def run(
    study: Study,
    directory: Path | str,
    *,
    resume: bool = False,
    keys: Sequence[str] = (),
    show: bool = False,
) -> Ending:
    """`run_async` where no event loop runs; in a notebook, `await run_async(...)`."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(run_async(study, directory, resume=resume, keys=keys, show=show))
    raise ConfigError("An event loop runs here already: await run_async(...) in place of run(...).")
