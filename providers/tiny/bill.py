"""The server's own durable bill: one JSON line for every request that it computed anything for.

A line is with the operating system before the first byte of the answer is sent (of a streamed
answer: before its last chunk), so that a client that is killed cannot escape it, nor can a
kill of the server lose it once the client has the answer. A request whose client went away is
billed for what had been sampled by then, as `abandoned`; one that never began is not billed.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Literal

from providers.tiny.parsing import ParsedRequest

BilledAs = Literal["answered", "abandoned"]


class BillError(Exception):
    """A line could not be written, so its answer must not be given."""


class Bill:
    """Appends to one file; the file may be read at any time and holds whole lines only."""

    def __init__(self, path: Path | None) -> None:
        """With no path, nothing is written. Raises OSError where the file cannot be opened."""
        flags = os.O_APPEND | os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC
        self._file = None if path is None else os.open(path, flags, 0o644)

    def write(
        self, request_id: str, ask: ParsedRequest, completion_tokens: int, outcome: BilledAs
    ) -> None:
        """Append the line of one request; it is with the operating system on return.

        Raises BillError.
        """
        if self._file is None:
            return
        line = {
            "time": time.time(),
            "id": request_id,
            "model": ask.model,
            "prompt_tokens": ask.prompt_tokens,
            "completion_tokens": completion_tokens,
            "n": ask.n,
            "seed": ask.seed,
            "outcome": outcome,
        }
        data = (json.dumps(line) + "\n").encode()
        try:
            written = os.write(self._file, data)
        except OSError as error:
            raise BillError(f"The bill could not be written: {error.strerror}.") from error
        if written != len(data):
            raise BillError("The bill's file took only part of a line; its disk may be full.")

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
