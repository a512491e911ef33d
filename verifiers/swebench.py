"""Patches for issues of SWE-bench, judged by the benchmark's own harness: the judge of record.

The package `swebench` runs in a process of its own, in an empty directory, with the issue's row as
its data set and one patch as its predictions; it makes a container of the issue's image (Docker),
applies the patch, runs the tests and grades their log. Nothing of it is imported here: its import
reads `.env` files.

The reference is {"instance": the row, without its solution}. An empty patch is not run. What the
harness could not do (no image, no Docker, a broken environment by its own signatures) is
`infra_error`; a patch that does not apply is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

from verifiers.install import install_command
from verifiers.sandbox.limits import NoSandbox
from verifiers.verdict import Verdict

TIME_S = 1800
"""For an issue's tests, as the harness has it."""
STARTING_S = 3600
"""More, for an image that is pulled first."""
_RULES = "1"
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
_DOES_NOT_APPLY = ">>>>> Patch Apply Failed"
_OVER_TIME = "Timeout error: "


class NoHarness(Exception):
    """The package swebench is not installed; the text says how to install it."""


def harness_version() -> str:
    """The installed harness's version; raises NoHarness."""
    try:
        found = version("swebench")
    except PackageNotFoundError:
        raise NoHarness(
            f"SWE-bench needs its own package, swebench 5 or newer: {install_command('swebench')}"
        ) from None
    if int(found.split(".")[0]) < 5:
        raise NoHarness(
            f"swebench {found} is too old, its specifications are fetched when they are used: "
            f"{install_command('swebench')}"
        )
    return found


class SweBenchVerifier:
    """Judges patches by SWE-bench's harness."""

    name = "swebench"
    deterministic = True

    def __init__(self) -> None:
        self.version = f"{_RULES}-{harness_version()}"
        self._docker: str | None = None
        self._asking = asyncio.Lock()

    async def start(self) -> None:
        """Raises NoSandbox where Docker does not answer."""
        why = await self._why_no_docker()
        if why:
            raise NoSandbox(
                f"SWE-bench's harness runs tests in Docker, which does not answer ({why}); start "
                "it, or set DOCKER_HOST."
            )

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """Judge a patch; `reference` has `instance`, a published row."""
        if not text.strip():
            return Verdict("no_answer", "no change was made")
        why = await self._why_no_docker()
        if why:
            return Verdict("infra_error", f"Docker does not answer: {why}")
        instance = reference["instance"]
        with tempfile.TemporaryDirectory(prefix="orch-swebench-") as place:
            return await _judged(Path(place), instance, text)

    async def aclose(self) -> None:
        """Every harness ends with its verdict."""

    async def _why_no_docker(self) -> str:
        """Why the harness would reach no Docker; "" where it does. Asked once."""
        async with self._asking:
            if self._docker is None:
                words = "import docker; docker.from_env(timeout=20).ping()"
                status, said = await _run(["-c", words], Path(tempfile.gettempdir()), 60)
                last = said.strip().rpartition("\n")[2]
                self._docker = "" if status == 0 else last[:200] or f"status {status}"
        return self._docker


async def _judged(place: Path, instance: Mapping[str, Any], patch: str) -> Verdict:
    run = f"orch-{uuid4().hex[:12]}"
    row = {"instance_id": instance["instance_id"], "model_name_or_path": "orch"}
    dataset, predictions = place / "dataset.jsonl", place / "predictions.jsonl"
    dataset.write_text(json.dumps(dict(instance)) + "\n", encoding="utf-8")
    predictions.write_text(json.dumps({**row, "model_patch": patch}) + "\n", encoding="utf-8")
    loop = asyncio.get_running_loop()
    began = loop.time()
    status, said = await _run(
        ["-m", "swebench.harness.run_evaluation", "--dataset_name", str(dataset),
         "--predictions_path", str(predictions), "--run_id", run, "--max_workers", "1",
         "--timeout", str(TIME_S)],
        place, TIME_S + STARTING_S, container=f"sweb.eval.{row['instance_id'].lower()}.{run}",
    )  # fmt: skip
    logs = place / "logs" / "run_evaluation" / run / "orch" / row["instance_id"]
    kind, detail = read_logs(logs, row["instance_id"], said or f"status {status}")
    return Verdict(kind, detail, wall_s=loop.time() - began)  # type: ignore[arg-type]


def read_logs(logs: Path, instance_id: str, said: str) -> tuple[str, str]:
    """The verdict's kind and detail by the files that the harness left for one patch."""
    try:
        told = json.loads(_text(logs / "report.json"))[instance_id]
    except (ValueError, KeyError):
        if _DOES_NOT_APPLY in _text(logs / "run_instance.log"):
            return "failed", "the patch does not apply"
        if _OVER_TIME in _text(logs / "test_output.txt")[-200:]:
            return "timeout", "the tests were not done in time"
        last = (_text(logs / "run_instance.log").strip() or said.strip()).rpartition("\n")[2]
        return "infra_error", f"the harness left no report: {last[:300]}"
    if told.get("resolved") is True:
        return "passed", "resolved"
    if told.get("infra_failure"):
        return "infra_error", f"the environment failed: {told.get('infra_failure_reason', '')}"
    if not told.get("patch_successfully_applied"):
        why = told.get("infra_failure_reason", "")
        return "failed", "no test results could be read" + (f" ({why})" if why else "")
    status = told.get("tests_status", {})
    failing = [one for name in ("FAIL_TO_PASS", "PASS_TO_PASS")
               for one in status.get(name, {}).get("failure", [])]  # fmt: skip
    first = f", {failing[0]} first" if failing else ""
    return "failed", f"not resolved: {len(failing)} tests fail{first}"[:300]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


async def _run(
    words: list[str], place: Path, time_s: float, container: str = ""
) -> tuple[int, str]:
    """Run this interpreter; its status and the end of what it said. Cancelling ends it."""
    kept = {name: text for name, text in os.environ.items()
            if name in _KEPT or name.startswith("DOCKER_")}  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=place, env=kept, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(time_s):
            said, _ = await process.communicate()
        return process.returncode or 0, said.decode("utf-8", "replace")[-4000:]
    except TimeoutError:
        return -1, "the harness did not end in time"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            if container:
                await _remove(container)


async def _remove(container: str) -> None:
    """Remove what a harness that was ended left running."""
    words = (
        "import docker, sys; docker.from_env(timeout=20).containers.get(sys.argv[1])"
        ".remove(force=True)"
    )
    await _run(["-c", words, container], Path(tempfile.gettempdir()), 60)
