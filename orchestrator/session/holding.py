"""A fleet that is held for several runs: `orch serve --model NAME --launch N`.

Its servers are launched and kept up as a run's own are, and told to runs of the same user over a
socket in the state directory. They end with this process, whichever way it ends.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any

from orchestrator.errors import ConfigError, RunFault
from orchestrator.plan.fleet import LEAST_QUEUE, Launch, launch_of
from orchestrator.plan.study import Arm
from orchestrator.plan.typed import Typed, server_arguments
from providers.errors import ProviderConfigError
from providers.fleet.guard import new_id
from providers.fleet.holds import state_directory
from providers.fleet.launch import Launcher, LaunchError, LaunchPlan
from providers.fleet.offer import Offering, find_offer


def hold_fleet(
    model: str, launch: str, *, gpu_ids: str, tensor_parallel: int, data_parallel: int,
    server_args: tuple[str, ...], vllm: str,
) -> None:  # fmt: skip
    """Hold until Ctrl-C or SIGTERM; raises ConfigError, RunFault."""
    arm = Arm(
        "local", "", model, launch=launch, gpu_ids=gpu_ids, tensor_parallel=tensor_parallel,
        data_parallel=data_parallel,
    )  # fmt: skip
    try:
        found = launch_of(arm, Typed(vllm=vllm, server_args=server_arguments(server_args)))
    except ProviderConfigError as error:
        raise ConfigError(f"{error}.") from None
    assert found is not None
    if find_offer(found.model) is not None:
        raise ConfigError(
            f"Another `orch serve --launch` holds {found.model} already; runs find that one."
        )
    asyncio.run(_hold(found))


async def _hold(launch: Launch) -> None:
    identifier = new_id()
    logs = state_directory() / "fleets" / identifier
    logs.mkdir(mode=0o700, parents=True)

    def say(sentence: str) -> None:
        sys.stderr.write(f"orch: {sentence}\n")

    plan = LaunchPlan(
        launch.program, launch.model, launch.model, launch.groups, logs,
        tensor_parallel=launch.tensor_parallel, data_parallel=launch.data_parallel,
        sequences=LEAST_QUEUE, arguments=launch.arguments, lease_s=launch.lease_s,
    )  # fmt: skip
    launcher = Launcher(plan, tell=say)

    def told() -> dict[str, Any]:
        ready = [server for server in launcher.servers if server.ready]
        return {
            "model": launch.model,
            "urls": [server.url for server in ready],
            "keys": [server.key for server in ready],
        }

    offering = Offering(identifier, told)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        starting = asyncio.create_task(launcher.start())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([starting, stopping], return_when="FIRST_COMPLETED")
        if not stop.is_set():
            starting.result()
            await offering.start()
            urls = [server.url for server in launcher.servers if server.ready]
            line = {"event": "holding", "model": launch.model, "servers": len(launch.groups),
                    "first": urls[0], "logs": str(logs)}  # fmt: skip
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
            down = asyncio.create_task(launcher.all_stay_down())
            await asyncio.wait([down, stopping], return_when="FIRST_COMPLETED")
            if not stop.is_set():
                raise RunFault(f"Every server has ended and stays down; what they wrote: {logs}.")
        else:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
    except LaunchError as error:
        raise RunFault(f"{error}.") from None
    finally:
        await offering.close()
        await launcher.stop()
