"""Assert-style tests that use more than plain values: objects, functions, exceptions."""

from __future__ import annotations

import pytest

from verifiers.program import ProgramVerifier
from verifiers.sandbox import Limits

CASES = {
    "objects that the test makes and hands over": (
        "total",
        "class Pair:\n    def __init__(self, a, b): self.a, self.b = a, b\n"
        "def total(pairs): return sum(p.a * p.b for p in pairs)",
        "assert total([Pair(2, 3), Pair(4, 5)]) == 26",
        "passed",
    ),
    "an object's attributes and methods": (
        "make",
        "class Stack:\n    def __init__(self): self.items = []\n"
        "    def push(self, x): self.items.append(x); return self\n"
        "    @property\n    def size(self): return len(self.items)\n"
        "def make(): return Stack()",
        "def check(candidate):\n    s = candidate()\n    assert s.push(1).push(2) is s\n"
        "    assert s.size == 2 and s.items == [1, 2]",
        "passed",
    ),
    "a class that the test makes an object of": (
        "Stack",
        "class Stack:\n    def __init__(self, n=0): self.n = n\n    def up(self): self.n += 1",
        "def check(candidate):\n    s = candidate(3)\n    s.up()\n    assert s.n == 4",
        "passed",
    ),
    "a function of the test's, called by the candidate": (
        "apply",
        "def apply(f, items): return [f(x) for x in items]",
        "def check(candidate):\n    seen = []\n"
        "    assert candidate(lambda x: seen.append(x) or x * 2, [1, 2]) == [2, 4]\n"
        "    assert seen == [1, 2]",
        "passed",
    ),
    "a function of the test's that calls the candidate": (
        "f",
        "def f(n, g): return 1 if n == 0 else n * g(n - 1)",
        "def check(candidate):\n    assert candidate(4, lambda n: candidate(n, lambda m: 1)) == 12",
        "passed",
    ),
    "a function of the test's that raises": (
        "safe",
        "def safe(f):\n    try: return f()\n    except ZeroDivisionError: return 'caught'",
        "def check(candidate): assert candidate(lambda: 1 / 0) == 'caught'",
        "passed",
    ),
    "an exception class of the candidate's": (
        "f",
        "class Bad(ValueError): pass\ndef f(x): raise Bad(f'no {x}')",
        "def check(candidate):\n    try: candidate(3)\n"
        "    except Bad as e: assert str(e) == 'no 3'\n    else: assert False",
        "passed",
    ),
    "values of the standard library": (
        "f",
        "from decimal import Decimal\nfrom fractions import Fraction\n"
        "from collections import deque\nimport datetime\n"
        "def f(d):\n    day = datetime.timedelta(1)\n"
        "    return [Decimal('0.10'), Fraction(1, 3), deque([1], 3), d + day]",
        "import datetime\nfrom decimal import Decimal\nfrom fractions import Fraction\n"
        "from collections import deque\n"
        "def check(candidate):\n    a = candidate(datetime.date(2024, 2, 28))\n"
        "    assert a == [Decimal('0.1'), Fraction(1, 3), deque([1]), datetime.date(2024, 2, 29)]\n"
        "    assert str(a[0]) == '0.10' and a[2].maxlen == 3",
        "passed",
    ),
    "an object equal to everything": (
        "f",
        "class Any:\n    def __eq__(self, o): return True\n    def __hash__(self): return 3\n"
        "    def __abs__(self): return 0\n    def __float__(self): return 3.0\n"
        "    def __lt__(self, o): return True\n    def __sub__(self, o): return 0\n"
        "def f(x): return Any()",
        "def check(candidate): assert candidate(1) == 3",
        "failed",
    ),
    "an object near to everything": (
        "f",
        "class Any(float):\n    def __sub__(self, o): return 0.0\n"
        "    def __abs__(self): return 0.0\ndef f(x): return Any(9)",
        "def check(candidate): assert abs(candidate(1) - 3) < 1e-6",
        "failed",
    ),
    "a list that holds an object equal to everything": (
        "f",
        "class Any:\n    def __eq__(self, o): return True\ndef f(x): return [Any(), 2]",
        "def check(candidate): assert candidate(1) == [1, 2]",
        "failed",
    ),
    "a value that claims to be the test's own function": (
        "f",
        "import os, json\ndef f(g):\n    for fd in range(3, 64):\n"
        '        try: os.write(fd, b\'{"v":{"c":0}}\\n\')\n        except OSError: pass\n',
        "def check(candidate): assert candidate(lambda: 1) == 1",
        "crashed",
    ),
    "an exception that has the test's assertion for a base": (
        "f",
        "class Bad(AssertionError): pass\ndef f(x): raise Bad('passed')",
        "def check(candidate): assert candidate(1) == 1",
        "failed",
    ),
    "an exception class that hides a wrong answer": (
        "f",
        "class AssertionError(Exception): pass\ndef f(x): return 0",
        "def check(candidate): assert candidate(1) == 1",
        "failed",
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_what_crosses_between_a_test_and_its_candidate(name: str) -> None:
    entry, code, source, kind = CASES[name]
    verifier = ProgramVerifier(limits=Limits(wall_s=20, cpu_s=20), jobs=1)
    try:
        verdict = await verifier.judge(code, {"kind": "assert", "entry": entry, "source": source})
    finally:
        await verifier.aclose()
    assert verdict.kind == kind, verdict
