"""The rules of the Lean verifier on a real Lean: one from npm (`make test-lean`), or a project's.

The Lean from npm is 4.28 without Mathlib, compiled to WebAssembly: each of its processes takes
minutes, and it cannot tell axioms. So what Lean itself makes of many proofs is asked in one file,
and the verifier is put to it for a true and a false statement, and for what it must not believe.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from verifiers.lean import LeanVerifier
from verifiers.lean_project import SYSTEM_LIBRARIES, LeanProject
from verifiers.lean_talk import LeanTalk, Times
from verifiers.sandbox import Limits, Sandbox

ROOT = Path(__file__).resolve().parents[2]
SPOKEN = Path(__file__).with_name("lean_spoken.json")
LIMITS = Limits(wall_s=2400, cpu_s=2400, memory_mb=65536, output_mb=16, processes=64, disk_mb=64)
HEADER = "open Nat"
TWO = "theorem two_two\n  (x : Nat)\n  (h₀ : x = 2) :\n  x + x = 4 :="
FALSE = TWO.replace("= 4", "= 5")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("ORCH_LEAN_WASM" not in os.environ, reason="make test-lean sets it up"),
]


def wasm_project() -> LeanProject:
    folder = Path(os.environ["ORCH_LEAN_WASM"]).resolve()
    node = (folder / "node_modules/node/bin/node").resolve()
    command = (str(node), str(folder / "lean-node.js"), "--stdin", "--json")
    return LeanProject(
        folder, command, (node, *SYSTEM_LIBRARIES), {}, "4.28.0-wasm", "file", asks_axioms=False
    )


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(LIMITS, jobs=1)
    await sandbox.start()
    yield sandbox
    await sandbox.aclose()


async def test_what_lean_says_is_what_the_recorded_session_says(box: Sandbox) -> None:
    """Also: what Lean takes without a word, and the verifier therefore refuses by its words."""
    recorded = json.loads(SPOKEN.read_text())
    talk = LeanTalk(wasm_project(), box)
    answers = await talk.file([one["command"] for one in recorded], Times())
    assert [answer["messages"] for answer in answers] == [one["messages"] for one in recorded]


async def judged(project: LeanProject, proof: str, statement: str = TWO):  # type: ignore[no-untyped-def]
    verifier = LeanVerifier(project, limits=LIMITS, jobs=1)
    reference = {"header": HEADER, "statement": statement, "code": "continue"}
    try:
        return await verifier.verify(proof, reference)
    finally:
        await verifier.aclose()


async def test_a_proof_is_accepted_and_said_to_be_unasked() -> None:
    verdict = await judged(wasm_project(), "  subst h₀\n  rfl\n)\n```")
    assert verdict.passed and "cannot be asked" in verdict.detail, verdict


async def test_the_same_proof_of_a_false_statement_fails() -> None:
    verdict = await judged(wasm_project(), "  subst h₀\n  rfl\n)\n```", FALSE)
    assert verdict.kind == "failed" and "rfl" in verdict.detail, verdict


async def test_a_lean_that_cannot_tell_axioms_is_no_judge() -> None:
    project = replace(wasm_project(), asks_axioms=True)
    verdict = await judged(project, "  omega")
    assert verdict.kind == "infra_error" and "could not be learnt" in verdict.detail, verdict


async def test_what_elaboration_runs_stays_in_the_cell(box: Sandbox, tmp_path: Path) -> None:
    escaped = tmp_path / "escaped"
    command = f'#eval IO.FS.writeFile "{escaped}" "x"\n#eval IO.println (1 + 1)'
    answers = await LeanTalk(wasm_project(), box).file([HEADER, command], Times())
    assert not escaped.exists()
    assert [one["data"].strip() for one in answers[1]["messages"]][-1:] == ["2"], answers
