"""What agents leave beside a run, small: an attempt's larger files are compressed where they lie.

`attempts/N/trial.log` of more than a few KB becomes `trial.log.zst`, which the `zstd` command reads
(`zstd -dc`). A file is either there as it was or whole as its successor, at every moment. What
is no plain file of its own (a link, a pipe) is left alone, and so is what cannot be read.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import zstandard

SUFFIX = ".zst"
LEAST = 4096
"""Smaller files would take as many blocks of a disk."""
LEVEL = 9


def compress_files(folder: Path) -> None:
    """Compress every larger plain file below `folder`; never raises for what it cannot do."""
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError, zstandard.ZstdError):
                _compress(Path(place) / name)


def _compress(path: Path) -> None:
    if path.suffix == SUFFIX or not path.is_file() or path.is_symlink():
        return
    seen = path.stat()
    if seen.st_size < LEAST or seen.st_nlink > 1:
        return
    part = path.with_name(f"{path.name}{SUFFIX}.part")
    try:
        with path.open("rb") as file, part.open("xb") as packed:
            packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
            packer.copy_stream(file, packed, size=seen.st_size)
        part.rename(path.with_name(f"{path.name}{SUFFIX}"))
    finally:
        part.unlink(missing_ok=True)
    path.unlink()
