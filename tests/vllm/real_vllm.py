"""A real vLLM of the bundled model on the CPU, as a process of its own that can be killed.

`ORCH_VLLM` names the environment that `scripts/vllm` made. Its API process starts an engine and a
worker: they live in one process group, and all of it is ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import providers.tiny

MODEL = Path(providers.tiny.__file__).parent / "model"
READY_S = 600.0
NAME = "orch-tiny"


def installed() -> Path | None:
    """The interpreter of the environment that has vLLM, if there is one."""
    folder = os.environ.get("ORCH_VLLM", "")
    python = Path(folder).absolute() / "bin" / "python"
    return python if folder and python.exists() else None


def reward_model(folder: Path) -> Path:
    """The bundled weights with a head of one random score."""
    shutil.copytree(MODEL, folder, dirs_exist_ok=True)
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    head, data = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    config = json.loads((folder / "config.json").read_text())
    width = config["hidden_size"]
    scores = b"".join(struct.pack("<f", ((7 * i) % 13 - 6) / 50) for i in range(width))
    head["score.weight"] = {
        "dtype": "F32",
        "shape": [1, width],
        "data_offsets": [len(data), len(data) + len(scores)],
    }
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data + scores)
    config |= {"architectures": ["LlamaForSequenceClassification"], "num_labels": 1}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@dataclass
class RealVllm:
    model: Path
    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> float:
        """Start it and wait until it is well; the seconds that took."""
        python = installed()
        assert python is not None
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        command = [
            str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(self.model),
            "--served-model-name", NAME, "--host", "127.0.0.1", "--port", str(self.port),
            "--enforce-eager", "--dtype", "float32", "--block-size", "32", "--max-num-seqs", "64",
            *self.options,
        ]  # fmt: skip
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environ = {
            **kept, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        began = time.monotonic()
        with (self.folder / "vllm.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environ, start_new_session=True
            )
        while not self.well():
            assert self.process.poll() is None, (self.folder / "vllm.log").read_text()[-3000:]
            assert time.monotonic() - began < READY_S, "vLLM is not ready"
            time.sleep(0.5)
        return time.monotonic() - began

    def well(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answered:
                return bool(answered.status == 200)
        except OSError:
            return False

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answered:
            lines = answered.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{"))

    def ask(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """Status and document of one POST."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            json.dumps({"model": NAME, **body}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=300) as answered:
                return answered.status, json.load(answered)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def kill(self) -> None:
        """SIGKILL to all of it: API, engine, worker."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def real_vllm(folder: Path, model: Path = MODEL, *options: str) -> Iterator[RealVllm]:
    """A running vLLM whose first request, which takes a minute, is behind it."""
    own = folder / "model"
    if model is MODEL:
        # vLLM writes beside a model.
        shutil.copytree(MODEL, own, dirs_exist_ok=True)
        model = own
    server = RealVllm(model, folder, options)
    try:
        print(f"vLLM is ready after {server.start():.0f} s", flush=True)
        yield server
    finally:
        server.kill()
