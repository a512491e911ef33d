"""Two servers of a real vLLM against one, on the same machine and plan: `orch run --launch N`.

    python -m benchmarks.fleet_vllm [--vllm PATH] [--for 60] [--rounds 2]

Without a vLLM the servers are the bundled ones.

Output tokens a second from the moment at which every server of a run has answered, and the seconds
of CPU that each kind of process spent in that time: where the cores are all busy with one server
already, a second one has nothing to run on.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

from providers.fleet import holds
from providers.tiny import MODEL_ID
from providers.tiny.weights import BUNDLED

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = 1_000_000
"""Of each problem: more than anybody waits for."""
SERVER = "--enforce-eager --dtype float32 --block-size 32 --max-num-seqs 64"
SMALL = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1",
    "OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}  # fmt: skip
TICKS = os.sysconf("SC_CLK_TCK")
FIRST = """SELECT max(first) FROM (SELECT min(at) AS first FROM served WHERE ending = 'answered'
           GROUP BY server) HAVING count(*) = ?"""


def cpu(orch: int) -> Counter[str]:
    """Seconds of CPU so far, by the name of the process: of every held server, and of orch."""
    spent: Counter[str] = Counter()
    for pid in [orch, *(one.pid for hold in holds.still_held() for one in hold.left())]:
        with suppress(OSError):
            head, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
            fields = rest.split()
            name = "orch" if pid == orch else head.partition("(")[2]
            spent[name] += (int(fields[11]) + int(fields[12])) / TICKS
    return spent


def one(servers: int, vllm: str, for_s: float, place: Path) -> tuple[float, Counter[str]]:
    """Tokens a second and the CPU by process, over so long."""
    run = place / "run"
    engine = ["--model", str(BUNDLED), "--vllm", vllm, "--server-arg", SERVER]
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "run", "--provider", "local", "--launch",
         str(servers), *(engine if vllm else ["--model", MODEL_ID]),
         "--task", "arithmetic", "--limit", "20", "--samples", str(SAMPLES), "--gpu-hour", "0.5",
         "--budget", "5", "--display", "none", "--out", str(place), "--name", "run"],
        cwd=ROOT, env={**os.environ, **SMALL}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    began_at, before, last = 0.0, Counter[str](), Counter[str]()
    while process.poll() is None:
        time.sleep(0.5)
        if not began_at:
            with (
                suppress(sqlite3.OperationalError),
                closing(sqlite3.connect(f"file:{run / 'run.db'}?mode=ro", uri=True)) as database,
            ):
                row = database.execute(FIRST, (servers,)).fetchone()
                began_at = time.time() if row and row[0] else 0.0
                before = cpu(process.pid) if began_at else before
        elif not last and time.time() >= began_at + for_s:
            last = cpu(process.pid)
            process.send_signal(signal.SIGINT)
    if not last:
        raise SystemExit(f"the run with {servers} servers ended with {process.returncode}")
    with closing(sqlite3.connect(run / "run.db")) as database:
        query = "SELECT sum(output_tokens) FROM answers WHERE sent_at + latency_s BETWEEN ? AND ?"
        (tokens,) = database.execute(query, (began_at, began_at + for_s)).fetchone()
    last.subtract(before)
    return tokens / for_s, last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vllm", default="")
    parser.add_argument("--for", type=float, default=60.0, dest="for_s", metavar="SECONDS")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="fleet-state-") as state:
        os.environ["XDG_STATE_HOME"] = state
        for _ in range(given.rounds):
            for servers, found in rates.items():
                with tempfile.TemporaryDirectory(prefix="fleet-vllm-") as place:
                    rate, spent = one(servers, given.vllm, given.for_s, Path(place))
                found.append(rate)
                told = ", ".join(f"{name} {used:.1f}" for name, used in spent.most_common(6))
                busy = sum(spent.values()) / given.for_s
                print(
                    f"{servers} servers: {rate:8,.0f} tokens/s; {busy:.2f} cores busy "
                    f"(seconds of CPU: {told})",
                    flush=True,
                )
    print(f"two over one: {sum(rates[2]) / sum(rates[1]):.2f}")


if __name__ == "__main__":
    main()
