"""Writes issues of SWE-bench as tasks in Harbor's layout: run as a program, JSON lines in and out.

    in    {"instance": ROW, "asked": TEXT, "folder": PATH}; without `folder` nothing is written
    out   {"instance_id", "image", "log_parser", "eval_type", "eval_script", ...}: the specification

    task.toml                a separate verifier; the change is collected by git as a patch
    instruction.md
    environment/Dockerfile   the issue's image
    tests/test.sh            applies the patch to a fresh image, runs eval.sh, grades its log
    tests/eval.sh            the harness's test script
    tests/spec.json          the tests that must pass, and the parser's name
    tests/harness/           the harness's own parsers and grading: nothing is fetched
    solution/                nothing: who runs an agent has no use for the answer

Nothing of orch is imported here, and swebench only here, since importing it reads `.env` files.
"""

from __future__ import annotations

import inspect
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

HARNESS = ("types.py", "harness/constants", "harness/grading.py", "harness/infra_failure.py",
           "harness/log_parsers")  # fmt: skip
PATCH = "/patch/patch.diff"
START = "/patch-start"

TASK = """schema_version = "1.4"
artifacts = [{{ source = "{patch}", destination = "patch.diff" }}]

[metadata]
instance_id = {instance_id}
repo = {repo}
base_commit = {base_commit}
version = {version}

[agent]
timeout_sec = 1800

[verifier]
timeout_sec = 2400
environment_mode = "separate"

[[verifier.collect]]
timeout_sec = 300
user = "root"
command = '''{collect}'''
"""

COLLECT = (
    "mkdir -p /patch && cd {workdir} && git add -A && "
    "git -c core.fileMode=false diff --cached --binary --no-color --no-ext-diff --no-textconv "
    "$(cat {start}) > {patch}"
)

DOCKERFILE = """FROM {image}
WORKDIR {workdir}
RUN git rev-parse HEAD > {start}
"""

TEST = """#!/bin/bash
# 1 to reward.txt if the issue is resolved, 0 if not; no reward where the environment failed.
set -u
logs=/logs/verifier
mkdir -p $logs
rm -f $logs/reward.txt
cd {workdir}
if [ ! -s {patch} ]; then echo 0 > $logs/reward.txt; exit 0; fi
applied=no
for way in {ways}; do
    if $way {patch}; then applied=yes; break; fi
    git checkout -q -- . ; git clean -fdq
done
if [ $applied = no ] && ! git apply --check --reverse {patch}; then
    echo "the patch does not apply"; echo 0 > $logs/reward.txt; exit 0
fi
bash /tests/eval.sh > $logs/test_output.txt 2>&1
for python in /opt/miniconda3/bin/python3 /usr/bin/python3 python3; do
    if $python -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2> /dev/null; then
        exec $python -I /tests/grade.py $logs
    fi
done
echo "no Python of 3.10 or newer grades here"; exit 1
"""

GRADE = '''"""Grades the log of an issue's tests by the harness's own parser and rule."""

import json
import sys
from pathlib import Path

sys.path.insert(0, "/tests/harness")
sys.path.insert(0, str(Path(__file__).parent / "harness"))

from swebench.harness.grading import get_eval_report
from swebench.types import TestSpec

logs = Path(sys.argv[1])
spec = TestSpec(**json.loads((Path(__file__).parent / "spec.json").read_text()))
prediction = {"instance_id": spec.instance_id, "model_name_or_path": "orch", "model_patch": "-"}
report = get_eval_report(spec, prediction, str(logs / "test_output.txt"), True)[spec.instance_id]
(logs / "report.json").write_text(json.dumps(report, indent=2))
if report["resolved"] or not report["infra_failure"]:
    (logs / "reward.txt").write_text("1" if report["resolved"] else "0")
'''


def specification(instance: dict[str, Any]) -> Any:
    """The official specification of a row."""
    from swebench.harness.constants import EvalType
    from swebench.harness.log_parsers import PARSER_REGISTRY
    from swebench.harness.utils import make_test_spec

    spec = make_test_spec(instance)
    if spec.log_parser not in PARSER_REGISTRY:
        raise SystemExit(f"{spec.instance_id} names an unknown log parser, {spec.log_parser!r}")
    EvalType(spec.eval_type)
    return spec


def write(instance: dict[str, Any], spec: Any, asked: str, folder: Path) -> None:
    """The task's folder, whole or not there."""
    import swebench
    from swebench.harness.run_evaluation import GIT_APPLY_CMDS
    from swebench.image_builder.constants import CONTAINER_WORKDIR
    from swebench.utils import ansi_escape

    names = {"workdir": CONTAINER_WORKDIR, "patch": PATCH, "start": START, "image": spec.image}
    ways = " ".join(f"'{way}'" for way in GIT_APPLY_CMDS)
    facts = {name: json.dumps(str(instance[name]))
             for name in ("instance_id", "repo", "base_commit", "version")}  # fmt: skip
    files = {
        "task.toml": TASK.format(**names, **facts, collect=COLLECT.format(**names)),
        "instruction.md": asked,
        "environment/Dockerfile": DOCKERFILE.format(**names),
        "tests/test.sh": TEST.format(**names, ways=ways),
        "tests/eval.sh": spec.eval_script,
        "tests/grade.py": GRADE,
        "tests/spec.json": json.dumps(asdict(spec), indent=2),
    }
    scratch = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    for name, text in files.items():
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    package, copy = Path(swebench.__file__).parent, scratch / "tests" / "harness" / "swebench"
    for name in HARNESS:
        source, target = package / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for place in (copy, copy / "harness"):
        (place / "__init__.py").write_text("")
    # The whole module needs a library that images have not; the parsers need one function of it.
    (copy / "utils.py").write_text(f"import re\n\n\n{inspect.getsource(ansi_escape)}")
    if not folder.exists():
        scratch.rename(folder)


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        spec = specification(asked["instance"])
        if asked.get("folder"):
            write(asked["instance"], spec, asked["asked"], Path(asked["folder"]))
        told = {**asdict(spec), "eval_script": spec.eval_script}
        sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
