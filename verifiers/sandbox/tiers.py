"""The kinds of cell, strongest first, and what to do where one does not work.

namespaces  a jail of namespaces, with Landlock, seccomp and limits inside
landlock    Landlock, seccomp and limits on the host's own file tree
bubblewrap  when asked for: bwrap builds the jail, the rest as above
docker, podman  when asked for: a container for each cell, the rest as above
gvisor      when asked for: such a container on a kernel of its own (runsc)
none        when asked for, and only with explicit trust: limits, and no protection at all
"""

from __future__ import annotations

import shutil
import sys

from verifiers.sandbox import engines
from verifiers.sandbox.confine import CONTAINERS
from verifiers.sandbox.kernel import Kernel
from verifiers.sandbox.limits import NoSandbox

AUTOMATIC = ("namespaces", "landlock")
TIERS = (*AUTOMATIC, "bubblewrap", *CONTAINERS, "none")

_LIMITS_ONLY = ("memory", "processes", "files", "descriptors", "cpu", "watch")


def candidates(wanted: str | None, trust: bool) -> tuple[str, ...]:
    """The tiers to try, in order. NoSandbox where this machine cannot give what was asked for."""
    if wanted is None:
        if not sys.platform.startswith("linux"):
            raise NoSandbox(
                f"no sandbox works on {sys.platform}: run orch on Linux, in a container for example"
            )
        return AUTOMATIC
    if wanted not in TIERS:
        raise NoSandbox(f"there is no sandbox named {wanted!r}: use one of {', '.join(TIERS)}")
    if wanted == "none" and not trust:
        raise NoSandbox(
            "`sandbox` none runs untrusted code with all your rights: say `i_trust_this_code` too"
        )
    if wanted in CONTAINERS:
        engines.engine_of(wanted)
    if wanted == "bubblewrap" and shutil.which("bwrap") is None:
        raise NoSandbox("`sandbox` bubblewrap needs bwrap: install it (apt-get install bubblewrap)")
    return (wanted,)


def layers(tier: str, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """The layers of a tier, of those that were not left out."""
    if tier == "none":
        return tuple(name for name in chosen if name in _LIMITS_ONLY)
    # gVisor's processes cannot be seen from the host, so nothing can be read while they run.
    return tuple(name for name in chosen if tier != "gvisor" or name != "watch")


def refusal(reasons: dict[str, str], wanted: str | None = None) -> NoSandbox:
    """What to say when every tier failed, or the one that was asked for."""
    told = "; ".join(f"{tier}: {reason}" for tier, reason in reasons.items())
    if wanted is not None and wanted not in AUTOMATIC:
        return NoSandbox(
            f"the sandbox {told}. Without `sandbox` the strongest tier that works is chosen"
        )
    abi = Kernel().landlock_abi()
    hint = (
        "run as a user who may make user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
        "or kernel.apparmor_restrict_unprivileged_userns=0), "
        + ("" if abi else "or on a kernel from 5.13 with Landlock enabled (lsm=landlock,...), ")
        + "or run orch inside a container or a virtual machine that allows one of these"
    )
    return NoSandbox(f"no sandbox works here ({told}). To get one: {hint}")
