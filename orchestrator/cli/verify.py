"""orch verify: Judge stored samples again, or a task's reference solutions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import json_option, out_option

if TYPE_CHECKING:
    from orchestrator.audit.rejudge import RejudgedArm
    from orchestrator.store.rows import ArmRow
    from orchestrator.tasks import TaskOptions
    from verifiers.trust import ReferenceCheck

SHOWN = 40


@click.command()
@click.argument("run", required=False)
@click.option(
    "--self-check",
    "task",
    metavar="TASK",
    envvar="ORCH_SELF_CHECK",
    help="Judge a task's own reference solutions instead of a run.",
)
@click.option(
    "--exclude-unsound",
    is_flag=True,
    help="With --self-check: print the line for a study file that leaves out the "
    "problems whose references fail.",
)
@click.option(
    "--repeat",
    type=click.IntRange(min=1),
    default=1,
    envvar="ORCH_REPEAT",
    help="Judge each distinct sample so often; the majority counts, flaky ones are told.",
)
@click.option(
    "--audit",
    is_flag=True,
    help="Judge everything that RUN accepted by a second, independent rule, and say which problems "
    "are solved by samples alone on which the two disagree.",
)
@click.option(
    "--verifier",
    envvar="ORCH_VERIFIER",
    help="Another verifier of the task, whose verdicts are stored beside the run's own.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="ORCH_DATA",
    help="The task's data set, as for `orch run`.",
)
@click.option(
    "--subset",
    type=click.Choice(["paper", "released", "all"]),
    default="paper",
    help="With --self-check: which problems.",
)
@click.option(
    "--per-problem",
    type=click.IntRange(min=0),
    default=0,
    help="With --self-check: at most so many reference solutions a problem; 0: all.",
)
@click.option(
    "--lean-project",
    type=click.Path(path_type=Path),
    envvar="ORCH_LEAN_PROJECT",
    help="The Lean project against which proofs are checked.",
)
@click.option(
    "--reward-model",
    metavar="URL",
    envvar="ORCH_REWARD_MODEL",
    help="Score the samples of RUN with the reward model that a vLLM server holds there, for "
    "best-of-N and the weighted vote in `orch report`.",
)
@click.option(
    "--reward-api",
    type=click.Choice(["classify", "pooling", "score"]),
    envvar="ORCH_REWARD_API",
    help="Which of the server's APIs; default: the first of them that answers.",
)
@click.option(
    "--reward-class",
    type=click.IntRange(min=0),
    envvar="ORCH_REWARD_CLASS",
    help="Of a model with several classes, the one whose probability is the reward.",
)
@click.option(
    "--reward-as-text",
    is_flag=True,
    help="Send prompt and sample as one text, to a reward model without a chat template.",
)
@click.option(
    "--reward-key-env",
    metavar="NAME",
    help="The variable that holds the key of a reward server that wants one.",
)
@click.option("--sandbox", envvar="ORCH_SANDBOX", help="The sandbox tier.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    envvar="ORCH_JOBS",
    help="How many are judged at once; default: one per core and one more.",
)
@out_option
@json_option
def verify(
    run: str | None,
    task: str | None,
    exclude_unsound: bool,
    repeat: int,
    audit: bool,
    verifier: str | None,
    data: Path | None,
    subset: Any,
    per_problem: int,
    lean_project: Path | None,
    reward_model: str | None,
    reward_api: Any,
    reward_class: int | None,
    reward_as_text: bool,
    reward_key_env: str | None,
    sandbox: str | None,
    jobs: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Judge stored samples of RUN again, or with --self-check a task's reference solutions.

    A run's own verdicts are never replaced; missing ones are filled in. With --reward-model the
    samples are scored instead; a server that you hold costs its time, which is no part of the
    run's budget nor of its dollars.
    """  # fmt: skip
    if reward_model is not None:
        if run is None or task is not None:
            raise click.UsageError("--reward-model scores the samples of a RUN: name one")
        from orchestrator.cli.scoring import score

        score(
            run, out, reward_model, api=reward_api, reward_class=reward_class,
            as_text=reward_as_text, key_env=reward_key_env, jobs=jobs, as_json=as_json,
        )  # fmt: skip
        return
    if (run is None) == (task is None):
        raise click.UsageError("give a RUN to judge again, or --self-check TASK")
    from orchestrator.tasks import TaskOptions
    from verifiers.sandbox.limits import default_jobs

    jobs = jobs or default_jobs()
    options = TaskOptions(
        data=data, subset=subset, sandbox=sandbox, jobs=jobs, lean_project=lean_project
    )
    if audit and (task is not None or verifier is not None or repeat > 1):
        raise click.UsageError("--audit chooses its own rule: give it with a RUN alone")
    if task is not None:
        _self_check(task, verifier, options, jobs, per_problem, exclude_unsound, as_json)
    else:
        _again(str(run), out, verifier, options, jobs, repeat, audit, as_json)


