"""The open-files limit: raised as far as allowed, and told apart from what a run wants."""

from __future__ import annotations

import resource

RESERVED = 96
"""Files that orch holds apart from connections."""


def connections_allowed(wanted: int) -> tuple[int, str]:
    """Raise the soft limit towards `wanted` connections; how many fit, and a sentence if fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED
    if soft != resource.RLIM_INFINITY and soft < needed:
        top = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        if top > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (top, hard))
            soft = top
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted, ""
    fit = max(1, soft - RESERVED)
    return fit, (
        f"The open-files limit is {soft}: at most {fit} requests run at once "
        "(raise it with `ulimit -n`)."
    )
