"""GSM8K (Cobbe et al. 2021) as in "Large Language Monkeys": grade-school word problems.

Raw completions with five examples per problem, drawn at random from the train split, in blocks
of `Question:` and `Answer:` with the gold solution's calculator marks. The chat form puts the
same examples into turns. 128 problems of the test split; the published samples have 127, without
index 1042, whose label is wrong (3 instead of 3.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.tasks import paper
from orchestrator.tasks.answers import answer_verifiers
from orchestrator.tasks.base import Problem, SamplingDefaults, TaskError, TaskOptions, chosen
from orchestrator.tasks.records import DatasetRow, Source, Table, text
from verifiers.answer_paper import gsm8k_answer
from verifiers.verdict import Verifier

SOURCE = Source(
    task="gsm8k",
    repo="openai/gsm8k",
    config="main",
    revision="e53f048856ff4f594e959d75785d2c2d37b678ee",
    splits={"train": "train", "test": "test"},
)
MISLABELLED = 1042
_COLUMNS = ("question", "answer")
_CHAT = (
    "Solve the problem step by step. End with a line that holds #### and then the answer as a "
    "number alone."
)


class Gsm8kTask:
    """Problems `gsm8k/INDEX`, INDEX counting in the test split."""

    name = "gsm8k"
    version = "1"
    defaults = SamplingDefaults(temperature=0.6, max_tokens=512, stop=("Q:", "Question:"))

    def __init__(self, options: TaskOptions) -> None:
        self._options = options
        self._shots = 5 if options.few_shot_count is None else options.few_shot_count
        if options.few_shot is not None:
            raise TaskError(
                "The task gsm8k draws its examples from the train split: no --few-shot-file"
            )

    def problems(self) -> list[Problem]:
        """The paper's problems in its order, or with `all` the test split; raises TaskError."""
        train, test = (SOURCE.open(split, self._options) for split in ("train", "test"))
        pool = list(train.scan(_COLUMNS))
        rows = list(test.scan(_COLUMNS))
        draws = paper.draw(len(pool), len(rows), self._shots, self._options.few_shot_seed)
        order: list[int] = list(draws.order[: paper.SUBSET])
        if self._options.subset == "released":
            order.remove(MISLABELLED)
        elif self._options.subset == "all":
            order = list(range(len(rows)))
        used = {example for index in order for example in draws.examples[index]}
        examples = {one: (_question(train, one, pool[one]), pool[one]["answer"]) for one in used}
        return [
            self._problem(test, index, rows[index], [examples[e] for e in draws.examples[index]])
            for index in order
        ]

    def verifier(self, name: str | None = None) -> Verifier:
        """`math-verify` (the default) or `paper`; raises TaskError."""
        return chosen(self.name, name, answer_verifiers("gsm8k", self._options))

    def reference_outputs(self) -> Iterator[tuple[Problem, list[str]]]:
        """Yield every problem with the data set's own solution."""
        rows = list(SOURCE.open("test", self._options).scan(_COLUMNS))
        for problem in self.problems():
            yield problem, [rows[int(problem.id.rpartition("/")[2])]["answer"]]

    def _problem(
        self, table: Table, index: int, row: DatasetRow, examples: list[tuple[str, str]]
    ) -> Problem:
        question = _question(table, index, row)
        answer = gsm8k_answer(row["answer"])
        if answer is None:
            raise TaskError(f"{table.place(index)}: the field 'answer' has no '#### NUMBER'.")
        identity, reference = f"gsm8k/{index}", {"answer": answer}
        if self._options.prompt_form == "chat":
            return Problem(identity, None, _chat(question, examples), reference)
        blocks = [f"Question: {asked}\nAnswer: {solved}\n\n" for asked, solved in examples]
        prompt = "".join(blocks) + f"Question: {question}\nAnswer:"
        return Problem(identity, prompt, None, reference)


def _question(table: Table, index: int, row: DatasetRow) -> str:
    text(table, index, row, "answer")
    return text(table, index, row, "question")


def _chat(question: str, examples: list[tuple[str, str]]) -> tuple[Mapping[str, str], ...]:
    messages: list[Mapping[str, str]] = [{"role": "system", "content": _CHAT}]
    for asked, solved in examples:
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": solved})
    return (*messages, {"role": "user", "content": question})


TASKS = {"gsm8k": Gsm8kTask}
