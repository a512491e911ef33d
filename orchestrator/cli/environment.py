"""`.env` in the current directory: settings and keys for those who keep them there.

What stands in the real environment wins. A `.env` may come with a stranger's repository, so it
cannot say which variable holds the key for another host, nor agree to a price or to running code
without a sandbox: those are only taken from the real environment and the command line.
"""

from __future__ import annotations

import os
from pathlib import Path

NEVER = ("ORCH_API_KEY_ENV", "ORCH_CONFIRM_OVER", "ORCH_YES", "ORCH_I_TRUST_THIS_CODE")


def load_dotenv(directory: Path) -> None:
    """Add the `ORCH_` settings, keys and base URLs of `.env` to the environment."""
    path = directory / ".env"
    if not path.is_file():
        return
    from dotenv import dotenv_values

    for name, value in dotenv_values(path, interpolate=False).items():
        wanted = name.startswith("ORCH_") or name.endswith(("_API_KEY", "_BASE_URL"))
        if value is not None and wanted and name not in NEVER and name not in os.environ:
            os.environ[name] = value
