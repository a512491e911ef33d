"""`orch verify RUN --reward-model URL`: samples scored by a reward model that somebody holds."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from orchestrator.audit.rewards import Scored, score_run
from orchestrator.errors import ConfigError
from orchestrator.report.text import visible
from orchestrator.store.reader import find_run
from providers.errors import ProviderConfigError
from providers.keys import Key, read_key
from providers.known import owner_of
from providers.reward import Api, RewardServer

AT_ONCE = 32


def score(
    run: str, out: Path, url: str, *, api: Api | None, reward_class: int | None, as_text: bool,
    key_env: str | None, jobs: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Score the samples of a run and say what came of it; raises ConfigError, RunFault."""
    directory = find_run(run, out)
    try:
        server = RewardServer(
            url, api=api, key=_key(key_env), reward_class=reward_class, as_text=as_text
        )
    except ProviderConfigError as error:
        raise ConfigError(f"The reward model cannot be used: {error}.") from None

    async def all_of_it() -> list[Scored]:
        try:
            return await score_run(directory, server, at_once=jobs or AT_ONCE)
        finally:
            await server.aclose()

    found = asyncio.run(all_of_it())
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    for one in found:
        click.echo(
            f"{visible(one.arm)}: {one.samples:,} samples have a reward of "
            f"{visible(one.model)} (/{one.api}); "
            f"{one.asked:,} texts were asked about in {one.seconds:.1f} s, "
            f"{one.unreadable:,} samples the model cannot read."
        )
    click.echo(
        "The server's time is no part of the run's budget nor of its dollars.\n"
        f"Next: orch report {run}"
    )


def _key(variable: str | None) -> Key | None:
    if variable is None:
        return None
    owner = owner_of(variable)
    if owner is not None and owner.hosts:
        raise ConfigError(
            f"--reward-key-env names {variable}, which belongs to {owner.name} and is sent nowhere "
            "else; put the reward server's key into a variable of its own."
        )
    key = read_key(variable, os.environ)
    if key is None:
        raise ConfigError(f"--reward-key-env names {variable}, which is not set.")
    return key
