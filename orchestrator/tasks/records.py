"""Rows of a data set: from the Hugging Face hub at a pinned revision, or from local files.

`--data PATH` is a folder whose files start with the split's name (`train-00000-of-00001.parquet`,
`test.jsonl`), in it or in a folder `data` or one named after the configuration; or, for a task
that needs one split only, that file. Rows come in the order of the data set, which the paper's
subsets depend on. Whatever cannot be read is a TaskError of one sentence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from orchestrator.tasks.base import NoField, TaskError, TaskOptions
from orchestrator.tasks.lines import NumberText, kind_of, read_lines
from verifiers.install import install_command

DatasetRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A data set of the hub. `splits` maps our names of splits to the hub's, as `name` or as
    `name[start:stop]` where the hub keeps several of ours in one."""

    task: str
    repo: str
    revision: str
    config: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)

    def open(self, split: str, options: TaskOptions) -> Table:
        """One split as a Table; raises TaskError."""
        if options.data is not None:
            return _local(self, split, options.data)
        return _hub(self, split, options.revision or self.revision)

    def remedy(self, revision: str | None = None) -> str:
        """What to download, from where, and the flag."""
        at = revision or self.revision
        folder = f" (folder {self.config})" if self.config else ""
        return (
            f"download https://huggingface.co/datasets/{self.repo}/tree/{at}{folder} "
            "and give the folder with --data PATH"
        )


class Table(ABC):
    """Rows of one split, read anew by each scan so that memory holds a batch at a time."""

    def __init__(self, where: str) -> None:
        self.where = where

    @abstractmethod
    def scan(self, columns: Sequence[str]) -> Iterator[DatasetRow]:
        """Yield every row, in order, with these columns; raises TaskError where one is missing."""

    def take(self, indices: Sequence[int], columns: Sequence[str]) -> dict[int, DatasetRow]:
        """The rows with these indices."""
        wanted = set(indices)
        return {index: row for index, row in enumerate(self.scan(columns)) if index in wanted}

    def place(self, index: int) -> str:
        """Where a row is, for an error."""
        return f"{self.where}, row {index}"


class _Parquet(Table):
    def __init__(self, where: str, paths: Sequence[Path]) -> None:
        super().__init__(where)
        self._paths = paths

    def scan(self, columns: Sequence[str]) -> Iterator[DatasetRow]:
        arrow = import_module("pyarrow")
        parquet = import_module("pyarrow.parquet")
        for path in self._paths:
            try:
                with parquet.ParquetFile(path) as file:
                    _check_columns(str(path), columns, file.schema_arrow.names)
                    for batch in file.iter_batches(batch_size=64, columns=list(columns)):
                        yield from batch.to_pylist()
            except (arrow.ArrowException, OSError) as error:
                raise TaskError(f"{path} cannot be read as Parquet: {_brief(error)}.") from None


class _Lines(Table):
    def __init__(self, where: str, paths: Sequence[Path]) -> None:
        super().__init__(where)
        self._paths = paths

    def scan(self, columns: Sequence[str]) -> Iterator[DatasetRow]:
        for path in self._paths:
            for number, fields in read_lines(path):
                _check_columns(f"{path}, line {number}", columns, list(fields))
                yield fields


class _Hub(Table):
    def __init__(self, where: str, dataset: Any) -> None:
        super().__init__(where)
        self._dataset = dataset

    def scan(self, columns: Sequence[str]) -> Iterator[DatasetRow]:
        _check_columns(self.where, columns, self._dataset.column_names)
        yield from self._dataset.select_columns(list(columns))

    def take(self, indices: Sequence[int], columns: Sequence[str]) -> dict[int, DatasetRow]:
        chosen = self._dataset.select_columns(list(columns))
        return {index: chosen[index] for index in indices}


class _Slice(Table):
    def __init__(self, table: Table, start: int, stop: int | None) -> None:
        super().__init__(f"{table.where} (from row {start})")
        self._table, self._start, self._stop = table, start, stop

    def scan(self, columns: Sequence[str]) -> Iterator[DatasetRow]:
        return islice(self._table.scan(columns), self._start, self._stop)


