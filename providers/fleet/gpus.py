"""Which GPUs a fleet gets: groups of equal size, one a server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from providers.errors import ProviderConfigError


def gpu_ids(named: str = "", environ: Mapping[str, str] = os.environ) -> list[str]:
    """The GPUs to use: those named ("0,1,2,3"), else CUDA_VISIBLE_DEVICES, else all there are."""
    for text in (named, environ.get("CUDA_VISIBLE_DEVICES", "")):
        if text.strip():
            return [part.strip() for part in text.split(",") if part.strip() not in ("", "-1")]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def groups(launch: str, ids: Sequence[str], each: int) -> list[tuple[str, ...]]:
    """One group of `each` GPUs a server; empty groups where this machine has no GPU.

    `launch` is "auto" (as many servers as there are groups) or a number. Raises
    ProviderConfigError where that many do not fit.
    """
    if launch != "auto" and not (launch.isdecimal() and 1 <= int(launch) <= 1024):
        raise ProviderConfigError(f"`launch` is {launch!r}; give auto, or a number of servers")
    if not ids:
        if launch == "auto":
            raise ProviderConfigError(
                "`launch` auto finds no GPU here; give a number of servers, as in `launch` 1, to "
                "start them on the CPU, or give `base_url` of servers that run elsewhere"
            )
        return [()] * int(launch)
    fit = len(ids) // each
    wanted = fit if launch == "auto" else int(launch)
    if wanted < 1 or wanted > fit:
        raise ProviderConfigError(
            f"{max(wanted, 1)} servers of {each} GPUs need {max(wanted, 1) * each}, and "
            f"{len(ids)} are to be had; lower `launch`, `tensor_parallel` or `data_parallel`"
        )
    return [tuple(ids[n * each : (n + 1) * each]) for n in range(wanted)]
