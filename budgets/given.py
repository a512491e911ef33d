"""Files that a person gives, which may come from a stranger: regular files of a bounded size only.

A pipe would be waited for for ever and a device read without end. Every refusal is an OSError
whose `strerror` says what is wrong, so that callers say it as they say that a file is missing.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

MOST_BYTES = 16 * 2**20
"""Of a file that is written by hand: a study, prices, limits."""


def open_given(path: Path, most_bytes: int = MOST_BYTES) -> BufferedReader:
    """The file, open for reading; raises OSError."""
    try:
        # Without O_NONBLOCK opening a pipe waits for its other end.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:
        raise OSError(errno.EINVAL, "its name holds a NUL character") from None
    except UnicodeEncodeError:
        raise OSError(errno.EINVAL, "its name is not text that a file can have") from None
    try:
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is a pipe, socket or device, not a regular file")
        if found.st_size > most_bytes:
            raise OSError(
                errno.EFBIG,
                f"it has {found.st_size / 2**20:,.0f} MiB, and at most {most_bytes / 2**20:,.0f} "
                "are read",
            )
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_given(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The whole content; raises OSError."""
    with open_given(path, most_bytes) as file:
        # A file that grows meanwhile is not followed.
        return file.read(most_bytes + 1)[:most_bytes]


def read_given_text(path: Path, most_bytes: int = MOST_BYTES) -> str:
    """The whole content as UTF-8 with universal newlines; raises OSError, UnicodeDecodeError."""
    text = read_given(path, most_bytes).decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")