def _check_columns(where: str, wanted: Sequence[str], present: Sequence[str]) -> None:
    for name in wanted:
        if name not in present:
            raise NoField(where, name, present)


def _local(source: Source, split: str, path: Path) -> Table:
    where = f"{path}, split {split}"
    if path.is_file():
        if len(source.splits) > 1:
            raise TaskError(
                f"The task {source.task} needs the splits {' and '.join(source.splits)}, and "
                f"{path} is one file; put a file per split into a folder and give the folder."
            )
        return _table(where, [path])
    if not path.is_dir():
        raise TaskError(f"{path} does not exist; {source.remedy()}.")
    found = {name: _files(source, path, name) for name in source.splits}
    if all(found.values()):
        return _table(where, found[split])
    name, start, stop = _parsed(source.splits[split])
    if name != split or stop is not None:
        whole = _files(source, path, name)
        if whole:
            return _Slice(_table(f"{path}, split {name}", whole), start, stop)
    missing = next(name for name, files in found.items() if not files)
    raise TaskError(
        f"{path} has no file of the split {missing} ({missing}.jsonl, or {missing}-*.parquet); "
        f"{source.remedy()}."
    )


def _files(source: Source, path: Path, split: str) -> list[Path]:
    folders = [path, path / "data", *([path / source.config] if source.config else [])]
    for folder in filter(Path.is_dir, folders):
        for suffix in (".parquet", ".jsonl"):
            names = [one for one in sorted(folder.iterdir()) if one.suffix == suffix]
            found = [one for one in names if one.name.removesuffix(suffix).split("-")[0] == split]
            if found:
                return found
    return []


def _parsed(split: str) -> tuple[str, int, int | None]:
    name, _, part = split.partition("[")
    start, _, stop = part.rstrip("]").partition(":")
    return name, int(start or 0), int(stop) if stop else None


def _table(where: str, paths: Sequence[Path]) -> Table:
    if paths[0].suffix == ".jsonl":
        return _Lines(where, paths)
    if paths[0].suffix != ".parquet":
        raise TaskError(f"{paths[0]} is neither .parquet nor .jsonl; give one of these.")
    try:
        import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise TaskError(
            f"Reading {paths[0]} needs pyarrow: {install_command('tasks')} (or give JSON Lines)."
        ) from None
    return _Parquet(where, paths)


def _hub(source: Source, split: str, revision: str) -> Table:
    try:
        datasets = import_module("datasets")
        errors = import_module("huggingface_hub.errors")
    except ModuleNotFoundError:
        raise TaskError(
            f"The task {source.task} loads its data through Hugging Face datasets, which is not "
            f"installed: {install_command('tasks')} (or {source.remedy(revision)})."
        ) from None
    try:
        dataset = datasets.load_dataset(
            source.repo, source.config, split=source.splits[split], revision=revision
        )
    except (OSError, ValueError, RuntimeError, errors.HfHubHTTPError) as error:
        raise TaskError(
            f"The data set {source.repo} (revision {revision[:12]}) could not be loaded: "
            f"{_brief(error)}; without a connection to huggingface.co, "
            f"{source.remedy(revision)}."
        ) from None
    return _Hub(f"{source.repo} ({revision[:12]}), split {split}", dataset)


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(". ")


def installed(module: str, attribute: str) -> Table | None:
    """Lines of a file that an installed package names, or None where it is not installed."""
    try:
        path = Path(getattr(import_module(module), attribute))
    except ModuleNotFoundError:
        return None
    return _Lines(str(path), [path])


def text(table: Table, index: int, row: DatasetRow, name: str) -> str:
    """A field that must be a string; raises TaskError."""
    value = row[name]
    if not _is_text(value):
        raise TaskError(
            f"{table.place(index)}: the field {name!r} must be a string, not {kind_of(value)}."
        )
    return str(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, NumberText)


def texts(table: Table, index: int, row: DatasetRow, name: str) -> list[str]:
    """A field that must be a list of strings; raises TaskError."""
    value = row[name]
    if not isinstance(value, list) or not all(map(_is_text, value)):
        raise TaskError(f"{table.place(index)}: the field {name!r} must be a list of strings.")
    return [str(one) for one in value]
