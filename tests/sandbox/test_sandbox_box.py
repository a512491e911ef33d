"""Sandbox as its users see it: programs, calls, tests, tools, limits, cancelling, endings."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from verifiers.sandbox import Limits, NoSandbox, Sandbox, SandboxFault, package_paths
from verifiers.sandbox.kernel import Kernel

ROOT = Path(__file__).resolve().parents[2]
EASY = Limits(wall_s=20, cpu_s=20)


async def test_a_program_a_function_and_an_exception() -> None:
    async with Sandbox(EASY, jobs=1) as box:
        outcome = await box.run("print(sum(map(int, input().split())))", stdin=b"3 4\n")
        assert (outcome.status, outcome.stdout, outcome.exit_code) == ("ok", b"7\n", 0)
        assert outcome.tier == box.tier and outcome.scratch and outcome.cpu_s > 0
        calls = await box.call("def f(*a): return sum(a)", entry="f", args=[[1, 2], [3]])
        assert [c.value for c in calls] == [3, 3]
        (bad,) = await box.call("def f(): return 1 // 0", entry="f", args=[[]])
        assert bad.status == "raised" and bad.detail.startswith("ZeroDivisionError")
        (none,) = await box.call("x = 1", entry="f", args=[[]])
        assert none.status == "missing" and "there is no f" in none.whole.detail
        failed = await box.run("raise ValueError('told')")
        assert failed.status == "error" and "ValueError: told" in failed.detail
        assert b'File "/tmp/solution.py", line 1' in failed.stderr


async def test_ordinary_signals_end_a_sample() -> None:
    async with Sandbox(EASY, jobs=1) as box:
        for number in (signal.SIGTERM, signal.SIGSEGV, signal.SIGALRM, signal.SIGABRT):
            outcome = await box.run(f"import os; os.kill(os.getpid(), {int(number)}); print(1)")
            assert (outcome.status, outcome.signal) == ("crashed", number)


async def test_values_cross_exactly() -> None:
    source = "def f(x): return x"
    values = [
        None, True, 0, -(1 << 200), 1.5, float("inf"), "é\ud800", b"\0", (1, (2,)), [()], {1: {2}},
        {(1, 2): frozenset({3})}, 2 + 3j, range(3), "", [], {}, 1e308,
    ]  # fmt: skip
    async with Sandbox(EASY, jobs=1) as box:
        outcomes = await box.call(source, entry="f", args=[[v] for v in values])
        for value, outcome in zip(values, outcomes, strict=True):
            assert outcome.value == value and type(outcome.value) is type(value)
        with pytest.raises(TypeError):
            await box.call(source, entry="f", args=[[object()]])


async def test_several_inputs_in_one_process_stay_apart() -> None:
    async with Sandbox(EASY, jobs=1) as box:
        outcomes = await box.run_many("x = input()\nprint(x * 2)", [b"a\n", b"b\n", b"c\n"])
        assert [o.stdout for o in outcomes] == [b"aa\n", b"bb\n", b"cc\n"]
        outcomes = await box.run_many("assert input() != 'b'\nprint(1)", [b"a\n", b"b\n", b"c\n"])
        assert [o.status for o in outcomes] == ["ok", "error"]


async def test_a_seat_each_and_results_in_order() -> None:
    async with Sandbox(EASY, jobs=2) as box:
        sources = [f"import time; time.sleep(0.0{n % 3}); print({n})" for n in range(20)]
        outcomes = await asyncio.gather(*(box.run(s) for s in sources))
        assert [o.stdout for o in outcomes] == [b"%d\n" % n for n in range(20)]


async def test_cancelling_kills_the_sample_and_the_seat_goes_on() -> None:
    async with Sandbox(Limits(wall_s=60, cpu_s=60), jobs=1) as box:
        await box.run("pass")
        task = asyncio.create_task(box.run("while True: pass"))
        await asyncio.sleep(0.3)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        outcome = await box.run("print(1)")
        assert outcome.stdout == b"1\n"
        assert time.monotonic() - started < 30


async def test_a_cell_that_is_killed_is_replaced() -> None:
    async with Sandbox(EASY, jobs=1) as box:
        await box.run("pass")
        (cell,) = box._all[0].cells.values()
        os.kill(cell._zygote, signal.SIGKILL)
        assert (await box.run("print(1)")).stdout == b"1\n"


async def test_nothing_of_one_sample_reaches_the_next() -> None:
    async with Sandbox(EASY, jobs=1) as box:
        await box.run("import os, sys\nopen('left', 'w').write('x')\nos.mkdir('dir')\nsys.x = 1")
        outcome = await box.run("import os, sys\nprint(os.listdir('.'), hasattr(sys, 'x'))")
        assert outcome.stdout == b"[] False\n"


async def test_cells_are_recycled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verifiers.sandbox.cells._RECYCLE_AFTER", 3)
    async with Sandbox(EASY, jobs=1) as box:
        await box.run("pass")
        (first,) = box._all[0].cells.values()
        for _ in range(4):
            assert (await box.run("print(1)")).stdout == b"1\n"
        (later,) = box._all[0].cells.values()
        assert later is not first and later.usable


async def test_a_trusted_function_by_name_and_by_source() -> None:
    async with Sandbox(EASY, jobs=1) as box:
        roots = await box.tool(entry="math:sqrt", args=[[4], [9]])
        assert [r.value for r in roots] == [2.0, 3.0]
        (answer,) = await box.tool(entry="helper:f", source="def f(x): return x + 1", args=[[1]])
        assert answer.value == 2


async def test_a_tool_sees_its_packages_and_its_project_and_no_more(tmp_path: Path) -> None:
    package = tmp_path / "packages"
    package.mkdir()
    (package / "told.py").write_text(
        "STATE = []\ndef warm(): STATE.append(1)\ndef f(): return STATE\n"
    )
    project = tmp_path / "project"
    project.mkdir()
    (project / "data").write_text("content")
    async with Sandbox(EASY, jobs=1, preload=["told"], warm=["told:warm"], paths=[package]) as box:
        (answer,) = await box.tool(entry="told:f")
        assert answer.value == [1]
        source = "def f(p):\n    return open(p).read()"
        name = str(project / "data")
        seen = (
            name if box.tier != "namespaces" or not name.startswith("/tmp/") else f"/shared{name}"
        )
        (read,) = await box.tool(entry="x:f", source=source, args=[[seen]], project=project)
        assert read.value == "content"
        (refused,) = await box.tool(entry="x:f", source=source, args=[[seen]])
        assert refused.status == "raised"


async def test_a_command_as_a_tool() -> None:
    cat = os.path.realpath(shutil.which("cat") or "/bin/cat")
    async with Sandbox(EASY, jobs=1) as box:
        libraries = ["/lib64", "/lib"]
        outcome = await box.tool([cat], stdin=b"through", programs=[cat, *libraries])
        assert outcome.stdout == b"through", outcome
        shadow = await box.tool([cat, "/etc/shadow"], programs=[cat, *libraries])
        assert shadow.status == "error" and shadow.stdout == b""


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
async def test_cpp_is_compiled_in_the_cell_and_kept() -> None:
    source = (
        "#include <bits/stdc++.h>\n"
        "int main() { long a, b; std::cin >> a >> b; std::cout << a + b; }"
    )
    async with Sandbox(EASY, jobs=2) as box:
        program = await box.program(source, "cpp")
        assert await box.program(source, "cpp") is program
        outcomes = await box.run_many(program, [b"1 2", b"3 4"])
        assert [o.stdout for o in outcomes] == [b"3", b"7"]
        broken = await box.program("int main() { return x; }", "cpp")
        (failed,) = await box.run_many(broken, [b""])
        assert failed.status == "error" and b"was not declared" in failed.stderr
        for leak in ('#include "/etc/passwd"', 'asm(".incbin \\"/etc/passwd\\""); int main(){}'):
            program = await box.program(leak, "cpp")
            (outcome,) = await box.run_many(program, [b""])
            assert b"root:" not in outcome.stderr + outcome.stdout
            assert outcome.status == "error"


async def test_cpp_limits_hold() -> None:
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    small = Limits(wall_s=3, cpu_s=1, memory_mb=64)
    async with Sandbox(small, jobs=1) as box:
        spin = await box.program("int main() { for (volatile long i = 0;; ++i); }", "cpp")
        ((outcome),) = await box.run_many(spin, [b""])
        assert outcome.status == "timeout"
        hungry = await box.program(
            "#include <vector>\nint main() { std::vector<char> v(1L << 30, 1); return v[5]; }",
            "cpp",
        )
        (outcome,) = await box.run_many(hungry, [b""])
        assert outcome.status in ("memory", "crashed")
        host = '#include <cstdio>\nint main() { return fopen("/etc/passwd", "r") ? 0 : 3; }'
        (outcome,) = await box.run_many(await box.program(host, "cpp"), [b""])
        assert outcome.exit_code == 3


async def test_numpy_samples() -> None:
    try:
        paths = package_paths("numpy")
    except SandboxFault:
        pytest.skip("numpy is not installed")
    async with Sandbox(EASY, jobs=1, preload=["numpy"], paths=paths) as box:
        source = "import numpy as np\ndef f(n): return np.linalg.inv(np.eye(n) * 2), np.float64(1)"
        (outcome,) = await box.call(source, entry="f", args=[[2]])
        assert outcome.value == ([[0.5, 0.0], [0.0, 0.5]], 1.0)


async def test_numpy_is_noticed_without_being_asked_for() -> None:
    pytest.importorskip("numpy")
    async with Sandbox(EASY, jobs=1) as box:
        outcome = await box.run("import numpy as np\nprint(np.arange(4).sum())")
        assert outcome.stdout == b"6\n", outcome


async def test_scratch_directories_of_killed_processes_are_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not Kernel().landlock_abi():
        pytest.skip("this kernel has no Landlock")
    monkeypatch.setattr("verifiers.sandbox.slots._SETTLING_S", 0.0)
    script = (
        f"import asyncio, os, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from verifiers.sandbox import Sandbox\n"
        "async def main():\n"
        "    box = Sandbox(tier='landlock', jobs=1)\n"
        "    await box.start()\n"
        "    print(box._slots._scratch, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    left = Path(done.stdout.strip())
    assert left.exists()
    async with Sandbox(EASY, tier="landlock", jobs=1) as box:
        assert (await box.run("print(1)")).stdout == b"1\n"
        assert not left.exists()


async def test_names_of_tiers() -> None:
    with pytest.raises(NoSandbox, match="i_trust_this_code"):
        await Sandbox(tier="none").start()
    with pytest.raises(NoSandbox, match="no sandbox named"):
        await Sandbox(tier="moat").start()
    async with Sandbox(EASY, tier="none", trust=True, jobs=1) as box:
        assert (await box.run("print(1)")).tier == "none"


def test_limits_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="wall_s must be above zero"):
        Limits(wall_s=0)


@pytest.mark.parametrize("tier", ["namespaces", "landlock"])
def test_the_death_of_the_judge_ends_everything(tier: str) -> None:
    """SIGKILL to the process that holds the sandbox leaves no process of it."""
    script = (
        f"import asyncio, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from verifiers.sandbox import Sandbox, Limits, NoSandbox\n"
        "async def main():\n"
        f"    box = Sandbox(Limits(wall_s=100, cpu_s=100), {tier!r}, jobs=2)\n"
        "    await box.run('pass')\n"
        "    cells = [c for s in box._all for c in s.cells.values()]\n"
        "    source = 'import os, time\\nos.fork()\\ntime.sleep(1000)'\n"
        "    tasks = [asyncio.create_task(box.run(source)) for _ in range(2)]\n"
        "    await asyncio.sleep(1)\n"
        "    cells = [c for s in box._all for c in s.cells.values()]\n"
        "    pids = [p for c in cells for p in (c._process.pid, c._zygote)]\n"
        "    print(*pids, flush=True)\n"
        "    await asyncio.gather(*tasks)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as judge:
        assert judge.stdout is not None
        pids = [int(word) for word in judge.stdout.readline().split()]
        assert len(pids) == 4, "the sandbox did not start"
        below = _descendants(judge.pid)
        assert len(below) >= 6
        judge.kill()
    deadline = time.monotonic() + 150
    while any(_alive(pid) for pid in below):
        assert time.monotonic() < deadline, [pid for pid in below if _alive(pid)]
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text[text.rindex(")") + 2] != "Z"


def _descendants(ancestor: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(text[text.rindex(")") + 2 :].split()[1])
    found, wanted = set[int](), [ancestor]
    while wanted:
        at = wanted.pop()
        below = [pid for pid, parent in parents.items() if parent == at]
        found.update(below)
        wanted += below
    return found
