"""The agents of a session: one gateway for all arms, an executor and an upstream for each."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from orchestrator.engine.agents import AgentArm, Agents
from orchestrator.engine.executors.base import Executor, NoExecutor
from orchestrator.engine.executors.command import CellExecutor, TrustedExecutor
from orchestrator.engine.executors.container import ContainerExecutor
from orchestrator.engine.executors.harbor import HarborExecutor
from orchestrator.engine.parts import SessionParts
from orchestrator.errors import ConfigError, RunFault
from orchestrator.plan.agents import AgentSetting, rewarded
from orchestrator.plan.prepare import Prepared, PreparedArm
from orchestrator.store.attempts import StoreBook, end_cut_off
from orchestrator.store.reader import RunReader
from providers.errors import ProviderConfigError
from providers.fleet.admission import FleetLimiter
from providers.gateway.server import Gateway
from providers.gateway.upstream import Upstream
from providers.registry import make_door
from providers.transport import Timeouts


async def open_agents(
    prepared: Prepared,
    shared: SessionParts,
    directory: Path,
    stack: contextlib.AsyncExitStack,
    bundled_url: str,
) -> Agents | None:
    """What makes the attempts of arms with an agent, closed with `stack`; None without such arms.

    `bundled_url`: where the bundled model's server listens, where it runs. Raises ConfigError
    where agents cannot be run here.
    """
    chosen = [(n, arm) for n, arm in enumerate(prepared.arms) if arm.agent is not None]
    if not chosen:
        return None
    control, state = shared.control, shared.state
    end_cut_off(shared.store, time.time())
    gateway = await stack.enter_async_context(
        Gateway(
            shared.ledger,
            StoreBook(shared.store),
            fatal=lambda error: control.stop(RunFault(f"{error}")),
            fault=lambda why: control.stop(RunFault(why)),
            elsewhere=lambda scope: any(
                arm.in_flight for n, arm in enumerate(state.arms) if shared.arms[n].agent is None
            ),
        )
    )
    port = await gateway.listen()
    arms: dict[int, AgentArm] = {}
    for number, arm in chosen:
        assert arm.agent is not None
        executor = executor_of(arm.agent, directory, number)
        try:
            await executor.start()
        except NoExecutor as error:
            raise ConfigError(str(error)) from None
        stack.push_async_callback(executor.aclose)
        upstream = _upstream(prepared, arm, bundled_url)
        stack.push_async_callback(upstream.aclose)
        arms[number] = AgentArm(
            executor, upstream, trees_of(arm), sources_of(arm), rewarded(arm.task), {}
        )
    return Agents(
        shared, arms, gateway, f"http://127.0.0.1:{port}", directory, _next_attempt(directory)
    )


def executor_of(setting: AgentSetting, directory: Path, arm: int) -> Executor:
    """Who runs an arm's agent."""
    if setting.harbor:
        return HarborExecutor(setting, directory, arm)
    if setting.image:
        return ContainerExecutor(setting.command, setting.image, setting.paths, directory)
    if setting.trust:
        return TrustedExecutor(setting.command, setting.bound)
    return CellExecutor(setting.command, setting.paths)


def trees_of(arm: PreparedArm) -> Mapping[str, bytes]:
    """By problem, the work tree that an agent starts from, for tasks that have some."""
    tree = getattr(arm.task, "tree", None)
    return {} if tree is None else {problem.id: tree(problem.id) for problem in arm.problems}


def sources_of(arm: PreparedArm) -> Mapping[str, Path]:
    """By problem, its task's folder, for tasks that have some."""
    source = getattr(arm.task, "source", None)
    return {} if source is None else {problem.id: source(problem.id) for problem in arm.problems}


def _upstream(prepared: Prepared, arm: PreparedArm, bundled_url: str) -> Upstream:
    url = bundled_url if arm.endpoint.bundled else arm.endpoint.base_url
    if isinstance(arm.limiter, FleetLimiter):
        raise ConfigError(
            "An agent's calls go to one server, and this arm has several; give one --base-url, and "
            "neither --servers nor --launch."
        )
    try:
        door = make_door(
            arm.spec.provider,
            base_url=url or None,
            api_key_env=arm.destination.bound,
            environ=os.environ,
        )
    except ProviderConfigError as error:
        raise ConfigError(f"{error}.") from None
    return Upstream(
        door,
        lambda model: arm.price,
        arm.limiter,
        arm.endpoint.model,
        timeouts=Timeouts(total_s=prepared.study.timeout_s),
        max_retries=prepared.study.max_retries,
    )


def _next_attempt(directory: Path) -> int:
    with contextlib.closing(RunReader(directory)) as reader:
        return reader.highest_attempt() + 1
