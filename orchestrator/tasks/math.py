"""MATH (Hendrycks et al. 2021) as in "Large Language Monkeys": competition problems.

Raw completions with Minerva's four fixed examples (the paper speaks of five, its code holds
four). Their texts are problems and solutions of the train split, from which they are taken, with
the published prompt's two slips: a stray brace in the first problem, and one backslash where
LaTeX has two at line ends. The prompt so built is checked against the published one's digest;
`--few-shot-file FILE` gives another text, or the paper's own prompts.py. The chat form asks for a
boxed answer, without examples.

The paper's data set, hendrycks/competition_math, is no longer served; the pinned mirror holds
its 7,500 train rows and then its 5,000 test rows in one split.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from orchestrator.tasks import paper
from orchestrator.tasks.answers import answer_verifiers
from orchestrator.tasks.base import (
    Problem,
    SamplingDefaults,
    TaskError,
    TaskOptions,
    as_user_message,
    chosen,
)
from orchestrator.tasks.records import Source, Table, text
from verifiers.answer_paper import boxed
from verifiers.verdict import Verifier

SOURCE = Source(
    task="math",
    repo="qwedsacf/competition_math",
    revision="e839825f9ec5c6cfa585c654a59610969ec13993",
    splits={"train": "train[:7500]", "test": "train[7500:]"},
)
PROMPT_DIGEST = "cf554c636c1223bc176d80669b7f4a29c6205ccae73ac61dfaadaf1c5b075a03"
"""SHA-256 of the constant MATH_COT_PROMPT of the paper's prompts.py."""
EXAMPLES = (
    ("Find the domain of the expression", "sqrt{5-x}"),
    ("If $\\det \\mathbf{A} = 2$ and", "then find $\\det (\\mathbf{A}"),
    ("Terrell usually lifts two 20-pound", "weights 12 times"),
    ("If the system of equations", "6x-4y&=a"),
)
"""By which the four examples are found among the train split's problems: start and a part."""
_SHOTS_DRAWN = 5
"""The paper's code drew five examples per problem and threw them away; the subset depends on it."""
_COLUMNS = ("problem", "solution")
_CHAT = "Solve the problem step by step, and put the final answer into \\boxed{}."


class MathTask:
    """Problems `math/INDEX`, INDEX counting in the test split."""

    name = "math"
    version = "1"
    defaults = SamplingDefaults(temperature=0.6, max_tokens=512, stop=("Problem:",))

    def __init__(self, options: TaskOptions) -> None:
        self._options = options
        if options.few_shot_count not in (None, 0, len(EXAMPLES)):
            raise TaskError(
                "The task math has four fixed examples: --few-shot-count takes 0 or 4; "
                "another text comes by --few-shot-file FILE."
            )

    def problems(self) -> list[Problem]:
        """The paper's problems in its order, or with `all` the test split; raises TaskError."""
        train, test = (SOURCE.open(split, self._options) for split in ("train", "test"))
        rows = list(test.scan(_COLUMNS))
        order = list(range(len(rows)))
        chat = self._options.prompt_form == "chat"
        if self._options.subset != "all" or not chat:
            pool = list(train.scan(_COLUMNS))
        if self._options.subset != "all":
            seed = self._options.few_shot_seed
            order = list(paper.draw(len(pool), len(rows), _SHOTS_DRAWN, seed).order[: paper.SUBSET])
        start = "" if chat else self._examples(train)
        problems: list[Problem] = []
        for index in order:
            asked = text(test, index, rows[index], "problem")
            answer = boxed(text(test, index, rows[index], "solution"))
            if answer is None:
                raise TaskError(f"{test.place(index)}: the field 'solution' has no \\boxed answer.")
            identity, reference = f"math/{index}", {"answer": answer}
            if chat:
                messages = as_user_message(f"{_CHAT}\n\n{asked}")
                problems.append(Problem(identity, None, messages, reference))
            else:
                prompt = f"{start}Problem:\n{asked}\n\nSolution:"
                problems.append(Problem(identity, prompt, None, reference))
        return problems

    def verifier(self, name: str | None = None) -> Verifier:
        """`math-verify` (the default) or `paper`; raises TaskError."""
        return chosen(self.name, name, answer_verifiers("math", self._options))

    def reference_outputs(self) -> Iterator[tuple[Problem, list[str]]]:
        """Yield every problem with the data set's own solution, closed as the prompt asks."""
        rows = list(SOURCE.open("test", self._options).scan(_COLUMNS))
        for problem in self.problems():
            solution = rows[int(problem.id.rpartition("/")[2])]["solution"]
            yield problem, [closed(solution, problem.reference["answer"])]

    def _examples(self, train: Table) -> str:
        if self._options.few_shot_count == 0:
            return ""
        if self._options.few_shot is not None:
            given = paper.fixed_prompt(self._options.few_shot, "MATH_COT_PROMPT", PROMPT_DIGEST)
            return f"{given.rstrip()}\n\n"
        built = "\n\n".join(_block(train, *example) for example in EXAMPLES)
        built = _with_slips(built)
        if hashlib.sha256(built.encode()).hexdigest() != PROMPT_DIGEST:
            raise TaskError(
                "The four examples of this train split do not give the paper's prompt; download "
                f"{paper.PROMPTS} of {paper.REPOSITORY} at {paper.PROMPTS_COMMIT[:12]} and give it "
                "with --few-shot-file prompts.py, or use --few-shot-count 0."
            )
        return f"{built}\n\n"


def closed(solution: str, answer: str) -> str:
    """A solution with the prompt's closing sentence."""
    return f"{solution}\nFinal Answer: The final answer is ${answer}$. I hope it is correct."


def _block(train: Table, start: str, part: str) -> str:
    for row in train.scan(_COLUMNS):
        problem = " ".join(str(row["problem"]).split())
        if problem.startswith(start) and part in problem:
            answer = boxed(row["solution"]) or ""
            return f"Problem:\n{row['problem']}\n\nSolution:\n{closed(row['solution'], answer)}"
    raise TaskError(
        f"{train.where} lacks the problem that starts {start!r}, one of the prompt's four "
        "examples; give the whole train split, or --few-shot-file FILE."
    )


def _with_slips(prompt: str) -> str:
    first, _, rest = prompt.partition("\n\nSolution:")
    first = re.sub(r"expression\s+\$", "expression  $", first.removesuffix("}")) + "}"
    return f"{first}\n\nSolution:{rest}".replace("\\\\\n", "\\\n")


TASKS = {"math": MathTask}
