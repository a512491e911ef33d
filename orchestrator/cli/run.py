"""orch run: Buy attempts under a budget, judge them, report coverage per dollar."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from orchestrator.cli.directories import run_name, run_to_resume
from orchestrator.cli.held import use_held
from orchestrator.cli.options import option

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.plan.prepare import Prepared
    from orchestrator.plan.study import Study
    from orchestrator.plan.typed import Typed
    from orchestrator.session.end import Ending
    from orchestrator.session.progress import Display
    from orchestrator.session.session import RunOptions

ARM_KEYS = (
    "provider", "model", "task", "samples", "policy", "n_per_request", "temperature", "top_p",
    "max_tokens", "stop", "base_url", "gpu_hour", "gpus", "batch", "prompt_style", "data",
    "system", "reasoning_effort", "extra_body", "headers",
    "verifier", "few_shot_file", "few_shot_count", "subset", "lean_project", "servers", "launch",
    "gpu_ids", "tensor_parallel", "data_parallel",
    "agent", "agent_image", "agent_paths", "agent_time_s", "harbor_python", "harbor_args",
    "call_budget", "attempt_budget", "attempt_calls", "problem_budget",
)  # fmt: skip
STUDY_KEYS = (
    "budget", "seed", "limit", "filter", "shuffle", "max_concurrent", "max_retries", "timeout_s",
    "server_patience",
    "limits", "prices", "judge_jobs", "name", "target_coverage",
    "sandbox", "max_file_mb", "agent_jobs",
)  # fmt: skip
DOLLARS = ("budget", "gpu_hour", "call_budget", "attempt_budget", "problem_budget")

Last = Callable[[], int]


@click.command()
@click.argument("study", required=False, type=click.Path(path_type=Path))
@option("--provider", help="local, openai, anthropic, deepseek, vllm, compatible, ...")
@option("--model", "-m", help="Model name; with --provider local and none: the bundled model.")
@option("--task", help="Task name or your own FILE.jsonl (id, prompt or messages, answer).")
@option("--samples", "-n", type=int, help="Attempts per problem.")
@option("--budget", metavar="USD", help="The most that this run may spend.")
@option("--base-url", metavar="URL", multiple=True,
        help="Address of an OpenAI-compatible server; repeatable: several of a model.")  # fmt: skip
@option("--servers", metavar="FILE", help="Addresses of servers, one a line; read again when it "
        "changes.")  # fmt: skip
@option("--launch", metavar="auto|N", help="Start local servers: one for each GPU group, or N.")
@option("--gpu-ids", metavar="0,1,...", help="GPUs for --launch.  [default: all]")
@option("--tensor-parallel", type=int, metavar="T", help="GPUs that one copy of the model takes.")
@option("--data-parallel", type=int, metavar="D", help="Copies of the model in one server.")
@option("--server-arg", "server_args", multiple=True, metavar="ARGS",
        help="Further arguments of launched servers; never read from a study file.")  # fmt: skip
@option("--vllm", metavar="PATH", help="The vLLM to launch: its command, its Python or its "
        "environment.  [default: the one here, or on PATH]")  # fmt: skip
@option("--lease", "lease_s", type=click.FloatRange(min=5), metavar="S",
        help="A launched server ends when orch is silent for so long.  [default: 60]")  # fmt: skip
@option("--use-held/--no-use-held", default=None, help="Instead of launching, use servers of the "
        "model that `orch serve` holds.  [default: asked on a terminal, else no]")  # fmt: skip
@option("--api-key-env", multiple=True, metavar="VAR[@HOST]", help="Variable with the key for a "
        "host, such as CORP_KEY@https://llm.example; repeatable. Without @HOST: for --base-url, or "
        "the provider's own host.")  # fmt: skip
@option("--gpu-hour", metavar="USD", help="What the server costs an hour (times --gpus).")
@option("--gpus", type=int, help="GPUs of the server.")
@option("--batch/--no-batch", default=None,
        help="Buy through the provider's batch API: within a day, at its batch price.")  # fmt: skip
@option("--prices", metavar="FILE", help="TOML with prices of your own.")
@option("--policy", help="uniform (default): the same number of attempts for every problem.")
@option("--n-per-request", metavar="auto|N", help="Choices per request.")
@option("--temperature", type=float)
@option("--top-p", type=float)
@option("--max-tokens", type=int)
@option("--stop", multiple=True, help="Stop string; repeatable.")
@option("--seed", type=int, help="Seed of the study; every request's seed follows from it.")
@option("--prompt-style", metavar="chat|completion")
@option("--system", metavar="TEXT", help="A system prompt before every problem's messages.")
@option("--reasoning-effort", metavar="WORD", help="How much a reasoning model thinks, in its "
        "API's own words: low, medium, high.")  # fmt: skip
@option("--extra-body", metavar="JSON", help="Further body fields, such as '{\"top_k\": 20}'.")
@option("--header", "headers", multiple=True, metavar="'NAME: VALUE'",
        help="A further header of every request; repeatable. Keys: --api-key-env.")  # fmt: skip
@option("--verifier", metavar="NAME",
        help="Another verifier of the task, or your own: FILE.py:function, 'command PROGRAM', "
        "regex:PATTERN, contains:TEXT.")  # fmt: skip
@option("--data", metavar="PATH", help="Local data for the task.")
@option("--few-shot-file", metavar="FILE", help="Few-shot text for tasks that take one.")
@option("--few-shot-count", type=int, metavar="N",
        help="Examples in a prompt, for tasks that have some.")  # fmt: skip
@option("--limit", type=int, help="Only the first N problems.")
@option("--filter", metavar="REGEX", help="Only problems whose id matches.")
@option("--shuffle", type=int, metavar="SEED", help="Shuffle the problems before --limit.")
@option("--max-concurrent", metavar="auto|N|MIN-MAX", help="Requests in flight.")
@option("--limits", metavar="NAME", help="A provider's rate limits by profile name.")
@option("--max-retries", type=int, help="Tries after the first, rate limits not counted.")
@option("--timeout-s", type=float, help="Total seconds of one request; one that is cut is kept "
        "as a censored draw.")  # fmt: skip
@option(
    "--server-patience",
    type=float,
    metavar="S",
    help="Wait so long for a server that is dead, or lets nothing pass.",
)
@option("--subset", metavar="paper|released|all", help="Which problems of the task's data.")
@option("--exclude-unsound", is_flag=True, help="Judge the task's own reference solutions first, "
        "and leave out the problems whose references fail.")  # fmt: skip
@option("--lean-project", metavar="DIR", help="Lean project against which proofs are checked.")
@option("--max-file-mb", type=click.IntRange(min=1), metavar="MIB",
        help="The largest task file that is read; 512 MiB unless told otherwise.")  # fmt: skip
@option("--target-coverage", type=float, metavar="SHARE", help="Stop an arm once this share of "
        "its problems is solved, looked at when k = 1, 2, 5, 10, ... are judged.")  # fmt: skip
@option("--sandbox", metavar="NAME", help="Sandbox tier for judging; see `orch doctor`.")
@option("--agent", metavar="COMMAND", help="An attempt is a run of this command, with {problem}, "
        "{workdir}, {output} and {model} filled in; see docs/agents.md.")  # fmt: skip
@option("--agent-image", metavar="IMAGE", help="Container image in which agents run; without one "
        "they run in the cell.")  # fmt: skip
@option("--agent-path", "agent_paths", multiple=True, metavar="PATH",
        help="A path of this machine that agents may read; repeatable.")  # fmt: skip
@option("--harbor-python", metavar="PATH", help="Interpreter that has Harbor, for "
        "--agent harbor:NAME.  [found]")  # fmt: skip
@option("--harbor-arg", "harbor_args", multiple=True, metavar="NAME=JSON",
        help="Argument for an agent of Harbor's; repeatable.")  # fmt: skip
@option("--agent-time-s", type=float, help="Seconds of one attempt.  [1800]")
@option("--agent-jobs", type=click.IntRange(min=1), help="Agents at work at once.  [cores]")
@option("--attempt-budget", metavar="USD", help="Dollars of one attempt; what it has then counts.")
@option("--attempt-calls", type=click.IntRange(min=1), help="Calls of one attempt.")
@option("--call-budget", metavar="USD", help="Dollars that one call may cost at worst.")
@option("--problem-budget", metavar="USD", help="Dollars of all attempts at one problem.")
@option("--i-trust-this-code", is_flag=True, help="With --sandbox none: judge without a sandbox; "
        "with --agent: run it without.")  # fmt: skip
@option("--judge-jobs", type=int, help="Verifiers at work at once.")
@option("--dry-run", is_flag=True, help="Price the plan; nothing is bought.")
@option("--pilot", type=click.IntRange(min=1), metavar="N",
              help="Buy the first N samples per problem, forecast the rest, then ask.")  # fmt: skip
@option("--confirm-over", metavar="USD", default="25", show_default=True,
        help="Ask before a plan that may cost more (0: always); a script needs --yes.")  # fmt: skip
@option("--yes", "-y", is_flag=True, help="Agree to the plan's price.")
@option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
        help="Where run directories are made.")  # fmt: skip
@option("--name", help="Name of the run directory.")
@option("--resume", is_flag=False, flag_value="", default=None, metavar="[RUN]",
              help="Continue a run: its directory or name; without one, the newest.")  # fmt: skip
@option("--display", type=click.Choice(["auto", "live", "plain", "none"]), default="auto")
@option("--json", "as_json", is_flag=True, help="Print the report as JSON on standard output.")
def run(**given: Any) -> None:
    """Buy attempts under a budget, judge each, and report coverage per dollar.

    Settings come from the command line, then ORCH_ variables, then the STUDY.toml.
    """
    from orchestrator.errors import ConfigError, OrchError
    from orchestrator.plan.study import refuse_odd_path
    from orchestrator.plan.typed import server_arguments

    given = {key: value for key, value in given.items() if value is not None and value != ()}
    how = How(
        resume="resume" in given,
        display=given.pop("display"),
        typed=what_was_typed(
            given.pop("api_key_env", ()), trust=given.pop("i_trust_this_code")
        )._replace(
            vllm=given.pop("vllm", ""),
            server_args=server_arguments(given.pop("server_args", ())),
            lease_s=given.pop("lease_s", 0.0),
        ),
        as_json=given.pop("as_json"),
        dry_run=given.pop("dry_run"),
        pilot=given.pop("pilot", 0),
        confirm_over=given.pop("confirm_over"),
        yes=given.pop("yes"),
    )
    exclude_unsound, given_use_held = given.pop("exclude_unsound"), given.pop("use_held", None)
    out, resume = given.pop("out"), given.pop("resume", None)
    study_file = given.pop("study", None)
    for given_path in (out, study_file, resume, given.get("name")):
        if given_path:
            refuse_odd_path(str(given_path))
    directory = None
    if resume is not None:
        if study_file is not None:
            raise ConfigError("Give either STUDY.toml or --resume: a run has its own study.toml.")
        directory = run_to_resume(resume or given.get("name", ""), out)
        study_file = directory / "study.toml"
    study = build_study(given, study_file)
    held = use_held(study, given_use_held)
    how = how._replace(typed=how.typed._replace(use_held=held))
    directory = directory or out / run_name(study)
    if how.resume:
        from orchestrator.session.stamps import keep_verifiers

        study = keep_verifiers(study, directory)
    # A resumed run's own study already names what it leaves out.
    if exclude_unsound and not how.resume:
        study = without_unsound_problems(study)
    try:
        last = asyncio.run(run_study(study, directory, how))
        code = last()
    except (OrchError, click.ClickException, click.Abort):
        raise
    except Exception as error:
        from orchestrator.cli.escaped import told

        raise told(error, directory / "logs") from None
    sys.exit(code)


def what_was_typed(keys: tuple[str, ...], *, trust: bool) -> Typed:
    """What stood on the command line itself; raises ConfigError."""
    from click.core import ParameterSource

    from orchestrator.errors import ConfigError
    from orchestrator.plan.typed import Typed
    from providers.bindings import read_bindings
    from providers.errors import ProviderConfigError

    context = click.get_current_context()

    def typed(name: str) -> bool:
        return context.get_parameter_source(name) is ParameterSource.COMMANDLINE

    try:
        return Typed(
            keys=read_bindings(keys),
            base_url=typed("base_url"),
            prices=context.params["prices"] if typed("prices") else "",
            gpu_hour=typed("gpu_hour"),
            trust=trust,
        )
    except ProviderConfigError as error:
        raise ConfigError(f"{error}.") from None


def build_study(given: dict[str, Any], study_file: Path | None) -> Study:
    """The study that the command line and the file describe; raises ConfigError."""
    from orchestrator.errors import ConfigError
    from orchestrator.plan.study import make_study, read_study, refuse_unknown_provider, whole_paths

    document: dict[str, Any] = {"study": {}, "arms": [{}]}
    source = "command line"
    if study_file is not None:
        document, source = read_study(study_file), str(study_file)
    arm_values = {key: given[key] for key in ARM_KEYS if key in given}
    study_values = {key: given[key] for key in STUDY_KEYS if key in given}
    if "base_url" in arm_values:
        arm_values["base_url"] = ",".join(arm_values["base_url"])
    for name in ("stop", "agent_paths", "harbor_args"):
        if name in arm_values:
            arm_values[name] = list(arm_values[name])
    if str(arm_values.get("n_per_request", "auto")).isdecimal():
        arm_values["n_per_request"] = int(arm_values.get("n_per_request", "auto"))
    if not isinstance(document["arms"], list) or not isinstance(document["study"], dict):
        raise ConfigError(f"{source}: write [study] once and [[arms]] for each arm.")
    if arm_values.get("samples") == 0:
        raise ConfigError("--samples is 0; it must be at least 1.")
    arms = [{**arm, **arm_values} for arm in document["arms"]]
    for arm in arms:
        if "provider" not in arm:
            raise ConfigError(
                "No provider is named; give --provider (local needs nothing installed)."
            )
        refuse_unknown_provider(arm["provider"], source)
        if "task" not in arm:
            if arm["provider"] != "local" or arm.get("model") or arm.get("base_url"):
                raise ConfigError("No task is named; give --task NAME or --task FILE.jsonl.")
            arm["task"] = "arithmetic"
    for values in (*arms, document["study"], study_values):
        for key in DOLLARS:
            if isinstance(values.get(key), int | float):
                values[key] = str(values[key])
    whole = {"study": {**document["study"], **study_values}, "arms": arms}
    whole_paths(whole, study_file)
    return make_study(whole, source)


def without_unsound_problems(study: Study) -> Study:
    """The study less the problems whose reference fails its own verifier, which are named."""
    from orchestrator.audit.rejudge import without_unsound

    study, said = asyncio.run(without_unsound(study))
    for sentence in said:
        click.echo(sentence, err=True)
    return study


class How(NamedTuple):
    """What the command line says of a session, apart from its study."""

    resume: bool
    display: Display
    typed: Typed
    as_json: bool
    dry_run: bool
    pilot: int
    confirm_over: str
    yes: bool


async def run_study(study: Study, directory: Path, how: How) -> Last:
    """Prepare and run; returns what is left to say, which returns the exit code."""
    from rich.console import Console

    from orchestrator.cli.announce import announce
    from orchestrator.cli.quote import confirm
    from orchestrator.plan.dollars import amount
    from orchestrator.plan.prepare import prepare
    from orchestrator.session.opening import refuse_used
    from orchestrator.session.session import RunOptions, run_session

    console = Console(stderr=True)
    if not how.resume:
        refuse_used(directory)
    over = amount(how.confirm_over, "--confirm-over", zero=True)
    options = RunOptions(directory, how.resume, how.display, console)
    if how.pilot:
        first = await prepare(with_samples(study, how.pilot), how.typed)
        announce(console, first, directory, resume=how.resume)
        ending = await run_session(first, replace(options, pilot=tuple(whole_plan(study))))
        if ending.exit_code or not agreed(console, study, options, how):
            return ended(options, ending, how)
        options = replace(options, resume=True)
    prepared = await prepare(study, how.typed, judging=not how.dry_run)
    if how.dry_run:
        await close_providers(prepared)
        say_quote(console, prepared, directory.parent, how.as_json)
        return lambda: 0
    if not how.pilot:
        try:
            confirm(prepared, over, yes=how.yes)
        except BaseException:
            await close_providers(prepared)
            raise
    announce(console, prepared, directory, resume=options.resume)
    ending = await run_session(prepared, options)
    return ended(options, ending, how)


def ended(options: RunOptions, ending: Ending, how: How) -> Last:
    """The last lines, to be said once the loop and all that it held are closed."""
    from orchestrator.cli.last_lines import finish

    def last() -> int:
        finish(options.console, options.directory, ending, as_json=how.as_json, typed=how.typed)
        return ending.exit_code

    return last


def with_samples(study: Study, most: int) -> Study:
    """The study with at most so many attempts per problem."""
    from msgspec import structs

    pairs = zip(study.arms, whole_plan(study), strict=True)
    arms = [structs.replace(arm, samples=min(most, wanted)) for arm, wanted in pairs]
    return structs.replace(study, arms=arms)


def whole_plan(study: Study) -> list[int]:
    """The attempts at each problem that a study wants, arm by arm."""
    from orchestrator.plan.prepare import samples_wanted

    return [samples_wanted(arm) for arm in study.arms]


async def close_providers(prepared: Prepared) -> None:
    """Close what was opened to check a plan that is not run."""
    from orchestrator.plan.prepare import close

    await close(prepared.arms)


def say_quote(console: Console, prepared: Prepared, out: Path, as_json: bool) -> None:
    """Print what a plan will cost, and what its budget buys; `out` holds runs of before."""
    from orchestrator.cli.quote import print_quote, quote_document, quote_plan

    quotes = quote_plan(prepared, out)
    if as_json:
        click.echo(json.dumps(quote_document(prepared, quotes), indent=2))
        return
    console.print("A dry run: nothing is bought.")
    print_quote(console, prepared, quotes)


def agreed(console: Console, study: Study, options: RunOptions, how: How) -> bool:
    """Say what the rest of the plan will cost, take and cover by the pilot, and ask."""
    from orchestrator.cli.last_lines import resume_command
    from orchestrator.cli.pilot import forecast_plan, go_on
    from orchestrator.cli.quote import ask
    from orchestrator.errors import ConfigError
    from orchestrator.report.text import dollars, say

    wanted = whole_plan(study)
    rest = forecast_plan(options.directory, wanted)
    for line in rest.lines():
        say(console, f"Pilot: {line}")
    what = f"The rest of the plan may cost {dollars(rest.most)}."
    try:
        ask(what, rest.most, 0, yes=how.yes)
    except click.Abort:
        return False
    except ConfigError as error:
        names = [arm.name or arm.model or arm.provider for arm in study.arms]
        again = resume_command(options.directory, how.typed)
        said = go_on(options.directory, list(zip(names, wanted, strict=True)), again)
        raise ConfigError(f"{error} {said}") from None
    return True
