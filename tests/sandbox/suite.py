"""The attack suite as a program, so that any user and any interpreter can run it.

    python suite.py --tier namespaces [--only TEXT ...] [--container] [--verbose]

Runs every case of cases/*.toml, looks after each for what it did outside, and whether the cell
still judges right. Prints one JSON document: cases run, and what failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import socket
import string
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
sys.path.insert(0, str(HERE))

from verifiers.program import ProgramVerifier  # noqa: E402
from verifiers.sandbox import Limits, Sandbox  # noqa: E402
from verifiers.sandbox.confine import CONTAINERS  # noqa: E402
from verifiers.sandbox.kernel import Kernel  # noqa: E402

TIGHT = Limits(wall_s=0.6, cpu_s=0.8, memory_mb=128, output_mb=4, processes=16, disk_mb=4)
FAIR = Limits(wall_s=20, cpu_s=20, memory_mb=512, output_mb=16, processes=64, disk_mb=16)

TESTS = {
    "add": {
        "kind": "calls",
        "entry": "add",
        "cases": [
            {"args": [1, 2], "expected": 3},
            {"args": [3, 4], "expected": 7},
            {"args": [5, -5], "expected": 0},
        ],
    },
    "double": {
        "kind": "stdio",
        "cases": [{"input": f"{n}\n", "output": f"{2 * n}\n"} for n in (21, 4, 0)],
    },
    "check": {
        "kind": "assert",
        "entry": "add",
        "source": "def check(candidate):\n    assert candidate(1, 2) == 3\n"
        "    assert candidate(3, 4) == 7\n    assert candidate(5, -5) == 0\n",
    },
    "words": {
        "kind": "calls",
        "entry": "words",
        "cases": [{"args": [], "expected": {"1": "b"}}],
    },
    "repeated": {
        "kind": "calls",
        "entry": "repeated",
        "cases": [{"args": [], "expected": [1, 2, 2]}],
    },
    "near": {
        "kind": "assert",
        "entry": "add",
        "source": "def check(candidate):\n    assert math.isclose(candidate(1, 2), 3)\n",
    },
    "sort": {
        "kind": "assert",
        "entry": "order",
        "source": "def check(candidate):\n    items = [3, 1, 2]\n"
        "    assert candidate(list(items)) == [1, 2, 3]\n",
    },
}


def _of_engine(mount: str) -> bool:
    """Whether a container engine made this mount, for a container that may end at any time."""
    return any(word in mount for word in ("/overlay", "/containers", "/netns"))


class Host:
    """What lies outside the cell and must stay as it is."""

    def __init__(self, place: Path) -> None:
        self.place, self.word = place, secrets.token_hex(8)
        self.secret, self.victim = place / "secret", place / "victim"
        self.secret.write_text(f"secret-{self.word}")
        self.victim.write_text("whole")
        self.secret.chmod(0o644)
        self.victim.chmod(0o666)
        place.chmod(0o777)
        os.environ["SUITE_SECRET"] = f"secret-{self.word}"
        self.tcp, self.abstract = socket.socket(), socket.socket(socket.AF_UNIX)
        self.datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.tcp.bind(("127.0.0.1", 0))
        self.abstract.bind(f"\0suite-{self.word}")
        self.datagram.bind(str(place / "datagram"))
        (place / "datagram").chmod(0o777)
        for held in (self.tcp, self.abstract):
            held.listen()
        for held in (self.tcp, self.abstract, self.datagram):
            held.setblocking(False)
        self.bystander = subprocess.Popen(["sleep", "100000"], env={})
        self.signals: list[int] = []
        for number in (1, 3, 10, 12, 14, 15, 23, 29):
            signal.signal(number, lambda n, _: self.signals.append(n))
        self.before = self._state()

    def _state(self) -> object:
        held = self.victim.stat()
        return (
            sorted(p.name for p in self.place.iterdir()),
            self.victim.read_text(),
            (held.st_mode, held.st_uid, held.st_mtime_ns, os.listxattr(self.victim)),
            os.getpriority(os.PRIO_PROCESS, 0),
            os.getpriority(os.PRIO_PROCESS, self.bystander.pid),
            os.sched_getaffinity(self.bystander.pid),
            [m for m in Path("/proc/self/mountinfo").read_text().splitlines() if not _of_engine(m)],
        )

    def fill(self, code: str) -> str:
        return string.Template(code).safe_substitute(
            pid=os.getpid(),
            secret=self.secret,
            victim=self.victim,
            dir=self.place,
            port=self.tcp.getsockname()[1],
            abstract=f"suite-{self.word}",
            datagram=self.place / "datagram",
            bystander=self.bystander.pid,
            word=self.word,
        )

    def harm(self) -> list[str]:
        """What changed outside; empty when nothing did."""
        found = []
        if self._state() != self.before:
            found.append(f"the host changed: {self._state()} was {self.before}"[:600])
        if self.signals:
            found.append(f"the judge got signals {self.signals}")
            self.signals.clear()
        if self.bystander.poll() is not None:
            found.append("a bystander was killed")
        for held in (self.tcp, self.abstract):
            try:
                held.accept()[0].close()
                found.append("a connection reached the host")
            except BlockingIOError:
                pass
        try:
            self.datagram.recv(10)
            found.append("a datagram reached the host")
        except BlockingIOError:
            pass
        if Path(f"/dev/shm/written-{self.word}").exists():
            found.append("/dev/shm was written")
        return found

    def close(self) -> None:
        self.bystander.kill()
        self.bystander.wait()
        for held in (self.tcp, self.abstract, self.datagram):
            held.close()


def leftovers(boxes: list[Sandbox], host: Host) -> list[str]:
    """Processes that are neither ours nor a cell's own two.

    This program is a reaper of orphans, so that whatever its cells leave stays below it; as root a
    cell's uid is held by nobody else either. A user's other processes are no business of ours.
    """
    cells = [c for box in boxes for seat in box._all for c in seat.cells.values()]
    known = {os.getpid(), host.bystander.pid}
    known |= {pid for c in cells for pid in (c._process.pid, c._zygote)}
    # Bubblewrap puts processes of its own between; the cell's two are then its last two.
    known |= {pid for c in cells if c.plan.tier == "bubblewrap" for pid in _chain(c._process.pid)}
    if any(c.plan.tier in CONTAINERS for c in cells):
        return []  # the engine's own processes come and go; what it leaves is looked at by the end
    parents, uids, names = {}, {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
                status = (entry / "status").read_text()
            except OSError:
                continue
            fields = text[text.rindex(")") + 2 :].split()
            pid = int(entry.name)
            if fields[0] == "Z" and fields[1] == str(os.getpid()):
                continue  # ended, and waits for us
            parents[pid], names[pid] = int(fields[1]), text[: text.rindex(")") + 3]
            uids[pid] = int(status.split("Uid:")[1].split()[0])
    slots = {c.plan.uid for c in cells if c.plan.uid is not None}
    ours = {p for p in parents if uids[p] in slots}
    wanted = [os.getpid()]
    while wanted:
        parent = wanted.pop()
        below = [p for p, of in parents.items() if of == parent]
        ours.update(below)
        wanted += below
    return [names[p] for p in ours - known if parents[p] != 0 and not _ancestor(p, parents)]


def _chain(top: int) -> list[int]:
    """Three generations below bubblewrap: its monitor's child, the keeper, the zygote."""
    found, at = [], [top]
    for _ in range(3):
        at = [
            int(e.name) for e in Path("/proc").iterdir() if e.name.isdigit() and _parent(e) in at
        ][:1]
        found += at
    return found


