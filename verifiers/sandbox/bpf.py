"""Turns a table of per-syscall rules into a seccomp filter (classic BPF) for one architecture.

A rule is a list of checks followed by "allow"; the first check that fails returns its errno.
Arguments are compared by their low 32 bits where the kernel itself takes an int (pids, commands,
flags below 2**32), and by both halves where it takes a pointer. Another architecture's calling
convention (int 0x80, x32) kills the process.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
KILL, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
X32_BIT = 0x40000000

LD, JEQ, JGE, JGT, JSET, RET, AND = 0x20, 0x15, 0x35, 0x25, 0x45, 0x06, 0x54

Instruction = tuple[int, int, int, int]


class Check(NamedTuple):
    """One condition on one argument. `kind`:

    without: none of the bits of `values[0]` is set; with_: all of them are;
    among: the value is one of `values`; not_among: it is none of them; null: it is zero, 64 bits.
    """

    kind: str
    argument: int
    values: tuple[int, ...] = ()
    errno: int = 1


class Rule(NamedTuple):
    """What happens on one system call: the checks, then allow; or `errno` at once."""

    checks: tuple[Check, ...] = ()
    errno: int | None = None


def _low(argument: int) -> Instruction:
    return (LD, 0, 0, 16 + 8 * argument)


def _check(check: Check) -> list[Instruction]:
    deny: Instruction = (RET, 0, 0, ERRNO | check.errno)
    if check.kind == "without":
        return [_low(check.argument), (JSET, 0, 1, check.values[0]), deny]
    if check.kind == "with_":
        mask = check.values[0]
        return [_low(check.argument), (AND, 0, 0, mask), (JEQ, 1, 0, mask), deny]
    if check.kind == "null":
        high: Instruction = (LD, 0, 0, 20 + 8 * check.argument)
        return [_low(check.argument), (JEQ, 0, 2, 0), high, (JEQ, 1, 0, 0), deny]
    values = sorted(set(check.values))
    count = len(values)
    if check.kind == "among":
        tests: list[Instruction] = [(JEQ, count - n, 0, v) for n, v in enumerate(values)]
        return [_low(check.argument), *tests, deny]
    tests = [(JEQ, count - n - 1, 0, v) for n, v in enumerate(values)]
    # Falls past the deny when no value matched.
    return [_low(check.argument), *tests[:-1], (JEQ, 0, 1, values[-1]), deny]


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def assemble(machine: str, rules: Mapping[int, Rule], otherwise: Mapping[int, int]) -> bytes:
    """The filter's bytes. `otherwise` maps the lowest number of a range to the errno of every
    syscall from there on that has no rule (it must have an entry for 0)."""
    code: list[Instruction] = [
        (LD, 0, 0, 4),
        (JEQ, 1, 0, AUDIT_ARCH[machine]),
        (RET, 0, 0, KILL),
        (LD, 0, 0, 0),
    ]
    if machine == "x86_64":
        code += [(JGE, 0, 1, X32_BIT), (RET, 0, 0, KILL)]
    for number, rule in rules.items():
        if not rule.checks and rule.errno is None:
            continue
        if rule.errno is not None:
            body: list[Instruction] = [(RET, 0, 0, ERRNO | rule.errno)]
        else:
            body = [i for check in rule.checks for i in _check(check)] + [(RET, 0, 0, ALLOW)]
        code += [(JEQ, 0, len(body), number), *body]
    plain = [n for n, rule in rules.items() if not rule.checks and rule.errno is None]
    for low, high in _ranges(plain):
        code += [(JGE, 0, 2, low), (JGT, 1, 0, high), (RET, 0, 0, ALLOW)]
    for low in sorted(otherwise, reverse=True):
        code += [(JGE, 0, 1, low)] if low else []
        code += [(RET, 0, 0, ERRNO | otherwise[low])]
    if len(code) > 4096:
        raise ValueError(f"a filter of {len(code)} instructions is longer than the kernel takes")
    return b"".join(struct.pack("HBBI", *i) for i in code)
