"""The attack suite in every tier and as every kind of user that this machine offers.

Escapes and exhausted resources in each; cheats and right programs, which hardly depend on who runs
them, in each tier once, and in the rest where slow tests are wanted.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from verifiers.sandbox.kernel import Kernel
from verifiers.sandbox.staging import reachable

ROOT = Path(__file__).resolve().parents[2]


def plain_uid() -> int:
    """The first of 64 uids that nobody else uses, not even another run of these tests."""
    mapped = sum(int(row.split()[2]) for row in Path("/proc/self/uid_map").read_text().splitlines())
    if mapped > 2_000_000_000:
        return 1_900_000_000 + os.getpid() % 900_000 * 64
    return 50_000 + os.getpid() % 150 * 64


PLAIN_UID = plain_uid()


def interpreter_for_all() -> str | None:
    """An interpreter that an unprivileged user can run."""
    candidates = [sys._base_executable]  # type: ignore[attr-defined]
    candidates += [f"/usr/bin/python3.{minor}" for minor in range(14, 10, -1)]
    candidates += [f"/usr/local/bin/python3.{minor}" for minor in range(14, 10, -1)]
    for name in candidates:
        if Path(name).exists() and reachable(str(Path(name).resolve())):
            return name
    return None


def configurations() -> dict[str, tuple[list[str], int | None]]:
    """By name: the suite's options, and the uid to run it as (None: our own)."""
    landlock = Kernel().landlock_abi() > 0
    found: dict[str, tuple[list[str], int | None]] = {}
    users: list[tuple[str, int | None]] = [("as this user", None)]
    if os.getuid() == 0:
        users = [("as root", None), ("as a plain user", PLAIN_UID)]
    for user, uid in users:
        options = {}
        if namespaces_work(uid):
            options["namespaces"] = ["--tier", "namespaces"]
            if shutil.which("bwrap"):
                escapes = ["--tier", "bubblewrap", "--only", "escape"]
                options["bubblewrap, escapes,"] = escapes
        if landlock:
            options["landlock"] = ["--tier", "landlock"]
            options["landlock in a container"] = ["--tier", "landlock", "--container"]
            old = ["--tier", "landlock", "--landlock", "5", "--only", "escape"]
            options["landlock without scopes, escapes,"] = old
        if namespaces_work(uid):
            none = ["--tier", "namespaces", "--landlock", "0", "--only", "escape"]
            options["namespaces without Landlock, escapes,"] = none
        for name, words in options.items():
            # A uid for each, since what a uid still runs afterwards is counted.
            found[f"{name} {user}"] = (words, None if uid is None else uid + len(found))
    return found


def namespaces_work(uid: int | None) -> bool:
    """Whether the system, not the sandbox, lets this user make namespaces."""
    if os.getuid() == 0 and uid is None:
        return True
    probe = subprocess.run(
        [interpreter_for_all() or sys.executable, "-c",
         "import ctypes; raise SystemExit(ctypes.CDLL(None).unshare(0x10000000))"],
        check=False, user=uid, group=uid, extra_groups=None if uid is None else [],
    )  # fmt: skip
    return probe.returncode == 0


@pytest.fixture(scope="module")
def readable_copy() -> Iterator[Path]:
    """The code where any user can read it (pytest's own directories are closed to others)."""
    with tempfile.TemporaryDirectory(prefix="orch-suite-") as name:
        place = Path(name)
        place.chmod(0o755)
        shutil.copytree(ROOT / "verifiers", place / "verifiers")
        shutil.copytree(ROOT / "tests" / "sandbox", place / "tests" / "sandbox")
        yield place


def run_suite(place: Path, options: list[str], uid: int | None) -> subprocess.CompletedProcess[str]:
    python = sys.executable if uid is None else interpreter_for_all()
    assert python is not None
    return subprocess.run(
        [python, "-B", str(place / "tests" / "sandbox" / "suite.py"), *options],
        capture_output=True, text=True, timeout=1100, check=False, env={"PATH": os.environ["PATH"]},
        user=uid, group=uid, extra_groups=None if uid is None else [],
    )  # fmt: skip


ATTACKS = ["--only", "escape", "resource"]


def whole_here(name: str) -> bool:
    """Whether all of the suite runs in this configuration without being asked for."""
    return name.startswith(("namespaces as root", "landlock as a plain", "namespaces as this",
                            "landlock as this"))  # fmt: skip


CASES = [
    (name, more)
    for name in configurations()
    for more in ([[]] if whole_here(name) or "escapes" in name else [ATTACKS, []])
]


Suites = dict[tuple[str, bool], Future[subprocess.CompletedProcess[str]]]


@pytest.fixture(scope="module")
def suites(readable_copy: Path, request: pytest.FixtureRequest) -> Iterator[Suites]:
    """What was chosen, two at once, from the first test on."""
    with ThreadPoolExecutor(2) as pool:
        started: Suites = {}
        for item in request.session.items:
            if getattr(item, "originalname", "") == "test_every_attack_is_contained":
                name, more = (item.callspec.params[key] for key in ("name", "more"))  # type: ignore[attr-defined]
                options, uid = configurations()[name]
                started[name, bool(more)] = pool.submit(
                    run_suite, readable_copy, [*options, *more], uid
                )
        yield started


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("name", "more"),
    [
        pytest.param(
            name, more, id=f"{name}{', attacks' if more else ''}",
            marks=[] if more or whole_here(name) or "escapes" in name else pytest.mark.slow,
        )
        for name, more in CASES
    ],
)  # fmt: skip
def test_every_attack_is_contained(name: str, more: list[str], suites: Suites) -> None:
    _, uid = configurations()[name]
    if uid is not None and interpreter_for_all() is None:
        pytest.skip("no interpreter that a plain user can run: install python3 >= 3.11 in /usr")
    done = suites[name, bool(more)].result()
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert report["failures"] == {}
    least = 80 if "escapes" in name else 160 if more else 330
    assert report["cases"] >= least
    assert report["uid"] == (os.getuid() if uid is None else uid)


def test_the_suite_notices_a_sandbox_that_does_nothing(readable_copy: Path) -> None:
    """With no protection the same attacks succeed, so a clean report means something."""
    uid = PLAIN_UID + 40 if os.getuid() == 0 else None
    if uid is not None and interpreter_for_all() is None:
        pytest.skip("no interpreter that a plain user can run")
    options = ["--tier", "none", "--only", "escape: ", "--harmless"]
    done = run_suite(readable_copy, options, uid)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert len(report["failures"]) >= 5


def test_a_container_gets_the_second_tier(readable_copy: Path) -> None:
    if not Kernel().landlock_abi():
        pytest.skip("this kernel has no Landlock")
    script = (
        "import sys, asyncio\n"
        f"sys.path[:0] = [{str(readable_copy)!r}, {str(readable_copy / 'tests' / 'sandbox')!r}]\n"
        "from container import imitate\n"
        "imitate()\n"
        "from verifiers.sandbox import Sandbox\n"
        "async def main():\n"
        "    async with Sandbox() as box:\n"
        "        outcome = await box.run('print(input())', stdin=b'x')\n"
        "        print(box.tier, outcome.tier, outcome.stdout)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "landlock landlock b'x\\n'\n", done.stderr
