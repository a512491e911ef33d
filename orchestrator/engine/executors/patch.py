"""The change between two work trees, as a patch that `git apply` takes.

Both trees are unpacked into fresh directories, without links that lead out, and compared by
`git diff --no-index` there: nothing that an agent configured (hooks, filters, textconv) is run.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

MOST_BYTES = 32 * 2**20
"""Of a patch."""
MOST_TREE_BYTES = 256 * 2**20
"""Of a work tree that is read back."""
_LEFT_OUT = ("__pycache__", ".pytest_cache", ".mypy_cache", "node_modules")
_CALM = {
    "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1",
    "HOME": "/nonexistent", "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8",
}  # fmt: skip


class NoGit(Exception):
    """git is not installed, and without it no patch can be made."""


def difference(before: bytes, after: bytes) -> str:
    """The patch from one tar to the other; "" where nothing changed. Raises NoGit."""
    if shutil.which("git") is None:
        raise NoGit("git is not installed, and the change an agent made is read with it")
    with tempfile.TemporaryDirectory(prefix="orch-patch-") as place:
        for name, tree in (("a", before), ("b", after)):
            unpack(tree, Path(place, name))
        done = subprocess.run(
            ["git", "diff", "--no-index", "--no-prefix", "--no-ext-diff", "--no-textconv",
             "--no-color", "--binary", "--no-renames", "a", "b"],
            cwd=place, env=_CALM, capture_output=True, check=False, timeout=120,
        )  # fmt: skip
    return done.stdout[:MOST_BYTES].decode("utf-8", "replace")


def unpack(tree: bytes, place: Path) -> None:
    """A tar's files in a fresh directory; what leads out of it, and what is made by running, is
    left out."""
    place.mkdir()
    if not tree:
        return
    with tarfile.open(fileobj=io.BytesIO(tree)) as tar:
        for entry in tar:
            if any(part in _LEFT_OUT for part in Path(entry.name).parts):
                continue
            try:
                tar.extract(entry, place, filter="data")
            except (tarfile.FilterError, OSError):
                continue


def tar_of(folder: Path, most: int = MOST_TREE_BYTES) -> tuple[bytes, int]:
    """A folder's files as a tar, without `.git`, and how many were left out as too large.

    A sparse file counts as long as it says it is.
    """
    made, total, left_out = io.BytesIO(), 0, 0
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if ".git" in inside.parts or not (path.is_file() or path.is_symlink()):
                continue
            total += path.lstat().st_size
            if total > most:
                total -= path.lstat().st_size
                left_out += 1
                continue
            tar.add(path, str(inside), recursive=False)
    return made.getvalue(), left_out