def _self_check(
    name: str, verifier: str | None, options: TaskOptions, jobs: int, per_problem: int,
    exclude_unsound: bool, as_json: bool,
) -> None:  # fmt: skip
    from orchestrator.audit.rejudge import check_references
    from orchestrator.errors import ConfigError
    from orchestrator.tasks import TaskError, load_task

    try:
        # References need no examples; without them nothing but the test split is read.
        from dataclasses import replace

        task = load_task(name, replace(options, prompt_form="chat"))
    except TaskError as error:
        raise ConfigError(str(error)) from None
    checked = asyncio.run(check_references(task, verifier, jobs, per_problem))
    unsound = [one for one in checked if one.sound is False]
    unknown = [one for one in checked if one.sound is None]
    if as_json:
        document = {
            "task": name,
            "problems": len(checked),
            "sound": sum(one.sound is True for one in checked),
            "unsound": [_checked(one) for one in unsound],
            "not_judged": [one.problem for one in unknown],
        }
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(
        f"{name}: {len(checked)} problems; the reference solutions of "
        f"{sum(one.sound is True for one in checked)} pass, of {len(unsound)} fail, "
        f"{len(unknown)} could not be checked."
    )
    for one in unsound[:SHOWN]:
        number, verdict = one.failed[0]
        click.echo(f"  {one.problem}: solution {number}: {verdict.kind}: {verdict.detail[:100]}")
    if len(unsound) > SHOWN:
        click.echo(f"  ... and {len(unsound) - SHOWN} more; --json lists all.")
    if exclude_unsound:
        click.echo("For the arm in a study file:")
        click.echo(f"exclude = {json.dumps([one.problem for one in unsound])}")


def _checked(one: ReferenceCheck) -> dict[str, Any]:
    return {
        "problem": one.problem,
        "solutions": one.outputs,
        "failed": [
            {"solution": number, "verdict": verdict.kind, "detail": verdict.detail}
            for number, verdict in one.failed
        ],
    }


def _again(
    run: str, out: Path, verifier: str | None, options: TaskOptions, jobs: int, times: int,
    audit: bool, as_json: bool,
) -> None:  # fmt: skip
    from dataclasses import replace

    from orchestrator.audit.rejudge import judge_again
    from orchestrator.store.reader import find_run

    def of(arm: ArmRow) -> TaskOptions:
        data = arm.spec.get("data")
        project = arm.spec.get("lean_project")
        return replace(
            options,
            data=options.data or (Path(data) if data else None),
            lean_project=options.lean_project or (Path(project) if project else None),
        )

    directory = find_run(run, out)
    if audit:
        from orchestrator.cli.auditing import audit as audit_it

        audit_it(directory, of, jobs, as_json=as_json)
        return
    reports = asyncio.run(
        judge_again(directory, of, verifier_name=verifier, times=times, jobs=jobs)
    )
    if as_json:
        click.echo(json.dumps([_document(one) for one in reports], indent=2))
        return
    for one in reports:
        for line in _lines(one):
            click.echo(line)


def _document(report: RejudgedArm) -> dict[str, Any]:
    against = report.against_run
    return {
        "arm": report.arm,
        "verifier": report.verifier,
        "stored_as": report.stored_as,
        "samples": report.samples,
        "distinct": report.distinct,
        "repeats": report.repeats,
        "flaky": report.flaky,
        "flaky_problems": report.flaky_problems,
        "known_flaky_problems": report.known_flaky,
        "solved": sum(report.solved.values()),
        "problems": len(report.solved),
        "solved_without_flaky": sum(report.steady.values()),
        "problems_without_flaky": len(report.steady),
        "kinds": dict(report.kinds),
        "changed": report.changed,
        "filled": report.filled,
        "precision_of_run": against.precision,
        "recall_of_run": against.recall,
    }


def _flaky_lines(report: RejudgedArm) -> list[str]:
    """Which problems are flaky, and what is solved with and without them."""
    lines = []
    for told, names in (
        ("Flaky here", report.flaky_problems), ("Flaky by the task's word", report.known_flaky)
    ):  # fmt: skip
        if names:
            more = f", and {len(names) - SHOWN} more (--json lists all)"
            lines.append(
                f"  {told}: {', '.join(names[:SHOWN])}{more if len(names) > SHOWN else ''}."
            )
    if lines:
        lines.append(
            f"  Solved: {sum(report.solved.values())} of {len(report.solved)} problems; "
            f"{sum(report.steady.values())} of {len(report.steady)} without the flaky ones."
        )
    return lines


def _lines(report: RejudgedArm) -> list[str]:
    kinds = ", ".join(f"{number} {kind}" for kind, number in report.kinds.most_common())
    lines = [
        f"{report.arm}: {report.samples} samples judged by {report.verifier} "
        f"({report.distinct} distinct): {kinds or 'none'}.",
    ]
    if report.repeats > 1:
        rate = report.flaky / report.distinct if report.distinct else 0.0
        lines.append(
            f"  {report.flaky} of {report.distinct} distinct samples are flaky ({rate:.2%}) over "
            f"{report.repeats} verdicts each; the majority is stored as {report.stored_as}."
        )
    lines += _flaky_lines(report)
    lines.append(f"  {report.changed} differ from the run's verdict; {report.filled} had none.")
    precision = report.against_run.precision
    if precision is not None and report.against_run.search_only + report.against_run.gold_only:
        lines.append(f"  Of what the run accepted, {precision:.1%} pass here as well.")
    return lines