def _parent(entry: Path) -> int:
    try:
        text = (entry / "stat").read_text()
    except OSError:
        return -1
    return int(text[text.rindex(")") + 2 :].split()[1])


def _ancestor(pid: int, parents: dict[int, int]) -> bool:
    """Whether `pid` started this program."""
    at = os.getpid()
    while at in parents:
        at = parents[at]
        if at == pid:
            return True
    return False


def load() -> list[tuple[str, dict]]:
    found = []
    for file in sorted((HERE / "cases").glob("*.toml")):
        for case in tomllib.loads(file.read_text())["case"]:
            found.append((file.stem.split("_")[0], case))
    return found


async def attack(case: dict, box: Sandbox, host: Host) -> list[str]:
    """A resource or escape case: how it ended, and what it showed."""
    started = time.monotonic()
    outcome = await box.run(host.fill(case["code"]))
    took_s = time.monotonic() - started
    found = []
    if outcome.status == "fault":
        found.append(f"the cell failed: {outcome.detail}")
    wanted = case.get("status")
    if wanted and outcome.status not in wanted:
        found.append(f"{outcome.status} ({outcome.detail}) instead of {wanted}")
    limits = box.limits
    # A fork bomb's processes are ended one by one, which takes its time beside other jobs.
    if took_s > limits.patience_s + 30:
        found.append(f"took {took_s:.1f} s, starved for {outcome.starved_s:.1f}")
    if outcome.peak_mb > limits.memory_mb * 1.5 + 64 + 40:
        found.append(f"{outcome.peak_mb:.0f} MiB in one process")
    if len(outcome.stdout) > limits.output_mb << 20:
        found.append("more output than allowed")
    for shown in (outcome.stdout, outcome.stderr):
        if host.word.encode() in shown and b"secret-" + host.word.encode() in shown:
            found.append("the secret was read")
    if b"escaped" in outcome.stdout:
        found.append(f"it said {outcome.stdout[:100]!r}")
    return found


def correct_tests(case: dict) -> dict:
    if "entry" in case:
        expected = case.get("expected")
        if "expected_digits" in case:
            expected = 10 ** case["expected_digits"] - 1
        if "expected_range" in case:
            expected = list(range(case["expected_range"]))
        one = {"args": case["args"], "expected": expected}
        return {
            "kind": "calls",
            "entry": case["entry"],
            "cases": [one],
            "tolerance": case.get("tolerance", 0),
        }
    given = case.get("stdin", "") or "9" * case.get("stdin_nines", 0)
    output = case.get("stdout", "") or "9" * case.get("stdout_nines", 0) + "\n"
    if "stdout_lines" in case:
        output = "".join(f"{n}\n" for n in range(case["stdout_lines"]))
    return {"kind": "stdio", "cases": [{"input": given, "output": output}]}


