"""What the four packages promise to whoever imports them, and that importing it stays cheap."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

PACKAGES = ["budgets", "orchestrator", "providers", "verifiers"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_promised_name_loads_and_says_what_it_is(package: str) -> None:
    module = import_module(package)
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        thing = getattr(module, name)
        assert thing.__name__ == name
        assert thing.__doc__ and len(thing.__doc__) > 10, f"{package}.{name} has no docstring"
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = module.Nothing


@pytest.mark.parametrize("package", PACKAGES)
def test_the_examples_of_a_face_run(package: str) -> None:
    result = doctest.testmod(import_module(package))
    assert result.attempted and not result.failed


@pytest.mark.parametrize("package", ["providers", "verifiers", "orchestrator"])
def test_importing_a_face_loads_nothing_heavy(package: str) -> None:
    code = f"import sys; import {package}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ran.stdout.split()}
    assert not loaded & {"numpy", "rich", "msgspec", "asyncio", "click", "openai", "httpx2"}


def test_a_study_runs_from_python(tmp_path: Path) -> None:
    from orchestrator import Arm, Study, load, run

    arm = Arm("local", "arithmetic", samples=3, gpu_hour="0.10")
    ending = run(Study([arm], budget="1.00", limit=4), tmp_path / "run")
    assert ending.exit_code == 0
    report = load(tmp_path / "run")
    assert report.arms[0].n == (3, 3, 3, 3)


def test_a_study_that_cannot_be_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    from orchestrator import Arm, ConfigError, Study, run

    with pytest.raises(ConfigError, match="unknown policy 'nothing'"):
        run(Study([Arm("local", "arithmetic", policy="nothing")]), tmp_path / "run")
    assert not (tmp_path / "run").exists()
