"""HumanEval's reference solutions in every form in which a model may write a program.

    python benchmarks/program_forms.py [--every N] [--only FORM ...]

Each form holds the same program: labels of fences, indentation, drafts before it, thoughts, tags,
transcripts, tokens of chat templates, prose around it, and the function's body as a completion.
All 164 must pass in each; what does not is listed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping
from textwrap import indent
from typing import Any

from orchestrator.tasks import TaskOptions, load_task
from verifiers.program import ProgramVerifier
from verifiers.program_rules import program
from verifiers.sandbox import Limits

Form = Callable[[str, str], str]
"""Takes the program and a wrong draft of it."""


def _around(before: str, after: str = "") -> Form:
    return lambda code, draft: f"{before}{code}\n{after}".replace("DRAFT", draft)


def _fenced(opening: str, before: str = "", after: str = "", width: int = 3) -> Form:
    return _around(f"{before}{'`' * width}{opening}\n", f"{'`' * width}{after}")


def _moved(width: int, before: str) -> Form:
    def form(code: str, draft: str) -> str:
        return before + "\n\n" + indent(f"```python\n{code}\n```", " " * width)

    return form


def _session(code: str, draft: str) -> str:
    lines = code.strip("\n").split("\n")
    return "\n".join(f"{'...' if n else '>>>'} {line}" for n, line in enumerate(lines)) + "\n"


FORMS: dict[str, Form] = {
    "bare": _around(""), "fence": _fenced("python"), "no label": _fenced(""),
    "py3": _fenced("py3"), "title": _fenced('python title="a.py"'), "upper": _fenced("PYTHON"),
    "pandoc": _fenced("{.python}"), "five": _fenced("python", width=5),
    "tilde": _around("~~~python\n", "~~~"), "no opening": _around("", "```\n"),
    "no end": _around("Here:\n```python\n"), "in a line": _fenced("python", "Here is the code: "),
    "moved by 3": _moved(3, "1. Code:"), "moved by 4": _moved(4, "1. Code:"),
    "prose": _around("Here is the code:\n\n", "\nThis adds one to its argument."),
    "code tag": _around("<code>\n", "</code>"), "answer tag": _around("<answer>\n", "</answer>"),
    "pre tag": _around("<pre><code>\n", "</code></pre>"), "done": _around("", "[DONE]\n"),
    "colour": _fenced("python", "\x1b[0m", "\x1b[0m"),
    "end of text": _fenced("python", after="<|endoftext|>"),
    "end of turn": _fenced("python", after="<|im_end|>\n<|im_start|>user\n```python\nDRAFT\n```"),
    "thoughts": _fenced("python", "<think>\n```python\nDRAFT\n```\nno.\n</think>\n\n"),
    "torn thoughts": _fenced("python", "<think>\n```python\nDRAFT\nno.\n</think>\n\n"),
    "thoughts, bare": _around("<think>\nadd one\n</think>\n"),
    "channels": _fenced(
        "python",
        "<|channel|>analysis<|message|>```python\nDRAFT\n```<|end|>"
        "<|start|>assistant<|channel|>final<|message|>",
        "<|return|>",
    ),
    "draft first": _fenced("python", "Try:\n```python\nDRAFT\n```\nWrong. Better:\n"),
    "torn after": _fenced("python", after="\nAnd again:\n```python\nDRAFT"),
    "usage after": _fenced("python", after="\nFor example:\n```python\nprint(1)\n```"),
    "output after": _fenced("python", after="\nOutput:\n```\n6\n```"),
    "shell after": _fenced("python", after="\n```bash\npython a.py\n```"),
    "input first": _fenced("python", "Input:\n```\n1\n```\n"), "session": _session,
    "windows": lambda code, draft: f"```python\n{code}\n```\n".replace("\n", "\r\n"),
    "quoted": lambda code, draft: indent(f"```python\n{code}\n```", "> ", lambda line: True),
}  # fmt: skip
BODIES: dict[str, Form] = {
    "body": _around(""), "body and fence": _around("", "```\n"),
    "body and end of text": _around("", "<|endoftext|>"),
    "body, first blanks lost": lambda body, draft: body.lstrip(" "),
    "body, one blank lost": lambda body, draft: body.removeprefix(" "),
    "body and prose": _around("", "\nThis function does what was asked."),
    "body and a torn function": _around("", "\ndef helper(a):\n    return (a +"),
}  # fmt: skip


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="of the problems, each N-th")
    parser.add_argument("--only", nargs="*", choices=[*FORMS, *BODIES])
    given = parser.parse_args()
    task = load_task("humaneval", TaskOptions(prompt_form="completion"))
    problems = list(task.reference_outputs())[:: given.every]
    verifier = ProgramVerifier(limits=Limits(wall_s=20, cpu_s=20))

    async def one(name: str, reference: Mapping[str, Any], body: str) -> str:
        before, tests = reference["code"]["before"], reference["tests"]
        draft = f"{before}    return 'draft', 17"
        how: dict[str, Any] = {"rule": "block", "entry": tests["entry"]}
        if name in FORMS:
            text = FORMS[name](f"{before}{body}".rstrip(), draft)
        else:
            text, how = BODIES[name](body.rstrip(), draft), {**reference["code"], **how}
            how["rule"] = "completion"
        found = program(text, how)
        verdict = await verifier.judge(found.source if found else "", tests)
        return verdict.kind

    missed = 0
    try:
        for name in given.only or [*FORMS, *BODIES]:
            jobs = (one(name, problem.reference, outputs[0]) for problem, outputs in problems)
            kinds = await asyncio.gather(*jobs)
            bad = [p.id for (p, _), kind in zip(problems, kinds, strict=True) if kind != "passed"]
            missed += len(bad)
            print(f"{name}: {len(kinds) - len(bad)} of {len(kinds)} {bad[:5]}", flush=True)
    finally:
        await verifier.aclose()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
