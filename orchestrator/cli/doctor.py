"""orch doctor: What works on this machine: sandbox level, servers, keys, tools.

Keys are shown by name only. `--attack` runs every attack of the sandbox's self-test on its own.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import click

from orchestrator.cli.flags import with_flags
from verifiers.install import install_command

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "DEEPSEEK_API_KEY", "HF_TOKEN")
_PATIENCE_S = 20.0
_FEW_FILES = 4096


@dataclass(frozen=True, slots=True)
class Examined:
    """One thing that was looked at. `advice` is what to do where it is missing."""

    name: str
    works: bool
    detail: str
    advice: str = ""


@click.command()
@click.option(
    "--attack", is_flag=True, help="Run every attack of the sandbox's self-test and show it."
)
@click.option(
    "--sandbox", metavar="NAME", help="The sandbox tier.  [default: the strongest that works]"
)
@click.option("--i-trust-this-code", is_flag=True, help="Allow --sandbox none.")
@click.option("--harbor-python", metavar="PATH", default="",
              help="Interpreter that has Harbor.  [found]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
def doctor(
    attack: bool, sandbox: str | None, i_trust_this_code: bool, harbor_python: str, as_json: bool
) -> None:
    """Show what works on this machine. Exits with 1 if no sandbox does or an attack got through."""
    findings = asyncio.run(look_at_sandbox(sandbox, i_trust_this_code, attack))
    contained = all(finding.works for finding in findings)
    findings += [look() for look in LOOKS]
    findings.append(look_at_harbor(harbor_python))
    findings = [
        replace(one, detail=with_flags(one.detail), advice=with_flags(one.advice))
        for one in findings
    ]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            click.echo(_line(finding))
    if not contained:
        raise SystemExit(1)


def _line(finding: Examined) -> str:
    mark = "ok     " if finding.works else "missing"
    advice = f"\n          -> {finding.advice}" if finding.advice and not finding.works else ""
    return f"{mark}  {finding.name}: {finding.detail}{advice}"


async def look_at_sandbox(wanted: str | None, trust: bool, attack: bool) -> list[Examined]:
    """The tier that works, what it is made of, and what came of the attacks."""
    from verifiers.sandbox import NoSandbox, Sandbox, SandboxFault
    from verifiers.sandbox import attacks as suite

    try:
        async with Sandbox(tier=wanted, jobs=1, trust=trust) as box:
            facts = box.facts()
            detail = f"{box.tier} (Landlock ABI {facts['landlock']}, self-test by attack passed)"
            if box.tier == "none":
                detail = "none: limits, and no protection at all"
            findings = [Examined("sandbox", True, detail)]
            if attack:
                for name, reached in (await suite.each(box)).items():
                    findings.append(
                        Examined(f"attack: {name}", not reached, reached or "contained",
                                "do not judge untrusted code with this sandbox")
                    )  # fmt: skip
            return findings
    except (NoSandbox, SandboxFault) as fault:
        return [Examined("sandbox", False, str(fault), "see docs/sandbox.md")]


def look_at_python() -> Examined:
    return Examined(
        "Python", sys.version_info >= (3, 11), f"{platform.python_version()} at {sys.executable}",
        "use Python 3.11 or newer",
    )  # fmt: skip


def look_at_open_files() -> Examined:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Examined(
        "open files", soft >= _FEW_FILES, f"{soft} (at most {hard})",
        f"ulimit -n {_FEW_FILES}, for many requests at once",
    )  # fmt: skip


def look_at_gpus() -> Examined:
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    ok, text = _ask(command)
    gpus = [line.strip() for line in text.splitlines() if line.strip()] if ok else []
    detail = f"{len(gpus)} ({', '.join(sorted(set(gpus)))})" if gpus else "none found"
    return Examined("GPUs", bool(gpus), detail, "local models need one: install the NVIDIA driver")


def look_at_vllm() -> Examined:
    found = importlib.util.find_spec("vllm") is not None
    detail = "installed" if found else "not installed"
    return Examined(
        "vLLM", found, detail, f"{install_command('vllm')}, or point --base-url at a server"
    )


def look_at_keys() -> Examined:
    present = [name for name in KEYS if os.environ.get(name)]
    detail = ", ".join(present) if present else "none set"
    return Examined(
        "API keys", bool(present), detail, f"set one of {', '.join(KEYS)} for paid models"
    )


def look_at_docker() -> Examined:
    silent = []
    for name, field in (("docker", "{{.ServerVersion}}"), ("podman", "{{.Version.Version}}")):
        if shutil.which(name):
            ok, text = _ask([name, "info", "--format", field])
            if ok and text.strip():
                return Examined("containers", True, f"{name} {text.strip()}")
            silent.append(name)
    if silent:
        told = f"{' and '.join(silent)} installed, but no answer"
        return Examined("containers", False, told, f"start {silent[0]}'s service")
    return Examined(
        "containers", False, "neither docker nor podman",
        "needed for SWE-bench, and for --sandbox docker, podman or gvisor",
    )  # fmt: skip


def look_at_harbor(python: str = "") -> Examined:
    """What `--agent harbor:NAME` would find, and what is missing."""
    from orchestrator.engine.executors.base import NoExecutor
    from orchestrator.engine.executors.container import find_engine
    from orchestrator.engine.executors.harbor import compose_for
    from orchestrator.tasks.harbor_python import NoHarbor, find_python, harbor_in

    try:
        found = find_python(python)
    except NoHarbor as missing:
        told, _, advice = str(missing).partition("; ")
        return Examined("Harbor", False, told, advice or told)
    detail = f"{harbor_in(found)} at {found}"
    try:
        engine, _ = find_engine()
    except NoExecutor:
        return Examined("Harbor", False, f"{detail}, and no container engine", "install podman")
    if not compose_for(engine, found):
        return Examined(
            "Harbor", False, f"{detail}, and no compose for {engine}",
            f"{found} -m pip install podman-compose, or install Docker's compose plugin",
        )  # fmt: skip
    if os.getuid() != 0:
        return Examined(
            "Harbor", False, f"{detail} on {engine}, and you are not root",
            "run orch as root for Harbor's agents, or an agent of your own in the cell",
        )  # fmt: skip
    return Examined("Harbor", True, f"{detail} on {engine}")


def look_at_lean() -> Examined:
    """What `--lean-project` would find through ORCH_LEAN_PROJECT, and what is missing."""
    from verifiers.lean_project import GET_REPL, LeanMissing, find_project

    try:
        project = find_project()
    except LeanMissing as missing:
        named = os.environ.get("ORCH_LEAN_PROJECT")
        detail = f"{named} cannot be used" if named else "no project (ORCH_LEAN_PROJECT)"
        return Examined("Lean", False, detail, str(missing).rstrip("."))
    if project.form == "file":
        detail = f"{project.toolchain} at {project.root}, without a REPL"
        return Examined("Lean", True, f"{detail} (for lean-tactics: {GET_REPL})")
    return Examined("Lean", True, f"{project.toolchain} with its REPL at {project.root}")


def look_at_cpp() -> Examined:
    found = shutil.which("g++")
    return Examined(
        "C++", found is not None, found or "no g++", "install g++ (for C++ samples only)"
    )


def look_at_held() -> Examined:
    """Servers under a guard, and what guards that were killed left behind."""
    from orchestrator.cli.hold import line
    from providers.fleet.holds import still_held
    from providers.fleet.offer import find_offer

    found = still_held()
    lost = [one for one in found if not one.guarded]
    detail = "; ".join(map(line, found)) or "nothing"
    usable = sorted({one.model for one in found if one.model and find_offer(one.model)})
    if usable:
        detail += "; runs use them: " + ", ".join(
            f"orch run --provider local --model {shlex.quote(model)}" for model in usable
        )
    return Examined(
        "held servers", not lost, detail,
        f"end what was left behind: orch hold --stop {lost[0].id}" if lost else "",
    )  # fmt: skip


LOOKS: tuple[Callable[[], Examined], ...] = (
    look_at_python, look_at_open_files, look_at_gpus, look_at_vllm, look_at_keys,
    look_at_docker, look_at_lean, look_at_cpp, look_at_held,
)  # fmt: skip


def _ask(command: list[str]) -> tuple[bool, str]:
    """Whether a command succeeds, and what it prints."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False, ""
    return done.returncode == 0, done.stdout
