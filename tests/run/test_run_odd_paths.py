"""Whatever stands in place of a path or a word: every command ends, in a sentence, and is no fault.

The commands and their parameters are asked of the command line itself, so that a new option is
tried by itself. A command needs a line of BASE, words with which it comes to read what it is given.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from tests.run.conftest import ROOT, environment
from tests.run.forked import all_commands

WHOLE = ROOT / "tests/run/data/schema_8"

BASE = {
    "run": "--provider local --task arithmetic --samples 1 --limit 1 --dry-run",
    "backup": "../whole copy",
    "budget accept": "../whole --why x",
    "budget resolve": "../whole --usd 0",
    "budget show": "../whole",
    "check": "../whole",
    "doctor": "",
    "export": "jsonl ../whole -o rows.jsonl",
    "gateway": "--provider compatible --base-url http://127.0.0.1:9 --model m --prices ../p.toml"
    " --budget 1 -- true",
    "hold": "--lease 1 -- true",
    "import counts": "../c.csv --to new.json",
    "import harbor": "../empty --to new.json",
    "import human-eval": "../c.csv --to new.json",
    "import inspect": "../c.csv --to new.json",
    "import jsonl": "../c.csv --to new.json",
    "import lm-eval": "../c.csv --to new.json",
    "import monkey_business": "../c.csv --to new.json",
    "import swebench": "../c.csv --to new.json",
    "judge": "../j.jsonl",
    "prices": "gpt-4o-mini",
    "report": "../whole",
    "reproduce cost-table": "",
    "reproduce coverage": "../c.csv",
    "reproduce flaky": "../c.csv",
    "reproduce selection": "../c.csv",
    "runs": "..",
    "samples": "../whole",
    "serve": "--port 0",
    "verify": "../whole",
}
"""Words of a command that works, or nearly."""

PATHS = ("pipe", "zero", "socket", "folder", "broken", "long", "bytes", "snow")
RUNS = ("run.db", "study.toml", "run.seal", "lock", "summary.json")
SKIPPED = {"gateway": {"command"}, "hold": {"command"}}
"""What follows is a program of somebody else's."""


@dataclass(frozen=True)
class Case:
    words: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return " ".join(word[:60] for word in self.words) + " ".join(map(str, self.env))


def odd(folder: Path) -> dict[str, str]:
    """By name, what stands for a path: nothing of it is a regular file that is there."""
    os.mkfifo(folder / "pipe")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "broken").symlink_to("broken")
    (folder / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "socket"))
    made_of = {name: f"../{name}" for name in PATHS}
    return {**made_of, "long": "x" * 5000, "bytes": "\udcff\udc80x", "snow": "☃"}


def odd_runs(folder: Path) -> list[str]:
    """Directories that look like runs, each with a file that is none."""
    found = []
    for name in RUNS:
        for kind in ("pipe", "zero", "folder", "socket", "empty", "noise"):
            run = folder / f"{kind}-{name}"
            shutil.copytree(WHOLE, run)
            path = run / name
            path.unlink(missing_ok=True)
            if kind == "pipe":
                os.mkfifo(path)
            elif kind == "zero":
                path.symlink_to("/dev/zero")
            elif kind == "folder":
                path.mkdir()
            elif kind == "socket":
                path.symlink_to(folder / "socket")
            else:
                path.write_bytes(b"" if kind == "empty" else b"\xff\0noise" * 999)
            found.append(f"../{run.name}")
    return found


def house(folder: Path) -> Path:
    """What the words of BASE name; returns where commands run."""
    shutil.copytree(WHOLE, folder / "whole")
    (folder / "empty").mkdir()
    (folder / "c.csv").write_text("task,model,problem,n,c\nt,m,p,10,3\n")
    (folder / "p.toml").write_text('[models."m"]\ninput = "1"\noutput = "1"\n')
    (folder / "j.jsonl").write_text("{}\n")
    return folder


def given_to(words: str, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """The words of BASE with one more option, or with another argument in the place of theirs."""
    base = words.split()
    if isinstance(parameter, click.Option):
        at = base.index("--") if "--" in base else len(base)
        return (*base[:at], parameter.opts[0], value, *base[at:])
    first = next((at for at, word in enumerate(base) if word.startswith("..")), len(base))
    return (*base[:first], value, *base[first + 1 :])


def takes_text(parameter: click.Parameter) -> bool:
    return not (isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count))


def cases(folder: Path) -> Iterator[Case]:
    values, runs = odd(folder), odd_runs(folder)
    for name, command in all_commands().items():
        for parameter in command.params:
            if not takes_text(parameter) or parameter.name in SKIPPED.get(name, ()):
                continue
            for value in values.values():
                yield Case((*name.split(), *given_to(BASE[name], parameter, value)))
            if parameter.name in ("run", "runs", "resume"):
                for run in runs:
                    yield Case((*name.split(), *given_to(BASE[name], parameter, run)))
            if name == "run" and isinstance(parameter, click.Option):
                variable = f"ORCH_{parameter.opts[0].lstrip('-').replace('-', '_').upper()}"
                for value in (values["bytes"], values["pipe"]):
                    yield Case(("run", *BASE["run"].split()), ((variable, value),))
    for value in ("X: ☃", "X: \udcff", "X: a\nY: b", "☃: x", ": x", "X"):
        yield Case(("run", *BASE["run"].split(), "--header", value))


def test_every_command_has_a_line_here() -> None:
    assert set(BASE) == set(all_commands())


def wrong(case: Case, code: int | None, said: str) -> str:
    """Why an end is not as it should be; "" where it is."""
    if code is None:
        served = case.words[0] in ("serve", "gateway") and "http://127.0.0.1" in said
        waits = case.words[0] == "judge" and "../pipe" in case.words
        return "" if served or waits else "did not end"
    if "Traceback" in said or "fault of orch" in said:
        return "is a fault"
    return "" if code in (0, 1, 2, 4) else f"ended with {code}"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_odd_paths_and_words_end_in_a_sentence(tmp_path: Path) -> None:
    found = list(cases(house(tmp_path)))
    (tmp_path / "here").mkdir()
    ends = ended(found, tmp_path / "here")
    bad = [f"{case}: {why}\n{said[-600:]}" for case, (code, said) in zip(found, ends, strict=True)
           if (why := wrong(case, code, said))]  # fmt: skip
    print(f"{len(found)} commands, {len(bad)} of them not as they should be")
    assert not bad, "\n".join(bad)


def ended(found: list[Case], here: Path) -> Iterator[tuple[int | None, str]]:
    """How each command ended; all of them run one after the other, in the same folder."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.run.forked"], cwd=ROOT, env=environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        for case in found:
            line = {"words": case.words, "env": dict(case.env), "folder": str(here)}
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()
            said = json.loads(process.stdout.readline())
            yield said["code"], said["said"]
        process.stdin.close()
