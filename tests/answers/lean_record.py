"""Records what a real Lean says to the commands below: lean_spoken.json (see `make test-lean`).

    ORCH_LEAN_WASM=FOLDER python -m tests.answers.lean_record
"""

from __future__ import annotations

import asyncio
import json

from tests.answers.test_answers_lean_real import HEADER, LIMITS, SPOKEN, TWO, wasm_project
from verifiers.lean_talk import LeanTalk, Times
from verifiers.sandbox import Sandbox


def named(name: str, statement: str, proof: str) -> str:
    return f"theorem {name} {statement} :=\nby (\n{proof}\n)"


DOUBLE = "(x : Nat) (h : x = 2) : x + x = 4"
WRONG = "(x : Nat) (h : x = 2) : x + x = 5"
COMMANDS = [
    HEADER,
    f"{TWO}\nby (\n  omega\n)",
    named("at_the_margin", DOUBLE, "subst h\nrfl"),
    named("by_simp", DOUBLE, "  simp"),
    named("by_simp_with", DOUBLE, "  simp [h]"),
    named("wrong", WRONG, "  subst h\n  rfl"),
    named("wrong_by_decide", ": 1 + 1 = 3", "  decide"),
    named("wrong_by_omega", WRONG, "  omega"),
    named("sorried", WRONG, "  sorry"),
    named("admitted", WRONG, "  admit"),
    named("sorried_quietly", WRONG, "  exact sorryAx _ true"),
    "axiom cheat : False",
    named("by_axiom", WRONG, "  exact cheat.elim"),
    named("by_native", ": 10 * 10 = 100", "  native_decide"),
    named("wrong_by_native", ": 10 * 10 = 101", "  native_decide"),
    named("classical", "(p : Prop) : p ∨ ¬p", "  exact Classical.em p"),
    named("unknown", DOUBLE, "  simp [made_up_lemma]"),
    "set_option debug.skipKernelTC true in\n" + named("unchecked", DOUBLE, "  omega"),
    named("dots", "(p q : Prop) (a : p) (b : q) : p ∧ q", "  constructor\n  · exact a\n  · exact b"),
    named("calculated", "(a b : Nat) (h : a = b) : b = a", "  calc b = a := by\n        rw [h]"),
    named("unfinished", "(p q : Prop) (a : p) (b : q) : p ∧ q", "  constructor\n  exact a"),
    named("cut", DOUBLE, "  have k : x = 2 :="),
    "#eval (1 + 1 : Nat)",
    "#print axioms two_two",
    "#print axioms by_axiom",
]


async def record() -> None:
    async with Sandbox(LIMITS, jobs=1) as box:
        answers = await LeanTalk(wasm_project(), box).file(COMMANDS, Times())
    spoken = [
        {"command": command, "messages": answer["messages"]}
        for command, answer in zip(COMMANDS, answers, strict=True)
    ]
    SPOKEN.write_text(json.dumps(spoken, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(record())
