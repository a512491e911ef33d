"""What an attempt leaves is compressed where it lies, and nothing of it is lost."""

from __future__ import annotations

import os
from pathlib import Path

import zstandard

from orchestrator.store.trajectories import LEAST, compress_files


def test_larger_files_are_compressed_and_all_else_is_left(tmp_path: Path) -> None:
    deep = tmp_path / "trial" / "agent"
    deep.mkdir(parents=True)
    steps = b"".join(b'{"step": %d, "said": "look at the file"}\n' % i for i in range(5000))
    outside = tmp_path / "outside"
    (deep / "trajectory.json").write_bytes(steps)
    (tmp_path / "trial" / "output.log").write_bytes(b"x" * (LEAST - 1))
    (deep / "done.zst").write_bytes(steps)
    outside.write_bytes(steps)
    (deep / "link").symlink_to(outside)
    os.mkfifo(deep / "pipe")
    compress_files(tmp_path / "trial")
    assert sorted(path.name for path in deep.iterdir()) == [
        "done.zst", "link", "pipe", "trajectory.json.zst",
    ]  # fmt: skip
    packed = (deep / "trajectory.json.zst").read_bytes()
    assert zstandard.ZstdDecompressor().decompress(packed) == steps
    assert len(packed) < len(steps) / 5
    assert outside.read_bytes() == (deep / "done.zst").read_bytes() == steps
    assert (tmp_path / "trial" / "output.log").stat().st_size == LEAST - 1


def test_what_is_in_the_way_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"line\n" * 5000)
    (tmp_path / "log.zst.part").mkdir()
    compress_files(tmp_path)
    assert (tmp_path / "log").read_bytes() == b"line\n" * 5000
    assert not (tmp_path / "log.zst").exists()
