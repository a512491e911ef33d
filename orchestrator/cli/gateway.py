"""orch gateway: Meter an agent's calls under a dollar cap: orch gateway --budget 5 -- COMMAND."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import host_option, option
from orchestrator.cli.run import what_was_typed

if TYPE_CHECKING:
    from orchestrator.session.metered_command import Metered, Opened, Spent


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@option("--budget", metavar="USD", required=True, help="The most that all calls may cost.")
@option("--provider", required=True, help="Whose API is called: openai, anthropic, vllm, ...")
@option("--model", "-m", default="", help="Put this model into every call, whatever it names.")
@option("--base-url", metavar="URL", default="", help="Address of another server.")
@option("--api-key-env", multiple=True, metavar="VAR[@HOST]",
        help="Variable with the key for a host; as in orch run.")  # fmt: skip
@option("--prices", metavar="FILE", default="", help="TOML with prices of your own.")
@option("--gpu-hour", metavar="USD", default="",
        help="0 for a server that bills nothing.")  # fmt: skip
@option("--max-tokens", type=click.IntRange(min=1), help="The longest answer to one call.")
@option("--max-calls", type=click.IntRange(min=1), help="The most calls.")
@option("--limits", metavar="NAME", default="", help="A provider's rate limits by profile name.")
@option("--max-concurrent", metavar="auto|N|MIN-MAX", default="auto", help="Calls in flight.")
@host_option
@option("--port", type=click.IntRange(0, 65535), default=0, help="Port; 0 takes a free one.")
@option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
        help="Where the directory with its accounts is made.")  # fmt: skip
@option("--name", default="", help="Name of that directory; one that exists is continued.")
@option("--json", "as_json", is_flag=True, help="What was spent as JSON on standard error's end.")
def gateway(command: tuple[str, ...], **given: Any) -> None:
    """Meter a COMMAND's calls to a model's API under a dollar cap.

    \b
    orch gateway --budget 5 --provider openai -- COMMAND ARGUMENTS

    COMMAND finds the gateway in OPENAI_BASE_URL, OPENAI_API_KEY, ANTHROPIC_BASE_URL,
    ANTHROPIC_API_KEY (and ORCH_GATEWAY_URL, ORCH_GATEWAY_KEY); the keys of providers are not
    passed on to it. Over the cap every call is refused so that agents stop. The exit code is
    COMMAND's own, 3 where the cap refused a call, 4 after a fault. Without COMMAND the gateway
    listens until Ctrl-C, and prints its address and a key.
    """
    from orchestrator.report.text import visible

    asked = _asked(given)
    name = given["name"] or time.strftime("gateway-%Y%m%d-%H%M%S")
    directory = given["out"] / name
    spent = asyncio.run(_run(asked, directory, command))
    if given["as_json"]:
        click.echo(json.dumps(_document(spent, directory), indent=2), err=bool(command))
    else:
        for line in _lines(spent, directory):
            click.echo(visible(line), err=True)
    sys.exit(spent.exit_code)


def _asked(given: dict[str, Any]) -> Metered:
    from orchestrator.errors import ConfigError
    from orchestrator.plan.dollars import amount
    from orchestrator.plan.prepare import price_book
    from orchestrator.plan.study import Arm, Study, refuse_unknown_provider
    from orchestrator.plan.typed import destinations_of
    from orchestrator.session.metered_command import Metered
    from providers.gateway.attempts import Caps

    refuse_unknown_provider(given["provider"], "command line")
    typed = what_was_typed(given["api_key_env"], trust=False)
    if given["gpu_hour"] and amount(given["gpu_hour"], "--gpu-hour", zero=True):
        raise ConfigError(
            "orch gateway does not meter a server's time; give --gpu-hour 0 for a server that "
            "bills nothing, or --prices FILE with its price per token."
        )
    arm = Arm(given["provider"], "gateway", given["model"], base_url=given["base_url"])
    study = Study(
        [arm], prices=given["prices"], limits=given["limits"],
        max_concurrent=given["max_concurrent"],
    )  # fmt: skip
    (place,) = destinations_of([arm], typed)
    return Metered(
        provider=given["provider"],
        base_url=given["base_url"],
        bound_key=place.bound,
        model=given["model"],
        cap=amount(given["budget"], "--budget"),
        caps=Caps(calls=given["max_calls"], output_tokens=given["max_tokens"]),
        study=study,
        book=price_book(study),
        free=bool(given["gpu_hour"]),
        host=given["host"],
        port=given["port"],
    )


async def _run(asked: Metered, directory: Path, command: tuple[str, ...]) -> Spent:
    from orchestrator.session.metered_command import run_command, serve

    if command:
        return await run_command(asked, directory, command)
    told: asyncio.Future[Opened] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(asked, directory, told))
    waiting: list[asyncio.Future[Any]] = [task, told]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if told.done():
        door = told.result()
        place = {"base_url": f"{door.url}/v1", "anthropic_base_url": door.url, "key": door.key}
        click.echo(json.dumps(place))
        click.echo("Listening until Ctrl-C.", err=True)
    return await task


def _document(spent: Spent, directory: Path) -> dict[str, Any]:
    from budgets.money import usd

    attempt, totals = spent.attempt, spent.totals
    return {
        "directory": str(directory),
        "exit_code": spent.exit_code,
        "calls": attempt.calls,
        "answered": attempt.answered,
        "refused": attempt.refused,
        "failed": attempt.failed,
        "prompt_tokens": attempt.prompt_tokens,
        "output_tokens": attempt.output_tokens,
        "settled_usd": usd(totals.settled),
        "uncertain_usd": usd(totals.uncertain),
        "budget_usd": None if totals.cap is None else usd(totals.cap),
        "notes": spent.notes,
    }


def _lines(spent: Spent, directory: Path) -> list[str]:
    from orchestrator.report.text import dollars

    attempt, totals = spent.attempt, spent.totals
    cap = "" if totals.cap is None else f" of {dollars(totals.cap)}"
    lines = [
        f"orch gateway: {attempt.calls:,} calls, {attempt.prompt_tokens:,} prompt and "
        f"{attempt.output_tokens:,} output tokens, {dollars(totals.settled)}{cap} spent"
    ]
    if totals.uncertain:
        lines.append(
            f"{dollars(totals.uncertain)} more may have been billed and counts as spent; "
            f"`orch budget resolve {directory}` clears it up"
        )
    if attempt.cut:
        refused = sum(attempt.refused.values())
        lines.append(f"The cap ({attempt.cut}) refused {refused:,} calls.")
    if attempt.failed:
        told = ", ".join(f"{number} {kind}" for kind, number in sorted(attempt.failed.items()))
        lines.append(f"The upstream failed: {told}.")
    lines += [f"note: {note}" for note in spent.notes]
    lines.append(f"Its accounts are in {directory}: orch budget {directory}")
    return lines