async def one(kind: str, case: dict, tight: Sandbox, fair: Sandbox, host: Host) -> list[str]:
    if kind in ("resource", "escape"):
        return await attack(case, tight, host)
    if kind == "cheating":
        tests = TESTS[case["tests"]]
        verdict = await ProgramVerifier(tight).judge(case["code"], tests)
        found = ["it passed"] if verdict.kind in ("passed", "infra_error") else []
        if tests["kind"] == "assert" and case["name"] not in FORGES_FROM_INSIDE:
            inside = await ProgramVerifier(tight).judge(case["code"], {**tests, "forgeable": True})
            found += ["it passed from inside"] if inside.passed else []
        return found
    verdict = await ProgramVerifier(fair).judge(case["code"], correct_tests(case))
    return [] if verdict.passed else [f"{verdict.kind}: {verdict.detail}"]


FORGES_FROM_INSIDE: tuple[str, ...] = ()
"""Cheats that succeed where program and test share a process, as docs/sandbox.md says."""


async def still_right(box: Sandbox) -> list[str]:
    """Whether the cell judges right after what it went through, and kept nothing of it."""
    source = "import os\nprint(int(input()) + 1, os.listdir(os.environ['HOME']))"
    outcome = await box.run(source, stdin=b"41\n")
    if outcome.status == "timeout":  # a busy machine: the limits here are tight
        outcome = await box.run(source, stdin=b"41\n")
    if outcome.stdout != b"42 []\n":
        return [f"afterwards the cell says {outcome.status} {outcome.stdout!r} {outcome.stderr!r}"]
    return []


SHOWN_BY_GVISOR = (
    "devices", "the file systems of the kernel", "scheduling above others",
    "the environment of parents", "the memory of parents",
    "read and write one's parents' memory by file",
)  # fmt: skip
"""Its own kernel's, which say nothing of the host and reach nothing there; see docs/sandbox.md."""

HARMLESS = ("read a secret", "read /etc/passwd", "list the temp", "write a new", "overwrite",
            "truncate by", "TCP to", "an abstract", "io_uring", "run a host binary",
            "secrets in the env", "change a mode", "a nested user")  # fmt: skip


async def run(
    tier: str, only: list[str], verbose: bool, harmless: bool = False, landlock: int = 99
) -> dict:
    failures: dict[str, list[str]] = {}
    started = time.monotonic()
    count = 0
    with tempfile.TemporaryDirectory(prefix="suite-") as name:
        host = Host(Path(name))
        before = len(os.listdir("/proc/self/fd"))
        try:
            async with (
                Sandbox(TIGHT, tier, jobs=1, trust=True, _landlock_at_most=landlock) as tight,
                Sandbox(FAIR, tier, jobs=1, trust=True, _landlock_at_most=landlock) as fair,
            ):
                for kind, case in load():
                    label = f"{kind}: {case['name']}"
                    if only and not any(text in label for text in only):
                        continue
                    if harmless and not any(word in label for word in HARMLESS):
                        continue
                    if case.get("needs") == "semaphores" and tier in ("landlock", "gvisor"):
                        continue  # POSIX semaphores live in /dev/shm, which only a jail can give
                    if tier == "gvisor" and case["name"] in SHOWN_BY_GVISOR:
                        continue
                    forkless = tier == "landlock" and landlock < 6 and os.getuid() != 0
                    if forkless and kind == "correct" and "fork" in case["code"]:
                        continue  # without scopes a plain user's samples may not fork at all
                    at = time.monotonic()
                    count += 1
                    found = await one(kind, case, tight, fair, host)
                    found += host.harm()
                    found += [f"left running: {n}" for n in leftovers([tight, fair], host)]
                    found += await still_right(fair if kind == "correct" else tight)
                    if found:
                        failures[label] = found
                    if verbose:
                        print(
                            f"{time.monotonic() - at:6.2f} {label} {found or ''}", file=sys.stderr
                        )
            if (after := len(os.listdir("/proc/self/fd"))) > before:
                failures["descriptors"] = [f"{before} before, {after} after"]
            if left := leftovers([], host):
                failures["processes"] = left
        finally:
            host.close()
    return {
        "tier": tier,
        "uid": os.getuid(),
        "cases": count,
        "failures": failures,
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tier", required=True)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--container", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--landlock", type=int, default=99, help="imitate an older kernel's")
    parser.add_argument("--harmless", action="store_true", help="only attacks safe without a cell")
    options = parser.parse_args()
    Kernel().prctl(36, 1)
    if options.container:
        from container import imitate

        imitate()
    report = asyncio.run(
        run(options.tier, options.only, options.verbose, options.harmless, options.landlock)
    )
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
