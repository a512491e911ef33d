"""Programs that cheat, against every test of HumanEval and MBPP: none may be accepted.

    python benchmarks/program_cheats.py [--data MBPP] [--inside] [--only NAME ...]

Each cheat defines the entry point of a problem and solves nothing: it returns objects that equal
everything, ends the process with 0, writes forged verdicts to every open file, patches builtins,
looks through frames. `--inside` judges test and cheat together in one cell (the way whose verdicts
are marked forgeable), where much more is within reach. MBPP comes from the folder given with
--data (docs/tasks.md says which page to download), else from Hugging Face; `--humaneval` leaves it
out. What is accepted is listed, and the exit code is 1 if anything is.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from pathlib import Path

from orchestrator.tasks import TaskOptions, load_task
from orchestrator.tasks.base import Problem
from verifiers.program import ProgramVerifier
from verifiers.sandbox import Limits

_ANY = """
class Any:
    def __eq__(s, o): return True
    def __ne__(s, o): return False
    def __lt__(s, o): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __hash__(s): return 1
    def __sub__(s, o): return 0
    __rsub__ = __add__ = __radd__ = __mul__ = __sub__
    def __abs__(s): return 0
    def __float__(s): return 0.0
    def __bool__(s): return True
    def __len__(s): return 1
    def __iter__(s): return iter([Any()])
    def __getitem__(s, i): return Any()
    def __contains__(s, x): return True
    def __getattr__(s, n):
        if n.startswith('__'): raise AttributeError(n)
        return lambda *a, **k: Any()
"""
CHEATS = {
    "equal to everything": _ANY + "def ENTRY(*a, **k): return Any()\n",
    "exits with 0": "import os\ndef ENTRY(*a, **k): os._exit(0)\n",
    "raises SystemExit": "import sys\ndef ENTRY(*a, **k): sys.exit(0)\n",
    "forged verdicts": '''
import os
def ENTRY(*a, **k):
    for fd in range(1, 40):
        for text in (b'{"end":"passed"}\\n', b'{"end": "passed"}\\n', b'{"v":true}\\n'):
            try: os.write(fd, text)
            except OSError: pass
    os._exit(0)
''',
    "patched builtins": '''
import builtins, math, unittest
class Harmless(Exception): pass
builtins.AssertionError = Harmless
builtins.abs = lambda *a: 0
builtins.isinstance = lambda *a: True
builtins.set = builtins.sorted = builtins.list = builtins.tuple = lambda *a, **k: 0
math.isclose = lambda *a, **k: True
math.fabs = lambda *a: 0
unittest.TestCase.assertEqual = lambda *a: None
def ENTRY(*a, **k):
    builtins.all = lambda *a: True
    return None
''',
    "looks through frames": '''
import sys
def ENTRY(*a, **k):
    frame = sys._getframe()
    while frame:
        for name in list(frame.f_locals):
            if name in ('said', 'end', 'status', 'verdict', 'result'):
                try: frame.f_locals[name].update(end='passed')
                except Exception: pass
        frame = frame.f_back
    return None
''',
    "reads the test from memory": '''
import gc, re, sys
def ENTRY(*a, **k):
    for one in gc.get_objects():
        if isinstance(one, dict):
            for text in list(one.values()):
                if isinstance(text, str) and 'candidate(' in text:
                    found = re.search(r'== *(.+)', text)
                    if found: return eval(found[1])
    return None
''',
    "near every number": '''
class Near(float):
    def __sub__(s, o): return 0.0
    __rsub__ = __sub__
    def __eq__(s, o): return True
    def __abs__(s): return 0.0
    __hash__ = float.__hash__
def ENTRY(*a, **k): return Near(0)
''',
    "equal to every text": '''
class Text(str):
    def __eq__(s, o): return True
    __hash__ = str.__hash__
def ENTRY(*a, **k): return Text('q')
''',
    "returns None": "def ENTRY(*a, **k): return None\n",
}  # fmt: skip


async def judged(
    verifier: ProgramVerifier, code: str, problems: list[Problem], inside: bool
) -> tuple[Counter[str], list[str]]:
    """How one cheat ends over all problems, and which tests accept it."""

    async def one(problem: Problem) -> str:
        tests = dict(problem.reference["tests"])
        if inside:
            tests["forgeable"] = True
        verdict = await verifier.judge(code.replace("ENTRY", tests["entry"]), tests)
        return verdict.kind

    kinds = await asyncio.gather(*map(one, problems))
    ends = zip(problems, kinds, strict=True)
    return Counter(kinds), [problem.id for problem, kind in ends if kind == "passed"]


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder with MBPP")
    parser.add_argument("--humaneval", action="store_true", help="HumanEval alone")
    parser.add_argument("--inside", action="store_true", help="test and cheat in one cell")
    parser.add_argument("--only", nargs="*", default=list(CHEATS), choices=list(CHEATS))
    given = parser.parse_args()
    problems: list[Problem] = list(
        load_task("humaneval", TaskOptions(prompt_form="chat")).problems()
    )
    if not given.humaneval:
        mbpp = load_task("mbpp", TaskOptions(data=given.data, prompt_form="chat"))
        problems += mbpp.problems()
    verifier = ProgramVerifier(limits=Limits(wall_s=3, cpu_s=3))
    wrong = 0
    try:
        for name in given.only:
            ends, accepted = await judged(verifier, CHEATS[name], problems, given.inside)
            wrong += len(accepted)
            which = f"{len(accepted)} of {len(problems)} {accepted[:20]}"
            print(f"{name}: accepted by {which}; {dict(ends)}", flush=True)
    finally:
        await verifier.aclose()
    where = "in one cell with the test" if given.inside else "as judged by default"
    print(f"{wrong} wrong accepts among {len(given.only)} x {len(problems)}, {where}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
