"""Files that are whole or not there: written beside their place and moved, whoever dies then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

BEGUN = ".new"
"""How the name of a file ends that is not whole yet; a kill may leave one."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that takes its name once the block has ended well; raises OSError."""
    # The process in its name: two that write one file do not write into each other.
    scratch = path.with_name(f"{path.name}.{os.getpid()}{BEGUN}")
    try:
        with scratch.open("wb") as file:
            yield file
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all; raises OSError, UnicodeEncodeError."""
    content = text.encode()
    with whole_file(path) as file:
        file.write(content)
