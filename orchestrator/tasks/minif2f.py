"""MiniF2F-MATH as in "Large Language Monkeys": 130 formal problems in Lean 4, to be proved.

The test problems whose id holds `mathd`. Raw completions with five fixed examples: theorems of
the validation split with proofs that stand in no data set, only in the paper's prompts.py. That
file is taken from the folder of the data, or fetched once from the paper's repository at its
commit, and checked by digest; another text can be given instead. The theorem's name is hidden, as
in the paper, whose rewriting also loses the keyword before it. The chat form shows the whole
statement and asks for it with its proof.
"""

from __future__ import annotations

import re

from orchestrator.tasks import paper
from orchestrator.tasks.base import (
    Problem,
    SamplingDefaults,
    TaskError,
    TaskOptions,
    as_user_message,
    chosen,
)
from orchestrator.tasks.proofs import proof_verifiers
from orchestrator.tasks.records import DatasetRow, Source, Table, text
from verifiers.verdict import Verifier

SOURCE = Source(
    task="minif2f",
    repo="cat-searcher/minif2f-lean4",
    revision="70a1249ce240667f6bcdd1ccd62f847f0e065d57",
    splits={"test": "test"},
)
PROMPT_DIGEST = "86af71096139cb56c1030854a969e888dbffe8b4a0655633686608a75070bacf"
"""SHA-256 of the constant MINIF2F_FEW_SHOT_PROMPT of the paper's prompts.py."""
_COLUMNS = ("id", "formal_statement", "header")
_INSTRUCTION = (
    "Write a lean4 proof to the provided formal statement. You have access to the standard "
    "mathlib4 library.\n"
)
_CHAT = (
    "Prove this theorem in Lean 4 with Mathlib. Answer with the theorem, unchanged, and its "
    "whole proof in one code block, without sorry."
)


class MiniF2fTask:
    """Problems by the data set's ids (`mathd_...`), in its order."""

    name = "minif2f"
    version = "1"
    defaults = SamplingDefaults(
        temperature=0.5, max_tokens=200, stop=("Write a lean4",), keep_stop=True
    )

    def __init__(self, options: TaskOptions) -> None:
        self._options = options
        self._chat = options.prompt_form == "chat"
        if options.few_shot_count not in (None, 0, 5):
            raise TaskError("The task minif2f has five fixed examples: --few-shot-count 0 or 5.")
        if self._chat:
            self.defaults = SamplingDefaults(temperature=0.5, max_tokens=1024)

    def problems(self) -> list[Problem]:
        """The paper's problems, or with `all` the whole test split; raises TaskError."""
        table = SOURCE.open("test", self._options)
        examples = "" if self._chat else self._examples()
        return [
            self._problem(table, index, row, examples)
            for index, row in enumerate(table.scan(_COLUMNS))
            if self._options.subset == "all" or "mathd" in text(table, index, row, "id")
        ]

    def verifier(self, name: str | None = None) -> Verifier:
        """`lean` (whole proofs, the default) or `lean-tactics` (the paper's); raises TaskError."""
        return chosen(self.name, name, proof_verifiers(self._options))

    def _examples(self) -> str:
        if self._options.few_shot_count == 0:
            return ""
        given = self._options.few_shot or paper.published_prompts(self._options.data)
        if given is None:
            raise TaskError(
                "The five example proofs of the task minif2f stand in no data set and could not be "
                f"fetched: download {paper.PROMPTS_ADDRESS} and give it with --few-shot-file, or "
                "put it into the folder of --data; or give a text of your own with "
                "--few-shot-file, or leave the examples out with --few-shot-count 0."
            )
        return paper.fixed_prompt(given, "MINIF2F_FEW_SHOT_PROMPT", PROMPT_DIGEST)

    def _problem(self, table: Table, index: int, row: DatasetRow, examples: str) -> Problem:
        fields = {name: text(table, index, row, name) for name in _COLUMNS}
        statement = fields["formal_statement"].replace(" sorry", "").replace("sorry", "")
        header = fields["header"]
        reference = {"header": header, "statement": statement, "code": "continue"}
        if self._chat:
            reference["code"] = "block"
            shown = f"```lean4\n{header}\n{statement.rstrip()} by\n  sorry\n```"
            return Problem(fields["id"], None, as_user_message(f"{_CHAT}\n\n{shown}"), reference)
        prompt = f"{_INSTRUCTION}```{header}\n{statement}\nby (\n"
        prompt = re.sub(r"theorem\s+\w+\s*\n", "theorem6\n", prompt)
        return Problem(fields["id"], examples + prompt, None, reference)


TASKS = {"minif2f": MiniF2fTask}
