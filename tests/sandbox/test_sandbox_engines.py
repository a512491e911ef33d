"""Cells in containers: the command line for every engine, and the real thing where one runs."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from verifiers.sandbox import Limits, NoSandbox, Sandbox, engines, layout, tiers
from verifiers.sandbox.confine import CONTAINERS, LAYERS, Confinement
from verifiers.sandbox.flavour import Flavour, make_plan

SUITE = Path(__file__).with_name("suite.py")


def plan_for(
    tier: str, uid: int | None = 1_960_000_000, paths: tuple[str, ...] = ()
) -> Confinement:
    return make_plan(
        Flavour(paths=paths),
        tier,
        tiers.layers(tier, LAYERS),
        layout.interpreter(),
        Limits(),
        uid,
        "",
    )


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program named like an engine, which answers what an engine would and notes its words."""
    name, answer = request.param
    program = tmp_path / name
    program.write_text(f"#!/bin/sh\necho \"$@\" >> {tmp_path}/asked\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    engines.engine_of.cache_clear()
    return str(name)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    engines.engine_of.cache_clear()


@pytest.mark.parametrize(
    ("engine", "tier", "begins"),
    [
        (("docker", '{"Runtimes": {"runc": {}}}'), "docker", ["docker", "run"]),
        (("podman", "{}"), "podman", ["podman", "run"]),
        (
            ("docker", '{"Runtimes": {"runsc": {}}}'),
            "gvisor",
            ["docker", "run", "--runtime", "runsc"],
        ),
    ],
    indirect=["engine"],
)
def test_the_command_line_of_a_container(engine: str, tier: str, begins: list[str]) -> None:
    container = engines.Container(plan_for(tier), sys.executable)
    try:
        words = container.command()
    finally:
        container.close()
    assert words[: len(begins)] == begins
    options = " ".join(words)
    for wanted in (
        "--network none", "--read-only", "--cap-drop ALL", "--security-opt no-new-privileges",
        f"--pids-limit {2064 if tier == 'gvisor' else 72}", "--memory 1296m",
        "--memory-swap 1296m", "--pull never", "--rm",
        "--user 0:0" if tier == "gvisor" else "--user 1960000000:1960000000",
    ):  # fmt: skip
        assert wanted in options
    assert "--privileged" not in options and "--device" not in options
    mounts = [w for before, w in pairwise(words) if before == "--mount"]
    fields = [next(csv.reader([mount])) for mount in mounts]
    writable = [f for f in fields if "readonly" not in f]
    assert [f[2] for f in writable] == [f"target={engines.DOOR}"]
    shown = {f[1].removeprefix("source=") for f in fields}
    assert not any(os.path.realpath(place) in shown for place in ("/", "/etc", "/home", "/root"))
    assert words[-1].startswith("localhost/orch-cell:")


@pytest.mark.parametrize("engine", [("docker", '{"Runtimes": {}}')], indirect=True)
def test_a_path_with_a_comma_is_quoted(engine: str, tmp_path: Path) -> None:
    place = tmp_path / "a, b"
    place.mkdir()
    container = engines.Container(plan_for("docker", paths=(str(place),)), sys.executable)
    try:
        rows = [next(csv.reader([word])) for word in container.command() if "a, b" in word]
    finally:
        container.close()
    assert rows and rows[0][1] == f"source={place}"


@pytest.mark.parametrize("tier", CONTAINERS)
def test_without_an_engine_the_tier_is_refused_with_advice(
    tier: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    engines.engine_of.cache_clear()
    with pytest.raises(NoSandbox, match=f"`sandbox` {tier} does not work here .*not installed"):
        tiers.candidates(tier, trust=False)


@pytest.mark.parametrize("engine", [("docker", '{"Runtimes": {"runc": {}}}')], indirect=True)
def test_gvisor_needs_its_runtime(engine: str) -> None:
    with pytest.raises(NoSandbox, match="no runtime runsc"):
        engines.engine_of("gvisor")


@pytest.mark.parametrize("engine", [("docker", "{}")], indirect=True)
async def test_a_container_that_does_not_start_is_refused_with_the_engine_s_words(
    engine: str,
) -> None:
    with pytest.raises(NoSandbox, match=r"the sandbox docker: the container did not start"):
        async with Sandbox(tier="docker", jobs=1):
            pass


def works(tier: str) -> bool:
    if os.getuid() != 0:
        return False  # Without root an engine needs ranges of users that somebody has to set up.
    engines.engine_of.cache_clear()
    try:
        engines.engine_of(tier)
    except NoSandbox:
        return False
    return True


@pytest.mark.parametrize("tier", CONTAINERS)
async def test_a_sample_runs_in_a_container_and_leaves_nothing(tier: str) -> None:
    if not works(tier):
        pytest.skip(f"no engine here for {tier}")
    limits = Limits(wall_s=20, cpu_s=20)
    async with Sandbox(limits, tier, jobs=1) as box:
        source = "import os\nprint(int(input()) + 1)\nopen('/tmp/left', 'w').write('x')"
        assert (await box.run(source, stdin=b"41\n")).stdout == b"42\n"
        again = await box.run("import os\nprint(os.listdir('/tmp'), os.path.exists('/home'))")
        assert again.stdout == b"[] False\n" and again.tier == tier
        outcomes = await box.call("def f(a): return a * 2", entry="f", args=[[1], [2]])
        assert [outcome.value for outcome in outcomes] == [2, 4]
        name = next(iter(box._all[0].cells.values()))._container.name  # type: ignore[union-attr]
    engine = engines.engine_of(tier)[0]
    listed = subprocess.run([engine, "ps", "-aq", "--filter", f"name={name}"], capture_output=True)
    assert listed.stdout.strip() == b""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("tier", ("docker", "podman"))
def test_every_attack_is_contained_in_a_container(tier: str) -> None:
    if not works(tier):
        pytest.skip(f"no engine here for {tier}")
    done = subprocess.run(
        [sys.executable, "-B", str(SUITE), "--tier", tier], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert '"failures": {}' in done.stdout
