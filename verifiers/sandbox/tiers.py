"""The kinds of cell, strongest first, and what to do where one does not work.

    namespaces  a jail of namespaces, with Landlock, seccomp and limits inside
    landlock    Landlock, seccomp and limits on the host's own file tree
    bubblewrap  when asked for: bwrap builds the jail, the rest as above
    docker, podman, gvisor  when asked for: a container, the rest as above inside
    none        when asked for, and only with explicit trust: limits, and no protection at all
"""

from __future__ import annotations

import shutil
import sys

from verifiers.sandbox.kernel import Kernel
from verifiers.sandbox.limits import NoSandbox

AUTOMATIC = ("namespaces", "landlock")
CONTAINERS = ("docker", "podman", "gvisor")
TIERS = (*AUTOMATIC, "bubblewrap", *CONTAINERS, "none")

_COMMANDS = {"bubblewrap": "bwrap", "docker": "docker", "podman": "podman", "gvisor": "docker"}
_LIMITS_ONLY = ("memory", "processes", "files", "descriptors", "cpu", "watch")


def candidates(wanted: str | None, trust: bool) -> tuple[str, ...]:
    """The tiers to try, in order. NoSandbox where what was asked for cannot be had."""
    if wanted is None:
        if not sys.platform.startswith("linux"):
            raise NoSandbox(
                f"no sandbox of orch's own works on {sys.platform}: use --sandbox docker"
            )
        return AUTOMATIC
    if wanted not in TIERS:
        raise NoSandbox(f"there is no sandbox named {wanted!r}: use one of {', '.join(TIERS)}")
    if wanted == "none" and not trust:
        raise NoSandbox(
            "--sandbox none runs untrusted code with all your rights: say --i-trust-this-code too"
        )
    command = _COMMANDS.get(wanted)
    if command and shutil.which(command) is None:
        raise NoSandbox(f"--sandbox {wanted} needs the program {command}: install it")
    return (wanted,)


def layers(tier: str, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """The layers of a tier, of those that were not left out."""
    return tuple(name for name in chosen if name in _LIMITS_ONLY) if tier == "none" else chosen


def refusal(reasons: dict[str, str]) -> NoSandbox:
    """What to say when every tier failed."""
    told = "; ".join(f"{tier}: {reason}" for tier, reason in reasons.items())
    abi = Kernel().landlock_abi()
    hint = (
        "run as a user who may make user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
        "or kernel.apparmor_restrict_unprivileged_userns=0), "
        + ("" if abi else "or on a kernel from 5.13 with Landlock enabled (lsm=landlock,...), ")
        + "or use --sandbox docker"
    )
    return NoSandbox(f"no sandbox works here ({told}). To get one: {hint}")
