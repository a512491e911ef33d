"""`.env` in the current directory: the keys of providers, for those who keep them there.

What stands in the real environment wins. A `.env` may come with a stranger's repository, so only
keys are taken from it: no address, price, place or any other setting, which could send a key
elsewhere, make a cap a multiple of itself, or agree to something in a person's name.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import click

MOST_BYTES = 1_000_000


def load_dotenv(directory: Path) -> None:
    """Add the keys of `.env` to the environment; says which settings there are not taken."""
    path = directory / ".env"
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        click.echo(f"note: {path} is left out: {error}", err=True)
        return
    if "=" not in text:
        return
    import io

    from dotenv import dotenv_values

    left: list[str] = []
    for name, value in dotenv_values(stream=io.StringIO(text), interpolate=False).items():
        if name.startswith("ORCH_") or name.endswith("_BASE_URL"):
            left.append(name)
        elif value and name.isascii() and name.endswith("_API_KEY") and name not in os.environ:
            # What is no key at all is told by whoever reads it; this cannot even be kept.
            with contextlib.suppress(ValueError):
                os.environ[name] = value
    if left:
        click.echo(
            f"note: only keys are taken from .env, not {', '.join(sorted(left))}; set it in the "
            "shell, or give it on the command line",
            err=True,
        )
