"""Lean proofs: what is refused as text, and the conversation with the REPL.

Where ORCH_LEAN_PROJECT names a real project the rules are also tried on it. Otherwise the REPL's
side is a session in its documented protocol, answered by a real process in the real cell.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.tasks import TaskError, TaskOptions, load_task
from verifiers import lean_rules
from verifiers.lean import LeanVerifier
from verifiers.lean_project import SYSTEM_LIBRARIES, LeanMissing, LeanProject, find_project
from verifiers.lean_rules import Refused
from verifiers.sandbox import Limits

STATEMENT = "theorem two_two\n  (x : Nat)\n  (h₀ : x = 2) :\n  x + x = 4 :="
HEADER = "import Init\n\nopen Nat"
LIMITS = Limits(wall_s=5, cpu_s=2, memory_mb=256, processes=16)


@pytest.mark.parametrize(
    ("proof", "why"),
    [
        ("sorry", "unproved: sorry"),
        ("exact sorryAx _", "unproved"),
        ("admit", "unproved: admit"),
        ("simp\n)\naxiom cheat : False", "more brackets than it opens|unproved: axiom"),
        ("native_decide", "compiled code"),
        ("decide +native", "compiled code"),
        ("exact Lean.ofReduceBool _ _ rfl", "compiled code|changes"),
        ("run_tac do pure ()", "runs programs"),
        ("exact (by_elab return default)", "runs programs"),
        ("#eval 1", "runs the command #eval"),
        ("simp\n#exit", "runs the command #exit"),
        ('run_cmd IO.FS.writeFile "x" "y"', "runs programs"),
        ('have := "--"; run_cmd pure ()', "runs programs"),
        ("have c := '\"'; run_cmd pure ()", "runs programs"),
        ('have := r"\\"; run_cmd pure () --"', "runs programs"),
        ("/- /- -/ run_cmd x -/", "comment"),
        ('macro "x" : tactic => `(tactic| simp)', "changes what"),
        ('local notation "x" => 4', "changes what"),
        ("set_option debug.skipKernelTC true in simp", "sets the option debug.skipKernelTC"),
        ("instance : Foo := x", "changes what"),
        ("unsafe exact 1", "runs programs"),
        ('exact include_str "/etc/passwd"', "runs programs"),
        ("simp [«sorry»]", "unproved"),
    ],
)
def test_what_a_proof_may_not_hold(proof: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        lean_rules.continued(proof, STATEMENT)


@pytest.mark.parametrize(
    "proof",
    [
        "  subst h₀\n  rfl",
        "  -- no sorry here\n  omega",
        "  /- admit -/ omega",
        "  set_option maxHeartbeats 400000 in omega",
        "  norm_num [h₀, mul_comm]\n  nlinarith [sq_nonneg (x - 2)]",
        "  rw [h₀]; norm_num <;> simp_all",
        "  exact Nat.instance_lemma",
    ],
)
def test_honest_proofs_go_through_whole(proof: str) -> None:
    found = lean_rules.continued(proof, STATEMENT)
    assert found is not None
    assert found.command == f"{STATEMENT}\nby (\n{proof}\n)" and found.name == "two_two"


def test_native_evaluation_is_a_choice() -> None:
    assert lean_rules.continued("native_decide", STATEMENT, native=True) is not None


@pytest.mark.parametrize(
    ("text", "proof"),
    [
        ("  omega\n)\n```\nWrite a lean4", "  omega"),
        ("  omega\nWrite a lean4", "  omega"),
        ("  exact (f (x))\n)", "  exact (f (x))"),
        ("  exact (f (x)))\n```", "  exact (f (x))"),
        ("  omega", "  omega"),
    ],
)
def test_where_a_continued_proof_ends(text: str, proof: str) -> None:
    found = lean_rules.continued(text, STATEMENT)
    assert found is not None and found.command == f"{STATEMENT}\nby (\n{proof}\n)"


def test_an_empty_continuation_is_no_proof() -> None:
    assert lean_rules.continued("\n)\n```", STATEMENT) is None
    assert lean_rules.continued("", STATEMENT) is None


def test_a_whole_theorem_keeps_the_statement() -> None:
    squeezed = " ".join(STATEMENT.split())
    text = f"Sure:\n```lean4\n{HEADER}\nlemma aid : 1 = 1 := rfl\n\n{squeezed} by\n  omega\n```\n"
    found = lean_rules.whole(text, STATEMENT, HEADER)
    assert found is not None
    assert found.command == f"lemma aid : 1 = 1 := rfl\n{STATEMENT} by\n  omega"
    assert lean_rules.whole("```lean\nexample : 1 = 1 := rfl\n```", STATEMENT, HEADER) is None
    assert lean_rules.whole("", STATEMENT, HEADER) is None
    for edited in (
        squeezed.replace("= 4", "= 5 - 1"),
        squeezed.replace("(h₀ : x = 2)", "(h₀ : x = 2) (h : False)"),
        squeezed.replace(": Nat", ": Int"),
    ):
        with pytest.raises(Refused, match="was edited"):
            lean_rules.whole(f"```\n{edited} by\n  omega\n```", STATEMENT, HEADER)


@pytest.mark.parametrize(
    "before",
    [
        "def two := 3",
        "open Classical in\nlemma a : True := trivial\nopen Foo\nvariable (h : False)",
        "@[simp] theorem a : 1 = 2 := by simp",
        "lemma x : True := trivial",
        "lemma foo.Nat : True := trivial",
        'notation "4" => x',
    ],
)
def test_what_may_not_stand_before_the_theorem(before: str) -> None:
    with pytest.raises(Refused):
        lean_rules.whole(f"```\n{before}\n{STATEMENT} by simp\n```", STATEMENT, HEADER)


def test_the_papers_tactics() -> None:
    assert lean_rules.tactics("  a; b\n  · c <;> d\n\n;\n  e") == ["a", "b", "c <;> d", "e"]


# --- the conversation ------------------------------------------------------------------------

ERROR = {"severity": "error", "pos": {"line": 1, "column": 0}, "data": "unsolved goals\n⊢ False"}
UNUSED = {"severity": "warning", "pos": {"line": 1, "column": 0}, "data": "unused variable"}
SORRY = {"severity": "warning", "pos": {"line": 1, "column": 0}, "data": "declaration uses 'sorry'"}


def asked(proof: str) -> list[dict[str, Any]]:
    command = f"{STATEMENT}\nby (\n{proof}\n)"
    axioms = {"cmd": "#print axioms two_two", "env": 1}
    return [{"cmd": HEADER}, {"cmd": command, "env": 0}, axioms]


def axioms(text: str) -> dict[str, Any]:
    return {"messages": [{"severity": "info", "data": text}], "env": 2}


def whole_session(proof: str, answer: Any, last: Any = None) -> list[list[Any]]:
    answers = [{"env": 0}, answer, last or axioms("'two_two' does not depend on any axioms")]
    return [[one, two] for one, two in zip(asked(proof), answers, strict=True)]


def tactic_session(steps: list[tuple[str, dict[str, Any]]]) -> list[list[Any]]:
    opening: list[list[Any]] = [
        [{"cmd": HEADER}, {"env": 0}],
        [
            {"cmd": f"{STATEMENT} by sorry", "env": 0},
            {"sorries": [{"proofState": 0, "goal": "⊢ x + x = 4"}], "messages": [SORRY], "env": 1},
        ],
    ]
    return opening + [
        [{"tactic": step, "proofState": n}, answer] for n, (step, answer) in enumerate(steps)
    ]


STANDARD = "'two_two' depends on axioms: [propext,\n Classical.choice,\n Quot.sound]"
OPEN = {"proofState": 1, "goals": ["⊢ 2 + 2 = 4"]}
SESSIONS = [
    whole_session("omega", {"messages": [UNUSED], "env": 1}),
    whole_session("linarith", {"env": 1}, axioms(STANDARD)),
    whole_session("simp", {"messages": [ERROR], "env": 1}),
    whole_session("hides", {"messages": [SORRY], "env": 1}),
    whole_session("holes", {"sorries": [{"goal": "x"}], "env": 1}),
    whole_session("assumed", {"env": 1}, axioms("'two_two' depends on axioms: [cheat]")),
    whole_session("compiled", {"env": 1}, axioms("'two_two' depends on axioms: [x.trusted]")),
    whole_session("vague", {"env": 1}, axioms("who knows")),
    whole_session("parse", {"message": "Could not parse JSON"}),
    whole_session("forever", "hang"),
    whole_session("broken", "break off"),
    tactic_session([("subst h₀", OPEN), ("rfl", {"proofState": 2, "goals": []})]),
    tactic_session([("subst h₀", OPEN), ("simp", {"message": "simp made no progress"})]),
    tactic_session([("rw [h₀]", OPEN), ("norm_num", {"proofState": 2, "goals": ["⊢ False"]})]),
    tactic_session([("trick", {"proofState": 1, "goals": [], "proofStatus": "Incomplete: x"})]),
]


@pytest.fixture
def project() -> Iterator[LeanProject]:
    # Not below /tmp, where a cell has a directory of its own.
    root = Path(tempfile.mkdtemp(prefix="orch-lean-", dir="/var/tmp")).resolve()
    shutil.copy(Path(__file__).with_name("lean_replay.py"), root)
    (root / "lean_session.json").write_text(json.dumps(SESSIONS))
    root.chmod(0o755)
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    command = (python, "-S", "-B", str(root / "lean_replay.py"))
    yield LeanProject(root, command, (Path(python), *SYSTEM_LIBRARIES), {}, "recorded")
    shutil.rmtree(root)


@pytest.mark.parametrize(
    ("proof", "kind", "detail"),
    [
        ("omega", "passed", "rests on no axioms"),
        ("linarith", "passed", "rests on Classical.choice, Quot.sound, propext"),
        ("simp", "failed", "unsolved goals"),
        ("hides", "failed", "declaration uses 'sorry'"),
        ("holes", "failed", "leaves something unproved"),
        ("assumed", "failed", "the proof rests on cheat"),
        ("compiled", "failed", "the proof rests on x.trusted"),
        ("vague", "failed", "its axioms could not be learnt"),
        ("parse", "failed", "Could not parse JSON"),
        ("forever", "timeout", ""),
        ("broken", "crashed", "the REPL broke off"),
        ("unknown to the session", "infra_error", "no session starts with"),
        ("sorry", "failed", "leaves something unproved: sorry"),
        ("", "no_answer", "holds no proof"),
    ],
)
async def test_whole_proofs(project: LeanProject, proof: str, kind: str, detail: str) -> None:
    verifier = LeanVerifier(project, limits=LIMITS, jobs=1)
    reference = {"header": HEADER, "statement": STATEMENT, "code": "continue"}
    try:
        verdict = await verifier.verify(f"{proof}\n)\n```", reference)
    finally:
        await verifier.aclose()
    assert verdict.kind == kind and detail in verdict.detail, verdict


@pytest.mark.parametrize(
    ("text", "kind", "detail"),
    [
        ("  subst h₀\n  rfl\n)\n```", "passed", "closed by 2 of 4 tactics"),
        ("subst h₀; rfl", "passed", "closed by 2 of 2"),
        ("subst h₀\nsimp", "failed", "fail or leave goals open"),
        ("rw [h₀]\nnorm_num", "failed", "fail or leave goals open"),
        ("trick", "failed", "fail or leave goals open"),
        ("subst h₀\nsorry", "failed", "leaves something unproved: sorry"),
        ("\n \n", "no_answer", "holds no tactic"),
    ],
)
async def test_one_tactic_a_line(project: LeanProject, text: str, kind: str, detail: str) -> None:
    verifier = LeanVerifier(project, tactics=True, limits=LIMITS, jobs=1)
    reference = {"header": HEADER, "statement": STATEMENT, "code": "continue"}
    sessions = json.loads((project.root / "lean_session.json").read_text())
    if "4 tactics" in detail:
        ignored = [[{"tactic": one, "proofState": n}, {"message": "Unknown proof state."}]
                   for n, one in ((2, ")"), (3, "```"))]  # fmt: skip
        sessions.insert(0, sessions[11] + ignored)
        (project.root / "lean_session.json").write_text(json.dumps(sessions))
    try:
        verdict = await verifier.verify(text, reference)
    finally:
        await verifier.aclose()
    assert verdict.kind == kind and detail in verdict.detail, verdict


def test_what_is_missing_is_said_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORCH_LEAN_PROJECT", raising=False)
    monkeypatch.setenv("ELAN_HOME", str(tmp_path / "elan"))
    with pytest.raises(LeanMissing, match=r"install elan .*ORCH_LEAN_PROJECT"):
        find_project()
    with pytest.raises(LeanMissing, match="no Lean project"):
        find_project(tmp_path)
    (tmp_path / "lean-toolchain").write_text("leanprover/lean4:v4.9.0\n")
    with pytest.raises(LeanMissing, match=r"elan toolchain install leanprover/lean4:v4\.9\.0"):
        find_project(tmp_path)
    folder = tmp_path / "elan" / "toolchains" / "leanprover--lean4---v4.9.0"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "lean").touch()
    # Without the REPL, whole proofs go to `lean` itself, and only single tactics cannot be judged.
    found = find_project(tmp_path)
    assert found.form == "file" and found.command[1:] == ("--stdin", "--json")
    assert found.command[0] == str(folder / "bin" / "lean")
    with pytest.raises(LeanMissing, match=r"has none: add .*lake build repl"):
        LeanVerifier(found, tactics=True)
    for one in (".lake/packages/REPL/.lake/build/bin", ".lake/packages/mathlib/.lake/build/lib"):
        (tmp_path / one).mkdir(parents=True)
    (tmp_path / ".lake/packages/REPL/.lake/build/bin/repl").touch()
    found = find_project(tmp_path)
    assert found.form == "repl" and found.asks_axioms
    assert found.environment["LEAN_SYSROOT"] == str(folder)
    assert found.environment["LEAN_PATH"].endswith("mathlib/.lake/build/lib")
    with pytest.raises(TaskError, match="no Lean project"):
        load_task("minif2f", TaskOptions(lean_project=tmp_path / "elan")).verifier()


@pytest.mark.slow
@pytest.mark.skipif("ORCH_LEAN_PROJECT" not in os.environ, reason="no Lean project is named")
@pytest.mark.parametrize(
    ("statement", "proof", "kind"),
    [
        ("theorem t : 1 + 1 = 2 :=", "rfl", "passed"),
        ("theorem t : 1 + 1 = 3 :=", "rfl", "failed"),
        ("theorem t (p : Prop) : p ∨ ¬p :=", "exact Classical.em p", "passed"),
        ("theorem t : 1 + 1 = 2 :=", "simp made_up", "failed"),
        ("theorem t : 10 * 10 = 100 :=", "decide", "passed"),
    ],
)
async def test_a_real_lean(statement: str, proof: str, kind: str) -> None:
    verifier = LeanVerifier()
    reference = {"header": "import Init", "statement": statement, "code": "continue"}
    try:
        assert (await verifier.verify(proof, reference)).kind == kind
    finally:
        await verifier.aclose()
