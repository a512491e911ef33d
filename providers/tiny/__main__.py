"""`python -m providers.tiny`: serves the bundled model until told to stop."""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    # Imported late, so that --help needs neither numpy nor aiohttp.
    parser = argparse.ArgumentParser(
        prog="python -m providers.tiny",
        description="Serve the bundled model as an OpenAI-compatible server.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0: a free one")
    parser.add_argument("--bill", type=Path, help="append a JSON line per request to this file")
    parser.add_argument("--model", type=Path, help="model directory; default: the bundled model")
    parser.add_argument("--model-name", help="the model's id in requests")
    parser.add_argument(
        "--parent-fd",
        type=int,
        help="end when this inherited pipe closes, and leave Ctrl-C to the parent",
    )
    arguments = parser.parse_args()

    from providers.tiny.serve import run

    run(
        host=arguments.host,
        port=arguments.port,
        bill=arguments.bill,
        model_directory=arguments.model,
        model_name=arguments.model_name,
        parent_fd=arguments.parent_fd,
    )


if __name__ == "__main__":
    main()
