"""An imitation of a default Docker container: what its seccomp profile and capabilities deny.

Making namespaces, mounting, joining namespaces and clone3 are refused, and as root only the
default capabilities are kept. Applies to the calling process and all that it starts.
"""

from __future__ import annotations

import ctypes
import errno
import os

from verifiers.sandbox.bpf import ALLOW, Check, Rule, assemble
from verifiers.sandbox.kernel import Kernel
from verifiers.sandbox.syscalls import NUMBERS

_KEPT = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)
_DENIED = (
    "mount", "umount2", "unshare", "setns", "pivot_root", "bpf", "perf_event_open", "keyctl",
    "add_key", "request_key", "name_to_handle_at", "open_by_handle_at", "userfaultfd",
)  # fmt: skip


def imitate() -> None:
    kernel = Kernel()
    numbers = NUMBERS[kernel.machine]
    rules = {numbers[n]: Rule(errno=errno.EPERM) for n in _DENIED if n in numbers}
    rules[numbers["clone3"]] = Rule(errno=errno.ENOSYS)
    rules[numbers["clone"]] = Rule((Check("without", 0, (0x7E020000,)),))
    for number in (428, 429, 430, 431, 432, 433, 442):
        rules[number] = Rule(errno=errno.EPERM)
    if os.getuid() != 0:
        kernel.prctl(38, 1)
    allow = b"\x06\x00\x00\x00" + ALLOW.to_bytes(4, "little")
    kernel.seccomp(assemble(kernel.machine, rules, {}) + allow)
    if os.getuid() == 0:
        for number in range(64):
            if number not in _KEPT:
                try:
                    kernel.prctl(24, number)
                except OSError:
                    break
        keep = sum(1 << number for number in _KEPT)
        header = ctypes.create_string_buffer(b"\x22\x05\x08\x20" + bytes(4), 8)
        words = (keep & 0xFFFFFFFF).to_bytes(4, "little")
        data = words + words + bytes(4) + bytes(12)
        kernel.call("capset", header.raw, data)
